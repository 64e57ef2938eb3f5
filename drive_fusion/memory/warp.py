"""Moving a bird's-eye map along with the car: what was seen from the last place, laid out from the present one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from drive_fusion.bev import BevGrid


def moved(before: Tensor, now: Tensor, dt_s: float) -> tuple[Tensor, Tensor]:
    """How the car moved between two instants, from its speeds and yaw rates at both, on an arc of their means.

    Args:
        before: Speed [m/s] and yaw rate [rad/s] at the first instant, (B, 2).
        now: The same at the second, (B, 2).
        dt_s: Time between them.

    Returns:
        Displacement in the first instant's ego frame, (B, 2), and turn [rad], (B,).
    """
    speed_mps, yaw_rate_radps = ((before + now) / 2.0).unbind(-1)
    turn_rad = yaw_rate_radps * dt_s
    chord_m = speed_mps * dt_s * torch.sinc(turn_rad / (2.0 * math.pi))  # torch's sinc is sin(pi x) / (pi x)
    half = turn_rad / 2.0
    return chord_m[:, None] * torch.stack((half.cos(), half.sin()), -1), turn_rad


def warp(old: Tensor, displacement_m: Tensor, turn_rad: Tensor, grid: BevGrid) -> Tensor:
    """Sample a map of the first instant at the places of the second's cells; zero where it did not reach.

    Args:
        old: (B, C, X, Y) in the first instant's ego frame.
        displacement_m: Where the car went in that frame, (B, 2).
        turn_rad: How far it turned, (B,).
        grid: The map's grid.

    Returns:
        (B, C, X, Y) in the second instant's ego frame.
    """
    middle_m = [(low + high) / 2.0 for low, high in (grid.x_range_m, grid.y_range_m)]
    half_m = [(high - low) / 2.0 for low, high in (grid.x_range_m, grid.y_range_m)]
    cos, sin = turn_rad.cos(), turn_rad.sin()
    # A cell at p = middle + half * q, with q in [-1, 1], lay at R p + d; grid_sample wants that in q again, the last axis first.
    there_x = cos * middle_m[0] - sin * middle_m[1] + displacement_m[:, 0] - middle_m[0]
    there_y = sin * middle_m[0] + cos * middle_m[1] + displacement_m[:, 1] - middle_m[1]
    row_y = torch.stack((cos, sin * half_m[0] / half_m[1], there_y / half_m[1]), -1)
    row_x = torch.stack((-sin * half_m[1] / half_m[0], cos, there_x / half_m[0]), -1)
    place = torch.nn.functional.affine_grid(torch.stack((row_y, row_x), 1), list(old.shape), align_corners=False)
    return torch.nn.functional.grid_sample(old, place.to(old.dtype), align_corners=False)
