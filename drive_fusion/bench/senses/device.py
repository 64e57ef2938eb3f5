"""Speed of the senses on a GPU: a rig's sensors of each modality, compared with the CPU first."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from sensors.faults.kinds import Modality

CHECKED_WORLDS = 8
LEAST_ALIKE = 0.99
"""Share of all numbers that must be the CPU's but for rounding: chances and outlines hang on the last digits."""
CLOSE = 2e-3
"""How close numbers are that are alike, absolutely and as a share."""


def sensors_of(rig: str, modality: Modality) -> tuple[Any, ...]:
    """A rig's sensors of a modality, without clocks of their own."""
    from dataclasses import replace

    from sensors.presets import rig_named

    chosen = rig_named(rig)
    sensors = (chosen.cameras, chosen.lidars, chosen.radars)[int(modality)]
    return tuple(replace(sensor, rate_hz=0.0, latency_s=0.0) for sensor in sensors)


def check_sense(rig: str, modality: Modality, actors: int = 20) -> dict[str, float]:
    """Compare frames from a GPU with the CPU's.

    Returns:
        The share of numbers that are alike.

    Raises:
        ConfigError: They do not agree.
    """
    import torch

    from drive_fusion.bench.senses.scenes import highway_scene
    from sensors.gpu import render_on_gpu
    from sensors.looking import CAMERA, LIDAR, RADAR, look

    scene, sensors = highway_scene(CHECKED_WORLDS, actors), sensors_of(rig, modality)
    here = look({sense.modality: sense for sense in (CAMERA, LIDAR, RADAR)}[modality], sensors, scene, None)
    there = render_on_gpu(modality, scene.to("cuda"), sensors).to("cpu")
    alike, count = 0, 0
    for name, tensor in vars(here).items():
        close = torch.isclose(tensor.double(), getattr(there, name).double(), rtol=CLOSE, atol=CLOSE)
        alike, count = alike + int(close.sum()), count + close.numel()
    if alike < LEAST_ALIKE * count:
        raise ConfigError(
            f"{count - alike} of {count} numbers are not the CPU's, expected at most {1 - LEAST_ALIKE:.0%}; its speed would mean nothing"
        )
    return {"alike_share": alike / max(count, 1)}


def bench_sense(rig: str, modality: Modality, worlds: int, rounds: int, actors: int = 20) -> dict[str, float]:
    """Measure one batch of worlds: frames of a rig's sensors a second, median, least and most of the rounds."""
    import torch

    from drive_fusion.bench.senses.scenes import highway_scene
    from sensors.gpu import render_on_gpu

    scene, sensors = highway_scene(worlds, actors).to("cuda"), sensors_of(rig, modality)
    render_on_gpu(modality, scene, sensors)
    torch.cuda.synchronize()
    times_s = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        render_on_gpu(modality, scene, sensors)
        end.record()
        end.synchronize()
        times_s.append(start.elapsed_time(end) / 1e3)
    speeds = [worlds / seconds for seconds in times_s]
    return {
        "worlds_per_s": statistics.median(speeds),
        "worlds_per_s_least": min(speeds),
        "worlds_per_s_most": max(speeds),
        "ms_per_batch": 1e3 * statistics.median(times_s),
    }
