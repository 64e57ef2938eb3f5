"""Views for people: what is left is on the left, crashes are marked, motion is filled in but not through jumps, videos play."""

import math
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from sensors.errors import ConfigError
from sensors.scene import Scene
from sensors.views.birds_eye import CRASH_RED, BirdsEye, draw_birds_eye
from sensors.views.gallery import gallery_scene, save_preview
from sensors.views.preview import PreviewSize, action_text, compose
from sensors.views.video import interpolate, write_clip_video, write_video


def drive(instants=6, dt_s=0.2):
    """A drive of the gallery's cars at constant speeds."""
    first = gallery_scene()
    return Scene.cat(
        [
            replace(first, position_m=first.position_m + first.velocity_mps * dt_s * k, time_s=first.time_s + dt_s * k, step=first.step + k)
            for k in range(instants)
        ]
    )


@pytest.mark.parametrize("heading", [0.0, 2.0])
@pytest.mark.parametrize("forward", ["up", "right"])
def test_birds_eye_shows_left_on_the_left(make_scene, forward, heading):
    view = BirdsEye(200, 200, 60.0, forward, 0.5)
    turn = np.asarray([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]])
    ahead_left = turn @ (12.0, 8.0)
    without = draw_birds_eye(make_scene([[(0, 0)]], heading=heading), view)[0].astype(int)
    picture = draw_birds_eye(make_scene([[(0, 0), ahead_left]], heading=heading), view)[0].astype(int)
    v, u = np.nonzero(np.abs(picture - without).sum(-1) > 30)
    scale = 200 / 60.0
    place = (100 + 12 * scale, 100 - 8 * scale) if forward == "right" else (100 - 8 * scale, 100 - 12 * scale)
    assert (u.mean() + 0.5, v.mean() + 0.5) == pytest.approx(place, abs=1.5)


def test_birds_eye_marks_crashes():
    scene = gallery_scene()
    clear = replace(scene, crashed=torch.zeros_like(scene.crashed))

    def red(picture):
        return int((np.abs(picture.astype(int) - CRASH_RED).sum(-1) < 40).sum())

    assert red(draw_birds_eye(scene)[0]) > red(draw_birds_eye(clear)[0]) + 20


def test_preview_has_camera_caption_and_birds_eye():
    size = PreviewSize.of_width(426)
    picture = compose(gallery_scene(), size)
    assert picture.shape == (1, size.height_px, 426, 3)
    parts = np.split(picture[0], (size.camera_px, size.camera_px + size.caption_px))
    assert all(part.std() > 5 for part in parts)
    assert not np.array_equal(compose(gallery_scene(), size, captions=["something else"]), picture)


def test_actions_have_names():
    assert [action_text(row) for row in np.eye(5).tolist()] == ["lane left", "keep", "lane right", "faster", "slower"]
    assert action_text([0.0] * 5) == "" and action_text([0.25, -0.5]) == "+0.25  -0.50"


def test_interpolation_passes_through_the_instants_at_a_constant_rate():
    scenes = drive()
    filled, source = interpolate(scenes, 15)
    assert filled.num_worlds == 16 and source[0] == 0 and source[-1] == 5
    assert torch.allclose(filled.time_s.diff(), torch.full((15,), 1 / 15), atol=1e-5)
    assert torch.allclose(filled.position_m[::3], scenes.position_m, atol=1e-6)
    expected = scenes.position_m[:1] + scenes.velocity_mps[:1] * (torch.arange(16) / 15).double()[:, None, None]
    assert torch.allclose(filled.position_m, expected, atol=1e-6)


def test_headings_turn_the_shorter_way():
    scenes = drive(2)
    scenes.heading_rad[0, 1], scenes.heading_rad[1, 1] = math.pi - 0.1, -math.pi + 0.1
    middle = interpolate(scenes, 10)[0].heading_rad[1, 1]
    assert math.cos(float(middle) - math.pi) == pytest.approx(1.0, abs=1e-9)


def test_a_jump_is_not_interpolated():
    scenes = drive(2)
    scenes.position_m[1, 3] += 60.0
    filled, _ = interpolate(scenes, 15)
    assert torch.equal(filled.position_m[:3, 3], scenes.position_m[:1, 3].expand(3, 2))


def test_a_clock_that_starts_again_is_a_cut_in_either_width_of_float():
    for dtype in (torch.float32, torch.float64):
        again = Scene.cat([replace(scenes, time_s=scenes.time_s.to(dtype)) for scenes in (drive(2), drive(2))])
        filled, source = interpolate(again, 15)
        assert source.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
        assert torch.equal(filled.position_m[4], again.position_m[1])


def test_video_has_its_frames_rate_and_size_and_the_index_in_front(tmp_path):
    path = tmp_path / "clip.mp4"
    digest = write_clip_video(drive(), path, fps=15, width_px=426)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p" and stream.average_rate == 15
    size = PreviewSize.of_width(426)
    assert len(frames) == 16 and frames[0].shape == (size.height_px, 426, 3)
    expected = compose(drive(1), size)[0].astype(float)
    assert np.abs(frames[0].astype(float) - expected).mean() < 6.0
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert write_clip_video(drive(), tmp_path / "again.mp4", fps=15, width_px=426) == digest


def test_pictures_and_rates_that_cannot_be_are_refused(tmp_path):
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ConfigError, match="at least 15"):
        write_video([picture], tmp_path / "a.mp4", fps=5)
    with pytest.raises(ConfigError, match="even"):
        write_video([picture[:15]], tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="no pictures"):
        write_video([], tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="5000 pixels wide, expected at most 4096"):
        BirdsEye(width_px=5000)
    with pytest.raises(ConfigError, match="captions"):
        write_clip_video(drive(2), tmp_path / "a.mp4", captions=["one"])
    assert not list(tmp_path.iterdir())


def test_the_documentations_picture_can_be_made_again(tmp_path):
    save_preview(tmp_path / "preview.png")
    assert 20_000 < (tmp_path / "preview.png").stat().st_size < 400_000
