"""The network alone: parameters, multiplications, and processor time of every fusion, forward and with gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from sensors.errors import ConfigError, unknown_name

LIKELY_HITS = 0.12
"""Share of lidar rays that return something above the road: measured on highway-fast-v0 through rig micro."""


@dataclass(frozen=True)
class NetworkBench:
    """Options of ``drive-fusion bench network``."""

    size: str = "micro"
    """Size of the network."""
    rig: str | None = None
    """The sensors; by default the rig of the size's name."""
    spatial: tuple[str, ...] = ()
    """Spatial fusions; all unless given."""
    temporal: tuple[str, ...] = ()
    """Memories; all unless given."""
    batch: int = 64
    """Worlds at once, forward."""
    unroll: int = 8
    """Steps that the same number of frames is unrolled over with gradients, where there is a memory; must divide batch."""
    repeats: int = 8
    """How often each is timed; the least counts."""
    threads: int = 1
    """Threads of torch; processor time adds them up."""

    def __post_init__(self) -> None:
        if min(self.batch, self.unroll, self.repeats, self.threads) < 1:
            raise ConfigError("bench network: every count must be 1 or more")
        if self.batch % self.unroll:
            raise ConfigError(f"bench network: unroll is {self.unroll}, expected a divisor of batch {self.batch}")


def bench_network(config: NetworkBench) -> dict[str, float]:
    """Time every pair of a spatial fusion and a memory in turns, so that a busy machine troubles all alike."""
    import torch

    from drive_fusion.cost import cost, parameters
    from drive_fusion.extractor import FusedExtractor
    from drive_fusion.fusion import Spatial
    from drive_fusion.memory import Temporal
    from envs.observation import observation_space
    from sensors.presets import rig_named

    torch.set_num_threads(config.threads)
    rig = rig_named(config.rig or config.size)
    space = observation_space(rig, 5)
    rounds: dict[str, list[Callable[[], Any]]] = {}
    figures: dict[str, float] = {}
    for spatial, temporal in product(
        _chosen("spatial", config.spatial, get_args(Spatial)), _chosen("temporal", config.temporal, get_args(Temporal))
    ):
        torch.manual_seed(0)
        network = FusedExtractor(space, rig, spatial, config.size, temporal).eval()
        name = f"{spatial}.{temporal}"
        figures[f"{name}.parameters"] = parameters(network)
        figures[f"{name}.gflop"] = cost(config.size, spatial, temporal, rig).flops / 1e9
        rounds[name] = _tasks(network, config, space)
    for name, (forward, learn) in _least(rounds, config.repeats).items():
        figures[f"{name}.forward_ms"], figures[f"{name}.forward_and_backward_ms"] = 1e3 * forward, 1e3 * learn
    return figures


def _chosen(what: str, given: tuple[str, ...], known: tuple[str, ...]) -> tuple[Any, ...]:
    for name in given:
        if name not in known:
            raise unknown_name(f"{what} fusion", name, known)
    return given or known


def _tasks(network: Any, config: NetworkBench, space: Any) -> list[Callable[[], Any]]:
    """What is timed: one decision of all worlds, and one gradient of as many frames."""
    import torch

    from drive_fusion.cost import some_observation

    observation = some_observation(space, config.batch)
    if "lidar" in observation:
        observation["lidar"][:, :, 0] = (torch.rand(observation["lidar"][:, :, 0].shape) < LIKELY_HITS).float()
    steps = config.unroll if network.state_shapes else 1
    stretch = {name: value.view(steps, -1, *value.shape[1:]) for name, value in observation.items()}
    worlds = config.batch // steps
    states = network.initial_state(config.batch), network.initial_state(worlds)
    none, first = torch.zeros(config.batch), torch.zeros(steps, worlds)

    def forward() -> None:
        with torch.no_grad():
            network.advance(observation, states[0], none)

    def learn() -> None:
        network.unroll(stretch, states[1], first)[0].sum().backward()

    return [forward, learn]


def _least(rounds: dict[str, list[Callable[[], Any]]], repeats: int) -> dict[str, list[float]]:
    """Least processor time of each task, in seconds, after one round that is not counted."""
    least = {name: [float("inf")] * len(tasks) for name, tasks in rounds.items()}
    for number in range(repeats + 1):
        for name, tasks in rounds.items():
            for place, task in enumerate(tasks):
                began_s = time.process_time()
                task()
                taken_s = time.process_time() - began_s
                if number:
                    least[name][place] = min(least[name][place], taken_s)
    return least
