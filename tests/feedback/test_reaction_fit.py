"""How late people are, given a hazard that is only learned: what is recovered, and how intervals follow what the hazard gets wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from feedback.hazard import HazardConfig, Ride, _held_out, fit_hazard, tables
from feedback.reaction import ReactionTime
from feedback.reaction_fit import Watched, fit_reaction
from tests.feedback.test_hazard import planted_rides


def foretold(rides: list[Ride], calm: float = 0.02, danger: float = 0.6) -> Watched:
    """The planted hazard itself, or another one."""
    features, onsets = tables(rides)
    chance = torch.where(features[..., 0] > 0.5, danger, calm)
    return Watched(torch.logit(chance), onsets, torch.arange(len(rides)))


def test_planted_reaction_times_lie_within() -> None:
    inside = []
    for seed, (median_s, spread) in enumerate(((0.2, 0.3), (0.8, 0.4), (2.0, 0.5), (0.4, 0.2), (1.2, 0.3))):
        found = fit_reaction(foretold(planted_rides(200, 2 + seed, median_s, spread)), ReactionTime())
        inside += [found.median_s.covers(median_s), found.spread.covers(spread)]
        assert found.median_s.high < 2.0 * found.median_s.low and found.worth > 0.7
    assert sum(inside) >= 9


def test_a_hazard_that_is_too_flat_and_too_low_is_allowed_for() -> None:
    rides = planted_rides(300, 6, 1.2, 0.3)
    found = fit_reaction(foretold(rides, calm=0.02, danger=0.15), ReactionTime())
    assert found.median_s.covers(1.2)


def test_rides_that_are_told_twice_count_once() -> None:
    """Two copies of every ride have one start state: whoever took them for twice as many would halve the variance."""
    rides = planted_rides(150, 4, 0.9, 0.4)
    once = foretold(rides)
    twice = replace(foretold([*rides, *rides]), group=torch.arange(150).repeat(2))
    single, double = (fit_reaction(each, ReactionTime()) for each in (once, twice))
    assert double.worth == pytest.approx(0.5 * single.worth, rel=0.25)
    widths = [math.log(each.median_s.high / each.median_s.low) for each in (single, double)]
    assert widths[1] == pytest.approx(widths[0], rel=0.3)


def test_same_seed_same_interval() -> None:
    told = foretold(planted_rides(60, 1))
    assert fit_reaction(told, ReactionTime(), seed=3) == fit_reaction(told, ReactionTime(), seed=3)


def test_every_ride_s_hazard_is_told_by_one_member_that_learned_from_none_of_its_start_state() -> None:
    rides = [replace(ride, group=f"start {number % 20}") for number, ride in enumerate(planted_rides(60, 3))]
    group, held_out = _held_out(rides, HazardConfig(), torch.Generator().manual_seed(0))
    assert held_out.sum(0).eq(1).all() and held_out.any(1).all()
    for start in range(20):
        assert held_out[:, group == start].float().std(1, correction=0).eq(0).all()
    few = [replace(ride, group=f"start {number % 2}") for number, ride in enumerate(rides)]
    assert _held_out(few, HazardConfig(), torch.Generator().manual_seed(0))[1].any(1).all()


@pytest.mark.slow
def test_intervals_cover_reaction_times_from_a_fifth_of_a_second_to_two() -> None:
    """The hazard is learned from the same rides: 16 sets of 150 to 600."""
    inside = []
    for seed in range(16):
        generator = torch.Generator().manual_seed(50 + seed)
        median = math.exp(float(torch.empty(1).uniform_(math.log(0.2), math.log(2.0), generator=generator)))
        spread = float(torch.empty(1).uniform_(0.15, 0.6, generator=generator))
        reaction = fit_hazard(planted_rides((150, 300, 600)[seed % 3], 70 + seed, median, spread))[1].reaction
        assert reaction is not None
        inside += [reaction.median_s.covers(median), reaction.spread.covers(spread)]
    assert sum(inside) / len(inside) >= 0.9
