"""PCG64 in numba against NumPy's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.seeds import following_seed as following_seed_of
from envs.traffic.generator import draw_choice, draw_uniform, following_seed, next_uint32, next_uint64, seed_generator
from envs.traffic.layout import EPISODE


def seeded(seed: int) -> np.record:
    episode = np.zeros(1, EPISODE)
    seed_generator(episode[0], seed)
    return episode[0]


def reference(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_seeding_gives_numpys_state(seed: int) -> None:
    episode, state = seeded(seed), reference(seed).bit_generator.state["state"]
    assert (int(episode["state_high"]) << 64) + int(episode["state_low"]) == state["state"]
    assert (int(episode["increment_high"]) << 64) + int(episode["increment_low"]) == state["inc"]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**62 + 3])
def test_mixed_draws_equal_numpys(seed: int) -> None:
    episode, numpys = seeded(seed), reference(seed)
    for count in (4, 1, 3, 7, 1000, 2**31 + 11):
        for _ in range(20):
            assert draw_choice(episode, count) == numpys.choice(count)
        assert draw_uniform(episode, 3.5, 4.5) == numpys.uniform(3.5, 4.5)
    assert bool(episode["has_buffered"]) == bool(numpys.bit_generator.state["has_uint32"])


def test_the_half_draw_waits_while_whole_draws_pass() -> None:
    episode, numpys = seeded(5), reference(5)
    assert next_uint32(episode) == numpys.integers(2**32, dtype=np.uint32)
    assert next_uint64(episode) == numpys.bit_generator.random_raw()
    assert next_uint32(episode) == numpys.integers(2**32, dtype=np.uint32)


def test_following_seed_is_the_one_that_all_worlds_use() -> None:
    seeds = torch.tensor([0, 1, 5, 2**31, 2**62 + 9])
    assert [following_seed(int(seed)) for seed in seeds] == following_seed_of(seeds).tolist()
