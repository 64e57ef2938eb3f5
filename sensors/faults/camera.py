"""What faults do to a picture. Its labels (depth, class, instance) stay those of what is in front of the camera.

Light adds up in linear radiance; the display curve is taken for a square root here, which is what the camera's comes to below its shoulder.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sensors.camera.config import Camera
from sensors.faults.draws import Draws
from sensors.faults.kinds import FaultKind
from sensors.faults.levels import Levels
from sensors.frames import CameraFrames

BLACK_SHARE = (1 / 3, 2 / 3, 1.0)
"""Share of pictures that are black."""
BLUR_OF_WIDTH = (0.008, 0.016, 0.032)
"""Standard deviation of the blur over the picture's width."""
GLARE_LIGHT = (0.25, 0.6, 1.4)
"""Radiance of the glare's middle, where white is 1."""
GLARE_VEIL, GLARE_OF_WIDTH = 0.35, 0.18
LOW_LIGHT_GAIN = (1 / 4, 1 / 10, 1 / 25)
SHOT_NOISE, READ_NOISE = 0.004, 0.004
"""Of a dark picture: variance over radiance, and standard deviation."""
EXPOSURE_GAIN = (2.0, 4.0, 8.0)
DROPS = (6, 16, 40)
DROP_OF_WIDTH = (0.02, 0.09)
"""Least and largest radius of a rain drop on the lens over the picture's width."""
DROP_VIEW = 3.0
"""A drop shows what is this many times its size about it, upside down."""


def spoil_camera(frames: CameraFrames, camera: Camera, number: int, worlds: Tensor, levels: Levels, draws: Draws) -> None:
    """Apply the faults of one camera in some worlds, in place.

    Args:
        frames: Of B worlds and K cameras; ``rgb`` is changed.
        camera: Its settings.
        number: Which of the K.
        worlds: Which worlds, (N,).
        levels: Severity by kind there, (N,) each.
        draws: The camera's random numbers there.
    """
    image = frames.rgb[worlds, number].float() / 255.0  # (N, 3, H, W)
    for kind, change in CHANGES.items():
        rows = levels[kind].nonzero().flatten() if kind in levels else torch.zeros(0, dtype=torch.int64)
        if len(rows):
            image[rows] = change(image[rows], levels[kind][rows], draws.select(rows))
    frames.rgb[worlds, number] = (image.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def _chosen(values: tuple[float, ...], level: Tensor) -> Tensor:
    """The number for each world's severity, (N, 1, 1, 1)."""
    return torch.tensor(values)[level - 1][:, None, None, None]


def _shown(linear: Tensor) -> Tensor:
    return linear.clamp(0.0, 1.0).sqrt()


def _glare(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """A bright source in or near the picture: a halo about a place that stays for the episode, and a veil over everything."""
    height, width = image.shape[-2:]
    place = draws.of_episode(FaultKind.GLARE, 2)
    u, v = (0.1 + 0.8 * place[:, 0]) * width, (0.05 + 0.45 * place[:, 1]) * height
    across = torch.arange(width) + 0.5 - u[:, None]
    down = torch.arange(height) + 0.5 - v[:, None]
    squared = across[:, None, :] ** 2 + down[:, :, None] ** 2  # (N, H, W)
    halo = torch.exp(-squared / (2.0 * (GLARE_OF_WIDTH * width) ** 2)) + GLARE_VEIL
    return _shown(image**2 + _chosen(GLARE_LIGHT, level) * halo[:, None])


def _rain_drops(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """Drops on the lens, which stay for the episode: each shows its surroundings upside down, out of focus."""
    height, width = image.shape[-2:]
    most = max(DROPS)
    drawn = draws.of_episode(FaultKind.RAIN_DROPS, 3 * most).reshape(-1, most, 3)
    u, v = drawn[..., 0] * width, drawn[..., 1] * height
    radius = (DROP_OF_WIDTH[0] + (DROP_OF_WIDTH[1] - DROP_OF_WIDTH[0]) * drawn[..., 2] ** 2) * width
    x, y = (torch.arange(width) + 0.5).expand(height, width), (torch.arange(height) + 0.5)[:, None].expand(height, width)
    from_x, from_y = x.expand(len(image), -1, -1).clone(), y.expand(len(image), -1, -1).clone()
    covered = torch.zeros_like(from_x, dtype=torch.bool)
    count = torch.tensor(DROPS)[level - 1]
    for n in range(most):
        across, down = x - u[:, n, None, None], y - v[:, n, None, None]
        inside = (across**2 + down**2 < radius[:, n, None, None] ** 2) & (n < count)[:, None, None]
        from_x = torch.where(inside, x - (1.0 + DROP_VIEW) * across, from_x)
        from_y = torch.where(inside, y - (1.0 + DROP_VIEW) * down, from_y)
        covered |= inside
    place = from_y.long().clamp(0, height - 1) * width + from_x.long().clamp(0, width - 1)
    soft = _blurred(image, 0.5 * DROP_OF_WIDTH[0] * width).flatten(2)
    seen = soft.gather(2, place.flatten(1)[:, None].expand(-1, 3, -1)).reshape(image.shape)
    return torch.where(covered[:, None], seen, image)


def _blurred(image: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur, (N, 3, H, W). A sum of shifted pictures: unlike a convolution's, its rounding does not depend on N."""
    reach = max(1, math.ceil(3.0 * sigma_px))
    weights = [math.exp(-0.5 * (tap / sigma_px) ** 2) for tap in range(-reach, reach + 1)]
    for axis, pad in ((3, (reach, reach, 0, 0)), (2, (0, 0, reach, reach))):
        size, wide = image.shape[axis], F.pad(image, pad, mode="replicate")
        image = torch.zeros_like(image)
        for tap, weight in enumerate(weights):
            image += wide.narrow(axis, tap, size) * (weight / sum(weights))
    return image


def _blur(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """Out of focus, or a dirty lens."""
    changed = image.clone()
    for severity in torch.unique(level).tolist():
        rows = level == severity
        changed[rows] = _blurred(image[rows], BLUR_OF_WIDTH[severity - 1] * image.shape[-1])
    return changed


def _exposure(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """Exposed too long: bright parts are lost in white."""
    return _shown(image**2 * _chosen(EXPOSURE_GAIN, level))


def _low_light(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """Too little light on the sensor: dark, with the noise of few photons."""
    linear = image**2 * _chosen(LOW_LIGHT_GAIN, level)
    grain = draws.normal(FaultKind.LOW_LIGHT, image[0].numel()).reshape(image.shape)
    return _shown(linear + (SHOT_NOISE * linear + READ_NOISE**2).sqrt() * grain)


def _black(image: Tensor, level: Tensor, draws: Draws) -> Tensor:
    """Nothing in some pictures, or in all."""
    lost = draws.uniform(FaultKind.BLACK, 1) < torch.tensor(BLACK_SHARE)[level - 1][:, None]
    return torch.where(lost[..., None, None], 0.0, image)


Change = Callable[[Tensor, Tensor, Draws], Tensor]
CHANGES: dict[FaultKind, Change] = {
    FaultKind.GLARE: _glare,
    FaultKind.RAIN_DROPS: _rain_drops,
    FaultKind.BLUR: _blur,
    FaultKind.EXPOSURE: _exposure,
    FaultKind.LOW_LIGHT: _low_light,
    FaultKind.BLACK: _black,
}
"""By the way that light takes: past the source, through the lens, onto the sensor. Each takes display values (N, 3, H, W) in 0 to 1."""
