"""The engine of the straight highway: kernels of their own, which know that lanes are parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.config import META_ACTIONS, complete_config, why_not_native
from envs.engine import Decision, NotNative, Observations, Records, Stepped, copied
from envs.highway_by_hand import General, highway_cars
from envs.native import highway_of, horizon_steps
from envs.road_maps import straight_highway
from envs.traffic.batch import hand_out, observe_worlds, reset_worlds, step_share
from envs.traffic.layout import CAR, EPISODE, IDLE, LENGTH_M, NOBODY, OUTCOME, TERMS, WIDTH_M
from envs.traffic.observation import FEATURES
from envs.traffic.pace import Pace
from envs.traffic.team import SILENT, over_threads
from sensors.errors import ConfigError
from sensors.prepared import compiled
from sensors.scene import VEHICLE_HEIGHT_M, Kind


class HighwayEngine:
    """See ``envs.engine.Engine``; for highway-v0 and highway-fast-v0 with meta-actions and their default observation."""

    has_autopilot = True
    may_grow = False
    agents: int | None = None

    def __init__(self, id: str, num_worlds: int, config: Mapping[str, Any] | None, mode: str = "exact") -> None:
        """Read an id's settings and make room for its worlds.

        Raises:
            NotNative: A setting that these kernels lack.
            ConfigError: An unknown setting, or a value that cannot be used.
        """
        self._id, self._given = id, dict(config or {})
        self._general: General | None = None
        self.config = complete_config(id, config)
        reason = why_not_native(self.config)
        if reason is not None:
            raise NotNative(reason)
        self._highway = highway_of(id, self.config, mode)
        if mode != "exact":
            self.config["mode"] = mode
        rules = self._highway.rules
        self.road = straight_highway(rules.lanes)
        self.action_names = self._highway.action_names
        self.num_actions: int | None = len(self.action_names)
        self.action_width = len(self.action_names)
        self.action_space: spaces.Space[Any] = spaces.Discrete(self.num_actions)
        self.observation_space: spaces.Space[Any] = spaces.Box(-np.inf, np.inf, (self._highway.observed_cars, FEATURES), np.float32)
        self.decision_s, self.substep_s, self.substeps = rules.decision_s, rules.substep_s, rules.substeps
        self.horizon_steps = horizon_steps(rules)
        self.cars = np.zeros((num_worlds, self._highway.cars), CAR)
        self.episodes = np.zeros(num_worlds, EPISODE)
        self.kept: Observations = {}
        self._outcomes, self._piloted = np.zeros(num_worlds, OUTCOME), np.zeros(num_worlds, np.bool_)
        self._step_share: Callable[..., None] | None = None
        self._pace = Pace()
        self._no_trace = np.zeros((0, num_worlds, self._highway.cars), CAR)
        self._no_observation = np.zeros((0, self._highway.observed_cars, FEATURES), np.float32)
        self._still: dict[np.dtype[Any], dict[str, NDArray[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Compiled kernels are not pickled; a copy prepares its own."""
        return vars(self) | {"_step_share": None}

    def kept_like(self) -> Observations:
        """See ``Engine.kept_like``."""
        return {}

    def renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        """See ``Engine.renew``."""
        reset_worlds(self.cars, self.episodes, self._highway.rules, self._highway.targets_mps, seeds, where)

    def step(self, decision: Decision) -> Stepped:
        """See ``Engine.step``."""
        if decision.hands is not None:
            return self._step_by_hand(decision)
        worlds = len(self.cars)
        trace = np.empty((self.substeps, *self.cars.shape), CAR) if decision.instants else self._no_trace
        watched = (worlds, *self._no_observation.shape[1:])
        observations = np.empty(watched, np.float32) if decision.autoreset else self._no_observation
        finals = np.zeros(watched, np.float32) if decision.autoreset else self._no_observation
        outcomes = self._outcomes
        self.episodes["action"] = decision.actions
        if decision.autopilot.any():
            self.episodes["action"][decision.autopilot] = self.action_names.index(META_ACTIONS[IDLE])
        self._launch(decision, outcomes, trace, observations, finals)
        return Stepped(
            outcomes["reward"].copy(),
            outcomes["terminated"].copy(),
            outcomes["truncated"].copy(),
            {} if decision.autoreset else {name: outcomes[name].copy() for name in TERMS},
            tuple(trace),
            {"": observations} if decision.autoreset else {},
            {"": finals} if decision.autoreset else {},
        )

    def _step_by_hand(self, decision: Decision) -> Stepped:
        """A decision in which somebody else drives: the general kernels, equal in every bit, know how to be overridden."""
        if self._general is None:
            self._general = General(self._id, len(self.cars), self._given)
        self._general.take(self.cars, self.episodes, self._highway.targets_mps)
        try:
            stepped = self._general.engine.step(decision)
        finally:
            self._general.give_back(self.cars, self.episodes)
            self._general.stepping = False
        return stepped

    def _launch(self, decision: Decision, *written: NDArray[Any]) -> None:
        highway = self._highway
        self._piloted[:] = decision.autopilot
        fixed = (self.cars, self.episodes, highway.rules, highway.targets_mps)
        rest = (highway.meta_actions[decision.actions], self._piloted, *written)
        if self._step_share is None:
            self._step_share = compiled(step_share, SILENT, SILENT, *fixed, *rest)
        entry = self._step_share
        self._pace.run(decision.threads, lambda threads: over_threads(entry, len(self.cars), threads, *fixed, *rest))

    def observation(self) -> Observations:
        """See ``Engine.observation``."""
        observations = np.empty((len(self.cars), *self._no_observation.shape[1:]), np.float32)
        observe_worlds(self.cars, self._highway.rules.lanes, observations)
        return {"": observations}

    def still(self) -> Records:
        """See ``Engine.still``."""
        return Records(copied(self.cars), copied(self.episodes))

    def egos_crashed(self) -> NDArray[np.bool_]:
        """See ``Engine.egos_crashed``."""
        crashed: NDArray[np.bool_] = self.cars["crashed"][:, 0].copy()
        return crashed

    def actors(self, kind: np.dtype[Any], instant: Any = None) -> dict[str, NDArray[Any]]:
        """See ``Engine.actors``."""
        if self._general is not None and self._general.stepping:
            self._general.give_back(self.cars, self.episodes)
        if isinstance(instant, Records):
            cars = instant.cars
        else:
            cars = self.cars if instant is None else highway_cars(instant[0]) if isinstance(instant, tuple) else instant
        position, velocity, acceleration = (np.empty((*cars.shape, 2), kind) for _ in range(3))
        heading, yaw_rate, along, change = (np.empty(cars.shape, kind) for _ in range(4))
        hand_out(cars, position, heading, velocity, acceleration, yaw_rate, along, change)
        return {
            "position_m": position,
            "heading_rad": heading,
            "velocity_mps": velocity,
            "acceleration_mps2": acceleration,
            "yaw_rate_radps": yaw_rate,
            "along_mps2": along,
            "lane_change": change,
            "crashed": cars["crashed"].copy(),
        } | self._never_changing(kind)

    def _never_changing(self, kind: np.dtype[Any]) -> dict[str, NDArray[Any]]:
        """What is always the same about the cars, made once."""
        if kind not in self._still:
            shape = self.cars.shape
            size = np.tile(np.asarray((LENGTH_M, WIDTH_M, VEHICLE_HEIGHT_M), kind), (*shape, 1))
            self._still[kind] = {"size_m": size, "kind": np.full(shape, int(Kind.CAR)), "valid": np.ones(shape, np.bool_)}
        return self._still[kind]

    def last_actions(self, episodes: NDArray[Any]) -> NDArray[np.float32]:
        """See ``Engine.last_actions``."""
        return np.asarray(np.arange(self.action_width) == episodes["action"][:, None], np.float32)

    def check(self, cars: NDArray[Any], episodes: NDArray[Any]) -> None:
        """See ``Engine.check``."""
        lanes = self._highway.rules.lanes
        for name in ("lane", "target_lane"):
            if not ((cars[name] >= 0) & (cars[name] < lanes)).all():
                raise ConfigError(f"load: {name} of the state is outside 0 to {lanes - 1}")
        if not ((cars["impact_partner"] >= NOBODY) & (cars["impact_partner"] < cars.shape[1])).all():
            raise ConfigError(f"load: impact_partner of the state is outside {NOBODY} to {cars.shape[1] - 1}")

    def take(self, cars: NDArray[Any], episodes: NDArray[Any], kept: Observations) -> None:
        """See ``Engine.take``."""
        self.cars[:], self.episodes[:] = cars, episodes
