"""The scene that the senses are timed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensors.scene import Scene


def highway_scene(worlds: int, actors: int, seed: int = 0) -> Scene:
    """Cars in five lanes on a map that all worlds share; the ego's lane is clear near it.

    They stand within 60 m ahead and behind; more than 60 of them within a metre for each, as in a jam.

    Args:
        worlds: B.
        actors: Cars besides the ego.
        seed: Of the places.
    """
    import numpy as np
    import torch

    from sensors.faults import Faults
    from sensors.road import Lane, Line, RoadMap, chain
    from sensors.scene import Scene
    from sensors.weather import Weather

    generator = np.random.default_rng(seed)
    shape = (worlds, actors + 1)
    lane = generator.integers(-2, 3, shape)
    stretch_m = max(120.0, 2.0 * actors)
    x = (np.arange(actors + 1) - 0.5 * actors + generator.uniform(-0.4, 0.4, shape)) * stretch_m / (actors + 1)
    x = np.where((lane == 0) & (np.abs(x) < 8.0), x + np.copysign(8.0, x), x)
    position = np.stack((x, 4.0 * lane + generator.normal(0.0, 0.2, shape)), -1)
    position[:, 0] = 0.0

    def full(value: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.as_tensor(np.asarray(value), dtype=dtype)

    solid, dashed = Line.SOLID, Line.DASHED
    straight = [chain((-500.0, 4.0 * row), 0.0, [(1_000.0, 0.0)]) for row in (2, 1, 0, -1, -2)]
    lanes = [
        Lane(pieces, 4.0, solid if n == 0 else dashed, solid if n == 4 else Line.NONE, 30.0, "road", n) for n, pieces in enumerate(straight)
    ]
    return Scene(
        position_m=full(position),
        heading_rad=full(generator.normal(0.0, 0.05, shape)),
        velocity_mps=full(np.stack((generator.uniform(15.0, 30.0, shape), np.zeros(shape)), -1)),
        acceleration_mps2=full(np.zeros((*shape, 2))),
        yaw_rate_radps=full(np.zeros(shape)),
        size_m=full(np.broadcast_to((5.0, 2.0, 1.5), (*shape, 3)).copy()),
        kind=full(np.zeros(shape), torch.int64),
        lights=full(np.zeros(shape), torch.int64),
        crashed=full(np.zeros(shape), torch.bool),
        valid=full(np.ones(shape), torch.bool),
        road=RoadMap.build(lanes, "bench"),
        weather=Weather.clear(worlds),
        faults=Faults.none(worlds),
        time_s=full(np.zeros(worlds)),
        episode_seed=torch.arange(worlds),
        step=full(np.zeros(worlds), torch.int64),
        action=torch.zeros((worlds, 5)),
    )
