"""The world: B episodes of a highway-env id at once, stepped natively and exactly as highway-env steps them.

Arithmetic is float64 in highway-env's frame; what is handed out has the world's dtype and the frame of ``Scene``. Settings that the
kernels lack are served by ``ReferenceWorld`` through the same call, ``World(id, ...)``.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from envs.arguments import as_array, checked_threads, checked_worlds, in_short, resolve_device
from envs.engine import Decision, Engine, NotNative, Observations, Records, copied
from envs.ids import checked_id
from envs.later import LaterScene
from envs.outcome import NO_TERMS, FastStep, Outcome
from envs.override import Drivers, hands_of
from envs.scenario import Scenario, scenario_named
from envs.world_state import WorldState, check_state
from sensors.errors import ConfigError, unknown_name
from sensors.faults import Faults
from sensors.scene import Scene, lights_of
from sensors.weather import Weather

__all__ = ["FastStep", "Outcome", "World", "WorldState"]

NOBODY = -1
MODES = ("exact", "fast")
FIELDS = ("position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m", "kind", "crashed", "valid")


def engine_for(id: str | Scenario, num_worlds: int, config: Mapping[str, Any] | None, mode: str = "exact") -> Engine:
    """Make the kernels' side of a world.

    Args:
        id: An id, or a scenario of one's own.
        num_worlds: B.
        config: Settings; beside highway-env's keys ``variation`` and ``mode``, which is how recordings keep them.
        mode: ``"exact"`` or ``"fast"``.

    Raises:
        NotNative: A setting that no kernels have.
        ConfigError: An unknown setting or mode, or a value that cannot be used.
    """
    from envs.config import NATIVE_DEFAULTS

    settings = dict(config or {})
    mode = settings.pop("mode", mode)
    if mode not in MODES:
        raise unknown_name("mode", str(mode), MODES)
    if isinstance(id, str) and id in NATIVE_DEFAULTS and "variation" not in settings:
        from envs.highway_engine import HighwayEngine

        try:
            return HighwayEngine(id, num_worlds, settings, mode)
        except NotNative:
            pass  # the general kernels have more actions and observations
    if mode != "exact":
        raise ConfigError(f"mode is {mode!r}: only highway-v0 and highway-fast-v0 with their usual actions and observation have it")
    from envs.network.engine import NetworkEngine

    return NetworkEngine(id, num_worlds, settings)


class World:
    """B native worlds."""

    _engine: Engine

    def __new__(
        cls,
        id: str | Scenario,
        num_worlds: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        config: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
        mode: str = "exact",
    ) -> World:
        """Choose between this class and ``ReferenceWorld``; arguments as for ``__init__``."""
        worlds, bare = checked_worlds(num_worlds), id if isinstance(id, Scenario) else checked_id(id)
        name = bare if isinstance(bare, str) else bare.name
        bare = scenario_named(bare) if isinstance(bare, str) and ":" in bare else bare
        place = resolve_device(device, name)
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f"config of {name} is a {type(config).__name__}, expected a dict of highway-env's settings")
        try:
            engine = engine_for(bare, worlds, config, mode)
        except NotNative as reason:
            if not isinstance(bare, str):
                raise
            logging.getLogger(__name__).warning("%s: %s is not native; highway-env itself is stepped, which is slow", bare, reason)
            from envs.reference import ReferenceWorld

            return ReferenceWorld(bare, worlds, place, dtype, config, num_threads)  # type: ignore[return-value]
        world = super().__new__(cls)
        world._engine = engine
        return world

    def __init__(
        self,
        id: str | Scenario,
        num_worlds: int = 1,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        config: Mapping[str, Any] | None = None,
        num_threads: int | None = None,
        mode: str = "exact",
    ) -> None:
        """Build the worlds; call ``reset`` before anything else.

        Args:
            id: One of ``envs.ids.IDS``, or a scenario of one's own: the object, or ``module:name``.
            num_worlds: B.
            device: Where scenes and outcomes are put; the worlds themselves are stepped on the CPU. ``"auto"`` chooses.
            dtype: Dtype of the floats handed out, float32 or float64; the worlds compute in float64.
            config: Settings that differ from highway-env's defaults, by highway-env's keys; and ``variation``, ranges for domain
                randomisation (``envs.network.variation``).
            num_threads: Threads to step on; None is as many as numba has. Results do not depend on it.
            mode: ``"exact"`` computes highway-env's own numbers; ``"fast"``, for the highway alone, uses cheaper elementary functions, so
                that places differ in their last digits and decisions hardly ever do (docs/benchmarks.md counts them).

        Raises:
            ConfigError: Unknown id, setting or device, or a value that cannot be used.
        """
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(f"dtype is {dtype}, expected torch.float32 or torch.float64")
        self.source = id
        """What the worlds were made of."""
        self.id = id.name if isinstance(id, Scenario) else checked_id(id)
        self.num_worlds, self.device, self.dtype = num_worlds, resolve_device(device, None), dtype
        self.num_threads, self._on_cpu = checked_threads(num_threads), self.device.type == "cpu"
        engine = self._engine
        self.config: dict[str, Any] = engine.config
        self.road, self.action_names = engine.road, engine.action_names
        self.num_actions, self.action_width = engine.num_actions, engine.action_width
        self.action_space: spaces.Space[Any] = engine.action_space
        self.observation_space: spaces.Space[Any] = engine.observation_space
        self.policy_dt_s, self.substep_dt_s, self.substeps_per_step = engine.decision_s, engine.substep_s, engine.substeps
        self.horizon_steps = engine.horizon_steps
        self.weather = Weather.clear(num_worlds, self.device)
        self.faults = Faults.none(num_worlds, self.device)
        self._float = np.dtype(np.float32 if dtype == torch.float32 else np.float64)
        self.agents: int | None = engine.agents
        """How many actors are driven by actions, N: actors 0 to N - 1 of the scene. None where actions are those of one ego, actor 0,
        and have no axis for agents; names, numbers and widths of actions are one agent's."""
        self._acting: tuple[int, ...] = (num_worlds,) if self.agents is None else (num_worlds, self.agents)
        self._nobody_piloted = np.zeros(self._acting, np.bool_)
        self._started = False
        self._scene: Scene | None = None

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What ``__new__`` needs when a world is copied or unpickled."""
        return self.source, self.num_worlds, self.device, self.dtype, self.config, self.num_threads

    @property
    def scene(self) -> Scene:
        """What is there now. Its tensors are never written again."""
        self._check_started()
        if self._scene is None:
            weather, faults = self.weather, self.faults
            self._scene = LaterScene.of(lambda kept: self._scene_of(kept, None, weather, faults))
        return self._scene

    def present_scene(self) -> Scene:
        """What is there at this very substep; within a decision, for who drives by hand."""
        return self._scene_of(None, None, self.weather, self.faults)

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

    def step(
        self,
        actions: Tensor | Sequence[int],
        *,
        autopilot: Tensor | None = None,
        override: Drivers = None,
        substeps: bool = False,
    ) -> tuple[Scene, Outcome]:
        """Advance every world by one decision; never resets, and goes on past an end.

        Args:
            actions: int64 (B,), numbers of ``action_names`` or of discrete actions without names; floats (B, C) for continuous ones.
                With N agents (B, N) or (B, N, C).
            autopilot: Worlds whose ego, or agents, IDM and MOBIL drive, bool (B,), or (B, N) to choose agents; their actions are ignored.
            override: Who drives some actors by acceleration and steering instead: an ``Override``, or a function that is given the
                scene before every substep and gives one (or None).
            substeps: Keep the scene after every simulation substep too.

        Returns:
            The scene, and the outcome of the decision.

        Raises:
            ConfigError: Actions of another shape or type, out of range or not finite, or no reset yet.
        """
        self._check_started()
        hands = hands_of(override, self)
        decision = Decision(self._checked_actions(actions), self._piloted(autopilot), hands, substeps, threads=self.num_threads)
        self._move_on()
        stepped = self._engine.step(decision)
        substep = self._engine.episodes["substeps"]
        last = len(stepped.instants) - 1
        scenes = tuple(
            self._scene_of(instant, substep - last + number, self.weather, self.faults)
            for number, instant in enumerate(stepped.instants[:-1])
        )
        scene = self.scene
        outcome = Outcome(
            reward=self._floats(stepped.reward),
            terminated=self._tensor(stepped.terminated),
            truncated=self._tensor(stepped.truncated),
            terms=self._terms(stepped.terms),
            substeps=(*scenes, scene) if substeps else (),
        )
        return scene, outcome

    def step_autoreset(self, actions: Tensor | Sequence[int]) -> FastStep:
        """Advance every world by one decision and follow every finished episode by a new one, as ``reset_continue`` does.

        The fast path: no scene is made unless ``scene`` is asked for.

        Args:
            actions: As for ``step``.

        Raises:
            ConfigError: As ``step``.
        """
        self._check_started()
        decision = Decision(self._checked_actions(actions), self._nobody_piloted, autoreset=True, threads=self.num_threads)
        self._move_on()
        stepped = self._engine.step(decision)
        return FastStep(
            self._observed(stepped.observations),
            self._floats(stepped.reward),
            self._tensor(stepped.terminated),
            self._tensor(stepped.truncated),
            self._observed(stepped.finals) if stepped.finals else None,
            self._terms(stepped.terms) if self.agents is not None else NO_TERMS,
        )

    def observation(self) -> Any:
        """highway-env's own observation as the last reset or step left it: a tensor (B, ...), or a dict of them.

        Of several agents' observations (B, N, ...).
        """  # noqa: D403
        self._check_started()
        return self._observed(self._engine.observation())

    def egos_crashed(self) -> Tensor:
        """Has the ego crashed? (B,); what ``scene.crashed`` says of it, without a scene."""
        self._check_started()
        return self._tensor(self._engine.egos_crashed())

    def episode_seeds(self) -> Tensor:
        """What ``scene.episode_seed`` says, (B,), without a scene."""
        self._check_started()
        return self._tensor(self._engine.episodes["seed"].copy())

    def state(self) -> WorldState:
        """Everything needed to go on identically later."""
        self._check_started()
        engine = self._engine
        kept = {name: values.copy() for name, values in engine.kept.items()}
        return WorldState(self.id, self.config, copied(engine.cars), copied(engine.episodes), kept)

    def load(self, state: WorldState) -> Scene:
        """Go back to a state of as many worlds; what is wrong with it is said before anything changes.

        Raises:
            ConfigError: The state is foreign, truncated, or of another number of worlds.
        """
        checked = check_state(state, self.id, self.config, self._engine)
        if checked.num_worlds != self.num_worlds:
            raise ConfigError(f"load: the state holds {checked.num_worlds} worlds, expected {self.num_worlds}")
        self._move_on()
        self._engine.take(checked.cars, checked.episodes, checked.kept)
        self._started = True
        return self.scene

    def fork(self, index: int, n: int) -> WorldState:
        """The state of n worlds that all continue from world ``index``; load it into a world of n.

        Raises:
            ConfigError: There is no such world, or n is below 1.
        """
        self._check_started()
        if not isinstance(index, (int, np.integer)) or isinstance(index, bool) or not 0 <= index < self.num_worlds:
            raise ConfigError(f"fork: there is no world {in_short(index)}, expected 0 to {self.num_worlds - 1}")
        checked_worlds(n)
        engine = self._engine
        kept = {name: np.repeat(values[index : index + 1], n, 0) for name, values in engine.kept.items()}
        cars, episodes = np.repeat(engine.cars[index : index + 1], n, 0), np.repeat(engine.episodes[index], n)
        return WorldState(self.id, self.config, cars, episodes, kept)

    def _renew(self, seeds: NDArray[np.int64], where: NDArray[np.bool_]) -> Scene:
        self._move_on()
        self._engine.renew(seeds, where)
        self._started = True
        return self.scene

    def _move_on(self) -> None:
        """Before the records change: a scene that somebody holds, and that nobody looked at yet, is to show them as they are now."""
        if self._scene is None:
            return
        held, self._scene = weakref.ref(self._scene), None
        scene = held()
        if isinstance(scene, LaterScene):
            scene.keep(self._engine.still)

    def _piloted(self, autopilot: Tensor | None) -> NDArray[np.bool_]:
        if autopilot is None:
            return self._nobody_piloted
        chosen = as_array(autopilot, "autopilot")
        if self.agents is not None and chosen.shape == self._acting and chosen.dtype == np.bool_:
            return chosen
        piloted = self._mask(autopilot, "autopilot")
        if self.agents is not None:
            return np.repeat(piloted[:, None], self.agents, 1)
        if piloted.any() and not self._engine.has_autopilot:
            raise ConfigError(f"{self.id} has no autopilot: IDM and MOBIL follow lanes in traffic; drive it by actions")
        return piloted

    def _checked_actions(self, actions: Tensor | Sequence[int]) -> NDArray[Any]:
        if self.num_actions is None:
            return self._real_actions(actions)
        chosen = self._whole_numbers(actions, "step: actions", self._acting)
        if chosen.view(np.uint64).max() >= self.num_actions:  # negative ones are huge there
            raise ConfigError(f"step: actions run from {chosen.min()} to {chosen.max()}, expected 0 to {self.num_actions - 1}")
        return chosen

    def _real_actions(self, actions: Any) -> NDArray[Any]:
        array = as_array(actions, "step: actions")
        shape = (*self._acting, self.action_width)
        if array.shape != shape or array.dtype not in (np.float32, np.float64):
            raise ConfigError(f"step: actions are {array.dtype} {array.shape}, expected floating-point numbers of shape {shape}")
        return array

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Hand out an array that nobody will write again."""
        tensor = torch.from_numpy(array)
        return tensor if self._on_cpu else tensor.to(self.device)

    def _floats(self, array: NDArray[Any]) -> Tensor:
        return self._tensor(array.astype(self._float, copy=False))

    def _terms(self, terms: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
        return {name: self._tensor(values) if values.dtype == np.bool_ else self._floats(values) for name, values in terms.items()}

    def _observed(self, observations: Observations) -> Any:
        tensors = {name: self._tensor(values) for name, values in observations.items()}
        return tensors[""] if "" in tensors else tensors

    def _scene_of(self, instant: Any, substeps: NDArray[np.int64] | None, weather: Weather, faults: Faults) -> Scene:
        """The scene now, as records once were, or at a snapshot some simulation substeps after reset, (B,)."""
        engine = self._engine
        actors = {name: self._tensor(values) for name, values in engine.actors(self._float, instant).items()}
        episodes = instant.episodes if isinstance(instant, Records) else engine.episodes
        passed = episodes["substeps"] if substeps is None else substeps
        return Scene(
            **{name: actors[name] for name in FIELDS},
            lights=lights_of(actors["along_mps2"], actors["lane_change"]),
            road=self.road,
            weather=weather,
            faults=faults,
            time_s=self._floats(passed * self.substep_dt_s),
            episode_seed=self._tensor(episodes["seed"].copy()),
            step=self._tensor(passed.copy()),
            action=self._tensor(engine.last_actions(episodes)),
        )

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

    def _whole_numbers(self, values: Tensor | Sequence[int], name: str, shape: tuple[int, ...] | None = None) -> NDArray[np.int64]:
        array, shape = as_array(values, name), shape or (self.num_worlds,)
        if array.shape != shape or array.dtype.kind not in "iu":
            raise ConfigError(f"{name} are {array.dtype} {array.shape}, expected whole numbers of shape {shape}")
        return array.astype(np.int64, copy=False)
