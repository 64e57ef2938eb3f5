"""Speed of the senses: lidar rays beside Open3D's ray caster, camera pixels, radar scans, and whole frames of a rig.

All in one run and on the same scenes: cars, of two convex parts each, in five lanes around the ego. The peer rebuilds its scene for
every frame, as it must when things move. Each figure is the best of some repeats after one that is not counted.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from sensors.lidar.config import Lidar
    from sensors.radar.config import Radar
    from sensors.scene import Scene


@dataclass(frozen=True)
class SensorBench:
    """What to measure."""

    actors: int = 20
    """Cars around the ego."""
    beams: int = 32
    """Beams of the lidar that is compared with Open3D."""
    columns: int = 1024
    """Its columns."""
    max_range_m: float = 120.0
    """Its range."""
    lidar_worlds: int = 32
    """Worlds in a batch for it."""
    camera_worlds: int = 4
    """Worlds in a batch for the camera of 640 x 360."""
    rig: str = "micro"
    """Rig for whole frames."""
    rig_worlds: int = 512
    """Worlds in a batch for those."""
    threads: int = 2
    """Most threads to measure whole frames with."""
    repeats: int = 7
    """Best of so many."""
    open3d: bool = True
    """Whether to measure the peer."""

    def __post_init__(self) -> None:
        for name in ("actors", "beams", "columns", "lidar_worlds", "camera_worlds", "rig_worlds", "threads", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"SensorBench.{name} is {getattr(self, name)}, expected at least 1")


def bench_sensors(config: SensorBench) -> dict[str, float]:
    """Measure the senses on this machine.

    Args:
        config: What to measure.

    Returns:
        Flat figures; a ray, pixel, scan or frame counts once for each world.
    """
    import numba

    before = numba.get_num_threads()
    if config.threads > numba.config.NUMBA_NUM_THREADS:
        raise ConfigError(f"SensorBench.threads is {config.threads}, but numba has {numba.config.NUMBA_NUM_THREADS}")
    try:
        numba.set_num_threads(1)
        return {**_lidar(config), **_camera_and_radar(config), **_rig(config)}
    finally:
        numba.set_num_threads(before)


def _best_s(job: Callable[[], Any], repeats: int) -> float:
    """Shortest time of a job in seconds."""
    job()
    shortest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        job()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def highway_scene(worlds: int, actors: int, seed: int = 0) -> Scene:
    """Cars in five lanes, 60 m ahead and behind, on a map that all worlds share; the lanes near the ego are clear.

    Args:
        worlds: B.
        actors: Cars besides the ego.
        seed: Of the places.
    """
    import numpy as np
    import torch

    from sensors.faults import Faults
    from sensors.road import Lane, Line, RoadMap, chain
    from sensors.scene import Scene
    from sensors.weather import Weather

    generator = np.random.default_rng(seed)
    shape = (worlds, actors + 1)
    lane = generator.integers(-2, 3, shape)
    x = (np.arange(actors + 1) - 0.5 * actors + generator.uniform(-0.4, 0.4, shape)) * 120.0 / (actors + 1)
    x = np.where((lane == 0) & (np.abs(x) < 8.0), x + np.copysign(8.0, x), x)
    position = np.stack((x, 4.0 * lane + generator.normal(0.0, 0.2, shape)), -1)
    position[:, 0] = 0.0

    def full(value: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.as_tensor(np.asarray(value), dtype=dtype)

    solid, dashed = Line.SOLID, Line.DASHED
    straight = [chain((-500.0, 4.0 * row), 0.0, [(1_000.0, 0.0)]) for row in (2, 1, 0, -1, -2)]
    lanes = [
        Lane(pieces, 4.0, solid if n == 0 else dashed, solid if n == 4 else Line.NONE, 30.0, "road", n) for n, pieces in enumerate(straight)
    ]
    return Scene(
        position_m=full(position),
        heading_rad=full(generator.normal(0.0, 0.05, shape)),
        velocity_mps=full(np.stack((generator.uniform(15.0, 30.0, shape), np.zeros(shape)), -1)),
        acceleration_mps2=full(np.zeros((*shape, 2))),
        yaw_rate_radps=full(np.zeros(shape)),
        size_m=full(np.broadcast_to((5.0, 2.0, 1.5), (*shape, 3)).copy()),
        kind=full(np.zeros(shape), torch.int64),
        lights=full(np.zeros(shape), torch.int64),
        crashed=full(np.zeros(shape), torch.bool),
        valid=full(np.ones(shape), torch.bool),
        road=RoadMap.build(lanes, "bench"),
        weather=Weather.clear(worlds),
        faults=Faults.none(worlds),
        time_s=full(np.zeros(worlds)),
        episode_seed=torch.arange(worlds),
        step=full(np.zeros(worlds), torch.int64),
        action=torch.zeros((worlds, 5)),
    )


def _lidar(config: SensorBench) -> dict[str, float]:
    """One thread: rays with and without noise, and the peer on the same meshes and rays."""
    import numpy as np

    from sensors.lidar.config import Lidar
    from sensors.lidar.render import render_lidar
    from sensors.mount import Mount

    scene = highway_scene(config.lidar_worlds, config.actors)
    elevations = tuple(np.radians(np.linspace(-25.0, 10.0, config.beams)).tolist()) if config.beams > 1 else (0.0,)
    noisy = Lidar("noisy", Mount(z_m=1.9), elevations, config.columns, config.max_range_m)
    exact = replace(noisy, name="exact", noise=False, materials=False)
    rays = config.lidar_worlds * config.beams * config.columns
    exact_s = _best_s(lambda: render_lidar(scene, [exact]), config.repeats)
    noisy_s = _best_s(lambda: render_lidar(scene, [noisy]), config.repeats)
    figures = {
        "lidar.rays_hitting_share": float(render_lidar(scene, [exact]).hit.float().mean()),
        "lidar.exact_mrays_per_s_thread": rays / exact_s / 1e6,
        "lidar.noisy_mrays_per_s_thread": rays / noisy_s / 1e6,
    }
    if config.open3d:
        peer_s = _open3d_s(scene, exact, config)
        figures["lidar.open3d_rebuilt_mrays_per_s_thread"] = rays / config.lidar_worlds / peer_s / 1e6
        figures["lidar.exact_times_open3d"] = peer_s / (exact_s / config.lidar_worlds)
        figures["lidar.noisy_times_open3d"] = peer_s / (noisy_s / config.lidar_worlds)
    return figures


def _open3d_s(scene: Scene, lidar: Lidar, config: SensorBench) -> float:
    """Seconds that Open3D's RaycastingScene takes on one thread to build world 0 and cast a sweep; the meshes are made beforehand."""
    import numpy as np

    from sensors.vehicle_shape import triangles

    try:
        open3d: Any = importlib.import_module("open3d")  # its stubs know no arrays
    except (ImportError, OSError) as error:
        raise ConfigError(f"open3d does not load ({error}); drive-fusion doctor says how, or leave it out with --no-open3d") from None
    vertices, faces, _ = triangles(scene, 0)
    corners = np.array([[-300, -300, 0], [300, -300, 0], [300, 300, 0], [-300, 300, 0]])
    vertices, faces = np.concatenate((vertices, corners)), np.concatenate((faces, len(vertices) + np.array([[0, 1, 2], [0, 2, 3]])))
    azimuth = 2.0 * np.pi * (np.arange(lidar.columns) + 0.5) / lidar.columns
    elevation = np.array(lidar.elevations_rad)[:, None]
    directions = np.stack(
        np.broadcast_arrays(np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)), -1
    )
    origin = np.broadcast_to((0.0, 0.0, lidar.mount.z_m), directions.shape)
    rays = open3d.core.Tensor(np.concatenate((origin, directions), -1).astype(np.float32))
    points, indices = open3d.core.Tensor(vertices.astype(np.float32)), open3d.core.Tensor(faces.astype(np.uint32))

    def cast() -> None:
        built = open3d.t.geometry.RaycastingScene(nthreads=1)
        built.add_triangles(points, indices)
        built.cast_rays(rays, nthreads=1)

    return _best_s(cast, 3 * config.repeats)


def _camera_and_radar(config: SensorBench) -> dict[str, float]:
    """One thread: the camera of the preview rig, and the chosen rig's senses one by one."""
    from sensors.camera.render import render_camera
    from sensors.lidar.render import render_lidar
    from sensors.presets import RIGS, rig_named
    from sensors.radar.render import render_radar

    figures = {}
    large, rig = highway_scene(config.camera_worlds, config.actors), rig_named(config.rig)
    cameras = RIGS["preview"].cameras
    pixels = config.camera_worlds * sum(camera.height_px * camera.width_px for camera in cameras)
    figures["camera.preview_mpixels_per_s_thread"] = pixels / _best_s(lambda: render_camera(large, cameras), config.repeats) / 1e6
    scene = highway_scene(config.rig_worlds, config.actors)
    if rig.cameras:
        seconds = _best_s(lambda: render_camera(scene, rig.cameras), config.repeats)
        pixels = config.rig_worlds * sum(camera.height_px * camera.width_px for camera in rig.cameras)
        figures[f"camera.{rig.name}_mpixels_per_s_thread"] = pixels / seconds / 1e6
        figures[f"{rig.name}.camera_us"] = seconds / config.rig_worlds * 1e6
    if rig.lidars:
        figures[f"{rig.name}.lidar_us"] = _best_s(lambda: render_lidar(scene, rig.lidars), config.repeats) / config.rig_worlds * 1e6
    if rig.radars:
        figures[f"{rig.name}.radar_us"] = _best_s(lambda: render_radar(scene, rig.radars), config.repeats) / config.rig_worlds * 1e6
        figures |= _radar_terms(scene, rig.name, rig.radars, config.repeats)
    return figures


def _radar_terms(scene: Scene, name: str, radars: tuple[Radar, ...], repeats: int) -> dict[str, float]:
    """One thread: microseconds a world of a rig's radars with some of their terms off, and detections a scan by what they come from."""
    from dataclasses import replace

    from sensors.frames import Origin
    from sensors.radar.render import render_radar

    variants = {
        "exact": {"noise": False},
        "without_ghosts_and_clutter": {"ghosts": False, "clutter": False},
        "without_ghosts": {"ghosts": False},
        "without_clutter": {"clutter": False},
    }
    figures = {}
    for variant, off in variants.items():
        changed = [replace(radar, **off) for radar in radars]  # type: ignore[arg-type]
        seconds = _best_s(lambda changed=changed: render_radar(scene, changed), repeats)  # type: ignore[misc]
        figures[f"{name}.radar_{variant}_us"] = seconds / scene.num_worlds * 1e6
    origin = render_radar(scene, radars).origin
    scans = scene.num_worlds * len(radars)
    return figures | {f"{name}.radar_{kind.name.lower()}s_per_scan": int((origin == kind).sum()) / scans for kind in Origin if kind}


def _rig(config: SensorBench) -> dict[str, float]:
    """Whole frames by ``sensors.render``, batched on one and on more threads, and of a single world."""
    import numba

    from sensors.rendering import render

    scene, figures = highway_scene(config.rig_worlds, config.actors), {}
    for threads in sorted({1, config.threads}):
        numba.set_num_threads(threads)
        seconds = _best_s(lambda: render(scene, config.rig), config.repeats)
        figures[f"{config.rig}.frames_per_s_{threads}_threads"] = config.rig_worlds / seconds
    numba.set_num_threads(1)
    alone = scene.select([0])
    figures[f"{config.rig}.one_world_us"] = _best_s(lambda: render(alone, config.rig), 5 * config.repeats) * 1e6
    return figures
