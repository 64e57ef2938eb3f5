"""A model card: what a checkpoint is, what it was trained on and what it is not for, in Markdown (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from drive_fusion.checkpoint import CheckpointError, write_atomically
from drive_fusion.extractor import FusedExtractor
from drive_fusion.sizes import SIZES
from sensors.presets import rig_named

if TYPE_CHECKING:
    from drive_fusion.ppo import FusedPPO

NAME = "card.md"
LIMITS = (
    "It drives simulated cars, in worlds like the ones it was trained in. It has never seen a real sensor, and must not steer a real car.",
    "Its crash rate is not in this card: measure it on seeds that training never saw, with `drive-fusion evaluate`.",
)


def write_card(folder: Path, model: FusedPPO) -> None:
    """Put a card beside a checkpoint's files, in one step.

    Raises:
        CheckpointError: It cannot be written.
    """
    try:
        write_atomically(folder / NAME, card_of(model).encode())
    except OSError as error:
        raise CheckpointError(f"{folder / NAME}: cannot write the model card ({error}); the checkpoint beside it is whole") from error


def card_of(model: FusedPPO) -> str:
    """The card of a learner as it stands."""
    sections = (("Network", _network(model)), ("Training", _training(model)), ("Made with", _versions()))
    parts = [f"# {_title(model)}", *(f"## {title}\n\n{_table(rows)}" for title, rows in sections)]
    parts.append("## Limits\n\n" + "\n".join(f"- {limit}" for limit in LIMITS))
    return "\n\n".join(parts) + "\n"


def _eyes(model: FusedPPO) -> FusedExtractor | None:
    eyes = model.policy.features_extractor
    return eyes if isinstance(eyes, FusedExtractor) else None


def _title(model: FusedPPO) -> str:
    eyes = _eyes(model)
    if eyes is None:
        return "A driver without sensors"
    return f"A fused driver: {eyes.spatial} in space, {eyes.temporal} in time"


def _network(model: FusedPPO) -> dict[str, Any]:
    eyes = _eyes(model)
    weights = list(model.policy.parameters())
    rows: dict[str, Any] = {"parameters": f"{sum(weight.numel() for weight in weights):,}"}
    if eyes is not None:
        arguments = model.policy_kwargs["features_extractor_kwargs"]
        rig = rig_named(arguments["rig"])
        size = next((name for name, size in SIZES.items() if size == eyes.size), "of its own")
        kinds = (("camera", rig.cameras), ("lidar", rig.lidars), ("radar", rig.radars))
        senses = ", ".join(f"{len(sensors)} {name}{'s' if len(sensors) > 1 else ''}" for name, sensors in kinds if sensors) or "none"
        rows |= {"size": size, "spatial fusion": eyes.spatial, "memory": eyes.temporal, "rig": rig.name, "sensors": senses}
        rows["parameters of the eyes"] = f"{sum(weight.numel() for weight in eyes.parameters()):,}"
        rows["modality dropout"] = eyes.dropout.rate
    return rows | {"actions": model.action_space}


def _training(model: FusedPPO) -> dict[str, Any]:
    rows: dict[str, Any] = {"algorithm": type(model).__name__, "environment steps": f"{model.num_timesteps:,}", "seed": model.seed}
    for layer in _layers(model.env):
        world = getattr(layer, "world", None)
        if world is not None and hasattr(world, "id"):
            rows["world"] = f"{world.id}, {layer.num_envs} at once"
        if hasattr(layer, "penalty"):
            rows["reward"] = f"the world's own, less {layer.penalty:g} for a crash"
        about = getattr(getattr(layer, "model", None), "about", None)
        if about is not None:
            rows["reward"] = "learned from people; " + ", ".join(f"{name} {value}" for name, value in about.items())
    if "world" in rows:
        rows.setdefault("reward", "the world's own")
    for name in ("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef", "target_kl"):
        rows[name] = getattr(model, name)
    return rows


def _layers(env: Any) -> Iterator[Any]:
    """An environment and what it wraps, innermost last."""
    while env is not None:
        yield env
        env = vars(env).get("venv")


def _versions() -> dict[str, Any]:
    from drive_fusion import __version__

    return {"drive-fusion": __version__, "torch": torch.__version__}


def _table(rows: dict[str, Any]) -> str:
    cells = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows.items() if value is not None]
    return "\n".join(["| | |", "|---|---|", *cells])
