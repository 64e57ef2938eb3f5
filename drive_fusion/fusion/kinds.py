"""Spatial fusion: the modalities' bird's-eye maps become one. The config key `spatial` names the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from drive_fusion.fusion.attention import AttentionFusion
from drive_fusion.fusion.concat import ConcatFusion, SumFusion
from drive_fusion.fusion.graph import GraphFusion
from drive_fusion.sizes import ModelSize
from sensors.errors import unknown_name

Spatial = Literal["concat", "sum", "attention", "graph", "hybrid"]
"""``graph`` is a graph on top of ``concat``, ``hybrid`` one on top of ``attention``; with the memory ``conv_gru`` it is the full hybrid."""
WITH_POINTS = ("graph", "hybrid")
"""The kinds that want single radar detections besides the maps."""

_KINDS: dict[str, Callable[[int, ModelSize], nn.Module]] = {
    "concat": lambda modalities, size: ConcatFusion(modalities, size.width),
    "sum": lambda modalities, size: SumFusion(modalities, size.width),
    "attention": AttentionFusion,
    "graph": lambda modalities, size: GraphFusion(ConcatFusion(modalities, size.width), size),
    "hybrid": lambda modalities, size: GraphFusion(AttentionFusion(modalities, size), size),
}


def spatial_fusion(spatial: str, modalities: int, size: ModelSize) -> nn.Module:
    """Build the fusion that a config names.

    Args:
        spatial: One of `Spatial`.
        modalities: M, how many maps come in.
        size: Widths and counts.

    Raises:
        ConfigError: There is no such fusion.
    """
    if spatial not in _KINDS:
        raise unknown_name("spatial fusion", spatial, get_args(Spatial))
    return _KINDS[spatial](modalities, size)


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
