"""The rig: which sensors a car carries. Sensors of one kind in a rig share their resolution, so that their frames stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensors.camera.config import Camera
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar

if TYPE_CHECKING:
    from sensors.faults.entries import Faults
    from sensors.timing import HistoryNeed


@dataclass(frozen=True)
class Rig:
    """All sensors of a car."""

    name: str
    cameras: tuple[Camera, ...] = ()
    lidars: tuple[Lidar, ...] = ()
    radars: tuple[Radar, ...] = ()

    def __post_init__(self) -> None:
        names: list[str] = [sensor.name for sensor in self.sensors]
        for name in names:
            if not name or "/" in name:  # messages and exported folders go by it
                raise ConfigError(f"rig {self.name!r} has a sensor named {name!r}, expected a name without '/'")
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ConfigError(f"rig {self.name!r} has two sensors named {double[0]!r}; give each its own name")
        for sensor in self.sensors:
            if sensor.mount.z_m <= 0.0:
                raise ConfigError(
                    f"rig {self.name!r}: {sensor.name!r} is mounted at z = {sensor.mount.z_m} m, expected above the ground (z > 0)"
                )
        self._one_size("cameras", {(camera.height_px, camera.width_px) for camera in self.cameras})
        self._one_size("lidars", {(lidar.elevations_rad, lidar.columns) for lidar in self.lidars})
        self._one_size("radars", {radar.detections for radar in self.radars})

    def _one_size(self, kind: str, sizes: set[object]) -> None:
        if len(sizes) > 1:
            raise ConfigError(f"rig {self.name!r}: its {kind} differ in size, but frames of one kind must stack; use one size")

    @property
    def sensors(self) -> tuple[Camera | Lidar | Radar, ...]:
        """All sensors: cameras, then lidars, then radars."""
        return (*self.cameras, *self.lidars, *self.radars)

    @property
    def num_sensors(self) -> int:
        """Cameras, lidars and radars together: the length of ``alive`` and ``age``, in that order."""
        return len(self.sensors)

    def history_needed(self, faults: Faults) -> HistoryNeed:
        """How much past ``sensors.render`` can ask for with this rig and these faults; falsy where it needs none."""
        from sensors.timing import history_needed

        return history_needed((self.cameras, self.lidars, self.radars), faults)
