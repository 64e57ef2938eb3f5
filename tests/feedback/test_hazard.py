"""The takeover hazard: its likelihood against a sum over all causes, and what it recovers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feedback.hazard import HazardConfig, Ride, fit_hazard, tables
from feedback.reaction import Onsets, ReactionTime, survival_nll
from sensors.errors import ConfigError

FEATURES = 4


def ride(onset_s: float | None, watched_s: float = 8.0, decisions: int = 8, features: torch.Tensor | None = None, group: str = "a") -> Ride:
    table = torch.zeros(decisions, FEATURES) if features is None else features
    return Ride(table, torch.ones(len(table), dtype=torch.bool), 1.0, onset_s, watched_s, group)


@given(logits=st.lists(st.floats(-5, 4), min_size=3, max_size=8), data=st.data())
def test_likelihood_sums_over_every_possible_cause(logits: list[float], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(logits), max_size=len(logits)))
    cause = [weight / sum(weights) for weight in weights]
    hazards = [1 / (1 + math.exp(-logit)) for logit in logits]
    likelihood = sum(
        p * h * math.prod(1 - before for before in hazards[:place]) for place, (p, h) in enumerate(zip(cause, hazards, strict=True))
    )
    row = torch.tensor([logits], dtype=torch.float64)
    told = survival_nll(row, torch.tensor([cause], dtype=torch.float64), torch.ones_like(row))
    assert float(told) == pytest.approx(-math.log(likelihood), rel=1e-6)
    survived = survival_nll(row, torch.zeros_like(row), torch.ones_like(row))
    assert float(survived) == pytest.approx(-sum(math.log1p(-h) for h in hazards), rel=1e-6)


def onsets(*rides: Ride) -> Onsets:
    return tables(rides)[1]


def logs(median_s: float, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(median_s).log(), torch.tensor(spread).log()


def test_cause_lies_a_reaction_before_the_onset() -> None:
    told = onsets(ride(5.9)).density(*logs(0.8, 0.3))
    assert told.argmax().item() == 5
    assert onsets(ride(5.9)).density(*logs(2.5, 0.1)).argmax().item() == 3
    reaction = ReactionTime(0.8, 0.3)
    expected = [float(reaction.cdf(torch.tensor(5.9 - start)) - reaction.cdf(torch.tensor(4.9 - start))) for start in range(8)]
    expected = [0.99 * each + 0.01 * (start == 5) for start, each in enumerate(expected)]
    assert told[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_takeover_sooner_than_anybody_reacts_counts_for_its_decision() -> None:
    told = onsets(ride(0.0)).density(*logs(0.8, 0.4))[0]
    assert told[0] > 0 and told[1:].tolist() == [0.0] * 7


def test_censored_ride_exposes_only_what_could_have_shown() -> None:
    exposure = onsets(ride(None, watched_s=4.0)).exposure(*logs(0.8, 0.3))[0]
    assert exposure[:2].tolist() == pytest.approx([1.0, 1.0], abs=0.05)
    assert exposure[4:].sum().item() == 0.0
    assert onsets(ride(None)).density(*logs(0.8, 0.3)).sum().item() == 0.0


def test_what_follows_a_crash_is_not_exposed() -> None:
    crashed = Ride(torch.zeros(8, FEATURES), torch.arange(8) < 3, 1.0, None, 8.0, "a")
    assert onsets(crashed).exposure(*logs(0.8, 0.4))[0, 3:].sum().item() == 0.0


def test_rides_of_unlike_length_are_padded_with_nothing() -> None:
    short, long = ride(1.5, decisions=3), ride(6.2)
    both = onsets(short, long).density(*logs(0.8, 0.4))
    assert both[0, :3].tolist() == onsets(short).density(*logs(0.8, 0.4))[0].tolist()
    assert both[0, 3:].sum() == 0.0


def planted_rides(count: int, seed: int, median_s: float = 0.8, spread: float = 0.4, reviewer: str = "") -> list[Ride]:
    """People take over with h = 0.6 where feature 0 is set, else 0.02, and react so late."""
    generator = torch.Generator().manual_seed(seed)
    rides = []
    for number in range(count):
        features = torch.randn(8, FEATURES, generator=generator) * 0.3
        features[:, 0] = (torch.rand(8, generator=generator) < 0.15).float()
        hazard = torch.where(features[:, 0] > 0.5, 0.6, 0.02)
        caused = (torch.rand(8, generator=generator) < hazard).nonzero().flatten()
        reaction = median_s * math.exp(spread * float(torch.randn(1, generator=generator)))
        onset = float(caused[0]) + float(torch.rand(1, generator=generator)) + reaction if len(caused) else None
        seen = ride(onset if onset is not None and onset < 8.0 else None, features=features, group=f"{reviewer} {number}")
        rides.append(replace(seen, reviewer=reviewer))
    return rides


def test_recovers_a_planted_hazard() -> None:
    hazard, report = fit_hazard(planted_rides(400, 0))
    probe = torch.zeros(2, FEATURES)
    probe[1, 0] = 1.0
    calm, danger = torch.sigmoid(hazard.logit(probe)).tolist()
    assert 0.005 < calm < 0.06
    assert 0.4 < danger < 0.8
    assert report.validation_nll < report.constant_nll - 0.1


def test_reaction_times_of_unlike_people_are_recovered() -> None:
    quick, slow = (planted_rides(160, 3, 0.5, 0.3, "quick"), planted_rides(160, 4, 2.0, 0.3, "slow"))
    _, report = fit_hazard([*quick, *slow], HazardConfig(steps=120, learning_rate=0.01))
    assert report.reactions["quick"].median_s.covers(0.5) and report.reactions["slow"].median_s.covers(2.0)
    assert report.reactions["quick"].median_s.high < report.reactions["slow"].median_s.low
    assert report.reactions["quick"].takeovers == sum(ride.onset_s is not None for ride in quick)


def test_a_given_reaction_time_is_kept_on_request() -> None:
    _, report = fit_hazard(planted_rides(40, 0), HazardConfig(steps=5, fit_reaction=False))
    assert report.reaction is None and report.reactions == {}


def test_few_takeovers_tell_little_of_reaction_times() -> None:
    config = HazardConfig(steps=60, learning_rate=0.01)
    few, many = (fit_hazard(planted_rides(count, 5), config)[1].reaction for count in (20, 320))
    assert few is not None and many is not None
    assert few.median_s.high - few.median_s.low > 2 * (many.median_s.high - many.median_s.low)


@pytest.mark.slow
def test_intervals_of_reaction_times_cover() -> None:
    inside = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        median, spread = (float(torch.empty(1).uniform_(low, high, generator=generator)) for low, high in ((0.4, 2.0), (0.15, 0.6)))
        reaction = fit_hazard(planted_rides((80, 200, 400)[seed % 3], seed, median, spread))[1].reaction
        assert reaction is not None
        inside += [reaction.median_s.covers(median), reaction.spread.covers(spread)]
    assert sum(inside) / len(inside) >= 0.9


def test_same_seed_same_hazard_and_dead_decisions_weigh_nothing() -> None:
    rides = planted_rides(60, 1)
    config = HazardConfig(steps=20)
    one, other = fit_hazard(rides, config)[0], fit_hazard(rides, config)[0]
    rows = torch.randn(5, FEATURES, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.logit(rows), other.logit(rows))
    assert one.cumulative(rows, torch.zeros(5, dtype=torch.bool)).tolist() == [0.0] * 5


def test_hazard_without_a_takeover_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 takeovers, expected at least one"):
        fit_hazard([ride(None)])
