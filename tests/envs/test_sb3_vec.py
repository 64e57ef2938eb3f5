"""The vectorised environment keeps Stable-Baselines3's rules, and every world keeps to itself."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from envs.observation import EGO_SCALES, as_numpy, observation_space, pack
from envs.sb3 import make_sb3_vec
from envs.seeds import train_seeds
from envs.world import World
from sensors.errors import ConfigError, SensorFault
from sensors.faults import Faults, Modality
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar
from sensors.rendering import render
from sensors.rig import Rig

SMALL = Rig(
    "small",
    lidars=(Lidar("lidar_top", elevations_rad=(-0.1, 0.0), columns=16),),
    radars=(Radar("radar_front", detections=8),),
)
ID = "highway-fast-v0"


def actions_of(vec, seed):
    return np.random.default_rng(seed).integers(0, vec.action_space.n, vec.num_envs)


def steps_of(vec, count, first=0):
    return [vec.step(actions_of(vec, first + number)) for number in range(count)]


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a.dtype == b.dtype and np.array_equal(a, b)


def row(observation, index):
    return {key: value[index] for key, value in observation.items()} if isinstance(observation, dict) else observation[index]


@pytest.mark.parametrize("rig", [None, SMALL])
def test_observations_are_in_the_space(rig):
    vec = make_sb3_vec(ID, 3, rig=rig)
    observations = [vec.reset(), *(step[0] for step in steps_of(vec, 5))]
    for observation in observations:
        for index in range(3):
            assert vec.observation_space.contains(row(observation, index))


@pytest.mark.parametrize("rig", [None, SMALL])
def test_the_same_seed_twice_is_equal_bit_for_bit(rig):
    first, second = (make_sb3_vec(ID, 4, rig=rig, seed=5) for _ in range(2))
    assert equal(first.reset(), second.reset())
    for a, b in zip(steps_of(first, 12), steps_of(second, 12), strict=True):
        assert equal(a[0], b[0]) and equal(a[1], b[1]) and equal(a[2], b[2])
    other = make_sb3_vec(ID, 4, rig=rig, seed=6)
    assert not equal(first.reset(), other.reset())


@pytest.mark.parametrize("rig", [None, SMALL])
def test_a_world_is_the_same_alone_and_among_others(rig):
    many, alone = make_sb3_vec(ID, 5, rig=rig), make_sb3_vec(ID, 1, rig=rig)
    observation = many.reset(torch.tensor([1, 2, 3, 4, 5]))
    assert equal(row(observation, 3), row(alone.reset(torch.tensor([4])), 0))
    for number in range(8):
        actions = actions_of(many, number)
        together, single = many.step(actions), alone.step(actions[3:4])
        assert single[1][0] == together[1][3] and single[2][0] == together[2][3]
        if single[2][0]:
            assert equal(single[3][0]["terminal_observation"], together[3][3]["terminal_observation"])
            break
        assert equal(row(together[0], 3), row(single[0], 0))


@pytest.mark.parametrize("rig", [None, SMALL])
def test_a_finished_world_starts_again_in_the_same_step(rig):
    vec = make_sb3_vec(ID, 4, rig=rig, seed=1)
    twin = World(ID, 4)
    vec.reset()
    scene = twin.reset(train_seeds(1, torch.arange(4), 0))
    ended = 0
    for number in range(30):
        actions = actions_of(vec, number)
        observation, rewards, dones, infos = vec.step(actions)
        before = scene
        scene, outcome = twin.step(torch.as_tensor(actions))
        assert np.array_equal(rewards, outcome.reward.numpy())
        assert np.array_equal(dones, (outcome.terminated | outcome.truncated).numpy())
        assert torch.equal(vec.transition.next_scene.position_m, scene.position_m)
        assert torch.equal(vec.transition.scene.position_m, before.position_m)
        assert torch.equal(vec.transition.terminated, outcome.terminated) and vec.transition.actions.tolist() == actions.tolist()
        last = as_numpy(twin.observation() if rig is None else pack(render(scene, rig), rig))
        for index in range(4):
            assert ("terminal_observation" in infos[index]) == dones[index]
            assert infos[index]["TimeLimit.truncated"] == bool(outcome.truncated[index] & ~outcome.terminated[index])
            if dones[index]:
                assert equal(infos[index]["terminal_observation"], row(last, index))
                assert vec.scene.step[index] == 0
                ended += 1
        if dones.any():
            scene = twin.reset(vec.scene.episode_seed, where=torch.as_tensor(dones))
        now = as_numpy(twin.observation() if rig is None else pack(render(scene, rig), rig))
        assert equal(observation, now)
    assert ended > 4


def test_episode_seeds_are_keyed_by_world_and_episode():
    vec = make_sb3_vec(ID, 3, seed=9)
    vec.reset()
    expected = torch.zeros(3, dtype=torch.int64)
    for number in range(40):
        _, _, dones, infos = vec.step(actions_of(vec, number))
        for index in np.flatnonzero(dones):
            assert infos[index]["episode_seed"] == train_seeds(9, int(index), expected[index])
        expected += torch.as_tensor(dones).long()
        assert torch.equal(vec.scene.episode_seed, train_seeds(9, torch.arange(3), expected))
    assert expected.min() >= 2
    vec.reset()
    assert torch.equal(vec.scene.episode_seed, train_seeds(9, torch.arange(3), expected + 1))  # a reset goes on, it does not repeat
    vec.seed(9)
    vec.reset()
    assert torch.equal(vec.scene.episode_seed, train_seeds(9, torch.arange(3), 0))


def test_given_seeds_are_used_in_turn():
    vec = make_sb3_vec(ID, 2, seeds=[10, 11, 12])
    vec.reset()
    assert vec.scene.episode_seed.tolist() == [10, 11]
    vec.reset()
    assert vec.scene.episode_seed.tolist() == [12, 10]
    vec.reset([7, 8])
    assert vec.scene.episode_seed.tolist() == [7, 8]


def test_a_time_limit_is_told_apart_from_a_crash():
    vec = make_sb3_vec(ID, 8, config={"duration": 3})
    vec.reset()
    steps = [vec.step(np.full(8, 4)) for _ in range(3)]
    _, _, dones, infos = steps[-1]
    assert dones.all() and not any(step[2].any() for step in steps[:-1])
    assert all(info["TimeLimit.truncated"] for info in infos)


@pytest.mark.parametrize(("id", "steps"), [(ID, 0), (ID, 1), (ID, 7), ("parking-v0", 7), ("u-turn-v0", 4)])
def test_a_state_loads_to_the_same_future(id, steps):
    def act(vec, number):
        vec.action_space.seed(number)
        return np.stack([vec.action_space.sample() for _ in range(vec.num_envs)])

    config = {"duration": 1 if id == "parking-v0" else 3, "simulation_frequency": 5}
    first, second = (make_sb3_vec(id, 3, seed=2, config=config) for _ in range(2))
    first.reset()
    for number in range(steps):
        first.step(act(first, number))
    state = first.state()
    future = [first.step(act(first, 100 + number)) for number in range(3)]
    second.load_state(state)
    for a, number in zip(future, range(3), strict=True):
        b = second.step(act(second, 100 + number))
        assert equal(a[0], b[0]) and equal(a[1], b[1]) and equal(a[2], b[2])
    assert torch.equal(first.scene.position_m, second.scene.position_m)
    assert all(isinstance(value, torch.Tensor) for value in state.values())


def test_loading_a_state_gives_the_present_observation_faults_included():
    vec, other = (make_sb3_vec(ID, 2, rig=SMALL) for _ in range(2))
    vec.world.faults = Faults.dead(2, Modality.RADAR)
    vec.reset()
    observation = steps_of(vec, 4)[-1][0]
    assert equal(other.load_state(vec.state()), observation)
    assert observation["alive"].tolist() == [[1.0, 0.0]] * 2 and not observation["radar"].any()


def test_a_foreign_state_is_refused():
    vec = make_sb3_vec(ID, 2)
    vec.reset()
    with pytest.raises(ConfigError, match="is of 3 worlds"):
        vec.load_state({**vec.state(), "steps": torch.zeros(3, dtype=torch.int64)})
    with pytest.raises(ConfigError, match="lacks history"):
        vec.load_state({name: value for name, value in vec.state().items() if name != "history"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id": "highwya-fast-v0"}, "did you mean 'highway-fast-v0'"),
        ({"rig": "mikro"}, "did you mean 'micro'"),
        ({"device": "cudaa"}, "did you mean 'cuda'"),
        ({"config": {"lane_count": 3}}, "did you mean 'lanes_count'"),
        ({"seeds": []}, "at least one"),
    ],
)
def test_misspelt_settings_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_sb3_vec(**({"id": ID, "num_envs": 2} | options))


def test_a_gpu_that_is_not_there_is_an_error():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="cuda"):
        make_sb3_vec(ID, 2, device="cuda")


def test_the_rules_of_a_vec_env():
    vec = make_sb3_vec(ID, 3)
    with pytest.raises(ConfigError, match="call step"):
        vec.step_wait()
    assert vec.get_attr("num_envs") == [3, 3, 3] and vec.get_attr("rig", [1]) == [None]
    assert vec.env_is_wrapped(VecMonitor) == [False] * 3
    vec.set_attr("note", 1)
    assert vec.note == 1
    with pytest.raises(ConfigError, match="share"):
        vec.set_attr("note", 2, indices=[0])
    with pytest.raises(ConfigError, match="one batch"):
        vec.env_method("step")
    assert vec.seed(4) == [4, 4, 4]


def test_worlds_can_be_looked_at():
    vec = make_sb3_vec(ID, 3)
    vec.reset()
    images = vec.get_images()
    assert len(images) == 3 and images[0].shape == (360, 640, 3)
    assert vec.render("rgb_array").shape[2] == 3


def test_stable_baselines_trains_on_it():
    vec = VecMonitor(make_sb3_vec(ID, 4, rig=SMALL))
    algorithm = PPO("MultiInputPolicy", vec, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    algorithm.learn(64)
    assert algorithm.num_timesteps == 64
    assert all(torch.isfinite(parameter).all() for parameter in algorithm.policy.parameters())


def test_pack_scales_what_the_sensors_say():
    world = World(ID, 2)
    frames = render(world.reset([1, 2]), SMALL)
    packed = pack(frames, SMALL)
    hit = frames.lidar.hit
    assert torch.equal(packed["lidar"][:, :, 0], hit.float())
    assert torch.allclose(packed["lidar"][:, :, 1] * SMALL.lidars[0].max_range_m, frames.lidar.range_m * hit, atol=1e-4)
    mask = frames.radar.mask
    assert torch.equal(packed["radar"][..., 0] > 0, mask)
    assert torch.allclose(packed["radar"][..., 1][mask] * SMALL.radars[0].max_range_m, frames.radar.detections[..., 0][mask], atol=1e-3)
    assert torch.allclose(packed["ego"][:, 0] * EGO_SCALES["speed_mps"], frames.ego.motion[:, 0], atol=1e-4)
    assert "camera" not in packed and set(packed) == set(observation_space(SMALL, 5))


def test_a_rig_without_sensors_still_feels_itself():
    blind = Rig("blind")
    packed = pack(render(World(ID, 2).reset([1, 2]), blind), blind)
    assert set(packed) == {"ego"} == set(observation_space(blind, 5))


def test_a_dead_sensor_is_all_zero():
    world = World(ID, 2)
    world.faults = Faults.dead(2, Modality.LIDAR)
    packed = pack(render(world.reset([1, 2]), SMALL), SMALL)
    assert not packed["lidar"].any() and packed["radar"].any() and packed["alive"].tolist() == [[0.0, 1.0]] * 2


def test_a_number_that_is_not_finite_names_its_sensor():
    frames = render(World(ID, 1).reset([1]), SMALL)
    frames.lidar.range_m[0, 0, 0, :3] = float("nan")
    with pytest.raises(SensorFault, match="lidar_top: 3 of 32 numbers"):
        pack(frames, SMALL)


def test_what_a_dead_sensor_holds_is_never_looked_at():
    """A driver of frames of its own may leave anything in them, NaN too, where it says valid=False."""
    frames = render(World(ID, 2).reset([1, 2]), SMALL)
    for part in (frames.lidar, frames.radar):
        part.valid[0] = False
    expected = pack(frames, SMALL)
    for garbage in (float("nan"), float("inf"), -1e30):
        for numbers in (frames.lidar.range_m, frames.lidar.intensity, frames.lidar.age_s, frames.radar.detections, frames.radar.age_s):
            numbers[0] = garbage
        frames.lidar.hit[0] = frames.radar.mask[0] = True
        packed = pack(frames, SMALL)
        assert all(torch.equal(packed[name], expected[name]) for name in expected)
    frames.radar.valid[0] = True
    with pytest.raises(SensorFault, match="radar_front"):
        frames.radar.detections[0] = float("nan")
        pack(frames, SMALL)
