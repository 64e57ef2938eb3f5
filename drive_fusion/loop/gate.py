"""When a policy may be approved, and when learning must stop because the reward is being gamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drive_fusion.intervals import Estimate, mean, paired_difference

M_PER_100KM = 1e5


@dataclass(frozen=True)
class Driven:
    """How one policy drove on the panel's starts, in their order."""

    learned: tuple[float, ...]
    """Learned reward of each ride over the horizon, all by the same reward model."""
    progress_m: tuple[float, ...]
    crashed: tuple[float, ...]
    """0 or 1."""
    takeovers: tuple[float, ...]
    """0 or 1: whether somebody with a hand at the wheel took it."""
    distance_m: tuple[float, ...]

    @property
    def takeovers_per_100km(self) -> float | None:
        """None for a car that went nowhere: the figure that a parked car would look perfect by."""
        return _per_100km(self.takeovers, self.distance_m)

    @property
    def collisions_per_100km(self) -> float | None:
        """None for a car that went nowhere."""
        return _per_100km(self.crashed, self.distance_m)

    def summary(self) -> dict[str, float | None]:
        """The figures that stand beside each other."""
        return {
            "learned": float(np.mean(self.learned)),
            "progress_m": float(np.mean(self.progress_m)),
            "crashed": float(np.mean(self.crashed)),
            "takeovers_per_100km": self.takeovers_per_100km,
            "collisions_per_100km": self.collisions_per_100km,
        }


def _per_100km(events: Sequence[float], distance_m: Sequence[float]) -> float | None:
    total_m = sum(distance_m)
    return None if total_m < len(distance_m) else M_PER_100KM * sum(events) / total_m


@dataclass(frozen=True)
class Verdict:
    """What follows from a turn."""

    approved: bool
    stop: bool
    why: str
    learned_gain: Estimate
    """Candidate less approved policy, learned reward a ride."""
    panel: Estimate
    """Share of panel pairs in which the candidate's ride was preferred, ties half."""


def judge(candidate: Driven, approved: Driven, preferred: Sequence[float]) -> Verdict:
    """Decide about a candidate.

    Args:
        candidate: The new policy.
        approved: The last approved one, on the same starts.
        preferred: For each panel pair 1 if the candidate's ride was preferred, 0.5 for a tie, 0 otherwise.

    Returns:
        Stop: the learned reward rises and the panel falls, both beyond chance (95 %). Approved: neither that, nor a gate that is shut.
    """
    gain, panel = paired_difference(candidate.learned, approved.learned), mean(preferred)
    if over_optimised(gain, panel):
        why = (
            f"learned reward rises by {gain.text(2)} a ride, while the held-out panel prefers the new rides in only "
            f"{panel.text(0, 100)} %: the reward is being gamed"
        )
        return Verdict(False, True, why, gain, panel)
    reasons = shut(candidate, approved)
    if panel.high < 0.5:
        reasons.append(f"the held-out panel prefers the new rides in only {panel.text(0, 100)} %")
    return Verdict(not reasons, False, "; ".join(reasons) or "nothing speaks against it", gain, panel)


def over_optimised(learned_gain: Estimate, panel: Estimate) -> bool:
    """Whether learned reward rises while the held-out panel falls, both beyond chance."""
    return learned_gain.low > 0.0 and panel.high < 0.5


def shut(candidate: Driven, approved: Driven) -> list[str]:
    """Why a candidate may not be approved, in words; nothing if it may.

    Fewer takeovers are no merit of a car that gets less far: a parked one is never taken over.
    """
    reasons = []
    progress = paired_difference(candidate.progress_m, approved.progress_m)
    takeovers = sum(candidate.takeovers) - sum(approved.takeovers)
    if progress.value < 0.0 and takeovers < 0:
        reasons.append(f"takeovers fall while progress falls, by {progress.text(1)} m a ride")
    elif progress.high < 0.0 and takeovers <= 0:
        reasons.append(f"progress falls by {progress.text(1)} m a ride, with as many takeovers")
    crashes = paired_difference(candidate.crashed, approved.crashed)
    if crashes.low > 0.0:
        reasons.append(f"crashes rise by {crashes.text(0, 100)} points")
    return reasons
