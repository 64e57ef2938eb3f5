"""The driver's speed: PPO end to end with its parts told apart beside stock SB3's, its memory, and how long one decision takes."""

from __future__ import annotations

import time
from collections import defaultdict
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
    size: str = "micro"
    """How big the network is."""
    num_envs: int = 64
    """Worlds stepped side by side."""
    n_steps: int = 16
    """Decisions of every world between updates."""
    epochs: int = 3
    """Passes over a rollout."""
    batch: int = 512
    """Decisions a gradient step."""
    rollouts: int = 6
    """Rollouts with their updates that are timed of each learner, in turn, after one that is not."""
    others: tuple[str, ...] = ("sb3", "frames", "hybrid")
    """Learners beside ours: stock SB3 PPO with our extractor; ours that keeps frames; ours that keeps scenes; the hybrid with a memory;
    on a GPU also bf16, and compiled with it."""
    decisions: int = 200
    """Single decisions that are timed."""
    threads: int = 2
    """Threads of torch and numba."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda or auto."""

    def __post_init__(self) -> None:
        if min(self.num_envs, self.n_steps, self.epochs, self.batch, self.rollouts, self.decisions, self.threads) < 1:
            raise ConfigError("bench driver: every count must be 1 or more")
        unknown = sorted(set(self.others) - set(LEARNERS))
        if unknown:
            raise ConfigError(f"bench driver: unknown learner {unknown[0]!r}, expected some of {', '.join(LEARNERS)}")


LEARNERS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "frames": {"keep": "frames"},
    "scenes": {"keep": "scenes"},
    "bf16": {"bf16": True},
    "compiled": {"bf16": True, "compiled": True},
    "hybrid": {"spatial": "hybrid", "temporal": "conv_gru"},
    "sb3": {},
}
"""What the measured learners differ in."""


def bench_driver(config: DriverBench) -> dict[str, float]:
    """Time PPO from the worlds to the update, its parts, and single decisions."""
    import numba
    import torch

    torch.set_num_threads(config.threads)
    numba.set_num_threads(min(config.threads, numba.config.NUMBA_NUM_THREADS))
    runs = {name: Run(config, name) for name in dict.fromkeys(("ppo", *config.others))}
    for number in range(config.rollouts + 1):
        for run in runs.values():
            run.go_on(timed=number > 0)
    figures = {f"{name}.{key}": value for name, run in runs.items() for key, value in run.figures().items()}
    if "sb3" in runs:
        figures["ppo.speed_over_sb3"] = figures["ppo.env_steps_per_s"] / figures["sb3.env_steps_per_s"]
        figures["ppo.memory_share_of_sb3"] = figures["ppo.rollout_bytes"] / figures["sb3.rollout_bytes"]
    return {**figures, **_latency(config)}


def learner(config: DriverBench, name: str) -> Any:
    """A learner on fresh worlds."""
    from stable_baselines3 import PPO

    from drive_fusion.extractor import FusedExtractor
    from drive_fusion.ppo import FusedPPO
    from envs.sb3 import make_sb3_vec
    from sensors.device import device_named

    venv = make_sb3_vec(config.id, config.num_envs, rig=config.rig, seed=0)
    settings: dict[str, Any] = {
        "seed": 0,
        "n_steps": config.n_steps,
        "n_epochs": config.epochs,
        "batch_size": config.batch,
        "gamma": 0.95,
    }
    if name == "sb3":
        eyes = {"features_extractor_class": FusedExtractor, "features_extractor_kwargs": {"rig": config.rig, "size": config.size}}
        kwargs = {"net_arch": {"pi": [64], "vf": [64]}, "normalize_images": False, **eyes}
        return PPO("MultiInputPolicy", venv, device=device_named(config.device), policy_kwargs=kwargs, **settings)
    return FusedPPO(env=venv, rig=config.rig, size=config.size, device=config.device, **LEARNERS[name], **settings)


class Run:
    """One learner, and where its time goes."""

    def __init__(self, config: DriverBench, name: str):
        self.config, self.name, self.model = config, name, learner(config, name)
        self.spent_s: dict[str, float] = defaultdict(float)
        self.steps = 0
        senses = self.model.env.unwrapped._senses
        senses.step = self._clocked("sim", senses.step)
        senses.observe = self._clocked("sensors", senses.observe)
        self.model.env.step_wait = self._clocked("worlds", self.model.env.step_wait)
        self.model.collect_rollouts = self._clocked("rollout", self.model.collect_rollouts)
        self.model.train = self._clocked("update", self.model.train)

    def _clocked(self, name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return part(*arguments, **named)
            finally:
                self.spent_s[name] += time.perf_counter() - began_s

        return run

    def go_on(self, timed: bool) -> None:
        """One more rollout with its update."""
        rollout = self.config.num_envs * self.config.n_steps
        self.model.learn(rollout, reset_num_timesteps=False)
        if timed:
            self.steps += rollout
        else:
            self.spent_s.clear()

    def figures(self) -> dict[str, float]:
        """Environment steps a second, whole and of the parts, samples a second of the update, and what the rollout takes."""
        spent, steps = self.spent_s, self.steps
        parts = {
            "sim": spent["sim"],
            "sensors": spent["sensors"],
            "inference": spent["rollout"] - spent["worlds"],
            "update": spent["update"],
        }
        return {
            "env_steps_per_s": steps / (spent["rollout"] + spent["update"]),
            **{f"{name}_us_per_env_step": 1e6 * seconds / steps for name, seconds in parts.items()},
            "rollout_env_steps_per_s": steps / spent["rollout"],
            "update_samples_per_s": self.config.epochs * steps / spent["update"],
            "rollout_bytes": float(rollout_bytes(self.model.rollout_buffer)),
            "parameters": float(sum(weight.numel() for weight in self.model.policy.parameters())),
        }


def rollout_bytes(buffer: Any) -> int:
    """What a rollout buffer's arrays take."""
    if hasattr(buffer, "nbytes"):
        return int(buffer.nbytes)
    names = ("actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages")
    observations = buffer.observations
    seen = observations.values() if isinstance(observations, dict) else (observations,)
    return sum(part.nbytes for part in (*seen, *(getattr(buffer, name) for name in names)))


def _latency(config: DriverBench) -> dict[str, float]:
    """One decision from scene to action, in one world."""
    import numpy as np
    import torch

    from drive_fusion.policy_driver import PolicyDriver
    from envs.world import World
    from sensors.rendering import render

    driver = PolicyDriver(learner(config, "ppo"), config.rig)
    scene = World(config.id, 1).reset(torch.zeros(1, dtype=torch.int64))
    taken_ms, state = [], None
    for _ in range(config.decisions + 10):
        began_s = time.perf_counter()
        _, state = driver.act(scene, render(scene, config.rig), state)
        taken_ms.append(1e3 * (time.perf_counter() - began_s))
    p50, p99 = np.percentile(taken_ms[10:], (50, 99))
    return {"decision.p50_ms": float(p50), "decision.p99_ms": float(p99)}
