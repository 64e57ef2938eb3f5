"""Many worlds as one Stable-Baselines3 VecEnv, batched inside; finished worlds start again in the same step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from envs.arguments import as_array, checked_seed
from envs.conditions import checked_suite, draw_conditions
from envs.observation import action_space, as_numpy
from envs.outcome import Outcome
from envs.sb3_agents import AgentsVecEnv
from envs.seeds import train_seeds
from envs.sense import Senses
from envs.world import World
from sensors.errors import ConfigError
from sensors.faults import Faults
from sensors.rig import Rig
from sensors.scene import Scene
from sensors.weather import Weather

Indices = int | Iterable[int] | None


@dataclass(frozen=True)
class Transition:
    """The last step of B worlds, before any of them started again."""

    scene: Scene
    actions: Tensor  # (B,) int64 or (B, C) float32; of several agents (B, N) or (B, N, C)
    next_scene: Scene
    terminated: Tensor  # (B,) bool
    truncated: Tensor  # (B,) bool


def make_sb3_vec(
    id: str,
    num_envs: int,
    rig: str | Rig | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    seeds: Tensor | Sequence[int] | None = None,
    part: tuple[int, int] = (0, 1),
    conditions: str | None = None,
) -> DrivingVecEnv | AgentsVecEnv:
    """Make a vectorised environment.

    Args:
        id: An id of ``envs.ids.IDS``.
        num_envs: How many worlds.
        rig: What is seen: a rig, a preset's name, or None for highway-env's own observation.
        device: Where worlds and sensors run: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        seed: Keys the training seeds: episode k of world i is always the same.
        config: Changes to highway-env's configuration.
        seeds: Episode seeds to use instead, any number: episode k of world i takes entry (i + k * num_envs) modulo their number.
        part: (p, n): these are worlds p * num_envs and on of n * num_envs that n processes share; their episodes are the ones that those
            would have in a single process.
        conditions: A suite of ``envs.conditions.SUITES``: each episode's own weather and faults.

    Returns:
        The environment, a ``DrivingVecEnv``. Its reward is highway-env's. Of several agents an ``envs.sb3_agents.AgentsVecEnv``, in which
        each agent is an environment of its own, ``num_envs`` times as many as agents in all.

    Raises:
        ConfigError: Unknown id, rig, device or configuration key.
    """
    worlds = DrivingVecEnv(World(id, num_envs, device=device, config=config), rig, seed, seeds, part, conditions)
    return worlds if worlds.world.agents is None else AgentsVecEnv(worlds)


class DrivingVecEnv(VecEnv):
    """See ``make_sb3_vec``."""

    def __init__(
        self,
        world: Any,
        rig: str | Rig | None,
        seed: int = 0,
        seeds: Tensor | Sequence[int] | None = None,
        part: tuple[int, int] = (0, 1),
        conditions: str | None = None,
    ) -> None:
        """Wrap a world; its episodes are this environment's from now on."""
        if not 0 <= part[0] < part[1]:
            raise ConfigError(f"part is {part}, expected (p, n) with p from 0 to n - 1")
        self.world = world
        self.render_mode: str | None = "rgb_array"
        self.transition: Transition | None = None
        self.outcome: Outcome | None = None
        """The world's own outcome of the last step, reward terms included."""
        self._senses = Senses(world, rig)
        if isinstance(self._senses.space, spaces.Tuple) and world.agents is None:
            raise ConfigError(f"{world.id}: Stable-Baselines3 has no observations that are tuples; give one of them, or a rig")
        self._seed = seed
        self._part = part
        self._conditions = None if conditions is None else checked_suite(conditions)
        self._given = None if seeds is None else _listed(seeds)
        self._episode = torch.full((world.num_worlds,), -1, dtype=torch.int64)
        self._history: list[Tensor] = []  # actions, newest last, as far back as the longest running episode
        self._steps = torch.zeros(world.num_worlds, dtype=torch.int64)  # decisions since each world's reset
        self._actions: Tensor | None = None
        super().__init__(world.num_worlds, self._senses.space, action_space(world))

    @property
    def rig(self) -> Rig | None:
        """What the worlds are seen through; None is highway-env's own observation."""
        return self._senses.rig

    @property
    def looks_back(self) -> bool:
        """Whether the rig or the worlds' faults can ask for earlier scenes, so that the present one alone does not give the observation."""
        return self._senses.looks_back or self._conditions is not None

    @property
    def scene(self) -> Scene:
        """The present scene, after worlds that ended have started again."""
        scene: Scene = self.world.scene
        return scene

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Choose the training seeds anew; the next ``reset`` starts with every world's first episode."""
        if seed is not None:
            self._seed = seed
        self._episode.fill_(-1)
        return [self._seed] * self.num_envs

    def reset(self, seeds: Tensor | Sequence[int] | None = None) -> Any:
        """Start every world's next episode.

        Args:
            seeds: int64 (B,): start exactly these episodes; what follows them is again each world's first, second, ...
        """
        self._senses.forget()
        if seeds is not None:
            self._episode.fill_(-1)
        else:
            seeds = self._next_seeds(torch.ones(self.num_envs, dtype=torch.bool))
        draw_conditions(self.world, self._conditions, seeds)
        scene = self.world.reset(seeds)
        self._steps.zero_()
        self._history, self.transition, self.outcome = [], None, None
        return as_numpy(self._senses.observe(scene))

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next ``step_wait``."""
        self._actions = torch.from_numpy(np.ascontiguousarray(as_array(actions, "step: actions")))

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Advance one decision; worlds that ended start again."""
        actions = self._actions
        if actions is None:
            raise ConfigError("step_wait: no actions; call step, or step_async before it")
        before = self.scene
        after, outcome = self._senses.step(actions)
        done = outcome.terminated | outcome.truncated
        self.transition = Transition(before, actions, after, outcome.terminated, outcome.truncated)
        self.outcome = outcome
        late = (outcome.truncated & ~outcome.terminated).tolist()
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": truncated} for truncated in late]
        self._remember(actions)
        if bool(done.any()):
            after = self._start_again(after, done.cpu(), infos)
        observation = as_numpy(self._senses.observe(after))
        return observation, outcome.reward.float().cpu().numpy(), done.cpu().numpy(), infos

    def _start_again(self, ended: Scene, done: Tensor, infos: list[dict[str, Any]]) -> Scene:
        """Keep what finished worlds last saw, and start their next episodes."""
        last = as_numpy(self._senses.observe(ended, done.to(self.world.device)))
        seeds = self.world.episode_seeds().cpu()
        for row, index in enumerate(done.nonzero().flatten().tolist()):
            own = {key: value[row] for key, value in last.items()} if isinstance(last, dict) else last[row]
            infos[index]["terminal_observation"] = own
            infos[index]["episode_seed"] = int(seeds[index])
        following = self._next_seeds(done)
        draw_conditions(self.world, self._conditions, following, done)
        scene: Scene = self.world.reset(following, where=done)
        self._steps[done] = 0
        return scene

    def _next_seeds(self, where: Tensor) -> Tensor:
        """Seeds of the next episode of some worlds; keyed, so that they do not depend on when the others end."""
        self._episode += where.long()
        worlds = self._part[0] * self.num_envs + torch.arange(self.num_envs)
        if self._given is None:
            return train_seeds(self._seed, worlds, self._episode)
        return self._given[(worlds + self._episode * self._part[1] * self.num_envs) % len(self._given)]

    def _remember(self, actions: Tensor) -> None:
        self._history.append(actions.clone())
        self._steps += 1
        del self._history[: len(self._history) - int(self._steps.max())]

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on identically: an episode is its seed and its actions, so those are kept.

        Returns:
            Plain tensors, for any file format.
        """
        kept = {f"weather.{name}": value for name, value in vars(self.world.weather).items()}
        kept |= {f"faults.{name}": value for name, value in vars(self.world.faults).items()}
        history = torch.stack(self._history) if self._history else torch.zeros(0, self.num_envs, dtype=torch.int64)
        kept |= {"seed": torch.tensor(self._seed), "episode": self._episode, "episode_seed": self.scene.episode_seed}
        return {name: value.detach().cpu().clone() for name, value in (kept | {"steps": self._steps, "history": history}).items()}

    def load_state(self, state: Mapping[str, Tensor]) -> Any:
        """Go back to a state, by running the unfinished episodes again.

        Args:
            state: What ``state`` gave, of as many worlds with the same id and configuration.

        Returns:
            The present observation.

        Raises:
            ConfigError: Parts are missing, or it is of another number of worlds.
        """
        missing = {"seed", "episode", "episode_seed", "steps", "history"} - state.keys()
        if missing or len(state["steps"]) != self.num_envs:
            what = f"lacks {', '.join(sorted(missing))}" if missing else f"is of {len(state['steps'])} worlds"
            raise ConfigError(f"load_state: the state {what}, expected one of {self.num_envs} worlds as state() gives it")
        for name, cls in (("weather", Weather), ("faults", Faults)):
            parts = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            setattr(self.world, name, cls(**parts).to(self.world.device))
        self._seed, self._episode, self._steps = int(state["seed"]), state["episode"].clone(), state["steps"].clone()
        self._history = list(state["history"].clone())
        self.transition = self.outcome = None
        self._run_again(state["episode_seed"])
        return as_numpy(self._senses.observe(self.scene))

    def _run_again(self, seeds: Tensor) -> None:
        """Each world starts when as many actions are left as it had taken; what it does before that is forgotten by its reset."""
        self._senses.forget()
        self.world.reset(seeds)
        for place, actions in enumerate(self._history):
            starting = self._steps == len(self._history) - place
            if place and bool(starting.any()):
                self.world.reset(seeds, where=starting)
            self._senses.step(actions)
        fresh = self._steps == 0
        if self._history and bool(fresh.any()):
            self.world.reset(seeds, where=fresh)

    def get_images(self) -> list[NDArray[np.uint8] | None]:
        """Every world from above, each (H, W, 3)."""
        from sensors.views import draw_birds_eye

        return list(draw_birds_eye(self.scene.to("cpu")))

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """The same attribute for every world asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute; worlds share them, so that only all can be set."""
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ConfigError(f"set_attr: worlds of one batch share {attr_name!r}; leave indices out")
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Indices = None, **kwargs: Any) -> list[Any]:
        """There is no environment for each world to call."""
        raise ConfigError(f"env_method({method_name!r}): worlds run as one batch; use this environment's own methods and .world")

    def env_is_wrapped(self, wrapper_class: type, indices: Indices = None) -> list[bool]:
        """No world is wrapped."""
        return [False for _ in self._get_indices(indices)]


def _listed(seeds: Tensor | Sequence[int]) -> Tensor:
    """Seeds as a tensor, (N,) int64.

    Raises:
        ConfigError: They are no list of whole numbers of at least 0, or none.
    """
    array = as_array(seeds, "seeds")
    if array.ndim != 1 or not len(array):
        raise ConfigError(f"seeds have shape {array.shape}, expected a list of at least one")
    return torch.tensor([checked_seed(one) for one in array.tolist()], dtype=torch.int64)
