"""The driver's speed: PPO end to end with its parts told apart, and how long one decision takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensors.errors import ConfigError


@dataclass(frozen=True)
class DriverBench:
    """Options of ``drive-fusion bench driver``."""

    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    rig: str = "micro"
    """The sensors that the driver sees with."""
    num_envs: int = 64
    """Worlds stepped side by side."""
    n_steps: int = 16
    """Decisions of every world between updates."""
    epochs: int = 3
    """Passes over a rollout."""
    batch: int = 512
    """Decisions a gradient step."""
    rollouts: int = 6
    """Rollouts with their updates that are timed, after one that is not."""
    decisions: int = 200
    """Single decisions that are timed."""
    threads: int = 2
    """Threads of torch and numba."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda or auto."""

    def __post_init__(self) -> None:
        if min(self.num_envs, self.n_steps, self.epochs, self.batch, self.rollouts, self.decisions, self.threads) < 1:
            raise ConfigError("bench driver: every count must be 1 or more")


def bench_driver(config: DriverBench) -> dict[str, float]:
    """Time PPO from the worlds to the update, its parts, and single decisions."""
    import numba
    import torch

    torch.set_num_threads(config.threads)
    numba.set_num_threads(min(config.threads, numba.config.NUMBA_NUM_THREADS))
    return {**_ppo(config), **_senses(config), **_latency(config)}


def _learner(config: DriverBench) -> Any:
    from drive_fusion.ppo import FusedPPO
    from envs.sb3 import make_sb3_vec

    venv = make_sb3_vec(config.id, config.num_envs, rig=config.rig, seed=0)
    return FusedPPO(
        env=venv,
        rig=config.rig,
        device=config.device,
        seed=0,
        n_steps=config.n_steps,
        n_epochs=config.epochs,
        batch_size=config.batch,
        gamma=0.95,
    )


def _ppo(config: DriverBench) -> dict[str, float]:
    """Whole rollouts and updates."""
    model = _learner(config)
    rollout = config.num_envs * config.n_steps
    spent_s = {"rollout": 0.0, "update": 0.0}
    collect, update = model.collect_rollouts, model.train

    def timed(name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            result = part(*arguments, **named)
            spent_s[name] += time.perf_counter() - began_s
            return result

        return run

    model.collect_rollouts, model.train = timed("rollout", collect), timed("update", update)
    model.learn(rollout)
    spent_s.update(rollout=0.0, update=0.0)
    model.learn(config.rollouts * rollout, reset_num_timesteps=False)
    steps = config.rollouts * rollout
    return {
        "ppo.env_steps_per_s": steps / (spent_s["rollout"] + spent_s["update"]),
        "ppo.rollout_env_steps_per_s": steps / spent_s["rollout"],
        "ppo.update_samples_per_s": config.epochs * steps / spent_s["update"],
        "ppo.parameters": float(sum(weight.numel() for weight in model.policy.parameters())),
    }


def _senses(config: DriverBench) -> dict[str, float]:
    """World, sensors and packing, without a network."""
    import numpy as np

    from envs.sb3 import make_sb3_vec

    venv = make_sb3_vec(config.id, config.num_envs, rig=config.rig, seed=0)
    venv.reset()
    actions = np.ones(config.num_envs, np.int64)
    venv.step(actions)
    began_s = time.perf_counter()
    for _ in range(config.n_steps):
        venv.step(actions)
    return {"world_and_senses.env_steps_per_s": config.num_envs * config.n_steps / (time.perf_counter() - began_s)}


def _latency(config: DriverBench) -> dict[str, float]:
    """One decision from scene to action, in one world."""
    import numpy as np
    import torch

    from drive_fusion.policy_driver import PolicyDriver
    from envs.world import World
    from sensors.rendering import render

    driver = PolicyDriver(_learner(config), config.rig)
    scene = World(config.id, 1).reset(torch.zeros(1, dtype=torch.int64))
    taken_ms = []
    for _ in range(config.decisions + 10):
        began_s = time.perf_counter()
        driver.act(scene, render(scene, config.rig), None)
        taken_ms.append(1e3 * (time.perf_counter() - began_s))
    p50, p99 = np.percentile(taken_ms[10:], (50, 99))
    return {"decision.p50_ms": float(p50), "decision.p99_ms": float(p99)}
