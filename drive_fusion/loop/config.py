"""Options of ``drive-fusion train --alternate``: how driving, asking and learning take turns."""

from __future__ import annotations

from dataclasses import dataclass

from sensors.errors import ConfigError

SMALLEST_PANEL = 8


@dataclass(frozen=True)
class LoopConfig:
    """How rollouts, questions, answers, the reward's update and PPO take turns."""

    rounds: int = 4
    """Turns in all; a finished run may be resumed with more."""
    labels: int = 120
    """Pairs that are asked about in each turn."""
    people: float = 0.0
    """Share of the pairs, and of the panel's, that people answer in the review room; scripts answer the rest. The run waits for people
    without holding the device."""
    scripts: tuple[str, ...] = ("oracle",)
    """Scripted reviewers, of feedback.scripted.TEACHERS; they share what people do not answer."""
    episodes: int = 24
    """Episodes of each driver that clips are cut from, in each turn."""
    panel: int = 48
    """Held-out starts on which each turn's policy is scored and compared, ride by ride, with the last approved one; what is said there is
    never learned from."""
    kl: float = 0.1
    """Weight of the policy's distance from the last approved one; 0 lets it go where it likes."""
    poll_s: float = 2.0
    """Time between looks at what people have answered."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.labels, self.episodes) < 1 or self.panel < SMALLEST_PANEL:
            raise ConfigError(f"{self}: expected counts of 1 or more, and a panel of at least {SMALLEST_PANEL}: fewer rides show nothing")
        if not 0.0 <= self.people <= 1.0 or self.kl < 0.0 or not self.poll_s > 0.0:
            raise ConfigError(f"{self}: expected a share of people in [0, 1], kl of 0 or more, and poll_s above 0")
        if self.people < 1.0 and not self.scripts:
            raise ConfigError(
                f"loop: scripts are to answer {100 * (1 - self.people):.0f} % of the pairs, but none is named; set people to 1"
            )
