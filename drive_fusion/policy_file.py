"""A policy alone in a checkpoint folder, without learner, optimiser and worlds: what `FusedPolicy.save` and `load` use.

SB3's policies are pickled, which runs what a file says; here nothing is unpickled and nothing imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from drive_fusion.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from drive_fusion.learner_state import first_names, folder_of
from drive_fusion.plain import PlainDataError, decode, encode
from sensors.device import device_named
from sensors.errors import ConfigError
from sensors.presets import RIGS
from sensors.rig import Rig

if TYPE_CHECKING:
    from drive_fusion.policy import FusedPolicy

Policy = TypeVar("Policy", bound="FusedPolicy")
MOST_NUMBERS, MOST_TENSORS = 1 << 24, 1000
"""What may be built whatever a file's weights are: what is no weight, a rollout's rewards for one, stays below."""


class NoLargerThan(TorchFunctionMode):
    """While a stored network is built: settings may not ask for tensors that the file's own weights could never fill."""

    def __init__(self, weights: Mapping[str, Tensor]):
        """Bound what is built by what is stored."""
        super().__init__()
        self.most = max(MOST_NUMBERS, sum(tensor.numel() for tensor in weights.values()))
        self.tensors = MOST_TENSORS + 8 * len(weights)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at the size before anything is allocated."""
        if func in (torch.empty, torch.zeros, torch.ones):
            size = args[0] if len(args) == 1 and isinstance(args[0], Sequence) else args
            numbers = math.prod(int(length) for length in size or (kwargs or {}).get("size", ()))
            self.tensors -= 1
            if numbers > self.most or self.tensors < 0:
                what = f"a tensor of {numbers} numbers, more" if numbers > self.most else "a network of more tensors"
                raise PlainDataError(f"its settings ask for {what} than its own weights could fill; the file is damaged")
        return func(*args, **(kwargs or {}))


def save_policy(policy: FusedPolicy, path: str | Path) -> None:
    """Write a policy into a folder, replacing one that is there in one step.

    Raises:
        CheckpointError: The folder cannot be written, or the policy was made of things that are not plain.
    """
    settings = {name: value for name, value in policy._get_constructor_parameters().items() if name != "lr_schedule"}
    data: dict[str, Tensor] = {}
    try:
        facts = {"policy": encode(settings, data, "policy")}
    except PlainDataError as error:
        raise CheckpointError(f"{path}: {error}") from error
    write_checkpoint(folder_of(path), {"weights": stored_weights(policy), "data": data}, facts)


def load_policy(kind: type[Policy], path: str | Path, device: torch.device | str) -> Policy:
    """Read what `save_policy` wrote; generators stay as they were.

    Raises:
        CheckpointError: The folder is damaged, or holds something else.
        ConfigError: The device is not there.
    """
    place, target = folder_of(path), device_named(device)
    tensors, facts = read_checkpoint(place)
    try:
        settings = decode(facts["policy"], tensors["data"])
        check_names(settings.get("features_extractor_kwargs"))
        with torch.random.fork_rng(), NoLargerThan(tensors["weights"]):
            policy = kind(lr_schedule=lambda _: 0.0, **settings)
        fill_weights(policy, tensors["weights"])
    except ConfigError:
        raise
    except Exception as error:  # whatever a crafted file makes SB3, gymnasium or torch say
        raise CheckpointError(f"{place} holds no policy that fits: {' '.join(str(error).split())}") from error
    return policy.to(target)


def stored_weights(policy: torch.nn.Module) -> dict[str, Tensor]:
    """A policy's tensors, each once and on the CPU."""
    own = policy.state_dict()
    return {name: own[name].cpu().contiguous() for name in set(first_names(own).values())}


def fill_weights(policy: torch.nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put `stored_weights` back, under every name that shares a tensor."""
    own = policy.state_dict()
    first = first_names(own)
    unlike = misfit({name: own[name] for name in set(first.values())}, weights)
    if unlike is not None:
        raise PlainDataError(unlike)
    policy.load_state_dict({name: weights[first[name]] for name in first})


def misfit(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """Why some weights are another network's, in one line; None where they fit."""
    unknown, missing = sorted(given.keys() - own.keys()), sorted(own.keys() - given.keys())
    unlike = sorted(name for name in own.keys() & given.keys() if own[name].shape != given[name].shape)
    if unlike:
        name = unlike[0]
        shapes = f"{tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
        return f"size mismatch: {len(unlike)} of its weights have other shapes, first {name!r} with {shapes}; it is another network's"
    if unknown:
        return f"{len(unknown)} of its {len(given)} weights have no place in this network, first {unknown[0]!r}; it is another network's"
    if missing:
        return f"{len(missing)} of this network's {len(own)} weights are missing in it, first {missing[0]!r}; it is another network's"
    return None


def check_names(eyes: Mapping[str, Any] | None) -> None:
    """Refuse a stored rig that is the name of a module: looking it up would import what the file says."""
    rig = (eyes or {}).get("rig")
    if not (rig is None or isinstance(rig, Rig) or rig in RIGS):
        raise PlainDataError(f"it names the rig {rig!r}, expected one of {', '.join(RIGS)} or a rig's own numbers; nothing was imported")
