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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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


@dataclass(frozen=True)
class Drive:
    """What to drive: episodes one after the other in one environment."""

    id: str
    seeds: tuple[int, ...]
    actions: tuple[tuple[int, ...], ...]
    """One row an episode; AUTOPILOT (-1) lets an IDMVehicle drive for that decision."""
    config: dict[str, Any] = field(default_factory=dict)


AUTOPILOT = -1


@dataclass(frozen=True)
class Course:
    """What highway-env did in one episode of T decisions with A cars: at the start and after every decision."""

    cars: NDArray[np.float64]  # (T + 1, A, 4) CAR_FIELDS
    decisions: NDArray[np.int64]  # (T + 1, A, 3) DECISION_FIELDS
    observations: NDArray[np.float32]  # (T + 1, rows, features)
    rewards: NDArray[np.float64]  # (T,)
    ends: NDArray[np.bool_]  # (T, 2) terminated, truncated


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
                [Course(*(arrays[f"{i}.{j}.{name}"] for name in Course.__dataclass_fields__)) for j in range(len(one.seeds))]
                for i, one in enumerate(drives)
            ]


def _run(one: Drive) -> list[Course]:
    """Drive highway-env in this very process."""
    from envs.reference_episode import environment_class

    env: Any = environment_class(one.id)[0](config=one.config)
    courses = []
    for seed, actions in zip(one.seeds, one.actions, strict=True):
        observation, _ = env.reset(seed=None if seed == CONTINUE else seed)
        instants, observations, rewards, ends = [_instant(env)], [observation], [], []
        for action in actions:
            _hand_over(env, action == AUTOPILOT)
            observation, reward, terminated, truncated, _ = env.step(None if action == AUTOPILOT else action)
            instants.append(_instant(env))
            observations.append(observation)
            rewards.append(reward)
            ends.append((terminated, truncated))
        courses.append(
            Course(
                np.array([instant[0] for instant in instants]),
                np.array([instant[1] for instant in instants]),
                np.array(observations),
                np.array(rewards, np.float64),
                np.array(ends, np.bool_).reshape(-1, 2),
            )
        )
    return courses


def _instant(env: Any) -> tuple[list[list[float]], list[list[int]]]:
    vehicles = env.road.vehicles
    cars = [[*vehicle.position, vehicle.heading, vehicle.speed] for vehicle in vehicles]
    return cars, [[vehicle.lane_index[2], vehicle.target_lane_index[2], vehicle.crashed] for vehicle in vehicles]


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


def main(path: str) -> None:
    """Read drives from standard input as JSON, write their courses."""
    drives = [Drive(**one) for one in json.load(sys.stdin)]
    np.savez(
        path,
        **{
            f"{i}.{j}.{name}": getattr(course, name)
            for i, one in enumerate(drives)
            for j, course in enumerate(_run(one))
            for name in Course.__dataclass_fields__
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
