"""Cleaning a cloud by open3d: lone points away, one point a voxel, ground told from the rest, the rest in clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensors.clouds.cloud import PointCloud
from sensors.clouds.files import as_open3d
from sensors.clouds.library import open3d
from sensors.errors import ConfigError

LEVEL = 0.94
"""A plane counts as ground when its normal is within 20 degrees of the vertical."""


@dataclass(frozen=True)
class Cleaning:
    """How to clean."""

    neighbours: int = 16
    """A point is compared with so many nearest ones."""
    spread: float = 2.5
    """It is an outlier when their mean distance is so many standard deviations above the cloud's mean; 0 keeps all."""
    voxel_m: float = 0.1
    """Side of a voxel, of which one point (the first) is kept; 0 keeps all."""
    ground_m: float = 0.15
    """A point within this of the ground plane is ground."""
    ground_tries: int = 200
    """Planes that are tried (RANSAC)."""
    cluster_m: float = 0.8
    """Points of a cluster lie within this of one another."""
    cluster_points: int = 5
    """Fewer are no cluster."""
    seed: int = 0
    """Of the tries."""

    def __post_init__(self) -> None:
        for name in ("neighbours", "ground_tries", "cluster_points"):
            if getattr(self, name) < 1:
                raise ConfigError(f"Cleaning.{name} is {getattr(self, name)}, expected at least 1")
        for name, least in (("spread", 0.0), ("voxel_m", 0.0), ("ground_m", 1e-6), ("cluster_m", 1e-6)):
            if not least <= getattr(self, name) < 1e6:
                raise ConfigError(f"Cleaning.{name} is {getattr(self, name)}, expected at least {least:g}")


@dataclass(frozen=True)
class Cleaned:
    """A cleaned cloud of P points, and what was found in it."""

    cloud: PointCloud
    ground: NDArray[np.bool_]  # (P,)
    cluster: NDArray[np.int32]  # (P,) from 0, -1 for ground and for points in none
    plane: tuple[float, float, float, float] | None
    """a x + b y + c z + d = 0 with (a, b, c) of length 1 and c > 0; None: no level plane was found."""
    outliers: int
    """Points taken away as outliers."""
    thinned: int
    """Points taken away since their voxel had one."""

    @property
    def num_clusters(self) -> int:
        """How many clusters there are."""
        return int(self.cluster.max(initial=-1)) + 1


def clean(cloud: PointCloud, config: Cleaning | None = None) -> Cleaned:
    """Clean a cloud; the same cloud and configuration give the same answer.

    Args:
        cloud: P points; none at all is an empty answer.
        config: How.

    Raises:
        ConfigError: A point that is not finite, or open3d does not load.
    """
    config = config or Cleaning()
    bad = int((~np.isfinite(cloud.xyz_m).all(1)).sum())
    if bad:
        raise ConfigError(f"{bad} of {len(cloud)} points are not finite; the frame is damaged, leave it out")
    inliers = _inliers(cloud, config)
    kept = cloud.select(inliers)
    one_each = _one_a_voxel(kept.xyz_m, config.voxel_m)
    thin = kept.select(one_each)
    plane, ground = _ground(thin, config)
    return Cleaned(thin, ground, _clusters(thin, ~ground, config), plane, len(cloud) - len(kept), len(kept) - len(thin))


def _inliers(cloud: PointCloud, config: Cleaning) -> NDArray[np.bool_]:
    """Points whose neighbours are not unusually far, (P,)."""
    if config.spread == 0.0 or len(cloud) <= config.neighbours:
        return np.ones(len(cloud), np.bool_)
    _, mask = as_open3d(cloud).remove_statistical_outliers(nb_neighbors=config.neighbours, std_ratio=config.spread)
    inliers: NDArray[np.bool_] = mask.numpy()
    return inliers


def _one_a_voxel(xyz_m: NDArray[np.float32], voxel_m: float) -> NDArray[np.int64]:
    """Numbers of the first point of each voxel, rising; points are kept, not averaged, so that their columns stay theirs."""
    if voxel_m == 0.0:
        return np.arange(len(xyz_m))
    _, first = np.unique(np.floor(xyz_m.astype(np.float64) / voxel_m).astype(np.int64), axis=0, return_index=True)
    return np.sort(first)


def _ground(cloud: PointCloud, config: Cleaning) -> tuple[tuple[float, float, float, float] | None, NDArray[np.bool_]]:
    """The largest plane, if it is level, and which points lie on it."""
    nothing = np.zeros(len(cloud), np.bool_)
    if len(cloud) < 3:
        return None, nothing
    library = open3d()
    library.utility.random.seed(config.seed)
    model, on_it = as_open3d(cloud).segment_plane(distance_threshold=config.ground_m, ransac_n=3, num_iterations=config.ground_tries)
    a, b, c, d = model.numpy().astype(np.float64) / max(float(np.linalg.norm(model.numpy()[:3])), 1e-12)
    if abs(c) < LEVEL:
        return None, nothing
    sign = 1.0 if c > 0.0 else -1.0
    nothing[on_it.numpy()] = True
    return (float(sign * a), float(sign * b), float(sign * c), float(sign * d)), nothing


def _clusters(cloud: PointCloud, which: NDArray[np.bool_], config: Cleaning) -> NDArray[np.int32]:
    """DBSCAN over some of the points, (P,)."""
    labels = np.full(len(cloud), -1, np.int32)
    if which.any():
        found = as_open3d(cloud.select(which)).cluster_dbscan(eps=config.cluster_m, min_points=config.cluster_points)
        labels[which] = found.numpy()
    return labels
