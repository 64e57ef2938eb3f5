"""Fusion by concatenation, and by a weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drive_fusion.fusion.seen import Look, Seen
from drive_fusion.layers import norm


class ConcatFusion(nn.Module):
    """Maps side by side, then one 3 x 3 layer from M * W to W channels (Liu et al. 2022, BEVFusion)."""

    def __init__(self, modalities: int, width: int):
        super().__init__()
        self.mix = nn.Conv2d(modalities * width, width, 3, padding=1, bias=False)
        self.age = nn.Linear(modalities, width, bias=False)
        self.norm = nn.Sequential(norm(width), nn.ReLU(inplace=True))

    def forward(self, seen: Seen, look: Look | None = None) -> Tensor:
        """Fuse: (B, W, X, Y). A modality's age acts as one more input channel would, constant over the grid."""
        fused = self.mix(torch.cat(seen.maps, 1))
        if bool(seen.age_s.any()):
            fused = fused + self.age(seen.age_s)[:, :, None, None]
        result: Tensor = self.norm(fused)
        return result


class SumFusion(nn.Module):
    """A sum with learned weights for each modality and channel, which add up to 1 (Wang et al. 2024, UniBEV), then one 3 x 3 layer.

    A modality that is dead has weights of its own, for the learned map that stands in: they tell how far to rely on the others.
    """

    def __init__(self, modalities: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, modalities, width))  # dead, alive
        self.mix = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.age = nn.Linear(modalities, width, bias=False)
        self.norm = nn.Sequential(norm(width), nn.ReLU(inplace=True))

    def forward(self, seen: Seen, look: Look | None = None) -> Tensor:
        """Fuse: (B, W, X, Y)."""
        share = torch.where(seen.present[..., None], self.weight[1], self.weight[0]).softmax(1)  # (B, M, W)
        total = sum(found * part[:, :, None, None] for found, part in zip(seen.maps, share.unbind(1), strict=True))
        if look is not None:
            look["share"] = share.mean(2)
        result: Tensor = self.norm(self.mix(total) + self.age(seen.age_s)[:, :, None, None])
        return result
