"""The gymnasium environments: registered for every id, lawful, and highway-env where no rig is asked for."""

import re
import subprocess
import sys
import warnings

import gymnasium
import highway_env  # noqa: F401
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

import envs
from envs.class_constants import in_place, pristine
from envs.gym import DrivingEnv
from envs.ids import IDS, SINGLE_AGENT_IDS
from envs.observation import LARGEST
from sensors.errors import ConfigError
from sensors.lidar.config import Lidar
from sensors.radar.config import Radar
from sensors.rig import Rig

OUT_OF_DATE = "ignore:.*is out of date:DeprecationWarning"  # gymnasium's, at ids that highway-env has a newer version of
SMALL = Rig("small", lidars=(Lidar("lidar_top", elevations_rad=(-0.1, 0.0), columns=16),), radars=(Radar("radar_front", detections=8),))

SHAPE = (
    "Your observation {} has an unconventional shape (neither an image, nor a 1D vector). We recommend you to flatten the observation to "
    "have only a 1D vector or use a custom policy to properly process the data."
)
IMAGE = (
    "It seems that your observation {} is an image but its `dtype` is (float32) whereas it has to be `np.uint8`. If your observation is "
    "not an image, we recommend you to flatten the observation to have only a 1D vector",
    "It seems that your observation space {} is an image but the upper and lower bounds are not in [0, 255]. Because the CNN policy "
    "normalize automatically the observation you may encounter issue if the values are not in that range.",
    "The minimal resolution for an image is 36x36 for the default `CnnPolicy`. You might need to use a custom features extractor cf. "
    "https://stable-baselines3.readthedocs.io/en/master/guide/custom_policy.html",
)
ALLOWED = {SHAPE.format(name) for name in ("", "camera", "lidar", "state", "derivative", "reference_state")}
ALLOWED |= {text.format(name) for text in IMAGE for name in ("", "radar")}
QUICK = ("highway-fast-v0", "lane-keeping-v0", "merge-v1", "parking-v0", "racetrack-v1", "two-way-v0")
"""One id of every kind of action and observation; the others take minutes together."""


def warnings_of_the_checks(env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*is out of date", DeprecationWarning)
        check_env(env.unwrapped, skip_render_check=True)
        check_env_for_sb3(env.unwrapped, skip_render_check=True)
    return {str(warning.message) for warning in caught}


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.filterwarnings(OUT_OF_DATE)
@pytest.mark.parametrize("id", [pytest.param(id, marks=() if id in QUICK else pytest.mark.slow) for id in SINGLE_AGENT_IDS])
def test_an_id_passes_the_checks_of_gymnasium_and_sb3(id):
    assert warnings_of_the_checks(gymnasium.make(f"DriveFusion/{id}")) <= ALLOWED


@pytest.mark.parametrize("rig", ["micro", SMALL])
def test_a_rig_passes_the_checks_too(rig):
    env = gymnasium.make("DriveFusion/highway-fast-v0", rig=rig, device="cpu")
    assert warnings_of_the_checks(env) <= ALLOWED


def test_every_id_is_registered_on_import_and_torch_is_not_needed():
    code = (
        "import sys, gymnasium, envs; "
        "print(sum(id.startswith('DriveFusion/') for id in gymnasium.registry), 'torch' in sys.modules, 'highway_env' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(IDS)), "False", "False"]


@pytest.mark.parametrize("id", ["highway-fast-v0", "two-way-v0", "parking-v0", "lane-keeping-v0"])
def test_without_a_rig_it_is_highway_env(id):
    with in_place(pristine()):
        theirs = gymnasium.make(id, disable_env_checker=True)
    ours = gymnasium.make(f"DriveFusion/{id}")
    assert ours.action_space == theirs.action_space
    with in_place(pristine()):
        expected, _ = theirs.reset(seed=17)
        assert equal(ours.reset(seed=17)[0], expected)
        for number in range(4):
            ours.action_space.seed(number)
            action = ours.action_space.sample()
            observation, reward, terminated, truncated, info = ours.step(action)
            expected, their_reward, their_end, their_cut, their_info = theirs.step(action)
            assert np.allclose(reward, their_reward, atol=1e-6) and (terminated, truncated) == (their_end, their_cut)
            assert info["rewards"].keys() == their_info.get("rewards", {}).keys()
            if isinstance(observation, dict):
                assert equal(observation, expected)
            else:
                assert np.allclose(observation, expected, atol=1e-6)


def test_without_a_seed_episodes_go_on_as_highway_envs_do():
    with in_place(pristine()):
        theirs = gymnasium.make("u-turn-v1", disable_env_checker=True)
        theirs.reset(seed=3)
        expected, _ = theirs.reset()
    ours = gymnasium.make("DriveFusion/u-turn-v1")
    _, first = ours.reset(seed=3)
    observation, second = ours.reset()
    assert equal(observation, expected) and first["episode_seed"] == 3 != second["episode_seed"]


def test_a_first_reset_without_a_seed_works():
    env = gymnasium.make("DriveFusion/highway-fast-v0")
    observation, info = env.reset()
    assert env.observation_space.contains(observation) and info["episode_seed"] >= 0


@pytest.mark.parametrize("rig", [None, SMALL])
def test_two_environments_with_one_seed_are_equal_bit_for_bit(rig):
    first, second = (gymnasium.make("DriveFusion/highway-fast-v0", rig=rig) for _ in range(2))
    assert equal(first.reset(seed=8)[0], second.reset(seed=8)[0])
    for action in (3, 0, 1, 2, 4):
        a, b = first.step(action), second.step(action)
        assert equal(a[0], b[0]) and a[1:] == b[1:]


def test_unbounded_spaces_get_finite_bounds():
    space = gymnasium.make("DriveFusion/highway-fast-v0").observation_space
    assert space.shape == (5, 5) and space.high.max() == np.float32(LARGEST)
    space.seed(0)
    assert space.contains(space.sample())


def test_the_scene_is_at_hand():
    env = gymnasium.make("DriveFusion/highway-fast-v0").unwrapped
    env.reset(seed=5)
    assert env.scene.num_worlds == 1 and env.scene.episode_seed.tolist() == [5]


def test_configuration_reaches_the_world():
    env = gymnasium.make("DriveFusion/highway-fast-v0", config={"lanes_count": 6, "duration": 2})
    env.reset(seed=0)
    assert env.unwrapped.world.road.num_lanes == 6
    assert [env.step(1)[3] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rig": "micr"}, "did you mean 'micro'"),
        ({"device": "cpuu"}, "did you mean 'cpu'"),
        ({"config": {"duratoin": 3}}, "did you mean 'duration'"),
        ({"render_mode": "rgb_arry"}, "did you mean 'rgb_array'"),
        ({"id": "u-turn-v9"}, "did you mean 'u-turn-v"),
    ],
)
def test_misspelt_settings_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        DrivingEnv(**({"id": "highway-fast-v0"} | options))


def test_gymnasium_itself_names_a_misspelt_id():
    with pytest.raises(gymnasium.error.NameNotFound, match=re.escape("`highway-fast`")):
        gymnasium.make("DriveFusion/highway-fst-v0")


@pytest.mark.parametrize(
    "id", ["highway-fast-v0", "parking-parked-v0", "lane-keeping-v0"]
)  # highway-env's own cannot render the latter two
def test_a_picture_can_be_had_without_a_screen(id, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    env = gymnasium.make(f"DriveFusion/{id}", render_mode="rgb_array")
    env.reset(seed=1)
    first = env.render()
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3 and len(np.unique(first)) > 10
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    assert not np.array_equal(env.render(), first)


def test_the_check_of_gymnasium_covers_the_picture():
    env = gymnasium.make("DriveFusion/highway-fast-v0", render_mode="rgb_array")
    check_env(env.unwrapped)


def test_without_a_render_mode_there_is_no_picture():
    env = gymnasium.make("DriveFusion/highway-fast-v0").unwrapped
    env.reset(seed=1)
    assert env.render() is None


def test_record_video_works_headless(tmp_path):
    pytest.importorskip("moviepy", reason="gymnasium's RecordVideo writes with moviepy, which is not installed")
    env = gymnasium.make("DriveFusion/highway-fast-v0", render_mode="rgb_array")
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True)
    env.reset(seed=1)
    env.step(1)
    env.close()
    assert [path.suffix for path in (tmp_path / "videos").iterdir()] == [".mp4"] and env.frames_per_sec == 1


def test_the_public_names_are_there():
    for name in ("DrivingEnv", "make_sb3_vec", "World", "ReferenceWorld", "Recording", "record", "seed_set"):
        assert getattr(envs, name) is not None
