"""render: the same scene gives the same frames in any batch and on any number of threads; dead sensors; scenes that cannot be."""

from dataclasses import fields, replace

import numba
import pytest
import torch

import sensors
from sensors.errors import ConfigError, SensorFault
from sensors.faults import FaultKind, Faults, Modality
from sensors.frames import Frames
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.presets import RIGS
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig

SENSES = ("camera", "lidar", "radar")
NO_CAMERA = Rig("no_camera", lidars=RIGS["micro"].lidars, radars=RIGS["micro"].radars)


@pytest.fixture
def threads():
    """Set numba's thread count; put it back afterwards."""
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


def tensors(frames: Frames):
    return {(sense, f.name): getattr(getattr(frames, sense), f.name) for sense in (*SENSES, "ego") for f in fields(getattr(frames, sense))}


def assert_equal(a: Frames, b: Frames):
    for (name, mine), theirs in zip(tensors(a).items(), tensors(b).values(), strict=True):
        assert mine.dtype == theirs.dtype and torch.equal(mine, theirs), name


@pytest.mark.parametrize("count", [1, 2])
def test_a_world_alone_equals_itself_among_1024(random_scene, threads, count):
    scene = random_scene(1, worlds=1024, actors=20)
    if count > numba.config.NUMBA_NUM_THREADS:
        pytest.skip(f"numba has {numba.config.NUMBA_NUM_THREADS} thread")
    threads(count)
    many = render(scene, "micro")
    threads(1)
    for world in (0, 37, 511, 512, 1023):
        assert_equal(render(scene.select([world]), "micro"), many.select([world]))


def test_frames_do_not_depend_on_the_order_of_the_worlds(random_scene):
    scene, order = random_scene(2, worlds=16), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert_equal(render(scene.select(order), NO_CAMERA), render(scene, NO_CAMERA).select(order))


def test_shapes_and_types_of_the_micro_rig(random_scene):
    frames = sensors.render(random_scene(3, worlds=2), "micro")
    expected = {
        ("camera", "rgb"): ((2, 3, 3, 24, 48), torch.uint8),
        ("camera", "depth_m"): ((2, 3, 24, 48), torch.float32),
        ("camera", "semantic"): ((2, 3, 24, 48), torch.uint8),
        ("camera", "instance"): ((2, 3, 24, 48), torch.int16),
        ("camera", "valid"): ((2, 3), torch.bool),
        ("camera", "age_s"): ((2, 3), torch.float32),
        ("lidar", "range_m"): ((2, 1, 8, 64), torch.float32),
        ("lidar", "intensity"): ((2, 1, 8, 64), torch.float32),
        ("lidar", "hit"): ((2, 1, 8, 64), torch.bool),
        ("lidar", "actor"): ((2, 1, 8, 64), torch.int16),
        ("lidar", "valid"): ((2, 1), torch.bool),
        ("lidar", "age_s"): ((2, 1), torch.float32),
        ("radar", "detections"): ((2, 1, 32, 6), torch.float32),
        ("radar", "mask"): ((2, 1, 32), torch.bool),
        ("radar", "actor"): ((2, 1, 32), torch.int16),
        ("radar", "origin"): ((2, 1, 32), torch.int8),
        ("radar", "valid"): ((2, 1), torch.bool),
        ("radar", "age_s"): ((2, 1), torch.float32),
        ("ego", "motion"): ((2, 4), torch.float32),
        ("ego", "action"): ((2, 5), torch.float32),
    }
    assert {name: (tuple(value.shape), value.dtype) for name, value in tensors(frames).items()} == expected
    assert all(bool(getattr(frames, sense).valid.all()) and not bool(getattr(frames, sense).age_s.any()) for sense in SENSES)
    for name, value in tensors(frames).items():
        assert torch.isfinite(value.double()).all(), name


def test_a_missing_modality_has_no_sensors_but_its_rank(random_scene):
    frames = render(random_scene(4, worlds=3), Rig("blind"))
    for sense, name, rank in (("camera", "rgb", 5), ("lidar", "range_m", 4), ("radar", "detections", 4), ("lidar", "valid", 2)):
        tensor = getattr(getattr(frames, sense), name)
        assert tensor.shape[:2] == (3, 0) and tensor.ndim == rank


def test_ego_motion_is_in_the_ego_frame(make_scene):
    scene = make_scene([[[5, 5]]], heading=torch.pi / 2, velocity=[[[1, 20]]], acceleration=[[[3, 2]]], yaw_rate=0.1)
    torch.testing.assert_close(render(scene, Rig("blind")).ego.motion, torch.tensor([[20.0, 0.1, 2.0, -3.0]]))


@pytest.mark.parametrize("sense", SENSES)
def test_a_dead_sensor_says_nothing_and_the_others_go_on(random_scene, sense):
    scene, modality = random_scene(5, worlds=3), Modality[sense.upper()]
    healthy, broken = render(scene, "micro"), render(scene.with_faults(Faults.dead(3, modality)), "micro")
    for (name, field), value in tensors(broken).items():
        if name != sense:
            assert torch.equal(value, tensors(healthy)[name, field])
        elif field in ("instance", "actor"):
            assert (value == -1).all()
        else:
            assert not bool(value.any()), field
    assert bool(getattr(healthy, sense).valid.all())


def test_one_dead_camera_of_three(random_scene):
    scene = random_scene(6, worlds=2)
    frames = render(scene.with_faults(Faults.dead(2, Modality.CAMERA, index=1)), "micro").camera
    assert frames.valid.tolist() == [[True, False, True]] * 2
    assert not bool(frames.rgb[:, 1].any()) and bool(frames.rgb[:, 0].any())


def test_a_fault_acts_between_its_steps_only(random_scene):
    scene = random_scene(7, worlds=4)
    scene = replace(scene, step=torch.tensor([9, 10, 19, 20]))

    def full(value):
        return torch.full((4, 1), value, dtype=torch.int64)

    faults = Faults(full(FaultKind.DEAD), full(Modality.LIDAR), full(-1), full(1), full(10), full(20))
    scene = scene.with_faults(faults)
    assert render(scene, NO_CAMERA).lidar.valid[:, 0].tolist() == [True, False, False, True]
    assert bool(render(scene, NO_CAMERA).radar.valid.all())


def test_float32_scenes_give_the_frames_of_the_same_numbers_in_float64(random_scene):
    narrow = random_scene(8, worlds=2, dtype=torch.float32)
    wide = replace(
        narrow,
        **{
            f.name: getattr(narrow, f.name).double()
            for f in fields(narrow)
            if getattr(getattr(narrow, f.name), "dtype", 0) == torch.float32 and f.name != "action"
        },
    )
    assert wide.position_m.dtype == torch.float64
    a, b = render(narrow, "micro"), render(wide, "micro")
    for (name, mine), theirs in zip(tensors(a).items(), tensors(b).values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6, msg=str(name))


@pytest.mark.parametrize("field", ["position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "size_m"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_pose_that_is_not_finite_is_refused_by_name(random_scene, field, bad):
    scene = random_scene(9, worlds=3, actors=6)
    scene = replace(scene, valid=torch.ones_like(scene.valid))
    getattr(scene, field)[2, 4] = bad
    with pytest.raises(SensorFault, match=rf"world 2 .*{field} of actor 4 is .*(nan|inf).*expected finite"):
        render(scene, "micro")


def test_numbers_of_an_actor_that_is_not_there_do_not_matter(random_scene):
    scene = random_scene(9, worlds=2, actors=6)
    valid = torch.ones_like(scene.valid)
    valid[:, 3] = False
    clean = replace(scene, valid=valid)
    dirty = clean.clone()
    dirty.position_m[:, 3], dirty.size_m[:, 3], dirty.heading_rad[:, 3] = float("nan"), 0.0, float("inf")
    assert_equal(render(clean, "micro"), render(dirty, "micro"))


def test_a_flat_actor_and_impossible_weather_are_refused(random_scene):
    scene = random_scene(9, worlds=2, actors=6)
    flat = scene.clone()
    flat.valid[:] = True
    flat.size_m[1, 2, 2] = 0.0
    with pytest.raises(SensorFault, match=r"world 1 .*size_m of actor 2 .*above 0"):
        render(flat, "micro")
    dark = scene.clone()
    dark.weather.visibility_m[1] = float("nan")
    with pytest.raises(ConfigError, match=r"visibility_m of world 1 is nan, expected 1 to 1e\+06"):
        render(dark, "micro")


def test_a_misspelt_rig_gets_a_suggestion(random_scene):
    with pytest.raises(ConfigError, match="did you mean 'micro'"):
        render(random_scene(9), "mikro")


def test_no_other_actor_is_an_empty_road(make_scene, random_scene):
    alone = render(make_scene([[[0, 0]]]), "micro")
    crowd = random_scene(10, actors=8)
    nobody = render(replace(crowd, valid=torch.tensor([[True] + [False] * 7])), "micro")
    for frames in (alone, nobody):
        assert (frames.lidar.actor == -1).all() and (frames.radar.actor == -1).all() and (frames.camera.instance == -1).all()
        assert bool(frames.lidar.hit.any())


def test_an_ego_that_is_not_there_still_carries_its_sensors(random_scene):
    scene = random_scene(10, actors=8)
    gone = replace(scene, valid=scene.valid.clone().index_fill_(1, torch.tensor([0]), False))
    assert_equal(render(gone, NO_CAMERA), render(scene, NO_CAMERA))


def test_a_thousand_actors_are_rendered(random_scene):
    frames = render(random_scene(11, worlds=1, actors=1000, spread_m=150.0), "micro")
    assert frames.lidar.actor.max() > 100 and frames.radar.actor.max() > 100
    assert frames.camera.instance.max() > 100


def test_no_world_gives_no_frames(random_scene):
    frames = render(random_scene(12, worlds=2).select(slice(0, 0)), "micro")
    assert frames.lidar.range_m.shape == (0, 1, 8, 64) and frames.camera.rgb.shape == (0, 3, 3, 24, 48)


def test_two_lidars_and_two_radars_stack_and_see_their_own_side(make_scene):
    scene = make_scene([[[0, 0], [20, 0], [-20, 0]]])
    lidar = Lidar("front", Mount(z_m=1.0), (0.0,), columns=8, max_range_m=50.0, noise=False)
    radar = Radar("radar_front", Mount(2.4, 0.0, 0.5), noise=False)
    rig = Rig(
        "pair",
        lidars=(
            replace(lidar, mount=Mount(z_m=0.5, yaw_rad=-torch.pi / 8)),
            replace(lidar, name="rear", mount=Mount(z_m=0.5, yaw_rad=7 * torch.pi / 8)),
        ),
        radars=(radar, replace(radar, name="radar_rear", mount=Mount(-2.4, 0.0, 0.5, yaw_rad=torch.pi))),
    )
    frames = render(scene, rig)
    assert frames.lidar.actor[0, :, 0, 0].tolist() == [1, 2]
    assert [set(frames.radar.actor[0, k][frames.radar.mask[0, k]].tolist()) for k in range(2)] == [{1}, {2}]


def test_no_worlds_can_be_chosen(random_scene):
    assert random_scene(3, worlds=4).select([]).num_worlds == 0
