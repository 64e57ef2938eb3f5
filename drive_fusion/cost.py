"""What a network costs: parameters, and multiplications of one frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor

from drive_fusion.extractor import FusedExtractor
from drive_fusion.fusion import Spatial
from drive_fusion.memory import Temporal
from envs.observation import observation_space
from sensors.presets import rig_named
from sensors.rig import Rig

LIKELY_HITS = 0.6
"""Share of a lidar's rays that return something above the road, for the count: more than any scene of ours has."""


@dataclass(frozen=True)
class Cost:
    """Of a `FusedExtractor`, without the policy's heads."""

    parameters: int
    flops: int
    """Of one frame forward, a multiplication and an addition counted as two; element-wise work and scatters are not counted."""

    def __str__(self) -> str:
        """For a table or a model card."""
        return f"{self.parameters / 1e6:.3g} M parameters, {self.flops / 1e9:.3g} GFLOP a frame"


def cost(size: str, spatial: Spatial = "concat", temporal: Temporal = "none", rig: str | Rig | None = None, action_width: int = 5) -> Cost:
    """Count by running one frame.

    Args:
        size: One of `sizes.SIZES`.
        spatial: How the modalities' maps are fused.
        temporal: What is remembered.
        rig: The sensors; by default the rig of the size's name.
        action_width: Numbers of the last action in the ego's observation.
    """
    from torch.utils.flop_counter import FlopCounterMode

    rig = rig_named(size if rig is None else rig)
    space = observation_space(rig, action_width)
    with torch.random.fork_rng(devices=[]):
        extractor = FusedExtractor(space, rig, spatial, size, temporal).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        extractor(some_observation(space))
    return Cost(parameters(extractor), counter.get_total_flops())


def parameters(module: torch.nn.Module) -> int:
    """How many numbers a module learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def some_observation(space: spaces.Dict, worlds: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """An observation with every sensor alive and as many returns as a busy scene, for counting and timing."""
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.rand((worlds, *(part.shape or ())), generator=generator) for name, part in space.spaces.items()}
    if "camera" in found:
        found["camera"] = (255.0 * found["camera"]).to(torch.uint8)
    if "lidar" in found:
        found["lidar"][:, :, 0] = (found["lidar"][:, :, 0] < LIKELY_HITS).float()
    if "radar" in found:
        found["radar"][..., 0] = 1.0
    if "alive" in found:
        found["alive"][:], found["age"][:] = 1.0, 0.0
    return found
