"""highway-env itself, stepped in Python behind the same methods as ``World``: the oracle, and the fallback for every id."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from envs.agents import TERMINATED, number_of
from envs.arguments import as_array, checked_worlds, in_short, resolve_device
from envs.class_constants import in_place, pristine
from envs.config import steps_until
from envs.ids import checked_id
from envs.outcome import FastStep, Outcome
from envs.reference_config import checked_config
from envs.reference_episode import COLUMNS, CRASHED, KIND, LANE_CHANGE, Episode, Step, action_names, action_width, actor_of
from envs.road_maps import road_map_of
from envs.seeds import following_seed
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.road import Floats
from sensors.scene import VEHICLE_HEIGHT_M, Scene, lights_of
from sensors.weather import Weather

HORIZON_WITHOUT_LIMIT_S = 30.0
"""Length of a recording where highway-env sets no limit (merge ends at x > 370 m, which even 20 m/s reaches in 17 s)."""


@dataclass(frozen=True)
class ReferenceState:
    """A snapshot of reference worlds: deep copies, good for any world of the same id and configuration in this process."""

    id: str
    config: dict[str, Any]
    episodes: tuple[Episode, ...]
    episode_seed: Tensor


class ReferenceWorld:
    """B environments of highway-env, stepped one after the other."""

    def __init__(
        self,
        id: str,
        num_worlds: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        config: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Build the worlds; call ``reset`` before anything else.

        Args:
            id: One of ``envs.ids.IDS``.
            num_worlds: B.
            device: Where scenes and outcomes are put; highway-env itself runs on the CPU.
            dtype: Dtype of the floats handed out; highway-env computes in float64.
            config: Changes to highway-env's own configuration, by its keys.
            num_threads: Taken for the sake of ``World``; highway-env uses one.

        Raises:
            ConfigError: Unknown id or key, or a configuration that highway-env cannot run with one ego.
        """
        num_worlds = checked_worlds(num_worlds)
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
        self.id = checked_id(id)
        self.num_worlds, self.device, self.dtype = num_worlds, resolve_device(device, None), dtype
        self._constants = pristine()
        with in_place(self._constants):
            first = Episode(self.id, checked_config(self.id, config or {}))
            self._episodes = [first] + [copy.deepcopy(first) for _ in range(num_worlds - 1)]
        env = first.env
        self.config: dict[str, Any] = copy.deepcopy(env.config)
        self.road = road_map_of(env.road.network, self.id)
        self.action_space: spaces.Space[Any] = env.action_space
        self.observation_space: spaces.Space[Any] = env.observation_space
        self.agents = number_of(self.config)
        """As in ``World``."""
        own = actor_of(env).space()
        self.num_actions = int(own.n) if isinstance(own, spaces.Discrete) else None
        self.action_names = action_names(env)
        self.action_width = action_width(own)
        self.policy_dt_s = 1 / self.config["policy_frequency"]
        self.substep_dt_s = 1 / self.config["simulation_frequency"]
        self.substeps_per_step = int(self.config["simulation_frequency"] // self.config["policy_frequency"])
        self.horizon_steps = first.limit or steps_until(self.config.get("duration", HORIZON_WITHOUT_LIMIT_S), self.policy_dt_s)
        self.weather = Weather.clear(num_worlds, self.device)
        self.faults = Faults.none(num_worlds, self.device)
        self._room = _room_for_actors(env, self.horizon_steps)
        self._seeds = torch.zeros(num_worlds, dtype=torch.int64)
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene:
        """What is there now. Its tensors are never written again."""
        if self._scene is None:
            raise ConfigError(f"{self.id}: no scene yet; call reset(seeds) first")
        return self._scene

    def egos_crashed(self) -> Tensor:
        """Has the ego crashed? (B,)."""
        return self.scene.crashed[:, 0]

    def episode_seeds(self) -> Tensor:
        """Seeds of the episodes, (B,)."""
        return self.scene.episode_seed

    def reset(self, seeds: Tensor | Sequence[int], where: Tensor | None = None) -> Scene:
        """Start episodes, each the same as highway-env's ``reset(seed=...)``.

        Args:
            seeds: int64 (B,), not negative.
            where: Worlds to reset, bool (B,); all if none is given.

        Returns:
            The scene of all worlds.
        """
        given = as_array(seeds, "reset: seeds")
        if given.shape != (self.num_worlds,) or given.dtype.kind not in "iu":
            raise ConfigError(f"reset: seeds are {given.dtype} {given.shape}, expected whole numbers of shape ({self.num_worlds},)")
        seeds, chosen = torch.from_numpy(given.astype(np.int64)), self._chosen(where)
        if bool((seeds[chosen] < 0).any()):
            raise ConfigError(f"reset: seeds hold {int(seeds[chosen].min())}, expected numbers >= 0")
        if self._scene is None and not bool(chosen.all()):
            raise ConfigError("reset: the first reset starts all worlds; leave where out")
        self._seeds = torch.where(chosen, seeds, self._seeds)
        with in_place(self._constants):
            for index in chosen.nonzero().flatten().tolist():
                self._episodes[index].reset(int(seeds[index]))
        return self._look()

    def reset_continue(self, where: Tensor) -> Scene:
        """Start episodes that go on with their own generator, as highway-env does when reset without a seed.

        ``episode_seed`` becomes ``envs.seeds.following_seed`` of the one before.

        Args:
            where: Worlds to reset, bool (B,).

        Returns:
            The scene of all worlds.
        """
        _ = self.scene
        chosen = self._chosen(where)
        self._seeds = torch.where(chosen, following_seed(self._seeds), self._seeds)
        with in_place(self._constants):
            for index in chosen.nonzero().flatten().tolist():
                self._episodes[index].reset(None)
        return self._look()

    def step(
        self, actions: Tensor | Sequence[int], *, autopilot: Tensor | None = None, override: None = None, substeps: bool = False
    ) -> tuple[Scene, Outcome]:
        """Advance every world by one decision; never resets, and goes on past an end.

        Args:
            actions: int64 (B,) for discrete actions, float (B, C) for continuous ones; (B, N) and (B, N, C) of N agents.
            autopilot: Worlds whose ego, or agents, IDM and MOBIL drive, bool (B,), or (B, N); their actions are ignored.
            override: None; only native worlds have it.
            substeps: Keep the scene after every simulation substep too.

        Returns:
            The scene, and the outcome of the decision.

        Raises:
            ConfigError: Actions of another shape or type, out of range or not finite, an override, or no reset yet.
        """
        _ = self.scene
        if override is not None:
            raise ConfigError(
                f"{self.id}: override needs a native world, and these settings are stepped by highway-env itself; leave it out"
            )
        chosen = self._actions(actions)
        piloted = self._piloted(autopilot)
        with in_place(self._constants):
            for episode, pilots in zip(self._episodes, piloted.tolist(), strict=True):
                for agent, pilot in enumerate(pilots):
                    episode.hand_over(pilot, agent)
            steps = [episode.step(action) for episode, action in zip(self._episodes, chosen, strict=True)]
        self._room = max([self._room, *(len(actors) for step in steps for actors in step.substeps)])
        scenes = self._substep_scenes(steps) if substeps else ()
        scene = self._look()
        return scene, self._outcome(steps, (*scenes, scene) if substeps else ())

    def step_autoreset(self, actions: Tensor | Sequence[int]) -> FastStep:
        """As ``World.step_autoreset``: finished episodes are followed by new ones, as ``reset_continue`` does.

        Raises:
            ConfigError: As ``step``.
        """
        _, outcome = self.step(actions)
        over = (outcome.terminated | outcome.truncated).cpu()
        last = self.observation()
        if bool(over.any()):
            self.reset_continue(over)
        told = {name: values for name, values in outcome.terms.items() if values.ndim > 1}
        finals = kept_where(last, over) if bool(over.any()) else None
        return FastStep(self.observation(), outcome.reward, outcome.terminated, outcome.truncated, finals, told)

    def observation(self) -> Any:
        """highway-env's own observation, as its last ``reset`` or ``step`` gave it: a tensor (B, ...), or a dict of them.

        Of several agents' observations (B, N, ...); of a TupleObservation a tuple.
        """  # noqa: D403
        _ = self.scene
        observations = [episode.observation for episode in self._episodes]
        if isinstance(observations[0], tuple) and self.agents is None:
            return tuple(self._batched([observation[part] for observation in observations]) for part in range(len(observations[0])))
        return self._batched(observations)

    def _batched(self, observations: list[Any]) -> Any:
        """One observation a world as a tensor (B, ...), or as a dict of them."""
        if isinstance(observations[0], Mapping):
            return {key: self._stacked([observation[key] for observation in observations]) for key in observations[0]}
        return self._stacked(observations)

    def state(self) -> ReferenceState:
        """Everything needed to go on identically later."""
        return ReferenceState(self.id, self.config, tuple(copy.deepcopy(episode) for episode in self._episodes), self._seeds)

    def load(self, state: ReferenceState) -> Scene:
        """Go back to a state; as many worlds as it holds.

        Raises:
            ConfigError: The state is of another id or configuration, or of another kind of world.
        """
        if not isinstance(state, ReferenceState) or (state.id, state.config) != (self.id, self.config):
            got = getattr(state, "id", type(state).__name__)
            raise ConfigError(f"load: the state is of {got}, expected one of {self.id} with the same configuration")
        if len(state.episodes) != self.num_worlds:
            raise ConfigError(f"load: the state holds {len(state.episodes)} worlds, expected {self.num_worlds}")
        self._episodes = [copy.deepcopy(episode) for episode in state.episodes]
        self._seeds = state.episode_seed
        return self._look()

    def fork(self, index: int, n: int) -> ReferenceState:
        """The state of n worlds that all continue from world ``index``; load it into a world of n."""
        _ = self.scene
        if not isinstance(index, (int, np.integer)) or isinstance(index, bool) or not 0 <= index < self.num_worlds:
            raise ConfigError(f"fork: there is no world {in_short(index)}, expected 0 to {self.num_worlds - 1}")
        copies = tuple(copy.deepcopy(self._episodes[index]) for _ in range(checked_worlds(n)))
        return ReferenceState(self.id, self.config, copies, self._seeds[index].repeat(n))

    def _chosen(self, where: Tensor | None) -> Tensor:
        if where is None:
            return torch.ones(self.num_worlds, dtype=torch.bool)
        mask = as_array(where, "mask")
        if mask.shape != (self.num_worlds,) or mask.dtype != np.bool_:
            raise ConfigError(f"mask is {mask.dtype} {mask.shape}, expected bool ({self.num_worlds},)")
        return torch.from_numpy(mask.copy())

    def _piloted(self, autopilot: Tensor | None) -> Tensor:
        """Which agents the autopilot drives, (B, N); with one ego N is 1."""
        shape = (self.num_worlds, self.agents or 1)
        if autopilot is None:
            return torch.zeros(shape, dtype=torch.bool)
        piloted = as_array(autopilot, "autopilot")
        if self.agents is not None and piloted.shape == shape and piloted.dtype == np.bool_:
            return torch.from_numpy(piloted.copy())
        return self._chosen(autopilot)[:, None].expand(shape)

    def _actions(self, given: Tensor | Sequence[int]) -> list[Any]:
        """Check actions, and give highway-env each as its own spaces would."""
        array = as_array(given, "step: actions")
        if array.dtype.kind not in "iufb":
            raise ConfigError(f"step: actions are {array.dtype} {array.shape}, expected numbers")
        actions = torch.from_numpy(np.ascontiguousarray(array))
        expected: tuple[int, ...] = (self.num_worlds,) if self.agents is None else (self.num_worlds, self.agents)
        expected += () if self.num_actions is not None else (self.action_width,)
        if tuple(actions.shape) != expected or actions.is_floating_point() != (self.num_actions is None) or actions.dtype == torch.bool:
            kind = "whole" if self.num_actions is not None else "floating-point"
            raise ConfigError(f"step: actions are {actions.dtype} {tuple(actions.shape)}, expected {kind} numbers of shape {expected}")
        if self.num_actions is None:
            if not bool(torch.isfinite(actions).all()):
                raise ConfigError("step: actions hold NaN or infinity, expected finite numbers")
            rows = list(actions.detach().cpu().numpy())
            return rows if self.agents is None else [tuple(row) for row in rows]
        if not bool(((actions >= 0) & (actions < self.num_actions)).all()):
            raise ConfigError(f"step: actions run from {int(actions.min())} to {int(actions.max())}, expected 0 to {self.num_actions - 1}")
        return [tuple(action) if isinstance(action, list) else int(action) for action in actions.tolist()]

    def _stacked(self, arrays: list[Any]) -> Tensor:
        return torch.from_numpy(np.stack([np.asarray(array) for array in arrays])).to(self.device)

    def _outcome(self, steps: list[Step], substeps: tuple[Scene, ...]) -> Outcome:
        def column(values: list[Any], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=self.device)

        return Outcome(
            column([step.reward for step in steps], self.dtype),
            column([step.terminated for step in steps], torch.bool),
            column([step.truncated for step in steps], torch.bool),
            {
                name: column([step.terms[name] for step in steps], torch.bool if name == TERMINATED else self.dtype)
                for name in steps[0].terms
            },
            substeps,
        )

    def _look(self) -> Scene:
        worlds = [episode.actors for episode in self._episodes]
        self._room = max([self._room, *map(len, worlds)])
        self._scene = self._scene_of(worlds, before_end=0)
        return self._scene

    def _substep_scenes(self, steps: list[Step]) -> tuple[Scene, ...]:
        """The scenes of all substeps but the last."""
        count = len(steps[0].substeps)
        return tuple(self._scene_of([step.substeps[i] for step in steps], before_end=count - 1 - i) for i in range(count - 1))

    def _scene_of(self, worlds: list[Floats], before_end: int) -> Scene:
        """Stack the actors of all worlds, flipped to y left."""
        table = np.zeros((self.num_worlds, self._room, CRASHED + 1))
        valid = np.zeros(table.shape[:2], np.bool_)
        for index, actors in enumerate(worlds):
            table[index, : len(actors)], valid[index, : len(actors)] = actors, True
        x, y, heading, speed, acceleration, yaw_rate, length, width = (table[..., i] for i in range(len(COLUMNS)))
        heading, yaw_rate = -heading, -yaw_rate
        along = np.stack((np.cos(heading), np.sin(heading)), -1)
        left = np.stack((-along[..., 1], along[..., 0]), -1)
        substep = torch.tensor([episode.substeps - before_end for episode in self._episodes])

        def floats(array: Floats) -> Tensor:
            return torch.from_numpy(array).to(self.device, self.dtype)

        return Scene(
            position_m=floats(np.stack((x, -y), -1)),
            heading_rad=floats(heading),
            velocity_mps=floats(speed[..., None] * along),
            acceleration_mps2=floats(acceleration[..., None] * along + (speed * yaw_rate)[..., None] * left),
            yaw_rate_radps=floats(yaw_rate),
            size_m=floats(np.stack((length, width, VEHICLE_HEIGHT_M * valid), -1)),
            kind=torch.from_numpy(table[..., KIND]).long().to(self.device),
            lights=lights_of(torch.from_numpy(acceleration), torch.from_numpy(table[..., LANE_CHANGE])).to(self.device),
            crashed=torch.from_numpy(table[..., CRASHED] > 0).to(self.device),
            valid=torch.from_numpy(valid).to(self.device),
            road=self.road,
            weather=self.weather,
            faults=self.faults,
            time_s=(substep.double() * self.substep_dt_s).to(self.device, self.dtype),
            episode_seed=self._seeds.to(self.device),
            step=substep.to(self.device),
            action=torch.from_numpy(np.stack([episode.last_action for episode in self._episodes])).float().to(self.device),
        )


def kept_where(observed: Any, where: Tensor) -> Any:
    """Observations (B, ...) of the worlds in a mask, zero elsewhere."""
    if isinstance(observed, Mapping):
        return {key: kept_where(value, where) for key, value in observed.items()}
    if isinstance(observed, tuple):
        return tuple(kept_where(part, where) for part in observed)
    kept = torch.zeros_like(observed)
    kept[where] = observed[where]
    return kept


def _room_for_actors(env: Any, horizon_steps: int) -> int:
    """The most actors that an episode can have by its configuration, so that shapes do not depend on the seed."""
    config, now = env.config, len(env.road.vehicles)
    if "initial_vehicle_count" in config:  # intersection: a challenger, the agents, and at most one newcomer a decision
        now = config["initial_vehicle_count"] + config["controlled_vehicles"] + horizon_steps
    elif "other_vehicles" in config:  # racetrack
        now = max(now, config["controlled_vehicles"] + config["other_vehicles"])
    elif "parallel_merge_length" in config:  # merge-generic: the ego, and one on the ramp
        now = config["vehicles_count"] + 2
    elif "roundabout_lanes" in config:
        now = config["vehicles_count"] + 1
    return int(now) + sum(int(thing.solid) for thing in env.road.objects)
