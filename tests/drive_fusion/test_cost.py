"""Sizes: parameters and multiplications, beside the figures of the prototype that the sizes were drawn up with."""

from __future__ import annotations

import pytest
import torch

from drive_fusion.bench.network import NetworkBench, bench_network
from drive_fusion.cost import cost, parameters, some_observation
from drive_fusion.extractor import FusedExtractor
from drive_fusion.sizes import SIZES, ModelSize
from envs.observation import observation_space
from sensors.errors import ConfigError
from sensors.presets import RIGS

PROTOTYPE = {  # parameters [M] and GFLOP a frame, concat and hybrid
    "micro": ((0.10, 0.011), (0.12, 0.015)),
    "nano": ((0.40, 0.20), (0.48, 0.27)),
    "base": ((4.7, 13.5), (5.6, 16.4)),
    "large": ((27.0, 299.0), (30.0, 335.0)),
}


@pytest.mark.parametrize("size", ["micro", "nano", "base", pytest.param("large", marks=pytest.mark.slow)])
def test_a_size_costs_what_the_prototype_did(size):
    """Parameters within a quarter; multiplications within a quarter too, except micro's, which are less than half by design."""
    plain, hybrid = cost(size), cost(size, "hybrid", "conv_gru")
    for found, (million, gigaflop) in zip((plain, hybrid), PROTOTYPE[size], strict=True):
        assert 0.75 < found.parameters / (1e6 * million) < 1.25
        assert (0.3 if size == "micro" else 0.75) < found.flops / (1e9 * gigaflop) < (0.5 if size == "micro" else 1.25)
    assert plain.parameters < hybrid.parameters and plain.flops < hybrid.flops
    assert str(plain).startswith(f"{plain.parameters / 1e6:.3g} M parameters")


def test_flops_are_those_of_a_layer_counted_by_hand():
    """What ``cost`` counts with gives two for each multiplication and addition."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        torch.nn.Conv2d(8, 16, 3, padding=1, bias=False)(torch.zeros(1, 8, 10, 12))
    assert counter.get_total_flops() == 2 * 16 * 8 * 9 * 10 * 12


def test_the_largest_size_can_be_built():
    """And has the parameters of the prototype's, 27 to 30 million, within a quarter; a frame through it is for the slow tests."""
    extractor = FusedExtractor(observation_space(RIGS["large"], 5), "large", "hybrid", "large", "conv_gru")
    assert 0.75 * 30e6 < parameters(extractor) < 1.25 * 30e6


@pytest.mark.parametrize(
    ("size", "temporal"), [("nano", "conv_gru"), ("nano", "transformer"), pytest.param("base", "stack", marks=pytest.mark.slow)]
)
def test_other_sizes_learn_with_every_parameter(size, temporal):
    torch.manual_seed(0)
    space = observation_space(RIGS[size], 5)
    extractor = FusedExtractor(space, size, "hybrid", size, temporal)
    observation = {name: value[None] for name, value in some_observation(space, 2).items()}
    observation["alive"][0, 0] = 0.0
    for _ in range(2):
        for parameter in extractor.parameters():
            if parameter.grad is not None:
                parameter.data -= 1e-3 * parameter.grad.sign()
                parameter.grad = None
        features, state = extractor.unroll(observation, extractor.initial_state(2), torch.zeros(1, 2))
        features, _ = extractor.unroll(observation, state, torch.zeros(1, 2))
        (features * torch.randn(features.shape)).sum().backward()
    assert features.shape == (1, 2, extractor.features_dim)
    assert {name: tuple(value.shape[1:]) for name, value in state.items()} == extractor.state_shapes
    assert not [name for name, value in extractor.named_parameters() if value.grad is None or not torch.isfinite(value.grad).all()]


def test_a_sizes_numbers_must_fit_together():
    with pytest.raises(ConfigError, match="2 camera_channels and 1 camera_strides"):
        ModelSize(camera_strides=(4,))
    with pytest.raises(ConfigError, match="width is 9, expected a multiple of heads 2"):
        ModelSize(width=9)
    assert all(max(size.feature_grid.cell_m[1], size.grid.cell_m[1]) <= 2.0 for size in SIZES.values())


def test_the_network_bench_tells_every_figure_of_what_was_asked():
    config = NetworkBench(spatial=("concat", "sum"), temporal=("none", "gru"), batch=4, unroll=2, repeats=1)
    figures = bench_network(config)
    names = {f"{spatial}.{temporal}" for spatial in ("concat", "sum") for temporal in ("none", "gru")}
    metrics = ("parameters", "gflop", "forward_ms", "forward_and_backward_ms")
    assert figures.keys() == {f"{name}.{metric}" for name in names for metric in metrics}
    assert figures["concat.none.parameters"] == cost("micro").parameters
    assert all(figures[f"{name}.forward_and_backward_ms"] > figures[f"{name}.forward_ms"] > 0.0 for name in names)
    with pytest.raises(ConfigError, match="unroll is 3, expected a divisor of batch 4"):
        NetworkBench(batch=4, unroll=3)
    with pytest.raises(ConfigError, match="did you mean 'graph'"):
        bench_network(NetworkBench(spatial=("grph",), batch=8))
