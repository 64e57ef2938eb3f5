"""Fusion by a graph: objects as nodes that tell each other where they are and how they move.

Nodes are the ego, the K brightest places of a learned heat map, and every radar detection. An edge goes to each node from its nearest
neighbours and carries their relative position, distance and relative velocity (in the manner of Gao et al. 2020, VectorNet, and Gilmer et
al. 2017, neural message passing). What the nodes know in the end is added to the map at their places.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from drive_fusion.bev import as_map, batch_cells, cell_centres_m, splat_sum
from drive_fusion.fusion.seen import RADAR_POINT_FEATURES, Look, Seen
from drive_fusion.layers import FeedForward
from drive_fusion.sizes import ModelSize

EDGE_FEATURES = 5
STEPS = 1024.0
"""Heat is compared in so many steps a unit: empty places look alike and are equally hot, and which of them counts must not hang on
rounding, which differs from batch to batch."""
FAR_M = 20.0
FAST_MPS = 10.0


class GraphFusion(nn.Module):
    """Another fusion's map, and a graph of objects on top of it."""

    centre_m: Tensor

    def __init__(self, base: nn.Module, size: ModelSize):
        """Build.

        Args:
            base: The fusion whose map names the objects and is enriched by them.
            size: Widths and counts.
        """
        super().__init__()
        self.grid, self.nodes = size.feature_grid, min(size.graph_nodes, size.feature_grid.cells)
        self.neighbours = size.neighbours
        width = size.graph_width
        self.base = base
        self.heat = nn.Conv2d(size.width, 1, 1)
        self.from_map = nn.Linear(size.width, width)
        self.motion = nn.Linear(size.width, 4)
        self.from_radar = nn.Linear(RADAR_POINT_FEATURES, width)
        self.from_ego = nn.Linear(1, width)
        self.layers = nn.ModuleList(Messages(width) for _ in range(size.graph_layers))
        self.to_map = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size.width))
        self.register_buffer("centre_m", cell_centres_m(self.grid), persistent=False)

    def forward(self, seen: Seen, look: Look | None = None) -> Tensor:
        """Fuse: (B, W, X, Y)."""
        fused: Tensor = self.base(seen, look)
        nodes, xy_m, velocity_mps, there = self._gather(fused, seen, look)
        index, near = nearest(xy_m, there, self.neighbours)
        edges = edge_features(xy_m, velocity_mps, index)
        for layer in self.layers:
            nodes = layer(nodes, edges, index, near)
        cell, inside, _, _ = self.grid.locate(xy_m[..., 0], xy_m[..., 1])
        rows = self.to_map(nodes) * (there & inside)[..., None]
        scattered = splat_sum(rows.flatten(0, 1), batch_cells(cell, self.grid.cells), len(fused) * self.grid.cells)
        return fused + as_map(scattered, len(fused), self.grid)

    def _gather(self, fused: Tensor, seen: Seen, look: Look | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The nodes: features (B, N, G), places (B, N, 2), velocities (B, N, 2), and whether they are there (B, N)."""
        heat = self.heat(fused)
        peak, cell = peaks(heat, self.nodes)  # (B, K)
        place = fused.flatten(2).gather(2, cell[:, None].expand(-1, fused.shape[1], -1)).transpose(1, 2)  # (B, K, W)
        motion = self.motion(place)
        half_m = place.new_tensor(self.grid.cell_m) / 2.0
        found = torch.isfinite(peak)
        brightness = torch.where(found, peak, 0.0).sigmoid()[..., None]
        ego = self.from_ego(seen.speed_mps[:, None, None] / 40.0)
        ahead = torch.stack((seen.speed_mps, torch.zeros_like(seen.speed_mps)), -1)[:, None]
        nodes = [ego, self.from_map(place) * brightness]
        xy_m = [torch.zeros_like(ahead), self.centre_m[cell] + motion[..., :2].tanh() * half_m]
        velocity_mps = [ahead, motion[..., 2:] * FAST_MPS]
        there = [torch.ones_like(found[:, :1]), found]
        if seen.points is not None:
            nodes.append(self.from_radar(seen.points.features))
            xy_m.append(seen.points.xy_m)
            velocity_mps.append(seen.points.velocity_mps)
            there.append(seen.points.there)
        if look is not None:
            look |= {"heat": heat[:, 0], "nodes_xy_m": torch.cat(xy_m, 1), "nodes_there": torch.cat(there, 1)}
        return torch.cat(nodes, 1), torch.cat(xy_m, 1), torch.cat(velocity_mps, 1), torch.cat(there, 1)


class Messages(nn.Module):
    """One round: each node averages what its neighbours tell it."""

    def __init__(self, width: int):
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.told = nn.Linear(width, width, bias=False)
        self.heard = nn.Linear(width, width)
        self.edge = nn.Linear(EDGE_FEATURES, width, bias=False)
        self.after = nn.Linear(width, width)
        self.feed_forward = FeedForward(width)

    def forward(self, nodes: Tensor, edges: Tensor, index: Tensor, near: Tensor) -> Tensor:
        """Pass messages.

        Args:
            nodes: (B, N, G).
            edges: (B, N, E, EDGE_FEATURES), from each node's neighbours to it.
            index: Which nodes those are, (B, N, E) int64.
            near: Whether there is such a neighbour, (B, N, E) bool.

        Returns:
            (B, N, G).
        """
        own = self.before(nodes)
        message = nn.functional.silu(take(self.told(own), index) + self.heard(own)[:, :, None] + self.edge(edges))
        count = near.sum(2, keepdim=True).clamp(min=1)
        mean = (message * near[..., None]).sum(2) / count
        result: Tensor = self.feed_forward(nodes + self.after(mean))
        return result


def take(values: Tensor, index: Tensor) -> Tensor:
    """Values (B, N, C) of the nodes (B, N, E) that ``index`` names, (B, N, E, C)."""
    worlds, nodes, channels = values.shape
    rows = index + nodes * torch.arange(worlds, device=index.device)[:, None, None]
    return values.reshape(-1, channels).index_select(0, rows.flatten()).view(*index.shape, channels)


def nearest(xy_m: Tensor, there: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest other nodes of each node.

    Args:
        xy_m: (B, N, 2).
        there: Which nodes exist, (B, N) bool.
        count: How many neighbours; fewer where there are fewer nodes.

    Returns:
        Their numbers, nearest first, (B, N, E) int64, and whether there is such a neighbour, (B, N, E) bool.
    """
    with torch.no_grad():
        apart_m2 = (xy_m[:, :, None] - xy_m[:, None]).square().sum(3)  # (B, N, N)
        itself = torch.eye(xy_m.shape[1], dtype=torch.bool, device=xy_m.device)
        apart_m2 = apart_m2.masked_fill(itself | ~there[:, None], math.inf)
        found, index = apart_m2.topk(min(count, xy_m.shape[1] - 1), dim=2, largest=False)
    return index, torch.isfinite(found) & there[..., None]


def edge_features(xy_m: Tensor, velocity_mps: Tensor, index: Tensor) -> Tensor:
    """Relative position, distance and relative velocity of each node's neighbours, scaled, (B, N, E, EDGE_FEATURES)."""
    both = torch.cat((xy_m / FAR_M, velocity_mps / FAST_MPS), -1)
    relative = take(both, index) - both[:, :, None]
    apart = (relative[..., :2].square().sum(-1, keepdim=True) + 1e-6).sqrt()  # at distance 0 the root has no slope
    return torch.cat((relative, apart), -1)


def peaks(heat: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest places of a map that no neighbouring cell overtops (Zhou et al. 2019, CenterNet); of equal ones the first.

    Args:
        heat: (B, 1, X, Y).
        count: K.

    Returns:
        Their heights, -inf where the map has fewer, and their cells, each (B, K).
    """
    steps = (STEPS * heat.detach()[:, 0].float()).round()
    found = nn.functional.pad(steps, (1, 1, 1, 1), value=-math.inf)  # a third of max_pool2d's time
    across = torch.maximum(torch.maximum(found[..., :-2], found[..., 2:]), found[..., 1:-1])
    highest = torch.maximum(torch.maximum(across[:, :-2], across[:, 2:]), across[:, 1:-1])
    height = heat[:, 0].masked_fill(steps < highest, -math.inf).flatten(1)
    later = torch.linspace(0.0, 0.9, height.shape[1], dtype=torch.float64, device=heat.device)
    order = steps.masked_fill(steps < highest, -math.inf).flatten(1).double() - later
    cells = order.topk(count, dim=1).indices
    return height.gather(1, cells), cells
