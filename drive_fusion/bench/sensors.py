"""Speed of the senses: lidar rays beside Open3D's ray caster, camera pixels, radar scans, whole frames of a rig, and world with rig.

All in one run and on the same scenes: cars, of two convex parts each, in five lanes around the ego. The peer rebuilds its scene for
every frame, as it must when things move. A figure is the best of some repeats after one that is not counted, and ``..._median`` their
median; with one thread the clock is the processor time, with more the wall's, which other work on the machine makes longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from sensors.errors import ConfigError


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
    steps: int = 40
    """Decisions of world and rig together that are timed."""
    full: bool = False
    """Measure the cost of each term, over actors, rays and worlds, of every preset, and 1,024 worlds with their rig too; minutes."""

    def __post_init__(self) -> None:
        names = ("actors", "beams", "columns", "lidar_worlds", "camera_worlds", "rig_worlds", "threads", "repeats", "steps")
        for name in names:
            if getattr(self, name) < 1:
                raise ConfigError(f"SensorBench.{name} is {getattr(self, name)}, expected at least 1")


def bench_sensors(config: SensorBench) -> dict[str, float]:
    """Measure the senses on this machine.

    Args:
        config: What to measure.

    Returns:
        Flat figures; a ray, pixel, scan or frame counts once for each world.

    Raises:
        ConfigError: More threads than numba has, an unknown rig, or Open3D does not load.
    """
    import numba
    import torch

    from drive_fusion.bench.senses.growth import together
    from drive_fusion.bench.senses.table import lidar_figures, rig_figures, sense_figures

    before = numba.get_num_threads(), torch.get_num_threads()
    if config.threads > numba.config.NUMBA_NUM_THREADS:
        raise ConfigError(f"SensorBench.threads is {config.threads}, but numba has {numba.config.NUMBA_NUM_THREADS}")
    try:
        numba.set_num_threads(1)
        torch.set_num_threads(1)  # so that processor time is one thread's
        figures = {**lidar_figures(config), **sense_figures(config), **rig_figures(config)}
        for threads in sorted({1, config.threads}):
            figures |= together(config, 64, threads)
        return figures | _full(config) if config.full else figures
    finally:
        numba.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def _full(config: SensorBench) -> dict[str, float]:
    """Where the time goes, and how it grows."""
    from drive_fusion.bench.senses.growth import by_actors, by_rays, by_rig, by_worlds, together
    from drive_fusion.bench.senses.terms import camera_terms, lidar_terms, radar_terms

    figures = {**lidar_terms(config), **camera_terms(config), **radar_terms(config), **by_actors(config), **by_rays(config)}
    for threads in sorted({1, config.threads}):
        figures |= together(config, 1024, threads)
    return {**figures, **by_rig(config), **by_worlds(config)}
