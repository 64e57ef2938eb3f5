"""What a memory is, and which kinds there are. The config key `temporal` names the kind.

A memory takes T instants of B worlds at once. A map memory stands between spatial fusion and the neck, a vector memory after the neck. What
it carries from one call to the next is a dict of float32 tensors, one row a world; at an episode's start the row counts as zero.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

State = dict[str, Tensor]
Temporal = Literal["none", "gru"]


class Memory(nn.Module):
    """What every kind offers."""

    shapes: dict[str, tuple[int, ...]]
    """Shape of each part of a world's state."""

    def forward(self, seen: Tensor, state: State, starts: Tensor) -> tuple[Tensor, State]:
        """Remember.

        Args:
            seen: (T, B, ...), what the spatial part made of each instant.
            state: What came before the first instant, (B, *shape) each.
            starts: (T, B) bool: here a new episode begins, and nothing from before counts.

        Returns:
            What is passed on, (T, B, ...), and the state after the last instant.
        """
        raise NotImplementedError


def cleared(state: Tensor, starts: Tensor) -> Tensor:
    """A state (B, ...) with zero rows where ``starts`` (B,) is true."""
    return state.masked_fill(starts.view(-1, *([1] * (state.ndim - 1))), 0.0)
