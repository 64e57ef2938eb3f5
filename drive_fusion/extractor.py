"""The fused driver's eyes: camera, lidar, radar and ego observation to one feature vector, as an SB3 features extractor."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from drive_fusion.dropout import ModalityDropout
from drive_fusion.encoders import CameraEncoder, EgoEncoder, LidarEncoder, RadarEncoder, ego_motion
from drive_fusion.fusion import WITH_POINTS, Look, Missing, Seen, Spatial, spatial_fusion
from drive_fusion.layers import Block, conv
from drive_fusion.memory import MAP_KINDS, State, Temporal, check_temporal, map_memory, vector_memory
from drive_fusion.sizes import SIZES, ModelSize, size_named
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.rig import Rig

__all__ = ["MODALITIES", "SIZES", "FusedExtractor", "Inside", "ModelSize"]

MODALITIES = ("camera", "lidar", "radar")


class Inside(NamedTuple):
    """What lies between observation and features, for N = T * B instants; all None for a rig without sensors."""

    seen: Seen | None = None
    depth: Tensor | None = None  # (N, K, D, h * w) how likely each depth is; None without cameras
    fused: Tensor | None = None  # (N, W, X, Y) after fusion, and after a memory of maps


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
        rig, size = rig_named(rig), size_named(size)
        _check_space(observation_space, rig)
        check_temporal(temporal)
        if not decision_s >= 0.0:
            raise ConfigError(f"decision_s is {decision_s}, expected 0 or more seconds")
        if temporal in MAP_KINDS and not rig.num_sensors:
            raise ConfigError(f"temporal {temporal!r} remembers a map, but rig {rig.name!r} sees nothing; use gru or transformer")
        vector_length = size.ego_width + (size.features if rig.num_sensors else 0)
        memory = vector_memory(temporal, vector_length, size)
        kept_map = map_memory(temporal, size, decision_s)
        super().__init__(observation_space, vector_length + (size.memory if memory is not None else 0))
        self.counts = [len(rig.cameras), len(rig.lidars), len(rig.radars)]
        self.size, self.spatial, self.temporal = size, spatial, temporal
        self.encoders = _encoders(rig, size)
        self.stems = nn.ModuleDict({name: _stem(size) for name in self.encoders} if size.feature_stride != (1, 1) else {})
        grid = size.feature_grid
        self.missing = nn.ModuleDict({name: Missing(size.width, grid.x_cells, grid.y_cells) for name in self.encoders})
        self.ego = EgoEncoder(spaces.flatdim(observation_space["ego"]), size.ego_width)
        if len(self.encoders):
            self.fusion = spatial_fusion(spatial, len(self.encoders), size)
            self.blocks = nn.Sequential(*(Block(size.width) for _ in range(size.map_blocks)))
            self.neck = nn.Sequential(*(layer for before, after in pairwise((size.width, *size.neck)) for layer in conv(before, after, 2)))
            self.head = nn.Sequential(nn.Linear(_neck_length(size), size.features), nn.LayerNorm(size.features), nn.SiLU())
        self.memory, self.map_memory = memory, kept_map
        self.dropout = ModalityDropout(len(self.encoders), modality_dropout)
        shapes = [part.shapes for part in (kept_map, memory) if part is not None]
        self.state_shapes = {name: shape for part in (*shapes, self.dropout.shapes) for name, shape in part.items()}

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
        features, state, _ = self.unroll_open(observations, state, starts)
        return features, state

    def unroll_open(
        self, observations: dict[str, Tensor], state: State, starts: Tensor, look: Look | None = None
    ) -> tuple[Tensor, State, Inside]:
        """Go through T instants as ``unroll`` does, and show what lies between.

        Args:
            observations: As for ``unroll``.
            state: As for ``unroll``.
            starts: As for ``unroll``.
            look: Filled by the fusion with what it attended to.

        Returns:
            Features (T, B, F), the state after the last instant, and what an auxiliary head or a picture is made of.
        """
        instants, starts = starts.shape, starts > 0.5
        flat = {name: value.flatten(0, 1) for name, value in observations.items()}
        motion = ego_motion(observations["ego"])
        after: State = {}
        heard = None
        if self.dropout.active:
            heard, after["silence"] = self.dropout.unroll(state["silence"], starts)
            heard = heard.flatten(0, 1)
        features, inside = self.ego(flat["ego"]), Inside()
        if len(self.encoders):
            inside = self.see(flat, heard)
            fused = self.blocks(self.fusion(inside.seen, look))
            if self.map_memory is not None:
                fused, remembered = self.map_memory(fused.unflatten(0, instants), state, starts, motion)
                fused = fused.flatten(0, 1)
                after |= remembered
            inside = inside._replace(fused=fused)
            features = torch.cat((features, self.head(self.neck(fused).flatten(1))), 1)
        features = features.unflatten(0, instants)
        if self.memory is not None:
            features, remembered = self.memory(features, state, starts, motion)
            after |= remembered
        return features, after, inside

    def maps(self, observations: dict[str, Tensor], heard: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """What each of the rig's M modalities sees.

        Args:
            observations: As for ``forward``.
            heard: Which modalities count as alive at most, (B, M) bool; all by default.

        Returns:
            M maps (B, W, X, Y), learned ones where a modality is dead, and the mean age of each modality's live sensors [s], (B, M).
        """
        seen = self.see(observations, heard).seen
        assert seen is not None
        return seen.maps, seen.age_s

    def see(self, observations: dict[str, Tensor], heard: Tensor | None = None) -> Inside:
        """Run the encoders; arguments as for ``maps``."""
        alive_by_kind = torch.split(observations["alive"] > 0.5, self.counts, 1)
        age_by_kind = torch.split(observations["age"], self.counts, 1)
        speed_mps = ego_motion(observations["ego"])[:, 0]
        maps: list[Tensor] = []
        ages: list[Tensor] = []
        present: list[Tensor] = []
        depth, points = None, None
        for name, alive, age_s in zip(MODALITIES, alive_by_kind, age_by_kind, strict=True):
            if name not in self.encoders:
                continue
            if heard is not None:
                alive = alive & heard[:, len(maps), None]
            if name == "camera":
                found, depth = self.encoders[name](observations[name], alive)
            elif name == "lidar":
                found = self.encoders[name](observations[name], alive)
            else:
                radar = cast(RadarEncoder, self.encoders[name])
                found = radar(observations[name], alive, speed_mps)
                if self.spatial in WITH_POINTS:
                    points = radar.points(observations[name], alive, speed_mps)
            if name in self.stems:
                found = self.stems[name](found)
            count = alive.sum(1)
            present.append(count > 0)
            maps.append(self.missing[name](found, present[-1]))
            ages.append(torch.where(alive, age_s, 0.0).sum(1) / count.clamp(min=1))
        return Inside(Seen(maps, torch.stack(ages, 1), torch.stack(present, 1), speed_mps, points), depth)


def _encoders(rig: Rig, size: ModelSize) -> nn.ModuleDict:
    encoders = nn.ModuleDict()
    if rig.cameras:
        encoders["camera"] = CameraEncoder(rig.cameras, size)
    if rig.lidars:
        encoders["lidar"] = LidarEncoder(rig.lidars, size.grid, size.splat_channels, size.point_hidden)
    if rig.radars:
        encoders["radar"] = RadarEncoder(rig.radars, size.grid, size.splat_channels, size.point_hidden)
    return encoders


def _stem(size: ModelSize) -> nn.Module:
    """From the grid that points fall into to the map that is fused."""
    return nn.Sequential(*conv(size.context, size.width, size.feature_stride), *(Block(size.width) for _ in range(size.map_blocks)))


def _neck_length(size: ModelSize) -> int:
    """Numbers that come out of the neck."""
    rows, columns = size.feature_grid.x_cells, size.feature_grid.y_cells
    for _ in size.neck:
        rows, columns = -(-rows // 2), -(-columns // 2)
    return size.neck[-1] * rows * columns


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
