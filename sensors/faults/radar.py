"""What faults do to a scan: detections that are lost, moved, mismeasured, or of nothing."""

from __future__ import annotations

import math
from dataclasses import fields

import torch
from torch import Tensor

from sensors.faults.draws import Draws
from sensors.faults.kinds import FaultKind
from sensors.faults.levels import Levels
from sensors.frames import RADAR_FEATURES, Origin, RadarFrames
from sensors.radar.config import NEAREST_M, Radar

RANGE, AZIMUTH, ELEVATION, DOPPLER, RCS, SNR = range(len(RADAR_FEATURES))
SECTOR_SHARE = (1 / 4, 1 / 2, 3 / 4)
"""Share of the field of view that is blind."""
RANGE_ERROR_M = (0.5, 1.0, 2.0)
"""Every range is wrong by up to this, either way."""
DOPPLER_BIAS_MPS = (0.5, 1.5, 4.0)
AMBIGUITY_MPS = (20.0, 10.0, 5.0)
"""Doppler folds into plus and minus this."""
NOISE_RISE_DB = (6.0, 12.0, 20.0)
GHOST_SHARE = (0.2, 0.5, 0.9)
"""Share of detections that have a ghost: farther, as over a second mirror, weaker, on the other side."""
GHOST_LOSS_DB = 6.0
CLUTTER_SHARE = (0.125, 0.25, 0.5)
"""Detections of standing clutter over the radar's room for detections."""
CLUTTER_SNR_DB = (12.0, 25.0)


def least_snr_db(radar: Radar) -> float:
    """What a detection needs at the radar's false-alarm rate: its power is above -ln(Pfa) in units of the noise."""
    return 10.0 * math.log10(-math.log(radar.false_alarm_rate) - 1.0)


def spoil_radar(
    frames: RadarFrames, radar: Radar, number: int, worlds: Tensor, levels: Levels, draws: Draws, ego_velocity_mps: Tensor
) -> None:
    """Apply the faults of one radar in some worlds, in place.

    Args:
        frames: Of B worlds and K radars.
        radar: Its settings.
        number: Which of the K.
        worlds: Which worlds, (N,).
        levels: Severity by kind there, (N,) each.
        draws: The radar's random numbers there.
        ego_velocity_mps: The car's velocity in its own frame, ahead and left, (N, 2).
    """
    found, mask = frames.detections[worlds, number], frames.mask[worlds, number]  # (N, D, 6), (N, D)
    more = []
    if FaultKind.GHOSTS in levels:
        more.append((*_ghosts(found, mask, radar, levels[FaultKind.GHOSTS], draws), Origin.GHOST))
    if FaultKind.CLUTTER in levels:
        more.append((*_clutter(radar, levels[FaultKind.CLUTTER], draws, ego_velocity_mps), Origin.CLUTTER))
    own = mask.shape[1]
    origin = torch.cat([frames.origin[worlds, number], *(torch.full_like(part[1], part[2], dtype=torch.int8) for part in more)], 1)
    found = torch.cat([found, *(part[0] for part in more)], 1)
    mask = torch.cat([mask, *(part[1] for part in more)], 1)
    found, mask = _mismeasured(found, mask, radar, levels, draws)
    order = torch.where(mask, found[..., SNR], -math.inf).sort(dim=1, descending=True, stable=True).indices[:, :own]
    _write(frames, worlds, number, order, found, mask)
    frames.origin[worlds, number] = origin.gather(1, order) * mask.gather(1, order)


def _write(frames: RadarFrames, worlds: Tensor, number: int, order: Tensor, found: Tensor, mask: Tensor) -> None:
    """Put the strongest detections into the frame, with what else it tells of each; added ones have no actor."""
    kept, rows = mask.gather(1, order), torch.arange(len(order))[:, None]
    old, own = order.clamp(max=frames.mask.shape[2] - 1), order < frames.mask.shape[2]
    for field in fields(frames):
        values = getattr(frames, field.name)
        if field.name in ("detections", "mask") or values.shape[:3] != frames.mask.shape:
            continue
        moved = values[worlds, number][rows, old]
        blank = torch.full_like(moved, -1 if field.name == "actor" else 0)
        there = (own & kept).reshape(*own.shape, *[1] * (moved.ndim - 2))
        values[worlds, number] = torch.where(there, moved, blank)
    frames.detections[worlds, number] = torch.where(kept[..., None], found[rows, order], 0.0)
    frames.mask[worlds, number] = kept


def _mismeasured(found: Tensor, mask: Tensor, radar: Radar, levels: Levels, draws: Draws) -> tuple[Tensor, Tensor]:
    """Lose detections, and measure those that are left wrongly."""
    found = found.clone()
    if FaultKind.INTERFERENCE in levels:
        found[..., SNR] -= _chosen(NOISE_RISE_DB, levels[FaultKind.INTERFERENCE])
        mask = mask & ((levels[FaultKind.INTERFERENCE][:, None] == 0) | (found[..., SNR] >= least_snr_db(radar)))
    if FaultKind.SECTOR in levels:
        width = _chosen(SECTOR_SHARE, levels[FaultKind.SECTOR]) * radar.horizontal_fov_rad
        middle = (draws.of_episode(FaultKind.SECTOR, 1) - 0.5) * (radar.horizontal_fov_rad - width)
        mask = mask & ((width == 0.0) | ((found[..., AZIMUTH] - middle).abs() > 0.5 * width))
    if FaultKind.RANGE_NOISE in levels:
        error = 2.0 * draws.uniform(FaultKind.RANGE_NOISE, mask.shape[1]) - 1.0
        most = _chosen(RANGE_ERROR_M, levels[FaultKind.RANGE_NOISE])
        wrong = (found[..., RANGE] + most * error).clamp(NEAREST_M, radar.max_range_m)
        found[..., RANGE] = torch.where(most > 0.0, wrong, found[..., RANGE])
    if FaultKind.DOPPLER_BIAS in levels:
        sign = torch.where(draws.of_episode(FaultKind.DOPPLER_BIAS, 1) < 0.5, -1.0, 1.0)
        found[..., DOPPLER] += sign * _chosen(DOPPLER_BIAS_MPS, levels[FaultKind.DOPPLER_BIAS])
    if FaultKind.ALIASING in levels:
        level = levels[FaultKind.ALIASING]
        most = torch.tensor((1.0, *AMBIGUITY_MPS))[level][:, None]
        folded = torch.remainder(found[..., DOPPLER] + most, 2.0 * most) - most
        found[..., DOPPLER] = torch.where(level[:, None] > 0, folded, found[..., DOPPLER])
    return found, mask


def _chosen(values: tuple[float, ...], level: Tensor) -> Tensor:
    """The number for each world's severity, 0 without, (N, 1)."""
    return torch.tensor((0.0, *values))[level][:, None]


def _ghosts(found: Tensor, mask: Tensor, radar: Radar, level: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Detections of what is not there, one for some of the real ones."""
    drawn = draws.uniform(FaultKind.GHOSTS, 3 * mask.shape[1]).reshape(-1, 3, mask.shape[1])
    ghosts = found.clone()
    ghosts[..., RANGE] = found[..., RANGE] * (1.1 + 0.9 * drawn[:, 1])
    ghosts[..., AZIMUTH] = -found[..., AZIMUTH] * (0.5 + drawn[:, 2])
    ghosts[..., SNR] -= GHOST_LOSS_DB
    ghosts[..., RCS] -= GHOST_LOSS_DB
    seen = (ghosts[..., RANGE] <= radar.max_range_m) & (ghosts[..., AZIMUTH].abs() <= 0.5 * radar.horizontal_fov_rad)
    return ghosts, mask & seen & (drawn[:, 0] < _chosen(GHOST_SHARE, level))


def _clutter(radar: Radar, level: Tensor, draws: Draws, ego_velocity_mps: Tensor) -> tuple[Tensor, Tensor]:
    """Detections of things that stand about, near ones more often: their Doppler is the car's own speed towards them."""
    room = max(1, round(max(CLUTTER_SHARE) * radar.detections))
    drawn = draws.uniform(FaultKind.CLUTTER, 3 * room).reshape(-1, 3, room)
    clutter = torch.zeros((len(level), room, len(RADAR_FEATURES)))
    clutter[..., RANGE] = NEAREST_M + (radar.max_range_m - NEAREST_M) * drawn[:, 0] ** 2
    clutter[..., AZIMUTH] = (drawn[:, 1] - 0.5) * radar.horizontal_fov_rad
    direction = clutter[..., AZIMUTH] + radar.mount.yaw_rad
    clutter[..., DOPPLER] = -(ego_velocity_mps[:, :1] * direction.cos() + ego_velocity_mps[:, 1:] * direction.sin())
    clutter[..., SNR] = CLUTTER_SNR_DB[0] + (CLUTTER_SNR_DB[1] - CLUTTER_SNR_DB[0]) * drawn[:, 2]
    clutter[..., RCS] = -10.0 + 10.0 * drawn[:, 2]
    count = torch.tensor((0, *(max(1, round(share * radar.detections)) for share in CLUTTER_SHARE)))[level]
    return clutter, torch.arange(room) < count[:, None]


HANDLED = (
    FaultKind.GHOSTS,
    FaultKind.CLUTTER,
    FaultKind.INTERFERENCE,
    FaultKind.SECTOR,
    FaultKind.RANGE_NOISE,
    FaultKind.DOPPLER_BIAS,
    FaultKind.ALIASING,
)
