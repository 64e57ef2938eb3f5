"""A scene to look at, in which every car does something, and the picture of it that the documentation shows.

``python -m sensors.views.gallery docs/images/preview.png`` makes the picture again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from sensors.faults import Faults
from sensors.rig import Rig
from sensors.road import Lane, Line, RoadMap, chain
from sensors.scene import Kind, Light, Scene
from sensors.views.preview import PreviewSize, compose
from sensors.weather import Weather

CARS = (
    # ahead of the ego [m], lane from the left, heading [rad], speed [m/s], lights, crashed
    (0.0, 1, 0.00, 26.0, Light(0), False),
    (15.0, 1, 0.00, 20.0, Light.BRAKE, False),
    (27.0, 2, 0.06, 27.0, Light.LEFT, False),
    (12.0, 0, 0.00, 31.0, Light(0), False),
    (21.0, 3, 0.00, 22.0, Light(0), False),
    (44.0, 0, -0.05, 28.0, Light.RIGHT, False),
    (56.0, 2, 0.00, 21.0, Light.BRAKE, False),
    (63.0, 3, 0.35, 0.0, Light(0), True),
    (90.0, 1, 0.00, 24.0, Light(0), False),
    (-11.0, 2, 0.00, 29.0, Light(0), False),
    (-17.0, 1, 0.00, 25.0, Light(0), False),
    (-26.0, 0, 0.00, 32.0, Light(0), False),
)
LANES, LANE_M = 4, 4.0


def gallery_road() -> RoadMap:
    """A straight one-way road of four lanes."""
    pieces = [chain((0.0, -LANE_M * lane), 0.0, [(2000.0, 0.0)]) for lane in range(LANES)]
    inner = [(Line.SOLID if n == 0 else Line.DASHED, Line.SOLID if n == LANES - 1 else Line.NONE) for n in range(LANES)]
    lanes = [Lane(part, LANE_M, left, right, 30.0, "road", n) for n, (part, (left, right)) in enumerate(zip(pieces, inner, strict=True))]
    return RoadMap.build(lanes, "gallery")


def gallery_scene(seed: int = 4, weather: Weather | None = None) -> Scene:
    """One world with ``CARS``: one brakes, two change lanes, one has crashed."""
    table = torch.tensor([car[:4] for car in CARS], dtype=torch.float64)
    position = torch.stack((table[:, 0] + 500.0, -LANE_M * table[:, 1]), -1)[None]
    heading, speed = table[None, :, 2], table[None, :, 3]
    count = len(CARS)
    return Scene(
        position_m=position,
        heading_rad=heading,
        velocity_mps=torch.stack((heading.cos() * speed, heading.sin() * speed), -1),
        acceleration_mps2=torch.zeros_like(position),
        yaw_rate_radps=torch.zeros_like(heading),
        size_m=torch.tensor([5.0, 2.0, 1.5], dtype=torch.float64).expand(1, count, 3).clone(),
        kind=torch.full((1, count), int(Kind.CAR)),
        lights=torch.tensor([[int(car[4]) for car in CARS]]),
        crashed=torch.tensor([[car[5] for car in CARS]]),
        valid=torch.ones((1, count), dtype=torch.bool),
        road=gallery_road(),
        weather=weather or Weather.clear(1),
        faults=Faults.none(1),
        time_s=torch.full((1,), 12.4),
        episode_seed=torch.tensor([seed]),
        step=torch.tensor([62]),
        action=torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]]),
    )


def save_preview(path: Path | str, scene: Scene | None = None, size: PreviewSize | None = None, rig: Rig | str = "preview") -> None:
    """Save the preview of a scene's first world as a PNG; of ``gallery_scene()`` without one."""
    picture = compose(scene or gallery_scene(), size, rig)[0]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, optimize=True)


if __name__ == "__main__":
    save_preview(sys.argv[1] if len(sys.argv) > 1 else "docs/images/preview.png")
