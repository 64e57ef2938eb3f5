"""What each term of the three models costs, on one thread."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drive_fusion.bench.senses.scenes import highway_scene
from drive_fusion.bench.senses.table import table_lidar
from drive_fusion.bench.senses.timing import clocked

if TYPE_CHECKING:
    from drive_fusion.bench.sensors import SensorBench
    from sensors.lidar.config import Lidar
    from sensors.radar.config import Radar
    from sensors.scene import Scene


def lidar_terms(config: SensorBench) -> dict[str, float]:
    """Microseconds a sweep as terms come on one after the other, each line with all before it; then fog and rain on top of all."""
    from sensors.lidar.render import render_lidar
    from sensors.weather import Weather

    scene, full = highway_scene(config.lidar_worlds, config.actors), table_lidar(config.beams, config.columns, config.max_range_m)
    off = {"range_noise_m": 0.0, "weak_noise_m": 0.0, "dropoff_rate": 0.0, "dropoff_at_threshold": False}
    still = {"azimuth_noise_rad": 0.0, "elevation_noise_rad": 0.0, "sweep_s": 0.0}
    chain: list[tuple[str, Lidar, str]] = [
        ("1_exact", replace(full, **still, noise=False, materials=False), "noon"),  # type: ignore[arg-type]
        ("2_materials", replace(full, **still, noise=False), "noon"),  # type: ignore[arg-type]
        ("3_detector", replace(full, **still, **off), "noon"),  # type: ignore[arg-type]
        ("4_range_noise_and_losses", replace(full, **still), "noon"),  # type: ignore[arg-type]
        ("5_shaking_head", replace(full, sweep_s=0.0), "noon"),
        ("6_rolling", full, "noon"),
        ("7_rain", full, "rain"),
        ("7_fog", full, "fog"),
    ]
    figures: dict[str, float] = {}
    for name, lidar, weather in chain:
        seen = scene.with_weather(Weather.named(weather, config.lidar_worlds))
        taken = clocked(lambda seen=seen, lidar=lidar: render_lidar(seen, [lidar]), config.repeats)  # type: ignore[misc]
        figures |= taken.micros(f"lidar.terms_{name}_us", config.lidar_worlds)
    return figures


def camera_terms(config: SensorBench) -> dict[str, float]:
    """Microseconds a picture of 640 x 360, whole and with one thing left out or other weather."""
    import torch

    from sensors.camera.render import render_camera
    from sensors.presets import RIGS
    from sensors.road import RoadMap
    from sensors.weather import Weather

    scene, cameras = highway_scene(config.camera_worlds, config.actors), RIGS["preview"].cameras
    alone = replace(scene, valid=(torch.arange(scene.num_actors) == 0).expand_as(scene.valid))
    variants = {
        "whole": (scene, cameras),
        "without_noise": (scene, [replace(camera, noise=False) for camera in cameras]),
        "blurred_9_looks": (scene, [replace(camera, looks=9) for camera in cameras]),
        "without_cars": (alone, cameras),
        "without_road": (replace(scene, road=RoadMap.build([])), cameras),
        **{name: (scene.with_weather(Weather.named(name, config.camera_worlds)), cameras) for name in ("night", "fog", "rain", "snow")},
    }
    figures: dict[str, float] = {}
    for name, (seen, used) in variants.items():
        taken = clocked(lambda seen=seen, used=used: render_camera(seen, used), config.repeats)  # type: ignore[misc]
        figures |= taken.micros(f"camera.terms_{name}_us", config.camera_worlds)
    return figures


def radar_terms(config: SensorBench) -> dict[str, float]:
    """Microseconds a world of the rig's radars with some terms off, and detections a scan by what they come from."""
    from sensors.presets import rig_named
    from sensors.radar.render import render_radar

    rig = rig_named(config.rig)
    if not rig.radars:
        return {}
    scene = highway_scene(config.rig_worlds, config.actors)
    figures: dict[str, float] = {}
    variants: dict[str, dict[str, bool]] = {
        "whole": {},
        "exact": {"noise": False},
        "without_ghosts_and_clutter": {"ghosts": False, "clutter": False},
        "without_ghosts": {"ghosts": False},
        "without_clutter": {"clutter": False},
        "without_false_alarms": {"false_alarms": False},
        "without_errors": {"measurement_noise": False},
    }
    for name, off in variants.items():
        changed = [replace(radar, **off) for radar in rig.radars]  # type: ignore[arg-type]
        taken = clocked(lambda changed=changed: render_radar(scene, changed), config.repeats)  # type: ignore[misc]
        figures |= taken.micros(f"radar.terms_{name}_us", config.rig_worlds)
    return figures | _origins(scene, rig.radars)


def _origins(scene: Scene, radars: tuple[Radar, ...]) -> dict[str, float]:
    """Detections a scan by what they come from."""
    from sensors.frames import Origin
    from sensors.radar.render import render_radar

    origin, scans = render_radar(scene, radars).origin, scene.num_worlds * len(radars)
    return {f"radar.{kind.name.lower()}s_per_scan": int((origin == kind).sum()) / scans for kind in Origin if kind}
