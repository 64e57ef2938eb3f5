"""Look-ahead: how near others would come, for some speeds that the ego could take up and each way that its lane may go on.

Everybody else is taken to keep its velocity, so the ego is told the consequence of braking, going on and speeding up for the next seconds
instead of having to work it out from positions and velocities: on crossing traffic a network finds that out only slowly by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from drive_fusion.privileged.lanes import BRANCHES, LaneGuide, Place
from sensors.scene import Scene

MOMENTS_S = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
SPEED_CHANGES_MPS = (-9.0, -4.5, 0.0, 4.5)
"""What the ego might change its speed by; never below standing. highway-env's steps at junctions are 4.5 m/s, on highways 5."""
RESPONSE_S = 0.6
"""Time constant of highway-env's speed controller (``ControlledVehicle.TAU_ACC``)."""
NEAR_M, FURTHEST_M = 10.0, 20.0
"""What is 1 in the vector, and what counts as free."""
CLEARANCES = BRANCHES * len(SPEED_CHANGES_MPS) * len(MOMENTS_S)


def clearances(scene: Scene, guide: LaneGuide, place: Place) -> Tensor:
    """Distance from the ego's middle to the nearest other's, (B, CLEARANCES), by way, change of speed and moment; scaled by NEAR_M.

    Args:
        scene: Of the guide's map.
        guide: Knows where lanes lead.
        place: Where the egos stand.
    """
    moment_s = torch.tensor(MOMENTS_S, dtype=torch.float64, device=scene.device)
    speed_mps = scene.speed_mps[:, :1].double()  # (B, 1)
    wanted_mps = (speed_mps + torch.tensor(SPEED_CHANGES_MPS, dtype=torch.float64, device=scene.device)).clamp(min=0.0)  # (B, V)
    lag_m = (speed_mps - wanted_mps) * RESPONSE_S
    further_m = wanted_mps[..., None] * moment_s + lag_m[..., None] * (1.0 - (-moment_s / RESPONSE_S).exp())  # (B, V, M)
    ways = [guide.points(place, further_m.flatten(1), torch.full_like(place.lane, 1 + branch)) for branch in range(BRANCHES)]
    ego_m = (torch.stack(ways, 1) - scene.position_m[:, None, :1]).float().view(-1, BRANCHES, *further_m.shape[1:], 2)  # (B, W, V, M, 2)
    others_m = (scene.position_m[:, 1:] - scene.position_m[:, :1]).float()[:, :, None] + (
        scene.velocity_mps[:, 1:].float()[:, :, None] * moment_s.float()[:, None]
    )  # (B, A - 1, M, 2)
    others_m = torch.where(scene.valid[:, 1:, None, None], others_m, 1e6)
    apart = torch.cdist(ego_m.permute(0, 3, 1, 2, 4).flatten(2, 3), others_m.transpose(1, 2), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = apart.amin(-1) if apart.shape[-1] else apart.new_full(apart.shape[:-1], FURTHEST_M)  # (B, M, W * V)
    return (nearest.clamp(max=FURTHEST_M) / NEAR_M).transpose(1, 2).flatten(1)
