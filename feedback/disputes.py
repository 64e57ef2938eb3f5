"""Pairs that need a second look: reviewers differ about them, somebody contradicts themselves, or the known answer was missed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from feedback.agreement import SPOKEN
from feedback.rows import LabelRow


@dataclass(frozen=True)
class Dispute:
    """Two clips about which not all is said alike."""

    first: str
    """The clip whose name sorts first."""
    second: str
    """The other."""
    said: tuple[tuple[str, str], ...]
    """Pseudonym and the clip that they prefer, or 'tie', oldest first."""
    entropy: float
    """Of the answers [nats]: 0 if all agree."""
    contradicted: tuple[str, ...]
    """Who said different things of it at different times."""
    missed: tuple[str, ...]
    """Who missed the known answer."""

    @property
    def urgency(self) -> tuple[int, float, int]:
        """What comes first in the queue: a missed answer, then how far opinions are apart, then how many there are."""
        return len(self.missed), self.entropy, len(self.said)


def disagreement_queue(labels: Sequence[LabelRow], known: dict[int, str] | None = None) -> list[Dispute]:
    """Pairs that need a second look, most urgent first.

    Clips that were shown in both orders are one pair.

    Args:
        labels: Standing labels.
        known: Known answers, by the pair's number.

    Returns:
        Those pairs only about which something is not alike.
    """
    of_pair: defaultdict[tuple[str, str], list[LabelRow]] = defaultdict(list)
    for label in sorted(labels, key=lambda each: each.id):
        if label.choice in SPOKEN:
            first, second = sorted((label.clip_a, label.clip_b))
            of_pair[first, second].append(label)
    disputes = (_dispute(pair, rows, known or {}) for pair, rows in sorted(of_pair.items()))
    return sorted((each for each in disputes if each.urgency[:2] != (0, 0.0)), key=lambda each: each.urgency, reverse=True)


def better_of(label: LabelRow) -> str:
    """The clip that a label prefers, or 'tie'."""
    return {"A": label.clip_a, "B": label.clip_b}.get(label.choice, "tie")


def _dispute(pair: tuple[str, str], rows: Sequence[LabelRow], known: dict[int, str]) -> Dispute:
    said = [(row.reviewer, better_of(row)) for row in rows]
    tally = Counter(better for _, better in said)
    shares = [count / len(said) for count in tally.values()]
    opinions: defaultdict[str, set[str]] = defaultdict(set)
    for reviewer, better in said:
        opinions[reviewer].add(better)
    return Dispute(
        *pair,
        said=tuple(said),
        entropy=abs(sum(share * math.log(share) for share in shares)),
        contradicted=tuple(sorted(name for name, values in opinions.items() if len(values) > 1)),
        missed=tuple(sorted({row.reviewer for row in rows if row.pair_id in known and row.choice != known[row.pair_id]})),
    )


def self_agreement(labels: Sequence[LabelRow]) -> dict[str, tuple[int, int]]:
    """For each reviewer: of the pairs that they judged again, repeated or mirrored, how often they said the same, and of how many."""
    of_pair: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for label in sorted(labels, key=lambda each: each.id):
        if label.choice in SPOKEN:
            first, second = sorted((label.clip_a, label.clip_b))
            of_pair[label.reviewer, first, second].append(better_of(label))
    told: dict[str, tuple[int, int]] = {}
    for (reviewer, *_), answers in sorted(of_pair.items()):
        same, again = told.get(reviewer, (0, 0))
        told[reviewer] = (same + sum(one == answers[0] for one in answers[1:]), again + len(answers) - 1)
    return told
