"""Spatial fusion: the modalities' bird's-eye maps become one. The config key `spatial` names the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sensors.errors import unknown_name

Spatial = Literal["concat"]


class ConcatFusion(nn.Module):
    """Maps side by side, then one 3 x 3 layer from M * W to W channels (Liu et al. 2022, BEVFusion)."""

    def __init__(self, modalities: int, width: int):
        super().__init__()
        self.mix = nn.Conv2d(modalities * width, width, 3, padding=1, bias=False)
        self.age = nn.Linear(modalities, width, bias=False)
        self.norm = nn.Sequential(nn.GroupNorm(4, width), nn.ReLU(inplace=True))

    def forward(self, maps: list[Tensor], age_s: Tensor) -> Tensor:
        """Fuse.

        Args:
            maps: M maps, each (B, W, X, Y).
            age_s: How old each modality's data is, (B, M). It acts as M more input channels would, each constant over the grid.

        Returns:
            (B, W, X, Y).
        """
        fused = self.mix(torch.cat(maps, 1))
        if bool(age_s.any()):
            fused = fused + self.age(age_s)[:, :, None, None]
        result: Tensor = self.norm(fused)
        return result


_KINDS: dict[str, Callable[[int, int], nn.Module]] = {"concat": ConcatFusion}


def spatial_fusion(spatial: str, modalities: int, width: int) -> nn.Module:
    """Build the fusion that a config names.

    Args:
        spatial: One of `Spatial`.
        modalities: M, how many maps come in.
        width: W, channels of each map and of the result.

    Raises:
        ConfigError: There is no such fusion.
    """
    if spatial not in _KINDS:
        raise unknown_name("spatial fusion", spatial, get_args(Spatial))
    return _KINDS[spatial](modalities, width)


class Missing(nn.Module):
    """A learned map that stands in where a modality has no live sensor."""

    def __init__(self, width: int, x_cells: int, y_cells: int):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(1, width, x_cells, y_cells))

    def forward(self, found: Tensor, present: Tensor) -> Tensor:
        """Replace a modality's map (B, W, X, Y) in the worlds where ``present`` (B,) is false."""
        if bool(present.all()):
            return found  # the common case, spared two walks over the maps
        return torch.where(present[:, None, None, None], found, self.map)
