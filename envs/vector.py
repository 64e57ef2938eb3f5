"""Many worlds as one gymnasium VectorEnv, batched inside, in each of gymnasium's three ways of starting again.

What each mode gives is what ``gymnasium.vector.SyncVectorEnv`` of as many ``DrivingEnv`` gives, infos included; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from envs.arguments import as_array, by_agent
from envs.gym import RENDER_MODES
from envs.observation import action_space, as_numpy, row_of, split_terms
from envs.outcome import Outcome
from envs.sense import Senses
from envs.vector_parts import checked_mode, checked_options, checked_seeds, in_rows, joined_states, masked
from envs.world import World
from sensors.errors import ConfigError, unknown_name
from sensors.rig import Rig
from sensors.scene import Scene

Bools = NDArray[np.bool_]
Step = tuple[Any, NDArray[np.float64], Bools, Bools, dict[str, Any]]

DRAWS_WHILE_DRIVING = "intersection"
"""Ids that spawn traffic as they go: stepping a world that waits for its reset would use up its random draws."""


class DrivingVectorEnv(VectorEnv[Any, Any, Any]):
    """B worlds of one id; ``gymnasium.make_vec("DriveFusion/<id>", num_envs=B)`` makes it."""

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1, "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        id: str,
        num_envs: int = 1,
        rig: str | Rig | None = None,
        device: str | torch.device = "cpu",
        config: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        details: bool | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Build the worlds.

        Args:
            id: An id of ``envs.ids.IDS``.
            num_envs: B.
            rig: What is seen: a rig, a preset's name, or None for highway-env's own observation.
            device: Where the worlds and the sensors run: ``"cpu"``, ``"cuda"`` or ``"auto"``.
            config: Changes to highway-env's configuration.
            render_mode: ``"rgb_array"``, or None.
            autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED, as gymnasium defines them.
            details: Whether infos tell ``crashed`` and ``rewards`` (highway-env's reward terms) of every step, and ``episode_seed`` of
                episodes that start by themselves. None tells them wherever that costs nothing: everywhere but in SAME_STEP without a
                rig, which then takes the world's fast path; False leaves only what gymnasium itself asks for, and what each agent earned.
            num_threads: Threads to step on; results do not depend on it.

        Raises:
            ConfigError: Unknown id, rig, device, configuration key, render mode or autoreset mode, or no worlds.
        """
        super().__init__()
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown_name("render_mode", render_mode, RENDER_MODES)
        self.autoreset_mode = checked_mode(autoreset_mode)
        self.world: Any = World(id, num_envs, device=device, config=config, num_threads=num_threads)
        self.num_envs = self.world.num_worlds
        self.render_mode = render_mode
        fps = max(1, round(1 / self.world.policy_dt_s))
        self.metadata = self.metadata | {"render_fps": fps, "autoreset_mode": self.autoreset_mode}
        self._senses = Senses(self.world, rig)
        self.single_observation_space, self.single_action_space = self._senses.space, action_space(self.world)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        light = self.autoreset_mode is AutoresetMode.SAME_STEP and self._senses.rig is None and hasattr(self.world, "step_autoreset")
        self._details = (not light) if details is None else details
        self._fast = light and not self._details
        self._started = False
        self._ended: Bools = np.zeros(self.num_envs, np.bool_)

    @property
    def rig(self) -> Rig | None:
        """What the worlds are seen through; None is highway-env's own observation."""
        return self._senses.rig

    @property
    def scene(self) -> Scene:
        """What is there now, on the world's device."""
        scene: Scene = self.world.scene
        return scene

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: A number gives world i the seed ``seed + i``; a list gives each its own. A world with None goes on with its own
                generator, or draws from entropy the first time.
            options: ``{"reset_mask": mask}``, bool (B,), resets those worlds only.

        Returns:
            Observations of all worlds, and infos of those that were reset: ``episode_seed``.

        Raises:
            ConfigError: Seeds of another number or below 0, an unknown option, or a mask of another shape or type or without a world.
        """
        seeds = checked_seeds(seed, self.num_envs)
        super().reset(seed=seed if isinstance(seed, int) else None)
        where = checked_options(options, self.num_envs)
        if not self._started:
            seeds = [int(self.np_random.integers(2**31)) if one is None else one for one in seeds]
        given = torch.tensor([one is not None for one in seeds])
        here, chosen = torch.from_numpy(where), torch.tensor([0 if one is None else one for one in seeds])
        if bool((given & here).any()):
            self.world.reset(chosen, where=None if bool((given & here).all()) else given & here)
        if bool((~given & here).any()):
            self.world.reset_continue(~given & here)
        self._started = True
        self._ended = self._ended & ~where
        return self._seen(self._senses.observe(self.scene)), masked(self._seeds(), where)

    def step(self, actions: Any) -> Step:
        """Advance every world by one decision.

        Args:
            actions: (B,) whole numbers, or (B, C) for continuous actions; arrays or tensors. Of several agents a tuple of N such.

        Returns:
            Observations, rewards (B,) float64, terminated and truncated (B,) bool, and infos in gymnasium's vector format. Of several
            agents observations are a tuple of N, rewards and ends the worlds', and ``agents_rewards`` and ``agents_terminated`` (B, N)
            stand in the infos.

        Raises:
            ConfigError: Actions of another shape or type or out of range, no reset yet, or in mode DISABLED a world whose episode is over.
        """
        several = self.world.agents is not None and isinstance(actions, tuple)
        chosen = by_agent(actions, "step: actions") if several else as_array(actions, "step: actions")
        if self._fast:
            return self._step_fast(chosen)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            return self._step_same(chosen)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            over = ", ".join(map(str, np.flatnonzero(self._ended)))
            raise ConfigError(f"step: the episodes of worlds {over} are over; reset them with options={{'reset_mask': mask}} first")
        return self._step_next(chosen)

    def _step_fast(self, actions: NDArray[Any]) -> Step:
        step = self.world.step_autoreset(actions)
        terminated, truncated = _array(step.terminated), _array(step.truncated)
        done = terminated | truncated
        told = split_terms(step.terms)[1]
        infos = masked(told, ~done)
        if done.any():
            infos |= self._final(as_numpy(step.final_observation), done, told)
        return self._seen(step.observation), _array(step.reward).astype(np.float64), terminated, truncated, infos

    def _step_same(self, actions: NDArray[Any]) -> Step:
        """Finished worlds start again at once; what they last saw goes into ``final_obs``."""
        scene, outcome = self._senses.step(actions)
        terminated, truncated = _array(outcome.terminated), _array(outcome.truncated)
        done = terminated | truncated
        told = self._told(outcome)
        infos = masked(told, ~done)
        if done.any():
            where = torch.from_numpy(done)
            last = in_rows(as_numpy(self._senses.observe(scene, where.to(scene.device))), done)
            infos |= self._final(last, done, told)
            scene = self.world.reset_continue(where)
            infos |= self._begun(done)
        return self._seen(self._senses.observe(scene)), _array(outcome.reward).astype(np.float64), terminated, truncated, infos

    def _step_next(self, actions: NDArray[Any]) -> Step:
        """Worlds that finished one step ago start again now, and their actions are ignored."""
        waiting = self._ended
        outcome = self._step_others(actions, waiting)
        terminated, truncated = _array(outcome.terminated) & ~waiting, _array(outcome.truncated) & ~waiting
        rewards = np.where(waiting, 0.0, _array(outcome.reward).astype(np.float64))
        infos = masked(self._told(outcome), ~waiting)
        if waiting.any():
            infos |= self._begun(waiting)
        self._ended = terminated | truncated
        return self._seen(self._senses.observe(self.scene)), rewards, terminated, truncated, infos

    def _step_others(self, actions: NDArray[Any], waiting: Bools) -> Outcome:
        """Step the worlds whose episodes run, and start the waiting ones again; the outcome of the latter means nothing."""
        if not waiting.any():
            return self._stepped(actions)
        where = torch.from_numpy(waiting)
        if not self.world.id.startswith(DRAWS_WHILE_DRIVING):
            outcome = self._stepped(actions)
            self.world.reset_continue(where)
            return outcome
        self.world.reset_continue(where)
        fresh = self.world.state()
        outcome = self._stepped(actions)
        self.world.load(joined_states(self.world.state(), fresh, waiting))
        return outcome

    def _stepped(self, actions: NDArray[Any]) -> Outcome:
        """Step, without holding on to the scene: one that nobody looks at is never made."""
        outcome: Outcome = self._senses.step(actions)[1]
        return outcome

    def _seeds(self) -> dict[str, Any]:
        return {"episode_seed": _array(self.world.episode_seeds())}

    def _told(self, outcome: Outcome) -> dict[str, Any]:
        """What infos tell of a step, each (B,), or (B, N) of several agents."""
        terms, agents = split_terms(outcome.terms)
        return ({"crashed": _array(self.world.egos_crashed()), "rewards": terms} if self._details else {}) | agents

    def _seen(self, observed: Any) -> Any:
        """Observations of all worlds as gymnasium batches them: several agents' are a tuple."""
        arrays = as_numpy(observed)
        agents = self.single_observation_space
        if isinstance(agents, spaces.Tuple) and not isinstance(arrays, tuple):
            return tuple(arrays[:, agent].copy() for agent in range(len(agents)))
        return arrays

    def _final(self, last: Any, done: Bools, told: dict[str, Any]) -> dict[str, Any]:
        """What gymnasium tells of episodes that ended in this very step; ``last`` holds observations of all worlds."""
        seen = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(done):
            seen[index] = row_of(last, int(index))
            if isinstance(self.single_observation_space, spaces.Tuple):
                seen[index] = tuple(seen[index])
        return {"final_obs": seen, "_final_obs": done.copy(), "final_info": masked(told, done), "_final_info": done.copy()}

    def _begun(self, where: Bools) -> dict[str, Any]:
        """What infos tell of episodes that have just started by themselves."""
        return masked(self._seeds(), where) if self._details else {}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """Pictures from above, one a world, each (H, W, 3) uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        from sensors.views import draw_birds_eye

        return tuple(draw_birds_eye(self.scene.to("cpu")))


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.cpu().numpy()
