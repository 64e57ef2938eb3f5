"""Episode seeds: three ranges that never meet, and draws that depend on nothing but their keys.

Training draws from [0, 2^31), validation counts up from 2^31 and testing from 3 x 2^30, all below 2^32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sensors.errors import ConfigError, unknown_name

TRAIN_SEEDS = 2**31
FIRST_SEED = {"train": 0, "validation": 2**31, "test": 3 * 2**30}
COUNTED_SEEDS = 2**30
"""How many seeds validation and testing have each."""


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


_GAMMA, _MIX1, _MIX2 = (_signed(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return torch.bitwise_and(value >> bits, 2 ** (64 - bits) - 1)


def hashed(*keys: Tensor | int) -> Tensor:
    """Mix keys into 64 well-spread bits: SplitMix64 (Steele, Lea and Flood, 2014), one round a key.

    Args:
        keys: int64 tensors that broadcast, or whole numbers. Their order matters.

    Returns:
        int64 of the keys' common shape; all 64 bits are used, so it may be negative.
    """
    state = torch.zeros((), dtype=torch.int64)
    for key in keys:
        state = state + torch.as_tensor(key, dtype=torch.int64) + _GAMMA
        state = (state ^ _shift(state, 30)) * _MIX1
        state = (state ^ _shift(state, 27)) * _MIX2
        state = state ^ _shift(state, 31)
    return state


def uniform(*keys: Tensor | int) -> Tensor:
    """A number in [0, 1) for each key, float64, of the keys' common shape."""
    return _shift(hashed(*keys), 11).double() * 2.0**-53


def train_seeds(seed: int, world: Tensor | int, episode: Tensor | int) -> Tensor:
    """Seeds of training episodes: keyed, so that episode k of world i is the same whatever ran before, int64 in [0, 2^31)."""
    return _shift(hashed(seed, world, episode), 33)


def following_seed(episode_seed: Tensor) -> Tensor:
    """The seed an episode carries after one that went on with its own generator, int64 in [0, 2^31).

    It keys sensors and drivers only: the traffic of such an episode comes from the generator's state, not from this number.
    """
    return _shift(hashed(episode_seed, 1), 33)


def seed_set(name: str, count: int, seed: int = 0) -> Tensor:
    """Seeds of a named set.

    Args:
        name: ``"train"``, ``"validation"`` or ``"test"``.
        count: How many.
        seed: Chooses among training sets; the other two are the same for everyone.

    Returns:
        int64 (count,). No seed of one set is ever in another.

    Raises:
        ConfigError: There is no such set, or not that many seeds.
    """
    if name not in FIRST_SEED:
        raise unknown_name("seed set", name, FIRST_SEED)
    if not 0 <= count <= COUNTED_SEEDS:
        raise ConfigError(f"seed set {name!r}: {count} seeds asked for, expected 0 to {COUNTED_SEEDS}")
    if name == "train":
        return train_seeds(seed, 0, torch.arange(count))
    return FIRST_SEED[name] + torch.arange(count)
