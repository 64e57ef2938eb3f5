"""The scores of episodes, decision by decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from envs.agents import TERMINATED
from envs.outcome import Outcome
from envs.scores import formulas
from envs.scores.constants import ScoreConstants
from envs.scores.formulas import Span
from envs.scores.instants import Instant, Watcher
from envs.scores.tally import Tally, Terms
from sensors.errors import ConfigError
from sensors.scene import Scene

NEEDS_LANES = ("on_road", "direction", "lane_keeping", "speed")
GOALS = ("arrived_reward", "goal_reward")
"""Reward terms of highway-env that say that the ego is where it should go."""
FREE_IDS = "parking"
"""Ids whose lanes are slots and not where one may drive."""
LIMIT_WITHOUT_LANES_MPS = 30.0


class EpisodeScores:
    """Follows B episodes and scores them as five benchmarks would, as far as a highway-env world has what they need.

    Actor 0 is scored; in a world of several agents ``AgentsScores`` scores each.

    The published scores judge short recorded scenes (NAVSIM 4 s, nuPlan 15 s); here a whole episode of 10 to 40 s is judged, in traffic
    that reacts. So these are analogues, comparable among themselves within one version (``versions``) and not with published tables.

    Terms, (B,) each, over all instants given (every simulation substep where outcomes carry them):

    - ``no_collision`` (NC): 0 after a collision with a vehicle that the ego is at fault for, 0.5 with an obstacle, else 1. At fault:
      ``boxes.no_collision_of``. highway-env tells an ego's first collision only; pedestrians and cyclists do not exist.
    - ``on_road`` (DAC): 0 if a corner of the ego ever was more than 0.3 m outside every lane, else 1. The drivable area is the lanes;
      maps here have no shoulders or car parks, and at a roundabout's entry two lanes meet at a corner that IDM itself cuts.
    - ``direction`` (DDC): 1, 0.5 or 0 by the most driven against the lane's direction within a second, 2 m and 6 m. nuPlan's way: there is
      no route that would make another road's lanes wrong, as NAVSIM has it.
    - ``time_to_collision``: share of instants at which the ego would not overlap, 0 to 0.9 s on, with anybody ahead (or beside, while it
      is between lanes), all at constant velocity. NAVSIM moves the others by their recorded future, which a reactive world has not, and
      gives 0 or 1 for its 4 s. NAVSIM also asks about the side in intersections; these maps do not say where those are.
    - ``comfort`` (C, HC): share of instants within nuPlan's six bounds. nuPlan and NAVSIM smooth noisy states by Savitzky-Golay filters
      before differentiating; states here are exact, and jerk and yaw acceleration are plain differences between instants, which is
      stricter: highway-env's controls jump at decisions. HC's recorded past before the scene does not exist.
    - ``lane_keeping`` (LK): share of instants that are no part of a stretch of 2 s or more further than 0.5 m from the lane's middle.
      NAVSIM gives 0 or 1, and leaves intersections out.
    - ``extended_comfort`` (EC): NAVSIM compares the plans of two successive frames. Nobody here has a plan; what the ego drove in one
      decision is compared with what it drove in the one before: share of decisions in which the root mean squares of the differences
      in acceleration, jerk, yaw rate and yaw acceleration stay within NAVSIM's thresholds. Left out (its weight goes to the others)
      where there are fewer than three decisions.
    - ``never_close``, ``always_comfortable``: nuPlan's time to collision (more than 0.95 s) and comfort, 0 or 1 for the episode.
    - ``speed``: 1 less the mean overspeed over 2.23 m/s. Off the lanes there is no limit.
    - ``progress_share`` (EP): progress along the lanes over progress at the road's speed limit to the horizon. NAVSIM has a planner's
      best proposal there.

    Scores:

    - ``pdms``: NAVSIM v1. ``epdms``: NAVSIM v2, without traffic light compliance (no lights), and without the forgiveness for what the
      human also did (no human).
    - ``nuplan``: progress and making progress are against the route; the human expert does not exist.
    - ``carla``: in percent. Pedestrians, red lights, stop signs, yielding, scenario timeouts and minimum speed do not exist and are left
      out: a factor of theirs is never applied. A collision counts whoever is at fault.
    - ``success``: the ego's goal, where highway-env's reward terms tell of one (``GOALS``: intersections, exits), holds when the episode
      ends; elsewhere the world terminated the episode without a crash on its lanes (merged, parked), or the ego came within 5 m of the
      route's end; never after a crash. ``cost``: 1 for a crash, 1 for each time the ego's middle leaves the lanes. ``route_completion``.

    The route is as long as IDM's progress on the same seed, where ``idm_progress_m`` is given; else as progress at the speed limit.
    ``versions`` says which. Where ``lanes`` is False (parking), every term that needs lanes is absent, and so is every score that needs
    such a term: without progress, who stands still would score 1. Left are the other terms, ``success`` and ``cost``.
    """

    def __init__(
        self,
        start: Scene,
        horizon_s: float,
        idm_progress_m: Tensor | None = None,
        lanes: bool = True,
        constants: ScoreConstants | None = None,
    ) -> None:
        """Begin.

        Args:
            start: The scene at reset, B worlds.
            horizon_s: How long an undisturbed episode lasts.
            idm_progress_m: What IDM makes of the same seeds, (B,); see ``envs.scores.idm_progress``.
            lanes: Whether the map's lanes say where one may drive.
            constants: Others than the versions' own, for studies of the scores.

        Raises:
            ConfigError: A horizon that is no positive number, or a progress of another shape.
        """
        if not (math.isfinite(horizon_s) and horizon_s > 0.0):
            raise ConfigError(f"scores: horizon_s is {horizon_s}, expected a positive number of seconds")
        if idm_progress_m is not None and tuple(idm_progress_m.shape) != (start.num_worlds,):
            raise ConfigError(f"scores: idm_progress_m has shape {tuple(idm_progress_m.shape)}, expected ({start.num_worlds},)")
        self.constants = constants or ScoreConstants()
        self.lanes = lanes and start.road.num_lanes > 0
        self.running = torch.ones(start.num_worlds, dtype=torch.bool, device=start.device)
        """Worlds whose episode is not over, (B,)."""
        self.tally = Tally(start.num_worlds, start.device)
        limits = start.road.lane_speed_limit_mps
        self._limit_mps = float(limits.max()) if len(limits) else LIMIT_WITHOUT_LANES_MPS
        self._horizon_s = horizon_s
        at_limit = torch.full_like(self.tally.time_s, self._limit_mps * horizon_s)
        self._idm_m = None if idm_progress_m is None else idm_progress_m.to(at_limit)
        self._span = Span(at_limit, *[at_limit if self._idm_m is None else self._idm_m] * 2)
        self._watcher = Watcher(start, self.constants.limits, (self.constants.pdm.ttc_s, self.constants.nuplan.ttc_s))
        self._arrived = torch.zeros_like(self.running)
        self._has_goal = False
        self._decisions = 0
        self._before: tuple[Tensor, Tensor] | None = None  # motion (n, B, 4) of the last decision, and where it counts

    @classmethod
    def of_world(cls, world: Any, start: Scene, idm_progress_m: Tensor | None = None) -> EpisodeScores:
        """Begin for a world's id: its horizon, and whether its lanes say where one may drive."""
        return cls(start, world.horizon_steps * world.policy_dt_s, idm_progress_m, not world.id.startswith(FREE_IDS))

    @property
    def progress_m(self) -> Tensor:
        """How far the ego has come along the lanes, (B,) float64."""
        return self.tally.progress_m

    @property
    def versions(self) -> dict[str, str]:
        """The version of each score, to be stated with its figures."""
        constants = self.constants
        route = "" if not self.lanes else ", route by IDM" if self._idm_m is not None else ", route by the speed limit"
        found = {"success": constants.metadrive.version + route, "cost": constants.metadrive.version}
        if self.lanes:
            found |= {"pdms": constants.pdm.version, "epdms": constants.epdm.version, "nuplan": constants.nuplan.version + route}
            found |= dict.fromkeys(("carla", "route_completion"), constants.carla.version + route)
        limits = constants.limits.version
        return {name: f"{version}, {limits}" for name, version in found.items()}

    def add(self, scene: Scene, outcome: Outcome | None = None, active: Tensor | None = None) -> Terms:
        """Take in one decision; its substeps too, where the outcome carries them.

        Args:
            scene: After the decision, of all worlds, before any of them was reset.
            outcome: Of the decision; without one, no episode ends.
            active: Worlds to count beside those whose episode is over, (B,) bool.

        Returns:
            Terms and scores of this decision alone, as ``result`` names them; the route's part that belongs to its time is expected of it.
            Those of worlds that were not counted mean nothing.

        Raises:
            ConfigError: Time does not go on in a world that is counted: it was reset.
        """
        counted = self.running if active is None else self.running & active
        arrived_before = self._arrived
        step = Tally(scene.num_worlds, scene.device, self.tally.is_off_lane)
        instants = []
        for one in outcome.substeps if outcome is not None and outcome.substeps else (scene,):
            instant = self._watcher.see(one, counted)
            step.add(instant)
            self.tally.add(instant)
            instants.append(instant)
        alike, compared = self._as_before(instants)
        step.compare(alike, compared)
        self.tally.compare(alike, compared)
        share = step.time_s / self._horizon_s
        span = replace(self._span, limit_m=self._limit_mps * step.time_s, expected_m=self._span.expected_m * share)
        self._end(outcome, counted)
        return self._scores(step, span) | {"success": (self._arrived & ~arrived_before).double()}

    def result(self) -> Terms:
        """Terms and scores of the episodes so far, each (B,) float64, by the names above.

        With them ``progress_m``, ``distance_m``, ``time_s``, ``crashed`` and, where IDM's progress is known, ``progress_vs_idm``.
        """
        found = self._scores(self.tally, self._span) | {"success": self._arrived.double()}
        if self._idm_m is not None and self.lanes:
            found["progress_vs_idm"] = self.tally.progress_m / self._idm_m.clamp(min=1e-9)
        return found

    def _scores(self, tally: Tally, span: Span) -> Terms:
        constants = self.constants
        terms = tally.terms(constants)
        found = {
            "cost": formulas.cost(tally, self.lanes, constants),
            "distance_m": tally.distance_m,
            "time_s": tally.time_s,
            "crashed": tally.crashed.double(),
        }
        if not self.lanes:
            return {name: term for name, term in terms.items() if name not in NEEDS_LANES} | found
        scores = {
            "pdms": formulas.pdms(tally, terms, span, constants),
            "epdms": formulas.epdms(tally, terms, span, constants),
            "nuplan": formulas.nuplan(tally, terms, span, constants),
            "carla": formulas.carla(tally, span, constants),
            "route_completion": formulas.completion(tally, span),
            "progress_share": formulas.progress_share(tally, span, constants),
            "progress_m": tally.progress_m,
        }
        return terms | found | scores

    def _end(self, outcome: Outcome | None, counted: Tensor) -> None:
        """See which episodes are over, and which egos have arrived."""
        clear = counted & ~self.tally.crashed
        if self.lanes:
            clear = clear & ~self.tally.is_off_lane
        if outcome is not None:
            goals = [outcome.terms[name] > 0 for name in GOALS if name in outcome.terms]
            if TERMINATED in outcome.terms:  # of several agents, terms are means: the first actor's end says whether it has arrived
                goals = [outcome.terms[TERMINATED][:, 0] & ~self.tally.crashed]
            self._has_goal = bool(goals)
            over = outcome.terminated | outcome.truncated
            self._arrived = self._arrived | (clear & (over & goals[0] if goals else outcome.terminated))
            self.running = self.running & ~(counted & over)
        if self.lanes and not self._has_goal:
            self._arrived = self._arrived | (clear & (self.tally.progress_m >= self._span.route_m - self.constants.metadrive.arrived_m))

    def _as_before(self, instants: list[Instant]) -> tuple[Tensor, Tensor]:
        """Whether the decision was driven as the one before, and where both can be compared, (B,) bool each."""
        motion = torch.stack([instant.motion for instant in instants])
        judged = instants[-1].judged
        before, self._before = self._before, (motion, judged) if self._decisions else None  # the first starts from nothing
        self._decisions += 1
        if before is None or before[0].shape != motion.shape:
            return torch.zeros_like(judged), torch.zeros_like(judged)
        squares = torch.zeros_like(motion[0])
        for difference in motion - before[0]:  # a sum over the batch's own order, not torch's
            squares = squares + difference * difference
        rules = self.constants.epdm
        most = squares.new_tensor((rules.acceleration_mps2, rules.jerk_mps3, rules.yaw_rate_radps, rules.yaw_acceleration_radps2))
        alike = ((squares / len(motion)).sqrt() <= most).all(-1)
        return alike, judged & before[1]
