"""Planted reviewers and riders over clips of real traffic: what was planted lies in the intervals that are told."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from envs.drivers import driver_named
from envs.rollout import record
from envs.world import World
from feedback.clips import cut_clips
from feedback.hazard import Ride
from feedback.pairs import propose_pairs
from feedback.reward_fit import Comparison, FitReport, RideWindows, fit_reward
from feedback.reward_model import RewardConfig
from feedback.scripted import true_reward
from feedback.windows import WindowConfig, feature_names

SOON = feature_names(WindowConfig()).index("any_ttc_soon")
SLOPE, MEDIAN_S, SPREAD = 0.5, 0.9, 0.35


@dataclass(frozen=True)
class Clips:
    """Clips as the model sees them, and what is true of them."""

    rides: dict[str, RideWindows]
    returns: dict[str, float]
    hazards: dict[str, np.ndarray]  # (D,) of each decision
    pairs: list[tuple[str, str]]
    deviation: float  # of the true reward of a decision


def clips_of(seeds: int, pairs: int) -> Clips:
    world = World("highway-fast-v0", num_worlds=seeds, num_threads=1)
    recordings = [
        ride for name in ("random", "idle", "slower", "faster", "idm") for ride in record(world, driver_named(name, 5), range(seeds))
    ]
    clips = [clip for ride in recordings for clip in cut_clips(ride, count=2)]
    rides, returns, hazards, rewards = {}, {}, {}, []
    for clip in clips:
        decisions = clip.decisions()
        seen, reward = decisions.windows(WindowConfig()), true_reward(decisions)
        rides[clip.content_hash], returns[clip.content_hash] = RideWindows(seen, clip.group), float(reward.sum())
        hazards[clip.content_hash] = (torch.sigmoid(7.0 * seen.features[:, SOON].clamp(0, 1) - 4.0) * seen.live).numpy()
        rewards.append(reward[seen.live])
    proposed = [(pair.first.content_hash, pair.second.content_hash) for pair in propose_pairs(clips, pairs)]
    return Clips(rides, returns, hazards, proposed, float(torch.cat(rewards).std()))


def watched(clips: Clips, random: np.random.Generator) -> list[Ride]:
    """Every clip is watched once: each decision is a cause with its hazard, and the hand comes a reaction later."""
    rides = []
    for name, hazard in clips.hazards.items():
        seen, onset = clips.rides[name].seen, None
        end = float(seen.live.sum())
        causes = (random.random(len(hazard)) < hazard).nonzero()[0]
        if len(causes):
            time_s = float(causes[0] + random.random() + MEDIAN_S * math.exp(SPREAD * random.normal()))
            onset = time_s if time_s < end else None
        rides.append(Ride(seen.features, seen.live, 1.0, onset, end if onset is None else onset, clips.rides[name].group, "rider"))
    return rides


def judged(clips: Clips, panel: dict[str, np.ndarray], kappa: float, tie: float, random: np.random.Generator) -> list[Comparison]:
    """Each pair is judged by one reviewer, by return, hazard, side, ties and lapses."""
    answers = []
    cost = {name: float(-np.log1p(-hazard).sum()) for name, hazard in clips.hazards.items()}
    for first, second in clips.pairs:
        who, mirrored = int(random.integers(len(panel["beta"]))), bool(random.random() < 0.5)
        worth = clips.returns[first] - clips.returns[second] - kappa * (cost[first] - cost[second])
        logit = SLOPE * panel["beta"][who] * worth + panel["side"][who] * (-1 if mirrored else 1)
        weights = np.asarray([math.exp(logit / 2), tie, math.exp(-logit / 2)])
        told = (1 - panel["lapse"][who]) * weights / weights.sum() + panel["lapse"][who] / 3
        answer = ("A", "tie", "B")[min(int((random.random() > told.cumsum()).sum()), 2)]
        answers.append(Comparison(first, second, answer, f"reviewer {who}", mirrored))
    return answers


def covered(report: FitReport, panel: dict[str, np.ndarray], kappa: float, tie: float) -> list[bool]:
    """Whether each planted number lies in its interval, that of kappa (in logits, for the model's reward has units of its own) first."""
    found, hazard = report.reviewers, report.hazard
    assert found is not None and found.takeover_slope is not None and hazard is not None and hazard.reaction is not None
    inside = [found.takeover_slope.covers(SLOPE * kappa), found.tie_weight.covers(tie)]
    inside += [hazard.reaction.median_s.covers(MEDIAN_S), hazard.reaction.spread.covers(SPREAD)]
    for number in range(len(panel["beta"])):
        each = found.reviewer(f"reviewer {number}")
        inside += [each.rationality.covers(panel["beta"][number]), each.lapse.covers(panel["lapse"][number])]
        inside.append(each.side_bias.covers(panel["side"][number]))
    return inside


@pytest.mark.slow
def test_planted_reviewers_and_riders_are_recovered_from_real_clips() -> None:
    """Four panels of four reviewers, 16 parameters each."""
    inside: list[bool] = []
    clips = clips_of(seeds=48, pairs=700)
    for seed in range(4):
        random = np.random.default_rng(seed)
        beta = np.exp(random.normal(0, 0.5, 4))
        panel = {"beta": beta / np.exp(np.log(beta).mean()), "lapse": random.beta(1, 9, 4), "side": random.normal(0, 0.7, 4)}
        kappa, tie = float(random.uniform(0, 4)), math.exp(random.normal(-1, 0.5))
        answers = judged(clips, panel, kappa, tie, random)
        _, report = fit_reward(clips.rides, answers, watched(clips, random), RewardConfig(seed=seed))
        inside += covered(report, panel, kappa, tie)
        assert report.accuracy > 0.7
    assert len(inside) >= 60
    assert sum(inside) / len(inside) >= 0.9
    assert sum(inside[::16]) >= 3, "kappa"
