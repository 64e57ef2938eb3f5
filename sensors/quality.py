"""Whether a recording's frames are sound: what was dropped, frozen, late, empty or saturated, sensor by sensor.

It looks at what a real stack would have, the frames and the ego's own speed, and never at which faults were switched on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from sensors.camera.config import Camera
from sensors.frames import CameraFrames, Frames, LidarFrames, RadarFrames
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar
from sensors.rig import Rig

STANDING_MPS = 0.5
"""Below this speed equal frames are no sign of a fault."""
SATURATED_SHARE = 0.25
"""Of a camera's bytes at 255, or of a lidar's returns at full intensity."""
BLACK_SHARE = 0.98
"""Of a camera's bytes below 3."""
LATE_S = 0.25
"""Older data than this, beyond the sensor's own latency and period, is late."""
CLOCK_ROUNDING_S = 1e-6
COUNTS = ("dropped", "frozen", "late", "empty", "saturated", "full")
HARMLESS = {"full"}
"""What does not make a frame unsound."""


@dataclass
class SensorQuality:
    """Counts over the frames of one sensor."""

    frames: int = 0
    dropped: int = 0
    """Nothing was delivered."""
    frozen: int = 0
    """Equal to the frame before, bit for bit, though the car moved and new data was due; told of sensors with noise alone, since a
    sensor without any may see the same twice."""
    late: int = 0
    empty: int = 0
    """Delivered, but black or without returns; a radar's list may well be empty."""
    saturated: int = 0
    full: int = 0
    """A radar's list had no room left, so weaker detections may be missing."""
    sound: int = 0
    """Nothing to say against them, a full list apart."""
    oldest_s: float = 0.0


@dataclass
class Quality:
    """Counts of every sensor of a rig."""

    sensors: dict[str, SensorQuality] = field(default_factory=dict)

    def as_dict(self) -> dict[str, dict[str, float]]:
        """For JSON."""
        return {name: asdict(counts) for name, counts in self.sensors.items()}

    def lines(self) -> list[str]:
        """For people: one line a sensor."""
        return [
            f"{name}: {counts.frames} frames, " + (", ".join(told) if (told := _told(counts)) else "all sound")
            for name, counts in self.sensors.items()
        ]


def _told(counts: SensorQuality) -> list[str]:
    return [f"{getattr(counts, name)} {name}" for name in COUNTS if getattr(counts, name)]


class _Seen(NamedTuple):
    """A sensor's frame before this one."""

    data: Tensor
    moving: bool
    age_s: float


AnyFrames = CameraFrames | LidarFrames | RadarFrames


def check_frames(frames: Iterable[Frames], rig: Rig) -> Quality:
    """Check the frames of one drive.

    Args:
        frames: In order of time, B = 1 each, or longer batches of instants that follow one another.
        rig: The rig that saw them.
    """
    watch = QualityWatch(rig)
    for some in frames:
        watch.look(some)
    return watch.quality


class QualityWatch:
    """Checks the frames of one drive as they come."""

    def __init__(self, rig: Rig) -> None:
        """Begin with no frame seen."""
        self.rig = rig
        self.quality = Quality({sensor.name: SensorQuality() for sensor in rig.sensors})
        self._before: dict[str, _Seen] = {}
        self._noisy = {sensor.name for sensor in rig.sensors if _is_noisy(sensor)}

    def look(self, frames: Frames) -> list[dict[str, list[str]]]:
        """Take instants that follow what was seen before, B of them.

        Returns:
            For each instant the faults of each sensor that has some, by the names in ``COUNTS``.
        """
        found: list[dict[str, list[str]]] = [{} for _ in range(len(frames.ego.motion))]
        moving = frames.ego.motion[:, 0].abs() > STANDING_MPS
        stacks: tuple[tuple[tuple[Camera | Lidar | Radar, ...], AnyFrames], ...] = (
            (self.rig.cameras, frames.camera),
            (self.rig.lidars, frames.lidar),
            (self.rig.radars, frames.radar),
        )
        for sensors, batch in stacks:
            for k, sensor in enumerate(sensors):
                counts = self.quality.sensors[sensor.name]
                due_s = sensor.latency_s + (1.0 / sensor.rate_hz if sensor.rate_hz else 0.0)
                for b in range(len(moving)):
                    told = self._look_at(sensor.name, batch, b, k, due_s, bool(moving[b]))
                    counts.frames += 1
                    counts.oldest_s = max(counts.oldest_s, float(batch.age_s[b, k]))
                    for name in told:
                        setattr(counts, name, getattr(counts, name) + 1)
                    counts.sound += HARMLESS.issuperset(told)
                    if told:
                        found[b][sensor.name] = told
        return found

    def _look_at(self, name: str, batch: AnyFrames, b: int, k: int, due_s: float, moving: bool) -> list[str]:
        """The faults of one sensor's frame."""
        age_s, before = float(batch.age_s[b, k]), self._before.pop(name, None)
        if not bool(batch.valid[b, k]):
            return ["dropped"]
        data, told = _data(batch)[b, k], _content(batch, b, k)
        if before is not None and moving and before.moving and name in self._noisy and bool(data.any()):
            # A slow sensor shows its last frame again, and says so by its age; a frozen one claims to be new.
            if age_s <= before.age_s + CLOCK_ROUNDING_S and torch.equal(data, before.data):
                told.append("frozen")
        if age_s > due_s + LATE_S:
            told.append("late")
        self._before[name] = _Seen(data.clone(), moving, age_s)
        return told


def _is_noisy(sensor: Camera | Lidar | Radar) -> bool:
    return sensor.range_noise_m > 0.0 if isinstance(sensor, Lidar) else sensor.noise


def _data(batch: AnyFrames) -> Tensor:
    """What a sensor delivered, without its labels, (B, K, ...)."""
    if isinstance(batch, CameraFrames):
        return batch.rgb
    return batch.range_m if isinstance(batch, LidarFrames) else batch.detections


def _content(batch: AnyFrames, b: int, k: int) -> list[str]:
    """What a frame's content says against it."""
    if isinstance(batch, CameraFrames):
        rgb = batch.rgb[b, k]
        found = {"empty": (rgb < 3).float().mean() > BLACK_SHARE, "saturated": (rgb == 255).float().mean() > SATURATED_SHARE}
    elif isinstance(batch, LidarFrames):
        hit = batch.hit[b, k]
        bright = (batch.intensity[b, k][hit] >= 1.0).sum()
        found = {"empty": ~hit.any(), "saturated": bright > SATURATED_SHARE * hit.sum()}
    else:
        found = {"full": batch.mask[b, k].all()}  # an empty list may be the truth
    return [name for name, is_so in found.items() if bool(is_so)]
