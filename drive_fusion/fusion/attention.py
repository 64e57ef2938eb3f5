"""Fusion by attention: each place of the bird's-eye view asks each modality's map at places of its choice.

Deformable attention (Zhu et al. 2021, equation 2) with the modalities in the place of the levels. A dead modality is masked out of the
softmax; beside the samples there is always the choice to look at nothing, so that nothing alive is no special case.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from drive_fusion.fusion.seen import Look, Seen
from drive_fusion.layers import FeedForward, norm
from drive_fusion.sizes import ModelSize


class AttentionFusion(nn.Module):
    """A 1 x 1 mix of the maps asks, at half its resolution; the answers are added to it."""

    def __init__(self, modalities: int, size: ModelSize):
        super().__init__()
        grid, width = size.feature_grid, size.width
        self.mix = nn.Conv2d(modalities * width, width, 1, bias=False)
        self.age = nn.Linear(modalities, width, bias=False)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, -(-grid.x_cells // 2), -(-grid.y_cells // 2)))
        self.layers = nn.ModuleList(
            MapAttention(modalities, width, size.heads, size.samples, (grid.x_cells, grid.y_cells)) for _ in range(size.attention_layers)
        )
        self.norm = nn.Sequential(norm(width), nn.ReLU(inplace=True))

    def forward(self, seen: Seen, look: Look | None = None) -> Tensor:
        """Fuse: (B, W, X, Y)."""
        maps = torch.cat(seen.maps, 1)
        mixed = self.mix(maps) + self.age(seen.age_s)[:, :, None, None]
        asking = nn.functional.avg_pool2d(mixed, 2, ceil_mode=True) + self.place  # (B, W, X / 2, Y / 2)
        tokens = asking.flatten(2).transpose(1, 2)  # (B, Q, W)
        for layer in self.layers:
            tokens = layer(tokens, maps, seen.present, look)
        answers = tokens.transpose(1, 2).reshape(asking.shape)
        answers = nn.functional.interpolate(answers, scale_factor=2.0)[..., : mixed.shape[2], : mixed.shape[3]]
        if look is not None:
            look["attention"] = torch.unflatten(look["attention"], 2, asking.shape[2:])
        result: Tensor = self.norm(mixed + answers)
        return result


class MapAttention(nn.Module):
    """One layer: Q queries look at P places a head in each of M maps; then a feed-forward part."""

    reference: Tensor

    def __init__(self, modalities: int, width: int, heads: int, samples: int, cells: tuple[int, int]):
        super().__init__()
        self.modalities, self.heads, self.samples = modalities, heads, samples
        self.before = nn.LayerNorm(width)
        self.value = nn.Conv2d(modalities * width, modalities * width, 1, groups=modalities)
        self.offset = nn.Linear(width, heads * modalities * samples * 2)
        self.score = nn.Linear(width, heads * (modalities * samples + 1))
        self.after = nn.Linear(width, width)
        self.feed_forward = FeedForward(width)
        self.register_buffer("reference", reference_points(*cells).mT.contiguous(), persistent=False)  # (2, Q)
        self.register_buffer("cell", 2.0 / torch.tensor([[float(cells[1])], [float(cells[0])]]), persistent=False)
        nn.init.zeros_(self.offset.weight)
        with torch.no_grad():
            self.offset.bias.copy_(_star(heads, modalities, samples).flatten())

    def forward(self, tokens: Tensor, maps: Tensor, present: Tensor, look: Look | None = None) -> Tensor:
        """Ask.

        Args:
            tokens: Queries, (B, Q, W).
            maps: M maps side by side, (B, M * W, X, Y).
            present: (B, M) bool; the others are not looked at.
            look: Gets how much each query attends to each modality, (B, M, Q).

        Returns:
            (B, Q, W).
        """
        worlds, queries, width = tokens.shape
        heads, kinds, samples = self.heads, self.modalities, self.samples
        asked = self.before(tokens).transpose(1, 2)  # queries last: what follows works on long rows
        weight = self._weights(asked, present)  # (B, heads, M, P, Q)
        offset = (self.offset.weight @ asked + self.offset.bias[:, None]).view(worlds, heads, kinds, samples, 2, queries)
        place = (self.reference + offset * self.cell).movedim(4, -1).flatten(0, 2)  # (B heads M, P, Q, 2)
        value = self.value(maps).view(worlds, kinds, heads, width // heads, *maps.shape[2:]).transpose(1, 2).flatten(0, 2)
        found = nn.functional.grid_sample(value, place, align_corners=False)  # (B heads M, W / heads, P, Q)
        found = found.view(worlds, heads, kinds, width // heads, samples, queries) * weight[:, :, :, None]
        answer = found.sum((2, 4)).flatten(1, 2)  # (B, W, Q)
        if look is not None:
            look["attention"] = weight.mean(1).sum(2)
        result: Tensor = self.feed_forward(tokens + self.after(answer.transpose(1, 2)))
        return result

    def _weights(self, asked: Tensor, present: Tensor) -> Tensor:
        """How much each sample counts, (B, heads, M, P, Q); the rest to 1 goes to nothing."""
        worlds, queries = asked.shape[0], asked.shape[2]
        score = (self.score.weight @ asked + self.score.bias[:, None]).view(worlds, self.heads, -1, queries)
        dead = ~present.repeat_interleave(self.samples, 1)[:, None, :, None]  # (B, 1, M P, 1)
        masked = torch.cat((score[:, :, :1], score[:, :, 1:].masked_fill(dead, -math.inf)), 2)
        return masked.softmax(2)[:, :, 1:].reshape(worlds, self.heads, self.modalities, self.samples, queries)


def reference_points(x_cells: int, y_cells: int) -> Tensor:
    """Where the queries stand in grid_sample's coordinates, last axis first: centres of 2 x 2 cells, (Q, 2)."""
    down = (2.0 * torch.arange(-(-x_cells // 2)) + 1.0) * 2.0 / x_cells - 1.0
    along = (2.0 * torch.arange(-(-y_cells // 2)) + 1.0) * 2.0 / y_cells - 1.0
    rows, columns = torch.meshgrid(down, along, indexing="ij")
    return torch.stack((columns, rows), -1).flatten(0, 1)


def _star(heads: int, modalities: int, samples: int) -> Tensor:
    """Offsets to begin with, in cells: each head in a direction of its own, each sample one cell further, (heads, M, P, 2)."""
    angle = 2.0 * math.pi * torch.arange(heads) / heads
    steps = torch.arange(samples).float()
    direction = torch.stack((angle.cos(), angle.sin()), -1)  # (heads, 2)
    return (direction[:, None, None] * steps[:, None]).expand(heads, modalities, samples, 2)
