"""Make docs/images/gallery.jpg: what the preview camera sees in six weathers on three roads. ``python docs/make_gallery.py``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from envs.world import World
from sensors.camera.render import render_camera
from sensors.presets import RIGS
from sensors.scene import Scene
from sensors.weather import PRESETS, Weather

SHEET = Path(__file__).parent / "images" / "gallery.jpg"
ROADS = {"highway-v0": (33, 1), "roundabout-v0": (12, 2), "intersection-v0": (17, 9)}
"""Seed, and how many decisions IDM drives before the picture is taken."""
HEIGHT, WIDTH, GAP, LABEL = 270, 480, 6, 22


def moments() -> dict[str, Scene]:
    """One scene of each road."""
    scenes = {}
    for id, (seed, decisions) in ROADS.items():
        world = World(id)
        scene = world.reset(torch.tensor([seed]))
        for _ in range(decisions):
            scene, _ = world.step(torch.tensor([1]), autopilot=torch.tensor([True]))
        scenes[id] = scene
    return scenes


def sheet(scenes: dict[str, Scene]) -> NDArray[np.uint8]:
    """All weathers below one another, all roads side by side, (H, W, 3)."""
    camera = replace(RIGS["preview"].cameras[0], height_px=HEIGHT, width_px=WIDTH)
    page = Image.new("RGB", (len(scenes) * (WIDTH + GAP) + GAP, len(PRESETS) * (HEIGHT + LABEL + GAP) + GAP), (22, 24, 29))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for row, weather in enumerate(PRESETS):
        for column, (id, scene) in enumerate(scenes.items()):
            x, y = GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + LABEL + GAP)
            seen = render_camera(scene.with_weather(Weather.named(weather, 1)), [camera]).rgb[0, 0]
            draw.text((x + 2, y + 2), f"{weather}, {id}", (240, 242, 245), font)
            page.paste(Image.fromarray(seen.permute(1, 2, 0).contiguous().numpy()), (x, y + LABEL))
    return np.asarray(page)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SHEET
    Image.fromarray(sheet(moments())).save(target, quality=88, optimize=True)
    print(f"wrote {target}")
