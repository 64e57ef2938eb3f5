"""Counter-based keyed noise: draw i of a stream is a pure function of the key and i, so frames do not depend on the batch.

A key is two 32-bit words made from what the scene carries (``episode_seed``, ``step``) and from which sensor and which stream asks. Draw
with ``hash2(i, k0, k1)`` and turn the 32 bits into a number with ``uniform`` or ``gaussian``; give every use its own stream. The scalar
kernels work on uint32 and float32 only and vectorise: numba widens a product of two uint32 to 64 bits, hence the casts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sensors.faults import Modality
from sensors.jit import inlined, kernel

u4, i4, f4, u8 = np.uint32, np.int32, np.float32, np.uint64

SENSORS_OF_A_KIND = 65_536
WEYL = u4(0x9E3779B9)
WEYL_64 = u8(0x9E3779B97F4A7C15)
# minimax coefficients of z / (1 - 2 p) as a polynomial in sqrt(-log(4 p (1 - p))), for tail probabilities down to 1e-10;
# largest relative error 1.9e-4
C0 = f4(1.253552208e00)
C1 = f4(-1.019811461e-02)
C2 = f4(3.990536072e-01)
C3 = f4(-1.829218429e-01)
C4 = f4(2.376329580e-01)
C5 = f4(-1.345399553e-01)
C6 = f4(3.596146348e-02)
C7 = f4(-4.664649446e-03)
C8 = f4(2.380742470e-04)
# the same of sin(2 pi x) as an odd polynomial, for -0.25 to 0.25
S0, S1, S2, S3 = f4(6.283164044), f4(-41.33714235), f4(81.34076802), f4(-70.99342401)

vectors = inlined(fastmath={"contract"})  # fused multiply-adds, for what runs once a ray or pixel


@kernel()
def mix64(x: np.uint64) -> np.uint64:
    """Spread 64 bits over 64 bits, one to one (Steele et al., "Fast splittable pseudorandom number generators", 2014, variant 13)."""
    x = u8(x ^ (x >> u8(30))) * u8(0xBF58476D1CE4E5B9)
    x = u8(x ^ (x >> u8(27))) * u8(0x94D049BB133111EB)
    return u8(x ^ (x >> u8(31)))


@kernel()
def world_key(episode_seed: int, step: int, sensor: int, stream: int) -> tuple[np.uint32, np.uint32]:
    """Make the two key words of one world, sensor and stream; all arguments are taken as 64-bit integers."""
    x = mix64(u8(u8(episode_seed) + WEYL_64))
    x = mix64(u8(u8(x ^ u8(step)) + WEYL_64))
    x = mix64(u8(u8(x ^ u8((sensor << 16) ^ stream)) + WEYL_64))
    return u4(x >> u8(32)), u4(x & u8(0xFFFFFFFF))


@vectors
def hash2(i: np.uint32, k0: np.uint32, k1: np.uint32) -> np.uint32:
    """Give the 32 random bits of draw ``i`` under the key (k0, k1).

    Three xor-shift-multiply rounds with constants from public hash prospecting (Wellons, "hash-prospector", triple32). The counter
    is spread by a Weyl step first and the second key word enters after the first round: with one word, keys that differ by little
    give streams that are shifted copies of each other. Two keys that differ in nothing but the
    top four bits of k1 still relate a little (a bit flips with odds up to 1.2 % off a half); ``world_key`` spreads what it is given
    over all 64 bits, so such pairs do not arise.
    """
    x = u4(u4(u4(i) * WEYL) + k0)
    x = u4(x ^ u4(x >> u4(17)))
    x = u4(u4(x * u4(0xED5AD4BB)) ^ k1)
    x = u4(x ^ u4(x >> u4(11)))
    x = u4(x * u4(0xAC4C1B51))
    x = u4(x ^ u4(x >> u4(15)))
    x = u4(x * u4(0x31848BAB))
    return u4(x ^ u4(x >> u4(14)))


@vectors
def remix(bits: np.uint32) -> np.uint32:
    """Give 32 more bits of a draw, for a second use that only needs to look independent of the first; one round of the hash."""
    x = u4(u4(bits ^ u4(bits >> u4(15))) * u4(0x2C1B3C6D))
    return u4(x ^ u4(x >> u4(16)))


@vectors
def uniform(bits: np.uint32) -> np.float32:
    """Turn 32 bits into a number in (0, 1), never 0 and never 1, 23 bits fine."""
    return f4(f4(i4(bits >> u4(9))) + f4(0.5)) * f4(1.0 / 8_388_608.0)


@inlined()
def bits_of(x: np.float32) -> np.int32:
    """See a float32 as its bits."""
    return f4(x).view(i4)


@inlined()
def float_of(bits: np.int32) -> np.float32:
    """See bits as a float32."""
    return i4(bits).view(f4)


@vectors
def log_fast(x: np.float32) -> np.float32:
    """Natural logarithm of a normal positive number, |error| < 3e-7 + 1e-7 |log x|; without a call, so that loops vectorise."""
    bits = bits_of(x)
    exponent = i4(i4(bits - i4(0x3F3504F3)) >> i4(23))
    m = float_of(i4(bits - i4(exponent << i4(23)))) - f4(1.0)  # sqrt(1/2) - 1 to sqrt(2) - 1
    s = m / (f4(2.0) + m)
    s2 = s * s
    series = s * (f4(2.0) + s2 * (f4(0.66666667) + s2 * (f4(0.39999428) + s2 * (f4(0.28487745) + s2 * f4(0.24)))))
    return f4(f4(exponent) * f4(0.69314718) + series)


@vectors
def exp_fast(x: np.float32) -> np.float32:
    """Exponential, for x within -80 to 80 (clipped), relative error < 1e-6; without a call, so that loops vectorise."""
    y = min(max(f4(x), f4(-80.0)), f4(80.0)) * f4(1.44269504)
    n = i4(i4(y + f4(192.5)) - i4(192))  # rounds, as the sum is positive
    r = y - f4(n)
    p = f4(0.00961813) + r * (f4(0.00133336) + r * f4(0.000154))
    p = f4(1.0) + r * (f4(0.69314718) + r * (f4(0.24022651) + r * (f4(0.05550411) + r * p)))
    return f4(p * float_of(i4(i4(n + i4(127)) << i4(23))))


@vectors
def exp_decay(x: np.float32) -> np.float32:
    """Exponential of a number that is not positive, relative error < 1e-6 down to -15. Half the cost of ``exp_fast``."""
    y = max(f4(x) * f4(1.44269504), f4(-126.0))
    shifted = f4(y + f4(12_582_912.0))  # the sum's last bits are the rounded y
    r = y - f4(shifted - f4(12_582_912.0))
    p = f4(1.00000007) + r * (f4(0.69314696) + r * (f4(0.24022121) + r * (f4(0.05550733) + r * (f4(0.00967549) + r * f4(0.00132702)))))
    return f4(float_of(i4(bits_of(p) + i4(bits_of(shifted) << i4(23)))))


@vectors
def gaussian(bits: np.uint32) -> np.float32:
    """Turn 32 bits into a standard normal number by the inverse distribution function; tails to 6.3 standard deviations."""
    tail = f4(f4(i4(bits >> u4(1))) + f4(0.5)) * f4(2.3283064e-10)  # probability beyond, in (0, 0.5]
    centre = f4(1.0) - f4(2.0) * tail
    s = math.sqrt(max(-log_fast(f4(4.0) * tail * (f4(1.0) - tail)), f4(0.0)))
    p = C5 + s * (C6 + s * (C7 + s * C8))
    p = C0 + s * (C1 + s * (C2 + s * (C3 + s * (C4 + s * p))))
    return f4(float_of(i4(bits_of(centre * p) ^ i4(i4(bits & u4(1)) << i4(31)))))


@vectors
def quarter_sine(turns: np.float32) -> np.float32:
    """Sine of an angle in turns, for -0.25 to 0.25; |error| < 1e-6, by a minimax polynomial."""
    x = turns * turns
    return f4(turns * (S0 + x * (S1 + x * (S2 + x * S3))))


@vectors
def normal_pair(bits: np.uint32, more: np.uint32) -> tuple[np.float32, np.float32]:
    """Turn two draws into two independent standard normal numbers (Box and Muller, 1958); tails to 6.6 standard deviations."""
    u = f4(f4(i4(bits >> u4(1))) + f4(0.5)) * f4(4.6566129e-10)
    radius = math.sqrt(max(f4(-2.0) * log_fast(u), f4(0.0)))
    turns = f4(i4(more)) * f4(2.3283064e-10)  # -0.5 to 0.5
    around = abs(turns)
    rest = f4(0.5) - around
    fold = quarter_sine(min(around, rest))
    return f4(radius * quarter_sine(f4(0.25) - around)), f4(radius * (-fold if turns < f4(0.0) else fold))


def sensor_number(modality: Modality, index: int) -> int:
    """Number a sensor for its keys: sensor ``index`` of its modality in the rig."""
    return int(modality) * SENSORS_OF_A_KIND + index


@kernel(nogil=True)
def _keys(episode_seed: NDArray[np.int64], step: NDArray[np.int64], sensor: int, stream: int, out: NDArray[np.uint32]) -> None:
    for b in range(episode_seed.size):
        out[b, 0], out[b, 1] = world_key(episode_seed[b], step[b], sensor, stream)


def world_keys(episode_seed: Tensor, step: Tensor, sensor: int, stream: int) -> NDArray[np.uint32]:
    """Make the keys of all worlds for one sensor and stream.

    Args:
        episode_seed: ``Scene.episode_seed``, (B,) int64.
        step: ``Scene.step``, (B,) int64.
        sensor: From ``sensor_number``.
        stream: Which of the sensor's noises, below 65,536.

    Returns:
        (B, 2) uint32, the words k0 and k1 of ``hash2``.
    """
    out = np.empty((episode_seed.shape[0], 2), np.uint32)
    _keys(episode_seed.numpy(), step.numpy(), sensor, stream, out)
    return out
