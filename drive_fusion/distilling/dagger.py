"""DAgger (Ross et al. 2011): the pupil drives, the teacher says what it would have done, and the pupil learns that from all it has met.

Lessons are drawn from the newest decisions, so that they are about where the pupil gets to now. Each counts how far the pupil is from the
teacher's distribution of actions, and its critic from the teacher's value. At first the teacher takes the wheel now and then.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from drive_fusion.collecting import fresh_memory, tensors
from drive_fusion.distilling.config import DistillConfig
from drive_fusion.distilling.teacher import Opinion, Teacher, divergence, drawn, teacher_of
from drive_fusion.kept import keeper
from drive_fusion.policy import Decision, Observation, State, check_finite, decide, remembers
from drive_fusion.ppo import FusedPPO
from drive_fusion.rollout import Minibatch, Rollout, chunk_length
from drive_fusion.update import features
from sensors.errors import ConfigError


@dataclass(frozen=True)
class Lesson:
    """T decisions of B worlds with the teacher's comments."""

    rollout: Rollout
    parameters: Tensor  # (T * B, P)
    values: Tensor  # (T * B,)


def distill(config: DistillConfig, watch: Callable[[FusedPPO], None] | None = None, points: int = 10) -> Path:
    """Teach a pupil, and write its checkpoint.

    Args:
        config: How.
        watch: Shown the pupil now and then.
        points: How often, the end included.

    Returns:
        The run's folder: config.json, checkpoints/last and tensorboard/.

    Raises:
        ConfigError: The run exists, some name is unknown, or teacher and world do not fit.
        CheckpointError: The teacher's checkpoint is damaged.
    """
    from drive_fusion.training import begin, learner, log_to, prepare_threads

    pupil = config.pupil
    prepare_threads(pupil)
    begin(pupil, config)
    model = learner(pupil)
    log_to(model, pupil.folder / "tensorboard")
    school = School(model, teacher_of(config.teacher, model.action_space, model.device), config)
    school.teach(watch, points)
    model.save(pupil.last_checkpoint)
    return pupil.folder


class School:
    """A pupil, its teacher, and what was driven."""

    def __init__(self, model: FusedPPO, teacher: Teacher, config: DistillConfig):
        """Begin.

        Raises:
            ConfigError: The teacher's actions are not the pupil's, or the pupil's worlds have no scenes.
        """
        if teacher.space != model.action_space:
            raise ConfigError(
                f"distill: the teacher's actions are {teacher.space}, {config.id}'s are {model.action_space}; take one trained on it"
            )
        assert model.env is not None
        if not hasattr(model, "_logger"):
            model.set_logger(Logger(None, []))
        take_spread(model.policy, teacher.log_std)
        self.model, self.teacher, self.config = model, teacher, config
        self.env: Any = model.env
        self.worlds: Any = model.env.unwrapped
        self.lessons: deque[Lesson] = deque(maxlen=max(1, config.remember // (config.num_envs * config.n_steps)))
        self.optimiser = torch.optim.Adam(model.policy.parameters(), lr=config.lr)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.done = 0.0
        """Share of the teaching that is over."""
        self._seen = tensors(self.env.reset(), model.device)
        self._starts = torch.ones(config.num_envs, dtype=torch.bool, device=model.device)
        self._memory: State = fresh_memory(model, config.num_envs)
        self._returns = np.zeros(config.num_envs)
        self._ended: deque[float] = deque(maxlen=200)

    def teach(self, watch: Callable[[FusedPPO], None] | None = None, points: int = 10) -> None:
        """Drive and learn in turn until the steps, or the minutes, are over; show the pupil ``points`` times, which takes none of them."""
        config, began_s, told = self.config, time.monotonic(), 0
        while self.done < 1.0:
            beta = max(0.0, 1.0 - self.done / config.teacher_share) if config.teacher_share else 0.0
            first = not self.model.num_timesteps
            self.lessons.append(self.drive(beta))
            if first and self.teacher.expects:
                centre_critic(self.model.policy, self.lessons[0].values)
            figures = self.learn()
            self.done = self.model.num_timesteps / config.steps
            if config.minutes is not None:
                self.done = max(self.done, (time.monotonic() - began_s) / (60.0 * config.minutes))
            self._log(figures, beta)
            if int(points * min(1.0, self.done)) > told:
                told = int(points * min(1.0, self.done))
                shown_s = time.monotonic()
                if watch is not None:
                    watch(self.model)
                began_s += time.monotonic() - shown_s
                texts = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
                print(f"{self.model.num_timesteps:>8} of {config.steps} steps: {texts}", file=sys.stderr, flush=True)

    @torch.no_grad()
    def drive(self, beta: float) -> Lesson:
        """Drive ``n_steps`` decisions in every world, each the teacher's with chance ``beta``, else the pupil's."""
        model, config, device = self.model, self.config, self.model.device
        rollout = Rollout(config.n_steps, model.observation_space, model.action_space, device, n_envs=config.num_envs)
        kept = keeper(config.keep, self.env, config.n_steps, device)  # type: ignore[arg-type]
        chunk = chunk_length(config.n_steps, config.chunk) if remembers(model.policy) else 1
        rollout.begin(kept, chunk, config.burn_in, model.group)
        model.policy.set_training_mode(False)
        opinions: list[Opinion] = []
        for step in range(config.n_steps):
            shown: Observation = self._seen
            seen = kept.seen(check_finite(shown, f" after {model.num_timesteps} steps") if isinstance(shown, dict) else shown)
            kept.add(step, seen)
            opinion = self.teacher.comment(self.worlds.scene)
            decision = decide(model.policy, seen, self._memory, self._starts)
            led = torch.rand(config.num_envs, generator=self.generator) < beta
            rewards = self._step(_mixed(decision, drawn(self.teacher.space, opinion), led.to(device)))
            rollout.keep(decision, self._memory, rewards, self._starts_before)
            opinions.append(opinion)
            self._memory = decision.state
        parameters, values = (torch.cat(parts) for parts in zip(*opinions, strict=True))
        return Lesson(rollout, parameters, values)

    def _step(self, actions: Tensor) -> Tensor:
        """Advance the worlds."""
        space: Any = self.model.action_space
        numbers = actions.cpu().numpy()
        bounded = np.clip(numbers, space.low, space.high) if hasattr(space, "low") else numbers
        observation, rewards, dones, _ = self.env.step(bounded)
        self._starts_before = self._starts
        self._seen = tensors(observation, self.model.device)
        self._starts = torch.as_tensor(dones, dtype=torch.bool, device=self.model.device)
        self.model.num_timesteps += len(rewards)
        self._returns += rewards
        self._ended.extend(self._returns[dones].tolist())
        self._returns[dones] = 0.0
        return torch.from_numpy(np.asarray(rewards, np.float32)).to(self.model.device)

    def learn(self) -> dict[str, float]:
        """Take as many gradient steps as the newest lesson has earned, on minibatches of all that is remembered."""
        config, policy = self.config, self.model.policy
        policy.set_training_mode(True)
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr * 0.5 * (1.0 + math.cos(math.pi * min(1.0, self.done)))
        decisions = config.num_envs * config.n_steps
        steps = max(1, round(config.passes * decisions / config.batch))
        told: list[Tensor] = []
        while len(told) < steps:
            for number in torch.randperm(len(self.lessons), generator=self.generator).tolist():
                lesson = self.lessons[number]
                for part in _some(lesson.rollout, config.batch, steps - len(told), len(self.lessons)):
                    told.append(self._gradient_step(lesson, part))
        kl, error = torch.stack(told).mean(0).tolist()
        valued = {"value_error": error} if self.teacher.expects else {}
        return {"kl": kl, **valued, "return": float(np.mean(self._ended)) if self._ended else 0.0}

    def _gradient_step(self, lesson: Lesson, part: Minibatch) -> Tensor:
        policy = self.model.policy
        seen = features(self.model, part)
        latent_actor, latent_critic = policy.mlp_extractor(seen)
        apart = divergence(policy._get_action_dist_from_latent(latent_actor), lesson.parameters[part.places]).mean()
        wanted = lesson.values[part.places]
        error = ((policy.value_net(latent_critic).flatten() - wanted) ** 2).mean() / wanted.var().clamp(min=1e-6)
        weight = self.config.value_weight if self.teacher.expects else 0.0
        self.optimiser.zero_grad()
        (apart + weight * error).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        self.optimiser.step()
        return torch.stack((apart.detach(), error.detach()))

    def _log(self, figures: dict[str, float], beta: float) -> None:
        for name, value in {**figures, "teacher_drives": beta}.items():
            self.model.logger.record(f"distill/{name}", value)
        self.model.logger.dump(self.model.num_timesteps)


@torch.no_grad()
def take_spread(pupil: ActorCriticPolicy, log_std: Tensor | None) -> None:
    """Give a fresh pupil the teacher's spread of continuous actions, which many gradient steps would be needed for."""
    if hasattr(pupil, "log_std") and log_std is not None:
        pupil.log_std.copy_(log_std)  # type: ignore[operator]


@torch.no_grad()
def centre_critic(pupil: ActorCriticPolicy, values: Tensor) -> None:
    """Let a fresh critic begin in the middle of the teacher's values: its way there would drown the lesson in the actions."""
    pupil.value_net.weight.mul_(values.std())  # type: ignore[operator]
    pupil.value_net.bias.copy_(values.mean())  # type: ignore[operator]


def _mixed(decision: Decision, taught: Tensor, led: Tensor) -> Tensor:
    """The teacher's actions where it leads, the pupil's elsewhere."""
    return torch.where(led.view(-1, *[1] * (taught.ndim - 1)), taught.to(decision.actions), decision.actions)


def _some(rollout: Rollout, batch: int, most: int, lessons: int) -> list[Minibatch]:
    """A few minibatches of a rollout, in a drawn order: its share of what is to be learned, at least one."""
    wanted = min(most, max(1, -(-most // lessons)))
    parts = rollout.get(batch)
    found = [part for _, part in zip(range(wanted), parts, strict=False)]
    parts.close()
    return found
