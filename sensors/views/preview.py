"""The preview for people: the camera's picture above, a caption, and the bird's-eye view below."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sensors.errors import ConfigError
from sensors.frames import Frames
from sensors.presets import rig_named
from sensors.rendering import render
from sensors.rig import Rig
from sensors.scene import Scene
from sensors.views.birds_eye import BirdsEye, draw_birds_eye

ACTION_NAMES = ("lane left", "keep", "lane right", "faster", "slower")
"""highway-env's discrete actions, in its order."""
BAR, BAR_CRASH, TEXT, DIM_TEXT, ACCENT = (22, 24, 29), (200, 24, 40), (240, 242, 245), (150, 156, 166), (64, 200, 255)


@dataclass(frozen=True)
class PreviewSize:
    """Size of the parts of a preview; all even, as video needs it."""

    width_px: int = 640
    camera_px: int = 360
    caption_px: int = 32
    birds_eye_px: int = 232

    def __post_init__(self) -> None:
        if any(value < 2 or value % 2 for value in vars(self).values()):
            raise ConfigError(f"a preview of {self}, expected even numbers of at least 2 pixels")

    @property
    def height_px(self) -> int:
        """All parts together."""
        return self.camera_px + self.caption_px + self.birds_eye_px

    @staticmethod
    def of_width(width_px: int) -> PreviewSize:
        """The usual shape at another width: 640 gives 640 x 624, 426 gives 426 x 416."""
        even = 2 * round(width_px / 2)
        return PreviewSize(even, 2 * round(even * 9 / 32), max(2 * round(even / 40), 22), 2 * round(even * 29 / 160))


def action_text(action: Sequence[float]) -> str:
    """Name an action as ``Scene.action`` carries it; empty before the first."""
    if len(action) == len(ACTION_NAMES) and all(value in (0.0, 1.0) for value in action):
        return ACTION_NAMES[list(action).index(1.0)] if any(action) else ""
    if not any(action):
        return ""
    return "  ".join(f"{value:+.2f}" for value in action)


@functools.cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


@functools.lru_cache(maxsize=4096)
def caption_bar(width_px: int, height_px: int, time_text: str, speed_text: str, action: str, crashed: bool) -> NDArray[np.uint8]:
    """Draw the caption: speed and action on the left, time on the right, red with a word when the ego has crashed.

    Returns:
        (height, width, 3) uint8, to be read only.
    """
    bar = Image.new("RGB", (width_px, height_px), BAR_CRASH if crashed else BAR)
    draw, font = ImageDraw.Draw(bar), _font(round(0.56 * height_px))
    middle, edge = height_px / 2, round(0.4 * height_px)
    draw.text((edge, middle), speed_text, TEXT, font, anchor="lm")
    at = edge + draw.textlength("000 km/h", font) + edge
    draw.text((at, middle), action, TEXT if crashed else ACCENT, font, anchor="lm")
    draw.text((width_px - edge, middle), time_text, TEXT if crashed else DIM_TEXT, font, anchor="rm")
    if crashed:
        draw.text((width_px / 2, middle), "CRASH", TEXT, font, anchor="mm", stroke_width=1, stroke_fill=TEXT)
    return np.asarray(bar)


def preview_rig(rig: Rig | str, size: PreviewSize) -> Rig:
    """A rig with its first camera alone, at the preview's size and with the same view to left and right.

    Raises:
        ConfigError: The rig has no camera.
    """
    rig = rig_named(rig)
    if not rig.cameras:
        raise ConfigError(f"rig {rig.name!r} has no camera to preview; give one with a camera")
    camera = replace(rig.cameras[0], height_px=size.camera_px, width_px=size.width_px)
    return replace(rig, cameras=(camera,))


def compose(
    scene: Scene,
    size: PreviewSize | None = None,
    rig: Rig | str = "preview",
    captions: Sequence[str] | None = None,
    frames: Frames | None = None,
) -> NDArray[np.uint8]:
    """Draw the preview of every world of a scene.

    Args:
        scene: B worlds.
        size: Sizes of the parts.
        rig: The rig whose first camera, lidars and radars are shown.
        captions: What to write in place of the action's name, one a world.
        frames: What ``preview_rig(rig, size)`` saw, if it is known already.

    Returns:
        Pictures (B, H, W, 3) uint8: camera above, caption, bird's-eye view below.
    """
    size = size or PreviewSize()
    shown = preview_rig(rig, size)
    frames = frames or render(scene, shown)
    pictures = np.empty((scene.num_worlds, size.height_px, size.width_px, 3), np.uint8)
    below = size.camera_px + size.caption_px
    pictures[:, : size.camera_px] = frames.camera.rgb[:, 0].permute(0, 2, 3, 1).numpy()
    pictures[:, below:] = draw_birds_eye(scene, BirdsEye(size.birds_eye_px, size.width_px), frames, shown)
    speeds, times = scene.speed_mps[:, 0].tolist(), scene.time_s.tolist()
    crashed, actions = scene.crashed[:, 0].tolist(), scene.action.tolist()
    for b in range(scene.num_worlds):
        text = captions[b] if captions is not None else action_text(actions[b])
        speed = f"{abs(speeds[b]) * 3.6:.0f} km/h"
        bar = caption_bar(size.width_px, size.caption_px, f"{times[b]:.1f} s", speed, text, crashed[b])
        pictures[b, size.camera_px : below] = bar
    return pictures
