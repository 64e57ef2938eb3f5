"""One world as a gymnasium environment, with highway-env's own observation or a rig's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import torch
from gymnasium import spaces

from envs.agents import REWARDS, TERMINATED
from envs.arguments import as_array, checked_seed
from envs.ids import EACH_AGENT_JUDGED
from envs.observation import action_space, as_numpy, row_of, split_terms
from envs.sense import Senses
from envs.world import World
from sensors.errors import ConfigError, unknown_name
from sensors.rig import Rig
from sensors.scene import Scene

RENDER_MODES = ("rgb_array",)


class DrivingEnv(gymnasium.Env[Any, Any]):
    """An id of highway-env; registered with gymnasium as ``DriveFusion/<id>``.

    Of several agents the action and the observation are tuples. intersection-multi-agent-v1 and -v2 then give a tuple of rewards and one
    of ends, as highway-env's wrapper for them does; -v0 gives the mean reward and the world's end, and has the rest in its infos.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}

    def __init__(
        self,
        id: str,
        rig: str | Rig | None = None,
        device: str | torch.device = "cpu",
        config: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Build the environment.

        Args:
            id: An id of ``envs.ids.IDS``.
            rig: What is seen: a rig, a preset's name, or None for highway-env's own observation.
            device: Where the world and the sensors run: ``"cpu"``, ``"cuda"`` or ``"auto"``.
            config: Changes to highway-env's configuration.
            render_mode: ``"rgb_array"``, or None.

        Raises:
            ConfigError: Unknown id, rig, device, configuration key or render mode.
        """
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown_name("render_mode", render_mode, RENDER_MODES)
        self.world: Any = World(id, 1, device=device, config=config)
        self.render_mode = render_mode
        self.metadata = self.metadata | {"render_fps": max(1, round(1 / self.world.policy_dt_s))}
        self._senses = Senses(self.world, rig)
        self.observation_space = self._senses.space
        self.action_space = action_space(self.world)
        self._started = False

    @property
    def scene(self) -> Scene:
        """The present scene, of one world."""
        scene: Scene = self.world.scene
        return scene

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: The same as highway-env's. Without one, the first episode is drawn from entropy and later ones go on with the world's
                own generator, as highway-env's do.
            options: Taken for gymnasium's sake; there are none.

        Raises:
            ConfigError: A seed beyond 64 bits, or an option.
        """
        if options:
            raise ConfigError(f"reset: options hold {', '.join(map(repr, options))}, expected none; settings go to make(..., config=...)")
        if isinstance(seed, int) and seed >= 0:
            seed = checked_seed(seed)
        super().reset(seed=seed)
        self._senses.forget()
        if seed is None and self._started:
            scene = self.world.reset_continue(torch.tensor([True]))
        else:
            scene = self.world.reset(torch.tensor([int(self.np_random.integers(2**31)) if seed is None else seed]))
        self._started = True
        return self._observation(scene), {"episode_seed": int(scene.episode_seed[0])}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Advance one decision.

        Args:
            action: Of one ego, or a tuple of all agents'.

        Returns:
            gymnasium's five. ``info["rewards"]`` holds highway-env's reward terms; of several agents ``info["agents_rewards"]`` and
            ``info["agents_terminated"]`` hold their own, arrays (N,).
        """
        scene, outcome = self._senses.step(as_array(action, "step: action")[None])
        terms, agents = split_terms(outcome.terms)
        info: dict[str, Any] = {"crashed": bool(scene.crashed[0, 0]), "rewards": {name: float(term[0]) for name, term in terms.items()}}
        info |= {name: values[0] for name, values in agents.items()}
        observation, truncated = self._observation(scene), bool(outcome.truncated[0])
        if agents and self.world.id in EACH_AGENT_JUDGED:
            return observation, tuple(agents[REWARDS][0].tolist()), tuple(agents[TERMINATED][0].tolist()), truncated, info  # type: ignore[return-value]
        return observation, float(outcome.reward[0]), bool(outcome.terminated[0]), truncated, info

    def _observation(self, scene: Scene) -> Any:
        observed = as_numpy(self._senses.observe(scene))
        if isinstance(self.observation_space, spaces.Tuple) and not isinstance(observed, tuple):
            return tuple(observed[0])  # agents'
        return row_of(observed, 0)

    def render(self) -> Any:
        """A picture from above, (H, W, 3) uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        from sensors.views import draw_birds_eye

        return draw_birds_eye(self.scene.to("cpu"))[0]
