"""Explanations as pictures: what the camera saw, what each map holds, where attention went, and how much each sense counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from drive_fusion.bev import BevGrid
from drive_fusion.explain.attribution import Explanation, explain, eyes_of, states_along
from sensors.errors import ConfigError
from sensors.rig import Rig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from stable_baselines3.common.policies import ActorCriticPolicy

    from envs.recording import Recording

Floats = NDArray[np.float32]


def explain_recording(policy: ActorCriticPolicy, recording: Recording, rig: Rig, folder: Path) -> list[Path]:
    """Explain every decision of an episode, as a picture each and one ``explain.json``.

    Args:
        policy: Who drove.
        recording: Its episode; the frames are rendered again.
        rig: What it saw with.
        folder: Where pictures go; made if absent.

    Returns:
        The pictures, in order.

    Raises:
        ConfigError: The policy has no sensors.
    """
    from drive_fusion.cloning import demonstrations

    eyes = eyes_of(policy)
    policy.set_training_mode(False)
    seen = {name: value.to(policy.device) for name, value in demonstrations([recording], rig).observations.items()}
    count = len(seen["ego"])
    starts = torch.arange(count, device=policy.device) == 0
    found = explain(policy, seen, states_along(eyes, seen), starts)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number in range(count):
        camera = seen["camera"][number].cpu().numpy() if "camera" in seen else None
        pictures.append(folder / f"decision-{number:03d}.png")
        draw(found, number, eyes.size.feature_grid, pictures[-1], camera)
    (folder / "explain.json").write_text(json.dumps([facts(found, number) for number in range(count)], indent=1) + "\n")
    return pictures


def facts(found: Explanation, number: int) -> dict[str, Any]:
    """One decision's attribution as plain numbers."""
    by_sense = {
        name: {
            "present": bool(found.present[number, place]),
            "occlusion_nats": float(found.occlusion_nats[number, place]),
            "occluded_action": found.occluded_action[number, place].tolist(),
            "gradient_share": float(found.gradient_share[number, place]),
        }
        for place, name in enumerate(found.modalities)
    }
    return {"decision": number, "action": found.action[number].tolist(), "senses": by_sense}


def draw(found: Explanation, number: int, grid: BevGrid, path: Path, camera: NDArray[np.uint8] | None = None) -> None:
    """Draw one decision.

    Args:
        found: Explanations of B decisions.
        number: Which of them.
        grid: The grid of its maps.
        path: A PNG.
        camera: What the cameras saw, (K, 3, H, W) bytes.

    Raises:
        ConfigError: There is no such decision.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    if not 0 <= number < len(found.present):
        raise ConfigError(f"there are explanations of {len(found.present)} decisions, got number {number}")
    maps = _titled_maps(found, number)
    columns = max(len(maps), 3)
    figure = Figure(figsize=(2.6 * columns, 6.4), layout="constrained")
    cells = figure.add_gridspec(3, columns, height_ratios=(1.0, 2.2, 1.2))
    for place, picture in enumerate(camera[:columns] if camera is not None else ()):
        axes = figure.add_subplot(cells[0, place])
        axes.imshow(picture.transpose(1, 2, 0))
        axes.set_axis_off()
    for place, (title, values) in enumerate(maps):
        _draw_map(figure.add_subplot(cells[1, place]), title, values, grid, found, number)
    _draw_bars(
        figure.add_subplot(cells[2, : columns // 2 + 1]), "without it, the decision moves [nats]", found, found.occlusion_nats[number]
    )
    _draw_bars(figure.add_subplot(cells[2, columns // 2 + 1 :]), "share of |gradient x input|", found, found.gradient_share[number])
    figure.suptitle(f"decision {number}: action {found.action[number].tolist()}")
    figure.savefig(path, dpi=110)


def _titled_maps(found: Explanation, number: int) -> list[tuple[str, Floats]]:
    """The maps of one decision, as arrays (X, Y)."""
    maps = [(f"{name} map", found.maps[number, place]) for place, name in enumerate(found.modalities)]
    maps.append(("fused map", found.fused[number]))
    if "attention" in found.look:
        maps += [(f"attention to {name}", found.look["attention"][number, place]) for place, name in enumerate(found.modalities)]
    if "heat" in found.look:
        maps.append(("objects", found.look["heat"][number].sigmoid()))
    return [(title, values.cpu().numpy()) for title, values in maps]


def _draw_map(axes: Axes, title: str, values: Floats, grid: BevGrid, found: Explanation, number: int) -> None:
    """Ahead is up, left is left."""
    (back_m, front_m), (right_m, left_m) = grid.x_range_m, grid.y_range_m
    axes.imshow(values[::-1, ::-1], extent=(left_m, right_m, back_m, front_m), aspect="auto", cmap="viridis")
    axes.plot([0.0], [0.0], marker="^", color="white", markersize=5)
    if title == "objects":
        nodes_m = found.look["nodes_xy_m"][number][found.look["nodes_there"][number]].cpu().numpy()
        axes.scatter(nodes_m[:, 1], nodes_m[:, 0], s=6, color="red")
        axes.set_xlim(left_m, right_m)
        axes.set_ylim(back_m, front_m)
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=6)


def _draw_bars(axes: Axes, title: str, found: Explanation, values: torch.Tensor) -> None:
    names: Sequence[str] = found.modalities
    axes.barh(range(len(names)), values.cpu().numpy(), color="tab:blue")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=6)
