"""Clouds: from range images to points, to files and back, and cleaned."""

import numpy as np
import pytest

from sensors.clouds import Cleaning, PointCloud, clean, clouds_of, load_cloud, save_cloud
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.lidar.render import render_lidar
from sensors.mount import Mount

COLUMNS = ("xyz_m", "intensity", "ring", "time_s", "actor")


def street(seed=0, lone=40):
    """Ground, two boxes of points above it, and some lone points in the air; with the truth of each point."""
    generator = np.random.default_rng(seed)
    ground = np.column_stack((generator.uniform(-20, 20, (3000, 2)), generator.normal(0.02, 0.01, 3000)))
    boxes = [np.asarray(centre) + generator.uniform(-1, 1, (300, 3)) * (2.0, 0.8, 0.5) for centre in ((8.0, 3.0, 1.0), (-9.0, -4.0, 1.0))]
    air = generator.uniform((-20, -20, 5.0), (20, 20, 12.0), (lone, 3))
    xyz = np.concatenate((ground, *boxes, air)).astype(np.float32)
    truth = np.repeat((0, 1, 2, 3), (3000, 300, 300, lone))
    count = len(xyz)
    return PointCloud(
        xyz,
        generator.random(count).astype(np.float32),
        generator.integers(0, 32, count).astype(np.uint16),
        generator.uniform(0, 0.1, count).astype(np.float32),
        truth.astype(np.int32),
    )


@pytest.mark.usefixtures("open3d")
@pytest.mark.parametrize("end", ["pcd", "ply"])
def test_files_of_open3d_keep_every_column_bit_for_bit(tmp_path, end):
    cloud = street()
    save_cloud(tmp_path / f"cloud.{end}", cloud)
    again = load_cloud(tmp_path / f"cloud.{end}")
    for name in COLUMNS:
        column, read = getattr(cloud, name), getattr(again, name)
        assert read.dtype == column.dtype and np.array_equal(read, column), name


def test_kitti_files_are_four_floats_a_point(tmp_path):
    cloud = street()
    save_cloud(tmp_path / "cloud.bin", cloud)
    raw = np.fromfile(tmp_path / "cloud.bin", "<f4").reshape(-1, 4)
    assert np.array_equal(raw, np.column_stack((cloud.xyz_m, cloud.intensity)))
    again = load_cloud(tmp_path / "cloud.bin")
    assert np.array_equal(again.xyz_m, cloud.xyz_m) and np.array_equal(again.intensity, cloud.intensity)
    assert (again.actor == -1).all() and not again.ring.any()


@pytest.mark.usefixtures("open3d")
def test_damaged_and_foreign_files_are_refused(tmp_path):
    save_cloud(tmp_path / "cloud.bin", street())
    whole = (tmp_path / "cloud.bin").read_bytes()
    (tmp_path / "short.bin").write_bytes(whole[:-3])
    (tmp_path / "text.pcd").write_text("no cloud at all")
    with pytest.raises(ConfigError, match="multiple of 16"):
        load_cloud(tmp_path / "short.bin")
    with pytest.raises(ConfigError, match="no points that can be read"):
        load_cloud(tmp_path / "text.pcd")
    with pytest.raises(ConfigError, match="did you mean 'pcd'"):
        save_cloud(tmp_path / "cloud.pdc", street())
    with pytest.raises(FileNotFoundError):
        load_cloud(tmp_path / "nothing.pcd")
    with pytest.raises(ConfigError, match="no points"):
        save_cloud(tmp_path / "none.ply", street().select(np.zeros(len(street()), np.bool_)))


def test_points_lie_on_what_was_hit(make_scene):
    scene = make_scene([[[0.0, 0.0], [12.0, 0.0]]], heading=[[0.7, 0.7]])
    lidar = Lidar("top", Mount(x_m=0.5, z_m=1.8, yaw_rad=0.4, pitch_rad=0.05), (-0.2, -0.1, -0.02), columns=720, noise=False)
    cloud = clouds_of(render_lidar(scene, [lidar]), (lidar,))[0]
    ground = cloud.actor < 0
    assert ground.any() and np.abs(cloud.xyz_m[ground, 2]).max() < 1e-3
    forward, left = 12.0 * np.cos(0.7), -12.0 * np.sin(0.7)  # of the other car, in the ego's frame
    on_car = np.abs(cloud.xyz_m[~ground] - (forward, left, 0.75))
    assert len(on_car) > 10 and (on_car <= np.asarray((2.5, 1.0, 0.75)) + 1e-3).all()


@pytest.mark.usefixtures("open3d")
def test_cleaning_takes_lone_points_and_finds_ground_and_boxes():
    cloud = street()
    cleaned = clean(cloud, Cleaning(voxel_m=0.0))
    left = cleaned.cloud.actor
    assert (left == 3).sum() < 8 and cleaned.outliers == len(cloud) - len(left)
    assert (left == 0).sum() > 2950 and (left == 1).sum() > 290
    assert cleaned.ground[left == 0].mean() > 0.98 and not cleaned.ground[(left == 1) | (left == 2)].any()
    for box in (1, 2):
        found = cleaned.cluster[left == box]
        assert (found == np.bincount(found[found >= 0]).argmax()).mean() > 0.95
    a, b, c, d = cleaned.plane
    assert c > 0.999 and abs(d) < 0.05 and abs(np.linalg.norm((a, b, c)) - 1.0) < 1e-9


@pytest.mark.usefixtures("open3d")
def test_a_voxel_keeps_one_of_its_points():
    cloud = street(lone=0)
    cleaned = clean(cloud, Cleaning(spread=0.0, voxel_m=0.5))
    voxels = np.floor(cleaned.cloud.xyz_m.astype(np.float64) / 0.5)
    assert len(np.unique(voxels, axis=0)) == len(voxels) == len(np.unique(np.floor(cloud.xyz_m.astype(np.float64) / 0.5), axis=0))
    assert cleaned.thinned == len(cloud) - len(voxels)
    assert {tuple(point) for point in cleaned.cloud.xyz_m.tolist()} <= {tuple(point) for point in cloud.xyz_m.tolist()}


@pytest.mark.usefixtures("open3d")
def test_cleaning_is_repeatable_and_takes_any_number_of_points():
    first, second = clean(street()), clean(street())
    assert np.array_equal(first.cloud.xyz_m, second.cloud.xyz_m) and np.array_equal(first.cluster, second.cluster)
    assert first.plane == second.plane
    for count in (0, 1, 2, 3, 17):
        some = clean(street().select(np.arange(count)))
        assert len(some.cloud) + some.outliers + some.thinned == count


@pytest.mark.usefixtures("open3d")
def test_a_wall_is_no_ground():
    generator = np.random.default_rng(1)
    wall = np.column_stack((np.full(500, 10.0), generator.uniform(-5, 5, 500), generator.uniform(0, 5, 500))).astype(np.float32)
    count = len(wall)
    cloud = PointCloud(
        wall, np.ones(count, np.float32), np.zeros(count, np.uint16), np.zeros(count, np.float32), np.full(count, -1, np.int32)
    )
    cleaned = clean(cloud)
    assert cleaned.plane is None and not cleaned.ground.any()


def test_impossible_clouds_and_settings_are_refused():
    cloud = street()
    cloud.xyz_m[5, 1] = np.nan
    with pytest.raises(ConfigError, match="1 of .* points are not finite"):
        clean(cloud)
    with pytest.raises(ConfigError, match="voxel_m is -1"):
        Cleaning(voxel_m=-1.0)
    with pytest.raises(ConfigError, match="neighbours is 0"):
        Cleaning(neighbours=0)
    with pytest.raises(ConfigError, match=r"ring has shape \(3,\)"):
        PointCloud(cloud.xyz_m, cloud.intensity, cloud.ring[:3], cloud.time_s, cloud.actor)
