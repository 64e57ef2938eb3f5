"""How far reviewers agree: Krippendorff's alpha for names, with bootstrap intervals, and what is known of each reviewer.

Krippendorff, Content Analysis (2004), chapter 11: alpha = 1 - observed disagreement / expected disagreement, over the coincidences of
values within units; units that fewer than two people judged say nothing. 1 is agreement, 0 is chance.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from feedback.rows import LabelRow

SPOKEN = ("A", "B", "tie")
"""Answers that say something of the pair; 'cannot' and 'skip' are missing values."""


def alpha_nominal(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha of names.

    Args:
        units: The values that each unit was given, missing ones left out.

    Returns:
        Alpha; None where nothing can be said: no unit has two values, or all values are the same.
    """
    within: defaultdict[tuple[Hashable, Hashable], float] = defaultdict(float)  # coincidences, weighted
    total: Counter[Hashable] = Counter()
    for values in units:
        count = len(values)
        if count < 2:
            continue
        tally = Counter(values)
        total.update(tally)
        for value, times in tally.items():
            for other, others in tally.items():
                within[value, other] += times * (others - (value == other)) / (count - 1)
    number = sum(total.values())
    expected = sum(times * (number - times) for times in total.values())
    if number < 2 or expected == 0:
        return None
    observed = sum(weight for (value, other), weight in within.items() if value != other)
    return 1.0 - (number - 1) * observed / expected


@dataclass(frozen=True)
class Agreement:
    """How far reviewers agree."""

    alpha: float | None
    """Krippendorff's alpha; None where nothing can be said."""
    low: float | None
    """Lower end of the 95 % interval, by drawing units again."""
    high: float | None
    """Its upper end."""
    units: int
    """How many pairs two or more people judged."""


def agreement(labels: Sequence[LabelRow], draws: int = 1000, seed: int = 0) -> Agreement:
    """Say how far people and scripts agree about pairs.

    Clips of a mirrored pair in another row count as the same unit: a pair is its two clips, whatever their order.

    Args:
        labels: Standing labels.
        draws: How many bootstrap draws; 0 for none.
        seed: Of the draws.
    """
    units = [values for values in units_of(labels) if len(values) >= 2]
    alpha = alpha_nominal(units)
    if alpha is None or draws == 0:
        return Agreement(alpha, None, None, len(units))
    generator = random.Random(seed)
    drawn = (alpha_nominal(generator.choices(units, k=len(units))) for _ in range(draws))
    # A draw in which all say the same shows no disagreement at all.
    found = sorted(1.0 if each is None else each for each in drawn)
    return Agreement(alpha, found[round(0.025 * (draws - 1))], found[round(0.975 * (draws - 1))], len(units))


def units_of(labels: Sequence[LabelRow]) -> list[list[str]]:
    """What was said of each pair of clips, once by each reviewer (their latest answer)."""
    said: defaultdict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for label in labels:
        if label.choice in SPOKEN:
            first, second = sorted((label.clip_a, label.clip_b))
            better = {"A": label.clip_a, "B": label.clip_b}.get(label.choice, "tie")
            said[first, second][label.reviewer_id] = better
    return [list(values.values()) for _, values in sorted(said.items())]


@dataclass(frozen=True)
class ReviewerReport:
    """What is known of one reviewer, by pseudonym."""

    reviewer: str
    """Pseudonym."""
    scripted: bool
    """True for a program."""
    labels: int
    """Standing answers."""
    ties: int
    """Of these: about the same."""
    unusable: int
    """Of these: cannot compare, or skipped."""
    left_share: float | None
    """Of those for one side: the share for the left; far from one half is a side bias."""
    median_latency_s: float | None
    """Usual time for an answer [s]."""
    agrees: float | None
    """How often they say what another reviewer said of the same pair; None without a second opinion."""
    gold: tuple[int, int]
    """Of pairs whose answer is known: right, and all."""


def reviewer_reports(labels: Sequence[LabelRow], known: dict[int, str] | None = None) -> list[ReviewerReport]:
    """Report on each reviewer, in the order of their pseudonyms.

    Args:
        labels: Standing labels.
        known: Known answers, by pair.
    """
    by_reviewer: defaultdict[str, list[LabelRow]] = defaultdict(list)
    for label in labels:
        by_reviewer[label.reviewer].append(label)
    peers = _peers(labels)
    return [_report(name, mine, peers[name], known or {}) for name, mine in sorted(by_reviewer.items())]


def _report(name: str, mine: Sequence[LabelRow], peers: tuple[int, int], known: dict[int, str]) -> ReviewerReport:
    sided = [(label.choice == "A") != label.mirrored for label in mine if label.choice in ("A", "B")]
    times = sorted(label.latency_s for label in mine)
    gold = [label.choice == known[label.pair_id] for label in mine if label.pair_id in known and label.choice in SPOKEN]
    return ReviewerReport(
        reviewer=name,
        scripted=mine[0].scripted,
        labels=len(mine),
        ties=sum(label.choice == "tie" for label in mine),
        unusable=sum(label.choice not in SPOKEN for label in mine),
        left_share=sum(sided) / len(sided) if sided else None,
        median_latency_s=times[len(times) // 2],
        agrees=peers[0] / peers[1] if peers[1] else None,
        gold=(sum(gold), len(gold)),
    )


def _peers(labels: Sequence[LabelRow]) -> defaultdict[str, tuple[int, int]]:
    """For each reviewer: how often they agree with another about the same pair, and how often they were compared."""
    of_pair: defaultdict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for label in labels:
        if label.choice in SPOKEN:
            better = {"A": label.clip_a, "B": label.clip_b}.get(label.choice, "tie")
            of_pair[tuple(sorted((label.clip_a, label.clip_b)))][label.reviewer] = better
    counts: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for said in of_pair.values():
        tally = Counter(said.values())
        for reviewer, value in said.items():
            same, all_ = counts[reviewer]
            counts[reviewer] = (same + tally[value] - 1, all_ + len(said) - 1)
    return counts
