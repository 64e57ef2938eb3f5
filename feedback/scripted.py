"""Scripted reviewers: they judge rides by a reward of their own and answer through the store like people.

The teachers are those of B-Pref (Lee et al. 2021, section 4): perfectly rational, noisily rational, myopic, mistaken, and ones that
skip or call equal what hardly differs. Their thresholds are shares of a typical return, once: the authors' own program multiplies by
epsilon again in every session after the first. Where returns are negative on average, such shares would switch the thresholds off; there
returns are counted from the worst one seen.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from envs.seeds import uniform
from feedback.gaps import gaps, lane_poses
from feedback.rows import Choice
from feedback.windows import Decisions, lane_changed, progress_mps
from sensors.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from feedback.store import Store

PLAIN_SPEED_MPS = 20.0
HEADWAY_S = 1.0
SAME_RETURN = 1e-6


def true_reward(decisions: Decisions) -> Tensor:
    """What the scripted teachers like: progress, no crash, few lane changes, a headway of a second.

    Per second 1 + (progress - 20 m) / 10 - 0.5 where the headway is under a second; -10 for a crash and -0.1 for a lane change; 0
    once the ride is over.

    Args:
        decisions: One ride of D decisions.

    Returns:
        (D,).
    """
    scene, next_scene = decisions.scene, decisions.next_scene
    poses, next_poses = lane_poses(scene), lane_poses(next_scene)
    close = gaps(next_scene, next_poses).headway_s < HEADWAY_S
    rate = 1.0 + (progress_mps(scene, next_scene, poses) - PLAIN_SPEED_MPS) / 10.0 - 0.5 * close
    crash = next_scene.crashed[:, 0]
    reward = rate * decisions.dt_s - 10.0 * crash - 0.1 * lane_changed(scene, poses, next_poses)
    return torch.where(decisions.over, torch.zeros_like(reward), reward)


@dataclass(frozen=True)
class ReturnScale:
    """What returns are like, to rescale thresholds by."""

    worst: float
    """The return that counts as 0."""
    mean: float
    """The mean return."""

    @property
    def typical(self) -> float:
        """The mean, counted from the worst."""
        return self.mean - self.worst

    @classmethod
    def of(cls, returns: Sequence[float]) -> ReturnScale:
        """Take the scale from rides' returns.

        Raises:
            ConfigError: There are none.
        """
        if not returns:
            raise ConfigError("ReturnScale.of got no returns, expected those of some rides")
        return cls(min(returns), sum(returns) / len(returns))

    @classmethod
    def of_episodes(cls, returns: Sequence[float], decisions: int, clip_decisions: int) -> ReturnScale:
        """Take the scale from whole episodes as B-Pref does: the mean of the last ten, times the share of an episode that a clip is.

        Args:
            returns: True returns of episodes, oldest first.
            decisions: T, of an episode.
            clip_decisions: H, of a clip.

        Returns:
            m = mean * H / T, counted from 0 where it is above 0; otherwise counted from the worst, so that thresholds stay thresholds.

        Raises:
            ConfigError: There are none.
        """
        last = cls.of([value * clip_decisions / decisions for value in returns[-10:]])
        return cls(0.0, last.mean) if last.mean > 0 else last


@dataclass(frozen=True)
class Teacher:
    """A reviewer who judges by ``true_reward``."""

    rationality: float = math.inf
    """beta: how surely the better ride wins, P(A) = sigmoid(beta (R_A - R_B)); infinite: always."""
    discount: float = 1.0
    """gamma: what came earlier counts less, R = sum over t of gamma^(D - 1 - t) r_t."""
    mistake: float = 0.0
    """epsilon: share of answers that are turned round."""
    equal: float = 0.0
    """Rides are equal if their returns differ by less than this share of the mean."""
    skip: float = 0.0
    """Pairs are skipped if neither ride returns more than this share of the mean."""
    scale: ReturnScale | None = None
    """What 'the mean' is, counted from the worst; needed by equal and skip."""
    seed: int = 0
    """Chooses which answers go wrong."""

    def __post_init__(self) -> None:
        if not (self.rationality > 0 and 0 < self.discount <= 1 and 0 <= self.mistake < 0.5 and self.equal >= 0 and self.skip >= 0):
            raise ConfigError(
                f"{self}: expected rationality > 0, discount in (0, 1], mistake in [0, 0.5), and equal and skip of at least 0"
            )

    @property
    def _scale(self) -> ReturnScale:
        if self.scale is None:
            raise ConfigError(f"{self}: equal and skip are shares of a typical return; give scale=ReturnScale.of(returns of some rides)")
        return self.scale

    def ride_return(self, rewards: Tensor) -> float:
        """Sum a ride's rewards (D,), later ones in full."""
        ages = torch.arange(len(rewards) - 1, -1, -1, dtype=torch.float64)
        return float((self.discount**ages * rewards.double()).sum())

    def probabilities(self, rewards_a: Tensor, rewards_b: Tensor) -> dict[Choice, float]:
        """How likely each answer is, given both rides' rewards (D,)."""
        one, other = self.ride_return(rewards_a), self.ride_return(rewards_b)
        if self.skip and max(one, other) - self._scale.worst <= self.skip * self._scale.typical:
            return {"skip": 1.0}
        if abs(one - other) <= SAME_RETURN or (self.equal and abs(one - other) < self.equal * self._scale.typical):
            return {"tie": 1.0}
        if math.isinf(self.rationality):
            better = float(one > other)
        else:
            better = float(torch.sigmoid(torch.tensor(self.rationality * (one - other), dtype=torch.float64)))
        told = better * (1.0 - self.mistake) + (1.0 - better) * self.mistake
        return {"A": told, "B": 1.0 - told}

    def answer(self, rewards_a: Tensor, rewards_b: Tensor, key: int) -> Choice:
        """Compare two rides.

        Args:
            rewards_a: The first ride's rewards, (D,).
            rewards_b: The second's.
            key: The question's number: the same question gets the same answer.
        """
        drawn = float(uniform(self.seed, key))
        for choice, probability in self.probabilities(rewards_a, rewards_b).items():
            drawn -= probability
            if drawn < 0:
                return choice
        return choice

    def ceiling(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
        """What nobody can beat in foretelling this teacher, who is not always the same.

        Args:
            pairs: Rewards of both rides of each pair; ones that are skipped do not count.

        Returns:
            Accuracy over pairs answered A or B, and negative log-likelihood over all that are answered.
        """
        told = [each for each in (self.probabilities(*pair) for pair in pairs) if "skip" not in each]
        decided = [max(each.values()) for each in told if "tie" not in each]
        entropy = [-sum(p * math.log(p) for p in each.values() if p > 0) for each in told]
        return sum(decided) / max(len(decided), 1), sum(entropy) / max(len(entropy), 1)


TEACHERS: dict[str, Teacher] = {
    "oracle": Teacher(),
    "stochastic": Teacher(rationality=1.0),
    "myopic": Teacher(discount=0.9),
    "mistake": Teacher(mistake=0.1),
    "equal": Teacher(equal=0.1),
    "skip": Teacher(skip=0.1),
}
"""B-Pref's six, with its constants."""


def teacher_named(name: str) -> Teacher:
    """Find one of ``TEACHERS``.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in TEACHERS:
        raise unknown_name("teacher", name, TEACHERS)
    return TEACHERS[name]


class Judge(Protocol):
    """Whoever answers pairs by rule."""

    def answer(self, rewards_a: Tensor, rewards_b: Tensor, key: int) -> Choice:
        """Compare two rides, given their true rewards (D,) and the question's number."""
        ...


def review_with(
    store: Store,
    reviewer_id: int,
    teacher: Judge,
    decisions_of: Callable[[str], Decisions],
    limit: int | None = None,
) -> int:
    """Let a scripted reviewer answer what is asked of it.

    Args:
        store: Where pairs and labels are.
        reviewer_id: Who the script is there.
        teacher: How it judges.
        decisions_of: Gives a clip's decisions by the clip's id.
        limit: Most answers; all that wait if None.

    Returns:
        How many answers were given.
    """
    judged: dict[str, Tensor] = {}

    def rewards(clip_id: str) -> Tensor:
        if clip_id not in judged:
            judged[clip_id] = true_reward(decisions_of(clip_id))
        return judged[clip_id]

    given = 0
    while limit is None or given < limit:
        began_s = time.monotonic()
        asked = store.next_pair(reviewer_id)
        if asked is None:
            break
        choice = teacher.answer(rewards(asked.clip_a.id), rewards(asked.clip_b.id), asked.pair_id)
        store.add_label(reviewer_id, asked.pair_id, choice, time.monotonic() - began_s, client_key=str(uuid.uuid4()))
        given += 1
    return given
