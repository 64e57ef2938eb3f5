"""Spatial fusion: masks against removal, neighbours against brute force, and what every combination with a memory must do."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from drive_fusion.bev import BevGrid, cell_centres_m
from drive_fusion.extractor import FusedExtractor
from drive_fusion.fusion import Seen, Spatial, spatial_fusion
from drive_fusion.fusion.attention import MapAttention
from drive_fusion.fusion.graph import GraphFusion, edge_features, nearest, peaks
from drive_fusion.memory import Temporal
from drive_fusion.sizes import ModelSize
from sensors.errors import ConfigError
from sensors.rig import Rig

SPATIAL, TEMPORAL = get_args(Spatial), get_args(Temporal)
EVERY = list(product(SPATIAL, TEMPORAL))
SENSORS = {"camera": [0, 1, 2], "lidar": [3], "radar": [4]}


def make(space, spatial: Spatial, temporal: Temporal, seed: int = 0) -> FusedExtractor:
    torch.manual_seed(seed)
    return FusedExtractor(space, "micro", spatial=spatial, temporal=temporal)


def in_time(observation, steps):
    return {name: value.unflatten(0, (steps, -1)) for name, value in observation.items()}


def random_seen(worlds=3, modalities=3, width=8, cells=(6, 10), seed=0) -> Seen:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(worlds, width, *cells, generator=generator) for _ in range(modalities)]
    everybody = torch.ones(worlds, modalities, dtype=torch.bool)
    return Seen(maps, torch.zeros(worlds, modalities), everybody, torch.full((worlds,), 20.0), None)


# Every combination


@pytest.mark.parametrize(("spatial", "temporal"), EVERY)
@pytest.mark.parametrize("modality", SENSORS)
def test_a_dead_sensors_numbers_cannot_change_anything(micro_space, observe, spatial, temporal, modality):
    """Garbage and NaN in a dead sensor's numbers: features and state are bit-equal, at once and through memory."""
    extractor = make(micro_space, spatial, temporal).eval()
    with torch.no_grad():
        for missing in extractor.missing.values():
            missing.map.normal_()
    dead = SENSORS[modality][-1]  # one of three cameras, the only lidar, the only radar
    number = SENSORS[modality].index(dead)
    observation = in_time(observe(6), 3)
    observation["alive"][:2, :, dead] = 0.0
    starts = torch.zeros(3, 2)
    with torch.no_grad():
        expected, state = extractor.unroll(observation, extractor.initial_state(2), starts)
        for garbage in (float("nan"), float("inf"), 1e30, -7.0):
            changed = {name: value.clone() for name, value in observation.items()}
            changed[modality][:2, :, number] = garbage
            changed["age"][:2, :, dead] = garbage
            found, after = extractor.unroll(changed, extractor.initial_state(2), starts)
            assert torch.equal(found, expected)
            assert all(torch.equal(after[name], state[name]) for name in state)
        changed[modality][2, :, number] *= 0.5  # alive again at the last instant: now it counts
        assert not torch.equal(extractor.unroll({**changed, "age": observation["age"]}, extractor.initial_state(2), starts)[0], expected)


@pytest.mark.parametrize(("spatial", "temporal"), EVERY)
def test_every_combination_learns_with_every_parameter(micro_space, observe, spatial, temporal):
    """All gradients are finite and none is missing, and a task is learned that only the past tells (without memory: the present)."""
    extractor = make(micro_space, spatial, temporal).train()
    head = torch.nn.Linear(extractor.features_dim, 1)
    steps, worlds = 3, 4
    observation = in_time(observe(steps * worlds), steps)
    if temporal != "none":
        for value in observation.values():
            value[2] = value[2, :1]  # all worlds look alike in the end; a guess costs 1
    observation["alive"][1, 0, :3] = observation["alive"][1, 1, 3] = observation["alive"][1, 2, 4] = 0.0
    starts = torch.zeros(steps, worlds)
    starts[0] = 1.0
    wanted = torch.tensor([1.0, -1.0, 1.0, -1.0])
    parameters = [*extractor.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=5e-3)
    for step in range(60):
        features, _ = extractor.unroll(observation, extractor.initial_state(worlds), starts)
        loss = (head(features[-1])[:, 0] - wanted).square().mean()
        if loss.item() < 0.3:
            break
        optimiser.zero_grad()
        (loss + 0.1 * head(features[1]).square().mean()).backward()
        if step == 1:  # the first step moves what began at zero
            silent = [name for name, value in extractor.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0.0]
            assert not silent
            assert all(torch.isfinite(value.grad).all() for value in parameters)
        optimiser.step()
    assert step > 1 and loss.item() < 0.3


@pytest.mark.parametrize("spatial", SPATIAL)
def test_a_world_alone_equals_the_world_in_a_batch(micro_space, observe, spatial):
    extractor = make(micro_space, spatial, "none").double()
    observation = {name: value.double() for name, value in observe(5).items()}
    alone = extractor({name: value[2:3] for name, value in observation.items()})
    assert torch.allclose(alone, extractor(observation)[2:3], atol=1e-9)


@pytest.mark.parametrize(("spatial", "temporal"), EVERY)
def test_bfloat16_is_near(micro_space, observe, spatial, temporal):
    """Under autocast nothing clashes, the state stays float32, points stay where they are, and gradients are finite."""
    extractor = make(micro_space, spatial, temporal).eval()
    observation = in_time(observe(4), 2)
    expected, _ = extractor.unroll(observation, extractor.initial_state(2), torch.zeros(2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        found, state = extractor.unroll(observation, extractor.initial_state(2), torch.zeros(2, 2))
        extractor.unroll(observation, state, torch.zeros(2, 2))
        found.float().square().sum().backward()
    assert all(part.dtype == torch.float32 for part in state.values())
    assert float(((found.float() - expected).norm() / expected.norm()).detach()) < 0.2  # a graph may choose other places
    assert all(torch.isfinite(value.grad).all() for value in extractor.parameters() if value.grad is not None)


@pytest.mark.parametrize("kept", [("camera",), ("lidar",), ("radar",), ("lidar", "radar"), ("camera", "radar")])
@pytest.mark.parametrize("spatial", SPATIAL)
def test_every_fusion_serves_rigs_with_fewer_senses(micro_space, micro, observe, spatial, kept):
    rig = Rig(
        "some",
        *(sensors if name in kept else () for name, sensors in zip(SENSORS, (micro.cameras, micro.lidars, micro.radars), strict=True)),
    )
    places = [place for name in kept for place in SENSORS[name]]
    space = spaces.Dict({name: micro_space[name] for name in (*kept, "ego")})
    space["alive"] = space["age"] = spaces.Box(0.0, 1.0, (len(places),))
    observation = {name: value[:, places] if name in ("alive", "age") else value for name, value in observe(2).items()}
    extractor = FusedExtractor(space, rig, spatial=spatial, temporal="conv_gru")
    features = extractor({name: observation[name] for name in space})
    assert features.shape == (2, 96) and torch.isfinite(features).all()
    assert tuple(extractor.encoders) == kept


@pytest.mark.parametrize("spatial", SPATIAL)
def test_everything_dead_is_finite(micro_space, observe, spatial):
    extractor = make(micro_space, spatial, "conv_gru")
    observation = observe(2)
    observation["alive"][:] = 0.0
    features = extractor(observation)
    assert torch.isfinite(features).all()
    features.sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in extractor.parameters() if value.grad is not None)


@pytest.mark.parametrize("spatial", SPATIAL)
def test_a_fused_map_knows_the_age_of_what_it_is_made_of(spatial):
    fusion = spatial_fusion(spatial, 3, SIZE)
    seen = random_seen()
    assert not torch.equal(fusion(seen), fusion(seen._replace(age_s=torch.tensor([[0.3, 0.0, 0.0]]).expand(3, 3))))


def test_an_unknown_fusion_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'attention'"):
        spatial_fusion("atention", 3, SIZE)


SIZE = ModelSize(grid=BevGrid(x_cells=6, y_cells=10, y_range_m=(-8.0, 8.0)))


# Attention


def test_attention_masked_equals_attention_without_the_modality():
    three, two = MapAttention(3, 8, 2, 4, (6, 10)), MapAttention(2, 8, 2, 4, (6, 10))
    torch.nn.init.normal_(three.offset.weight)
    state = three.state_dict()
    kept = {name: value[:16] if name.startswith("value") else value for name, value in state.items()}
    for name in ("offset.weight", "offset.bias"):
        kept[name] = state[name].unflatten(0, (2, 3, 8))[:, :2].flatten(0, 2)
    for name in ("score.weight", "score.bias"):
        kept[name] = state[name].unflatten(0, (2, 13))[:, :9].flatten(0, 1)
    two.load_state_dict(kept)
    seen, tokens = random_seen(), torch.randn(3, 15, 8)
    present = torch.tensor([True, True, False]).expand(3, 3)
    all_three, first_two = torch.cat(seen.maps, 1), torch.cat(seen.maps[:2], 1)
    assert torch.allclose(three(tokens, all_three, present), two(tokens, first_two, present[:, :2]), atol=1e-6)
    assert not torch.allclose(three(tokens, all_three, seen.present), two(tokens, first_two, present[:, :2]), atol=1e-3)


def test_attention_is_a_loop_over_queries_heads_maps_and_samples():
    """Bilinear samples by hand at the reference point plus the offset in cells, weighted by the softmax."""
    layer = MapAttention(2, 4, 2, 3, (4, 6))
    torch.nn.init.normal_(layer.offset.weight, std=0.3)
    maps, tokens = random_seen(1, 2, 4, (4, 6)).maps, torch.randn(1, 6, 4)
    present = torch.ones(1, 2, dtype=torch.bool)
    look: dict[str, torch.Tensor] = {}
    found = layer(tokens, torch.cat(maps, 1), present, look)
    asked = layer.before(tokens)[0]
    values = layer.value(torch.cat(maps, 1))[0].view(2, 4, 4, 6)
    answer = torch.zeros(6, 4)
    for query, head in product(range(6), range(2)):
        weight = layer.score(asked[query]).view(2, 7)[head].softmax(0)[1:].view(2, 3)
        offset = layer.offset(asked[query]).view(2, 2, 3, 2)[head]
        row, column = 2.0 * (query // 3) + 0.5, 2.0 * (query % 3) + 0.5  # the middle of 2 x 2 cells, where cell i's centre is i
        for number, sample in product(range(2), range(3)):
            x, y = row + offset[number, sample, 1], column + offset[number, sample, 0]
            for i, j in product(range(4), range(6)):
                share = (1 - (x - i).abs()).clamp(min=0) * (1 - (y - j).abs()).clamp(min=0)
                answer[query, 2 * head : 2 * head + 2] += weight[number, sample] * share * values[number][2 * head : 2 * head + 2, i, j]
    expected = layer.feed_forward(tokens[0] + layer.after(answer))
    assert torch.allclose(found[0], expected, atol=1e-5)
    assert look["attention"].shape == (1, 2, 6) and bool((look["attention"].sum(1) < 1.0).all())


# Graph


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), nodes=st.integers(2, 14), count=st.integers(1, 8))
def test_nearest_neighbours_are_those_of_brute_force(seed, nodes, count):
    generator = torch.Generator().manual_seed(seed)
    xy_m = 50.0 * torch.rand(2, nodes, 2, generator=generator)
    there = torch.rand(2, nodes, generator=generator) < 0.7
    index, near = nearest(xy_m, there, count)
    assert index.shape == near.shape == (2, nodes, min(count, nodes - 1))
    for world, node in product(range(2), range(nodes)):
        others = [other for other in range(nodes) if other != node and bool(there[world, other])]
        others.sort(key=lambda other: float((xy_m[world, other] - xy_m[world, node]).norm()))
        expected = others[:count] if there[world, node] else []
        assert index[world, node][near[world, node]].tolist() == expected


def test_edges_carry_relative_place_distance_and_velocity():
    xy_m, velocity_mps = torch.tensor([[[0.0, 0.0], [30.0, -40.0]]]), torch.tensor([[[20.0, 0.0], [15.0, 1.0]]])
    index, _ = nearest(xy_m, torch.ones(1, 2, dtype=torch.bool), 8)
    edges = edge_features(xy_m, velocity_mps, index)
    assert edges[0, 0, 0].tolist() == pytest.approx([1.5, -2.0, -0.5, 0.1, 2.5], abs=1e-5)
    assert edges[0, 1, 0].tolist() == pytest.approx([-1.5, 2.0, 0.5, -0.1, 2.5], abs=1e-5)


def test_peaks_are_places_that_no_neighbour_overtops():
    heat = torch.zeros(1, 1, 5, 6)
    heat[0, 0, 1, 1], heat[0, 0, 1, 2], heat[0, 0, 4, 5] = 3.0, 2.0, 1.0
    height, cell = peaks(heat, 2)
    assert height.tolist() == [[3.0, 1.0]] and cell.tolist() == [[1 * 6 + 1, 4 * 6 + 5]]
    slope = torch.arange(30.0).view(1, 1, 5, 6)
    assert torch.isfinite(peaks(slope, 3)[0]).tolist() == [[True, False, False]]


def test_equal_peaks_are_chosen_by_place_and_not_by_rounding():
    """Empty places are equally hot; what a rollout chose among them an update must choose again, in other company."""
    generator = torch.Generator().manual_seed(0)
    heat = torch.zeros(1, 1, 16, 32)
    heat[0, 0, 5, 7], heat[0, 0, 9, 20] = 0.5, 0.25
    _, cells = peaks(heat, 16)
    assert cells[0, :2].tolist() == [5 * 32 + 7, 9 * 32 + 20] and cells[0, 2:].tolist() == list(range(14))
    for _ in range(20):
        assert torch.equal(peaks(heat + 2e-6 * torch.rand(heat.shape, generator=generator), 16)[1], cells)
    heat.requires_grad_()
    peaks(heat, 2)[0].sum().backward()
    assert heat.grad[0, 0, 5, 7] == heat.grad[0, 0, 9, 20] == 1.0 and heat.grad.sum() == 2.0


def test_a_graph_changes_the_map_only_where_its_nodes_lie():
    fusion = spatial_fusion("graph", 3, SIZE)
    assert isinstance(fusion, GraphFusion)
    seen, look = random_seen(1), dict[str, torch.Tensor]()
    changed = (fusion(seen, look) != fusion.base(seen)).any(1)[0].flatten()
    cell, inside, _, _ = SIZE.grid.locate(look["nodes_xy_m"][0, :, 0], look["nodes_xy_m"][0, :, 1])
    expected = torch.zeros(60, dtype=torch.bool)
    expected[cell[inside & look["nodes_there"][0]]] = True
    assert torch.equal(changed, expected) and 1 < int(expected.sum()) <= 17


def test_radar_points_are_nodes_at_their_places_with_their_speed(micro_space, observe):
    extractor = make(micro_space, "graph", "none")
    observation = observe(2)
    observation["radar"][1, :, 3:, 0] = 0.0
    seen = extractor.see(observation).seen
    assert seen.points.there.sum(1).tolist() == [int(observation["radar"][0, ..., 0].sum()), int(observation["radar"][1, :, :3, 0].sum())]
    entry = int(observation["radar"][0, 0, :, 0].nonzero()[0])
    mask, reach, azimuth, elevation, doppler, _, _ = observation["radar"][0, 0, entry].tolist()
    flat = torch.tensor(elevation * torch.pi / 2).cos()
    direction = flat * torch.tensor([azimuth * torch.pi, azimuth * torch.pi - torch.pi / 2]).cos()
    radar = extractor.encoders["radar"]
    expected = reach * float(radar.scale[0, 0]) * direction + radar.pose[0, :2, 3]
    assert torch.allclose(seen.points.xy_m[0, entry], expected, atol=1e-3)
    along = 80.0 * doppler + float(seen.speed_mps[0]) * direction[0]
    assert torch.allclose(seen.points.velocity_mps[0, entry], along * direction, atol=1e-3)


def test_cell_centres_are_where_the_grid_finds_them():
    centre_m = cell_centres_m(SIZE.grid)
    cell, inside, off_x, off_y = SIZE.grid.locate(centre_m[:, 0], centre_m[:, 1])
    assert torch.equal(cell, torch.arange(60)) and bool(inside.all())
    assert float(off_x.abs().max()) < 1e-5 and float(off_y.abs().max()) < 1e-5


# The weighted sum


def test_a_sums_weights_add_up_and_a_dead_modality_has_its_own():
    fusion = spatial_fusion("sum", 3, SIZE)
    torch.nn.init.normal_(fusion.weight)
    look: dict[str, torch.Tensor] = {}
    seen = random_seen(2)
    seen.present[1, 2] = False
    fusion(seen, look)
    assert torch.allclose(look["share"].sum(1), torch.ones(2))
    expected = torch.stack((fusion.weight[1, 0], fusion.weight[1, 1], fusion.weight[0, 2])).softmax(0).mean(1)
    assert torch.allclose(look["share"][1], expected)
