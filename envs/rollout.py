"""Driving and recording episodes: any driver, any world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from envs.drivers import Driver
from envs.history import History
from envs.outcome import Outcome
from envs.recording import Recording, assemble
from sensors.presets import rig_named
from sensors.rig import Rig


def record(
    world: Any,
    driver: Driver,
    seeds: Tensor | Sequence[int],
    frames_rig: Rig | str | None = None,
    until_horizon: bool = True,
) -> list[Recording]:
    """Drive one episode in every world and record it.

    Args:
        world: A ``World`` or ``ReferenceWorld``; it is reset.
        driver: Who drives. Frames are rendered only if it asks for them.
        seeds: One a world, int64 (B,).
        frames_rig: The rig to render instead of the one that the driver names.
        until_horizon: Go on past a crash or a goal to the id's horizon, so that what follows a crash is in the recording; False: each
            recording ends with its episode.

    Returns:
        One recording a world.
    """
    seeds = torch.as_tensor(seeds, dtype=torch.int64)
    scene = world.reset(seeds)
    piloted = torch.full((world.num_worlds,), driver.autopilot, device=scene.device)
    rig = _rig_for(driver, frames_rig)
    instants, state, history = [scene], None, History(rig)
    chosen: list[Tensor] = []
    outcomes: list[Outcome] = []
    over = torch.zeros(world.num_worlds, dtype=torch.bool, device=scene.device)
    while len(outcomes) < world.horizon_steps and (until_horizon or not bool(over.all())):
        actions, state = driver.act(scene, _rendered(scene, rig, history), state)
        before = scene
        scene, outcome = world.step(actions, autopilot=piloted, substeps=True)
        history.add(before, outcome.substeps, scene)
        instants += outcome.substeps
        chosen.append(actions)
        outcomes.append(outcome)
        over = over | outcome.terminated | outcome.truncated
    recordings = assemble(world, seeds.tolist(), chosen, driver.autopilot, instants, outcomes)
    return recordings if until_horizon else [_cut_at_end(recording) for recording in recordings]


def _rig_for(driver: Driver, frames_rig: Rig | str | None) -> Rig | None:
    if driver.needs_frames is None:
        return None
    return driver.needs_frames if frames_rig is None else rig_named(frames_rig)


def _rendered(scene: Any, rig: Rig | None, history: History) -> Any:
    if rig is None:
        return None
    from sensors.rendering import render

    return render(scene.to("cpu"), rig, history.scenes)  # sensors render on the CPU


def _cut_at_end(recording: Recording) -> Recording:
    """End a recording with the decision that ended its episode."""
    ends = (recording.terminated | recording.truncated).nonzero().flatten()
    if not len(ends):
        return recording
    decisions = int(ends[0]) + 1
    instants = int((recording.decision_of_substep < decisions).sum())
    return replace(
        recording,
        actions=recording.actions[:decisions],
        scenes=recording.scenes.select(slice(0, instants)),
        decision_of_substep=recording.decision_of_substep[:instants],
        rewards=recording.rewards[:decisions],
        terminated=recording.terminated[:decisions],
        truncated=recording.truncated[:decisions],
    )
