"""What a memory is, and which kinds there are. The config key `temporal` names the kind.

A memory takes T instants of B worlds at once. A map memory stands between spatial fusion and the neck, a vector memory after the neck. What
it carries from one call to the next is a dict of float32 tensors, one row a world; at an episode's start the row counts as zero.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

State = dict[str, Tensor]
Temporal = Literal["none", "stack", "gru", "conv_gru", "transformer"]


class Memory(nn.Module):
    """What every kind offers."""

    shapes: dict[str, tuple[int, ...]]
    """Shape of each part of a world's state."""

    def forward(self, seen: Tensor, state: State, starts: Tensor, motion: Tensor) -> tuple[Tensor, State]:
        """Remember.

        Args:
            seen: (T, B, ...), what the spatial part made of each instant.
            state: What came before the first instant, (B, *shape) each.
            starts: (T, B) bool: here a new episode begins, and nothing from before counts.
            motion: The ego's speed [m/s] and yaw rate [rad/s], (T, B, 2).

        Returns:
            What is passed on, (T, B, ...), and the state after the last instant.
        """
        raise NotImplementedError


def cleared(state: Tensor, starts: Tensor) -> Tensor:
    """A state (B, ...) with zero rows where ``starts`` (B,) is true."""
    return state.masked_fill(starts.view(-1, *([1] * (state.ndim - 1))), 0.0)


def same_episode(starts: Tensor, before: int) -> Tensor:
    """Which of the instants up to each one belong to its episode.

    Args:
        starts: (T, B) bool.
        before: How many earlier instants count, L - 1.

    Returns:
        (T, B, L) bool, oldest first, the instant itself last. Instants from before the first, which only a state knows, count as of the
        episode that the stretch begins in.
    """
    episode = starts.long().cumsum(0)
    known = torch.cat((episode.new_zeros(before, episode.shape[1]), episode))
    return known.unfold(0, before + 1, 1) == episode[..., None]


def precise(values: Tensor, like: Tensor) -> Tensor:
    """At least float32, whatever autocast computes in: what runs through many steps must not lose its small changes."""
    return values.to(torch.promote_types(like.dtype, torch.float32))
