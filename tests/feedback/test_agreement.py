"""Krippendorff's alpha against hand-worked and published values, its intervals, and the report on each reviewer."""

from __future__ import annotations

import random

import pytest

from feedback.agreement import agreement, alpha_nominal, reviewer_reports
from feedback.store import Store

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), data of section C: four observers, twelve units, missing values.
PUBLISHED = """
1 1 . 1
2 2 3 2
3 3 3 3
3 3 3 3
2 2 2 2
1 2 3 4
4 4 4 4
1 1 2 1
2 2 2 2
. 5 5 5
. . 1 1
. . 3 .
"""


def test_the_published_example_has_its_published_value() -> None:
    units = [[value for value in line.split() if value != "."] for line in PUBLISHED.strip().splitlines()]
    assert alpha_nominal(units) == pytest.approx(0.743, abs=5e-4)


def test_worked_by_hand() -> None:
    # Units AA, AB: coincidences AA 2, AB 1, BA 1; n = 4, n_A = 3, n_B = 1; 1 - 3 * 2 / (3 * 1 + 1 * 3) = 0.
    assert alpha_nominal([["A", "A"], ["A", "B"]]) == pytest.approx(0.0)
    # Units AA, BB: no disagreement.
    assert alpha_nominal([["A", "A"], ["B", "B"]]) == 1.0
    # Units AB, AB: observed 4, expected 2 * 2 + 2 * 2 = 8; 1 - 3 * 4 / 8 = -1/2: worse than chance.
    assert alpha_nominal([["A", "B"], ["A", "B"]]) == pytest.approx(-0.5)


@pytest.mark.parametrize("units", [[], [["A"]], [["A"], ["B"]], [["A", "A"], ["A", "A"]]])
def test_where_nothing_can_be_said_nothing_is_said(units: list[list[str]]) -> None:
    assert alpha_nominal(units) is None


def test_answers_by_chance_have_an_alpha_near_zero_whatever_their_shares() -> None:
    generator = random.Random(3)
    for shares in ((1, 1, 1), (8, 1, 1)):
        units = [generator.choices("ABt", shares, k=3) for _ in range(4000)]
        assert abs(alpha_nominal(units) or 1.0) < 0.03


def judge(store: Store, name: str, choices: str) -> int:
    """Answer the small study's four pairs: 'A', 'B', 't'ie, 's'kip."""
    reviewer_id, _ = store.add_reviewer(name)
    words = {"t": "tie", "s": "skip"}
    for (pair_id, *_), choice in zip(store.pairs(), choices, strict=True):
        store.add_label(reviewer_id, pair_id, words.get(choice, choice), 2.0 + pair_id)  # type: ignore[arg-type]
    return reviewer_id


def test_agreement_of_a_study_leaves_out_what_says_nothing(store: Store) -> None:
    judge(store, "otter", "ABts")
    judge(store, "heron", "ABtA")
    judge(store, "adder", "ABBs")
    found = agreement(store.labels(), draws=200)
    assert found.units == 3
    # Names are clips, so every unit has its own: AAA, BBB (two triples that agree) and t t B.
    assert found.alpha == pytest.approx(alpha_nominal([list("aaa"), list("bbb"), list("ttc")]))
    assert found.low is not None and found.high is not None and found.low <= (found.alpha or 0) <= found.high


def test_a_mirrored_pair_is_the_same_unit(store: Store) -> None:
    pair_id, first, second, _ = store.pairs()[0]
    turned = store.add_pair(second, first, "mirror")
    store.add_label(store.add_reviewer("otter")[0], pair_id, "A", 1.0)
    store.add_label(store.add_reviewer("heron")[0], turned, "B", 1.0)
    store.add_label(store.add_reviewer("adder")[0], turned, "A", 1.0)
    assert agreement(store.labels(), draws=0).units == 1
    reports = {report.reviewer: report.agrees for report in reviewer_reports(store.labels())}
    assert reports == {"otter": 0.5, "heron": 0.5, "adder": 0.0}


def test_the_interval_is_narrower_with_more_units_and_holds_the_truth() -> None:
    from feedback.rows import LabelRow

    def study(pairs: int) -> list[LabelRow]:
        generator = random.Random(pairs)
        rows = []
        for pair in range(pairs):
            truth = generator.choice(["A", "tie"])
            for reviewer in range(3):
                said = truth if generator.random() < 0.8 else generator.choice(["A", "tie"])
                rows.append(
                    LabelRow(0, pair, "x", "y" * (pair + 2), "", reviewer, str(reviewer), False, said, None, 1.0, 0, False, "", 0.0)
                )
        return rows

    few, many = (agreement(study(pairs), draws=300) for pairs in (40, 400))
    widths = [(found.high or 0) - (found.low or 0) for found in (few, many)]
    assert widths[1] < 0.5 * widths[0]
    assert (many.low or 1) <= 0.64 <= (many.high or 0)  # two answers agree beyond chance if both follow the truth: 0.8 squared


def test_the_report_on_a_reviewer(store: Store) -> None:
    judge(store, "otter", "ABts")
    judge(store, "heron", "AAts")
    known = {store.pairs()[0][0]: "A", store.pairs()[1][0]: "B"}
    otter = {report.reviewer: report for report in reviewer_reports(store.labels(), known)}["otter"]
    assert (otter.labels, otter.ties, otter.unusable, otter.gold) == (4, 1, 1, (2, 2))
    assert otter.agrees == pytest.approx(2 / 3)
    assert otter.median_latency_s == 5.0
    shown_left = [label for label in store.labels() if label.reviewer == "otter" and label.choice in ("A", "B")]
    assert otter.left_share == sum((label.choice == "A") != label.mirrored for label in shown_left) / 2
