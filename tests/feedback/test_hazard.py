"""The takeover hazard: its likelihood against a sum over all causes, and what it recovers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feedback.hazard import HazardConfig, ReactionTime, Ride, fit_hazard, survival_nll
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


def test_cause_lies_a_reaction_before_the_onset() -> None:
    weights = ride(5.9).onset_weights(ReactionTime(0.8, 0.3))
    assert weights.sum().item() == pytest.approx(1.0)
    assert weights.argmax().item() == 5
    late = ride(5.9).onset_weights(ReactionTime(2.5, 0.1))
    assert late.argmax().item() == 3


def test_takeover_sooner_than_anybody_reacts_counts_for_its_decision() -> None:
    weights = ride(0.0).onset_weights(ReactionTime())
    assert weights.tolist() == [1.0] + [0.0] * 7


def test_censored_ride_exposes_only_what_could_have_shown() -> None:
    exposure = ride(None, watched_s=4.0).exposure(ReactionTime(0.8, 0.3))
    assert exposure[:2].tolist() == pytest.approx([1.0, 1.0], abs=0.05)
    assert exposure[4:].sum().item() == 0.0
    assert ride(None).onset_weights(ReactionTime()).sum().item() == 0.0


def test_what_follows_a_crash_is_not_exposed() -> None:
    crashed = Ride(torch.zeros(8, FEATURES), torch.arange(8) < 3, 1.0, None, 8.0, "a")
    assert crashed.exposure(ReactionTime())[3:].sum().item() == 0.0


def planted_rides(count: int, seed: int) -> list[Ride]:
    """People take over with h = 0.6 where feature 0 is set, else 0.02, and react as they usually do."""
    generator = torch.Generator().manual_seed(seed)
    rides = []
    for number in range(count):
        features = torch.randn(8, FEATURES, generator=generator) * 0.3
        features[:, 0] = (torch.rand(8, generator=generator) < 0.15).float()
        hazard = torch.where(features[:, 0] > 0.5, 0.6, 0.02)
        caused = (torch.rand(8, generator=generator) < hazard).nonzero().flatten()
        reaction = 0.8 * math.exp(0.4 * float(torch.randn(1, generator=generator)))
        onset = float(caused[0]) + float(torch.rand(1, generator=generator)) + reaction if len(caused) else None
        rides.append(ride(onset if onset is not None and onset < 8.0 else None, features=features, group=str(number)))
    return rides


def test_recovers_a_planted_hazard() -> None:
    hazard, report = fit_hazard(planted_rides(400, 0))
    probe = torch.zeros(2, FEATURES)
    probe[1, 0] = 1.0
    calm, danger = torch.sigmoid(hazard.logit(probe)).tolist()
    assert 0.005 < calm < 0.06
    assert 0.4 < danger < 0.8
    assert report.validation_nll < report.constant_nll - 0.1


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
