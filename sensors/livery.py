"""Body colours: which paint a vehicle wears, the same in the camera and in the bird's-eye view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel
from sensors.noise import mix64
from sensors.scene import Kind, Scene

f4, u8 = np.float32, np.uint64
OBSTACLE = int(Kind.OBSTACLE)

BODY_COLOURS = np.asarray(
    [
        (0.62, 0.62, 0.62),  # white
        (0.30, 0.31, 0.33),  # silver
        (0.085, 0.09, 0.10),  # graphite
        (0.018, 0.018, 0.021),  # black
        (0.42, 0.022, 0.025),  # red
        (0.022, 0.075, 0.33),  # blue
        (0.10, 0.26, 0.44),  # sky blue
        (0.022, 0.13, 0.065),  # green
        (0.55, 0.31, 0.025),  # yellow
        (0.24, 0.075, 0.022),  # copper
        (0.40, 0.36, 0.27),  # sand
    ],
    np.float32,
)
"""Linear albedo of the bodies to choose from."""
OBSTACLE_COLOUR = np.asarray((0.70, 0.20, 0.02), np.float32)


@kernel()
def _choose(episode_seed, kind, palette, obstacle, out):  # type: ignore[no-untyped-def]
    for b in range(kind.shape[0]):
        for a in range(kind.shape[1]):
            number = mix64(u8(mix64(u8(episode_seed[b])) + u8(a))) % u8(len(palette))
            colour = obstacle if kind[b, a] == OBSTACLE else palette[number]
            for c in range(3):
                out[b, a, c] = colour[c]


def body_colours(scene: Scene) -> NDArray[np.float32]:
    """The linear albedo of every actor's body, keyed by episode seed and actor, (B, A, 3)."""
    out = np.empty((scene.num_worlds, scene.num_actors, 3), np.float32)
    _choose(scene.episode_seed.numpy(), scene.kind.numpy(), BODY_COLOURS, OBSTACLE_COLOUR, out)
    return out
