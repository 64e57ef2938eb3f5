"""How terms become scores. Each formula is the publication's; `envs.scores.EpisodeScores` says what stands for its terms here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from envs.scores.constants import ScoreConstants
from envs.scores.tally import Tally, Terms


@dataclass(frozen=True)
class Span:
    """What a decision or an episode is measured against."""

    limit_m: Tensor  # (B,) progress at the speed limit in this time
    expected_m: Tensor  # (B,) the route's share that belongs to this time
    route_m: Tensor  # (B,) the whole route


def weighted(parts: Sequence[tuple[float, Tensor, Tensor | None]]) -> Tensor:
    """A weighted mean of terms, (B,).

    Args:
        parts: Weight, term (B,), and where it counts (B,) bool, everywhere if None. Where it does not, its weight goes to the others.
    """
    total = torch.zeros_like(parts[0][1])
    weights = torch.zeros_like(total)
    for weight, term, where in parts:
        share = weight if where is None else weight * where
        total, weights = total + share * term, weights + share
    return total / weights


def progress_share(tally: Tally, span: Span, constants: ScoreConstants) -> Tensor:
    """NAVSIM's ego progress, against progress at the speed limit, (B,)."""
    share = (tally.progress_m / span.limit_m.clamp(min=1e-9)).clamp(0.0, 1.0)
    return torch.where(span.limit_m <= constants.pdm.short_m, 1.0, share)


def pdms(tally: Tally, terms: Terms, span: Span, constants: ScoreConstants) -> Tensor:
    """NC * DAC * (5 TTC + 5 EP + 2 C) / 12, (B,)."""
    weights = constants.pdm
    parts = [
        (weights.ttc_weight, terms["time_to_collision"], None),
        (weights.progress_weight, progress_share(tally, span, constants), None),
        (weights.comfort_weight, terms["comfort"], None),
    ]
    return terms["no_collision"] * terms["on_road"] * weighted(parts)


def epdms(tally: Tally, terms: Terms, span: Span, constants: ScoreConstants) -> Tensor:
    """NC * DAC * DDC * (5 EP + 5 TTC + 2 LK + 2 HC + 2 EC) / 16, (B,)."""
    weights = constants.epdm
    parts = [
        (weights.progress_weight, progress_share(tally, span, constants), None),
        (weights.ttc_weight, terms["time_to_collision"], None),
        (weights.lane_keeping_weight, terms["lane_keeping"], None),
        (weights.comfort_weight, terms["comfort"], None),
        (weights.extended_comfort_weight, terms["extended_comfort"], tally.compared > 0),
    ]
    return terms["no_collision"] * terms["on_road"] * terms["direction"] * weighted(parts)


def nuplan(tally: Tally, terms: Terms, span: Span, constants: ScoreConstants) -> Tensor:
    """NC * DAC * MP * DDC * (5 EP + 5 TTC + 4 speed + 2 comfort) / 16, (B,)."""
    rules = constants.nuplan
    made = tally.progress_m.clamp(min=rules.noise_m) / span.expected_m.clamp(min=rules.noise_m)
    ratio = torch.where(tally.progress_m < -rules.noise_m, 0.0, made.clamp(max=1.0))
    parts = [
        (rules.progress_weight, ratio, None),
        (rules.ttc_weight, terms["never_close"], None),
        (rules.speed_weight, terms["speed"], None),
        (rules.comfort_weight, terms["always_comfortable"], None),
    ]
    moving = (ratio >= rules.least_ratio).double()
    return terms["no_collision"] * terms["on_road"] * moving * terms["direction"] * weighted(parts)


def carla(tally: Tally, span: Span, constants: ScoreConstants) -> Tensor:
    """Route completion [%] times what collisions and driving beside the lanes leave, (B,)."""
    collision = torch.where(tally.hit_obstacle, constants.carla.static, constants.carla.vehicle)
    left = torch.where(tally.crashed, collision, 1.0) * (1.0 - tally.off_lane_m / tally.distance_m.clamp(min=1e-9))
    return 100.0 * completion(tally, span) * left


def completion(tally: Tally, span: Span) -> Tensor:
    """Share of the route, (B,)."""
    return (tally.progress_m / span.route_m.clamp(min=1e-9)).clamp(0.0, 1.0)


def cost(tally: Tally, lanes: bool, constants: ScoreConstants) -> Tensor:
    """MetaDrive's cost: one for the crash, one for every time the ego leaves its lanes, if there are any, (B,)."""
    rules = constants.metadrive
    crashed = tally.crashed * rules.crash_cost
    return crashed + tally.excursions * rules.off_road_cost if lanes else crashed
