"""What spatial fusion is given."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

RADAR_POINT_FEATURES = 12

Look = dict[str, Tensor]
"""Where a layer puts what it looked at, when somebody wants to see it."""


class RadarPoints(NamedTuple):
    """Every radar detection of B worlds, R each; numbers are zero where ``there`` is false."""

    xy_m: Tensor  # (B, R, 2) in the ego frame
    velocity_mps: Tensor  # (B, R, 2) over ground, along the line of sight: what a radar sees of it
    features: Tensor  # (B, R, RADAR_POINT_FEATURES)
    there: Tensor  # (B, R) bool


class Seen(NamedTuple):
    """One instant of B worlds, as M modalities saw it."""

    maps: list[Tensor]  # M of (B, W, X, Y); a learned one where the modality is dead
    age_s: Tensor  # (B, M) mean over its live sensors
    present: Tensor  # (B, M) bool
    speed_mps: Tensor  # (B,) of the ego
    points: RadarPoints | None  # only for fusions that want them, and only of rigs with radar
