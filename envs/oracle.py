"""highway-env itself, in a process of its own, as the oracle that native worlds are compared with.

highway-env differs from itself across processors: NumPy's AVX-512 arcsin, power, tan and arctan round otherwise than the C library,
and traffic amplifies that to a metre. So the oracle's process starts with those variants off (``PINNED``), but with OpenBLAS's
own choice of kernels, which ``envs.traffic.elementary`` follows.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sensors.errors import DriveFusionError


def _avx512_variants() -> str:
    """What this NumPy calls its AVX-512 code: X86_V4 and AVX512_* since 2.4, only the latter before."""
    variants: list[str] = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__
    return " ".join(name for name in variants if name == "X86_V4" or name.startswith("AVX512"))


PINNED = {"NPY_DISABLE_CPU_FEATURES": _avx512_variants(), "OPENBLAS_NUM_THREADS": "1"}
CAR_FIELDS = ("x_m", "y_m", "heading_rad", "speed_mps")
DECISION_FIELDS = ("lane", "target_lane", "crashed")
CONTINUE = -1
"""As a seed: go on with the generator of the episode before."""


Action = int | tuple[float, ...] | tuple[tuple[float, ...], ...]
"""A number or values; of several agents a tuple of values, or of tuples of one number each."""


@dataclass(frozen=True)
class Drive:
    """What to drive: episodes one after the other in one environment."""

    id: str
    seeds: tuple[int, ...]
    actions: tuple[tuple[Action, ...], ...]
    """One row an episode: numbers, or float32 values of continuous actions; AUTOPILOT (-1) lets an IDMVehicle drive (highway only).
    An action of several agents holds a tuple for each, of one number or of its values."""
    config: dict[str, Any] = field(default_factory=dict)


AUTOPILOT = -1


@dataclass(frozen=True)
class Course:
    """What highway-env did in one episode of T decisions with at most A cars: at the start and after every decision."""

    counts: NDArray[np.int64]  # (T + 1,) cars on the road
    cars: NDArray[np.float64]  # (T + 1, A, 4) CAR_FIELDS in the order of highway-env's list, zero beyond the count
    decisions: NDArray[np.int64]  # (T + 1, A, 3) DECISION_FIELDS, lanes by their place in the network
    observations: NDArray[np.float64]  # (T + 1, N) all parts, flat
    rewards: NDArray[np.float64]  # (T,), or (T, 1 + N): the world's, and those of its agents
    ends: NDArray[np.bool_]  # (T, 2) terminated, truncated; (T, 2 + N): and which agents are done


def drive(drives: Sequence[Drive], pinned: bool = True) -> list[list[Course]]:
    """Run highway-env in a process of its own.

    Args:
        drives: What to drive.
        pinned: False leaves NumPy as it starts on this processor.

    Returns:
        For every drive, the course of every episode.

    Raises:
        DriveFusionError: The process failed; its last words are in the message.
    """
    courses = attempt(drives, pinned)
    for one, course in zip(drives, courses, strict=True):
        if isinstance(course, str):
            raise DriveFusionError(f"the oracle of {one.id} with {one.config} failed: {course}")
    return [course for course in courses if not isinstance(course, str)]


def attempt(drives: Sequence[Drive], pinned: bool = True) -> list[list[Course] | str]:
    """Run highway-env as ``drive`` does, and go on past drives that it fails at.

    Args:
        drives: What to drive.
        pinned: False leaves NumPy as it starts on this processor.

    Returns:
        For every drive, the course of every episode, or what highway-env raised.

    Raises:
        DriveFusionError: The process failed; its last words are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "courses.npz"
        text = json.dumps([asdict(one) for one in drives])
        root = str(Path(__file__).resolve().parents[1])
        environment = os.environ | (PINNED if pinned else {}) | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        process = subprocess.run(
            [sys.executable, "-m", "envs.oracle", str(result)], input=text, text=True, capture_output=True, env=environment, check=False
        )
        if process.returncode != 0:
            raise DriveFusionError(f"the oracle's process ended with {process.returncode}: {process.stderr.strip()[-2000:]}")
        with np.load(result) as arrays:
            return [
                str(arrays[f"{i}.error"])
                if f"{i}.error" in arrays
                else [Course(*(arrays[f"{i}.{j}.{name}"] for name in Course.__dataclass_fields__)) for j in range(len(one.seeds))]
                for i, one in enumerate(drives)
            ]


def _run(one: Drive) -> list[Course]:
    """Drive highway-env in this very process, with driver parameters as its source has them."""
    from envs.class_constants import in_place, pristine
    from envs.reference_episode import environment_class, made

    cls, limit = environment_class(one.id)
    with in_place(pristine()):
        env: Any = made(cls, one.config)
        return [_episode(env, seed, actions, limit) for seed, actions in zip(one.seeds, one.actions, strict=True)]


def _episode(env: Any, seed: int, actions: Sequence[Action], limit: int | None) -> Course:
    observation, _ = env.reset(seed=None if seed == CONTINUE else seed)
    instants, observations, rewards, ends = [_instant(env)], [flat(observation)], [], []
    for number, action in enumerate(actions):
        if env.vehicle is not None and isinstance(action, int):
            _hand_over(env, action == AUTOPILOT)
        observation, reward, terminated, truncated, info = env.step(_given(action))
        instants.append(_instant(env))
        observations.append(flat(observation))
        end = terminated, truncated or (limit is not None and number + 1 >= limit)
        several = isinstance(env.action_space, spaces.Tuple)
        rewards.append((reward, *info["agents_rewards"]) if several else reward)
        ends.append((*end, *info["agents_terminated"]) if several else end)
    return course_of(instants, observations, rewards, ends)


def _given(action: Any) -> Any:
    """An action as highway-env takes it: nothing on autopilot, a number, float32 values, or a tuple of such for several agents."""
    if isinstance(action, int):
        return None if action == AUTOPILOT else action
    if not isinstance(action[0], int | float):
        return tuple(own[0] if isinstance(own[0], int) else np.asarray(own, np.float32) for own in action)
    return np.asarray(action, np.float32)


Instant = tuple[list[list[float]], list[list[int]]]
"""CAR_FIELDS and DECISION_FIELDS of every car."""


def course_of(instants: Sequence[Instant], observations: Sequence[Any], rewards: Sequence[Any], ends: Sequence[Any]) -> Course:
    """Stack an episode's instants; where fewer cars are on the road than at most, zeros stand."""
    counts = np.array([len(cars) for cars, _ in instants])
    cars = np.zeros((len(instants), counts.max(), len(CAR_FIELDS)))
    decisions = np.zeros((len(instants), counts.max(), len(DECISION_FIELDS)), np.int64)
    for row, (numbers, choices) in enumerate(instants):
        cars[row, : counts[row]], decisions[row, : counts[row]] = numbers, choices
    return Course(
        counts,
        cars,
        decisions,
        np.array(observations, np.float64),
        np.array(rewards, np.float64),
        np.array(ends, np.bool_).reshape(len(ends), -1 if ends else 2),
    )


def flat(observation: Any) -> NDArray[np.float64]:
    """All numbers of an observation in one row, the parts of a dict by their names, those of several agents one after the other."""
    if isinstance(observation, tuple):
        return np.concatenate([flat(part) for part in observation])
    parts = [observation[name] for name in sorted(observation)] if isinstance(observation, dict) else [observation]
    return np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])


def _instant(env: Any) -> Instant:
    vehicles, lanes = env.road.vehicles, {index: number for number, index in enumerate(env.road.network.lanes_dict())}
    cars = [[*vehicle.position, vehicle.heading, vehicle.speed] for vehicle in vehicles]
    return cars, [_choices(vehicle, lanes) for vehicle in vehicles]


def _choices(vehicle: Any, lanes: dict[Any, int]) -> list[int]:
    """A car's lane, target lane (the same for one that is steered) and crash flag."""
    lane = lanes[vehicle.lane_index]
    target = getattr(vehicle, "target_lane_index", None)
    return [lane, lane if target is None else lanes[target], vehicle.crashed]


def _hand_over(env: Any, autopilot: bool) -> None:
    """Put an IDMVehicle in the ego's place, or a commanded one: written from highway-env's classes, apart from ReferenceWorld."""
    from highway_env.vehicle.behavior import IDMVehicle

    ego = env.vehicle
    if autopilot == isinstance(ego, IDMVehicle):
        return
    if autopilot:
        new = IDMVehicle(env.road, ego.position, ego.heading, ego.speed, target_lane_index=ego.target_lane_index, target_speed=30.0)
    else:
        new = env.action_type.vehicle_class(env.road, ego.position, ego.heading, ego.speed, target_lane_index=ego.target_lane_index)
    new.crashed, new.impact, new.check_collisions = ego.crashed, ego.impact, ego.check_collisions
    env.road.vehicles[0] = env.controlled_vehicles[0] = new


def _tried(one: Drive) -> list[Course] | str:
    """A drive's courses, or what highway-env raised and where."""
    try:
        return _run(one)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


def main(path: str) -> None:
    """Read drives from standard input as JSON, write their courses, or what highway-env raised."""
    arrays: dict[str, Any] = {}
    for i, one in enumerate(json.load(sys.stdin)):
        courses = _tried(Drive(**one))
        if isinstance(courses, str):
            arrays[f"{i}.error"] = np.array(courses)
            continue
        for j, course in enumerate(courses):
            arrays |= {f"{i}.{j}.{name}": getattr(course, name) for name in Course.__dataclass_fields__}
    np.savez(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
