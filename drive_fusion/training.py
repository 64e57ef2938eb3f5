"""``drive-fusion train``: PPO for the fused driver, on the world's reward or on one learned from people."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive_fusion.loop.config import LoopConfig
from sensors.errors import ConfigError, SensorFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drive_fusion.distributed import Group
    from drive_fusion.ppo import FusedPPO

PRIVILEGED = "privileged"
"""As in `drive_fusion.privileged`, which is not imported for the command line's help."""
FREE_TO_CHANGE = ("resume", "steps", "device", "threads", "save_every", "study", "bf16", "compiled", "alternate", "loop")
"""Settings that a resumed run may have otherwise than it began with."""
LATER = {"temporal": "none", "size": "micro", "modality_dropout": 0.0, "keep": "auto", "chunk": None, "burn_in": 4} | {
    "auxiliary": 0.0,
    "practice": 0.0,
    "anchor": None,
    "anchor_weight": 0.0,
    "anchor_annealed": True,
    "conditions": None,
    "scripted_reward": False,
    "value_weight": 0.5,
    "lr_annealed": False,
    "duration_s": None,
}
"""Settings that older runs do not name, and what they had."""


@dataclass(frozen=True)
class TrainConfig:
    """Options of ``drive-fusion train``."""

    study: Path = Path("studies/train")
    """The study's folder; the run goes into its runs/NAME."""
    run: str = "ppo"
    """The run's name."""
    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    rig: str = "micro"
    """The sensors that the driver sees with; 'none' is highway-env's own observation, 'privileged' the state of the world itself."""
    spatial: str = "concat"
    """How the modalities' bird's-eye maps are fused: concat, sum, attention, graph or hybrid."""
    temporal: str = "none"
    """What is remembered from one decision to the next: none, stack, gru, conv_gru or transformer."""
    size: str = "micro"
    """How big the network is: micro, nano, base or large."""
    modality_dropout: float = 0.0
    """Chance of each sense to fall silent for a stretch of training, so that the driver learns to do without."""
    keep: str = "auto"
    """What a rollout keeps of observations: frames; scenes, which minibatches are rendered from again; auto is scenes where they do."""
    chunk: int | None = None
    """With a memory, consecutive decisions that are unrolled at once; unless given, the longest divisor of n_steps up to 16."""
    burn_in: int = 4
    """With a memory, decisions that are run before a chunk."""
    bf16: bool = False
    """On a GPU: networks in bfloat16."""
    compiled: bool = False
    """On a GPU: the network's heads through torch.compile."""
    reward: Path | None = None
    """A learned reward's folder; without one, the world's own reward is learned from."""
    scripted_reward: bool = False
    """Learn from what the scripted teachers like instead of the world's own reward: per second 1 + (progress - 20 m) / 10, less 0.5 where
    the headway is under a second; -10 for a crash, -0.1 for a lane change."""
    crash_penalty: float = 0.0
    """Taken off the world's own or the scripted reward where the ego crashes. highway-env's own reward makes a crash cheap."""
    warm_start: Path | None = None
    """A checkpoint whose policy is the first one, for example a clone."""
    auxiliary: float = 0.0
    """Weight, at the start, of lessons on what the simulator knows of each decision (occupancy, velocities, ground, faults); falls to 0."""
    anchor: Path | None = None
    """A checkpoint to stay near: weight times KL(policy || its policy) is added to the loss."""
    anchor_weight: float = 0.0
    """How much staying near the anchor weighs at the start."""
    anchor_annealed: bool = True
    """Let the anchor's weight fall to 0 along the run; otherwise it stays."""
    critic_warmup: int = 0
    """Steps at the start in which only the critic learns, so that a warm start is not lost to a critic that knows nothing."""
    conditions: str | None = None
    """Each episode's own weather and faults, drawn from a suite: mixed; a clear noon and sound sensors unless given."""
    duration_s: float | None = None
    """Length of training episodes; the id's own unless given. Short ones meet what happens near an episode's start more often."""
    num_envs: int = 64
    """Worlds stepped side by side; torchrun's processes share them."""
    steps: int = 100_000
    """Environment steps in all; the last rollout is finished."""
    seed: int = 0
    """Seed of weights, exploration and traffic."""
    lr: float = 3e-4
    """Adam's learning rate."""
    lr_annealed: bool = False
    """Let the learning rate fall to 0 along the run; otherwise it stays."""
    n_steps: int = 16
    """Decisions of every world between updates."""
    batch: int = 512
    """Decisions a gradient step; must divide num_envs times n_steps."""
    epochs: int = 3
    """Passes over a rollout."""
    gamma: float = 0.95
    """Discount factor a decision."""
    gae_lambda: float = 0.9
    """Generalised advantage estimation's lambda."""
    clip: float = 0.2
    """PPO's clip range."""
    entropy: float = 0.01
    """Weight of the policy's entropy."""
    value_weight: float = 0.5
    """Weight of the critic's loss, whose size goes with the square of the returns: less where rewards are large."""
    target_kl: float | None = 0.03
    """An update stops early when the policy has moved further than one and a half times this."""
    device: str = "auto"
    """Where the network runs: cpu, cuda or auto."""
    threads: int = 0
    """Threads of torch; 0 is one a core. A resumed run is bit-equal only with as many."""
    save_every: int = 10_000
    """Steps between checkpoints."""
    resume: bool = False
    """Go on with the run where its last checkpoint stands."""
    alternate: bool = False
    """Let rollouts, questions, answers, the reward's update and PPO take turns; steps are then those of each turn."""
    loop: LoopConfig = LoopConfig()
    """How they take turns."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "steps", "n_steps", "batch", "epochs", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train: {name} is {getattr(self, name)}, expected 1 or more")
        for name in (
            "seed",
            "threads",
            "critic_warmup",
            "crash_penalty",
            "entropy",
            "burn_in",
            "auxiliary",
            "anchor_weight",
            "value_weight",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"train: {name} is {getattr(self, name)}, expected 0 or more")
        for name, value, most in (("gamma", self.gamma, 1.0), ("gae_lambda", self.gae_lambda, 1.0 + 1e-12)):
            if not 0.0 <= value < most:
                raise ConfigError(f"train: {name} is {value}, expected 0 to 1")
        if not 0.0 <= self.modality_dropout <= 1.0:
            raise ConfigError(f"train: modality_dropout is {self.modality_dropout}, expected 0 to 1")
        if not self.sees and (self.temporal, self.modality_dropout, self.auxiliary) != ("none", 0.0, 0.0):
            raise ConfigError(
                f"train: with rig {self.rig!r} there are no senses to fuse; leave temporal, modality_dropout and auxiliary out"
            )
        if (self.anchor is None) != (self.anchor_weight == 0.0):
            raise ConfigError("train: anchor and anchor_weight belong together: a checkpoint to stay near, and how much that weighs")
        if self.duration_s is not None and not self.duration_s > 0.0:
            raise ConfigError(f"train: duration_s is {self.duration_s}, expected above 0")
        if not self.lr > 0.0 or not self.clip > 0.0:
            raise ConfigError(f"train: lr {self.lr} and clip {self.clip} must be above 0")
        if self.num_envs * self.n_steps % self.batch:
            raise ConfigError(
                f"train: a rollout has num_envs {self.num_envs} x n_steps {self.n_steps} = {self.num_envs * self.n_steps} decisions, "
                f"expected a multiple of batch {self.batch}"
            )
        if Path(self.run).name != self.run or self.run in ("", ".", ".."):
            raise ConfigError(f"train: run is {self.run!r}, expected a plain name: it becomes a folder in the study's runs/")
        if self.reward is not None and (self.crash_penalty or self.scripted_reward):
            raise ConfigError("train: crash_penalty belongs to the world's own reward; a learned reward has its own opinion of crashes")

    @property
    def sees(self) -> bool:
        """Whether the driver has sensors."""
        return self.rig not in ("none", PRIVILEGED)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.study / "runs" / self.run

    @property
    def last_checkpoint(self) -> Path:
        """Where the newest checkpoint lies."""
        return self.folder / "checkpoints" / "last"


def train(config: TrainConfig, watch: Callable[[FusedPPO], bool] | None = None, points: int = 10) -> Path:
    """Train a driver.

    Args:
        config: How. With ``resume``, the run goes on where its last checkpoint stands, bit-equal to one that was never stopped (CPU, same
            machine, versions and threads).
        watch: Shown the learner now and then, between an update and the next rollout; training ends where it returns False.
        points: How often, the end included.

    Returns:
        The run's folder: config.json, checkpoints/last and tensorboard/.

    Raises:
        ConfigError: The run exists and is not to be resumed, or was begun with other settings, or some name is unknown.
        CheckpointError: The checkpoint to start from does not fit.
        KeyboardInterrupt: Ctrl-C; what was learned is in the last checkpoint.
    """
    if config.alternate:
        from drive_fusion.loop.rounds import alternate

        return alternate(config)
    from drive_fusion.distributed import leave
    from drive_fusion.ppo import OutOfMemory, RewardFault
    from drive_fusion.watch import Enough, Stopped, TrainingWatch

    group = _joined(config)
    prepare_threads(config)
    if group.first:
        begin(config)
    group.wait()
    model = resumed(config) if config.resume else learner(config)
    following = TrainingWatch(config.last_checkpoint, config.steps, config.save_every, watch, points)
    log_to(model, config.folder / "tensorboard", group.first)
    try:
        with following.listening():
            model.learn(max(0, config.steps - model.num_timesteps), callback=following, reset_num_timesteps=not config.resume)
    except Enough:
        pass
    except Stopped:
        if not group.first:
            raise KeyboardInterrupt from None
        print(f"stopped at {model.num_timesteps} of {config.steps} steps; the checkpoint is {config.last_checkpoint}", file=sys.stderr)
        print(f"go on with: drive-fusion train --study {config.study} --run {config.run} … --resume", file=sys.stderr)
        raise KeyboardInterrupt from None
    except (SensorFault, RewardFault, OutOfMemory):
        if group.size == 1:
            model.save(config.last_checkpoint)  # the weights of the last update; episodes start anew from here
        raise
    model.save(config.last_checkpoint)
    leave()
    return config.folder


def _joined(config: TrainConfig) -> Group:
    """The processes that torchrun started, this one among them; alone without it."""
    from drive_fusion.distributed import join

    group = join(_torch_device(config))
    if config.num_envs % group.size:
        raise ConfigError(f"train: {group.size} processes cannot share num_envs {config.num_envs} evenly; choose a multiple")
    return group


def learner(config: TrainConfig) -> FusedPPO:
    """A fresh learner, with the warm start's policy where one is named."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")  # SB3 sees the share of one process
        model = _built(config)
    if config.warm_start is not None:
        model.copy_policy(config.warm_start)
    if config.anchor is not None:
        model.anchor_to(config.anchor)
    return model


def _built(config: TrainConfig) -> FusedPPO:
    from gymnasium import spaces
    from stable_baselines3.common.utils import LinearSchedule

    from drive_fusion.ppo import FusedPPO
    from drive_fusion.privileged import PrivilegedExtractor

    worlds = environment(config)
    told = {"features_extractor_class": PrivilegedExtractor, "net_arch": {"pi": [128, 128], "vf": [128, 128]}}
    return FusedPPO(
        "MultiInputPolicy" if isinstance(worlds.observation_space, spaces.Dict) else "MlpPolicy",  # also parking's own has parts
        worlds,
        policy_kwargs=told if config.rig == PRIVILEGED else None,
        rig=config.rig if config.sees else None,
        spatial=config.spatial,  # type: ignore[arg-type]
        temporal=config.temporal,  # type: ignore[arg-type]
        size=config.size,
        modality_dropout=config.modality_dropout,
        keep=config.keep,  # type: ignore[arg-type]
        chunk=config.chunk,
        burn_in=config.burn_in,
        bf16=config.bf16,
        compiled=config.compiled,
        device=_device(config),
        seed=config.seed,
        learning_rate=LinearSchedule(config.lr, 0.0, 1.0) if config.lr_annealed else config.lr,
        n_steps=config.n_steps,
        batch_size=config.batch,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.entropy,
        vf_coef=config.value_weight,
        target_kl=config.target_kl,
        critic_warmup_steps=config.critic_warmup,
        auxiliary=config.auxiliary,
        anchor_weight=config.anchor_weight,
        anchor_annealed=config.anchor_annealed,
    )


def resumed(config: TrainConfig) -> FusedPPO:
    """The learner of the run's last checkpoint."""
    from drive_fusion.ppo import FusedPPO

    model = FusedPPO.load(config.last_checkpoint, env=environment(config), device=_device(config))
    if config.anchor is not None:
        model.anchor_to(config.anchor)
    return model


def environment(config: TrainConfig) -> Any:
    """The worlds to train in, paying the reward that the config names."""
    from drive_fusion.distributed import Group
    from drive_fusion.privileged import make_privileged_vec
    from drive_fusion.rewards import CrashPenalty, ScriptedReward
    from envs.sb3 import make_sb3_vec

    group = Group.current()
    share: dict[str, Any] = {"seed": config.seed, "part": (group.rank, group.size), "conditions": config.conditions}
    if config.duration_s is not None:
        share["config"] = {"duration": config.duration_s}
    if config.rig == PRIVILEGED:
        venv: Any = make_privileged_vec(config.id, config.num_envs // group.size, **share)
    else:
        venv = make_sb3_vec(config.id, config.num_envs // group.size, rig=config.rig if config.sees else None, **share)
    if config.reward is not None:
        from feedback.reward_model import RewardModel
        from feedback.reward_vec import RewardVecEnv

        return RewardVecEnv(venv, RewardModel.load(config.reward), config.gamma, centred=True, agreed=group.mean)
    venv = ScriptedReward(venv) if config.scripted_reward else venv
    return CrashPenalty(venv, config.crash_penalty) if config.crash_penalty else venv


def _device(config: TrainConfig) -> str:
    device = _torch_device(config)
    if config.device == "auto":
        print(f"train: device auto is {device}", file=sys.stderr)
    return str(device)


def _torch_device(config: TrainConfig) -> Any:
    """The device of this process: of several on one machine each has a GPU of its own."""
    from sensors.device import device_named

    device = device_named(config.device)
    rank = os.environ.get("LOCAL_RANK")
    return device_named(f"cuda:{rank}") if device.type == "cuda" and device.index is None and rank is not None else device


def prepare_threads(config: TrainConfig) -> None:
    """Give torch the threads that a run asks for."""
    import torch

    from drive_fusion.distributed import Group

    torch.set_num_threads(config.threads or max(1, (os.cpu_count() or 1) // Group.current().size))


def begin(config: TrainConfig, command: Any = None, free: Sequence[str] = FREE_TO_CHANGE) -> None:
    """Claim the run's folder, or check that it was begun with the same settings.

    Args:
        config: Of the run.
        command: The settings to write down, where they are another command's.
        free: Those that a resumed run may have otherwise than it began with.

    Raises:
        ConfigError: The run exists and is not to be resumed, or was begun with other settings.
    """
    from drive_fusion.study import read_json, write_json

    path = config.folder / "config.json"
    settings = json.loads(json.dumps(asdict(command or config), default=str))
    if not config.resume:
        if path.exists() and config.last_checkpoint.exists():
            raise ConfigError(f"run {config.folder} exists; go on with --resume, or choose another --run")
        write_json(path, settings)
        return
    if not path.exists() or not config.last_checkpoint.exists():
        raise ConfigError(f"run {config.folder} has no checkpoint yet; leave --resume out")
    begun = read_json(path, "the settings of a run", "restore it, or choose another --run")
    if not isinstance(begun, dict):
        raise ConfigError(f"{path} holds {type(begun).__name__}, expected the run's settings; restore it, or choose another --run")
    differing = sorted(key for key in settings if key not in free and settings[key] != begun.get(key, LATER.get(key)))
    if differing:
        changes = ", ".join(f"{key} {begun.get(key, LATER.get(key))!r} -> {settings[key]!r}" for key in differing)
        raise ConfigError(f"run {config.folder} was begun with other settings ({changes}); give the same, or choose another --run")


def log_to(model: FusedPPO, folder: Path, written: bool = True) -> None:
    """Write a learner's figures for TensorBoard."""
    from stable_baselines3.common.logger import Logger, configure

    model.set_logger(configure(str(folder), ["tensorboard"]) if written else Logger(None, []))
