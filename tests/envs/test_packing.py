"""Observations by kernels are those by torch's operations, bit for bit."""

from dataclasses import replace

import pytest
import torch

from envs import observation
from envs.observation import pack
from envs.world import World
from sensors.errors import SensorFault
from sensors.faults import Faults
from sensors.presets import RIGS
from sensors.rendering import render


@pytest.mark.parametrize("name", ["micro", "nano"])
@pytest.mark.parametrize("silent", [None, "camera", "lidar", "radar"])
def test_kernels_pack_as_torch_does(name: str, silent: str | None) -> None:
    scene = World("highway-fast-v0", 5).reset(torch.arange(5))
    if silent is not None:
        scene = scene.with_faults(Faults.of(5, "dead", silent, severity=1, where=torch.tensor([True, False, False, True, False])))
    frames = render(scene, name)
    frames = replace(frames, ego=replace(frames.ego, motion=30.0 * torch.randn_like(frames.ego.motion)))
    frames.lidar.intensity.mul_(1.5)
    frames.radar.age_s.fill_(0.3)
    packed, expected = pack(frames, RIGS[name]), observation._packed_by_torch(frames, RIGS[name])
    assert packed.keys() == expected.keys()
    for key, value in expected.items():
        assert packed[key].dtype == value.dtype and torch.equal(packed[key], value), key
    assert packed["ego"].abs().max() == 1.0 and packed["lidar"].max() == 1.0


@pytest.mark.parametrize("name", ["micro", "nano"])
def test_no_worlds_at_all_make_an_observation_of_none(name: str) -> None:
    """Of several processes one may have no part in a minibatch."""
    frames = render(World("highway-fast-v0", 2).reset(torch.arange(2)).select(torch.zeros(0, dtype=torch.int64)), name)
    packed, expected = pack(frames, RIGS[name]), observation._packed_by_torch(frames, RIGS[name])
    assert {key: part.shape for key, part in packed.items()} == {key: part.shape for key, part in expected.items()}


def test_pictures_of_live_cameras_are_not_copied_and_dead_ones_are_black() -> None:
    scene = World("highway-fast-v0", 2).reset(torch.arange(2))
    frames = render(scene, "micro")
    assert pack(frames, RIGS["micro"])["camera"].data_ptr() == frames.camera.rgb.data_ptr()
    frames.camera.valid[1, 2] = False
    packed = pack(frames, RIGS["micro"])["camera"]
    assert not packed[1, 2].any() and torch.equal(packed[0], frames.camera.rgb[0]) and frames.camera.rgb[1, 2].any()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_told_by_name(number: float) -> None:
    for part, words in (("lidar", "lidar_top: 1 of"), ("radar", "radar_front: 1 of"), ("ego", "ego motion: 1 of")):
        frames = render(World("highway-fast-v0", 2).reset(torch.arange(2)), "micro")
        {"lidar": frames.lidar.intensity, "radar": frames.radar.detections, "ego": frames.ego.motion}[part][1].view(-1)[3] = number
        with pytest.raises(SensorFault, match=words):
            pack(frames, RIGS["micro"])
