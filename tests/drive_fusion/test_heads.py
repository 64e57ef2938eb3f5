"""Free labels against slow readings of the scene, and auxiliary heads that learn them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from drive_fusion.bev import BevGrid
from drive_fusion.encoders import depth_bins_m
from drive_fusion.extractor import FusedExtractor
from drive_fusion.heads import AuxiliaryHeads, AuxiliaryWeights, Cell, Labels, labels_of
from drive_fusion.heads.labels import UNKNOWN, covers, fault_columns
from drive_fusion.sizes import SIZES
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.faults.kinds import FaultKind, Modality
from sensors.frames import CameraFrames
from sensors.rig import Rig
from sensors.scene import Kind

MICRO = SIZES["micro"]


@pytest.fixture
def scene(scene_of):
    """The ego at (100, 4), turned by 0.3 rad; a crossing car, an obstacle, one far away, and one that is not there."""
    made = scene_of((100.0, 4.0, 20.0), (120.0, 8.0, 10.0), (110.0, 0.0, 0.0), (400.0, 0.0, 30.0), (104.0, 4.0, 0.0))
    made.heading_rad[0, :2] = torch.tensor([0.3, 1.2])
    made.velocity_mps[0, 1] = torch.tensor([3.0, 9.0])
    made.kind[0, 2] = int(Kind.OBSTACLE)
    made.valid[0, 4] = False
    return made


def ego_points(scene, actor, finer=41):
    """Points all over an actor's footprint, in the ego's frame."""
    length, width = scene.size_m[0, actor, :2].tolist()
    heading, ego = float(scene.heading_rad[0, actor]), float(scene.heading_rad[0, 0])
    for along, across in product(torch.linspace(-0.4999, 0.4999, finer).tolist(), repeat=2):
        x = float(scene.position_m[0, actor, 0]) + along * length * math.cos(heading) - across * width * math.sin(heading)
        y = float(scene.position_m[0, actor, 1]) + along * length * math.sin(heading) + across * width * math.cos(heading)
        x, y = x - float(scene.position_m[0, 0, 0]), y - float(scene.position_m[0, 0, 1])
        yield math.cos(ego) * x + math.sin(ego) * y, math.cos(ego) * y - math.sin(ego) * x


def cells_of(grid, points):
    x, y = torch.tensor(list(points), dtype=torch.float64).T
    cell, inside, _, _ = grid.locate(x, y)
    return set(cell[inside].tolist())


@pytest.mark.parametrize("grid", [MICRO.grid, BevGrid(x_cells=128, y_cells=64)])
def test_footprints_cover_the_cells_that_their_points_lie_in(scene, grid):
    found = covers(scene, grid)[0]
    for actor in (1, 2):
        cells, expected = set(found[actor].nonzero().flatten().tolist()), cells_of(grid, ego_points(scene, actor))
        assert expected and expected <= cells
        assert len(cells - expected) <= 1  # a corner that just reaches into a cell, between two points
    assert not found[[0, 3, 4]].any()


def test_labels_tell_what_is_there_and_how_it_moves(scene, micro):
    labels = labels_of(scene, micro, MICRO)
    assert labels.occupied.shape == (1, 16, 32) and not labels.later_known.any()
    row, column = ((labels.cell == Cell.VEHICLE)[0]).nonzero()[0].tolist()
    expected = (3.0 * math.cos(0.3) + 9.0 * math.sin(0.3), 9.0 * math.cos(0.3) - 3.0 * math.sin(0.3))
    assert labels.velocity_mps[0, :, row, column].tolist() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(labels.occupied, (labels.cell == Cell.VEHICLE) | (labels.cell == Cell.OBSTACLE))
    assert (labels.cell == Cell.OBSTACLE).any()
    assert not labels.velocity_mps.abs().sum(1)[~labels.occupied].any()


def test_road_and_lines_are_those_of_a_straight_highway(scene_of, micro):
    """Four lanes of 4 m centred at y = 0, -4, -8, -12 (highway-env counts them to the right): road from 2 to -14."""
    grid = MICRO.feature_grid
    seen = scene_of((100.0, 0.0, 20.0))
    lateral_m, half_m = grid.y_range_m[0] + (torch.arange(grid.y_cells) + 0.5) * grid.cell_m[1], grid.cell_m[1] / 2.0
    ys = [float(seen.road.lanes.start_m[lane, 1]) for lane in range(4)]
    edges = [y + side for y in ys for side in (-2.0, 2.0)]
    found = labels_of(seen, micro, MICRO).cell[0]
    for column, y in enumerate(lateral_m.tolist()):
        on_line = min(abs(y - edge) for edge in edges) <= half_m
        expected = Cell.LINE if on_line else Cell.ROAD if min(edges) <= y <= max(edges) else Cell.OFF_ROAD
        assert set(found[6:, column].tolist()) == {int(expected)}  # from 12.8 m ahead on there is no car
    assert {int(Cell.LINE), int(Cell.ROAD), int(Cell.OFF_ROAD)} <= set(found.flatten().tolist())


def test_a_second_on_is_told_in_the_frame_of_now(scene, micro):
    later = replace(scene, position_m=scene.position_m + scene.velocity_mps, heading_rad=scene.heading_rad + 0.2)
    labels = labels_of(scene, micro, MICRO, later=later)
    moved = replace(scene, position_m=scene.position_m.clone(), heading_rad=later.heading_rad.clone())
    moved.position_m[:, 1:] += scene.velocity_mps[:, 1:]
    moved.heading_rad[:, 0] = scene.heading_rad[:, 0]
    assert torch.equal(labels.occupied_later, labels_of(moved, micro, MICRO).occupied)
    assert labels.later_known.all() and not torch.equal(labels.occupied_later, labels.occupied)


@pytest.mark.parametrize(("size", "first"), [("micro", 2), ("nano", 0)])
def test_depth_is_the_bin_of_the_pixel_in_the_middle_of_a_feature_cell(micro, size, first):
    depth_m = 1.0 + 90.0 * torch.rand(2, 3, 24, 48, generator=torch.Generator().manual_seed(0))
    depth_m[:, :, :4] = 0.0  # the sky
    picture = torch.zeros(2, 3, 24, 48)
    camera = CameraFrames(picture, depth_m, picture, picture, torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3))
    camera.valid[1, 2] = False
    bins = depth_bins_m(SIZES[size].depth_bins)
    from drive_fusion.heads.labels import depth_labels

    found = depth_labels(camera, micro, SIZES[size], 2).view(2, 3, 3, 6)
    for world, number, row, column in product(range(2), range(3), range(3), range(6)):
        depth = float(depth_m[world, number, 8 * row + first, 8 * column + first])
        beyond = depth > float(bins[-1] * (bins[1] / bins[0]) ** 0.5)
        known = depth > 0.0 and not beyond and not (world == 1 and number == 2)
        expected = int((bins.log() - math.log(max(depth, 0.1))).abs().argmin()) if known else UNKNOWN
        assert int(found[world, number, row, column]) == expected


def test_faults_are_told_by_sensor_and_kind_while_they_act(scene_of, micro):
    scene = scene_of((0.0, 0.0, 20.0), step=5)
    columns = fault_columns(micro)
    faults = Faults.join(
        [
            Faults.of(1, "blur", "camera", index=1, start_step=5, end_step=6),
            Faults.of(1, "dead", "lidar", severity=1, start_step=6),
            Faults.of(1, "ghosts", "radar"),
        ]
    )
    found = {columns[place] for place in labels_of(scene.with_faults(faults), micro, MICRO).faulty[0].nonzero().flatten().tolist()}
    assert found == {(Modality.CAMERA, 1, FaultKind.BLUR), (Modality.RADAR, 0, FaultKind.GHOSTS)}


@pytest.fixture
def taught(micro_space, micro, observe, scene_of):
    """An extractor, heads, observations of noise and labels of eight different scenes."""
    torch.manual_seed(0)
    extractor = FusedExtractor(micro_space, micro, temporal="conv_gru")
    heads = AuxiliaryHeads(extractor, micro)
    scenes = [scene_of((0.0, 0.0, 20.0), (10.0 + 6.0 * number, -4.0, 15.0 + number)) for number in range(8)]
    labels = Labels.cat([labels_of(scene, micro, MICRO, later=later) for scene, later in zip(scenes, scenes[1:] + scenes[:1], strict=True)])
    faulty = torch.rand(labels.faulty.shape) < 0.2
    return extractor, heads, observe(8), replace(labels, depth_bin=torch.randint(-1, 8, (8, 3, 18)), faulty=faulty)


def test_every_lesson_is_learned(taught):
    extractor, heads, observation, labels = taught
    parameters = [*extractor.parameters(), *heads.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=5e-3)
    stretch = {name: value.unflatten(0, (1, 8)) for name, value in observation.items()}
    history = []
    for _ in range(25):
        features, _, inside = extractor.unroll_open(stretch, extractor.initial_state(8), torch.ones(1, 8))
        losses = heads.losses(features.flatten(0, 1), inside, labels)
        history.append({name: value.item() for name, value in losses.items()})
        loss = heads.loss(features.flatten(0, 1), inside, labels)
        weights = vars(heads.weights)
        assert loss.item() == pytest.approx(sum(weights[name] * value for name, value in history[-1].items()), rel=1e-5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert history[0].keys() == vars(AuxiliaryWeights()).keys()
    for name, first in history[0].items():
        assert history[-1][name] < 0.9 * first, name
    assert all(torch.isfinite(parameter.grad).all() for parameter in heads.parameters())


def test_what_is_unknown_teaches_nothing(taught):
    extractor, heads, observation, labels = taught
    stretch = {name: value.unflatten(0, (1, 8)) for name, value in observation.items()}
    features, _, inside = extractor.unroll_open(stretch, extractor.initial_state(8), torch.ones(1, 8))
    nothing = replace(labels, later_known=torch.zeros(8, dtype=torch.bool), depth_bin=torch.full((8, 3, 18), UNKNOWN))
    losses = heads.losses(features[0], inside, nothing)
    assert losses["occupancy_later"].item() == losses["depth"].item() == 0.0
    half = replace(labels, later_known=torch.arange(8) < 4)
    changed = replace(half, occupied_later=half.occupied_later ^ (torch.arange(8) >= 4)[:, None, None])
    assert heads.losses(features[0], inside, half)["occupancy_later"] == heads.losses(features[0], inside, changed)["occupancy_later"]


def test_heads_need_a_map_and_weights_make_sense(micro_space):
    from gymnasium import spaces

    blind = Rig("blind")
    extractor = FusedExtractor(spaces.Dict({"ego": micro_space["ego"]}), blind)
    with pytest.raises(ConfigError, match="'blind' has no sensors"):
        AuxiliaryHeads(extractor, blind)
    with pytest.raises(ConfigError, match=r"AuxiliaryWeights.depth is -1"):
        AuxiliaryWeights(depth=-1.0)
