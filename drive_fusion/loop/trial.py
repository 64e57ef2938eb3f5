"""One trial of learning to drive by a reward: the teacher's own, or one learned from so many of the teacher's answers and nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from drive_fusion.loop.ahead import AheadVecEnv, Track
from drive_fusion.loop.rides import Chooser, Question, Rides, answered, ask, drive, tempers
from drive_fusion.loop.taste import taste_of
from drive_fusion.ppo import FusedPPO
from drive_fusion.privileged import BLIND
from envs.sb3 import make_sb3_vec
from envs.seeds import seed_set
from envs.world import World
from feedback.reward_fit import FitReport, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.reward_vec import Reward, RewardVecEnv
from feedback.scripted import teacher_named
from sensors.errors import ConfigError
from sensors.scene import Scene

FIRST_ROUNDS = 0.2
"""Share of the steps in each round but the last, which has the rest."""


@dataclass(frozen=True)
class TrialConfig:
    """What all trials have in common."""

    id: str = "intersection-v0"
    """highway-env's name of the world; its ego must choose its speed alone."""
    steps: int = 130_000
    """Environment steps of PPO."""
    num_envs: int = 256
    """Worlds stepped side by side."""
    n_steps: int = 13
    """Decisions of every world between updates."""
    batch: int = 832
    """Decisions a gradient step."""
    epochs: int = 6
    """Passes over a rollout."""
    lr: float = 3e-3
    """Adam's learning rate at the start; it falls to nothing in a straight line."""
    entropy: float = 0.003
    """Weight of the policy's entropy."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation's lambda; the discount factor is 1 over the fixed horizon."""
    rounds: int = 2
    """Rounds of driving, asking, learning the reward and learning to drive; each asks the same share of the labels."""
    rides: int = 200
    """Rides that clips are cut from, in each round."""
    deviation: float = 0.5
    """What PPO is paid deviates so much over decisions of many different drivers: with larger rewards the critic drowns the policy."""
    clip_decisions: int = 8
    """Decisions of a clip."""
    members: int = 5
    """Networks in the reward's ensemble."""
    test_seeds: int = 1000
    """Test episodes that each driver is scored on; nothing trains on them."""

    def __post_init__(self) -> None:
        if self.num_envs * self.n_steps % self.batch:
            raise ConfigError(f"a rollout of {self.num_envs} x {self.n_steps} decisions is no multiple of batch {self.batch}")
        if min(self.steps, self.rounds, self.rides, self.test_seeds, self.epochs) < 1:
            raise ConfigError(f"{self}: expected counts of 1 or more")


@dataclass(frozen=True)
class Outcome:
    """How a driver did on the test seeds, and what its reward was learned from."""

    returns: tuple[float, ...]
    """The teacher's true reward of each test episode."""
    crashed: tuple[float, ...]
    """0 or 1 for each."""
    labels: int = 0
    fits: tuple[dict[str, Any], ...] = ()
    """What learning the reward came to, round by round."""
    seconds: float = 0.0


def constant_outcome(config: TrialConfig, action: int) -> Outcome:
    """Score a driver that always does the same."""
    return _scored(config, lambda scene, decision: torch.full((scene.num_worlds,), action))


def true_outcome(config: TrialConfig, seed: int, track: Track) -> Outcome:
    """Train on the teacher's true reward and score."""
    began_s = time.monotonic()
    answers = _Answers(config, seed, "oracle")
    answers.record(None)
    taste = taste_of(config.id)
    learner = Learner(config, seed, track, Changed(taste, config.deviation / answers.deviation), config.steps)
    learner.practise()
    return _scored(config, learner.choose, seconds=time.monotonic() - began_s)


def learned_outcome(config: TrialConfig, seed: int, track: Track, teacher: str, labels: int, offset: float = 0.0) -> Outcome:
    """Train on a reward learned from a teacher's answers alone and score.

    Each round's driver begins anew on that round's reward: habits that an earlier reward paid for are not unlearned in time.

    Args:
        config: How.
        seed: Of all that is drawn.
        track: Of the id.
        teacher: One of ``feedback.scripted.TEACHERS``. What its mistakes are like is not told: the fit has to find out.
        labels: How many questions it answers.
        offset: Added to every learned reward, absorbing states' too.
    """
    began_s = time.monotonic()
    answers = _Answers(config, seed, teacher)
    learner: Learner | None = None
    for number in range(config.rounds):
        answers.record(None if learner is None else learner.explore)
        answers.ask(labels * (number + 1) // config.rounds)
        model = answers.fit()
        share = min(FIRST_ROUNDS, 1.0 / config.rounds)
        if number == config.rounds - 1:
            share = 1.0 - number * share
        learner = Learner(config, seed, track, Changed(model, config.deviation, offset), round(share * config.steps))
        learner.practise()
    assert learner is not None  # there is at least one round
    fits = tuple(report.as_dict() for report in answers.reports)
    return _scored(config, learner.choose, len(answers.questions), fits, time.monotonic() - began_s)


def _scored(config: TrialConfig, choose: Chooser, labels: int = 0, fits: tuple[dict[str, Any], ...] = (), seconds: float = 0.0) -> Outcome:
    world = World(config.id, min(256, config.test_seeds))
    rides = drive(world, choose, seed_set("test", config.test_seeds), taste_of(config.id), None)
    return Outcome(tuple(rides.returns.tolist()), tuple(rides.crashed.float().tolist()), labels, fits, seconds)


@dataclass(frozen=True)
class Changed:
    """A reward that is larger by a constant and then scaled, in absorbing states too."""

    of: Reward
    scale: float
    offset: float = 0.0

    def reward(self, scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor) -> Tensor:
        """Reward of one decision, (B,)."""
        return self.scale * (self.of.reward(scene, actions, next_scene, terminal).double() + self.offset)

    def after_the_end(self, next_scene: Scene) -> Tensor:
        """Reward of every decision after an end, (B,)."""
        return self.scale * (self.of.after_the_end(next_scene).double() + self.offset)


class Learner:
    """PPO on some reward, over fixed horizons, seeing the look-ahead."""

    def __init__(self, config: TrialConfig, seed: int, track: Track, reward: Reward, steps: int) -> None:
        """Begin with fresh weights, for so many environment steps."""
        worlds = make_sb3_vec(config.id, config.num_envs, rig=BLIND, seed=seed)
        self.horizon_steps = int(worlds.world.horizon_steps)  # type: ignore[union-attr]
        self.track, self.steps = track, steps
        self.ppo = FusedPPO(
            "MlpPolicy",
            AheadVecEnv(RewardVecEnv(worlds, reward, 1.0, self.horizon_steps, centred=True), track),
            device="cpu",
            seed=seed,
            learning_rate=lambda left: config.lr * max(left, 0.0),
            n_steps=config.n_steps,
            batch_size=config.batch,
            n_epochs=config.epochs,
            gamma=1.0,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy,
            max_grad_norm=2.0,
            policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
        )

    def practise(self) -> None:
        """Drive and learn."""
        self.ppo.learn(self.steps)

    def _look(self, scene: Scene, decision: int) -> Any:
        return self.track.look(scene, torch.full((scene.num_worlds,), decision / self.horizon_steps)).numpy()

    def choose(self, scene: Scene, decision: int) -> Tensor:
        """The likeliest action in every world."""
        return torch.as_tensor(self.ppo.predict(self._look(scene, decision), deterministic=True)[0])

    def explore(self, scene: Scene, decision: int) -> Tensor:
        """An action drawn as PPO draws it."""
        return torch.as_tensor(self.ppo.predict(self._look(scene, decision), deterministic=False)[0])


class _Answers:
    """The rides that were recorded so far, what was asked about them, and the reward that was learned from the answers."""

    def __init__(self, config: TrialConfig, seed: int, teacher: str) -> None:
        self.config, self.seed = config, seed
        self.teacher = teacher_named(teacher)
        self.world = World(config.id, config.rides)
        self.reward = RewardConfig(members=config.members, folds=config.members + 1, seed=seed)
        self.rides: Rides | None = None
        self.questions: list[Question] = []
        self.model: RewardModel | None = None
        self.reports: list[FitReport] = []

    @property
    def deviation(self) -> float:
        """Of the teacher's reward, over decisions that were driven."""
        assert self.rides is not None  # record comes first
        return float(self.rides.reward[~(self.rides.dead | self.rides.arrived)].std())

    def record(self, choose: Chooser | None) -> Rides:
        """Record rides of a driver, of many different ones if None; all rides so far are kept."""
        number = len(self.reports)
        seeds = seed_set("train", self.config.rides, seed=1_000 * (self.seed + 1) + number)
        driver = choose or tempers(seeds, self.world.num_actions or 0, self.seed)
        fresh = drive(self.world, driver, seeds, taste_of(self.config.id), self.reward.windows)
        self.rides = fresh if self.rides is None else Rides.joined((self.rides, fresh))
        return self.rides

    def ask(self, until: int) -> None:
        """Ask about what was recorded, the newest rides among it, until so many answers in all."""
        assert self.rides is not None  # record comes first
        wanted, seed = until - len(self.questions), 100 * self.seed + len(self.reports)
        self.questions += ask(self.rides, wanted, self.config.clip_decisions, seed, newest=self.config.rides)

    def fit(self) -> RewardModel:
        """Learn the reward from all answers."""
        assert self.rides is not None  # ask comes first
        shown, comparisons = answered(self.rides, self.questions, self.config.clip_decisions, self.teacher, self.seed)
        self.model, report = fit_reward(shown, comparisons, (), self.reward, self.model)
        self.reports.append(report)
        return self.model
