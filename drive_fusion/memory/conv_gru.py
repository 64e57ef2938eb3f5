"""A GRU in every cell of the bird's-eye map, which is moved along with the car (Ballas et al. 2016, ConvGRU)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drive_fusion.bev import BevGrid, cell_centres_m
from drive_fusion.memory.kinds import Memory, State, cleared, precise
from drive_fusion.memory.warp import moved, warp


class ConvGruMemory(Memory):
    """What is remembered is added to the map."""

    centre_m: Tensor

    def __init__(self, width: int, grid: BevGrid, dt_s: float):
        """Build.

        Args:
            width: W, channels of the map and of what is remembered.
            grid: The map's grid.
            dt_s: Time between instants; 0 leaves the old map where it was.
        """
        super().__init__()
        self.grid, self.dt_s = grid, dt_s
        self.shapes = {"map": (width, grid.x_cells, grid.y_cells), "motion": (2,)}
        self.fresh = nn.Conv2d(width, 3 * width, 3, padding=1)
        self.gates = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.candidate = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.share = (
            nn.Parameter(torch.zeros(())) if dt_s > 0.0 else None
        )  # of ``moved``: which it is depends on the world, so it is learned
        self.register_buffer("centre_m", cell_centres_m(grid), persistent=False)

    def forward(self, seen: Tensor, state: State, starts: Tensor, motion: Tensor) -> tuple[Tensor, State]:
        """Remember maps (T, B, W, X, Y): the same shape."""
        fresh = self.fresh(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])  # (T, B, 3 W, X, Y), for all instants at once
        hidden, before, remembered = precise(state["map"], fresh), state["motion"], []
        for inputs, start, now in zip(fresh.unbind(0), starts.unbind(0), motion.unbind(0), strict=True):
            hidden = self._step(inputs, self._here(cleared(hidden, start), before, now))
            before = now
            remembered.append(hidden)
        return seen + torch.stack(remembered), {"map": hidden.float(), "motion": before.float()}

    def _here(self, hidden: Tensor, before: Tensor, now: Tensor) -> Tensor:
        """The old map, seen from where the car is now."""
        if self.share is None:
            return hidden
        return warp(hidden, *moved(before, now, self.dt_s, self.share.sigmoid()), self.grid, self.centre_m)

    def _step(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        reset, update, new = inputs.chunk(3, 1)
        old_reset, old_update = self.gates(hidden).chunk(2, 1)
        new = torch.tanh(new + self.candidate(torch.sigmoid(reset + old_reset) * hidden))
        return torch.lerp(precise(new, hidden), hidden, precise(torch.sigmoid(update + old_update), hidden))
