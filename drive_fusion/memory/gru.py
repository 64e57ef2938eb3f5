"""CNN and RNN: a GRU on the feature vector, without a map (Cho et al. 2014; Hausknecht and Stone 2015 for driving a policy by it)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drive_fusion.memory.kinds import Memory, State, cleared, precise


class GruMemory(Memory):
    """A GRU over the features; what it remembers is appended to them."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.shapes = {"hidden": (width,)}
        self.cell = nn.GRUCell(features, width)

    def forward(self, seen: Tensor, state: State, starts: Tensor, motion: Tensor) -> tuple[Tensor, State]:
        """Remember features (T, B, F): (T, B, F + H)."""
        inputs = nn.functional.linear(seen, self.cell.weight_ih, self.cell.bias_ih)  # (T, B, 3 H), for all instants at once
        hidden, remembered = precise(state["hidden"], inputs), []
        for fresh, start in zip(inputs.unbind(0), starts.unbind(0), strict=True):
            hidden = self._step(fresh, cleared(hidden, start))
            remembered.append(hidden)
        return torch.cat((seen, torch.stack(remembered)), -1), {"hidden": hidden.float()}

    def _step(self, fresh: Tensor, hidden: Tensor) -> Tensor:
        """One step of `torch.nn.GRUCell`, whose formulas these are."""
        fresh_reset, fresh_update, fresh_new = fresh.chunk(3, -1)
        old = nn.functional.linear(hidden, self.cell.weight_hh, self.cell.bias_hh)
        old_reset, old_update, old_new = old.chunk(3, -1)
        new = torch.tanh(fresh_new + torch.sigmoid(fresh_reset + old_reset) * old_new)
        return torch.lerp(precise(new, hidden), hidden, precise(torch.sigmoid(fresh_update + old_update), hidden))
