"""What a rollout keeps of observations: compact frames on the network's device, or the scenes that they are rendered from again.

Frames lose a little: ranges become uint16, intensities uint8, detections and the ego's motion float16. So the policy acts on what is kept,
not on what was seen, and rollout and update see the same numbers. Scenes lose nothing: rendering is a pure function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, Protocol

import torch
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from torch import Tensor

from drive_fusion.policy import Observation
from envs.observation import pack
from envs.recording import with_room
from envs.sb3 import DrivingVecEnv
from sensors.batch import Batch
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.rendering import render
from sensors.scene import Scene

Keep = Literal["auto", "frames", "scenes"]
HALF = ("radar", "ego", "age")
MOST_RANGE = 65534


class Kept(Protocol):
    """The observations of T x B decisions."""

    def seen(self, observation: Observation) -> Observation:
        """What the policy is to see of an observation (B, ...), on its device."""
        ...

    def add(self, step: int, observation: Observation) -> None:
        """Keep what ``seen`` gave at a step."""
        ...

    def rows(self, steps: Tensor, worlds: Tensor) -> Observation:
        """What was seen in N decisions, (N, ...)."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        ...

    def stored(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file."""
        ...

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Take back what ``stored`` gave."""
        ...


class KeptFrames:
    """Compact frames."""

    def __init__(self, steps: int, device: torch.device):
        """Make room for T steps."""
        self.steps, self.device = steps, device
        self._parts: dict[str, Tensor] = {}

    def seen(self, observation: Observation) -> Observation:
        """The observation, rounded as it is kept."""
        if isinstance(observation, Tensor):
            return observation.to(self.device)
        return {name: _opened(name, _packed(name, part.to(self.device))) for name, part in observation.items()}

    def add(self, step: int, observation: Observation) -> None:
        """Keep an observation that ``seen`` gave: packing it again loses nothing more."""
        for name, part in _named(observation).items():
            packed = _packed(name, part)
            if name not in self._parts:
                self._parts[name] = torch.zeros((self.steps, *packed.shape), dtype=packed.dtype, device=self.device)
            self._parts[name][step] = packed

    def rows(self, steps: Tensor, worlds: Tensor) -> Observation:
        """What was seen in N decisions."""
        found = {}
        for name, part in self._parts.items():
            row = (steps * part.shape[1] + worlds).to(self.device)
            found[name] = _opened(name, part.flatten(0, 1).index_select(0, row))
        return found.get("", found)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(part.nbytes for part in self._parts.values())

    def stored(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file."""
        return {f"frames.{name}": part for name, part in self._parts.items()}

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Take back what ``stored`` gave; other names are passed over."""
        named = {name.removeprefix("frames."): part for name, part in stored.items() if name.startswith("frames.")}
        self._parts = {name: part.to(self.device) for name, part in named.items()}


def _named(observation: Observation) -> Mapping[str, Tensor]:
    return observation if isinstance(observation, dict) else {"": observation}


def _packed(name: str, part: Tensor) -> Tensor:
    if not part.is_floating_point():
        return part
    if name == "lidar":
        return _packed_lidar(part)
    if name == "alive":
        return (part > 0.5).to(torch.uint8)
    return part.half() if name in HALF else part


def _opened(name: str, part: Tensor) -> Tensor:
    if name == "lidar" and part.dtype == torch.uint8:
        return _opened_lidar(part)
    return part.float() if (name in HALF or name == "alive") else part


def _packed_lidar(sweep: Tensor) -> Tensor:
    """Hit, range and intensity in [0, 1] as three bytes a ray: two of range, 0 of a ray without return, and one of intensity."""
    hit, reach, intensity = sweep.unbind(-3)
    code = torch.where(hit > 0.5, 1.0 + (reach.clamp(0.0, 1.0) * MOST_RANGE).round(), 0.0).to(torch.int32)
    bright = (intensity.clamp(0.0, 1.0) * 255.0).round().to(torch.int32)
    return torch.stack((code & 255, code >> 8, bright), -3).to(torch.uint8)


def _opened_lidar(kept: Tensor) -> Tensor:
    low, high, bright = kept.unbind(-3)
    code = low.float() + 256.0 * high.float()
    hit = (code > 0.0).float()
    return torch.stack((hit, hit * (code - 1.0) / MOST_RANGE, hit * bright.float() / 255.0), -3)


STEADY = ("size_m", "kind", "weather", "faults")
"""Parts of a scene that rarely change from one step to the next: kept once for as long as they stay the same."""
NARROW = {"lights": torch.uint8, "step": torch.int32}
PER_WORLD = ("time_s", "episode_seed", "step", "action")


class KeptScenes:
    """Scenes, packed; frames are rendered from them again for every minibatch."""

    def __init__(self, venv: VecEnv, steps: int, device: torch.device):
        """Make room for T steps of an environment.

        Args:
            venv: Made by ``envs.make_sb3_vec`` with a rig.
            steps: T.
            device: Where the policy looks at frames.

        Raises:
            ConfigError: Its frames cannot be rendered from the scenes alone.
        """
        reason = why_not_scenes(venv)
        if reason:
            raise ConfigError(f"keep='scenes': {reason}; use keep='frames'")
        self.worlds: DrivingVecEnv = venv.unwrapped  # type: ignore[assignment]
        self.rig: Any = self.worlds.rig
        self.steps, self.device = steps, device
        self._columns: dict[str, Tensor] = {}
        self._steady: dict[str, list[Any]] = {name: [] for name in STEADY}
        self._which = torch.zeros(len(STEADY), steps, dtype=torch.int64)
        self._first: Scene | None = None

    def seen(self, observation: Observation) -> Observation:
        """The observation as it is."""
        return {name: part.to(self.device) for name, part in _named(observation).items()}

    def add(self, step: int, observation: Observation) -> None:
        """Keep the worlds' present scene, which the observation shows."""
        if self.worlds.looks_back:
            raise ConfigError("keep='scenes': the worlds' faults came to show the past in mid-rollout; use keep='frames'")
        self._take(step, self.worlds.scene.to("cpu"))

    def _take(self, step: int, scene: Scene) -> None:
        """Keep a scene."""
        if step == 0 or self._first is None:
            self._begin(scene)
        first = self._template()
        if scene.road is not first.road:
            raise ConfigError("keep='scenes': the road changed in mid-rollout; use keep='frames'")
        self._make_room(max(scene.num_actors, first.num_actors))
        scene = with_room(scene, self._template().num_actors)
        for name, column in self._columns.items():
            column[step] = getattr(scene, name)
        for number, name in enumerate(STEADY):
            own, kept = getattr(scene, name), self._steady[name]
            if not kept or not _same(own, kept[-1]):
                kept.append(own.clone())
            self._which[number, step] = len(kept) - 1

    def rows(self, steps: Tensor, worlds: Tensor) -> Observation:
        """Render N decisions again."""
        return self.seen(pack(render(self._scenes(steps, worlds), self.rig), self.rig))

    def _scenes(self, steps: Tensor, worlds: Tensor) -> Scene:
        """The scenes of N decisions."""
        first = self._template()
        changed: dict[str, Any] = {}
        for name, column in self._columns.items():
            rows = column.flatten(0, 1).index_select(0, steps * column.shape[1] + worlds)
            changed[name] = rows.to(getattr(first, name).dtype)
        for number, name in enumerate(STEADY):
            changed[name] = self._steady_rows(name, self._which[number, steps], worlds)
        return replace(first, **changed)

    def stored(self) -> dict[str, Tensor]:
        """All of it as named tensors, for a file."""
        every = torch.arange(self.steps * self.worlds.num_envs)
        return _flat(self._scenes(every // self.worlds.num_envs, every % self.worlds.num_envs), "scene.")

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        """Take back what ``stored`` gave, of the same worlds' road."""
        scenes = _folded(self.worlds.scene.to("cpu"), stored, "scene.")
        for step in range(self.steps):
            self._take(step, scenes.select(slice(step * self.worlds.num_envs, (step + 1) * self.worlds.num_envs)))

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        columns = sum(column.nbytes for column in self._columns.values())
        steady = sum(_nbytes(value) for values in self._steady.values() for value in values)
        return columns + steady + self._which.nbytes

    def _begin(self, scene: Scene) -> None:
        self._first = scene
        for values in self._steady.values():
            values.clear()
        for field in fields(scene):
            value = getattr(scene, field.name)
            if isinstance(value, Tensor) and field.name not in STEADY:
                kept = self._columns.get(field.name)
                if kept is None or kept.shape[1:] != value.shape:
                    kind = NARROW.get(field.name, value.dtype)
                    self._columns[field.name] = torch.zeros((self.steps, *value.shape), dtype=kind)

    def _template(self) -> Scene:
        assert self._first is not None
        return self._first

    def _make_room(self, actors: int) -> None:
        """Widen what is kept to scenes of more actors."""
        first = self._template()
        missing = actors - first.num_actors
        if not missing:
            return
        self._first = with_room(first, actors)
        for name, column in self._columns.items():
            if name not in PER_WORLD:
                room = column.new_zeros((*column.shape[:2], missing, *column.shape[3:]))
                self._columns[name] = torch.cat((column, room), 2)
        for name in ("size_m", "kind"):
            values = self._steady[name]
            values[:] = [torch.cat((value, value.new_zeros((len(value), missing, *value.shape[2:]))), 1) for value in values]

    def _steady_rows(self, name: str, which: Tensor, worlds: Tensor) -> Any:
        values = self._steady[name]
        if len(values) == 1:
            return values[0][worlds] if isinstance(values[0], Tensor) else values[0].select(worlds)
        row = which * self.worlds.num_envs + worlds
        if isinstance(values[0], Tensor):
            return torch.cat(values)[row]
        if isinstance(values[0], Faults):
            values = _with_entries(values)
        return type(values[0]).cat(values).select(row)


def _flat(batch: Batch, at: str) -> dict[str, Tensor]:
    """Every tensor of a batch by its place."""
    found: dict[str, Tensor] = {}
    for field in fields(batch):  # type: ignore[arg-type]
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            found[at + field.name] = value
        elif isinstance(value, Batch):
            found |= _flat(value, f"{at}{field.name}.")
    return found


def _folded(like: Any, flat: Mapping[str, Tensor], at: str) -> Any:
    """The inverse of `_flat`; what is no tensor is another batch's."""
    changed: dict[str, Any] = {}
    for field in fields(like):
        value = getattr(like, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = flat[at + field.name]
        elif isinstance(value, Batch):
            changed[field.name] = _folded(value, flat, f"{at}{field.name}.")
    return replace(like, **changed)


def _with_entries(faults: list[Faults]) -> list[Faults]:
    """Pad to one number of entries; entries of kind 0 are room for nothing."""
    most = max(value.kind.shape[1] for value in faults)
    return [value.map(lambda part: torch.nn.functional.pad(part, (0, most - part.shape[1]))) for value in faults]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    return left is right or all(torch.equal(getattr(left, part.name), getattr(right, part.name)) for part in fields(left))


def _nbytes(value: Tensor | Batch) -> int:
    return value.nbytes if isinstance(value, Tensor) else sum(getattr(value, part.name).nbytes for part in fields(value))  # type: ignore[arg-type]


def why_not_scenes(venv: VecEnv) -> str | None:
    """Why an environment's frames cannot be rendered from its scenes alone; None where they can."""
    worlds = venv.unwrapped
    if not isinstance(worlds, DrivingVecEnv) or worlds.rig is None:
        return f"a {type(worlds).__name__} has no scenes with a rig, expected what envs.make_sb3_vec makes with one"
    if not passes_observations(venv):
        return "a wrapper changes the observations"
    if worlds.looks_back:
        return f"rig {worlds.rig.name!r} or the worlds' faults show the past, which a scene alone does not hold"
    return None


def passes_observations(venv: VecEnv) -> bool:
    """Whether what an environment's wrappers hand out is what its worlds showed."""
    while hasattr(venv, "venv"):
        if not (isinstance(venv, VecMonitor) or getattr(type(venv), "passes_observations", False)):
            return False
        venv = venv.venv
    return True


def keeper(keep: Keep, venv: VecEnv, steps: int, device: torch.device) -> Kept:
    """Room for a rollout's observations.

    Args:
        keep: What to keep; "auto" is scenes where frames can be rendered from them again, else frames.
        venv: Where the observations come from.
        steps: T.
        device: Where the policy looks at them.

    Raises:
        ConfigError: Scenes are asked for where they are not enough.
    """
    if keep == "scenes" or (keep == "auto" and why_not_scenes(venv) is None):
        return KeptScenes(venv, steps, device)
    return KeptFrames(steps, device)
