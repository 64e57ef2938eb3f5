"""The engine that steps worlds on any road network; its settings are read once from a highway-env environment, which is then let go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.agents import FAMILY, number_of
from envs.class_constants import in_place, pristine
from envs.config import IDM_VEHICLE, steps_until
from envs.engine import Decision, NotNative, Observations, Records, Stepped, copied
from envs.network.actions import Actions
from envs.network.batch import hand_out
from envs.network.choice import module_of
from envs.network.fixtures import fixtures_of
from envs.network.layout import BY_IDM, CAR, EPISODE, LANDMARK, NOBODY, OBSTACLE, RULES, Rules
from envs.network.observations import observer_for
from envs.network.running import Running
from envs.network.scenarios import own
from envs.network.scenarios.own import environment_of
from envs.network.scenarios.rulebook import Rulebook, duration_of
from envs.network.tables import network_of, node_numbers
from envs.network.variation import variation_of, vary_worlds
from envs.reference_config import checked_config, emptied
from envs.reference_episode import environment_class
from envs.road_maps import road_map_of
from envs.scenario import Scenario
from sensors.errors import ConfigError
from sensors.scene import VEHICLE_HEIGHT_M, Kind

RECORDING_S = 30.0
"""Length of an episode for those who need one where highway-env sets no limit."""


class NetworkEngine:
    """See ``envs.engine.Engine``."""

    def __init__(self, id: str | Scenario, num_worlds: int, config: Mapping[str, Any] | None) -> None:
        """Read an id's settings and make room for its worlds.

        Raises:
            NotNative: highway-env has it, the kernels lack it.
            ConfigError: highway-env has no such setting.
        """
        settings = dict(config or {})
        varied = settings.pop("variation", None)
        self._variation = None if varied is None else variation_of(varied)
        with in_place(pristine()):
            if isinstance(id, Scenario):
                self._read(environment_of(id, settings), id.name, 0)
            else:
                self._read(emptied(id, checked_config(id, settings)), id, environment_class(id)[1] or 0)
        self.cars = np.zeros((num_worlds, self._rules.room + len(self._fixtures)), CAR)
        self.episodes = np.zeros(num_worlds, EPISODE)
        self.kept: Observations = {}
        self._running: Running | None = None
        if varied is not None:
            self.config["variation"] = varied

    def __getstate__(self) -> dict[str, Any]:
        """A copy prepares kernels for records of its own."""
        return vars(self) | {"_running": None}

    def _read(self, env: Any, id: str, limit: int) -> None:
        """Take over everything that the kernels need from an environment."""
        self.config: dict[str, Any] = env.config
        if env.config["other_vehicles_type"] != IDM_VEHICLE:
            raise NotNative(f"other_vehicles_type {env.config['other_vehicles_type']}")
        if number_of(env.config) is not None and not id.startswith(FAMILY):
            raise NotNative(f"action {env.config['action']['type']}")
        module = module_of(env)
        destinations = tuple(node_numbers(env.road.network)) if module is own else getattr(module, "DESTINATIONS", ())
        connected = bool(env.config["neighbour_vehicles_connected_lanes"])
        self._network = network_of(env.road.network, destinations, connected)
        self._actions = Actions.of(env)
        self._rulebook: Rulebook = module.rulebook_of(env)
        self.agents = number_of(env.config)
        self._fixtures = fixtures_of(env)
        self._rules = _rules_of(env, self._rulebook, self._actions, destinations, limit)
        self._observer = observer_for(env, self._network, self._actions.targets_mps)
        self.road = road_map_of(env.road.network, id)
        self.action_names, self.num_actions, self.action_width = self._actions.names, self._actions.count, self._actions.width
        self.action_space, self.observation_space = env.action_space, env.observation_space
        self.decision_s, self.substep_s = float(self._rules.decision_s), float(self._rules.substep_s)
        self.substeps = int(self._rules.substeps)
        self.horizon_steps = limit or steps_until(float(env.config.get("duration", RECORDING_S)), self.decision_s)
        self.has_autopilot = self._rulebook.has_autopilot
        self.may_grow = self._rulebook.after is not None
        self._keeps = self._rulebook.keeps_observation or self._observer.draws

    def kept_like(self) -> Observations:
        """See ``Engine.kept_like``."""
        return self._observer.new(1) if self._keeps else {}

    def renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        """See ``Engine.renew``."""
        self._renew(seeds, where)
        if self._keeps:
            self.kept = self._observed(where)

    def _renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> None:
        book, worlds = self._rulebook, len(self.episodes)
        shared = (self._network, self._rules, self._actions.targets_mps, self._fixtures, book.params)
        book.spawn(0, worlds, self.cars, self.episodes, *shared, seeds, where)
        self.vary()

    def vary(self) -> None:
        """Vary the cars that appeared since the last time, where that is wanted."""
        if self._variation is not None:
            vary_worlds(0, len(self.episodes), self.cars, self.episodes, self._variation, self._rules.agents)

    def _observed(self, where: NDArray[np.bool_] | None = None) -> Observations:
        """Observe worlds; the rest keeps what was kept of it."""
        out = self._observer.new(len(self.episodes))
        for name, values in self.kept.items():
            out[name][:] = values
        self._observer.write(0, len(self.episodes), where, self.cars, self.episodes, out)
        return out

    def step(self, decision: Decision) -> Stepped:
        """See ``Engine.step``."""
        self._make_room()
        if self._running is None:
            self._running = Running(self)
        stepped = self._running.step(decision)
        if self._keeps:
            self.kept = stepped.observations
        return stepped

    def _make_room(self) -> None:
        """Give the records of vehicles more room before one too many is spawned; scenes then hold more actors."""
        if not self.may_grow or int(self.episodes["vehicles"].max()) < self._rules.room:
            return
        room = self._rules.room
        wider = np.zeros((len(self.cars), self.cars.shape[1] + room), CAR)
        wider[:, :room], wider[:, 2 * room :] = self.cars[:, :room], self.cars[:, room:]
        self.cars, self._rules = wider, self._rules.copy()
        self._rules.room = 2 * room
        self._running = None

    def observation(self) -> Observations:
        """See ``Engine.observation``."""
        return {name: values.copy() for name, values in self.kept.items()} if self._keeps else self._observed()

    def still(self) -> Records:
        """See ``Engine.still``."""
        return Records(copied(self.cars), copied(self.episodes))

    def egos_crashed(self) -> NDArray[np.bool_]:
        """See ``Engine.egos_crashed``."""
        crashed: NDArray[np.bool_] = self.cars["crashed"][np.arange(len(self.cars)), self.episodes["ego"]]
        return crashed

    def actors(self, kind: np.dtype[Any], instant: Any = None) -> dict[str, NDArray[Any]]:
        """See ``Engine.actors``."""
        if instant is None or isinstance(instant, Records):
            cars, episodes = (self.cars, self.episodes) if instant is None else (instant.cars, instant.episodes)
            vehicles, egos = episodes["vehicles"].copy(), episodes["ego"].copy()
        else:
            cars, vehicles, egos = instant
        room = cars.shape[1] - len(self._fixtures)
        shape = (len(cars), room + int((self._fixtures["driver"] != LANDMARK).sum()))
        floats, kinds, flags = np.zeros((12, *shape), kind), np.zeros(shape, np.int64), np.zeros((2, *shape), np.bool_)
        hand_out(cars, vehicles, egos, room, floats, kinds, flags, self._network.lanes, self._rules.agents)
        return {
            "position_m": np.stack((floats[0], floats[1]), -1),
            "heading_rad": floats[2],
            "velocity_mps": np.stack((floats[3], floats[4]), -1),
            "acceleration_mps2": np.stack((floats[5], floats[6]), -1),
            "yaw_rate_radps": floats[7],
            "size_m": np.stack((floats[8], floats[9], floats.dtype.type(VEHICLE_HEIGHT_M) * flags[1]), -1),
            "along_mps2": floats[10],
            "lane_change": floats[11],
            "kind": np.where(kinds > 0, int(Kind.OBSTACLE), int(Kind.CAR)),
            "crashed": flags[0],
            "valid": flags[1],
        }

    def last_actions(self, episodes: NDArray[Any]) -> NDArray[np.float32]:
        """See ``Engine.last_actions``."""
        if self._actions.count is None:
            return np.stack((episodes["throttle"], episodes["wheel"]), -1)[:, : self._actions.width].astype(np.float32)
        return np.asarray(np.arange(self._actions.count) == episodes["action"][:, None], np.float32)

    def check(self, cars: NDArray[Any], episodes: NDArray[Any]) -> None:
        """See ``Engine.check``."""
        network = self._network
        lanes, speeds, widest = len(network.lanes), len(self._actions.targets_mps), int(network.roads["lanes"].max())
        moving = cars["driver"] < OBSTACLE
        for name, low, high in (
            ("lane", 0, lanes),
            ("target_lane", 0, lanes),
            ("route", NOBODY, len(network.routes)),
            ("route_lane", 0, widest),
            ("speed_index", 0, speeds),
        ):
            if not ((cars[name] >= low) & (cars[name] < high))[moving].all():
                raise ConfigError(f"load: {name} of the state is outside {low} to {high - 1}")
        place = (cars["route_place"] >= 0) & (cars["route_place"] < network.routes.shape[1])
        if not place.all() or not ((cars["driver"] >= BY_IDM) & (cars["driver"] <= LANDMARK)).all():
            raise ConfigError("load: drivers or routes of the state are not ones that a world can have")
        room = cars.shape[1] - len(self._fixtures)
        counts = (episodes["vehicles"] >= 1) & (episodes["vehicles"] <= room)
        if not (counts & (episodes["ego"] >= 0) & (episodes["ego"] + self._rules.agents <= episodes["vehicles"])).all():
            raise ConfigError(f"load: the state's worlds hold numbers of vehicles outside 1 to {room}")
        self._check_places(cars, episodes, room)

    def _check_places(self, cars: NDArray[Any], episodes: NDArray[Any], room: int) -> None:
        """Every record moves, or does not, as its place says; what episodes point to is there."""
        used = np.arange(room) < episodes["vehicles"][:, None]
        if (used & (cars["driver"][:, :room] >= OBSTACLE)).any() or (cars["driver"][:, room:] != self._fixtures["driver"]).any():
            raise ConfigError("load: the state has obstacles where cars are, or cars where obstacles are")
        for name in ("kept_lane", "next_kept_lane"):
            if not ((episodes[name] >= 0) & (episodes[name] < len(self._network.lanes))).all():
                raise ConfigError(f"load: {name} of the state is outside 0 to {len(self._network.lanes) - 1}")
        if (self._fixtures["driver"] == LANDMARK).any():
            there = (episodes["goal"] >= room) & (episodes["goal"] < cars.shape[1])
            if not there.all() or (cars["driver"][np.arange(len(cars)), episodes["goal"]] != LANDMARK).any():
                raise ConfigError("load: goal of the state is no landmark")

    def take(self, cars: NDArray[Any], episodes: NDArray[Any], kept: Observations) -> None:
        """See ``Engine.take``."""
        self.kept = {name: values.copy() for name, values in kept.items()}
        if cars.shape == self.cars.shape:
            self.cars[:], self.episodes[:] = cars, episodes
            return
        self.cars, self.episodes, self._running = cars.copy(), episodes.copy(), None
        self._rules = self._rules.copy()
        self._rules.room = cars.shape[1] - len(self._fixtures)


def _rules_of(env: Any, book: Rulebook, actions: Actions, destinations: tuple[str, ...], limit: int) -> Rules:
    """The numbers that all worlds share; the IDM's are those that the environment left in highway-env's class."""
    from highway_env.vehicle.behavior import IDMVehicle

    config = env.config
    slowest, fastest = (actions.wheel.speed_range if actions.wheel else None) or (-40.0, 40.0)
    wanted = config.get("destination")
    rules = np.zeros(1, RULES)[0]
    values = dict(
        substep_s=1 / config["simulation_frequency"],
        substeps=int(config["simulation_frequency"] // config["policy_frequency"]),
        decision_s=1 / config["policy_frequency"],
        duration_s=duration_of(config),
        limit=limit,
        room=book.room,
        regulation=int(1 / (1 / config["simulation_frequency"]) / 2) if hasattr(env.road, "enforce_road_rules") else 0,
        agents=number_of(config) or 1,
        ego_driver=actions.driver,
        ego_slowest_mps=float(slowest),
        ego_fastest_mps=float(fastest),
        jam_distance_m=float(IDMVehicle.DISTANCE_WANTED),
        comfort_mps2=float(IDMVehicle.COMFORT_ACC_MAX),
        twice_root_mps2=float(2 * math.sqrt(-IDMVehicle.COMFORT_ACC_MAX * IDMVehicle.COMFORT_ACC_MIN)),
        destination=destinations.index(wanted) if wanted else NOBODY,
        destinations=len(destinations),
    )
    for name, value in values.items():
        rules[name] = value
    return rules
