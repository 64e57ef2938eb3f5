"""What a learner is besides its weights: counters, generators, and what each process's worlds and memory are at."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from stable_baselines3.common.vec_env import VecEnvWrapper, VecFrameStack, VecNormalize
from torch import Tensor

from drive_fusion.plain import decode, encode

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO

ARGUMENTS = (
    *("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf", "normalize_advantage"),
    *("ent_coef", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq", "rollout_buffer_class", "rollout_buffer_kwargs", "target_kl"),
    *("tensorboard_log", "policy_kwargs", "verbose", "critic_warmup_steps", "keep", "chunk", "burn_in", "bf16", "compiled"),
    *("auxiliary", "anchor_weight", "anchor_annealed"),
)
"""What the constructor takes and a checkpoint keeps."""
COUNTERS = (
    *("seed", "num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_episode_num", "_current_progress_remaining"),
    *("_n_updates", "_stats_window_size", "ep_info_buffer", "ep_success_buffer", "observation_space", "action_space", "n_envs"),
)


def folder_of(path: str | Path) -> Path:
    """Where a checkpoint lies: the path itself, less the ``.zip`` that SB3's callbacks add (unless such a file is there)."""
    place = Path(path)
    return place.with_suffix("") if place.suffix == ".zip" and not place.is_file() else place


def first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Under which name each entry's memory comes first: the actor's and the critic's eyes are the same tensors, stored once."""
    places: dict[int, str] = {}
    return {name: places.setdefault(tensor.data_ptr(), name) for name, tensor in state.items()}


def generators(device: torch.device) -> dict[str, Any]:
    """The state of every global generator, as plain data."""
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"torch": torch.get_rng_state(), "cuda": on_gpu, "numpy": np.random.get_state(), "python": random.getstate()}


def restore_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Put the global generators back to what `generators` gave."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


def tells_all(env: Any) -> bool:
    """Whether an environment's ``state`` is all of it: SB3's wrappers that remember something themselves pass on what is inside alone."""
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, (VecNormalize, VecFrameStack)) and "state" not in vars(type(env)):
            return False
        env = env.venv
    return True


def standing(learner: FusedPPO) -> dict[str, Any]:
    """Where this process's worlds and memory are; nothing between two rollouts alone, or before the first reset."""
    begun = learner.env is not None and learner._last_obs is not None and learner.settled and tells_all(learner.env)
    state = getattr(learner.env, "state", None) if begun else None
    return {
        "environment": state() if callable(state) else None,
        "last_observation": learner._last_obs if begun else None,
        "last_episode_starts": learner._last_episode_starts if begun else None,
        "memory": learner.memory if begun and learner.memory else None,
        "anchor_memory": learner.anchor.memory if begun and learner.anchor is not None else None,
    }


def standing_of_all(learner: FusedPPO) -> list[dict[str, Any]]:
    """`standing` of every process, in order of their ranks; every process must ask."""
    own = standing(learner)
    if learner.group.size == 1:
        return [own]
    tensors: dict[str, Tensor] = {}
    facts = json.dumps(encode(own, tensors, "standing")).encode()
    data = len(facts).to_bytes(8, "little") + facts + safetensors.torch.save(tensors)
    return [_opened(part) for part in learner.group.gathered(data)]


def _opened(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    found: dict[str, Any] = decode(json.loads(data[8 : 8 + length]), safetensors.torch.load(data[8 + length :]))
    return found
