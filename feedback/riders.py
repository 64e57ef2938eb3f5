"""Scripted people at the wheel and at the page who are each wrong in a way of their own: what a reward model has to see through."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from envs.seeds import uniform
from feedback.rows import Choice
from feedback.takeover import Rider, Takeover
from sensors.errors import unknown_name
from sensors.scene import Scene

RIDERS: dict[str, Rider] = {
    "time-to-collision": Rider(),
    "late": Rider(reaction_s=2.0),
    "over-cautious": Rider(threshold_s=4.0, safe_s=6.0, calm_s=4.0),
}
"""Who takes the wheel when a collision is near: in time; much too late, so that some crashes come first; long before there is need."""


def rider_named(name: str) -> Rider | ColludingRider:
    """Find one of ``RIDERS``, or ``"colluding"``.

    Raises:
        ConfigError: There is none of that name.
    """
    if name == "colluding":
        return ColludingRider()
    if name not in RIDERS:
        raise unknown_name("rider", name, (*RIDERS, "colluding"))
    return RIDERS[name]


@dataclass(frozen=True)
class Colluder:
    """One of a ring who agreed on their answers and look at no ride: they agree with one another and with nobody else."""

    ring: int = 0
    """Members of a ring share this number."""

    def answer(self, rewards_a: Tensor, rewards_b: Tensor, key: int) -> Choice:
        """Give the ring's answer to question ``key``; the rides' rewards (D,) do not matter."""
        return "A" if float(uniform(self.ring, 11, key)) < 0.5 else "B"


@dataclass(frozen=True)
class ColludingRider:
    """One of a ring who take the wheel in the rides that they agreed on, at the instant that they agreed on."""

    ring: int = 0
    """Members of a ring share this number."""
    share: float = 0.5
    """In how many rides."""

    def watch(self, scenes: Scene, dt_s: float) -> Takeover:
        """Watch a recorded ride of N instants: as ``Rider.watch``, whatever is to be seen."""
        end_s = (len(scenes.time_s) - 1) * dt_s
        ride = (int(scenes.episode_seed[0]), int(scenes.step[0]))
        if float(uniform(self.ring, 12, *ride)) < self.share:
            return Takeover(float(uniform(self.ring, 13, *ride)) * end_s, end_s, "agreed")
        return Takeover(None, end_s)
