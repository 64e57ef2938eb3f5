"""Several agents of a world for Stable-Baselines3, which knows one action an environment: each agent is an environment of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn, VecEnvWrapper
from torch import Tensor

from envs.agents import REWARDS, TERMINATED
from envs.arguments import as_array
from sensors.errors import ConfigError

Indices = int | Iterable[int] | None


class AgentsVecEnv(VecEnvWrapper):
    """B worlds of N agents as B * N environments: agent k of world i is environment i * N + k.

    Each gets its own observation and its own reward. All of a world end together, when the world does: an agent that has arrived drives on
    until then, as in highway-env, and ``infos[i]["agent_terminated"]`` says that it is done. One policy so learns for all.
    """

    def __init__(self, venv: Any) -> None:
        """Wrap the worlds.

        Args:
            venv: A ``DrivingVecEnv`` whose world has several agents.

        Raises:
            ConfigError: The observation is the first agent's alone.
        """
        seen, actions = venv.observation_space, venv.action_space
        if not isinstance(seen, spaces.Tuple):
            kind = venv.world.config["observation"]["type"]
            raise ConfigError(f"{venv.world.id}: observation {kind} is the first agent's alone; use MultiAgentObservation")
        super().__init__(venv, seen.spaces[0], actions.spaces[0])
        self.agents: int = venv.world.agents
        """N."""
        self.num_envs = venv.num_envs * self.agents

    def reset(self, seeds: Tensor | Sequence[int] | None = None) -> VecEnvObs:
        """Start every world's next episode; seeds as for ``DrivingVecEnv``, one a world."""
        return self._apart(self.venv.reset() if seeds is None else self.venv.reset(seeds))  # type: ignore[call-arg]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next ``step_wait``, (B * N,) or (B * N, C)."""
        given = as_array(actions, "step: actions")
        if not given.ndim or len(given) != self.num_envs:
            raise ConfigError(f"step: actions have shape {given.shape}, expected one for each of {self.num_envs} agents of all worlds")
        self.venv.step_async(given.reshape(self.venv.num_envs, self.agents, *given.shape[1:]))

    def step_wait(self) -> VecEnvStepReturn:
        """Advance one decision; worlds that ended start again."""
        observation, _, dones, infos = self.venv.step_wait()
        terms = self.venv.outcome.terms  # type: ignore[attr-defined]
        finished = terms[TERMINATED].cpu().numpy()
        apart = [self._info(info, agent, bool(finished[world, agent])) for world, info in enumerate(infos) for agent in range(self.agents)]
        return self._apart(observation), terms[REWARDS].float().cpu().numpy().reshape(-1), dones.repeat(self.agents), apart

    def load_state(self, state: Mapping[str, Tensor]) -> VecEnvObs:
        """As ``DrivingVecEnv.load_state``."""
        return self._apart(self.venv.load_state(state))  # type: ignore[attr-defined]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Every world from above, each (H, W, 3), once for each of its agents."""
        return [image for image in self.venv.get_images() for _ in range(self.agents)]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The same attribute of the worlds for every environment asked for."""
        return [getattr(self.venv, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute; agents share their worlds, so that only all can be set."""
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ConfigError(f"set_attr: agents of one batch share {attr_name!r}; leave indices out")
        self.venv.set_attr(attr_name, value)

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """No world is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def _apart(self, observation: Any) -> NDArray[Any]:
        """(B, N, ...) as (B * N, ...)."""
        array: NDArray[Any] = np.asarray(observation)
        return array.reshape(-1, *array.shape[2:])

    def _info(self, info: Mapping[str, Any], agent: int, finished: bool) -> dict[str, Any]:
        """What one agent is told of its world."""
        own = dict(info) | {"agent_terminated": finished}
        if "terminal_observation" in own:
            own["terminal_observation"] = own["terminal_observation"][agent]
        return own
