"""Faults that act by physics: the sensor sees worse weather than there is, or sits elsewhere than its calibration says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from sensors.faults.draws import Draws
from sensors.faults.kinds import FaultKind, Modality
from sensors.faults.levels import Levels
from sensors.mount import Mount
from sensors.scene import Scene
from sensors.weather import Weather

FOG_VISIBILITY_M = (150.0, 60.0, 25.0)
SNOW_VISIBILITY_M = (600.0, 250.0, 100.0)
SNOW_MM_PER_H = (1.0, 3.0, 8.0)
EXTRINSIC_RAD = (math.radians(1.0), math.radians(2.5), math.radians(5.0))
EXTRINSIC_M = (0.03, 0.08, 0.20)
MISALIGNED_RAD = (math.radians(0.5), math.radians(1.0), math.radians(2.0))
MISALIGNED_M = (0.05, 0.15, 0.40)
WEATHERS = (FaultKind.FOG, FaultKind.SNOW)
MOVES = (FaultKind.EXTRINSIC_ERROR, FaultKind.MISALIGNED)
HANDLED = (*WEATHERS, *MOVES)
LEVELS, DIRECTIONS = 4, 8
Mounted = TypeVar("Mounted")


def weather_seen(weather: Weather, fog: Tensor, snow: Tensor) -> Weather:
    """The weather of a sensor that sees fog or snow of its own.

    Args:
        weather: As it is, B worlds.
        fog: Severity of FOG, (B,).
        snow: Severity of SNOW, (B,).
    """

    def least(values: tuple[float, ...], level: Tensor) -> Tensor:
        return torch.tensor((math.inf, *values))[level]

    visibility_m = weather.visibility_m.minimum(least(FOG_VISIBILITY_M, fog)).minimum(least(SNOW_VISIBILITY_M, snow))
    return replace(
        weather,
        visibility_m=visibility_m,
        snow_mm_per_h=weather.snow_mm_per_h.maximum(torch.tensor((0.0, *SNOW_MM_PER_H))[snow]),
    )


def moves_of(scene: Scene, levels: Levels, modality: Modality, sensors: int) -> Tensor:
    """A number for how each sensor is moved, (B, K) int64: 0 is not at all; ``moved`` reads it.

    A sensor is moved in one of eight directions. An extrinsic error keeps its direction through the episode, a misaligned sensor draws
    another at every sweep.
    """
    code = torch.zeros((scene.num_worlds, sensors), dtype=torch.int64)
    draws = Draws(modality, 0, scene.episode_seed, scene.step)
    for place, kind in enumerate(MOVES):
        if kind in levels:
            drawn = draws.of_episode(kind, 1) if kind is FaultKind.EXTRINSIC_ERROR else draws.uniform(kind, 1)
            direction = ((drawn * DIRECTIONS).long() + 3 * torch.arange(sensors)) % DIRECTIONS
            level = levels[kind]
            code += torch.where(level > 0, level * DIRECTIONS + direction, 0) * (LEVELS * DIRECTIONS) ** place
    return code


def moved(sensors: Sequence[Mounted], codes: Sequence[int]) -> tuple[Mounted, ...]:
    """Sensors where faults have put them; ``codes`` from ``moves_of``, one a sensor."""
    return tuple(
        replace(sensor, mount=_moved(sensor.mount, code)) if code else sensor  # type: ignore[attr-defined, type-var]
        for sensor, code in zip(sensors, codes, strict=True)
    )


def _moved(mount: Mount, code: int) -> Mount:
    for angles, shifts in ((EXTRINSIC_RAD, EXTRINSIC_M), (MISALIGNED_RAD, MISALIGNED_M)):
        code, part = divmod(code, LEVELS * DIRECTIONS)
        level, direction = divmod(part, DIRECTIONS)
        if level:
            angle, shift = angles[level - 1], shifts[level - 1]
            a, b, c = (1.0 if direction & bit else -1.0 for bit in (1, 2, 4))
            mount = replace(
                mount,
                x_m=mount.x_m + c * shift,
                y_m=mount.y_m + a * shift,
                yaw_rad=mount.yaw_rad + a * angle,
                pitch_rad=mount.pitch_rad + 0.5 * b * angle,
                roll_rad=mount.roll_rad + 0.5 * c * angle,
            )
    return mount
