"""Frames as the observation of a learner: a Dict of bounded boxes of fixed shape.

``camera`` bytes as they are; ``lidar`` hit, range as a share of the largest, intensity; ``radar`` mask, then features scaled to
[-1, 1]; ``ego`` motion scaled to [-1, 1], then the last action; ``alive`` and ``age`` of every sensor, cameras first, then lidars, then
radars. A dead sensor's numbers are zero. A modality that the rig lacks has no key.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from envs.packing import pack_clocks, pack_ego, pack_lidar, pack_radar
from sensors.errors import SensorFault
from sensors.frames import EGO_FEATURES, RADAR_FEATURES, Frames, LidarFrames, RadarFrames
from sensors.launch import over_worlds
from sensors.lidar.config import Lidar
from sensors.pose import contiguous, singles
from sensors.radar.config import Radar
from sensors.rig import Rig

RADAR_SCALES = {"azimuth_rad": math.pi, "elevation_rad": math.pi / 2, "doppler_mps": 80.0, "rcs_dbsm": 60.0, "snr_db": 60.0}
"""What is 1 in the observation; two cars at highway-env's 40 m/s close in at 80. Ranges are shares of the radar's own largest."""
EGO_SCALES = {"speed_mps": 40.0, "yaw_rate_radps": 1.0, "acceleration_long_mps2": 10.0, "acceleration_lat_mps2": 10.0}
OLDEST_S = 1.0
OLDEST = np.float32(OLDEST_S)
LARGEST = float(np.finfo(np.float32).max)


def observation_space(rig: Rig, action_width: int) -> spaces.Dict:
    """The space of what ``pack`` gives for one world.

    Args:
        rig: The sensors.
        action_width: C, numbers of an action in ``Scene.action``.
    """
    boxes: dict[str, spaces.Space[Any]] = {}
    if rig.cameras:
        camera = rig.cameras[0]
        boxes["camera"] = spaces.Box(0, 255, (len(rig.cameras), 3, camera.height_px, camera.width_px), np.uint8)
    if rig.lidars:
        boxes["lidar"] = _box(0.0, (len(rig.lidars), 3, rig.lidars[0].beams, rig.lidars[0].columns))
    if rig.radars:
        boxes["radar"] = _box(-1.0, (len(rig.radars), rig.radars[0].detections, 1 + len(RADAR_FEATURES)))
    boxes["ego"] = _box(-1.0, (len(EGO_FEATURES) + action_width,))
    if rig.num_sensors:
        boxes |= {"alive": _box(0.0, (rig.num_sensors,)), "age": _box(0.0, (rig.num_sensors,))}
    return spaces.Dict(boxes)


def _box(low: float, shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(low, 1.0, shape, np.float32)


def pack(frames: Frames, rig: Rig) -> dict[str, Tensor]:
    """Turn frames into an observation.

    Args:
        frames: What ``sensors.render`` gave for this rig, B worlds.
        rig: The rig.

    Returns:
        Tensors of shape (B, ...) by the keys of ``observation_space``, on the frames' device.

    Raises:
        SensorFault: A number of a live sensor is not finite.
    """
    if frames.ego.motion.device.type == "cpu":
        return _packed_by_kernels(frames, rig)
    return _packed_by_torch(frames, rig)


def _packed_by_kernels(frames: Frames, rig: Rig) -> dict[str, Tensor]:
    """``pack`` for frames on the CPU. Where every camera delivered its pictures are handed on as they are, not copied."""
    parts: dict[str, Tensor] = {}
    if rig.cameras:
        parts["camera"] = frames.camera.rgb if bool(frames.camera.valid.all()) else _shown(frames)
    if rig.lidars:
        parts["lidar"] = _lidar_by_kernel(frames.lidar, rig)
    if rig.radars:
        parts["radar"] = _radar_by_kernel(frames.radar, rig)
    motion, action = frames.ego.motion, frames.ego.action
    parts["ego"] = torch.empty((len(motion), motion.shape[1] + action.shape[1]))
    if pack_ego(contiguous(motion), singles(action), _ego_scales(), parts["ego"].numpy()):
        _check_finite("ego motion", motion)
    if rig.num_sensors:
        shape, column = (len(motion), rig.num_sensors), 0
        parts |= {"alive": torch.empty(shape), "age": torch.empty(shape)}
        for part, sensors in _kinds(frames, rig):
            if sensors:
                pack_clocks(column, contiguous(part.valid), contiguous(part.age_s), OLDEST, parts["alive"].numpy(), parts["age"].numpy())
                column += len(sensors)
    return parts


def _lidar_by_kernel(frames: LidarFrames, rig: Rig) -> Tensor:
    worlds, sensors, beams, columns = frames.hit.shape
    rays, out, wrong = (worlds, sensors, beams * columns), torch.empty((worlds, sensors, 3, beams, columns)), _counts(worlds, sensors)
    numbers = [contiguous(tensor).reshape(rays) for tensor in (frames.range_m, frames.intensity, frames.hit)]
    flat = out.numpy().reshape(worlds, sensors, 3, rays[2])
    over_worlds(pack_lidar, worlds, *numbers, contiguous(frames.valid), _greatest_m(rig.lidars), flat, wrong)
    if wrong.any():
        _check_lidar(frames, rig)
    return out


def _radar_by_kernel(frames: RadarFrames, rig: Rig) -> Tensor:
    worlds, sensors, room, features = frames.detections.shape
    out, wrong = torch.empty((worlds, sensors, room, 1 + features)), _counts(worlds, sensors)
    numbers = [contiguous(tensor) for tensor in (frames.detections, frames.mask, frames.valid)]
    over_worlds(pack_radar, worlds, *numbers, _radar_scales(rig.radars), out.numpy(), wrong)
    if wrong.any():
        _check_radar(frames, rig)
    return out


def _counts(worlds: int, sensors: int) -> NDArray[np.int64]:
    return np.zeros((worlds, sensors), np.int64)


@functools.cache
def _ego_scales() -> NDArray[np.float32]:
    return np.array([EGO_SCALES[name] for name in EGO_FEATURES], np.float32)


@functools.lru_cache(maxsize=64)
def _greatest_m(lidars: tuple[Lidar, ...]) -> NDArray[np.float32]:
    return np.array([lidar.max_range_m for lidar in lidars], np.float32)


@functools.lru_cache(maxsize=64)
def _radar_scales(radars: tuple[Radar, ...]) -> NDArray[np.float32]:
    """What is 1 of each feature of each radar, (K, 6)."""
    rows = [[radar.max_range_m if name == "range_m" else RADAR_SCALES[name] for name in RADAR_FEATURES] for radar in radars]
    return np.array(rows, np.float32)


def _shown(frames: Frames) -> Tensor:
    """Pictures of cameras that delivered; zeros of the others."""
    return frames.camera.rgb * frames.camera.valid[:, :, None, None, None]


def _packed_by_torch(frames: Frames, rig: Rig) -> dict[str, Tensor]:
    """``pack`` on any device."""
    parts: dict[str, Tensor] = {}
    if rig.cameras:
        parts["camera"] = _shown(frames)
    if rig.lidars:
        parts["lidar"] = _lidar(frames.lidar, rig)
    if rig.radars:
        parts["radar"] = _radar(frames.radar, rig)
    _check_finite("ego motion", frames.ego.motion)
    scales = torch.from_numpy(_ego_scales()).to(frames.ego.motion.device)
    parts["ego"] = torch.cat((frames.ego.motion / scales, frames.ego.action), -1).clamp(-1.0, 1.0)
    if rig.num_sensors:
        kinds = [part for part, sensors in _kinds(frames, rig) if sensors]
        alive = torch.cat([part.valid for part in kinds], 1)
        age = torch.cat([part.age_s for part in kinds], 1)
        parts |= {"alive": alive.float(), "age": torch.where(alive, (age / OLDEST_S).clamp(0.0, 1.0), 0.0)}
    return parts


def _kinds(frames: Frames, rig: Rig) -> tuple[tuple[Any, tuple[Any, ...]], ...]:
    return (frames.camera, rig.cameras), (frames.lidar, rig.lidars), (frames.radar, rig.radars)


def _lidar(frames: LidarFrames, rig: Rig) -> Tensor:
    """Hit, range and intensity of each return, (B, K, 3, beams, columns) in [0, 1]."""
    _check_lidar(frames, rig)
    hit = frames.hit & frames.valid[..., None, None]
    largest = torch.from_numpy(_greatest_m(rig.lidars)).to(hit.device)[:, None, None]
    shares = ((frames.range_m / largest).clamp(0.0, 1.0), frames.intensity.clamp(0.0, 1.0))
    return torch.stack((hit.float(), *(torch.where(hit, share, 0.0) for share in shares)), 2)


def _radar(frames: RadarFrames, rig: Rig) -> Tensor:
    """Mask and scaled features of each detection, (B, K, D, 7) in [-1, 1]."""
    _check_radar(frames, rig)
    mask = (frames.mask & frames.valid[..., None])[..., None]
    scales = torch.from_numpy(_radar_scales(rig.radars)).to(mask.device)
    return torch.cat((mask.float(), torch.where(mask, (frames.detections / scales[:, None]).clamp(-1.0, 1.0), 0.0)), -1)


def _check_lidar(frames: LidarFrames, rig: Rig) -> None:
    for number, lidar in enumerate(rig.lidars):
        _check_finite(lidar.name, frames.range_m[:, number], frames.valid[:, number])
        _check_finite(lidar.name, frames.intensity[:, number], frames.valid[:, number])


def _check_radar(frames: RadarFrames, rig: Rig) -> None:
    for number, radar in enumerate(rig.radars):
        _check_finite(radar.name, frames.detections[:, number], frames.valid[:, number])


def _check_finite(name: str, values: Tensor, valid: Tensor | None = None) -> None:
    """Refuse NaN and infinity in worlds where the sensor delivered, ``valid`` (B,); what a dead one holds is never looked at."""
    finite = torch.isfinite(values)
    if valid is not None and not bool(finite.all()):
        finite = finite | ~valid.view(-1, *[1] * (values.ndim - 1))
    wrong = int((~finite).sum())
    if wrong:
        raise SensorFault(
            f"{name}: {wrong} of {values.numel()} numbers are NaN or infinite, expected finite; set valid=False for a dropped frame"
        )


def own_observation_space(world: Any) -> spaces.Space[Any]:
    """The space of one world's ``observation()``: highway-env's own, but bounded by the largest float32 where that one is unbounded."""
    if hasattr(world, "observation_space"):
        return _bounded(world.observation_space)
    kinematics = world.config["observation"]  # native worlds give Kinematics only
    return spaces.Box(-LARGEST, LARGEST, (kinematics.get("vehicles_count", 5), 5), np.float32)


def _bounded(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """gymnasium's checker warns of infinite bounds."""  # noqa: D403
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _bounded(part) for key, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_bounded(part) for part in space])
    if isinstance(space, spaces.Box) and space.dtype != np.uint8:
        return spaces.Box(space.low.clip(-LARGEST, None), space.high.clip(None, LARGEST), dtype=space.dtype.type)  # type: ignore[union-attr]
    return space


def action_space(world: Any) -> spaces.Space[Any]:
    """The space of one world's actions: highway-env's own; of several agents a tuple."""
    number, width = world.num_actions, world.action_width
    own: list[spaces.Space[Any]] = [
        spaces.Discrete(number) if number is not None else spaces.Box(-1.0, 1.0, (width,), np.float32) for _ in range(world.agents or 1)
    ]
    return own[0] if world.agents is None else spaces.Tuple(own)


def as_numpy(observation: Any) -> Any:
    """An observation's tensors as arrays, on the CPU."""
    if isinstance(observation, Tensor):
        return observation.cpu().numpy()
    if isinstance(observation, tuple):
        return tuple(as_numpy(part) for part in observation)
    return {key: value.cpu().numpy() for key, value in observation.items()}


def row_of(observed: Any, index: int) -> Any:
    """One world's part of arrays (B, ...), or of all in a dict or tuple."""
    if isinstance(observed, Mapping):
        return {key: value[index] for key, value in observed.items()}
    return tuple(row_of(part, index) for part in observed) if isinstance(observed, tuple) else observed[index]


def split_terms(terms: Mapping[str, Tensor]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The terms of an outcome as arrays on the CPU: those of the worlds, (B,) float64, and those of each agent, (B, N)."""
    arrays = {name: term.cpu().numpy() for name, term in terms.items()}
    wide = {name: array.astype(np.float64) if array.dtype != np.bool_ else array for name, array in arrays.items()}
    return {name: array for name, array in wide.items() if array.ndim == 1}, {name: array for name, array in wide.items() if array.ndim > 1}
