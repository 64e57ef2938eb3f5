"""What a native world hands out: frames, units, lights, terms; and the same from highway-env through ReferenceWorld."""

import torch

from envs import ReferenceWorld, World
from sensors.faults import Faults, Modality
from sensors.scene import Kind, Light
from sensors.weather import Weather

FAST = "highway-fast-v0"


def test_scene_agrees_with_the_reference_world() -> None:
    config = {"vehicles_count": 8}
    native, reference = (cls(FAST, 2, dtype=torch.float64, config=config) for cls in (World, ReferenceWorld))
    scenes = [world.reset(torch.tensor([11, 12])) for world in (native, reference)]
    for step in range(7):
        for name in ("position_m", "heading_rad", "velocity_mps", "size_m", "time_s"):
            torch.testing.assert_close(getattr(scenes[0], name), getattr(scenes[1], name), atol=1e-6, rtol=0)
        torch.testing.assert_close(scenes[0].acceleration_mps2, scenes[1].acceleration_mps2, atol=0.1, rtol=0.02)
        torch.testing.assert_close(scenes[0].yaw_rate_radps, scenes[1].yaw_rate_radps, atol=1e-3, rtol=0.1)
        for name in ("kind", "lights", "crashed", "valid", "episode_seed", "step", "action"):
            assert torch.equal(getattr(scenes[0], name), getattr(scenes[1], name)), (step, name)
        results = [
            world.step(torch.tensor([step % 5, 0]), autopilot=torch.tensor([False, step > 2]), substeps=True)
            for world in (native, reference)
        ]
        scenes = [scene for scene, _ in results]
        outcomes = [outcome for _, outcome in results]
        torch.testing.assert_close(outcomes[0].reward, outcomes[1].reward, atol=1e-9, rtol=0)
        assert outcomes[0].terms.keys() == outcomes[1].terms.keys()
        for name, value in outcomes[0].terms.items():
            torch.testing.assert_close(value, outcomes[1].terms[name], atol=1e-9, rtol=0)
        assert torch.equal(outcomes[0].terminated, outcomes[1].terminated)
        for mine, theirs in zip(outcomes[0].substeps, outcomes[1].substeps, strict=True):
            torch.testing.assert_close(mine.position_m, theirs.position_m, atol=1e-6, rtol=0)
            assert torch.equal(mine.step, theirs.step)


def test_worlds_describe_themselves_alike() -> None:
    native, reference = World("highway-v0"), ReferenceWorld("highway-v0")
    for name in (
        "num_actions",
        "action_width",
        "action_names",
        "horizon_steps",
        "substeps_per_step",
        "policy_dt_s",
        "substep_dt_s",
        "config",
    ):
        assert getattr(native, name) == getattr(reference, name), name
    assert native.road.lane_length_m.tolist() == reference.road.lane_length_m.tolist()
    assert (native.road.lanes.start_m == reference.road.lanes.start_m).all()


def test_motion_fits_between_substeps() -> None:
    """Velocity is what moves a car, yaw rate what turns it, acceleration what speeds it up."""
    world = World(FAST, 8, dtype=torch.float64)
    scene = world.reset(torch.arange(8))
    for actions in ([0] * 8, [2] * 8, [3] * 8):
        _, outcome = world.step(actions, substeps=True)
        for after in outcome.substeps:
            quiet = ~(scene.crashed | after.crashed)
            turned = (after.heading_rad - scene.heading_rad) / world.substep_dt_s
            torch.testing.assert_close(turned[quiet], after.yaw_rate_radps[quiet], atol=1e-9, rtol=1e-9)
            direction = torch.stack((after.heading_rad.cos(), after.heading_rad.sin()), -1)
            along = (after.acceleration_mps2 * direction).sum(-1)
            gained = (after.speed_mps - scene.speed_mps) / world.substep_dt_s
            torch.testing.assert_close(gained[quiet], along[quiet], atol=1e-9, rtol=1e-9)
            scene = after


def test_substeps_end_in_the_returned_scene() -> None:
    world = World(FAST, 2)
    world.reset([1, 2])
    scene, outcome = world.step([1, 1], substeps=True)
    assert outcome.substeps[-1] is scene
    assert [one.step.tolist() for one in outcome.substeps] == [[count, count] for count in range(1, 6)]
    assert world.step([1, 1])[1].substeps == ()


def test_lights_follow_brakes_and_lane_changes() -> None:
    world = World(FAST, 1, config={"vehicles_count": 0, "initial_lane_id": 1})
    world.reset([3])
    _, left = world.step([0], substeps=True)
    assert int(left.substeps[0].lights[0, 0]) & Light.LEFT
    assert left.substeps[-1].position_m[0, 0, 1] > left.substeps[0].position_m[0, 0, 1]  # y to the left grows
    slower, _ = world.step([4], substeps=True)
    assert (
        any(int(one.lights[0, 0]) & Light.BRAKE for one in world.step([4], substeps=True)[1].substeps) or slower.lights[0, 0] & Light.BRAKE
    )
    assert slower.action.tolist() == [[0, 0, 0, 0, 1]]


def test_weather_faults_and_kind_are_on_every_scene() -> None:
    world = World(FAST, 2)
    world.weather = Weather.clear(2)
    world.faults = Faults.dead(2, Modality.CAMERA)
    scene = world.reset([1, 2])
    assert scene.weather is world.weather and scene.faults is world.faults
    assert (scene.kind == Kind.CAR).all() and scene.valid.all() and scene.num_actors == 21
    assert not scene.action.any() and not scene.time_s.any()


def test_dtype_is_what_is_handed_out() -> None:
    for dtype in (torch.float32, torch.float64):
        world = World(FAST, 2, dtype=dtype)
        scene = world.reset([1, 2])
        _, outcome = world.step([1, 1])
        assert scene.position_m.dtype == scene.time_s.dtype == outcome.reward.dtype == outcome.terms["high_speed_reward"].dtype == dtype
        assert world.observation().dtype == torch.float32 and scene.action.dtype == torch.float32
