"""Stacked frames: the last few maps side by side, as they were seen (Mnih et al. 2015 stack four frames)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drive_fusion.layers import norm
from drive_fusion.memory.kinds import Memory, State, same_episode

FRAMES = 4


class StackMemory(Memory):
    """Four maps into one 3 x 3 layer; a frame from before the episode is zero."""

    def __init__(self, width: int, cells: tuple[int, int]):
        super().__init__()
        self.shapes = {"frames": (FRAMES - 1, width, *cells)}
        self.mix = nn.Conv2d(FRAMES * width, width, 3, padding=1, bias=False)
        self.norm = nn.Sequential(norm(width), nn.ReLU(inplace=True))

    def forward(self, seen: Tensor, state: State, starts: Tensor, motion: Tensor) -> tuple[Tensor, State]:
        """Remember maps (T, B, W, X, Y): the same shape."""
        frames = torch.cat((state["frames"].to(seen.dtype).transpose(0, 1), seen))  # (3 + T, B, W, X, Y)
        belongs = same_episode(starts, FRAMES - 1)  # (T, B, 4)
        steps = len(seen)
        stacked = torch.cat([_only(frames[lag : lag + steps], belongs[..., lag]) for lag in range(FRAMES)], 2)  # (T, B, 4 W, X, Y)
        mixed = self.norm(self.mix(stacked.flatten(0, 1))).unflatten(0, seen.shape[:2])
        kept = frames[steps:].transpose(0, 1).masked_fill(~belongs[-1, :, 1:, None, None, None], 0.0)
        return mixed, {"frames": kept.float()}


def _only(frames: Tensor, there: Tensor) -> Tensor:
    """Frames (T, B, W, X, Y), with zeros where ``there`` (T, B) is false; no copy where it is true throughout."""
    return frames if bool(there.all()) else frames.masked_fill(~there[..., None, None, None], 0.0)
