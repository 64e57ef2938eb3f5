"""The peer: Open3D's ray caster on the same meshes and rays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from sensors.lidar.config import Lidar
    from sensors.scene import Scene


def open3d_sweep(scene: Scene, lidar: Lidar) -> Callable[[], None]:
    """Let Open3D's RaycastingScene build world 0 and cast a sweep on one thread; the meshes are made here, beforehand.

    Raises:
        ConfigError: Open3D does not load.
    """
    import numpy as np

    from sensors.clouds.library import open3d as load_open3d
    from sensors.vehicle_shape import triangles

    try:
        open3d = load_open3d()
    except ConfigError as error:
        raise ConfigError(f"{error}; or leave the peer out with --no-open3d") from None
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

    return cast
