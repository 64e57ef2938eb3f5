"""Clouds as files: PCD and PLY with every column by open3d, and KITTI's .bin (x, y, z, intensity as float32), which keeps no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.clouds.cloud import PointCloud
from sensors.clouds.library import open3d
from sensors.errors import ConfigError, unknown_name

COLUMNS: dict[str, type[np.generic]] = {"intensity": np.float32, "ring": np.uint16, "time_s": np.float32, "actor": np.int32}


def as_open3d(cloud: PointCloud) -> Any:
    """The cloud as open3d's tensor point cloud, every column an attribute (P, 1)."""
    library = open3d()
    points = library.t.geometry.PointCloud()
    points.point.positions = library.core.Tensor(np.ascontiguousarray(cloud.xyz_m))
    for name in COLUMNS:
        setattr(points.point, name, library.core.Tensor(np.ascontiguousarray(getattr(cloud, name))[:, None]))
    return points


def from_open3d(points: Any) -> PointCloud:
    """The inverse of ``as_open3d``; columns that a foreign cloud lacks are 0, its actors -1."""
    if "positions" not in points.point:
        return _filled(np.zeros((0, 3), np.float32), {})
    xyz_m = points.point.positions.numpy().astype(np.float32)
    return _filled(xyz_m, {name: points.point[name].numpy()[:, 0] for name in COLUMNS if name in points.point})


def _filled(xyz_m: NDArray[np.float32], columns: dict[str, NDArray[Any]]) -> PointCloud:
    def column(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return columns[name].astype(dtype) if name in columns else np.full(len(xyz_m), -1 if name == "actor" else 0, dtype)

    return PointCloud(xyz_m, **{name: column(name, dtype) for name, dtype in COLUMNS.items()})


def _save_by_open3d(path: Path, cloud: PointCloud) -> None:
    if not len(cloud):
        raise ConfigError(f"{path.name}: the cloud has no points, and PCD and PLY files of none cannot be read; skip it or write .bin")
    if not open3d().t.io.write_point_cloud(str(path), as_open3d(cloud), write_ascii=False):
        raise OSError(f"open3d could not write {path}")


def _load_by_open3d(path: Path) -> PointCloud:
    library = open3d()
    with library.utility.VerbosityContextManager(library.utility.VerbosityLevel.Error):
        points = library.t.io.read_point_cloud(str(path))
    cloud = from_open3d(points)
    if not len(cloud):
        raise ConfigError(f"{path} holds no points that can be read; it is empty, truncated or no point cloud")
    return cloud


def _save_kitti(path: Path, cloud: PointCloud) -> None:
    np.column_stack((cloud.xyz_m, cloud.intensity)).astype("<f4").tofile(path)


def _load_kitti(path: Path) -> PointCloud:
    size = path.stat().st_size
    if size % 16:
        raise ConfigError(f"{path} has {size} bytes, expected a multiple of 16 (x, y, z, intensity as float32); it is truncated or foreign")
    rows = np.fromfile(path, "<f4").reshape(-1, 4)
    return _filled(rows[:, :3].copy(), {"intensity": rows[:, 3].copy()})


FORMATS: dict[str, tuple[Callable[[Path, PointCloud], None], Callable[[Path], PointCloud]]] = {
    "pcd": (_save_by_open3d, _load_by_open3d),
    "ply": (_save_by_open3d, _load_by_open3d),
    "bin": (_save_kitti, _load_kitti),
}


def _format_of(path: Path) -> tuple[Callable[[Path, PointCloud], None], Callable[[Path], PointCloud]]:
    name = path.suffix.removeprefix(".")
    if name not in FORMATS:
        raise unknown_name("point-cloud format", name, FORMATS)
    return FORMATS[name]


def save_cloud(path: str | Path, cloud: PointCloud) -> None:
    """Write a cloud; the format is the name's end: .pcd, .ply or .bin.

    Raises:
        ConfigError: Another ending, no points (PCD, PLY), or open3d does not load.
        OSError: It cannot be written.
    """
    _format_of(Path(path))[0](Path(path), cloud)


def load_cloud(path: str | Path) -> PointCloud:
    """Read a cloud; what the file does not keep is 0, actors -1.

    Raises:
        ConfigError: Another ending, a truncated or foreign file, or open3d does not load.
        FileNotFoundError: There is no file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no point cloud at {path}")
    return _format_of(Path(path))[1](Path(path))
