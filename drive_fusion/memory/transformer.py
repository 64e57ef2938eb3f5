"""Attention over the last eight instants (Vaswani et al. 2017; Parisotto et al. 2020 for reinforcement learning)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drive_fusion.layers import FeedForward
from drive_fusion.memory.kinds import Memory, State, same_episode

FRAMES = 8


class TransformerMemory(Memory):
    """Each instant is a token; the last of a window of eight attends to all of them, and what it learns is appended to the features."""

    def __init__(self, features: int, width: int, heads: int, layers: int):
        super().__init__()
        self.shapes = {"tokens": (FRAMES - 1, width), "known": (FRAMES - 1,)}
        self.token = nn.Linear(features, width)
        self.lag = nn.Parameter(0.02 * torch.randn(FRAMES, width))
        self.layers = nn.ModuleList(TokenAttention(width, heads) for _ in range(layers))
        self.after = nn.LayerNorm(width)

    def forward(self, seen: Tensor, state: State, starts: Tensor, motion: Tensor) -> tuple[Tensor, State]:
        """Remember features (T, B, F): (T, B, F + H)."""
        steps = len(seen)
        fresh = self.token(seen)
        tokens = torch.cat((state["tokens"].to(fresh.dtype).transpose(0, 1), fresh))  # (7 + T, B, H)
        known = torch.cat((state["known"].T > 0.5, torch.ones_like(starts)))  # (7 + T, B)
        belongs = same_episode(starts, FRAMES - 1) & known.unfold(0, FRAMES, 1)  # (T, B, 8)
        window = tokens.unfold(0, FRAMES, 1).transpose(2, 3) + self.lag  # (T, B, 8, H)
        window, mask = window.flatten(0, 1), belongs.flatten(0, 1)
        for number, layer in enumerate(self.layers):
            window = layer(window, mask, only_last=number + 1 == len(self.layers))
        found = self.after(window[:, -1]).unflatten(0, seen.shape[:2])
        kept = belongs[-1, :, 1:]  # (B, 7)
        rows = tokens[steps:].transpose(0, 1).masked_fill(~kept[..., None], 0.0)
        return torch.cat((seen, found), -1), {"tokens": rows.float(), "known": kept.float()}


class TokenAttention(nn.Module):
    """One transformer layer over a window, norms first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.after = nn.Linear(width, width)
        self.feed_forward = FeedForward(width)

    def forward(self, window: Tensor, mask: Tensor, only_last: bool) -> Tensor:
        """Attend.

        Args:
            window: (N, L, H).
            mask: Which instants of each window count, (N, L) bool; the last one always does.
            only_last: Nobody needs the others any more.

        Returns:
            (N, L, H), or (N, 1, H).
        """
        normed = self.before(window)
        asking = slice(-1, None) if only_last else slice(None)
        query = self.query(normed[:, asking]).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (N, heads, L, H / heads)
        key, value = self.key_value(normed).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        result: Tensor = self.feed_forward(window[:, asking] + self.after(found.transpose(1, 2).flatten(2)))
        return result
