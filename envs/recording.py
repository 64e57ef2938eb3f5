"""Recordings: an episode as its seed and its actions, with the scenes they led to, and the versions that made them."""

from __future__ import annotations

import copy
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from envs.outcome import Outcome
from envs.scene_table import RecordingError, as_json, column_of, read_table, scene_columns, scenes_of, tensor_of, write_table
from sensors.errors import ConfigError
from sensors.scene import Scene

FORMAT, VERSION = "drive-fusion recording", 1
PACKAGES = ("drive-fusion", "highway-env", "gymnasium", "numpy", "numba", "torch")
DECISION_COLUMNS = ("action", "reward", "terminated", "truncated")


@dataclass(frozen=True)
class Recording:
    """One episode of one world: N instants (after the reset, then after every substep) and T decisions."""

    id: str
    config: dict[str, Any]
    """The world's complete configuration."""
    world: str
    """Which class of world made it: ``World`` or ``ReferenceWorld``."""
    seed: int
    actions: Tensor  # (T,) int64 or (T, C) float
    autopilot: bool
    """True: IDM and MOBIL drove, and the actions were ignored."""
    scenes: Scene  # B = N instants
    decision_of_substep: Tensor  # (N,) int64, which decision led to an instant; -1 for the first
    rewards: Tensor  # (T,)
    terminated: Tensor  # (T,) bool
    truncated: Tensor  # (T,) bool
    dt_s: float
    """Time between instants."""
    versions: dict[str, str]

    @property
    def num_decisions(self) -> int:
        """T."""
        return len(self.rewards)

    def decision_instants(self) -> Tensor:
        """Instants at which was decided, and the last: (T + 1,) int64."""
        last = torch.cat((self.decision_of_substep[1:] != self.decision_of_substep[:-1], torch.tensor([True])))
        return last.nonzero().flatten()

    def at_decisions(self) -> Scene:
        """The scenes at which was decided, and the last: T + 1 of them."""
        return self.scenes.select(self.decision_instants())

    def as_table(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The recording as Parquet columns by name, and as JSON metadata for what is not per instant."""
        columns, about = scene_columns(self.scenes)
        decision = self.decision_of_substep
        columns = {f"scene.{name}": column for name, column in columns.items()} | {"decision": column_of(decision)}
        for name, values in self._decisions().items():
            first = torch.zeros_like(values[:1]) if len(values) else values.new_zeros((1, *values.shape[1:]))
            columns[name] = column_of(torch.cat((first, values[decision[1:]])))
        plain = {name: getattr(self, name) for name in ("id", "config", "world", "seed", "autopilot", "dt_s", "versions")}
        shapes = {"action": list(self.actions.shape[1:])}
        return columns, {**plain, "scene": about, "shapes": shapes}

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, at once or not at all; a local path or one that fsspec knows."""
        columns, about = self.as_table()
        write_table(path, columns, {"format": FORMAT, "version": VERSION, **about})

    def _decisions(self) -> dict[str, Tensor]:
        values = (self.actions, self.rewards, self.terminated, self.truncated)
        return dict(zip(DECISION_COLUMNS, values, strict=True))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recording.

        Raises:
            RecordingError: The file is truncated, damaged or foreign.
            FileNotFoundError: There is no file.
        """
        return cls.from_table(*read_table(path, FORMAT, VERSION), path)

    @classmethod
    def from_table(cls, table: Any, about: dict[str, Any], path: str | Path) -> Self:
        """The inverse of ``as_table``; the path is for messages only.

        Raises:
            RecordingError: Parts are missing or of wrong shape.
        """
        try:
            named = {name.removeprefix("scene."): table[name] for name in table.column_names if name.startswith("scene.")}
            scenes = scenes_of(type(table).from_pydict(named), about["scene"])
            decision = tensor_of(table["decision"], [])
            last_rows = torch.cat((decision[1:] != decision[:-1], torch.tensor([True]))) & (decision >= 0)
            actions, rewards, terminated, truncated = (
                tensor_of(table[name], about["shapes"].get(name, []))[last_rows] for name in DECISION_COLUMNS
            )
            plain = {name: about[name] for name in ("id", "config", "world", "seed", "autopilot", "dt_s", "versions")}
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError, IndexError, ConfigError) as error:
            raise RecordingError(f"{path}: a recording with parts missing or of wrong shape ({error}); record it again") from error
        return cls(
            **plain,
            actions=actions,
            scenes=scenes,
            decision_of_substep=decision,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
        )

    def replay(self) -> Recording:
        """Run the episode again from its seed and actions.

        Returns:
            A new recording; equal to this one bit for bit on the same machine and versions (``differences`` says).
        """
        world = _world_class(self.world)(self.id, 1, dtype=self.scenes.position_m.dtype, config=self.config)
        pilot = torch.tensor([self.autopilot])
        first_instants = torch.searchsorted(self.decision_of_substep, torch.arange(self.num_decisions)).tolist()
        self._set_conditions(world, 0)
        instants, outcomes = [world.reset(torch.tensor([self.seed]))], []
        for decision, instant in enumerate(first_instants):
            self._set_conditions(world, instant)
            _, outcome = world.step(self.actions[decision : decision + 1], autopilot=pilot, substeps=True)
            instants += outcome.substeps
            outcomes.append(outcome)
        return assemble(world, [self.seed], list(self.actions[:, None]), self.autopilot, instants, outcomes)[0]

    def _set_conditions(self, world: Any, instant: int) -> None:
        """Give the world the weather and the faults of an instant."""
        world.weather, world.faults = self.scenes.weather.select([instant]), self.scenes.faults.select([instant])

    def differences(self, other: Recording) -> list[str]:
        """Which fields of another recording differ, bit for bit; versions apart, empty means the same episode."""
        ours, theirs = scene_columns(self.scenes), scene_columns(other.scenes)
        names = [name for name in ours[0].keys() | theirs[0].keys() if not _same_column(ours[0].get(name), theirs[0].get(name))]
        names += [name for name in ("shapes", "dtypes", "road") if ours[1][name] != theirs[1][name]]
        plain = ("id", "config", "world", "seed", "autopilot", "dt_s")
        names += [name for name in plain if getattr(self, name) != getattr(other, name)]
        tensors = ("actions", "decision_of_substep", "rewards", "terminated", "truncated")
        return sorted(names + [name for name in tensors if not _same_bits(getattr(self, name), getattr(other, name))])


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()


def _same_column(a: Any, b: Any) -> bool:
    return a is not None and b is not None and bool(a.equals(b))


def _world_class(name: str) -> Any:
    if name == "ReferenceWorld":
        from envs.reference import ReferenceWorld

        return ReferenceWorld
    if name == "World":
        from envs.world import World

        return World
    raise RecordingError(f"a recording of a {name!r} cannot be replayed here; known: World, ReferenceWorld")


def versions() -> dict[str, str]:
    """Versions of what a recording depends on, and the kind of machine."""
    known = {}
    for package in PACKAGES:
        try:
            known[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return known | {"python": platform.python_version(), "machine": platform.machine()}


def assemble(
    world: Any, seeds: Sequence[int], actions: Sequence[Tensor], autopilot: bool, instants: Sequence[Scene], outcomes: Sequence[Outcome]
) -> list[Recording]:
    """Put together what a batch of worlds went through, one recording a world.

    Args:
        world: The world that ran.
        seeds: Its seeds, B of them.
        actions: What was decided each time, T tensors (B,) or (B, C).
        autopilot: Whether IDM and MOBIL drove.
        instants: The scene after the reset and after every substep.
        outcomes: What came of each decision, T of them.
    """
    worlds = world.num_worlds
    room = max(scene.num_actors for scene in instants)
    # One cat over time, then every B-th row: world b's instants in order.
    scenes = Scene.cat([with_room(replace(scene, road=world.road), room).to("cpu") for scene in instants])
    decision = torch.tensor([-1] + [t for t, outcome in enumerate(outcomes) for _ in outcome.substeps])

    def over_time(values: list[Tensor], like: Tensor) -> Tensor:
        return torch.stack(values).cpu() if values else like.new_zeros((0, *like.shape)).cpu()

    empty = torch.zeros(worlds, dtype=torch.int64) if world.num_actions is not None else torch.zeros(worlds, world.action_width)
    flags = torch.zeros(worlds, dtype=torch.bool)
    chosen = over_time(list(actions), empty)  # (T, B, ...)
    rewards = over_time([outcome.reward for outcome in outcomes], torch.zeros(worlds, dtype=world.dtype))
    terminated, truncated = (over_time([getattr(outcome, name) for outcome in outcomes], flags) for name in ("terminated", "truncated"))
    config, made_by = as_json(world.config), versions()
    return [
        Recording(
            id=world.id,
            config=copy.deepcopy(config),
            world=type(world).__name__,
            seed=int(seed),
            actions=chosen[:, b].clone(),
            autopilot=autopilot,
            scenes=scenes.select(slice(b, None, worlds)).clone(),
            decision_of_substep=decision,
            rewards=rewards[:, b].clone(),
            terminated=terminated[:, b].clone(),
            truncated=truncated[:, b].clone(),
            dt_s=world.substep_dt_s,
            versions=made_by,
        )
        for b, seed in enumerate(seeds)
    ]


def per_actor(scene: Scene) -> list[str]:
    """Names of a scene's fields that have a place for each actor."""
    return [name for name, value in vars(scene).items() if isinstance(value, Tensor) and name != "action" and value.ndim > 1]


def with_room(scene: Scene, room: int) -> Scene:
    """Pad a scene to room for more actors; the new places are not valid."""
    missing = room - scene.num_actors
    if missing == 0:
        return scene

    def padded(tensor: Tensor) -> Tensor:
        return torch.cat((tensor, tensor.new_zeros((tensor.shape[0], missing, *tensor.shape[2:]))), 1)

    changed: dict[str, Any] = {name: padded(getattr(scene, name)) for name in per_actor(scene)}
    return replace(scene, **changed)
