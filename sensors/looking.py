"""One modality of a rig, with its clocks and its faults: which scene each sensor shows, what faults make of it, what arrives.

Only worlds and sensors that a fault or a clock touches are rendered again or changed; all others come from one plain render call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sensors.camera.render import render_camera
from sensors.faults.camera import CHANGES, spoil_camera
from sensors.faults.draws import Draws
from sensors.faults.kinds import FaultKind, Modality
from sensors.faults.levels import Levels, levels_of
from sensors.faults.lidar import HANDLED as LIDAR_KINDS
from sensors.faults.lidar import spoil_lidar
from sensors.faults.physical import HANDLED as PHYSICAL_KINDS
from sensors.faults.physical import WEATHERS, moved, moves_of, weather_seen
from sensors.faults.radar import HANDLED as RADAR_KINDS
from sensors.faults.radar import spoil_radar
from sensors.frames import CameraFrames, LidarFrames, RadarFrames
from sensors.gpu import render_on_gpu
from sensors.lidar.render import render_lidar
from sensors.radar.render import render_radar
from sensors.scene import Scene
from sensors.timing import CLOCK_FAULTS, Capture, Timeline, is_timed

DROPPED_SHARE = (0.2, 0.5, 0.8)
"""Share of frames that do not arrive."""
LOST_CAMERAS = (1, 2)
"""How many cameras LOST takes at severity 1 and 2; at 3 all."""
SPOILT: dict[Modality, tuple[FaultKind, ...]] = {
    Modality.CAMERA: tuple(CHANGES),
    Modality.LIDAR: LIDAR_KINDS,
    Modality.RADAR: RADAR_KINDS,
}
"""Kinds that change frames, by modality."""
NOBODY_FIELDS = ("instance", "actor")


class Sense(NamedTuple):
    """How one modality looks at a scene."""

    modality: Modality
    render: Callable[[Scene, Sequence[Any]], Any]
    spoil: Callable[..., None]


CAMERA = Sense(Modality.CAMERA, render_camera, spoil_camera)
LIDAR = Sense(Modality.LIDAR, render_lidar, spoil_lidar)
RADAR = Sense(Modality.RADAR, render_radar, spoil_radar)
AnyFrames = CameraFrames | LidarFrames | RadarFrames


def look(sense: Sense, sensors: Sequence[Any], scene: Scene, history: Sequence[Scene] | None) -> Any:
    """Let the K sensors of a modality look.

    Args:
        sense: The modality.
        sensors: Its sensors.
        scene: The present, B worlds.
        history: Earlier scenes, oldest first.

    Returns:
        The modality's frames.
    """
    if scene.device.type == "cuda":
        return render_on_gpu(sense.modality, scene, sensors)
    timed = is_timed(sensors)
    levels = levels_of(scene.faults, scene.step, sense.modality, len(sensors)) if scene.faults.kind.numel() and sensors else {}
    if not sensors or not (timed or levels):
        return sense.render(scene, sensors)
    if not timed and not any(kind in levels for kind in CLOCK_FAULTS):
        return _silenced(_seen(sense, sensors, scene, range(len(sensors))), _gone(sense, sensors, scene, levels))
    line = Timeline(scene, history)
    capture = line.capture(sensors, sense.modality, levels)
    frames = replace(_captured(sense, sensors, line, capture), age_s=capture.age_s)
    return _silenced(frames, _gone(sense, sensors, scene, levels) | ~capture.valid)


def _captured(sense: Sense, sensors: Sequence[Any], line: Timeline, capture: Capture) -> Any:
    """Frames in which each sensor shows its own instant; sensors that show the same ones are rendered together."""
    first = capture.shown[:, 0]
    frames = _seen(sense, sensors, line.assembled(first), range(len(sensors)))
    for group in _same_columns(capture.shown)[1:]:
        shown = capture.shown[:, group[0]]
        worlds = (shown != first).nonzero().flatten()
        _put(frames, worlds, group, _seen(sense, sensors, line.assembled(shown).select(worlds), group))
    return frames


def _same_columns(values: Tensor) -> list[list[int]]:
    """Group the columns of a matrix that are equal; the first group has column 0."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, column in enumerate(values.T.tolist()):
        groups.setdefault(tuple(column), []).append(number)
    return list(groups.values())


def _put(frames: Any, worlds: Tensor, sensors: Sequence[int], part: Any) -> None:
    """Copy some sensors of a part's worlds into frames, in place."""
    columns = torch.as_tensor(sensors)
    for name in vars(frames):
        getattr(frames, name)[worlds[:, None], columns] = getattr(part, name)[:, columns]


def _seen(sense: Sense, sensors: Sequence[Any], scene: Scene, wanted: Sequence[int]) -> Any:
    """What sensors make of a scene with the faults that act at its step; right for the wanted ones alone."""
    frames = sense.render(scene, sensors)
    levels = levels_of(scene.faults, scene.step, sense.modality, len(sensors))
    if any(kind in levels for kind in PHYSICAL_KINDS):
        _look_physically(sense, sensors, scene, wanted, levels, frames)
    kinds = [kind for kind in SPOILT[sense.modality] if kind in levels]
    if kinds:
        for number in wanted:
            worlds = torch.stack([levels[kind][:, number] for kind in kinds]).any(0).nonzero().flatten()
            if len(worlds):
                here = {kind: levels[kind][worlds, number] for kind in kinds}
                draws = Draws(sense.modality, number, scene.episode_seed[worlds], scene.step[worlds])
                more = (_ego_velocity(scene, worlds),) if sense is RADAR else ()
                sense.spoil(frames, sensors[number], number, worlds, here, draws, *more)
    return frames


def _look_physically(sense: Sense, sensors: Sequence[Any], scene: Scene, wanted: Sequence[int], levels: Levels, frames: Any) -> None:
    """Render again what is seen through other weather or from another place, in place."""
    none = torch.zeros((scene.num_worlds, len(sensors)), dtype=torch.int64)
    fog, snow = (levels.get(kind, none) for kind in WEATHERS)
    codes = moves_of(scene, levels, sense.modality, len(sensors))
    columns = torch.as_tensor(wanted)
    for group in _same_columns((fog * 4 + snow)[:, columns]):
        numbers = [wanted[place] for place in group]
        air, moves = (fog + snow)[:, numbers[0]], codes[:, numbers]
        touched = ((air > 0) | (moves > 0).any(1)).nonzero().flatten()
        if not len(touched):
            continue
        other = scene.with_weather(weather_seen(scene.weather, fog[:, numbers[0]], snow[:, numbers[0]]))
        rows, which = torch.unique(moves[touched], dim=0, return_inverse=True)
        for row, places in enumerate(rows.tolist()):
            worlds = touched[which == row]
            code = dict(zip(numbers, places, strict=True))
            part = sense.render(other.select(worlds), moved(sensors, [code.get(number, 0) for number in range(len(sensors))]))
            _put(frames, worlds, numbers, part)


def _ego_velocity(scene: Scene, worlds: Tensor) -> Tensor:
    """The car's velocity in its own frame, ahead and left, (N, 2) float32."""
    heading, velocity = scene.heading_rad[worlds, 0].double(), scene.velocity_mps[worlds, 0].double()
    cos, sin = heading.cos(), heading.sin()
    x, y = velocity.unbind(-1)
    return torch.stack((x * cos + y * sin, y * cos - x * sin), -1).float()


def _gone(sense: Sense, sensors: Sequence[Any], scene: Scene, levels: Levels) -> Tensor:
    """Sensors whose frame does not arrive, (B, K) bool."""
    count = len(sensors)
    gone = torch.zeros((scene.num_worlds, count), dtype=torch.bool)
    if FaultKind.DEAD in levels:
        gone = gone | (levels[FaultKind.DEAD] > 0)
    if FaultKind.LOST in levels:
        level = levels[FaultKind.LOST]
        lot = Draws(sense.modality, 0, scene.episode_seed, scene.step).of_episode(FaultKind.LOST, count)
        rank = lot.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        gone = gone | (rank < torch.tensor((0, *LOST_CAMERAS, count))[level])
    if FaultKind.DROPPED in levels:
        share = torch.tensor((0.0, *DROPPED_SHARE))[levels[FaultKind.DROPPED]]
        for number in range(count):
            drawn = Draws(sense.modality, number, scene.episode_seed, scene.step).uniform(FaultKind.DROPPED, 1)[:, 0]
            gone[:, number] |= drawn < share[:, number]
    return gone


def _silenced(frames: Any, gone: Tensor) -> Any:
    """Blank what did not arrive: ``valid`` False, no actor, zeros elsewhere."""
    if not bool(gone.any()):
        return frames
    silent: dict[str, Tensor] = {}
    for name, tensor in vars(frames).items():
        where = gone.reshape(*gone.shape, *[1] * (tensor.ndim - 2))
        silent[name] = tensor.masked_fill(where, -1 if name in NOBODY_FIELDS else 0)
    return replace(frames, **silent)
