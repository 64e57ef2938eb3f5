"""Moving a bird's-eye map along with the car: what was seen from the last place, laid out from the present one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from drive_fusion.bev import BevGrid, cell_centres_m


def moved(before: Tensor, now: Tensor, dt_s: float, share: Tensor | float = 0.5) -> tuple[Tensor, Tensor]:
    """How the car moved between two instants, from its speeds and yaw rates at both: on an arc, with the mean of the speeds.

    Args:
        before: Speed [m/s] and yaw rate [rad/s] at the first instant, (B, 2).
        now: The same at the second, (B, 2).
        dt_s: Time between them.
        share: How much the second yaw rate counts, the first counts the rest. Where steering is held from one decision to the next it is 1:
            the yaw rate at the end is the one that was driven. Where a controller steers in between, a half is near.

    Returns:
        Displacement in the first instant's ego frame, (B, 2), and turn [rad], (B,).
    """
    speed_mps = (before[:, 0] + now[:, 0]) / 2.0
    turn_rad = (before[:, 1] + share * (now[:, 1] - before[:, 1])) * dt_s
    chord_m = speed_mps * dt_s * torch.sinc(turn_rad / (2.0 * math.pi))  # torch's sinc is sin(pi x) / (pi x)
    half = turn_rad / 2.0
    return chord_m[:, None] * torch.stack((half.cos(), half.sin()), -1), turn_rad


def warp(old: Tensor, displacement_m: Tensor, turn_rad: Tensor, grid: BevGrid, centre_m: Tensor | None = None) -> Tensor:
    """Sample a map of the first instant at the places of the second's cells; zero where it did not reach.

    Args:
        old: (B, C, X, Y) in the first instant's ego frame.
        displacement_m: Where the car went in that frame, (B, 2).
        turn_rad: How far it turned, (B,).
        grid: The map's grid.
        centre_m: Its ``cell_centres_m``, for who has them at hand.

    Returns:
        (B, C, X, Y) in the second instant's ego frame.
    """
    (middle_x, half_x), (middle_y, half_y) = (((low + high) / 2.0, (high - low) / 2.0) for low, high in (grid.x_range_m, grid.y_range_m))
    centre_m = cell_centres_m(grid).to(turn_rad) if centre_m is None else centre_m
    x_m, y_m = centre_m.view(grid.x_cells, grid.y_cells, 2).unbind(-1)
    cos, sin = turn_rad.cos()[:, None, None], turn_rad.sin()[:, None, None]
    there_x = cos * x_m - sin * y_m + displacement_m[:, 0, None, None]
    there_y = sin * x_m + cos * y_m + displacement_m[:, 1, None, None]
    place = torch.stack(((there_y - middle_y) / half_y, (there_x - middle_x) / half_x), -1)  # grid_sample wants the last axis first
    return torch.nn.functional.grid_sample(old, place.to(old.dtype), align_corners=False)
