"""What a learner sees of a world: a rig's frames, or highway-env's own observation."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch import Tensor

from envs.observation import observation_space, own_observation_space, pack
from sensors.presets import rig_named
from sensors.rig import Rig
from sensors.scene import Scene


class Senses:
    """Observations of a world for one learner."""

    def __init__(self, world: Any, rig: str | Rig | None) -> None:
        """Choose what is seen.

        Args:
            world: The world.
            rig: The sensors, or a preset's name; None is highway-env's own observation.

        Raises:
            ConfigError: There is no such preset.
        """
        self.rig = None if rig is None else rig_named(rig)
        self._world = world

    @property
    def space(self) -> spaces.Space[Any]:
        """The space of one world's observation."""
        return own_observation_space(self._world) if self.rig is None else observation_space(self.rig, self._world.action_width)

    def observe(self, scene: Scene, where: Tensor | None = None) -> Any:
        """Observe worlds.

        Args:
            scene: The world's present scene.
            where: Observe these only, bool (B,); all if none is given.

        Returns:
            A tensor (N, ...), or a dict of them; N worlds, in order.
        """
        if self.rig is None:
            own = self._world.observation()
            if where is None:
                return own
            return own[where] if isinstance(own, Tensor) else {key: value[where] for key, value in own.items()}
        from sensors.rendering import render

        seen = scene if where is None else scene.select(where)
        return pack(render(seen.to("cpu"), self.rig), self.rig)  # sensors render on the CPU
