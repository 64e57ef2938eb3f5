"""What faults do to a sweep: returns that are lost, and returns of nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sensors.faults.draws import Draws
from sensors.faults.kinds import FaultKind
from sensors.faults.levels import Levels
from sensors.frames import LidarFrames
from sensors.lidar.config import Lidar

BEAM_SHARE = (1 / 2, 1 / 8, 1 / 32)
"""Share of the beams that are left, one at least: 32 become 16, 4, 1."""
HALF_VIEW_RAD = (math.radians(120.0), math.radians(90.0), math.radians(60.0))
CROSSTALK_SHARE = (0.01, 0.03, 0.10)
"""Share of rays that answer to another lidar's pulse, anywhere within range."""
LOST_ECHO_SHARE = (0.5, 0.75, 0.95)
"""Share of a vehicle's returns that are lost."""
NEAREST_M = 0.5


def spoil_lidar(frames: LidarFrames, lidar: Lidar, number: int, worlds: Tensor, levels: Levels, draws: Draws) -> None:
    """Apply the faults of one lidar in some worlds, in place.

    Args:
        frames: Of B worlds and K lidars.
        lidar: Its settings.
        number: Which of the K.
        worlds: Which worlds, (N,).
        levels: Severity by kind there, (N,) each.
        draws: The lidar's random numbers there.
    """
    distance, intensity = frames.range_m[worlds, number], frames.intensity[worlds, number]  # (N, E, C)
    hit, actor = frames.hit[worlds, number], frames.actor[worlds, number]
    rays = hit[0].numel()
    if FaultKind.INCOMPLETE_ECHO in levels:
        chance = draws.uniform(FaultKind.INCOMPLETE_ECHO, rays).reshape(hit.shape)
        hit = hit & ~((actor >= 0) & (chance < _chosen(LOST_ECHO_SHARE, levels[FaultKind.INCOMPLETE_ECHO])))
    if FaultKind.CROSSTALK in levels:
        drawn = draws.uniform(FaultKind.CROSSTALK, 3 * rays).reshape(-1, 3, *hit.shape[1:])
        false = drawn[:, 0] < _chosen(CROSSTALK_SHARE, levels[FaultKind.CROSSTALK])
        distance = torch.where(false, NEAREST_M + (lidar.max_range_m - NEAREST_M) * drawn[:, 1], distance)
        intensity, actor = torch.where(false, 0.5 * drawn[:, 2], intensity), torch.where(false, -1, actor)
        hit = hit | false
    if FaultKind.BEAMS in levels:
        hit = hit & kept_beams(lidar.beams)[levels[FaultKind.BEAMS]][..., None]
    if FaultKind.FIELD_OF_VIEW in levels:
        hit = hit & kept_columns(lidar.columns)[levels[FaultKind.FIELD_OF_VIEW]][:, None]
    frames.range_m[worlds, number] = torch.where(hit, distance, 0.0)
    frames.intensity[worlds, number] = torch.where(hit, intensity, 0.0)
    frames.hit[worlds, number] = hit
    frames.actor[worlds, number] = torch.where(hit, actor, -1)


def _chosen(values: tuple[float, ...], level: Tensor) -> Tensor:
    """The number for each world's severity, 0 without, (N, 1, 1)."""
    return torch.tensor((0.0, *values))[level][:, None, None]


def kept_beams(beams: int) -> Tensor:
    """Beams that are left at severity 0 to 3, spread evenly, (4, E) bool."""
    kept = torch.ones((1 + len(BEAM_SHARE), beams), dtype=torch.bool)
    for row, share in enumerate(BEAM_SHARE, 1):
        count = max(1, round(share * beams))
        kept[row] = False
        kept[row, ((torch.arange(count) + 0.5) * beams / count).long()] = True
    return kept


def kept_columns(columns: int) -> Tensor:
    """Columns that are left at severity 0 to 3, those about the sensor's forward direction, (4, C) bool."""
    azimuth = 2.0 * math.pi * (torch.arange(columns) + 0.5) / columns
    off = torch.minimum(azimuth, 2.0 * math.pi - azimuth)
    return torch.stack([torch.ones(columns, dtype=torch.bool), *(off <= half for half in HALF_VIEW_RAD)])


HANDLED = (FaultKind.INCOMPLETE_ECHO, FaultKind.CROSSTALK, FaultKind.BEAMS, FaultKind.FIELD_OF_VIEW)
