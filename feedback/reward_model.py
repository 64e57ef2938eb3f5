"""The reward that was learned from people: r(scene, action, next scene, terminal).

An ensemble says how good a decision is, a hazard how likely somebody would take the wheel because of it. What the learner gets is the
ensemble's mean, less a share of its disagreement, less the hazard's weight: ``mean - lambda * spread - kappa * H``. Scale and zero are
anchored on a frozen set of reference windows: their mean reward is 0 and its deviation 1, for every member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from feedback.ensemble import Ensemble, SetEnsemble
from feedback.hazard import Hazard, HazardConfig, Ride
from feedback.heads import ACTOR_HEADS, HEADS, heads_of, sees
from feedback.model_file import ModelFileError, load_model, save_model
from feedback.panel import Answers
from feedback.reaction import ReactionTime
from feedback.windows import TOKEN, WindowConfig, Windows, feature_names, windows
from sensors.errors import ConfigError
from sensors.scene import Scene

if TYPE_CHECKING:
    from feedback.reward_fit import Comparison, FitReport, RideWindows

KIND = "reward model 2"
SMALLEST_SCALE = 1e-6
ENDED_DEVIATION = 5.0
"""Raw reward of a decision after the end, before any answer was seen: so that answers without a mistake do not drive it on for ever."""
CRASH_SCALE = 100.0
"""How much wider the belief about a crash's own weight is than about other features': a crash comes with decisions spent dead, and the
cost would else be put on those."""


@dataclass(frozen=True)
class RewardConfig:
    """How the reward is learned and used."""

    windows: WindowConfig = WindowConfig()
    """What the model sees of a decision."""
    hazard: HazardConfig = HazardConfig()
    """How the takeover hazard is learned."""
    members: int = 5
    """Networks in the ensemble."""
    hidden: int = 16
    """Units of a hidden layer of each named part."""
    steps: int = 300
    """Most updates."""
    learning_rate: float = 5e-3
    """Step size of Adam."""
    weight_deviation: float = 0.3
    """Standard deviation that the networks' weights are believed to have: smaller for fewer labels."""
    line_scale: float = 0.1
    """Scale of the Cauchy belief about the weights of each part's line: most features mean nothing, a few mean much."""
    folds: int = 6
    """Start states fall into this many parts: one for the report, one for each member to stop by, the rest to learn from. With one more
    than members, every answer is unseen by somebody, and serves to know its reviewer."""
    spread_penalty: float = 0.5
    """lambda: how much of the members' disagreement is taken off the reward."""
    reference_windows: int = 512
    """Most windows in the reference set that anchors the scale."""
    reviewer_draws: int = 600
    """Draws of each of the sampler's chains for the report on reviewers, where comparisons name them; 0: no such report."""
    seed: int = 0
    """Seed of the first weights, the bootstrap and the parts."""

    def __post_init__(self) -> None:
        if self.members < 1 or self.folds < max(self.members + 1, 3):
            raise ConfigError(
                f"RewardConfig got members={self.members} and folds={self.folds}, expected folds > members >= 1, and at least 3 folds"
            )
        if self.reviewer_draws < 0:
            raise ConfigError(f"RewardConfig.reviewer_draws is {self.reviewer_draws}, expected 0 or more")
        if not (self.weight_deviation > 0 and self.line_scale > 0):
            raise ConfigError(
                f"RewardConfig got weight_deviation={self.weight_deviation} and line_scale={self.line_scale}, expected numbers above 0"
            )
        if self.spread_penalty < 0:
            raise ConfigError(f"RewardConfig.spread_penalty is {self.spread_penalty}, expected 0 or more")


class RewardNet(nn.Module):
    """Raw reward of every member, as a sum of named parts: networks on live windows, one number each for dead and arrived."""

    def __init__(
        self, width: int, hidden: int, members: int, generator: torch.Generator | None = None, config: WindowConfig | None = None
    ) -> None:
        """Make untrained members for rows of ``width`` numbers, which ``config`` lays out (the defaults if none).

        Raises:
            ConfigError: The rows are not as long as the layout.
        """
        super().__init__()
        config = config or WindowConfig()
        seen, names = sees(config), feature_names(config)
        if len(names) != width:
            raise ConfigError(f"RewardNet got rows of {width} numbers, expected {len(names)} for {config}")
        self.members, self.neighbours, self.heads = members, config.num_neighbours, heads_of(config)
        self.ensemble = Ensemble(width, hidden, members * len(self.heads), generator, seen.repeat(members, 1))
        self.crash = None if config.given else (self.heads.index("gap"), names.index("crash"))
        """The part that sees whether a decision ended in a crash, and the place of that among its features; None where nothing tells."""
        self.first_token = names.index("neighbour0_there") if self.neighbours else 0
        self.actors = SetEnsemble(TOKEN, hidden, members * len(ACTOR_HEADS), generator) if self.neighbours else None
        self.ended = nn.Parameter(torch.zeros(members, 2))  # dead, arrived
        self.matters = torch.tensor([[CRASH_SCALE if name == "crash" else 1.0] for name in names])  # (F, 1)

    def unlikely(self, weight_deviation: float, line_scale: float) -> Tensor:
        """How unlikely each member's weights are before any answer was seen, -log p up to a constant, (E,)."""
        squares = self.ensemble.squared_weights().reshape(self.members, -1).sum(1)
        if self.actors is not None:
            squares = squares + self.actors.squared_weights().reshape(self.members, -1).sum(1)
        ended = (self.ended / ENDED_DEVIATION).square().sum(1)
        steepness = self.ensemble.steepness(line_scale * self.matters).reshape(self.members, -1).sum(1)
        return 0.5 * (squares / weight_deviation**2 + ended) + steepness

    def live_parts(self, features: Tensor) -> Tensor:
        """Raw parts of N live windows, (N, F) to (E, H, N)."""
        parts: Tensor = self.ensemble(features).reshape(self.members, len(self.heads), -1)
        if self.actors is None:
            return parts
        tokens = features[:, self.first_token : self.first_token + self.neighbours * TOKEN].reshape(len(features), self.neighbours, TOKEN)
        of_actors = self.actors(tokens).reshape(self.members, len(ACTOR_HEADS), -1)
        places = torch.tensor([HEADS.index(name) for name in ACTOR_HEADS], device=features.device)
        return parts.index_add(1, places, of_actors)

    def live(self, features: Tensor) -> Tensor:
        """Raw reward of N live windows, (N, F) to (E, N)."""
        return self.live_parts(features).sum(1)

    def forward(self, seen: Windows) -> Tensor:
        """Reward of N windows by E members, (E, N)."""
        raw = self.live(seen.features)
        raw = torch.where(seen.dead, self.ended[:, :1], raw)
        return torch.where(seen.arrived, self.ended[:, 1:], raw)


@dataclass(frozen=True)
class RewardParts:
    """What a reward is made of, each (N,)."""

    mean: Tensor
    spread: Tensor
    hazard: Tensor  # H = -log(1 - h)


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A learned reward, ready for use."""

    config: RewardConfig
    net: RewardNet
    reference: Tensor  # (R, F) windows that anchor scale and zero
    answers: Answers = Answers()
    hazard: Hazard | None = None
    anchor: Tensor = field(init=False)
    """Mean and deviation of each member's raw reward on the reference windows, (2, E, 1)."""
    about: dict[str, Any] = field(default_factory=dict)
    """What it was learned from and how well: hash of the labels, counts, held-out figures."""

    def __post_init__(self) -> None:
        with torch.no_grad():
            none = torch.zeros(len(self.reference), dtype=torch.bool, device=self.reference.device)
            raw = self.net(Windows(self.reference, none, none))
        deviation = raw.std(1, correction=0).clamp(min=SMALLEST_SCALE)
        object.__setattr__(self, "anchor", torch.stack((raw.mean(1), deviation))[..., None])

    @classmethod
    def fit(
        cls,
        rides: Mapping[str, RideWindows],
        comparisons: Sequence[Comparison],
        watched: Sequence[Ride] = (),
        config: RewardConfig | None = None,
        previous: RewardModel | None = None,
    ) -> tuple[RewardModel, FitReport]:
        """Learn a reward; see ``feedback.reward_fit.fit_reward``."""
        from feedback.reward_fit import fit_reward

        return fit_reward(rides, comparisons, watched, config, previous)

    def member_rewards(self, seen: Windows) -> Tensor:
        """Anchored reward of N windows by E members, (E, N)."""
        mean, deviation = self.anchor
        raw: Tensor = self.net(seen)
        anchored: Tensor = (raw - mean) / deviation
        return anchored

    def heads(self, seen: Windows) -> dict[str, Tensor]:
        """The named parts of N windows' mean reward, each (N,): they sum to ``parts(seen).mean``.

        Each part is told against its mean on the reference windows. What follows an end is a part of its own, ``ended``.
        """
        with torch.no_grad():
            usual = self.net.live_parts(self.reference).mean(2, keepdim=True)
            scaled = (self.net.live_parts(seen.features) - usual) / self.anchor[1][:, None]  # (E, H, N)
            live = seen.live
            told = {name: scaled[:, place].mean(0) * live for place, name in enumerate(self.net.heads)}
            return told | {"ended": self.member_rewards(seen).mean(0) * ~live}

    def parts(self, seen: Windows) -> RewardParts:
        """What the reward of N windows is made of."""
        with torch.no_grad():
            members = self.member_rewards(seen)
            mean = members.mean(0)
            hazard = torch.zeros_like(mean) if self.hazard is None else self.hazard.cumulative(seen.features, seen.live)
            return RewardParts(mean, members.std(0, correction=0), hazard)

    def reward_of(self, seen: Windows) -> Tensor:
        """The learner's reward of N windows, (N,): mean - lambda * spread - kappa * H."""
        parts = self.parts(seen)
        return parts.mean - self.config.spread_penalty * parts.spread - self.answers.takeover_weight * parts.hazard

    def reward(self, scene: Scene, actions: Tensor, next_scene: Scene, terminal: Tensor, *, autopilot: Tensor | None = None) -> Tensor:
        """The learner's reward of one decision in each of B worlds.

        Args:
            scene: What the driver saw.
            actions: What it chose, int64 (B,) or numbers (B, C).
            next_scene: One decision later, before any reset.
            terminal: Whether the episode ended with it (a time limit is no end), (B,) bool.
            autopilot: Where the world drove and the action was ignored, (B,) bool.

        Returns:
            (B,) float32. A world whose ego had crashed before gets ``absorbing_reward``.

        Raises:
            ConfigError: The actions do not fit the model.
        """
        return self.reward_of(windows(scene, actions, next_scene, terminal, self.config.windows, autopilot=autopilot))

    def after_the_end(self, next_scene: Scene) -> Tensor:
        """Reward of every decision after an episode has ended in ``next_scene``, (B,): a crash or an arrival lasts for ever."""
        dead, arrived = self._absorbing()
        return torch.where(next_scene.crashed[:, 0], dead, arrived)

    @property
    def absorbing_reward(self) -> float:
        """Reward of every decision after a crash."""
        return float(self._absorbing()[0])

    @property
    def arrival_reward(self) -> float:
        """Reward of every decision after an episode that ended without a crash."""
        return float(self._absorbing()[1])

    def _absorbing(self) -> Tensor:
        flags = torch.eye(2, dtype=torch.bool, device=self.reference.device)
        return self.reward_of(Windows(torch.zeros_like(self.reference[:1]).expand(2, -1), flags[0], flags[1]))

    def to(self, device: str | torch.device) -> RewardModel:
        """The same model on another device; this one is moved with it."""
        hazard = None if self.hazard is None else self.hazard.to(device)
        return replace(self, net=self.net.to(device), reference=self.reference.to(device), hazard=hazard)

    def save(self, path: str | Path) -> str:
        """Write one file, atomically; gives the content's hash.

        Raises:
            ModelFileError: It cannot be written.
        """
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()} | {"reference": self.reference}
        if self.hazard is not None:
            tensors |= {f"hazard.{name}": tensor for name, tensor in self.hazard.state_dict().items()}
        return save_model(path, KIND, tensors, {"config": asdict(self.config), "answers": asdict(self.answers), "about": self.about})

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> RewardModel:
        """Read a model that ``save`` wrote.

        Raises:
            ModelFileError: It is missing, damaged, or no reward model.
        """
        tensors, settings = load_model(path, KIND)
        try:
            config = _config_from(settings["config"])
            _check_asked(config, sum(tensor.numel() for tensor in tensors.values()))
            width = len(feature_names(config.windows))
            net = RewardNet(width, config.hidden, config.members, config=config.windows)
            net.load_state_dict(_under("net.", tensors))
            hazard = (
                Hazard(width, config.hazard.hidden, members=config.hazard.members)
                if any(name.startswith("hazard.") for name in tensors)
                else None
            )
            if hazard is not None:
                hazard.load_state_dict(_under("hazard.", tensors))
                hazard.requires_grad_(False)
            net.requires_grad_(False)
            model = cls(config, net, tensors["reference"], Answers(**settings["answers"]), hazard, settings["about"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            raise ModelFileError(f"{path} does not fit this version's reward model: {error}; learn it again from the labels") from error
        return model.to(device)


def _check_asked(config: RewardConfig, numbers: int) -> None:
    """Refuse settings that ask for more than the file's own numbers could fill, before anything is made."""
    asked = max(config.hidden * config.members, config.hazard.hidden * config.hazard.members, config.windows.num_neighbours)
    if asked > numbers:
        raise ValueError(f"its settings ask for {asked} units, and it has {numbers} numbers")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _config_from(settings: dict[str, Any]) -> RewardConfig:
    hazard = dict(settings["hazard"])
    reaction = ReactionTime(**hazard.pop("reaction"))
    rest = {name: value for name, value in settings.items() if name not in ("windows", "hazard")}
    return RewardConfig(windows=WindowConfig(**settings["windows"]), hazard=HazardConfig(reaction=reaction, **hazard), **rest)
