"""Batches: frozen dataclasses of tensors that share their first dimension, the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Self

import torch
from torch import Tensor


class Batch:
    """A frozen dataclass of tensors whose first dimension is the world."""

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor that has a world dimension; nested batches too, shared objects not."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = function(value)
            elif isinstance(value, Batch):
                changed[field.name] = value.map(function)
        return replace(self, **changed)  # type: ignore[type-var]

    def select(self, worlds: Tensor | slice | Sequence[int]) -> Self:
        """Take some worlds: indices (N,), a mask (B,), or a slice; the dimension stays."""
        chosen = worlds if isinstance(worlds, (Tensor, slice)) or len(worlds) else slice(0, 0)
        index = chosen if isinstance(chosen, (Tensor, slice)) else torch.as_tensor(chosen)
        return self.map(lambda tensor: tensor[index])

    def to(self, device: str | torch.device) -> Self:
        """Move to a device."""
        return self.map(lambda tensor: tensor.to(device))

    def clone(self) -> Self:
        """Copy every tensor, so that a world that goes on cannot change what was kept."""
        return self.map(Tensor.clone)

    def merge(self, other: Self, where: Tensor) -> Self:
        """Take worlds from ``other`` where the mask (B,) is set, from here elsewhere."""
        changed: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, Tensor):
                mask = where.reshape(-1, *[1] * (mine.ndim - 1))
                changed[field.name] = torch.where(mask, theirs, mine)
            elif isinstance(mine, Batch):
                changed[field.name] = mine.merge(theirs, where)
        return replace(self, **changed)  # type: ignore[type-var]

    @classmethod
    def cat(cls, batches: Sequence[Self]) -> Self:
        """Join batches along the world dimension; shared objects (the road) are the first one's."""
        first = batches[0]
        changed: dict[str, Any] = {}
        for field in fields(first):  # type: ignore[arg-type]
            value = getattr(first, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = torch.cat([getattr(batch, field.name) for batch in batches])
            elif isinstance(value, Batch):
                changed[field.name] = type(value).cat([getattr(batch, field.name) for batch in batches])
        return replace(first, **changed)  # type: ignore[type-var]
