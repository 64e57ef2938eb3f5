"""Whether a recording's frames are sound: what was dropped, frozen, late, empty or saturated, sensor by sensor.

It looks at what a real stack would have, the frames and the ego's own speed, and never at which faults were switched on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
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

    def __add__(self, other: Quality) -> Quality:
        """Count two drives together."""
        both = dict(self.sensors)
        for name, theirs in other.sensors.items():
            ours = both.get(name, SensorQuality())
            sums = {field.name: getattr(ours, field.name) + getattr(theirs, field.name) for field in fields(ours)}
            both[name] = SensorQuality(**sums | {"oldest_s": max(ours.oldest_s, theirs.oldest_s)})
        return Quality(both)

    @property
    def frames(self) -> int:
        """All frames together."""
        return sum(counts.frames for counts in self.sensors.values())

    @property
    def sound(self) -> int:
        """All sound frames together."""
        return sum(counts.sound for counts in self.sensors.values())

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


AnyFrames = CameraFrames | LidarFrames | RadarFrames


class _Seen(NamedTuple):
    """One instant of the K sensors of a kind."""

    data: Tensor  # (1, K, ...)
    valid: Tensor  # (1, K)
    age_s: Tensor  # (1, K)
    moving: Tensor  # (1,)


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
        self._before: dict[type[AnyFrames], _Seen] = {}

    def look(self, frames: Frames) -> list[dict[str, list[str]]]:
        """Take instants that follow what was seen before, B of them.

        Returns:
            For each instant the faults of each sensor that has some, by the names in ``COUNTS``.
        """
        told: list[dict[str, list[str]]] = [{} for _ in range(len(frames.ego.motion))]
        moving = frames.ego.motion[:, 0].abs() > STANDING_MPS
        kinds: tuple[tuple[tuple[Camera | Lidar | Radar, ...], AnyFrames], ...] = (
            (self.rig.cameras, frames.camera),
            (self.rig.lidars, frames.lidar),
            (self.rig.radars, frames.radar),
        )
        for sensors, batch in kinds:
            if sensors and told:
                self._count(sensors, batch, self._faults(sensors, batch, moving), told)
        return told

    def _count(
        self, sensors: tuple[Camera | Lidar | Radar, ...], batch: AnyFrames, faults: dict[str, Tensor], told: list[dict[str, list[str]]]
    ) -> None:
        """Add what was found, (B, K) each, to the counts and to what is told of each instant."""
        harmed = torch.stack([found for what, found in faults.items() if what not in HARMLESS]).any(0)
        for k, sensor in enumerate(sensors):
            counts = self.quality.sensors[sensor.name]
            counts.frames += len(told)
            counts.sound += int((~harmed[:, k]).sum())
            counts.oldest_s = max(counts.oldest_s, float(batch.age_s[:, k].max()))
            for what, found in faults.items():
                setattr(counts, what, getattr(counts, what) + int(found[:, k].sum()))
                for instant in found[:, k].nonzero().flatten().tolist():
                    told[instant].setdefault(sensor.name, []).append(what)

    def _faults(self, sensors: tuple[Camera | Lidar | Radar, ...], batch: AnyFrames, moving: Tensor) -> dict[str, Tensor]:
        """Which frames have which fault, (B, K) bool each."""
        due_s = torch.tensor([sensor.latency_s + (1.0 / sensor.rate_hz if sensor.rate_hz else 0.0) for sensor in sensors])
        found = {"dropped": ~batch.valid, "frozen": self._frozen(sensors, batch, moving), "late": batch.age_s > due_s + LATE_S}
        found |= _content(batch)
        return {what: mask & batch.valid if what != "dropped" else mask for what, mask in found.items()}

    def _frozen(self, sensors: tuple[Camera | Lidar | Radar, ...], batch: AnyFrames, moving: Tensor) -> Tensor:
        """Frames that equal the one before and claim to be new; a slow sensor that shows its last frame again says so by its age."""
        data, before = _data(batch), self._before.get(type(batch))
        first = before or _Seen(data[:1], torch.zeros_like(batch.valid[:1]), batch.age_s[:1], moving[:1])
        old = torch.cat((first.data, data[:-1]))
        equal = (data == old).flatten(2).all(-1) & (data != 0).flatten(2).any(-1)
        was_valid, was_moving = torch.cat((first.valid, batch.valid[:-1])), torch.cat((first.moving, moving[:-1]))
        fresh = batch.age_s <= torch.cat((first.age_s, batch.age_s[:-1])) + CLOCK_ROUNDING_S
        noisy = torch.tensor([sensor.noise for sensor in sensors])
        self._before[type(batch)] = _Seen(data[-1:].clone(), batch.valid[-1:].clone(), batch.age_s[-1:].clone(), moving[-1:].clone())
        return equal & was_valid & fresh & noisy & (moving & was_moving)[:, None]


def _data(batch: AnyFrames) -> Tensor:
    """What a sensor delivered, without its labels, (B, K, ...)."""
    if isinstance(batch, CameraFrames):
        return batch.rgb
    return batch.range_m if isinstance(batch, LidarFrames) else batch.detections


def _content(batch: AnyFrames) -> dict[str, Tensor]:
    """What the frames' content says against them, (B, K) bool each."""
    if isinstance(batch, CameraFrames):
        rgb = batch.rgb.flatten(2)
        return {
            "empty": (rgb < 3).float().mean(-1) > BLACK_SHARE,
            "saturated": (rgb == 255).float().mean(-1) > SATURATED_SHARE,
        }
    if isinstance(batch, LidarFrames):
        hit = batch.hit.flatten(2)
        bright = (hit & (batch.intensity.flatten(2) >= 1.0)).sum(-1)
        return {"empty": ~hit.any(-1), "saturated": bright > SATURATED_SHARE * hit.sum(-1)}
    return {"full": batch.mask.all(-1)}  # an empty list may be the truth
