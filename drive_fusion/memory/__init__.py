"""Sequence fusion: what the driver keeps of the instants before."""

from __future__ import annotations

from typing import get_args

from drive_fusion.memory.conv_gru import ConvGruMemory
from drive_fusion.memory.gru import GruMemory
from drive_fusion.memory.kinds import Memory, State, Temporal
from drive_fusion.memory.stack import StackMemory
from drive_fusion.memory.transformer import TransformerMemory
from drive_fusion.sizes import ModelSize
from sensors.errors import unknown_name

__all__ = ["MAP_KINDS", "Memory", "State", "Temporal", "check_temporal", "map_memory", "vector_memory"]

MAP_KINDS = ("stack", "conv_gru")
"""Memories of the map; the others remember the feature vector."""


def check_temporal(temporal: str) -> None:
    """Refuse a name that is no memory.

    Raises:
        ConfigError: There is no such memory.
    """
    if temporal not in get_args(Temporal):
        raise unknown_name("temporal fusion", temporal, get_args(Temporal))


def vector_memory(temporal: Temporal, features: int, size: ModelSize) -> Memory | None:
    """The memory of the feature vector: from F to F + ``size.memory`` features; None where there is none."""
    if temporal == "gru":
        return GruMemory(features, size.memory)
    if temporal == "transformer":
        return TransformerMemory(features, size.memory, size.heads, size.attention_layers)
    return None


def map_memory(temporal: Temporal, size: ModelSize, decision_s: float) -> Memory | None:
    """The memory of the fused map: from (W, X, Y) to the same; None where there is none."""
    grid = size.feature_grid
    if temporal == "stack":
        return StackMemory(size.width, (grid.x_cells, grid.y_cells))
    if temporal == "conv_gru":
        return ConvGruMemory(size.width, grid, decision_s)
    return None
