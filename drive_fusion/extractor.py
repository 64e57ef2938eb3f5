"""The fused driver's eyes: camera, lidar, radar and ego observation to one feature vector, as an SB3 features extractor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from drive_fusion.bev import BevGrid
from drive_fusion.dropout import ModalityDropout
from drive_fusion.encoders import CameraEncoder, EgoEncoder, LidarEncoder, RadarEncoder, ego_speed_mps
from drive_fusion.fusion import Missing, Spatial, spatial_fusion
from drive_fusion.memory import State, Temporal, vector_memory
from sensors.errors import ConfigError, unknown_name
from sensors.presets import rig_named
from sensors.rig import Rig


@dataclass(frozen=True)
class ModelSize:
    """How big the driver's network is."""

    grid: BevGrid = field(default_factory=BevGrid)
    """16 x 32 cells of 6.4 m x 1.6 m: long as a gap to the next car, narrow enough to tell a lane's edge from its middle."""
    width: int = 8
    """Channels of each modality's map and of the fused one. The 3 x 3 fusion layer is the costliest of all, in proportion to its square."""
    camera_channels: tuple[int, int] = (16, 24)
    """Channels of the camera's two layers."""
    depth_bins: int = 8
    """Depths at which a camera feature may lie."""
    point_hidden: int = 16
    """Hidden width of the lidar's and the radar's point networks."""
    neck: tuple[int, int] = (32, 32)
    """Channels of the two stride-2 layers between the fused map and the feature vector."""
    ego_width: int = 32
    """Width of the ego branch."""
    features: int = 64
    """Length of what is seen, in the feature vector that the policy's heads get; the ego branch stands beside it, lest it drown."""
    memory: int = 64
    """Length of what a memory of vectors adds to them."""


SIZES: dict[str, ModelSize] = {"micro": ModelSize()}


class FusedExtractor(BaseFeaturesExtractor):
    """Encoders, spatial fusion in the bird's-eye grid, a neck down to a feature vector, and a memory.

    Give it to SB3 by ``policy_kwargs={"features_extractor_class": FusedExtractor, "features_extractor_kwargs": {"rig": "micro"}}`` with
    ``"MultiInputPolicy"``; `drive_fusion.FusedPPO` does that by itself.

    SB3 calls ``forward``, which sees one instant and remembers nothing. Who drives or learns with a memory calls ``advance`` and
    ``unroll``, and keeps the state, whose parts ``state_shapes`` names.
    """

    state_shapes: dict[str, tuple[int, ...]]
    """Shape of each part of a world's memory, all float32; empty without one."""

    def __init__(
        self,
        observation_space: spaces.Dict,
        rig: str | Rig,
        spatial: Spatial = "concat",
        size: str | ModelSize = "micro",
        temporal: Temporal = "none",
        decision_s: float = 1.0,
        modality_dropout: float = 0.0,
    ):
        """Build the network.

        Args:
            observation_space: What `envs.observation_space` gives for the rig.
            rig: The sensors.
            spatial: How the modalities' maps are fused.
            size: How big everything is.
            temporal: What is remembered.
            decision_s: Time from one instant to the next [s]; says how far the car has moved meanwhile.
            modality_dropout: Chance of each modality to fall silent for a stretch of training. It needs a state, and so makes one.

        Raises:
            ConfigError: The observation is another rig's, or a name or a number makes no sense.
        """
        rig = rig_named(rig)
        size = _size_named(size)
        _check_space(observation_space, rig)
        if not decision_s >= 0.0:
            raise ConfigError(f"decision_s is {decision_s}, expected 0 or more seconds")
        seen = size.ego_width + (size.features if rig.num_sensors else 0)
        memory = vector_memory(temporal, seen, size.memory)
        super().__init__(observation_space, seen + (size.memory if memory is not None else 0))
        grid, width, hidden = size.grid, size.width, size.point_hidden
        self.counts = [len(rig.cameras), len(rig.lidars), len(rig.radars)]
        self.encoders = nn.ModuleDict()
        if rig.cameras:
            self.encoders["camera"] = CameraEncoder(rig.cameras, grid, width, size.camera_channels, size.depth_bins)
        if rig.lidars:
            self.encoders["lidar"] = LidarEncoder(rig.lidars, grid, width, hidden)
        if rig.radars:
            self.encoders["radar"] = RadarEncoder(rig.radars, grid, width, hidden)
        self.missing = nn.ModuleDict({name: Missing(width, grid.x_cells, grid.y_cells) for name in self.encoders})
        self.ego = EgoEncoder(spaces.flatdim(observation_space["ego"]), size.ego_width)
        if len(self.encoders):
            self.fusion = spatial_fusion(spatial, len(self.encoders), width)
            self.neck = _neck(width, size.neck)
            cells = -(-grid.x_cells // 4) * -(-grid.y_cells // 4)
            self.head = nn.Sequential(nn.Linear(size.neck[1] * cells, size.features), nn.LayerNorm(size.features), nn.SiLU())
        self.memory = memory
        self.dropout = ModalityDropout(len(self.encoders), modality_dropout)
        self.state_shapes = {**(memory.shapes if memory is not None else {}), **self.dropout.shapes}

    def initial_state(self, worlds: int, drop: bool = False) -> State:
        """The memory of worlds that have seen nothing.

        Args:
            worlds: B.
            drop: Let modality dropout work in what follows: for the rollouts that training learns from. Draws come from torch's generator.

        Returns:
            Each part of ``state_shapes`` with a leading B, on the network's device.
        """
        device = next(self.parameters()).device
        state = {name: torch.zeros(worlds, *shape, device=device) for name, shape in self.state_shapes.items()}
        return state | self.dropout.initial(worlds, device, drop)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Encode one instant, as if it were the first of an episode.

        In training mode modality dropout works, on each world for itself.

        Args:
            observations: The packed observation: camera (B, K, 3, H, W) in [0, 255], lidar, radar, ego, alive, age.

        Returns:
            Features (B, F).
        """
        worlds = len(observations["ego"])
        starts = torch.ones(worlds, dtype=torch.bool, device=observations["ego"].device)
        return self.advance(observations, self.initial_state(worlds, drop=self.training), starts)[0]

    def advance(self, observations: dict[str, Tensor], state: State, starts: Tensor) -> tuple[Tensor, State]:
        """Go one instant further.

        Args:
            observations: As for ``forward``.
            state: What is remembered, (B, *shape) each.
            starts: (B,), true where an episode begins: the memory counts as empty there.

        Returns:
            Features (B, F) and the state after this instant.
        """
        features, state = self.unroll({name: value[None] for name, value in observations.items()}, state, starts[None])
        return features[0], state

    def unroll(self, observations: dict[str, Tensor], state: State, starts: Tensor) -> tuple[Tensor, State]:
        """Go through T instants: the encoders over all of them at once, then the memory in their order.

        Args:
            observations: As for ``forward``, with a leading T: (T, B, ...).
            state: What is remembered before the first, (B, *shape) each.
            starts: (T, B), as for ``advance``.

        Returns:
            Features (T, B, F) and the state after the last instant.
        """
        instants, starts = starts.shape, starts > 0.5
        flat = {name: value.flatten(0, 1) for name, value in observations.items()}
        after: State = {}
        heard = None
        if self.dropout.active:
            heard, after["silence"] = self.dropout.unroll(state["silence"], starts)
            heard = heard.flatten(0, 1)
        features = self.ego(flat["ego"])
        if len(self.encoders):
            fused = self.fusion(*self.maps(flat, heard))
            features = torch.cat((features, self.head(self.neck(fused).flatten(1))), 1)
        features = features.unflatten(0, instants)
        if self.memory is not None:
            features, remembered = self.memory(features, state, starts)
            after |= remembered
        return features, after

    def maps(self, observations: dict[str, Tensor], heard: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """What each of the rig's M modalities sees.

        Args:
            observations: As for ``forward``.
            heard: Which modalities count as alive at most, (B, M) bool; all by default.

        Returns:
            M maps (B, W, X, Y), learned ones where a modality is dead, and the mean age of each modality's live sensors [s], (B, M).
        """
        alive_by_kind = torch.split(observations["alive"] > 0.5, self.counts, 1)
        age_by_kind = torch.split(observations["age"], self.counts, 1)
        maps: list[Tensor] = []
        ages: list[Tensor] = []
        for name, alive, age_s in zip(("camera", "lidar", "radar"), alive_by_kind, age_by_kind, strict=True):
            if name in self.encoders:
                if heard is not None:
                    alive = alive & heard[:, len(maps), None]
                extra = (ego_speed_mps(observations["ego"]),) if name == "radar" else ()
                count = alive.sum(1)
                maps.append(self.missing[name](self.encoders[name](observations[name], alive, *extra), count > 0))
                ages.append(torch.where(alive, age_s, 0.0).sum(1) / count.clamp(min=1))
        return maps, torch.stack(ages, 1)


def _neck(width: int, channels: tuple[int, int]) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in zip((width, channels[0]), channels, strict=True):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.GroupNorm(4, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _size_named(size: str | ModelSize) -> ModelSize:
    if isinstance(size, ModelSize):
        return size
    if size not in SIZES:
        raise unknown_name("model size", size, SIZES)
    return SIZES[size]


def _check_space(space: spaces.Space[Any], rig: Rig) -> None:
    """Refuse an observation that another rig made."""
    if not isinstance(space, spaces.Dict):
        raise ConfigError(f"FusedExtractor got a {type(space).__name__} observation space, expected the Dict of an environment with a rig")
    expected: dict[str, tuple[int, ...]] = {name: (rig.num_sensors,) for name in ("alive", "age") if rig.num_sensors}
    if rig.cameras:
        expected["camera"] = (len(rig.cameras), 3, rig.cameras[0].height_px, rig.cameras[0].width_px)
    if rig.lidars:
        expected["lidar"] = (len(rig.lidars), 3, rig.lidars[0].beams, rig.lidars[0].columns)
    if rig.radars:
        expected["radar"] = (len(rig.radars), rig.radars[0].detections, 7)
    for key in sorted({*expected, *space.spaces} - {"ego"}):
        got = space[key].shape if key in space.spaces else None
        if got != expected.get(key):
            raise ConfigError(
                f"observation {key!r} has shape {got}, expected {expected.get(key)} for rig {rig.name!r}; the environment has another rig"
            )
    if "ego" not in space.spaces:
        raise ConfigError("the observation has no 'ego' part; make the environment with a rig")
