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
        mixed = self.mix(torch.cat(seen.maps, 1)) + self.age(seen.age_s)[:, :, None, None]
        asking = nn.functional.avg_pool2d(mixed, 2, ceil_mode=True) + self.place  # (B, W, X / 2, Y / 2)
        tokens = asking.flatten(2).transpose(1, 2)  # (B, Q, W)
        for layer in self.layers:
            tokens = layer(tokens, seen.maps, seen.present, look)
        answers = tokens.transpose(1, 2).reshape(asking.shape)
        answers = nn.functional.interpolate(answers, scale_factor=2.0)[..., : mixed.shape[2], : mixed.shape[3]]
        if look is not None:
            look["attention"] = look["attention"].unflatten(2, asking.shape[2:])
        result: Tensor = self.norm(mixed + answers)
        return result


class MapAttention(nn.Module):
    """One layer: Q queries look at P places a head in each of M maps; then a feed-forward part."""

    reference: Tensor

    def __init__(self, modalities: int, width: int, heads: int, samples: int, cells: tuple[int, int]):
        super().__init__()
        self.modalities, self.heads, self.samples = modalities, heads, samples
        self.before = nn.LayerNorm(width)
        self.value = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(modalities))
        self.offset = nn.Linear(width, heads * modalities * samples * 2)
        self.score = nn.Linear(width, heads * (modalities * samples + 1))
        self.after = nn.Linear(width, width)
        self.feed_forward = FeedForward(width)
        self.register_buffer("reference", reference_points(*cells), persistent=False)
        self.register_buffer("cell", 2.0 / torch.tensor([float(cells[1]), float(cells[0])]), persistent=False)
        nn.init.zeros_(self.offset.weight)
        with torch.no_grad():
            self.offset.bias.copy_(_star(heads, modalities, samples).flatten())

    def forward(self, tokens: Tensor, maps: list[Tensor], present: Tensor, look: Look | None = None) -> Tensor:
        """Ask.

        Args:
            tokens: Queries, (B, Q, W).
            maps: M of (B, W, X, Y).
            present: (B, M) bool; the others are not looked at.
            look: Gets how much each query attends to each modality, (B, M, Q).

        Returns:
            (B, Q, W).
        """
        worlds, queries, width = tokens.shape
        heads, kinds, samples = self.heads, self.modalities, self.samples
        asked = self.before(tokens)
        score = self.score(asked).view(worlds, queries, heads, -1)
        masked = score[..., 1:].unflatten(3, (kinds, samples)).masked_fill(~present[:, None, None, :, None], -math.inf)
        weight = torch.cat((score[..., :1], masked.flatten(3)), 3).softmax(3)[..., 1:].unflatten(3, (kinds, samples))
        offset = self.offset(asked).view(worlds, queries, heads, kinds, samples, 2)
        place = self.reference[:, None, None, None] + offset * self.cell  # (B, Q, heads, M, P, 2)
        value = torch.stack([project(found) for project, found in zip(self.value, maps, strict=True)], 1)
        value = value.unflatten(2, (heads, width // heads)).transpose(1, 2)  # (B, heads, M, W / heads, X, Y)
        found = nn.functional.grid_sample(
            value.flatten(0, 2), place.permute(0, 2, 3, 1, 4, 5).flatten(0, 2), align_corners=False
        )  # (B heads M, W / heads, Q, P)
        found = found * weight.permute(0, 2, 3, 1, 4).reshape(-1, 1, queries, samples)
        answer = found.sum(3).view(worlds, heads, kinds, width // heads, queries).sum(2)  # (B, heads, W / heads, Q)
        if look is not None:
            look["attention"] = weight.mean(2).sum(3).transpose(1, 2)
        tokens = tokens + self.after(answer.flatten(1, 2).transpose(1, 2))
        result: Tensor = self.feed_forward(tokens)
        return result


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
