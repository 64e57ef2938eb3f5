"""From instants to terms: what B worlds did in one decision, or in a whole episode."""

from __future__ import annotations

import torch
from torch import Tensor

from envs.scores.constants import ScoreConstants
from envs.scores.instants import Instant

Terms = dict[str, Tensor]


class Tally:
    """Sums of instants; all (B,) float64 or bool."""

    def __init__(self, num_worlds: int, device: torch.device, is_off_lane: Tensor | None = None) -> None:
        """Begin with nothing; where an ego is off its lane already, (B,) bool, that is no new excursion."""
        zero = torch.zeros(num_worlds, dtype=torch.float64, device=device)
        false = torch.zeros(num_worlds, dtype=torch.bool, device=device)
        self.instants, self.judged, self.time_s = zero, zero, zero
        self.distance_m, self.progress_m, self.off_lane_m = zero, zero, zero
        self.no_collision = torch.ones_like(zero)
        self.against_m, self.strayed, self.overspeed_m = zero, zero, zero
        self.rough, self.alike, self.compared = zero, zero, zero
        self.close: dict[tuple[float, ...], Tensor] = {}
        self.crashed, self.hit_obstacle, self.off_road = false, false, false
        self.is_off_lane = false if is_off_lane is None else is_off_lane
        self.excursions = zero

    def add(self, instant: Instant) -> None:
        """Count one instant of the worlds whose episodes run."""
        counted, judged = instant.counted, instant.judged
        self.instants = self.instants + counted
        self.judged = self.judged + judged
        self.time_s = self.time_s + instant.dt_s * counted
        self.distance_m = self.distance_m + instant.distance_m * counted
        self.progress_m = self.progress_m + instant.progress_m * counted
        self.off_lane_m = self.off_lane_m + instant.distance_m * (counted & instant.off_lane)
        self.no_collision = torch.where(instant.crashed, torch.minimum(self.no_collision, instant.no_collision), self.no_collision)
        self.crashed = self.crashed | instant.crashed
        self.hit_obstacle = self.hit_obstacle | instant.hit_obstacle
        self.off_road = self.off_road | (judged & instant.off_road)
        self.excursions = self.excursions + (judged & instant.off_lane & ~self.is_off_lane)
        self.is_off_lane = torch.where(counted, instant.off_lane, self.is_off_lane)
        self.against_m = torch.where(judged, torch.maximum(self.against_m, instant.against_m), self.against_m)
        self.strayed = self.strayed + instant.strayed * judged
        self.overspeed_m = self.overspeed_m + instant.overspeed_mps * instant.dt_s * judged
        self.rough = self.rough + (judged & instant.rough)
        for times, close in instant.close.items():
            self.close[times] = self.close.get(times, torch.zeros_like(self.time_s)) + (judged & close)

    def compare(self, alike: Tensor, compared: Tensor) -> None:
        """Count one decision for extended comfort: whether it was driven as the one before, where there was one, both (B,) bool."""
        self.alike = self.alike + (alike & compared)
        self.compared = self.compared + compared

    def terms(self, constants: ScoreConstants) -> Terms:
        """The terms that the scores are made of; `envs.scores.EpisodeScores` says what each means."""
        judged = self.judged.clamp(min=1.0)
        low, high = constants.limits.direction_m
        graded = torch.where(self.against_m < high, 0.5, 0.0).to(judged.dtype)
        zero = torch.zeros_like(judged)
        return {
            "no_collision": self.no_collision,
            "on_road": (~self.off_road).double(),
            "direction": torch.where(self.against_m < low, 1.0, graded),
            "time_to_collision": 1.0 - self.close.get(constants.pdm.ttc_s, zero) / judged,
            "comfort": 1.0 - self.rough / judged,
            "lane_keeping": (1.0 - self.strayed / judged).clamp(min=0.0),
            "extended_comfort": self.alike / self.compared.clamp(min=1.0),
            "never_close": (self.close.get(constants.nuplan.ttc_s, zero) == 0).double(),
            "always_comfortable": (self.rough == 0).double(),
            "speed": (1.0 - self.overspeed_m / (constants.nuplan.overspeed_mps * self.time_s.clamp(min=1e-9))).clamp(min=0.0),
        }
