"""The bird's-eye grid on which the senses meet, and how points and pixels get onto it.

Cells run over x (ahead) first, then y (left). The grid reaches further ahead than behind because that is where the car goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sensors.errors import ConfigError

MAX_LATERAL_CELL_M = 2.0  # a lane is 4 m wide: with coarser cells its edge and its middle look alike


@dataclass(frozen=True)
class BevGrid:
    """A regular grid in the ego frame."""

    x_range_m: tuple[float, float] = (-25.6, 76.8)
    y_range_m: tuple[float, float] = (-25.6, 25.6)
    x_cells: int = 16
    y_cells: int = 32

    def __post_init__(self) -> None:
        if self.x_cells < 1 or self.y_cells < 1:
            raise ConfigError(f"BevGrid has {self.x_cells} x {self.y_cells} cells, expected at least 1 x 1")
        for name, (low, high) in (("x_range_m", self.x_range_m), ("y_range_m", self.y_range_m)):
            if not low < high:
                raise ConfigError(f"BevGrid.{name} is ({low}, {high}), expected the first below the second")
        if self.cell_m[1] > MAX_LATERAL_CELL_M:
            raise ConfigError(f"BevGrid cells are {self.cell_m[1]:.2f} m wide, expected at most {MAX_LATERAL_CELL_M} m; use more y_cells")

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.x_cells * self.y_cells

    @property
    def cell_m(self) -> tuple[float, float]:
        """Length (along x) and width (along y) of a cell."""
        return (self.x_range_m[1] - self.x_range_m[0]) / self.x_cells, (self.y_range_m[1] - self.y_range_m[0]) / self.y_cells

    def locate(self, x_m: Tensor, y_m: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find the cell of each point.

        Args:
            x_m: Ego-frame x, any shape.
            y_m: Ego-frame y, same shape.

        Returns:
            Cell number (int64, 0 where outside), whether the point is inside, and its offset from the cell's centre in cells along x
            and along y, in [-0.5, 0.5] for points inside. All of the input's shape.
        """
        length_m, width_m = self.cell_m
        across_x = (x_m - self.x_range_m[0]) / length_m
        across_y = (y_m - self.y_range_m[0]) / width_m
        row, column = across_x.floor(), across_y.floor()
        inside = (row >= 0) & (row < self.x_cells) & (column >= 0) & (column < self.y_cells)
        cell = torch.where(inside, row * self.y_cells + column, 0.0).long()
        return cell, inside, across_x - row - 0.5, across_y - column - 0.5


def cell_centres_m(grid: BevGrid) -> Tensor:
    """Centre of each cell in the ego frame, in the order of their numbers, (cells, 2)."""
    length_m, width_m = grid.cell_m
    x_m = grid.x_range_m[0] + (torch.arange(grid.x_cells) + 0.5) * length_m
    y_m = grid.y_range_m[0] + (torch.arange(grid.y_cells) + 0.5) * width_m
    return torch.stack(torch.meshgrid(x_m, y_m, indexing="ij"), -1).flatten(0, 1)


def splat_sum(rows: Tensor, cell: Tensor, cells: int) -> Tensor:
    """Add feature rows up per cell.

    Args:
        rows: Features, (N, C).
        cell: Which cell each row belongs to, (N,) int64.
        cells: How many cells there are.

    Returns:
        (cells, C); zero where nothing fell.
    """
    # The same sum as index_add, by the operator whose CPU path takes a third of the time.
    return rows.new_zeros(cells, rows.shape[1]).scatter_add(0, cell[:, None].expand_as(rows), rows)


class _SplatMax(torch.autograd.Function):
    """scatter_reduce's own backward walks the whole table several times; this one walks the rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, cell: Tensor, cells: int) -> Tensor:
        table = rows.new_zeros(cells, rows.shape[1])
        table = table.scatter_reduce_(0, cell[:, None].expand_as(rows), rows, "amax", include_self=True)
        ctx.save_for_backward((rows == table.index_select(0, cell)) & (rows > 0), cell)
        return table

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        won, cell = ctx.saved_tensors
        return gradients[0].index_select(0, cell) * won, None, None


def splat_max(rows: Tensor, cell: Tensor, cells: int) -> Tensor:
    """Take each feature's largest value per cell, and zero where that is larger or nothing fell.

    The gradient goes to the row that won; where several tie, to each of them.

    Args:
        rows: Features, (N, C).
        cell: Which cell each row belongs to, (N,) int64.
        cells: How many cells there are.

    Returns:
        (cells, C), not negative.
    """
    table: Tensor = _SplatMax.apply(rows, cell, cells)  # type: ignore[no-untyped-call]
    return table


def batch_cells(cell: Tensor, cells: int) -> Tensor:
    """Number the cells of B grids through: cell (B, N) of each world to rows of a (B * cells, C) table, (B * N,)."""
    return (cell + cells * torch.arange(len(cell), device=cell.device)[:, None]).flatten()


def as_map(rows: Tensor, num_worlds: int, grid: BevGrid) -> Tensor:
    """Lay cell rows (B * cells, C) out as maps (B, C, X, Y), in channels-last memory."""
    return rows.view(num_worlds, grid.x_cells, grid.y_cells, -1).permute(0, 3, 1, 2)
