"""A small environment with the fused driver's observation, all in numpy: fast, seeded, and resumable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from envs.road_maps import straight_highway
from sensors.faults import Faults
from sensors.presets import RIGS
from sensors.rig import Rig
from sensors.scene import Scene
from sensors.weather import Weather

ACTIONS = 5


def sensor_space(rig: Rig) -> spaces.Dict:
    """The documented observation of a rig, for five discrete actions."""
    sensors = rig.num_sensors
    return spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (len(rig.cameras), 3, rig.cameras[0].height_px, rig.cameras[0].width_px), np.uint8),
            "lidar": spaces.Box(0.0, 1.0, (len(rig.lidars), 3, rig.lidars[0].beams, rig.lidars[0].columns)),
            "radar": spaces.Box(-1.0, 1.0, (len(rig.radars), rig.radars[0].detections, 7)),
            "ego": spaces.Box(-1.0, 1.0, (4 + ACTIONS,)),
            "alive": spaces.Box(0.0, 1.0, (sensors,)),
            "age": spaces.Box(0.0, 1.0, (sensors,)),
        }
    )


def random_observation(rig: Rig, worlds: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random content of that space, every sensor alive."""
    generator = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    for name, space in sensor_space(rig).spaces.items():
        shape = (worlds, *space.shape)
        if name == "camera":
            found[name] = generator.integers(0, 256, shape, dtype=np.uint8)
        else:
            low = -1.0 if name in ("radar", "ego") else 0.0
            found[name] = generator.uniform(low, 1.0, shape).astype(np.float32)
    found["lidar"][:, :, 0] = found["lidar"][:, :, 0] > 0.7
    found["radar"][..., 0] = found["radar"][..., 0] > 0.3
    found["alive"][:] = 1.0
    return found


class ToyVecEnv(VecEnv):
    """Random frames; action 0 pays 1, others pay 0; episodes of 7 steps, ended in turn by a crash and by the time limit."""

    def __init__(self, rig: Rig, num_envs: int = 4, seed: int = 0):
        super().__init__(num_envs, sensor_space(rig), spaces.Discrete(ACTIONS))
        self.rig = rig
        self.draws = seed * 1_000_003
        self.clock = np.zeros(num_envs, dtype=np.int64)
        self.poison: Callable[[dict[str, np.ndarray], np.ndarray], None] | None = None

    def _observe(self) -> dict[str, np.ndarray]:
        self.draws += 1
        return random_observation(self.rig, self.num_envs, self.draws)

    def reset(self) -> dict[str, np.ndarray]:
        self.clock[:] = np.arange(self.num_envs) % 7
        return self._observe()

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        self.clock += 1
        rewards = (self.actions == 0).astype(np.float32)
        dones = self.clock % 7 == 0
        observation = self._observe()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in np.flatnonzero(dones):
            infos[world]["terminal_observation"] = {name: values[world] for name, values in observation.items()}
            infos[world]["TimeLimit.truncated"] = bool(self.clock[world] % 14 == 0)
        if self.poison is not None:
            self.poison(observation, rewards)
        return observation, rewards, dones, infos

    def state(self) -> dict[str, Any]:
        return {"draws": self.draws, "clock": self.clock.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.draws, self.clock = state["draws"], state["clock"].copy()

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def highway_scene(*cars: tuple[float, float, float], crashed: tuple[int, ...] = (), acceleration: float = 0.0, step: int = 0) -> Scene:
    """One world of cars at (x, y, speed), heading along x on a four-lane highway."""
    count = len(cars)
    table = torch.tensor([cars], dtype=torch.float64)
    flat = torch.zeros(1, count, dtype=torch.float64)
    hit = torch.zeros(1, count, dtype=torch.bool)
    hit[0, list(crashed)] = True
    pushed = torch.zeros(1, count, 2, dtype=torch.float64)
    pushed[0, 0, 0] = acceleration
    return Scene(
        position_m=table[..., :2],
        heading_rad=flat,
        velocity_mps=torch.stack((table[..., 2], flat), -1),
        acceleration_mps2=pushed,
        yaw_rate_radps=flat,
        size_m=torch.tensor([5.0, 2.0, 1.5], dtype=torch.float64).expand(1, count, 3),
        kind=flat.long(),
        lights=flat.long(),
        crashed=hit,
        valid=~torch.zeros(1, count, dtype=torch.bool),
        road=straight_highway(4),
        weather=Weather.clear(1),
        faults=Faults.none(1),
        time_s=torch.zeros(1, dtype=torch.float64),
        episode_seed=torch.zeros(1, dtype=torch.int64),
        step=torch.tensor([step]),
        action=torch.zeros(1, 5),
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share a machine; one torch thread is also what makes their times comparable."""
    torch.set_num_threads(1)


@pytest.fixture
def micro() -> Rig:
    return RIGS["micro"]


@pytest.fixture
def make_env(micro: Rig) -> Callable[..., ToyVecEnv]:
    return lambda **arguments: ToyVecEnv(micro, **arguments)


@pytest.fixture
def observe(micro: Rig) -> Callable[..., dict[str, Tensor]]:
    """Random observations as the extractor gets them: float tensors."""

    def make(worlds: int = 3, seed: int = 0) -> dict[str, Tensor]:
        return {name: torch.from_numpy(values).float() for name, values in random_observation(micro, worlds, seed).items()}

    return make


@pytest.fixture
def micro_space(micro: Rig) -> spaces.Dict:
    return sensor_space(micro)


@pytest.fixture
def scene_of() -> Callable[..., Scene]:
    return highway_scene
