"""Everything a rig sees of a scene: the one function from scenes to frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from sensors.camera.render import render_camera
from sensors.errors import ConfigError, SensorFault
from sensors.faults import FaultKind, Modality
from sensors.frames import CameraFrames, EgoFrames, Frames, LidarFrames, RadarFrames
from sensors.lidar.render import render_lidar
from sensors.presets import rig_named
from sensors.radar.render import render_radar
from sensors.rig import Rig
from sensors.scene import Scene

MAX_ACTORS = 32_767
"""Frames name actors by int16."""
POSE_FIELDS = ("position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m")
AnyFrames = TypeVar("AnyFrames", CameraFrames, LidarFrames, RadarFrames)


def render(scene: Scene, rig: Rig | str, history: Sequence[Scene] | None = None) -> Frames:
    """Let a rig look at a scene.

    The same scene gives the same frames whatever the batch it is in and however many threads numba uses.

    Args:
        scene: B worlds on the CPU; actor 0 carries the rig and is not seen by it. Floats of either width.
        rig: A rig, or the name of one in ``sensors.RIGS``.
        history: Earlier scenes, oldest first, for sensors that need the past; these sensors look at the present alone.

    Returns:
        Frames in float32. A modality that the rig lacks has K = 0; a dead sensor has ``valid`` False and nothing but zeros.

    Raises:
        ConfigError: An unknown rig, a scene on another device than the CPU, or too many actors.
        SensorFault: A valid actor whose pose is not finite, or whose size is not positive; weather that cannot be.
    """
    rig = rig_named(rig)
    _check(scene)
    return Frames(
        camera=_silence(render_camera(scene, rig.cameras), scene, Modality.CAMERA),
        lidar=_silence(render_lidar(scene, rig.lidars), scene, Modality.LIDAR),
        radar=_silence(render_radar(scene, rig.radars), scene, Modality.RADAR),
        ego=ego_frames(scene),
    )


def ego_frames(scene: Scene) -> EgoFrames:
    """What the ego knows of its own motion, in its own frame; EGO_FEATURES."""
    heading, acceleration = scene.heading_rad[:, 0], scene.acceleration_mps2[:, 0]
    ahead = torch.stack((heading.cos(), heading.sin()), -1)  # (B, 2)
    left = torch.stack((-ahead[:, 1], ahead[:, 0]), -1)
    motion = torch.stack(
        (
            (scene.velocity_mps[:, 0] * ahead).sum(-1),
            scene.yaw_rate_radps[:, 0],
            (acceleration * ahead).sum(-1),
            (acceleration * left).sum(-1),
        ),
        -1,
    )
    return EgoFrames(motion.float(), scene.action)


def _check(scene: Scene) -> None:
    """Refuse a scene that no sensor can look at."""
    if scene.device.type != "cpu":
        raise ConfigError(f"the scene is on {scene.device}, but sensors render on the CPU; pass scene.to('cpu')")
    if scene.num_actors > MAX_ACTORS:
        raise ConfigError(f"the scene has room for {scene.num_actors} actors, expected at most {MAX_ACTORS}")
    for name in POSE_FIELDS:
        values = getattr(scene, name)
        if not math.isfinite(float(values.sum())):  # one cheap pass; a huge but finite sum passes the next test
            _refuse(scene, name, ~torch.isfinite(values), "finite numbers")
    if scene.num_actors and not bool((scene.size_m > 0).all()):
        _refuse(scene, "size_m", ~(scene.size_m > 0), "length, width and height above 0")
    visibility = scene.weather.visibility_m
    if not bool((visibility > 0).all()):
        world = int((~(visibility > 0)).nonzero()[0, 0])
        raise SensorFault(f"{_where(scene, world)}: weather.visibility_m is {float(visibility[world])}, expected more than 0")


def _refuse(scene: Scene, name: str, bad: Tensor, expected: str) -> None:
    """Name the first valid actor with a bad value, if there is one."""
    worst = bad.reshape(*scene.valid.shape, -1).any(-1) & scene.valid
    if not bool(worst.any()):
        return
    world, actor = (int(number) for number in worst.nonzero()[0])
    raise SensorFault(
        f"{_where(scene, world)}: {name} of actor {actor} is {getattr(scene, name)[world, actor].tolist()}, expected {expected}; "
        f"set valid=False for an actor that is not there"
    )


def _where(scene: Scene, world: int) -> str:
    return f"scene, world {world} (episode seed {int(scene.episode_seed[world])}, step {int(scene.step[world])})"


def dead_sensors(scene: Scene, modality: Modality, sensors: int) -> Tensor:
    """Say which of the K sensors of a modality are dead now, (B, K) bool."""
    faults, step = scene.faults, scene.step[:, None]
    active = (faults.kind == FaultKind.DEAD) & (faults.modality == modality) & (faults.start_step <= step) & (step < faults.end_step)
    index = faults.index[..., None]  # (B, F, 1)
    meant = (index == -1) | (index == torch.arange(sensors))
    return (active[..., None] & meant).any(1)


def _silence(frames: AnyFrames, scene: Scene, modality: Modality) -> AnyFrames:
    """Take away what dead sensors would have said."""
    if scene.faults.kind.numel() == 0:
        return frames
    dead = dead_sensors(scene, modality, frames.valid.shape[1])
    if not bool(dead.any()):
        return frames

    def blank(tensor: Tensor) -> Tensor:
        return tensor.masked_fill(dead.reshape(*dead.shape, *[1] * (tensor.ndim - 2)), 0)

    silent = frames.map(blank)
    label = "instance" if isinstance(frames, CameraFrames) else "actor"
    numbers = getattr(frames, label)
    nobody = numbers.masked_fill(dead.reshape(*dead.shape, *[1] * (numbers.ndim - 2)), -1)
    return replace(silent, **{label: nobody})
