"""NumPy's PCG64 in numba: seeded, and drawn from, as ``numpy.random.default_rng(seed)`` is.

Sources: M. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number Generation",
2014 (XSL-RR 128/64); the seed sequence after M. O'Neill, "Developing a seed_seq Alternative", 2015; bounded integers after
D. Lemire, "Fast Random Integer Generation in an Interval", 2019. State lives in an ``EPISODE`` record.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.traffic.elementary import multiply_high
from envs.traffic.stack import on_stack
from sensors.jit import leaf

MULTIPLIER_HIGH = np.uint64(2549297995355413924)
MULTIPLIER_LOW = np.uint64(4865540595714422341)
TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53

POOL_WORDS = 4
HASH_START = np.uint32(0x43B0D7E5)
HASH_FACTOR = np.uint32(0x931E8875)
OUTPUT_START = np.uint32(0x8B51F9DD)
OUTPUT_FACTOR = np.uint32(0x58F38DED)
MIX_LEFT = np.uint32(0xCA01F9DD)
MIX_RIGHT = np.uint32(0x4973F715)

room_for_pool = on_stack((POOL_WORDS,), np.uint32)
room_for_words = on_stack((8,), np.uint64)

SPLIT_GAMMA = np.uint64(0x9E3779B97F4A7C15)
SPLIT_FIRST = np.uint64(0xBF58476D1CE4E5B9)
SPLIT_SECOND = np.uint64(0x94D049BB133111EB)


@leaf()
def _scramble(word: Any, constant: Any, factor: Any) -> Any:
    """Hash a word; gives the word and the next constant."""
    following = np.uint32(constant * factor)
    mixed = np.uint32(np.uint32(word ^ constant) * following)
    return np.uint32(mixed ^ (mixed >> np.uint32(16))), following


@leaf()
def _mix(a: Any, b: Any) -> Any:
    mixed = np.uint32(np.uint32(a * MIX_LEFT) - np.uint32(b * MIX_RIGHT))
    return np.uint32(mixed ^ (mixed >> np.uint32(16)))


@leaf()
def _fill_pool(pool: Any, seed: Any) -> None:
    """The entropy pool of ``numpy.random.SeedSequence(seed)`` for 0 <= seed < 2**64."""
    pool[0] = np.uint32(seed & np.uint64(0xFFFFFFFF))
    pool[1] = np.uint32(seed >> np.uint64(32))
    pool[2], pool[3] = np.uint32(0), np.uint32(0)
    constant = HASH_START
    for word in range(POOL_WORDS):
        pool[word], constant = _scramble(pool[word], constant, HASH_FACTOR)
    for source in range(POOL_WORDS):
        for target in range(POOL_WORDS):
            if source != target:
                hashed, constant = _scramble(pool[source], constant, HASH_FACTOR)
                pool[target] = _mix(pool[target], hashed)


@leaf()
def seed_generator(episode: Any, seed: int) -> None:
    """Seed as ``numpy.random.PCG64(numpy.random.SeedSequence(seed))`` does."""
    pool, words = room_for_pool(), room_for_words()
    _fill_pool(pool, np.uint64(seed))
    constant = OUTPUT_START
    for word in range(8):
        hashed, constant = _scramble(pool[word % POOL_WORDS], constant, OUTPUT_FACTOR)
        words[word] = hashed
    state_high = words[0] | (words[1] << np.uint64(32))
    state_low = words[2] | (words[3] << np.uint64(32))
    stream_high = words[4] | (words[5] << np.uint64(32))
    stream_low = words[6] | (words[7] << np.uint64(32))
    episode.increment_high = (stream_high << np.uint64(1)) | (stream_low >> np.uint64(63))
    episode.increment_low = (stream_low << np.uint64(1)) | np.uint64(1)
    episode.state_high = np.uint64(0)
    episode.state_low = np.uint64(0)
    _turn(episode)
    low = episode.state_low + state_low
    episode.state_high = episode.state_high + state_high + np.uint64(low < state_low)
    episode.state_low = low
    _turn(episode)
    episode.has_buffered = False
    episode.buffered = np.uint32(0)


@leaf()
def _turn(episode: Any) -> None:
    """One step of the 128-bit linear congruential generator."""
    low = episode.state_low * MULTIPLIER_LOW
    high = multiply_high(episode.state_low, MULTIPLIER_LOW) + episode.state_low * MULTIPLIER_HIGH + episode.state_high * MULTIPLIER_LOW
    summed = low + episode.increment_low
    episode.state_high = high + episode.increment_high + np.uint64(summed < low)
    episode.state_low = summed


@leaf()
def output_of(episode: Any) -> Any:
    """The 64 bits that the present state stands for (XSL-RR); draws nothing."""
    value = episode.state_high ^ episode.state_low
    turn = episode.state_high >> np.uint64(58)
    return (value >> turn) | (value << ((np.uint64(64) - turn) & np.uint64(63)))


@leaf()
def following_seed(seed: int) -> Any:
    """``envs.seeds.following_seed``: what an episode's seed becomes where its generator goes on without a new one."""
    state = np.uint64(0)
    for key in (np.uint64(seed), np.uint64(1)):
        state = state + key + SPLIT_GAMMA
        state = (state ^ (state >> np.uint64(30))) * SPLIT_FIRST
        state = (state ^ (state >> np.uint64(27))) * SPLIT_SECOND
        state = state ^ (state >> np.uint64(31))
    return np.int64(state >> np.uint64(33))


@leaf()
def next_uint64(episode: Any) -> Any:
    """Draw 64 bits."""
    _turn(episode)
    return output_of(episode)


@leaf()
def next_uint32(episode: Any) -> Any:
    """Draw 32 bits: the lower half of a 64-bit draw, then its upper half."""
    if episode.has_buffered:
        episode.has_buffered = False
        return np.uint64(episode.buffered)
    drawn = next_uint64(episode)
    episode.has_buffered = True
    episode.buffered = np.uint32(drawn >> np.uint64(32))
    return drawn & np.uint64(0xFFFFFFFF)


@leaf()
def draw_uniform(episode: Any, low: float, high: float) -> float:
    """``Generator.uniform(low, high)``."""
    return low + (high - low) * (np.float64(next_uint64(episode) >> np.uint64(11)) * TO_UNIT)


@leaf()
def draw_choice(episode: Any, count: int) -> Any:
    """``Generator.choice(count)`` for 1 <= count < 2**32; one choice draws nothing."""
    if count == 1:
        return 0
    span = np.uint64(count)
    product = next_uint32(episode) * span
    low_half = product & np.uint64(0xFFFFFFFF)
    if low_half < span:
        threshold = (np.uint64(0x100000000) - span) % span
        while low_half < threshold:
            product = next_uint32(episode) * span
            low_half = product & np.uint64(0xFFFFFFFF)
    return np.int64(product >> np.uint64(32))
