"""How big the driver's network is: four sizes by name, for the rigs of the same names."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from drive_fusion.bev import BevGrid
from sensors.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class ModelSize:
    """Every number of the network; the defaults are the smallest size, `micro`."""

    grid: BevGrid = field(default_factory=BevGrid)
    """Where points and pixels land. 16 x 32 cells of 6.4 m x 1.6 m: long as a gap to the next car, narrow enough to tell a lane's edge
    from its middle."""
    feature_stride: tuple[int, int] = (1, 1)
    """Steps along x and y of the layer from the grid to the maps that are fused; (1, 1) leaves that layer out."""
    context: int = 8
    """Channels that fall into a cell of the grid, where such a layer follows; else the width."""
    width: int = 8
    """Channels of each modality's map and of the fused one. The 3 x 3 fusion layer is the costliest of all, in proportion to its square."""
    camera_channels: tuple[int, ...] = (16, 24)
    """Channels of the camera's stages."""
    camera_strides: tuple[int, ...] = (4, 2)
    """Their strides: 1 and 2 are 3 x 3 layers; 4 is a layer of patches, a third of the time of two stride-2 layers, for the first stage."""
    camera_blocks: int = 0
    """Residual blocks that follow each stage of the camera."""
    map_blocks: int = 0
    """Residual blocks that follow each map's strided layer, and the fusion."""
    depth_bins: int = 8
    """Depths at which a camera feature may lie."""
    point_hidden: int = 16
    """Hidden width of the lidar's and the radar's point networks."""
    heads: int = 2
    """Heads of every attention."""
    samples: int = 4
    """Places a head looks at in each modality's map."""
    attention_layers: int = 1
    """Layers of attention over the maps, and over the past."""
    graph_layers: int = 1
    """Rounds of messages between objects."""
    graph_width: int = 16
    """Channels of an object."""
    graph_nodes: int = 16
    """Objects that the heat map may name; radar detections come on top."""
    neighbours: int = 8
    """From how many of the nearest objects one hears."""
    neck: tuple[int, ...] = (32, 32)
    """Channels of the stride-2 layers between the fused map and the feature vector."""
    ego_width: int = 32
    """Width of the ego branch."""
    features: int = 64
    """Length of what is seen, in the feature vector that the policy's heads get; the ego branch stands beside it, lest it drown."""
    memory: int = 64
    """Length of what a memory of vectors adds to them."""

    def __post_init__(self) -> None:
        if len(self.camera_channels) != len(self.camera_strides):
            raise ConfigError(
                f"ModelSize has {len(self.camera_channels)} camera_channels and {len(self.camera_strides)} camera_strides, expected as many"
            )
        for name in ("width", "memory"):
            if getattr(self, name) % self.heads:
                raise ConfigError(f"ModelSize.{name} is {getattr(self, name)}, expected a multiple of heads {self.heads}")

    @property
    def splat_channels(self) -> int:
        """Channels that fall into a cell of the grid."""
        return self.width if self.feature_stride == (1, 1) else self.context

    @property
    def feature_grid(self) -> BevGrid:
        """The grid of the maps that are fused."""
        along, across = self.feature_stride
        return replace(self.grid, x_cells=-(-self.grid.x_cells // along), y_cells=-(-self.grid.y_cells // across))

    @property
    def camera_stride_px(self) -> int:
        """Pixels from one camera feature to the next."""
        return math.prod(self.camera_strides)


SIZES: dict[str, ModelSize] = {
    "micro": ModelSize(),
    "nano": ModelSize(
        grid=BevGrid(x_cells=64, y_cells=32),
        feature_stride=(2, 1),
        context=16,
        width=32,
        camera_channels=(16, 32, 48),
        camera_strides=(2, 2, 2),
        camera_blocks=1,
        depth_bins=16,
        point_hidden=32,
        heads=4,
        graph_width=32,
        graph_nodes=24,
        neck=(64, 32),
        features=96,
    ),
    "base": ModelSize(
        grid=BevGrid(x_cells=128, y_cells=64),
        feature_stride=(2, 2),
        context=48,
        width=96,
        camera_channels=(32, 64, 128, 192),
        camera_strides=(2, 2, 2, 1),
        camera_blocks=1,
        map_blocks=1,
        depth_bins=32,
        point_hidden=64,
        heads=8,
        attention_layers=2,
        graph_layers=2,
        graph_width=96,
        graph_nodes=48,
        neck=(192, 192, 128),
        ego_width=64,
        features=256,
        memory=128,
    ),
    "large": ModelSize(
        grid=BevGrid(x_cells=256, y_cells=128),
        feature_stride=(2, 2),
        context=80,
        width=160,
        camera_channels=(64, 64, 128, 256, 384),
        camera_strides=(2, 1, 2, 2, 2),
        camera_blocks=1,
        map_blocks=1,
        depth_bins=59,
        point_hidden=128,
        heads=8,
        attention_layers=3,
        graph_layers=3,
        graph_width=160,
        graph_nodes=64,
        neck=(320, 320, 384, 384),
        ego_width=128,
        features=512,
        memory=256,
    ),
}


def size_named(size: str | ModelSize) -> ModelSize:
    """Look up a size by name; a size of one's own passes through.

    Raises:
        ConfigError: There is no such size.
    """
    if isinstance(size, ModelSize):
        return size
    if size not in SIZES:
        raise unknown_name("model size", size, SIZES)
    return SIZES[size]
