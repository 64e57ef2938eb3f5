"""The scenes that a rig's sensors can still ask for: kept only for rigs with clocks of their own, or where faults look back.

Kept are the scenes of every simulation substep, so that a sensor at 12 Hz finds its instants between decisions at 1 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from envs.recording import with_room
from sensors.faults import Faults
from sensors.rig import Rig
from sensors.scene import Scene
from sensors.timing import HistoryNeed, past_of


class History:
    """The past of B worlds, as far as one rig needs it."""

    def __init__(self, rig: Rig | None) -> None:
        """Start without a past; None sees nothing and needs none."""
        self.rig = rig
        self.scenes: list[Scene] = []
        """Oldest first, on the CPU."""
        self._faults: Faults | None = None
        self._need = HistoryNeed(0.0)

    def needed(self, faults: Faults) -> HistoryNeed:
        """What the rig needs with the faults that the worlds have now; falsy for nothing."""
        if self.rig is not None and faults is not self._faults:
            self._faults, self._need = faults, self.rig.history_needed(faults.to("cpu"))
        return self._need

    def forget(self) -> None:
        """Drop everything, for worlds that all start again."""
        self.scenes = []

    def add(self, before: Scene, substeps: Sequence[Scene], now: Scene) -> None:
        """Take in one decision.

        Args:
            before: The scene at which was decided.
            substeps: The scenes of its simulation substeps, the last of them ``now``.
            now: The present.
        """
        need = self.needed(now.faults)
        if not need:
            self.scenes = []
            return
        now = _on_cpu(now)
        past = [*self.scenes, *(_on_cpu(scene) for scene in (before, *substeps[:-1]))]
        self.scenes = past_of([with_room(scene, max(scene.num_actors, now.num_actors)) for scene in past], need, now)

    def select(self, worlds: Tensor) -> list[Scene]:
        """The past of some worlds."""
        return [scene.select(worlds.to(scene.device)) for scene in self.scenes]


def _on_cpu(scene: Scene) -> Scene:
    return scene if scene.device.type == "cpu" else scene.to("cpu")


def history_of(scenes: Scene, instants: Tensor, rig: Rig) -> list[Scene]:
    """What was before some instants of one recorded episode, for rendering them as one batch.

    Args:
        scenes: The episode's instants in order, B = N.
        instants: Which of them are to be rendered, (M,) int64.
        rig: Who looks.

    Returns:
        Scenes of M worlds, oldest first; nothing if the rig and the recorded faults need no past. Before the first instant it repeats.
    """
    need = rig.history_needed(scenes.faults)
    if not need or scenes.num_worlds < 2:
        return []
    steps_s = scenes.time_s.double().diff()
    shortest_s = max(float(steps_s.min()), 1e-3)
    reach = scenes.num_worlds if need.begin_step is not None else min(math.ceil(need.seconds / shortest_s) + 1, scenes.num_worlds)
    return [scenes.select((instants - back).clamp(min=0)) for back in range(reach, 0, -1)]
