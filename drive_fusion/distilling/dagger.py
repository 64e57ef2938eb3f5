"""DAgger (Ross et al. 2011): the pupil drives, the teacher says what it would have done, and the pupil learns that from all it has met.

Lessons are drawn from the newest decisions, so that they are about where the pupil gets to now. Each counts how far the pupil is from the
teacher's distribution of actions, and its critic from the teacher's value. At first the teacher takes the wheel now and then.

A pupil who sees less than its teacher can not do as it does, and what is nearest to the teacher's choices need not be what earns most. So
at the end it may practise: its own choices are judged by what they earned, PPO's surrogate with the teacher's values as the critic, who
is told more than the pupil (Pinto et al. 2018, "Asymmetric actor critic"); comments count a little still (Schmitt et al. 2018,
"Kickstarting deep reinforcement learning").
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from drive_fusion.checkpoint import CheckpointError
from drive_fusion.collecting import fresh_memory, tensors
from drive_fusion.distilling.config import DistillConfig
from drive_fusion.distilling.lesson import Lesson, Shelf
from drive_fusion.distilling.teacher import Opinion, Teacher, divergence, drawn, teacher_of
from drive_fusion.kept import keeper
from drive_fusion.policy import Decision, Observation, State, check_finite, decide, remembers
from drive_fusion.ppo import FusedPPO, fill_optimiser
from drive_fusion.rollout import Minibatch, Rollout, chunk_length
from drive_fusion.update import features, surrogate, with_map
from drive_fusion.watch import PoliteStop
from sensors.errors import ConfigError

PRACTICE_LESSONS = 4
"""Newest lessons that are practised on: what older ones earned was another pupil's."""
PRACTICE_COMMENTS = 0.03
"""Weight of the teacher's comments in practice, beside advantages with a deviation of 1."""
PRACTICE_LAMBDA = 0.9
PRACTICE_CLIP = 0.2


def distill(config: DistillConfig, watch: Callable[[FusedPPO], None] | None = None, points: int = 10) -> Path:
    """Teach a pupil, and write its checkpoints.

    Args:
        config: How. With ``resume``, the run goes on where its last checkpoint stands, bit-equal to one that was never stopped (CPU, same
            machine, versions and threads, and not bounded by minutes).
        watch: Shown the pupil now and then.
        points: How often, the end included.

    Returns:
        The run's folder: config.json, checkpoints/last and tensorboard/.

    Raises:
        ConfigError: The run exists and is not to be resumed, was begun with other settings, some name is unknown, or teacher and world do
            not fit.
        CheckpointError: The teacher's checkpoint or the run's is damaged.
        KeyboardInterrupt: Ctrl-C; what was learned is in the last checkpoint.
    """
    from drive_fusion.training import FREE_TO_CHANGE, begin, learner, log_to, prepare_threads, resumed

    pupil = config.pupil
    prepare_threads(pupil)
    begin(pupil, config, [name for name in FREE_TO_CHANGE if name != "steps"])  # on which the learning rate and the teacher's share hang
    model = resumed(pupil) if config.resume else learner(pupil)
    log_to(model, pupil.folder / "tensorboard")
    school = School(model, teacher_of(config.teacher, model.action_space, model.device), config)
    if not school.teach(watch, points):
        where = f"{model.num_timesteps} of {config.steps} steps; the checkpoint is {pupil.last_checkpoint}"
        print(f"stopped at {where}; go on with the same command and --resume", file=sys.stderr)
        raise KeyboardInterrupt
    return pupil.folder


class School:
    """A pupil, its teacher, and what was driven."""

    def __init__(self, model: FusedPPO, teacher: Teacher, config: DistillConfig):
        """Begin, or with ``config.resume`` go on where the model's checkpoint stood.

        Raises:
            ConfigError: The teacher's actions are not the pupil's, or the pupil's worlds have no scenes.
            CheckpointError: The checkpoint is none of such a run, or its lessons are damaged.
        """
        if config.practice and not teacher.expects:
            raise ConfigError("distill: practice needs a teacher who values scenes, a checkpoint of privileged state; rule does not")
        if teacher.space != model.action_space:
            raise ConfigError(
                f"distill: the teacher's actions are {teacher.space}, {config.id}'s are {model.action_space}; take one trained on it"
            )
        assert model.env is not None
        if not hasattr(model, "_logger"):
            model.set_logger(Logger(None, []))
        self.model, self.teacher, self.config = model, teacher, config
        self.env: Any = model.env
        self.worlds: Any = model.env.unwrapped
        self.lessons: deque[Lesson] = deque(maxlen=max(1, config.remember // (config.num_envs * config.n_steps)))
        self.shelf = Shelf(config.pupil.folder / "lessons")
        self.optimiser = torch.optim.Adam(model.policy.parameters(), lr=config.lr)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.done = 0.0
        """Share of the teaching that is over."""
        self._returns = np.zeros(config.num_envs)
        self._ended: deque[float] = deque(maxlen=200)
        self._taught_s = 0.0
        if config.resume:
            self._go_on()
            return
        take_spread(model.policy, teacher.log_std)
        self._observation: Any = self.env.reset()
        self._starts = torch.ones(config.num_envs, dtype=torch.bool, device=model.device)
        self._memory: State = fresh_memory(model, config.num_envs)

    def teach(self, watch: Callable[[FusedPPO], None] | None = None, points: int = 10) -> bool:
        """Drive and learn in turn until the steps, or the minutes, are over; show the pupil ``points`` times, which takes none of them.

        Returns:
            Whether they are; False after Ctrl-C. What was learned is in the run's last checkpoint either way.
        """
        with PoliteStop("lesson") as stop:
            over = self._teach(watch, points, stop)
        self.save()
        return over

    def _teach(self, watch: Callable[[FusedPPO], None] | None, points: int, stop: PoliteStop) -> bool:
        config, began_s, told = self.config, time.monotonic() - self._taught_s, int(points * min(1.0, self.done))
        saved_at = self.model.num_timesteps
        while self.done < 1.0:
            if stop.asked:
                return False
            beta = max(0.0, 1.0 - self.done / config.teacher_share) if config.teacher_share else 0.0
            first = not self.model.num_timesteps
            with self.model.room(f"a lesson of {config.num_envs} worlds", "fewer --num-envs, --n-steps or --remember"):
                self.lessons.append(self.drive(beta))
            while self.practising and len(self.lessons) > PRACTICE_LESSONS:
                self.lessons.popleft()
            if first and self.teacher.expects:
                centre_critic(self.model.policy, self.lessons[0].values)
            with self.model.room(f"gradient steps on batches of {config.batch}", f"--batch {max(1, config.batch // 2)}"):
                figures = self.learn()
            self.done = self.model.num_timesteps / config.steps
            if config.minutes is not None:
                self.done = max(self.done, (time.monotonic() - began_s) / (60.0 * config.minutes))
            self._log(figures, beta)
            self._taught_s = time.monotonic() - began_s
            if self.model.num_timesteps - saved_at >= config.save_every and self.done < 1.0:
                saved_at = self.model.num_timesteps
                self.save()
            if int(points * min(1.0, self.done)) > told:
                told = int(points * min(1.0, self.done))
                shown_s = time.monotonic()
                if watch is not None:
                    watch(self.model)
                began_s += time.monotonic() - shown_s
                texts = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
                print(f"{self.model.num_timesteps:>8} of {config.steps} steps: {texts}", file=sys.stderr, flush=True)
        return True

    def save(self) -> None:
        """Write a checkpoint that the run can go on from, and the lessons that it still draws from; of a run that is over, none.

        Raises:
            CheckpointError: It cannot be written; the last one is whole.
        """
        model, listed = self.model, self.shelf.keep(self.lessons if self.done < 1.0 else ())
        model.beside = {"done": self.done, "taught_s": self._taught_s, "returns": self._returns, "ended": self._ended}
        if self.done < 1.0:
            model.beside |= {"lessons": listed, "optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}
        model._last_obs, model._last_episode_starts = self._observation, self._starts.cpu().numpy()
        model.memory, model._settled_timesteps = self._memory, model.num_timesteps
        model.save(self.config.pupil.last_checkpoint)
        model.beside = {}
        self.shelf.clear(listed)

    def _go_on(self) -> None:
        """Take up what `save` left."""
        model, kept = self.model, self.model.beside
        if "taught_s" not in kept or model._last_obs is None:
            raise CheckpointError(f"{self.config.pupil.last_checkpoint} is none that distill wrote in these worlds; choose another --run")
        self.done, self._taught_s, self._ended = kept["done"], kept["taught_s"], kept["ended"]
        self._returns = np.array(kept["returns"])
        self._observation = model._last_obs
        self._starts = torch.as_tensor(model._last_episode_starts, dtype=torch.bool, device=model.device)
        self._memory = model.memory
        if self.done < 1.0:
            self.lessons = self.shelf.read(kept["lessons"], self._empty, self.lessons.maxlen or 1)
            fill_optimiser(self.optimiser, kept["optimiser"])
            self.generator.set_state(kept["generator"])
        model.beside = {}

    def _empty(self) -> Rollout:
        """A rollout, begun."""
        model, config = self.model, self.config
        rollout = Rollout(config.n_steps, model.observation_space, model.action_space, model.device, n_envs=config.num_envs)
        kept = keeper(config.keep, self.env, config.n_steps, model.device)  # type: ignore[arg-type]
        rollout.begin(kept, chunk_length(config.n_steps, config.chunk) if remembers(model.policy) else 1, config.burn_in, model.group)
        return rollout

    @torch.no_grad()
    def drive(self, beta: float) -> Lesson:
        """Drive ``n_steps`` decisions in every world, each the teacher's with chance ``beta``, else the pupil's."""
        model, config, device, tutor = self.model, self.config, self.model.device, self.model.tutor
        rollout, number = self._empty(), model.num_timesteps // (config.num_envs * config.n_steps)
        kept = rollout.kept
        model.policy.set_training_mode(False)
        if tutor is not None:
            tutor.begin()
        opinions: list[Opinion] = []
        for step in range(config.n_steps):
            shown: Observation = tensors(self._observation, device)
            seen = kept.seen(check_finite(shown, f" after {model.num_timesteps} steps") if isinstance(shown, dict) else shown)
            kept.add(step, seen)
            if tutor is not None:
                tutor.see(self.env, self._starts)
            opinion = self.teacher.comment(self.worlds.scene)
            decision = decide(model.policy, seen, self._memory, self._starts)
            led = torch.rand(config.num_envs, generator=self.generator) < beta
            rewards = self._step(_mixed(decision, drawn(self.teacher.space, opinion), led.to(device)))
            rollout.keep(decision, self._memory, rewards, self._starts_before)
            opinions.append(opinion)
            self._memory = decision.state
        parameters, values = (torch.cat(parts) for parts in zip(*opinions, strict=True))
        if self.practising:
            self._reckon(rollout, values)
        return Lesson(rollout, parameters, values, None if tutor is None else tutor.labels().narrow(), number, self.practising)

    @property
    def practising(self) -> bool:
        """Whether the pupil also learns from what its choices earn."""
        return self.done >= 1.0 - self.config.practice

    def _reckon(self, rollout: Rollout, values: Tensor) -> None:
        """Tell how much better each choice turned out than the teacher expected of its scene; a time limit is an end like any other."""
        rollout.gamma, rollout.gae_lambda = self.teacher.gamma, PRACTICE_LAMBDA
        rollout.values = values.view_as(rollout.values)
        rollout.compute_returns_and_advantage(self.teacher.comment(self.worlds.scene).values, self._starts.cpu().numpy())

    def _step(self, actions: Tensor) -> Tensor:
        """Advance the worlds."""
        space: Any = self.model.action_space
        numbers = actions.cpu().numpy()
        bounded = np.clip(numbers, space.low, space.high) if hasattr(space, "low") else numbers
        self._observation, rewards, dones, _ = self.env.step(bounded)
        self._starts_before = self._starts
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
        self.model._current_progress_remaining = max(0.0, 1.0 - self.done)  # which the auxiliary lessons' weight follows
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
        policy, tutor = self.model.policy, self.model.tutor
        seen, fused = (features(self.model, part), None) if tutor is None else with_map(self.model, part)
        latent_actor, latent_critic = policy.mlp_extractor(seen)
        distribution = policy._get_action_dist_from_latent(latent_actor)
        apart = divergence(distribution, lesson.parameters[part.places]).mean()
        wanted = lesson.values[part.places]
        error = ((policy.value_net(latent_critic).flatten() - wanted) ** 2).mean() / wanted.var().clamp(min=1e-6)
        weight = self.config.value_weight if self.teacher.expects else 0.0
        loss = (PRACTICE_COMMENTS if lesson.practised else 1.0) * apart + weight * error
        if lesson.practised:
            loss = loss - _earned(distribution, part)
        if tutor is not None and fused is not None:
            loss = loss + self.model.auxiliary_weight_now * tutor.loss(seen, fused, part, lesson.labels)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        self.optimiser.step()
        if tutor is not None:
            tutor.step(1.0)
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


def _earned(pupil: Distribution, part: Minibatch) -> Tensor:
    """PPO's surrogate of advantages that are standardised in the minibatch."""
    ratio = (pupil.log_prob(part.actions) - part.old_log_prob).exp()
    better = (part.advantages - part.advantages.mean()) / part.advantages.std().clamp(min=1e-6)
    return surrogate(better, ratio, PRACTICE_CLIP).mean()


def _some(rollout: Rollout, batch: int, most: int, lessons: int) -> list[Minibatch]:
    """A few minibatches of a rollout, in a drawn order: its share of what is to be learned, at least one."""
    wanted = min(most, max(1, -(-most // lessons)))
    parts = rollout.get(batch)
    found = [part for _, part in zip(range(wanted), parts, strict=False)]
    parts.close()
    return found
