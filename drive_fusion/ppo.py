"""FusedPPO: Stable-Baselines3's PPO with the fused driver's eyes and memory, checkpoints that run no code, and exact resume."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from drive_fusion.anchor import Anchor
from drive_fusion.checkpoint import CheckpointError, opened, pack_checkpoint, read_checkpoint, unpacked, write_checkpoint
from drive_fusion.collecting import FiniteEnv, RewardFault, check_arrays, collect, fresh_memory
from drive_fusion.distributed import Group
from drive_fusion.extractor import FusedExtractor, ModelSize
from drive_fusion.fusion import Spatial
from drive_fusion.heads.tutor import Tutor
from drive_fusion.kept import Keep
from drive_fusion.learner_state import (
    ARGUMENTS,
    COUNTERS,
    folder_of,
    generators,
    restore_generators,
    standing_of_all,
    tells_all,
)
from drive_fusion.memory import Temporal
from drive_fusion.model_card import write_card
from drive_fusion.plain import PlainDataError, decode, encode
from drive_fusion.policy import FusedPolicy, State, judged, remembers
from drive_fusion.policy_file import NoLargerThan, check_names, fill_weights, misfit, stored_weights
from drive_fusion.rollout import Rollout, chunk_length
from drive_fusion.update import fit_critic, update
from sensors.device import device_named
from sensors.errors import ConfigError, DriveFusionError, unknown_name
from sensors.presets import rig_named
from sensors.rig import Rig

__all__ = ["FusedPPO", "OutOfMemory", "RewardFault", "folder_of"]


class OutOfMemory(DriveFusionError):
    """A rollout or an update that the device's memory does not hold."""


class FusedPPO(PPO):
    """PPO whose policy sees through a `FusedExtractor`, and may remember.

    Without a rig it is SB3's PPO on any observation, with the same checkpoints.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {**PPO.policy_aliases, "FusedPolicy": FusedPolicy}

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy] = "MultiInputPolicy",
        env: Any = None,
        *,
        rig: str | Rig | None = None,
        spatial: Spatial = "concat",
        temporal: Temporal = "none",
        size: str | ModelSize = "micro",
        modality_dropout: float = 0.0,
        device: str | torch.device = "auto",
        critic_warmup_steps: int = 0,
        keep: Keep = "auto",
        chunk: int | None = None,
        burn_in: int = 4,
        bf16: bool = False,
        compiled: bool = False,
        auxiliary: float = 0.0,
        anchor_weight: float = 0.0,
        anchor_annealed: bool = True,
        **arguments: Any,
    ):
        """Build a learner.

        Args:
            policy: As in SB3.
            env: As in SB3: a VecEnv or a gymnasium environment.
            rig: The rig that makes the environment's observation; None for an observation without sensors.
            spatial: How the modalities' maps are fused.
            temporal: What is remembered from one decision to the next.
            size: How big the network is.
            modality_dropout: Chance of each modality to fall silent for a stretch of training.
            device: "cpu", "cuda" (an error without a GPU) or "auto".
            critic_warmup_steps: For so many steps at the start only the critic's own layers learn. After a warm start of the policy they
                know nothing, and their errors would undo it.
            keep: What a rollout keeps of a rig's observations: "frames", compact ones; "scenes", from which minibatches are rendered
                again; or "auto", scenes wherever they are enough.
            chunk: With a memory, consecutive decisions that are unrolled at once; None is the longest divisor of ``n_steps`` up to 16.
            burn_in: With a memory, decisions run before a chunk, so that its state comes from the present weights.
            bf16: On a GPU, networks in bfloat16 under autocast.
            compiled: On a GPU, the heads through torch.compile.
            auxiliary: Weight of the auxiliary lessons (`drive_fusion.heads`) at the start of a run, falling to 0 along it.
            anchor_weight: Weight of the distance from the policy that ``anchor_to`` names, at the start of a run.
            anchor_annealed: Let that weight fall to 0 along the run too; otherwise it stays.
            arguments: SB3's PPO arguments.

        Raises:
            ConfigError: The device is not there, the observation is not that rig's, or a setting cannot be.
        """
        if keep not in ("auto", "frames", "scenes"):
            raise unknown_name("keep", keep, ("auto", "frames", "scenes"))
        if burn_in < 0:
            raise ConfigError(f"burn_in is {burn_in}, expected 0 or more decisions")
        for name, weight in (("auxiliary", auxiliary), ("anchor_weight", anchor_weight)):
            if not weight >= 0.0:
                raise ConfigError(f"{name} is {weight}, expected 0 or more")
        self.auxiliary, self.anchor_weight, self.anchor_annealed = auxiliary, anchor_weight, anchor_annealed
        self.tutor: Tutor | None = None
        self.anchor: Anchor | None = None
        self._anchored_to: str | None = None
        self._anchor_memory: State = {}
        self._settled_timesteps = 0
        self.beside: dict[str, Any] = {}
        """Plain data that whoever teaches this learner keeps in its checkpoints."""
        self.memory: State = {}
        """What the policy remembers of the worlds that are being trained in."""
        self.critic_warmup_steps = critic_warmup_steps
        self.keep, self.chunk, self.burn_in, self.bf16, self.compiled = keep, chunk, burn_in, bf16, compiled
        self.judge: Any = judged
        kwargs = dict(arguments.pop("policy_kwargs", None) or {})
        if rig is not None:
            rig = rig_named(rig) if isinstance(rig, str) and ":" in rig else rig  # a checkpoint keeps the rig, not a name to import
            own = {"rig": rig, "spatial": spatial, "size": size, "temporal": temporal, "modality_dropout": modality_dropout}
            own["decision_s"] = _decision_s(env)
            defaults: dict[str, Any] = {"net_arch": {"pi": [64], "vf": [64]}}
            kwargs = defaults | kwargs | {"features_extractor_class": FusedExtractor, "features_extractor_kwargs": own}
        if kwargs.get("features_extractor_class") is FusedExtractor and policy in ("MultiInputPolicy", MultiInputActorCriticPolicy):
            policy = FusedPolicy
        super().__init__(policy, env, device=device_named(device), policy_kwargs=kwargs, **arguments)

    def _setup_model(self) -> None:
        shared = self.policy_kwargs.get("share_features_extractor", True)
        ours = isinstance(self.policy_class, type) and issubclass(self.policy_class, FusedPolicy)
        if self.rollout_buffer_class is None and shared and (ours or self.group.size > 1 or self.anchor_weight):
            self.rollout_buffer_class = Rollout
        super()._setup_model()
        if remembers(self.policy):
            chunk_length(self.n_steps, self.chunk)
            if not self.native:
                raise ConfigError("a driver with memory needs the rollout of its own; leave rollout_buffer_class out")
        if self.group.size > 1 and not self.native:
            raise ConfigError("several processes need the rollout of their own; leave rollout_buffer_class out")
        if self.compiled and self.device.type == "cuda":
            self.judge = torch.compile(judged)
        if self.auxiliary:
            self.tutor = Tutor(self)
        if self.anchor_weight and not self.native:
            raise ConfigError("an anchor needs the rollout of its own; leave rollout_buffer_class out")

    def anchor_to(self, reference: str | Path | ActorCriticPolicy) -> None:
        """Stay near a policy from now on; ``anchor_weight`` says how much. After loading a checkpoint it must be named again.

        Args:
            reference: A checkpoint, or a policy, which is frozen.

        Raises:
            CheckpointError: The checkpoint is damaged.
            ConfigError: It is for other observations or actions, or another one than before.
        """
        policy = reference if isinstance(reference, ActorCriticPolicy) else type(self).load(reference, device=self.device).policy
        anchor = Anchor(policy, self)
        if self._anchored_to not in (None, anchor.fingerprint):
            raise ConfigError(
                f"anchor_to: {reference} is not the policy that this learner was anchored to; begin a run of its own for another"
            )
        if self.anchor is None:
            anchor.memory = self._anchor_memory
        self.anchor, self._anchored_to = anchor, anchor.fingerprint

    @property
    def auxiliary_weight_now(self) -> float:
        """What the auxiliary lessons weigh at this point of the run."""
        return self.auxiliary * self._current_progress_remaining

    @property
    def anchor_weight_now(self) -> float:
        """What the distance from the anchor weighs at this point of the run."""
        return self.anchor_weight * (self._current_progress_remaining if self.anchor_annealed else 1.0)

    @property
    def native(self) -> bool:
        """Whether rollouts stay on the device, as tensors; else they are SB3's."""
        return isinstance(self.rollout_buffer, Rollout)

    @property
    def group(self) -> Group:
        """The processes that learn together with this one."""
        return Group.current()

    @property
    def settled(self) -> bool:
        """Whether the learner stands between two rollouts, where a checkpoint resumes exactly."""
        return self.num_timesteps == self._settled_timesteps

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Lower precision, where it is asked for and there is a GPU."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16 and self.device.type == "cuda"):
            yield

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> bool:
        """As in SB3, and stops before a number that is not finite reaches the policy.

        Raises:
            SensorFault: An observation is not finite.
            RewardFault: A reward is not finite.
            OutOfMemory: The device does not hold the rollout.
        """
        if self.num_timesteps == 0:
            self._settled_timesteps = 0
        if self._last_obs is not None:
            check_arrays(self._last_obs, self.num_timesteps)
        if not isinstance(rollout_buffer, Rollout):
            return super().collect_rollouts(FiniteEnv(env, self), callback, rollout_buffer, n_rollout_steps)
        if remembers(self.policy) and len(next(iter(self.memory.values()), ())) != env.num_envs:
            self.memory = fresh_memory(self, env.num_envs)
        with self.room(f"a rollout of {env.num_envs} worlds", "fewer environments or a smaller n_steps"):
            return collect(self, env, callback, rollout_buffer, n_rollout_steps)

    def train(self) -> None:
        """As in SB3; during the critic's warm-up, everything else stands still.

        Raises:
            OutOfMemory: The device does not hold a minibatch.
        """
        with self.room(f"an update by batches of {self.batch_size}", f"batch_size {max(1, self.batch_size // 2)}"):
            if self.num_timesteps <= self.critic_warmup_steps:
                fit_critic(self)
            elif self.native:
                update(self)
            else:
                super().train()
        self._settled_timesteps = self.num_timesteps

    @contextmanager
    def room(self, what: str, instead: str) -> Iterator[None]:
        """While something is made that may not fit into the device's memory.

        Args:
            what: What it is, for the message.
            instead: What to take instead.

        Raises:
            OutOfMemory: It did not fit.
        """
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(_no_room(what, self.device, instead)) from error
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
            raise OutOfMemory(_no_room(what, self.device, instead)) from error

    def learn(self, total_timesteps: int, callback: Any = None, *arguments: Any, **named: Any) -> Self:  # type: ignore[override]
        """As in SB3."""
        for option, name in ((self.bf16, "bf16"), (self.compiled, "compiled")):
            if option and self.device.type != "cuda":
                print(f"{name} is for GPUs; on {self.device} it does nothing", file=sys.stderr)
        return super().learn(total_timesteps, callback, *arguments, **named)

    def copy_policy(self, path: str | Path) -> None:
        """Start with another checkpoint's policy; its optimiser and counters are left behind.

        Raises:
            CheckpointError: The checkpoint is damaged, or of another size.
        """
        other = type(self).load(path, device=self.device).policy.state_dict()
        unlike = misfit(self.policy.state_dict(), other)
        if unlike is not None:
            raise CheckpointError(f"{path} does not fit as a warm start: {unlike}")
        self.policy.load_state_dict(other)

    def save(self, path: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """Save everything that resuming needs into a checkpoint folder, replacing one that is there in one step, with a model card.

        Of several processes all must save; the first one writes.

        Args:
            path: The folder; a ``.zip`` at its end, as SB3's callbacks add, is dropped. Or an open binary file, which is given the
                checkpoint's files as one uncompressed zip, without the card.
            exclude: Constructor arguments that are not kept; `load` then takes their defaults.
            include: Constructor arguments that are kept, though ``exclude`` names them.

        Raises:
            CheckpointError: The folder cannot be written, or the environment's state is not plain data.
            ConfigError: Something besides constructor arguments is to be left out or added.
        """
        left_out = _left_out(exclude or (), include or ())
        facts, learner = {}, dict[str, Tensor]()
        try:
            for name, part in self._parts(left_out).items():
                facts[name] = encode(part, learner, name)
        except PlainDataError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if self.group.first:
            tensors = {"weights": stored_weights(self.policy), "learner": learner}
            if isinstance(path, str | Path):
                write_checkpoint(folder_of(path), tensors, facts)
                write_card(folder_of(path), self)
            else:
                pack_checkpoint(path, tensors, facts)
        self.group.wait()

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: torch.device | str = "auto") -> None:
        """Take over weights and the optimiser's state, as in SB3, from `get_parameters` or from a checkpoint.

        Raises:
            CheckpointError: The checkpoint is damaged or foreign.
            ValueError: What is given does not fit.
        """
        given = load_path_or_dict
        if not isinstance(given, Mapping):
            given = type(self).load(given, device=self.device).get_parameters()
        super().set_parameters(given, exact_match, device)

    @classmethod
    def load(  # type: ignore[override]
        cls,
        path: str | Path | IO[bytes],
        env: Any = None,
        device: torch.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = False,
        **changed: Any,
    ) -> Self:
        """Load a checkpoint folder.

        With an environment the learner resumes where it stood: generators of torch, numpy and Python, optimiser, counters, and, where the
        environment has ``load_state`` and the checkpoint was saved between two rollouts, its worlds, the last observation and the memory.
        Otherwise episodes start anew. Without an environment it can only predict, and no generator is touched.

        Args:
            path: The folder, with or without SB3's ``.zip``; or a file that `save` wrote into, by its name or open.
            env: Environment to go on learning in.
            device: "cpu", "cuda" or "auto".
            custom_objects: As in SB3, by name what stands in for what was stored: constructor arguments, the spaces or ``lr_schedule``.
                Other names are classes and functions that the checkpoint may name besides the project's and SB3's own.
            print_system_info: Print versions, as in SB3.
            force_reset: Start episodes anew in any case.
            changed: Constructor arguments to use instead of the stored ones.

        Raises:
            CheckpointError: The checkpoint is damaged, foreign, of another size, or for other observations or actions.
            ConfigError: The device is not there.
        """
        if print_system_info:
            from stable_baselines3.common.utils import get_system_info

            get_system_info()
        place = opened(folder_of(path)) if isinstance(path, str | Path) else unpacked(path)
        tensors, facts = read_checkpoint(place)
        own = dict(custom_objects or {})
        schedule = own.pop("lr_schedule", None)
        changed = {name: own.pop(name) for name in ARGUMENTS if name in own} | changed
        try:
            facts["arguments"] = {name: value for name, value in facts["arguments"].items() if name not in changed}
            stored = decode(facts, tensors["learner"], own)
            stored["counters"] |= {name: own[name] for name in COUNTERS if name in own}
            check_names((stored["arguments"].get("policy_kwargs") or {}).get("features_extractor_kwargs"))
            model = cls._rebuilt(stored, env, device, changed, NoLargerThan(tensors["weights"]))
            model.lr_schedule = model.lr_schedule if schedule is None else schedule
            model._fill(stored, tensors["weights"])
            if env is not None:
                model._resume(stored, force_reset)
        except ConfigError:
            raise
        except Exception as error:  # whatever a crafted file makes SB3, gymnasium or torch say
            raise CheckpointError(f"{place} does not fit: {' '.join(str(error).split())}") from error
        return model

    @classmethod
    def _rebuilt(
        cls, stored: Mapping[str, Any], env: Any, device: torch.device | str, changed: dict[str, Any], bound: NoLargerThan
    ) -> Self:
        """A learner of the stored shape with fresh weights; global generators stay as they were."""
        wrapped = cls._wrap_env(env) if env is not None else None
        if wrapped is not None:
            check_for_correct_spaces(wrapped, stored["counters"]["observation_space"], stored["counters"]["action_space"])
        arguments = {**stored["arguments"], **changed}
        if arguments.get("rollout_buffer_class") in (RolloutBuffer, DictRolloutBuffer, Rollout):
            arguments["rollout_buffer_class"] = None  # chosen anew
        model = cls(stored["policy_class"], wrapped, device=device, _init_setup_model=False, **arguments)
        for name in COUNTERS:
            setattr(model, name, stored["counters"][name])
        if wrapped is not None:
            model.n_envs = wrapped.num_envs
        seed, model.seed, model.env = model.seed, None, None  # with a seed, building would reseed every generator and the environment
        with torch.random.fork_rng(), bound:
            model._setup_model()
        model.seed, model.env = seed, wrapped
        return model

    def _parts(self, left_out: set[str]) -> dict[str, Any]:
        """Everything a checkpoint keeps besides the weights and the arguments that are left out."""
        own, *others = standing_of_all(self)
        return {
            "arguments": {name: getattr(self, name) for name in ARGUMENTS if name not in left_out},
            "policy_class": self.policy_class,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "optimiser": self.policy.optimizer.state_dict(),
            "generators": generators(self.device),
            "settled": self.settled,
            "tutor": self.tutor.state() if self.tutor is not None else None,
            "anchored_to": self._anchored_to,
            "beside": self.beside,
            **own,
            "others": others,
            "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__},
        }

    def _fill(self, stored: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Put weights and optimiser in place, in the memory layout of the parameters, on which exact rounding depends."""
        fill_weights(self.policy, weights)
        fill_optimiser(self.policy.optimizer, stored["optimiser"])
        if self.tutor is not None and stored.get("tutor"):
            self.tutor.heads.load_state_dict(stored["tutor"]["heads"])
            fill_optimiser(self.tutor.optimiser, stored["tutor"]["optimiser"])
        self._anchored_to = stored.get("anchored_to")
        self.beside = stored.get("beside") or {}

    def _resume(self, stored: Mapping[str, Any], force_reset: bool) -> None:
        restore_generators(stored["generators"], self.device)
        self._settled_timesteps = self.num_timesteps
        load_state = getattr(self.env, "load_state", None)
        everyone = [stored, *stored.get("others", ())]
        if len(everyone) != self.group.size or stored["counters"]["n_envs"] != self.n_envs:
            return
        own = everyone[self.group.rank]
        if callable(load_state) and own["environment"] is not None and not force_reset and tells_all(self.env):
            load_state(own["environment"])
            self._last_obs = own["last_observation"]
            self._last_episode_starts = own["last_episode_starts"]
            self.memory = {name: part.to(self.device) for name, part in (own.get("memory") or {}).items()}
            self._anchor_memory = {name: part.to(self.device) for name, part in (own.get("anchor_memory") or {}).items()}


def fill_optimiser(optimiser: torch.optim.Optimizer, stored: Mapping[str, Any]) -> None:
    """Take up an optimiser's state, in the memory layout of the parameters, on which exact rounding depends."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number, entries in stored["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameters[number].shape:
                entries[name] = torch.empty_like(parameters[number]).copy_(value)
    optimiser.load_state_dict(dict(stored))


def _left_out(exclude: Iterable[str], include: Iterable[str]) -> set[str]:
    """Which constructor arguments a checkpoint does without."""
    left_out = set(exclude) - set(include)
    for name in (*left_out, *include):
        if name not in ARGUMENTS:
            raise unknown_name("constructor argument to exclude from or include in a checkpoint", name, ARGUMENTS)
    return left_out


def _no_room(what: str, device: torch.device, instead: str) -> str:
    return f"{device} has too little memory for {what}; take {instead}, or resume the last checkpoint with them. Nothing saved is lost"


def _decision_s(env: Any) -> float:
    """Time between two decisions of an environment [s], 1 where it does not say."""
    world = getattr(getattr(env, "unwrapped", env), "world", None)
    return float(getattr(world, "policy_dt_s", 1.0)) if world is not None else 1.0
