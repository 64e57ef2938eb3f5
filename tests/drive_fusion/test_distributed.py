"""Several processes as one learner: two over gloo equal one, a killed one resumes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from drive_fusion.distributed import Group
from drive_fusion.ppo import FusedPPO
from drive_fusion.training import TrainConfig, train
from envs.sb3 import make_sb3_vec
from sensors.errors import ConfigError

STEPS, WORLDS = 8, 4
SEES = ["--rig", "micro", "--temporal", "gru"]
BLIND = ["--rig", "none"]


def command(folder: Path, rank: int | None, port: int, options: list[str], steps: int) -> tuple[list[str], dict[str, str]]:
    """A training run, alone or as one of two processes as torchrun would start it."""
    counts = ["--num-envs", str(WORLDS), "--n-steps", str(STEPS), "--batch", "16", "--epochs", "2", "--steps", str(steps)]
    arguments = [
        "train",
        "--study",
        str(folder),
        *counts,
        "--device",
        "cpu",
        "--threads",
        "1",
        "--seed",
        "5",
        "--save-every",
        "32",
        *options,
    ]
    own = {} if rank is None else {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} if rank is not None else {}
    return [sys.executable, "-m", "drive_fusion", *arguments], {**os.environ, **own}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(folder: Path, processes: int, options: list[str], steps: int) -> list[subprocess.Popen[str]]:
    port, ranks = free_port(), [None] if processes == 1 else list(range(processes))
    started = []
    for rank in ranks:
        arguments, environment = command(folder, rank, port, options, steps)
        started.append(subprocess.Popen(arguments, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    return started


def finish(processes: list[subprocess.Popen[str]], timeout_s: float = 240.0) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=timeout_s)
        assert process.returncode == 0, errors[-3000:]


def weights(folder: Path) -> torch.Tensor:
    model = FusedPPO.load(folder / "runs" / "ppo" / "checkpoints" / "last", device="cpu")
    return torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


def test_worlds_that_processes_share_have_the_episodes_of_one():
    whole = make_sb3_vec("highway-fast-v0", 6, seed=4)
    parts = [make_sb3_vec("highway-fast-v0", 2, seed=4, part=(number, 3)) for number in range(3)]
    for _ in range(3):
        whole.reset()
        for part in parts:
            part.reset()
        assert torch.equal(whole.scene.episode_seed, torch.cat([part.scene.episode_seed for part in parts]))
    given = [make_sb3_vec("highway-fast-v0", 2, seeds=range(100, 105), part=(number, 2)) for number in range(2)]
    seen = [tuple(torch.cat([(part.reset(), part.scene.episode_seed)[1] for part in given]).tolist()) for _ in range(2)]
    assert seen == [(100, 101, 102, 103), (104, 100, 101, 102)]
    with pytest.raises(ConfigError, match=r"part is \(2, 2\)"):
        make_sb3_vec("highway-fast-v0", 2, part=(2, 2))


def test_alone_nothing_is_exchanged():
    group = Group.current()
    assert group == Group(0, 1) and group.first and group.any(True) and not group.any(False)
    assert group.gathered(b"x") == [b"x"] and group.own(3) == slice(0, 3) and Group(1, 2).own(3) == slice(3, 6)


@pytest.mark.parametrize("options", [pytest.param(BLIND, marks=pytest.mark.slow), SEES], ids=["blind", "sees"])
def test_two_processes_learn_what_one_learns(tmp_path, options):
    finish(start(tmp_path / "one", 1, options, 96))
    finish(start(tmp_path / "two", 2, options, 96))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    fresh = weights_before(tmp_path / "fresh", options)
    assert (one - two).abs().max() < 0.02 * (one - fresh).abs().max()


def weights_before(folder: Path, options: list[str]) -> torch.Tensor:
    from drive_fusion.training import learner

    sees = options == SEES
    config = TrainConfig(
        study=folder,
        rig="micro" if sees else "none",
        temporal="gru" if sees else "none",
        num_envs=WORLDS,
        n_steps=STEPS,
        batch=16,
        device="cpu",
        seed=5,
    )
    return torch.nn.utils.parameters_to_vector(learner(config).policy.parameters()).detach()


@pytest.mark.slow
def test_a_killed_process_resumes_to_what_was_never_killed(tmp_path):
    straight = start(tmp_path / "straight", 2, SEES, 160)
    finish(straight)
    killed = start(tmp_path / "killed", 2, SEES, 100_000)
    manifest = tmp_path / "killed" / "runs" / "ppo" / "checkpoints" / "last" / "manifest.json"
    until = time.monotonic() + 120.0
    while not manifest.exists() and time.monotonic() < until:
        time.sleep(0.2)
    killed[1].send_signal(signal.SIGKILL)
    _, errors = killed[0].communicate(timeout=120)
    killed[1].communicate()
    assert killed[0].returncode != 0, errors
    facts = json.loads((manifest.parent / json.loads(manifest.read_text())["files"]["facts.json"]["file"]).read_text())
    done = facts["counters"]["num_timesteps"]
    assert done >= 32 and len(facts["others"]) == 1
    steps = max(160, done + 32)
    finish(start(tmp_path / "killed", 2, [*SEES, "--resume"], steps))
    if steps > 160:
        finish(start(tmp_path / "straight", 2, [*SEES, "--resume"], steps))
    assert torch.equal(weights(tmp_path / "straight"), weights(tmp_path / "killed"))


def test_worlds_that_cannot_be_shared_evenly_are_refused(tmp_path, monkeypatch):
    from drive_fusion import distributed

    monkeypatch.setattr(distributed, "join", lambda device: Group(0, 3))
    with pytest.raises(ConfigError, match="3 processes cannot share num_envs 4 evenly"):
        train(TrainConfig(study=tmp_path, rig="none", num_envs=4, n_steps=8, batch=16, device="cpu"))


class Half(Group):
    """The second of two processes whose first is only thought of."""

    def of_first(self, numbers: torch.Tensor) -> torch.Tensor:
        return numbers


def test_exploration_by_state_is_drawn_for_the_worlds_of_all_processes(monkeypatch):
    """Else each process would draw one direction for all its worlds, where a single one draws a direction for each."""
    drawn = []
    for group in (Group(), Half(1, 2)):
        monkeypatch.setattr(FusedPPO, "group", group)
        worlds = make_vec_env("Pendulum-v1", 4 // group.size)
        model = FusedPPO("MlpPolicy", worlds, n_steps=4, batch_size=8, use_sde=True, seed=0, device="cpu", policy_kwargs={"net_arch": [8]})
        model.train = lambda: None
        torch.manual_seed(3)
        model.collect_rollouts(*ready(model), 4)
        drawn.append(model.policy.action_dist.exploration_matrices)
    assert drawn[0].shape == drawn[1].shape == (4, 8, 1)


def ready(model: FusedPPO) -> tuple:
    """What ``collect_rollouts`` takes."""
    _, callback = model._setup_learn(16, None)
    return model.env, callback, model.rollout_buffer
