"""Look-ahead: what a driver sees who is told the world, on ids whose ego always drives the same track and chooses its speed alone.

For each speed that it could aim at and some moments ahead: how near the nearest other would come if nobody else changed velocity. With
where on its track the ego is, its speed and its last action that is a short vector from which a policy learns in tens of seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from torch import Tensor

from envs.seeds import seed_set
from envs.world import World
from sensors.errors import ConfigError
from sensors.scene import Scene

SURVEY_RIDES = 32
AHEAD_S = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
TARGETS_MPS = (0.0, 4.5, 9.0)
RESPONSE_S = 0.6
"""Time constant of highway-env's speed controller (``ControlledVehicle.TAU_ACC``)."""
SAMPLE_M = 0.5
BEFORE_M, BEYOND_M = 20.0, 60.0
NEAR_M, FURTHEST = 10.0, 2.0
LENGTH_M, SPEED_MPS = 50.0, 9.0
"""What is 1 in the vector."""


class Track:
    """The line that the ego drives along."""

    def __init__(self, points_m: Tensor) -> None:
        """Sample a line evenly, straight on before its start and beyond its end.

        Args:
            points_m: In order, (N, 2), N at least 2.
        """
        points = points_m.double().numpy()
        run_m = np.concatenate(([0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()))
        keep = np.concatenate(([True], np.diff(run_m) > 1e-6))
        points, run_m = points[keep], run_m[keep]
        at_m = np.arange(-BEFORE_M, run_m[-1] + BEYOND_M, SAMPLE_M)
        first, last = (_direction(points[:2]), _direction(points[-2:]))
        line = np.stack([np.interp(at_m, run_m, points[:, axis]) for axis in (0, 1)], -1)
        line += np.minimum(at_m, 0.0)[:, None] * first + np.maximum(at_m - run_m[-1], 0.0)[:, None] * last
        self.line_m = torch.as_tensor(line, dtype=torch.float32)  # (S, 2)
        self.run_m = torch.as_tensor(at_m, dtype=torch.float32)  # (S,)

    @classmethod
    def surveyed(cls, id: str) -> Track:
        """Drive an id at full speed on some training seeds; the track is that of the longest ride that arrived.

        Raises:
            ConfigError: No ride arrived, or the ego can steer.
        """
        world = World(id, SURVEY_RIDES)
        if getattr(world, "action_names", None) not in (None, ("SLOWER", "IDLE", "FASTER")) or world.num_actions != 3:
            raise ConfigError(f"look-ahead is for ids whose ego chooses its speed alone; {id} has {world.num_actions} actions")
        scene = world.reset(seed_set("train", SURVEY_RIDES, seed=SURVEY_RIDES))
        points, running = [scene.position_m[:, 0]], [torch.ones(SURVEY_RIDES, dtype=torch.bool)]
        arrived = torch.zeros(SURVEY_RIDES, dtype=torch.bool)
        for _ in range(world.horizon_steps):
            scene, outcome = world.step(torch.full((SURVEY_RIDES,), 2), substeps=True)
            points += [substep.position_m[:, 0] for substep in outcome.substeps]
            running += [running[-1]] * len(outcome.substeps)
            arrived |= running[-1] & outcome.terminated & ~scene.crashed[:, 0]
            running[-1] = running[-1] & ~outcome.terminated
        lengths_m = torch.stack([(points[k + 1] - points[k]).norm(dim=-1) * running[k] for k in range(len(points) - 1)]).sum(0)
        if not bool(arrived.any()):
            raise ConfigError(f"look-ahead: none of {SURVEY_RIDES} rides at full speed arrived on {id}; give a Track of your own")
        ride = int(torch.where(arrived, lengths_m, -1.0).argmax())
        return cls(torch.stack([place[ride] for place, on in zip(points, running, strict=True) if bool(on[ride])]))

    def clearances(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Where on the track the ego is, (B,) [m], and how near others would come, (B, targets, moments) [m]."""
        ahead_s, targets = torch.tensor(AHEAD_S), torch.tensor(TARGETS_MPS)
        where = torch.cdist(scene.position_m[:, 0].float(), self.line_m).argmin(1)
        speed = scene.speed_mps[:, 0].float()
        run_m = targets[:, None] * ahead_s + (speed[:, None, None] - targets[:, None]) * RESPONSE_S * (1.0 - (-ahead_s / RESPONSE_S).exp())
        ahead = (where[:, None, None] + (run_m.clamp(min=0.0) / SAMPLE_M).round().long()).clamp(max=len(self.line_m) - 1)
        ego_m = self.line_m[ahead]  # (B, targets, moments, 2)
        others_m = (
            scene.position_m[:, 1:, None].float() + scene.velocity_mps[:, 1:, None].float() * ahead_s[:, None]
        )  # (B, A-1, moments, 2)
        apart_m = (ego_m[:, :, None] - others_m[:, None]).norm(dim=-1)  # (B, targets, A-1, moments)
        apart_m = torch.where(scene.valid[:, None, 1:, None], apart_m, torch.full_like(apart_m, FURTHEST * NEAR_M))
        return self.run_m[where], apart_m.amin(2)

    def look(self, scene: Scene, share_of_time: Tensor) -> Tensor:
        """The vector: time gone, place, speed, last action, clearances, (B, D) float32.

        Args:
            scene: B worlds on the CPU.
            share_of_time: Decisions gone, as a share of the horizon, (B,).
        """
        place_m, clearance_m = self.clearances(scene)
        own = torch.stack((share_of_time.float(), place_m / LENGTH_M, scene.speed_mps[:, 0].float() / SPEED_MPS), 1)
        return torch.cat((own, scene.action.float(), (clearance_m / NEAR_M).clamp(max=FURTHEST).flatten(1)), 1)


def _direction(points: NDArray[np.float64]) -> NDArray[np.float64]:
    step: NDArray[np.float64] = points[1] - points[0]
    return step / np.linalg.norm(step)


class AheadVecEnv(VecEnvWrapper):
    """Shows the look-ahead of worlds that ``envs.make_sb3_vec`` made, whatever they show themselves."""

    def __init__(self, venv: VecEnv, track: Track) -> None:
        """Wrap an environment.

        Raises:
            ConfigError: It has no scenes.
        """
        if not hasattr(venv, "transition") or hasattr(venv, "agents"):
            raise ConfigError(f"look-ahead got a {type(venv).__name__}, expected worlds of one ego as envs.make_sb3_vec makes them")
        worlds: Any = venv.unwrapped
        width = 3 + worlds.world.action_width + len(TARGETS_MPS) * len(AHEAD_S)
        super().__init__(venv, spaces.Box(-10.0, 10.0, (width,), np.float32))
        self.worlds = worlds
        self.track = track
        self._gone = torch.zeros(venv.num_envs)

    def _seen(self, scene: Scene, gone: Tensor) -> NDArray[np.float32]:
        return self.track.look(scene.to("cpu"), gone / self.worlds.world.horizon_steps).numpy()  # type: ignore[no-any-return]

    def reset(self) -> VecEnvObs:
        """Start all episodes anew."""
        self.venv.reset()
        self._gone.zero_()
        return self._seen(self.worlds.scene, self._gone)

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and look ahead, also where an episode ended."""
        _, rewards, dones, infos = self.venv.step_wait()
        self._gone += 1
        if dones.any():
            ended = torch.from_numpy(dones)
            last = self._seen(self.worlds.transition.next_scene.select(ended), self._gone[ended])
            for row, index in enumerate(np.flatnonzero(dones).tolist()):
                infos[index]["terminal_observation"] = last[row]
            self._gone[ended] = 0.0
        return self._seen(self.worlds.scene, self._gone), rewards, dones, infos
