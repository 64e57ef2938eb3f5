"""Videos of episodes: headless, playable, one a recorded episode."""

from __future__ import annotations

import av
import gymnasium
import numpy as np
import pytest

from envs.record_video import FPS, RecordVideo, on_cubes
from sensors.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")


def drive(folder, id="highway-fast-v0", steps=3, episodes=1, **options):
    env = gymnasium.make(f"DriveFusion/{id}", render_mode="rgb_array")
    env = RecordVideo(env, folder, **options)
    env.action_space.seed(0)
    for number in range(episodes):
        env.reset(seed=number)
        for _ in range(steps):
            env.step(env.action_space.sample())
    env.close()
    return env


def frames_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == FPS
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


@pytest.mark.parametrize(("id", "rate"), [("highway-fast-v0", 1), ("parking-v0", 5), ("lane-keeping-v0", 10)])
def test_an_episode_becomes_a_video_that_lasts_as_long(tmp_path, monkeypatch, id, rate):
    monkeypatch.delenv("DISPLAY", raising=False)
    env = drive(tmp_path / "videos", id, steps=3)
    assert env.metadata["render_fps"] == rate
    frames = frames_of(tmp_path / "videos" / "rl-video-episode-0.mp4")
    assert len(frames) == round(4 * FPS / rate)  # the scene at reset and after three decisions, each as long as a decision
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 0.05


def test_pictures_are_what_was_rendered(tmp_path):
    drive(tmp_path, steps=1)
    env = gymnasium.make("DriveFusion/highway-fast-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frames = frames_of(tmp_path / "rl-video-episode-0.mp4")
    for shown in (frames[0], frames[FPS - 1]):  # held for one decision of a second
        assert np.abs(shown.astype(int) - env.render()).mean() < 4.0
    assert np.abs(frames[0].astype(int) - frames[FPS]).mean() > np.abs(frames[0].astype(int) - frames[FPS - 1]).mean()


def test_the_trigger_chooses_episodes_and_the_bytes_are_the_same_again(tmp_path):
    for name in ("a", "b"):
        drive(tmp_path / name, episodes=4, steps=2, episode_trigger=lambda number: number in (1, 3), name_prefix="ride")
    found = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert found == ["ride-episode-1.mp4", "ride-episode-3.mp4"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in found)


def test_motion_can_be_filled_in(tmp_path):
    drive(tmp_path, steps=2, smooth=True)
    frames = frames_of(tmp_path / "rl-video-episode-0.mp4")
    assert len(frames) == 2 * FPS + 1
    moves = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, frames[1:], strict=False)]
    assert min(moves) > 0.0  # every frame differs from the one before


def test_an_environment_without_pictures_or_scenes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected 'rgb_array'"):
        RecordVideo(gymnasium.make("DriveFusion/highway-fast-v0"), tmp_path)
    plain = gymnasium.Env()
    plain.render_mode = "rgb_array"
    with pytest.raises(ConfigError, match="Env has no scene"):
        RecordVideo(plain, tmp_path, smooth=True)


def test_the_usual_choice_is_gymnasiums():
    assert [number for number in range(4001) if on_cubes(number)] == [number**3 for number in range(11)] + [2000, 3000, 4000]
