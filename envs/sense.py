"""What a learner sees of a world: a rig's frames, or highway-env's own observation."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch import Tensor

from envs.history import History
from envs.observation import observation_space, own_observation_space, pack
from envs.outcome import Outcome
from sensors.errors import ConfigError
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
            ConfigError: There is no such preset, or the world has several agents: a rig sees from actor 0 alone.
        """
        self.rig = None if rig is None else rig_named(rig)
        if rig is not None and world.agents is not None:
            raise ConfigError(
                f"{world.id}: a rig sees from actor 0 alone, and actions here are those of {world.agents} agents; "
                "take rig=None for each agent's own observation, or an action of one ego"
            )
        self._world = world
        self._history = History(self.rig)

    @property
    def space(self) -> spaces.Space[Any]:
        """The space of one world's observation."""
        return own_observation_space(self._world) if self.rig is None else observation_space(self.rig, self._world.action_width)

    @property
    def looks_back(self) -> bool:
        """Whether the rig or the worlds' faults can ask for earlier scenes."""
        return bool(self._history.needed(self._world.faults))

    def step(self, actions: Any) -> tuple[Scene, Outcome]:
        """Advance the world by one decision, and keep what the rig's sensors will ask of it later."""
        stepped: tuple[Scene, Outcome]
        if not self._history.needed(self._world.faults):
            self._history.forget()
            stepped = self._world.step(actions)
            return stepped
        before: Scene = self._world.scene
        stepped = self._world.step(actions, substeps=True)
        self._history.add(before, stepped[1].substeps, stepped[0])
        return stepped

    def forget(self) -> None:
        """Drop the past, for worlds that all start again."""
        self._history.forget()

    def observe(self, scene: Scene, where: Tensor | None = None) -> Any:
        """Observe worlds.

        Args:
            scene: The world's present scene.
            where: Observe these only, bool (B,); all if none is given.

        Returns:
            A tensor with a row for each world in order, or a dict of them; several agents' observations are rows of their world's.
        """
        if self.rig is None:
            own = self._world.observation()
            if where is None:
                return own
            return own[where] if isinstance(own, Tensor) else {key: value[where] for key, value in own.items()}
        from sensors.rendering import render

        seen = scene if where is None else scene.select(where)
        past = self._history.scenes if where is None else self._history.select(where)
        return pack(render(seen.to("cpu"), self.rig, past), self.rig)  # sensors render on the CPU
