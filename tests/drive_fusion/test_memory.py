"""Memory: unrolled stretches equal their steps, episodes do not leak, chunks learn what the whole learns, dropout repeats itself."""

from __future__ import annotations

import math

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from drive_fusion.bev import BevGrid, cell_centres_m
from drive_fusion.dropout import ModalityDropout
from drive_fusion.extractor import FusedExtractor
from drive_fusion.memory import Temporal
from drive_fusion.memory.conv_gru import ConvGruMemory
from drive_fusion.memory.gru import GruMemory
from drive_fusion.memory.stack import StackMemory
from drive_fusion.memory.transformer import TransformerMemory
from drive_fusion.memory.warp import moved, warp
from sensors.errors import ConfigError
from sensors.rig import Rig

KINDS: tuple[Temporal, ...] = ("none", "stack", "gru", "conv_gru", "transformer")
REMEMBERING = KINDS[1:]
STEPS, WORLDS = 5, 3


@pytest.fixture
def stretch(observe):
    """T instants of B worlds; some sensors die; an episode begins in the middle."""
    observations = {name: value.unflatten(0, (STEPS, WORLDS)) for name, value in observe(STEPS * WORLDS).items()}
    observations["alive"][2:4, 1, 0:3] = 0.0
    starts = torch.zeros(STEPS, WORLDS)
    starts[0, 0] = starts[3, 2] = 1.0
    return observations, starts


def make(space, temporal, **arguments) -> FusedExtractor:
    torch.manual_seed(0)
    return FusedExtractor(space, "micro", temporal=temporal, **arguments)


def some_state(extractor, worlds=WORLDS):
    """What a network remembers after some random instants."""
    return {name: torch.randn_like(value) for name, value in extractor.initial_state(worlds).items()}


def stepwise(extractor, observations, state, starts):
    found = []
    for step in range(len(starts)):
        features, state = extractor.advance({name: value[step] for name, value in observations.items()}, state, starts[step])
        found.append(features)
    return torch.stack(found), state


@pytest.mark.parametrize("temporal", KINDS)
def test_a_state_has_the_promised_shapes(micro_space, temporal):
    extractor = make(micro_space, temporal)
    state = extractor.initial_state(4)
    assert {name: tuple(value.shape) for name, value in state.items()} == {n: (4, *s) for n, s in extractor.state_shapes.items()}
    assert all(value.dtype == torch.float32 for value in state.values())
    assert bool(state) == (temporal != "none")


@pytest.mark.parametrize("temporal", KINDS)
def test_an_unrolled_stretch_equals_its_steps(micro_space, stretch, temporal):
    extractor = make(micro_space, temporal).double()
    observations, starts = {name: value.double() for name, value in stretch[0].items()}, stretch[1]
    state = {name: value.double() for name, value in some_state(extractor).items()}
    features, after = extractor.unroll(observations, state, starts)
    expected, expected_after = stepwise(extractor, observations, state, starts)
    assert features.shape == (STEPS, WORLDS, extractor.features_dim)
    assert torch.allclose(features, expected, atol=1e-5)
    assert after.keys() == expected_after.keys() == extractor.state_shapes.keys()
    assert all(torch.allclose(after[name].double(), expected_after[name].double(), atol=1e-5) for name in after)


@pytest.mark.parametrize("temporal", KINDS)
def test_bytes_and_floats_are_the_same_picture(micro_space, observe, temporal):
    extractor = make(micro_space, temporal)
    observation = observe(2)
    assert torch.equal(extractor(observation), extractor({**observation, "camera": observation["camera"].to(torch.uint8)}))


@pytest.mark.parametrize("temporal", REMEMBERING)
def test_the_past_counts_within_an_episode_and_not_beyond(micro_space, stretch, temporal):
    extractor = make(micro_space, temporal)
    observations, starts = stretch
    features, _ = extractor.unroll(observations, extractor.initial_state(WORLDS), starts)
    changed = {name: value.clone() for name, value in observations.items()}
    changed["ego"][0] = -changed["ego"][0]
    changed["camera"][0] = 255.0 - changed["camera"][0]
    other, _ = extractor.unroll(changed, extractor.initial_state(WORLDS), starts)
    assert not torch.equal(features[1, 0], other[1, 0])
    assert torch.equal(features[3:, 2], other[3:, 2])  # a new episode began at step 3 in world 2
    assert not torch.equal(features[3, 0], other[3, 0])


@pytest.mark.parametrize("temporal", KINDS)
def test_one_instant_is_the_first_of_an_episode(micro_space, stretch, temporal):
    extractor = make(micro_space, temporal).eval()
    observation = {name: value[0] for name, value in stretch[0].items()}
    features, _ = extractor.advance(observation, some_state(extractor), torch.ones(WORLDS))
    assert torch.equal(features, extractor(observation))


@pytest.mark.parametrize("temporal", REMEMBERING)
def test_chunks_learn_what_the_whole_learns_where_the_state_joins_them(micro_space, stretch, temporal):
    """Two chunks with gradients through the state give full back-propagation's gradient; detached, they give less."""
    extractor = make(micro_space, temporal)
    observations, starts = stretch
    wanted = torch.randn(STEPS, WORLDS, extractor.features_dim)

    def gradients(cut: int | None, detach: bool = False):
        extractor.zero_grad()
        state, loss = extractor.initial_state(WORLDS), torch.zeros(())
        for rows in [slice(None)] if cut is None else [slice(0, cut), slice(cut, None)]:
            state = {name: value.detach() if detach else value for name, value in state.items()}
            features, state = extractor.unroll({name: value[rows] for name, value in observations.items()}, state, starts[rows])
            loss = loss + (features * wanted[rows]).sum()
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in extractor.parameters() if parameter.grad is not None])

    whole = gradients(None)
    assert float((gradients(2) - whole).norm() / whole.norm()) < 1e-4
    assert float((gradients(2, detach=True) - whole).norm() / whole.norm()) > 1e-3


def test_the_gru_is_torchs_own():
    memory = GruMemory(6, 4)
    reference = torch.nn.GRU(6, 4)
    reference.load_state_dict({f"{name}_l0": value for name, value in memory.cell.state_dict().items()})
    seen, hidden = torch.randn(7, 3, 6), torch.randn(3, 4)
    found, after = memory(seen, {"hidden": hidden}, torch.zeros(7, 3, dtype=torch.bool), torch.zeros(7, 3, 2))
    expected, last = reference(seen, hidden[None])
    assert torch.allclose(found[..., 6:], expected, atol=1e-6) and torch.equal(found[..., :6], seen)
    assert torch.allclose(after["hidden"], last[0], atol=1e-6)


@pytest.mark.parametrize("temporal", KINDS)
def test_dropout_draws_the_same_for_whoever_unrolls_again(micro_space, stretch, temporal):
    extractor = make(micro_space, temporal, modality_dropout=0.6).train()
    observations, starts = stretch
    torch.manual_seed(1)
    state = extractor.initial_state(WORLDS, drop=True)
    features, after = extractor.unroll(observations, state, starts)
    again, _ = stepwise(extractor, observations, state, starts)
    assert torch.allclose(features, again, atol=1e-5)
    torch.manual_seed(1)
    assert torch.equal(extractor.initial_state(WORLDS, drop=True)["silence"], state["silence"])
    torch.manual_seed(2)
    assert not torch.equal(extractor.initial_state(WORLDS, drop=True)["silence"], state["silence"])
    assert not torch.equal(features[0, 0], extractor.unroll(observations, extractor.initial_state(WORLDS), starts)[0][0, 0])


def test_dropout_holds_through_a_segment_and_follows_its_rate():
    dropout = ModalityDropout(3, 0.5)
    starts = torch.zeros(60, 500, dtype=torch.bool)
    starts[0] = starts[30] = True
    heard, _ = dropout.unroll(dropout.initial(500, torch.device("cpu"), drop=True)["silence"], starts)
    assert heard.any(-1).all()  # somebody is always heard
    assert 0.40 < float((~heard).float().mean()) < 0.50  # a half, less the eighth of cases in which one of three is spared: 0.458
    changed = (heard[1:] != heard[:-1]).any(-1).float()
    assert 0.0 < float(changed[:29].mean()) < 0.05 < 0.5 < float(changed[29].mean())
    quiet, _ = dropout.unroll(dropout.initial(500, torch.device("cpu"), drop=False)["silence"], starts)
    assert quiet.all()


def test_dropout_is_silence_exactly(micro_space, observe):
    extractor = make(micro_space, "none", modality_dropout=1.0).train()
    observation = observe(8)
    state = extractor.initial_state(8, drop=True)
    features, after = extractor.advance(observation, state, torch.ones(8))
    silent = after["silence"][:, 2:] > 0.5
    assert (silent.sum(1) == 2).all()
    dead = {**observation, "alive": (~silent).repeat_interleave(torch.tensor([3, 1, 1]), 1).float()}
    expected, _ = extractor.advance(dead, extractor.initial_state(8), torch.ones(8))
    assert torch.equal(features, expected)


def test_what_makes_no_sense_is_refused(micro_space):
    with pytest.raises(ConfigError, match="did you mean 'gru'"):
        FusedExtractor(micro_space, "micro", temporal="gruu")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="modality_dropout is 1.5"):
        FusedExtractor(micro_space, "micro", modality_dropout=1.5)
    with pytest.raises(ConfigError, match="decision_s is -1.0"):
        FusedExtractor(micro_space, "micro", decision_s=-1.0)


@pytest.mark.parametrize("turn", [0.0, 0.3, -0.7, 0.5 * math.pi])
def test_a_warped_map_is_an_analytic_function_shifted_and_turned(turn):
    """The car goes on, then turns; a smooth bump that stands still on the ground appears where it then lies."""
    grid = BevGrid(x_cells=64, y_cells=64)
    centre_m = cell_centres_m(grid)

    def bump(x_m, y_m):
        return torch.exp(-((centre_m[:, 0] - x_m) ** 2 + (centre_m[:, 1] - y_m) ** 2) / (2 * 8.0**2)).view(1, 1, 64, 64)

    ahead_m = torch.tensor([[10.0, 4.0]])
    x, y = 20.0 - 10.0, 9.0 - 4.0
    expected = bump(math.cos(turn) * x + math.sin(turn) * y, math.cos(turn) * y - math.sin(turn) * x)
    found = warp(bump(20.0, 9.0), ahead_m, torch.tensor([turn]), grid)
    strong = expected > 0.5
    assert strong.sum() > 50
    assert float((found - expected)[strong].abs().max()) < 0.01
    assert not (found > 0.5)[~strong & (expected < 0.45)].any()


def test_a_warp_by_whole_cells_is_a_shift_and_nothing_moves_nothing():
    grid = BevGrid()
    old = torch.randn(2, 3, 16, 32)
    nowhere = torch.zeros(2, 2), torch.zeros(2)
    assert torch.allclose(warp(old, *nowhere, grid), old, atol=1e-5)
    found = warp(old, torch.tensor([[6.4, 3.2], [-12.8, 0.0]]), torch.zeros(2), grid)
    assert torch.allclose(found[0, :, :-1, :-2], old[0, :, 1:, 2:], atol=1e-4)
    assert torch.allclose(found[1, :, 2:], old[1, :, :-2], atol=1e-4)
    assert torch.allclose(found[0, :, -1], torch.zeros(3, 32), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(speed=st.floats(-10.0, 40.0), rate=st.floats(-1.0, 1.0))
def test_a_constant_motion_is_an_arc(speed, rate):
    motion = torch.tensor([[speed, rate]], dtype=torch.float64)
    displacement_m, turn_rad = moved(motion, motion, 0.5)
    x = y = heading = 0.0
    for _ in range(2000):  # midpoint steps
        heading += rate * 0.5 / 4000
        x, y = x + speed * 0.5 / 2000 * math.cos(heading), y + speed * 0.5 / 2000 * math.sin(heading)
        heading += rate * 0.5 / 4000
    assert displacement_m[0].tolist() == pytest.approx([x, y], abs=1e-5)
    assert float(turn_rad) == pytest.approx(rate * 0.5, abs=1e-12)


def test_a_conv_gru_carries_a_landmark_along(micro_space):
    """What it remembers of a still object stays at the object's place while the car drives past it; without a warp it drives along."""
    memory = ConvGruMemory(4, BevGrid(), 1.0)
    for part in memory.parameters():
        torch.nn.init.zeros_(part)
    with torch.no_grad():
        memory.fresh.bias[4:8] = 20.0  # the update gate is shut: the map is kept as it is
    hidden = torch.zeros(1, 4, 16, 32)
    hidden[0, :, 8, 16] = 1.0
    motion = torch.tensor([[12.8, 0.0]])
    seen, starts = torch.zeros(2, 1, 4, 16, 32), torch.zeros(2, 1, dtype=torch.bool)
    found, after = memory(seen, {"map": hidden, "motion": motion}, starts, motion.expand(2, 1, 2))
    assert (found[1, 0, 0] > 0.99).nonzero().tolist() == [[4, 16]]
    assert torch.equal(after["motion"], motion)
    memory.share = None  # as it is built for a decision_s of 0
    still, _ = memory(seen, {"map": hidden, "motion": motion}, starts, motion.expand(2, 1, 2))
    assert (still[1, 0, 0] > 0.99).nonzero().tolist() == [[8, 16]]


def test_a_conv_gru_learns_which_yaw_rate_was_driven():
    """Steering jumps at decisions and is held between them; what is seen again where it belongs teaches the share of the second rate."""
    grid = BevGrid(x_cells=64, y_cells=64)
    memory = ConvGruMemory(4, grid, 1.0)
    old = torch.exp(-((cell_centres_m(grid) - torch.tensor([25.0, 3.0])) ** 2).sum(1) / 50.0).view(1, 1, 64, 64)
    before, now = torch.tensor([[5.0, -0.2]]), torch.tensor([[5.0, 0.3]])
    wanted = warp(old, *moved(now, now, 1.0), grid)
    optimiser = torch.optim.Adam([memory.share], lr=0.2)
    for _ in range(40):
        loss = (memory._here(old, before, now) - wanted).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(memory.share.detach().sigmoid()) > 0.9


def test_attention_over_the_past_is_a_loop_over_windows():
    memory = TransformerMemory(6, 8, heads=2, layers=2)
    seen = torch.randn(12, 2, 6)
    starts = torch.zeros(12, 2, dtype=torch.bool)
    starts[0] = starts[5, 1] = True
    found, after = memory(seen, {"tokens": torch.zeros(2, 7, 8), "known": torch.zeros(2, 7)}, starts, torch.zeros(12, 2, 2))
    for world, begin in ((0, 0), (1, 5)):
        first = max(begin, 11 - 7)
        window = memory.token(seen[first:, world])[None] + memory.lag[8 - (12 - first) :]
        everything = torch.ones(1, 12 - first, dtype=torch.bool)
        for layer in memory.layers:
            window = layer(window, everything, only_last=False)
        assert torch.allclose(found[11, world, 6:], memory.after(window[0, -1]), atol=1e-5)
    assert after["known"].tolist() == [[1.0] * 7, [1.0] * 7]


def test_a_stack_holds_the_last_four_frames():
    memory = StackMemory(4, (2, 3))
    seen = torch.randn(6, 1, 4, 2, 3)
    starts = torch.zeros(6, 1, dtype=torch.bool)
    starts[0] = starts[4] = True
    looked = []
    memory.mix.register_forward_pre_hook(lambda _, inputs: looked.append(inputs[0]))
    _, after = memory(seen, {"frames": torch.randn(1, 3, 4, 2, 3)}, starts, torch.zeros(6, 1, 2))
    stacked = looked[0].unflatten(1, (4, 4))
    assert torch.equal(stacked[3], seen[:4, 0])
    assert torch.equal(stacked[5], torch.cat((torch.zeros(2, 4, 2, 3), seen[4:, 0])))
    assert torch.equal(after["frames"][0], torch.cat((torch.zeros(1, 4, 2, 3), seen[4:, 0])))


def test_a_blind_rig_has_no_map_to_remember(micro_space):
    blind, space = Rig("blind"), spaces.Dict({"ego": micro_space["ego"]})
    with pytest.raises(ConfigError, match="'conv_gru' remembers a map, but rig 'blind' sees nothing"):
        FusedExtractor(space, blind, temporal="conv_gru")
    extractor = FusedExtractor(space, blind, temporal="transformer")
    assert extractor({"ego": torch.zeros(2, 9)}).shape == (2, 32 + 64)
