"""How cost grows: with actors, rays and worlds, from rig to rig, in memory, and together with the world."""

from __future__ import annotations

import resource
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from drive_fusion.bench.senses.scenes import highway_scene
from drive_fusion.bench.senses.table import table_lidar
from drive_fusion.bench.senses.timing import Timing, clocked

if TYPE_CHECKING:
    from drive_fusion.bench.sensors import SensorBench
    from sensors.frames import Frames
    from sensors.rig import Rig

ACTORS = (1, 4, 16, 64, 256)
RAYS = ((8, 64), (16, 128), (32, 256), (32, 1024), (64, 2048), (128, 4096))
WORLDS = (1, 64, 1024, 4096)
BATCHES = {"micro": 512, "nano": 64, "base": 8, "carla": 4, "preview": 8, "large": 2, "nuscenes": 1}
TOGETHER_ID = "highway-fast-v0"
WARM_STEPS = 3


def by_actors(config: SensorBench) -> dict[str, float]:
    """One thread: microseconds a world of each sense of the rig."""
    from sensors.camera.render import render_camera
    from sensors.lidar.render import render_lidar
    from sensors.presets import rig_named
    from sensors.radar.render import render_radar

    rig, worlds = rig_named(config.rig), max(config.rig_worlds // 8, 1)
    figures: dict[str, float] = {}
    senses = {"camera": (render_camera, rig.cameras), "lidar": (render_lidar, rig.lidars), "radar": (render_radar, rig.radars)}
    for actors in ACTORS:
        scene = highway_scene(worlds, actors)
        for name, (render_sense, used) in senses.items():
            if used:
                taken = clocked(lambda scene=scene, r=render_sense, used=used: r(scene, used), config.repeats)  # type: ignore[misc,operator]
                figures |= taken.micros(f"actors.{rig.name}_{name}_{actors}_us", worlds)
    return figures


def by_rays(config: SensorBench) -> dict[str, float]:
    """One thread: rays of lidars of several sizes, without and with noise."""
    from sensors.lidar.render import render_lidar

    figures: dict[str, float] = {}
    for beams, columns in RAYS:
        worlds = max(1, min(256, 1_000_000 // (beams * columns)))
        scene, noisy = highway_scene(worlds, config.actors), table_lidar(beams, columns, config.max_range_m)
        for name, lidar in (("exact", replace(noisy, noise=False, materials=False)), ("noisy", noisy)):
            taken = clocked(lambda scene=scene, lidar=lidar: render_lidar(scene, [lidar]), config.repeats)  # type: ignore[misc]
            figures |= taken.rate(f"rays.{beams}x{columns}_{name}_mrays_per_s_thread", worlds * beams * columns / 1e6)
    return figures


def by_worlds(config: SensorBench) -> dict[str, float]:
    """Whole frames of the rig in batches of several sizes, on one and on more threads."""
    import numba

    from sensors.presets import rig_named
    from sensors.rendering import render

    figures: dict[str, float] = {}
    name = rig_named(config.rig).name
    for worlds in WORLDS:
        scene = highway_scene(worlds, config.actors)
        for threads in sorted({1, config.threads}):
            numba.set_num_threads(threads)
            taken = clocked(lambda scene=scene: render(scene, config.rig), config.repeats, threads)  # type: ignore[misc]
            figures |= taken.rate(f"worlds.{name}_{worlds}_frames_per_s_{threads}_threads", worlds)
        numba.set_num_threads(1)
        figures[f"worlds.peak_memory_mb_after_{worlds}"] = peak_memory_mb()
    return figures


def by_rig(config: SensorBench) -> dict[str, float]:
    """One thread: whole frames of every preset, and their bytes."""
    from sensors.presets import RIGS
    from sensors.rendering import render

    figures: dict[str, float] = {}
    for name, rig in RIGS.items():
        scene = highway_scene(BATCHES.get(name, 1), config.actors)
        still = unclocked(rig)
        taken = clocked(lambda scene=scene, still=still: render(scene, still), config.repeats)  # type: ignore[misc]
        figures |= taken.rate(f"rigs.{name}_frames_per_s_thread", scene.num_worlds)
        figures[f"rigs.{name}_bytes_per_frame"] = bytes_of(render(scene, still)) / scene.num_worlds
    figures["rigs.peak_memory_mb_after"] = peak_memory_mb()
    return figures


def unclocked(rig: Rig) -> Rig:
    """The same rig with sensors that look at every scene, so that every frame is a new one."""
    return replace(
        rig,
        cameras=tuple(replace(camera, rate_hz=0.0, latency_s=0.0) for camera in rig.cameras),
        lidars=tuple(replace(lidar, rate_hz=0.0, latency_s=0.0) for lidar in rig.lidars),
        radars=tuple(replace(radar, rate_hz=0.0, latency_s=0.0) for radar in rig.radars),
    )


def bytes_of(frames: Frames) -> int:
    """Bytes of all tensors of some frames."""
    parts = (frames.camera, frames.lidar, frames.radar, frames.ego)
    return sum(getattr(part, field.name).nbytes for part in parts for field in fields(part))


def peak_memory_mb() -> float:
    """Most memory that the process has held so far [MB]; it never falls."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def together(config: SensorBench, worlds: int, threads: int) -> dict[str, float]:
    """Policy steps a second of a world and a rig: step by random actions, reset what ended, render; and of the two apart."""
    import numba
    import torch

    from envs.world import World
    from sensors.presets import rig_named
    from sensors.rendering import render

    numba.set_num_threads(threads)
    world, rig = World(TOGETHER_ID, worlds, num_threads=threads), rig_named(config.rig)
    scene = world.reset(torch.arange(worlds))
    drawn = torch.randint(0, world.num_actions or 1, (512, worlds), generator=torch.Generator().manual_seed(0))
    clock = time.process_time if threads == 1 else time.perf_counter
    stepped, rendered = [], []
    for n in range(WARM_STEPS + config.steps):
        start = clock()
        scene, outcome = world.step(drawn[n % 512])
        ended = outcome.terminated | outcome.truncated
        if bool(ended.any()):
            scene = world.reset_continue(ended)
        _ = scene.position_m  # a scene is made when it is looked at
        middle = clock()
        render(scene, rig)
        stepped.append(middle - start)
        rendered.append(clock() - middle)
    numba.set_num_threads(1)
    name, kept = f"together.{rig.name}_{worlds}", slice(WARM_STEPS, None)
    total = sorted(a + b for a, b in zip(stepped[kept], rendered[kept], strict=True))
    figures = {
        f"{name}_policy_steps_per_s_{threads}_threads_mean": worlds * len(total) / sum(total),
        f"{name}_world_share_{threads}_threads": sum(stepped[kept]) / sum(total),
    }
    return figures | Timing(total[0], total[len(total) // 2]).rate(f"{name}_policy_steps_per_s_{threads}_threads", worlds)
