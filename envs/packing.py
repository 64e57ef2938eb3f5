"""Kernels that turn frames on the CPU into observations: one pass over each sensor's numbers, which also counts those that are not finite.

They give the very numbers of the torch operations in ``envs.observation``, which serve frames on other devices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import inlined, kernel

f4, u8 = np.float32, np.uint64
LARGEST = f4(np.finfo(np.float32).max)
ZERO, ONE = f4(0), f4(1)

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]


@inlined()
def _clipped(value: np.float32, low: np.float32) -> np.float32:
    return min(max(value, low), ONE)


@kernel(nogil=True)
def pack_lidar(
    first: int, end: int, range_m: Floats, intensity: Floats, hit: Bools, valid: Bools, largest_m: Floats, out: Floats, wrong: Counts
) -> None:
    """Write hit, range and intensity of worlds ``first`` to ``end``.

    Args:
        first: First world.
        end: End of the worlds.
        range_m: Ranges, (B, K, N) for N rays.
        intensity: Intensities, (B, K, N).
        hit: Whether anything returned, (B, K, N).
        valid: Whether the sensor delivered, (B, K).
        largest_m: Greatest range of each sensor, (K,).
        out: Written, (B, K, 3, N).
        wrong: Written: numbers of a live sensor that are not finite, (B, K).
    """
    sensors, rays = hit.shape[1], hit.shape[2]
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        ranges, intensities, hits, lives, largest = range_m[b, k], intensity[b, k], hit[b, k], valid[b, k], largest_m[k]
        hit_out, range_out, intensity_out, count = out[b, k, 0], out[b, k, 1], out[b, k, 2], 0
        for number in range(rays):
            n = u8(number)
            seen, r, i = hits[n] & lives, ranges[n], intensities[n]
            count += int(not (abs(r) <= LARGEST)) + int(not (abs(i) <= LARGEST))
            hit_out[n] = ONE if seen else ZERO
            range_out[n] = _clipped(r / largest, ZERO) if seen else ZERO
            intensity_out[n] = _clipped(i, ZERO) if seen else ZERO
        wrong[b, k] = count if lives else 0


@kernel(nogil=True)
def pack_radar(first: int, end: int, detections: Floats, mask: Bools, valid: Bools, scales: Floats, out: Floats, wrong: Counts) -> None:
    """Write mask and scaled features of worlds ``first`` to ``end``.

    Args:
        first: First world.
        end: End of the worlds.
        detections: Detections, (B, K, D, 6).
        mask: Which of them are there, (B, K, D).
        valid: Whether the sensor delivered, (B, K).
        scales: What is 1 of each feature, (K, 6).
        out: Written, (B, K, D, 7).
        wrong: Written: numbers of a live sensor that are not finite, (B, K).
    """
    sensors, room, features = detections.shape[1:]
    for item in range(first * sensors, end * sensors):
        b, k = item // sensors, item % sensors
        wrong[b, k] = 0
        for d in range(room):
            seen, row, to = mask[b, k, d] and valid[b, k], detections[b, k, d], out[b, k, d]
            to[0] = ONE if seen else ZERO
            for n in range(features):
                wrong[b, k] += int(not (abs(row[n]) <= LARGEST) and valid[b, k])
                to[1 + n] = _clipped(row[n] / scales[k, n], -ONE) if seen else ZERO


@kernel(nogil=True)
def pack_ego(motion: Floats, action: Floats, scales: Floats, out: Floats) -> int:
    """Write scaled motion (B, 4) and action (B, C) into (B, 4 + C); return how many numbers of the motion are not finite."""
    wrong, features = 0, motion.shape[1]
    for b in range(len(motion)):
        for n in range(features):
            wrong += int(not (abs(motion[b, n]) <= LARGEST))
            out[b, n] = _clipped(motion[b, n] / scales[n], -ONE)
        for n in range(action.shape[1]):
            out[b, features + n] = _clipped(action[b, n], -ONE)
    return wrong


@kernel(nogil=True)
def pack_clocks(column: int, valid: Bools, age_s: Floats, oldest_s: np.float32, alive: Floats, age: Floats) -> None:
    """Write whether sensors deliver, and the ages of what those do, (B, K) each, from a column on."""
    for b in range(valid.shape[0]):
        for k in range(valid.shape[1]):
            alive[b, column + k] = ONE if valid[b, k] else ZERO
            age[b, column + k] = _clipped(age_s[b, k] / oldest_s, ZERO) if valid[b, k] else ZERO
