"""Auxiliary heads: in training, the network also tells what a simulator knows, so that its maps come to mean something early.

They hang on what `FusedExtractor.unroll_open` shows, and are thrown away after training.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from drive_fusion.extractor import FusedExtractor, Inside
from drive_fusion.heads.labels import UNKNOWN, Cell, Labels, fault_columns
from drive_fusion.layers import conv
from sensors.errors import ConfigError
from sensors.rig import Rig

OCCUPIED_WEIGHT = 8.0
"""A cell with a car weighs as much as so many without: cars are rare."""
FAST_MPS = 10.0
"""Velocities are learned in units of this."""


@dataclass(frozen=True)
class AuxiliaryWeights:
    """How much each lesson counts in the sum; 0 leaves it out."""

    occupancy: float = 1.0
    """What is occupied now."""
    occupancy_later: float = 1.0
    """What will be occupied in a second."""
    velocity: float = 0.5
    """How fast what is there moves."""
    ground: float = 0.5
    """Road, line, vehicle, obstacle."""
    depth: float = 0.2
    """How far what a pixel shows is away."""
    faults: float = 0.2
    """What is wrong with which sensor."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= 0.0:
                raise ConfigError(f"AuxiliaryWeights.{field.name} is {getattr(self, field.name)}, expected 0 or more")


class AuxiliaryHeads(nn.Module):
    """Heads on the fused map and on the features of one extractor."""

    def __init__(self, extractor: FusedExtractor, rig: Rig, weights: AuxiliaryWeights | None = None):
        """Build heads.

        Args:
            extractor: Whose maps and features are read.
            rig: Its rig.
            weights: What counts how much.

        Raises:
            ConfigError: The rig has no sensors, and so there is no map to read.
        """
        super().__init__()
        if not rig.num_sensors:
            raise ConfigError(f"rig {rig.name!r} has no sensors: there is no map for auxiliary heads to read")
        self.weights = weights or AuxiliaryWeights()
        width = extractor.size.width
        self.map = nn.Sequential(*conv(width, 2 * width), nn.Conv2d(2 * width, 4 + len(Cell), 1))
        self.faults = nn.Linear(extractor.features_dim, len(fault_columns(rig)))

    def forward(self, features: Tensor, inside: Inside) -> dict[str, Tensor]:
        """Tell.

        Args:
            features: (N, F), flattened over instants and worlds.
            inside: What ``unroll_open`` showed of the same N.

        Returns:
            Logits ``occupancy`` and ``occupancy_later`` (N, X, Y), ``velocity_mps`` (N, 2, X, Y), logits ``ground`` (N, Cell, X, Y) and
            ``faults`` (N, columns), and, with cameras, log-likelihoods ``depth`` (N, K, D, h * w).
        """
        assert inside.fused is not None
        now, later, velocity, ground = self.map(inside.fused).split((1, 1, 2, len(Cell)), 1)
        told = {"occupancy": now[:, 0], "occupancy_later": later[:, 0], "velocity_mps": FAST_MPS * velocity, "ground": ground}
        told["faults"] = self.faults(features)
        if inside.depth is not None:
            told["depth"] = inside.depth.clamp(min=1e-6).log()
        return told

    def losses(self, features: Tensor, inside: Inside, labels: Labels) -> dict[str, Tensor]:
        """How wrong each lesson is; scalars by the names of `AuxiliaryWeights`, before weighting."""
        told = self(features, inside)
        weight = told["occupancy"].new_tensor(OCCUPIED_WEIGHT)
        later = functional.binary_cross_entropy_with_logits(
            told["occupancy_later"], labels.occupied_later.float(), pos_weight=weight, reduction="none"
        )
        moving = labels.occupied[:, None].float()
        error = functional.smooth_l1_loss(told["velocity_mps"] / FAST_MPS, labels.velocity_mps / FAST_MPS, reduction="none")
        losses = {
            "occupancy": functional.binary_cross_entropy_with_logits(told["occupancy"], labels.occupied.float(), pos_weight=weight),
            "occupancy_later": (later.mean((1, 2)) * labels.later_known).sum() / labels.later_known.sum().clamp(min=1),
            "velocity": (error * moving).sum() / (2.0 * moving.sum()).clamp(min=1.0),
            "ground": functional.cross_entropy(told["ground"], labels.cell),
            "faults": functional.binary_cross_entropy_with_logits(told["faults"], labels.faulty.float()),
        }
        if "depth" in told:
            known = labels.depth_bin != UNKNOWN
            likely = told["depth"].gather(2, labels.depth_bin.clamp(min=0)[:, :, None])[:, :, 0]
            losses["depth"] = -(likely * known).sum() / known.sum().clamp(min=1)
        return losses

    def loss(self, features: Tensor, inside: Inside, labels: Labels) -> Tensor:
        """The weighted sum of the lessons, a scalar."""
        losses = self.losses(features, inside, labels)
        total: Tensor = torch.stack([getattr(self.weights, name) * value for name, value in losses.items()]).sum()
        return total
