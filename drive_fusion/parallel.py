"""The extractor on a CPU's cores: each thread takes some worlds through the whole network, instead of all threads sharing every layer.

The driver's layers are small, and several of them (scatters, sums into cells, norms) run on one core each, so that threads which share a
layer mostly wait for one another. Results depend on the number of threads, as torch's own do, and on nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

FEWEST = 8
"""Rows that are worth a thread of their own."""

Features = Callable[[slice], tuple[Tensor, dict[str, Tensor]]]
"""Features (T, M, F) of M of the worlds, and what is remembered after them, (M, ...)."""


def parts_of(worlds: int, rows: int, device: torch.device) -> list[slice]:
    """How worlds are shared out among threads: few frames go to a single one. Nothing is shared out on a GPU, or by one thread.

    Args:
        worlds: B.
        rows: Frames that are looked at, T x B.
        device: Where.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1:
        return []
    count = max(1, min(threads, worlds, rows // FEWEST))
    edges = [worlds * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in zip(edges, edges[1:], strict=False)]


def shared_out(features: Features, parts: Sequence[slice], network: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    """Features of all worlds, (T, B, F), and what is remembered, (B, ...); gradients reach the network's parameters.

    Args:
        features: What one thread does.
        parts: The worlds of each thread.
        network: Whose parameters ``features`` uses.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad] if torch.is_grad_enabled() else []
    later: list[dict[str, Tensor]] = []
    found: Tensor = _SharedOut.apply(features, parts, later, *parameters)  # type: ignore[no-untyped-call]
    return found, {name: torch.cat([state[name] for state in later]) for name in later[0]}


class _SharedOut(torch.autograd.Function):
    """Each thread builds and later goes back through a graph of its own."""

    @staticmethod
    def forward(ctx: Any, features: Features, parts: Sequence[slice], later: list[dict[str, Tensor]], *parameters: Tensor) -> Tensor:
        learning = bool(parameters)

        def ahead(part: slice) -> tuple[Tensor, dict[str, Tensor]]:
            with torch.set_grad_enabled(learning):
                return features(part)

        found = list(workers(len(parts)).map(ahead, parts))
        later += [{name: value.detach() for name, value in state.items()} for _, state in found]
        ctx.graphs, ctx.parts, ctx.leaves = [seen for seen, _ in found] if learning else [], parts, parameters
        return torch.cat([seen.detach() for seen, _ in found], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients

        def back(graph: Tensor, part: slice) -> tuple[Tensor | None, ...]:
            own = gradient[:, part].contiguous()
            return torch.autograd.grad(graph, ctx.leaves, own, allow_unused=True)  # type: ignore[no-any-return]

        found = list(workers(len(ctx.parts)).map(back, ctx.graphs, ctx.parts))
        ctx.graphs = []
        return (None, None, None, *(_total(one) for one in zip(*found, strict=True)))


def _total(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Sum in order of the threads, so that rounding is the same every time."""
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], there[0]) if there else None


@contextmanager
def alone(really: bool = True) -> Iterator[None]:
    """Let torch use one core: a few frames are too little for layers to be shared, and waiting for other cores is what takes long."""
    before = torch.get_num_threads()
    if really:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if really:
            torch.set_num_threads(before)


@cache
def workers(count: int) -> ThreadPoolExecutor:
    """So many threads, in each of which torch uses one core."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, thread_name_prefix="eyes", initializer=torch.set_num_threads, initargs=(1,))
    for waiting in [pool.submit(torch.get_num_threads) for _ in range(count)]:
        waiting.result()
    torch.set_num_threads(before)  # the setting of a thread is also what later threads begin with
    return pool


os.register_at_fork(after_in_child=workers.cache_clear)  # a forked process has none of its parent's threads
