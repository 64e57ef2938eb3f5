"""The world: B highways at once, exactly highway-env's, stepped natively.

Arithmetic is float64 in highway-env's frame; what is handed out has the world's dtype and the frame of ``Scene``. Every id and
setting that the native kernels lack is served by ``ReferenceWorld`` through the same call, ``World(id, ...)``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.arguments import as_array, checked_threads, checked_worlds, resolve_device
from envs.config import META_ACTIONS, NATIVE_DEFAULTS, complete_config, why_not_native
from envs.ids import checked_id
from envs.native import Highway, highway_of, horizon_steps
from envs.native_scene import View
from envs.outcome import Outcome
from envs.road_maps import straight_highway
from envs.traffic.batch import observe_worlds, reset_worlds, step_worlds
from envs.traffic.layout import CAR, EPISODE, IDLE, NOBODY, OUTCOME, TERMS
from envs.traffic.observation import FEATURES
from envs.world_state import WorldState, check_state
from sensors.errors import ConfigError
from sensors.launch import over_worlds
from sensors.scene import Faults, Scene, Weather

__all__ = ["FastStep", "Outcome", "World", "WorldState"]


@dataclass(frozen=True)
class FastStep:
    """What ``World.step_autoreset`` gives: observations and outcomes, no scene."""

    observation: Tensor  # (B, rows, 5) float32; of the new episode where one ended
    reward: Tensor  # (B,) the world's dtype
    terminated: Tensor  # (B,) bool
    truncated: Tensor  # (B,) bool
    final_observation: Tensor  # (B, rows, 5) float32; of the episode that ended, zero elsewhere


class World:
    """B native worlds of highway-v0 or highway-fast-v0."""

    def __new__(
        cls,
        id: str,
        num_worlds: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        config: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
    ) -> World:
        """Choose between this class and ``ReferenceWorld``; arguments as for ``__init__``."""
        checked_worlds(num_worlds)
        bare, place = checked_id(id), resolve_device(device, id)
        if bare in NATIVE_DEFAULTS:
            reason = why_not_native(complete_config(bare, config))
            if reason is None:
                return super().__new__(cls)
            logging.getLogger(__name__).warning("%s: %s is not native; highway-env itself is stepped, which is slow", bare, reason)
        from envs.reference import ReferenceWorld

        return ReferenceWorld(bare, num_worlds, place, dtype, config, num_threads)  # type: ignore[return-value]

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
            id: One of ``envs.ids.SINGLE_AGENT_IDS``.
            num_worlds: B.
            device: Where scenes and outcomes are put; the worlds themselves are stepped on the CPU. ``"auto"`` chooses.
            dtype: Dtype of the floats handed out, float32 or float64; the worlds compute in float64.
            config: Settings that differ from highway-env's defaults, by highway-env's keys.
            num_threads: Threads to step on; None is as many as numba has. Results do not depend on it.

        Raises:
            ConfigError: Unknown id, setting or device, or a value that cannot be used.
        """
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
        self.id = checked_id(id)
        self.num_worlds, self.device, self.dtype = num_worlds, resolve_device(device, None), dtype
        self.config: dict[str, Any] = complete_config(self.id, config)
        self.num_threads = checked_threads(num_threads)
        self._highway: Highway = highway_of(self.id, self.config)
        rules = self._highway.rules
        self.road = straight_highway(rules.lanes)
        self.action_names = self._highway.action_names
        self.num_actions: int | None = len(self.action_names)
        self.action_width = len(self.action_names)
        self.policy_dt_s, self.substep_dt_s, self.substeps_per_step = rules.decision_s, rules.substep_s, rules.substeps
        self.horizon_steps = horizon_steps(rules)
        self.weather = Weather.clear(num_worlds, self.device)
        self.faults = Faults.none(num_worlds, self.device)
        self._cars = np.zeros((num_worlds, self._highway.cars), CAR)
        self._episodes = np.zeros(num_worlds, EPISODE)
        self._nobody_piloted = np.zeros(num_worlds, np.bool_)
        self._no_trace = np.zeros((0, num_worlds, self._highway.cars), CAR)
        self._no_observation = np.zeros((0, self._highway.observed_cars, FEATURES), np.float32)
        self._started = False
        self._scene: Scene | None = None
        self._view = View(self._cars.shape, self.action_width, rules.substep_s, self.device, dtype)

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What ``__new__`` needs when a world is copied or unpickled."""
        return self.id, self.num_worlds, self.device, self.dtype, self.config, self.num_threads

    @property
    def scene(self) -> Scene:
        """What is there now. Its tensors are never written again."""
        self._check_started()
        if self._scene is None:
            self._scene = self._scene_of(self._cars, self._episodes["substeps"])
        return self._scene

    def reset(self, seeds: Tensor | Sequence[int], where: Tensor | None = None) -> Scene:
        """Start episodes: the same seed gives the same traffic as highway-env's ``reset(seed=...)``.

        Args:
            seeds: int64 (B,), not negative.
            where: Worlds to reset, bool (B,); all if none is given.

        Returns:
            The scene of all worlds.

        Raises:
            ConfigError: Seeds or mask of another shape or type, or negative seeds.
        """
        chosen = self._mask(where, "where", everywhere=True)
        numbers = self._whole_numbers(seeds, "reset: seeds")
        if (numbers[chosen] < 0).any():
            raise ConfigError(f"reset: seeds hold {int(numbers[chosen].min())}, expected numbers >= 0")
        if not self._started and not chosen.all():
            raise ConfigError(f"{self.id}: the first reset starts all worlds; leave where out")
        return self._renew(np.where(chosen, numbers, NOBODY), chosen)

    def reset_continue(self, where: Tensor) -> Scene:
        """Start episodes that go on with their own generator, as highway-env does when reset without a seed.

        ``episode_seed`` becomes ``envs.seeds.following_seed`` of the one before.

        Args:
            where: Worlds to reset, bool (B,).

        Returns:
            The scene of all worlds.
        """
        self._check_started()
        return self._renew(np.full(self.num_worlds, NOBODY, np.int64), self._mask(where, "where"))

    def step(self, actions: Tensor | Sequence[int], *, autopilot: Tensor | None = None, substeps: bool = False) -> tuple[Scene, Outcome]:
        """Advance every world by one decision; never resets, and goes on past an end.

        Args:
            actions: int64 (B,), numbers of ``action_names``.
            autopilot: Worlds whose ego IDM and MOBIL drive, bool (B,); their actions are ignored.
            substeps: Keep the scene after every simulation substep too.

        Returns:
            The scene, and the outcome of the decision.

        Raises:
            ConfigError: Actions of another shape or type or out of range, or no reset yet.
        """
        trace = np.empty((self.substeps_per_step, *self._cars.shape), CAR) if substeps else self._no_trace
        outcomes = self._advance(actions, autopilot, trace, self._no_observation, self._no_observation)
        before = self._episodes["substeps"] - self.substeps_per_step
        scenes = tuple(self._scene_of(cars, before + 1 + number) for number, cars in enumerate(trace[:-1]))
        scene = self.scene
        return scene, self._outcome(outcomes, (*scenes, scene) if substeps else ())

    def step_autoreset(self, actions: Tensor | Sequence[int]) -> FastStep:
        """Advance every world by one decision and follow every finished episode by a new one, as ``reset_continue`` does.

        The fast path: no scene is made unless ``scene`` is asked for.

        Args:
            actions: int64 (B,), numbers of ``action_names``.

        Raises:
            ConfigError: As ``step``.
        """
        shape = (self.num_worlds, self._highway.observed_cars, FEATURES)
        observations, finals = np.empty(shape, np.float32), np.zeros(shape, np.float32)
        outcomes = self._advance(actions, None, self._no_trace, observations, finals)
        return FastStep(
            self._view.tensor(observations),
            self._view.floats(outcomes["reward"]),
            self._view.tensor(outcomes["terminated"].copy()),
            self._view.tensor(outcomes["truncated"].copy()),
            self._view.tensor(finals),
        )

    def observation(self) -> Tensor:
        """highway-env's own Kinematics observation, (B, rows, 5) float32."""  # noqa: D403
        self._check_started()
        observations = np.empty((self.num_worlds, self._highway.observed_cars, FEATURES), np.float32)
        observe_worlds(self._cars, self._highway.rules.lanes, observations)
        return self._view.tensor(observations)

    def state(self) -> WorldState:
        """Everything needed to go on identically later."""
        self._check_started()
        return WorldState(self.id, self.config, self._cars.copy(), self._episodes.copy())

    def load(self, state: WorldState) -> Scene:
        """Go back to a state of as many worlds; what is wrong with it is said before anything changes.

        Raises:
            ConfigError: The state is foreign, truncated, or of another number of worlds.
        """
        checked = check_state(state, self.id, self.config, self._highway.cars, self._highway.rules)
        if checked.num_worlds != self.num_worlds:
            raise ConfigError(f"load: the state holds {checked.num_worlds} worlds, expected {self.num_worlds}")
        self._cars, self._episodes = checked.cars.copy(), checked.episodes.copy()
        self._started, self._scene = True, None
        return self.scene

    def fork(self, index: int, n: int) -> WorldState:
        """The state of n worlds that all continue from world ``index``; load it into a world of n.

        Raises:
            ConfigError: There is no such world, or n is below 1.
        """
        self._check_started()
        if not 0 <= index < self.num_worlds:
            raise ConfigError(f"fork: there is no world {index}, expected 0 to {self.num_worlds - 1}")
        checked_worlds(n)
        return WorldState(self.id, self.config, np.repeat(self._cars[index : index + 1], n, 0), np.repeat(self._episodes[index], n))

    def _renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> Scene:
        reset_worlds(self._cars, self._episodes, self._highway.rules, self._highway.targets_mps, seeds, where)
        self._started, self._scene = True, None
        return self.scene

    def _advance(
        self,
        actions: Tensor | Sequence[int],
        autopilot: Tensor | None,
        trace: NDArray[Any],
        observations: NDArray[np.float32],
        finals: NDArray[np.float32],
    ) -> NDArray[Any]:
        """Check the arguments and run the kernel; gives the OUTCOME records."""
        self._check_started()
        chosen = self._whole_numbers(actions, "step: actions")
        if chosen.min() < 0 or chosen.max() >= len(self.action_names):
            raise ConfigError(f"step: actions run from {chosen.min()} to {chosen.max()}, expected 0 to {len(self.action_names) - 1}")
        piloted = self._nobody_piloted if autopilot is None else self._mask(autopilot, "autopilot")
        outcomes = np.empty(self.num_worlds, OUTCOME)
        self._episodes["action"] = chosen if autopilot is None else np.where(piloted, self.action_names.index(META_ACTIONS[IDLE]), chosen)
        self._launch(self._highway.meta_actions[chosen], piloted, outcomes, trace, observations, finals)
        self._scene = None
        return outcomes

    def _launch(self, actions: NDArray[np.int64], piloted: NDArray[np.bool_], outcomes: NDArray[Any], *rest: NDArray[Any]) -> None:
        arguments = (self._cars, self._episodes, self._highway.rules, self._highway.targets_mps, actions, piloted, outcomes, *rest)
        if self.num_threads == 1 or self.num_worlds == 1:
            step_worlds(0, self.num_worlds, *arguments)
            return
        usual = numba.get_num_threads()
        numba.set_num_threads(self.num_threads)
        try:
            over_worlds(step_worlds, self.num_worlds, *arguments)
        finally:
            numba.set_num_threads(usual)

    def _outcome(self, outcomes: NDArray[Any], substeps: tuple[Scene, ...]) -> Outcome:
        return Outcome(
            reward=self._view.floats(outcomes["reward"]),
            terminated=self._view.tensor(outcomes["terminated"].copy()),
            truncated=self._view.tensor(outcomes["truncated"].copy()),
            terms={name: self._view.floats(outcomes[name]) for name in TERMS},
            substeps=substeps,
        )

    def _scene_of(self, cars: NDArray[Any], substeps: NDArray[np.int64]) -> Scene:
        return self._view.scene(cars, self._episodes, substeps, self.road, self.weather, self.faults)

    def _check_started(self) -> None:
        if not self._started:
            raise ConfigError(f"{self.id}: nothing there yet; call reset(seeds) first")

    def _mask(self, mask: Tensor | None, name: str, everywhere: bool = False) -> NDArray[np.bool_]:
        if mask is None and everywhere:
            return np.ones(self.num_worlds, np.bool_)
        array = as_array(mask, name)
        if array.shape != (self.num_worlds,) or array.dtype != np.bool_:
            raise ConfigError(f"{name} is {array.dtype} {array.shape}, expected bool ({self.num_worlds},)")
        return array

    def _whole_numbers(self, values: Tensor | Sequence[int], name: str) -> NDArray[np.int64]:
        array = as_array(values, name)
        if array.shape != (self.num_worlds,) or array.dtype.kind not in "iu":
            raise ConfigError(f"{name} are {array.dtype} {array.shape}, expected whole numbers of shape ({self.num_worlds},)")
        return array.astype(np.int64, copy=False)
