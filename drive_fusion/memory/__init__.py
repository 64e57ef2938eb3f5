"""Sequence fusion: what the driver keeps of the instants before."""

from __future__ import annotations

from typing import get_args

from drive_fusion.memory.gru import GruMemory
from drive_fusion.memory.kinds import Memory, State, Temporal, cleared
from sensors.errors import unknown_name

__all__ = ["Memory", "State", "Temporal", "cleared", "vector_memory"]


def vector_memory(temporal: str, features: int, width: int) -> Memory | None:
    """Build the memory of the feature vector that a config names.

    Args:
        temporal: One of `Temporal`.
        features: F, how many features there are.
        width: H, how much is remembered.

    Returns:
        A memory from F to F + H features; None where nothing is remembered.

    Raises:
        ConfigError: There is no such memory.
    """
    if temporal not in get_args(Temporal):
        raise unknown_name("temporal fusion", temporal, get_args(Temporal))
    return GruMemory(features, width) if temporal == "gru" else None
