"""The scene from above, around the ego: road, vehicles with their lights, lidar points and radar arrows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensors.errors import ConfigError
from sensors.frames import Frames, LidarFrames, RadarFrames
from sensors.ground import MAX_WIDTH
from sensors.launch import over_worlds
from sensors.livery import body_colours
from sensors.paint import grid_of
from sensors.pose import doubles
from sensors.rig import Rig
from sensors.scene import Kind, Light, Scene
from sensors.vehicle_shape import CABIN_FRONT, CABIN_FRONT_TOP, CABIN_REAR, CABIN_REAR_TOP
from sensors.views.canvas import MARK_NUMBERS, draw_worlds

Floats = NDArray[np.float64]
EGO_HALO, EGO_BODY, OUTLINE, GLASS = (64, 200, 255), (245, 248, 250), (20, 22, 26), (30, 38, 50)
BRAKE_RED, AMBER, CRASH_RED, WHITE = (255, 40, 36), (255, 176, 20), (235, 20, 40), (255, 255, 255)
POINT, GROUND_POINT, CLOSING, OPENING = (120, 255, 160), (150, 200, 170), (255, 120, 30), (90, 190, 255)
ARROW_M_PER_MPS = 0.5
"""Length of a radar arrow for each m/s of Doppler."""


@dataclass(frozen=True)
class BirdsEye:
    """How to look from above; the ego stays at one place and faces one way."""

    height_px: int = 360
    width_px: int = 640
    metres_across: float = 110.0
    """Length of the picture's longer side on the ground."""
    forward: str = "right"
    """Where ahead is: "right", for pictures that are wide, or "up"."""
    ego_at: float = 0.32
    """Place of the ego along the way ahead, as a share of the picture."""

    def __post_init__(self) -> None:
        if self.forward not in ("right", "up"):
            raise ConfigError(f"BirdsEye.forward is {self.forward!r}, expected 'right' or 'up'")
        if self.height_px < 1 or self.width_px < 1 or not self.metres_across > 0.0:
            size = f"{self.height_px} x {self.width_px} px of {self.metres_across} m"
            raise ConfigError(f"a bird's-eye view of {size}, expected at least 1 x 1 and more than 0 m")
        if self.width_px > MAX_WIDTH:
            raise ConfigError(f"a bird's-eye view {self.width_px} pixels wide, expected at most {MAX_WIDTH}")

    @property
    def px_per_m(self) -> float:
        """Scale."""
        return max(self.height_px, self.width_px) / self.metres_across

    @property
    def ego_px(self) -> tuple[float, float]:
        """Where the ego's middle is, (u, v)."""
        if self.forward == "right":
            return self.ego_at * self.width_px, 0.5 * self.height_px
        return 0.5 * self.width_px, (1.0 - self.ego_at) * self.height_px

    @property
    def image_R_ego(self) -> Floats:
        """Turns the ego's forward and left into the image's right and down, (2, 2)."""
        return np.asarray([[1.0, 0.0], [0.0, -1.0]] if self.forward == "right" else [[0.0, -1.0], [-1.0, 0.0]])


def draw_birds_eye(scene: Scene, view: BirdsEye | None = None, frames: Frames | None = None, rig: Rig | None = None) -> NDArray[np.uint8]:
    """Draw every world of a scene from above.

    Args:
        scene: B worlds.
        view: Size, scale and way up.
        frames: What a rig saw, to draw lidar points and radar arrows; needs ``rig``.
        rig: The rig of ``frames``.

    Returns:
        Pictures (B, H, W, 3) uint8.
    """
    view = view or BirdsEye()
    heading = doubles(scene.heading_rad[:, 0])
    cos, sin = np.cos(heading), np.sin(heading)
    world_R_ego = np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), 1)  # (B, 2, 2)
    world_R_image = world_R_ego @ view.image_R_ego.T / view.px_per_m  # world metres of one pixel right and one down, as columns
    corner = np.asarray([0.5, 0.5]) - view.ego_px
    origins = doubles(scene.position_m[:, 0]) + world_R_image @ corner
    poses = np.concatenate((world_R_image[:, :, 0], world_R_image[:, :, 1]), -1)
    layers = [_vehicles(scene, view, world_R_ego)]
    if frames is not None and rig is not None:
        layers = [_lidar_points(frames.lidar, rig, view), *layers, _radar_arrows(frames.radar, rig, view)]
    marks = np.ascontiguousarray(np.concatenate(layers, 1), np.float32)
    pictures = np.empty((scene.num_worlds, view.height_px, view.width_px, 3), np.uint8)
    if scene.num_worlds:
        over_worlds(draw_worlds, scene.num_worlds, grid_of(scene.road).arrays(), origins, poses, marks, pictures)
    return pictures


def _mark(middle: Floats, direction: Floats, half: Floats, style: Floats) -> Floats:
    """Lay the numbers of marks side by side.

    Args:
        middle: In pixels (..., 2).
        direction: Cosine and sine of the long side in the image (..., 2).
        half: Half length and half width [px] (..., 2).
        style: Radius [px], softness [px], red, green, blue, alpha (..., 6).
    """
    return np.concatenate((middle, direction, half, np.broadcast_to(style, (*middle.shape[:-1], 6))), -1)


def _style(radius_px: float, colour: Sequence[float], alpha: float = 1.0, soft_px: float = 1.0) -> Floats:
    return np.asarray((radius_px, soft_px, *colour, alpha), np.float64)


def _where(style: Floats, shown: NDArray[np.bool_]) -> Floats:
    """A style for each actor, transparent where it is not shown, (..., 6)."""
    styles = np.broadcast_to(style, (*shown.shape, 6)).copy()
    styles[..., 5] *= shown
    return styles


def _vehicles(scene: Scene, view: BirdsEye, world_R_ego: Floats) -> Floats:
    """Marks of all actors, layer by layer so that no car covers another's crash mark, (B, M, MARK_NUMBERS)."""
    offset = doubles(scene.position_m) - doubles(scene.position_m[:, :1])
    to_image = view.image_R_ego @ world_R_ego.transpose(0, 2, 1)  # (B, 2, 2) world to image axes
    middle = np.einsum("bij,baj->bai", to_image, offset) * view.px_per_m + view.ego_px
    heading = doubles(scene.heading_rad)
    forward = np.einsum("bij,baj->bai", to_image, np.stack((np.cos(heading), np.sin(heading)), -1))
    left = np.einsum("bij,baj->bai", to_image, np.stack((-np.sin(heading), np.cos(heading)), -1))
    half = doubles(scene.size_m)[..., :2] * 0.5 * view.px_per_m  # (B, A, 2)
    valid, kind, lights = scene.valid.numpy(), scene.kind.numpy(), scene.lights.numpy()
    actors = _Actors(middle, forward, left, half)
    shown = valid & (np.arange(valid.shape[1]) > 0)
    ego = valid & (np.arange(valid.shape[1]) == 0)
    body = 255.0 * np.sqrt(np.clip(body_colours(scene) * 1.15 + 0.01, 0.0, 1.0))
    body[:, 0] = EGO_BODY
    paint = _where(_style(0.2 * view.px_per_m, (0, 0, 0)), valid)
    paint[..., 2:5] = body
    car = valid & (kind != Kind.OBSTACLE)
    soft = 0.35 * view.px_per_m
    return np.concatenate(
        [
            actors.box(0, 0, 1, 1, _where(_style(1.1 * soft, (0, 0, 0), 0.45, 2.5 * soft), shown)),
            actors.box(0, 0, 1, 1, _where(_style(0.55 * view.px_per_m, EGO_HALO, 0.9, 0.5 * soft), ego)),
            actors.box(0, 0, 0.97, 0.92, _where(_style(0.2 * view.px_per_m + 0.6, OUTLINE, 0.9), valid)),
            actors.box(0, 0, 0.94, 0.84, paint),
            *actors.windows(car),
            *actors.lamps(lights, car),
            *actors.cross(scene.crashed.numpy() & valid, view.px_per_m),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class _Actors:
    """Actors in the image, each (B, A, 2): middle [px], forward and left directions, half length and width [px]."""

    middle: Floats
    forward: Floats
    left: Floats
    half: Floats

    def box(self, along: float, aside: float, length: float, width: float, style: Floats) -> Floats:
        """A box on every actor: its middle, half length and half width as shares of the actor's."""
        scaled = self.half * np.asarray((length, width))
        inner = np.maximum(scaled - style[..., :1], 0.0)  # the radius grows it back
        shift = self.forward * (along * self.half[..., :1]) + self.left * (aside * self.half[..., 1:])
        return _mark(self.middle + shift, self.forward, inner, style)

    def windows(self, shown: NDArray[np.bool_]) -> list[Floats]:
        """Wind screen, rear window and a paler roof between them, so that front and rear differ."""
        screen, rear = (CABIN_FRONT + CABIN_FRONT_TOP) / 2, (CABIN_REAR + CABIN_REAR_TOP) / 2
        glass = _where(_style(0.6, GLASS, 0.92), shown)
        return [
            self.box(screen, 0, (CABIN_FRONT - CABIN_FRONT_TOP) / 2, 0.74, glass),
            self.box(-rear, 0, (CABIN_REAR - CABIN_REAR_TOP) / 2.6, 0.66, glass),
        ]

    def lamps(self, lights: NDArray[np.int64], shown: NDArray[np.bool_]) -> list[Floats]:
        """Brake lamps at the rear corners, blinking lamps at the corners of one side."""
        marks = []
        size = float(self.half[..., 1].max(initial=1.0)) * 0.16
        for side, light in ((0.72, Light.LEFT), (-0.72, Light.RIGHT)):
            braking, blinking = shown & (lights & Light.BRAKE > 0), shown & (lights & light > 0)
            marks.append(self.box(-0.96, side, 0.05, 0.26, _where(_style(size * 2.2, BRAKE_RED, 0.55, size * 3.5), braking)))
            marks.append(self.box(-0.95, side, 0.05, 0.28, _where(_style(size, BRAKE_RED), braking)))
            for end in (-0.90, 0.90):
                marks.append(self.box(end, side * 1.3, 0.06, 0.14, _where(_style(size * 2.0, AMBER, 0.55, size * 3.0), blinking)))
                marks.append(self.box(end, side * 1.25, 0.07, 0.16, _where(_style(size * 1.2, AMBER), blinking)))
        return marks

    def cross(self, crashed: NDArray[np.bool_], px_per_m: float) -> list[Floats]:
        """A red ring and cross over a crashed actor."""
        turned = (self.forward + self.left) / math.sqrt(2.0)
        reach = self.half[..., :1] * np.asarray((0.62, 0.0))
        marks = [self.box(0, 0, 1, 1, _where(_style(0.5 * px_per_m, CRASH_RED, 0.55, 0.5 * px_per_m), crashed))]
        for radius, colour in ((0.42 * px_per_m, WHITE), (0.26 * px_per_m, CRASH_RED)):
            for direction in (turned, np.stack((-turned[..., 1], turned[..., 0]), -1)):
                marks.append(_mark(self.middle, direction, reach, _where(_style(radius, colour), crashed)))
        return marks


def _lidar_points(lidar: LidarFrames, rig: Rig, view: BirdsEye) -> Floats:
    """Dots where the lidars' beams returned, (B, M, MARK_NUMBERS)."""
    layers = [np.zeros((lidar.valid.shape[0], 0, MARK_NUMBERS))]
    for k, sensor in enumerate(rig.lidars):
        columns = 2.0 * math.pi * (np.arange(sensor.columns) + 0.5) / sensor.columns
        elevation = np.asarray(sensor.elevations_rad)[:, None]
        flat = np.broadcast_arrays(np.cos(elevation) * np.cos(columns), np.cos(elevation) * np.sin(columns), np.sin(elevation))
        ego_T_lidar = sensor.mount.ego_T_sensor()
        directions = np.stack(flat, -1).reshape(-1, 3) @ ego_T_lidar[:3, :3].T
        ranges = lidar.range_m[:, k].numpy().reshape(len(lidar.range_m), -1)
        hit, actor = lidar.hit[:, k].numpy().reshape(ranges.shape), lidar.actor[:, k].numpy().reshape(ranges.shape)
        points = ranges[..., None] * directions[None, :, :2] + ego_T_lidar[:2, 3]
        middle = points @ (view.image_R_ego.T * view.px_per_m) + view.ego_px
        style = _where(_style(0.35, POINT, 0.9), hit)
        ground = actor < 0
        style[ground, 2:5] = GROUND_POINT
        style[ground, 5] *= 0.22
        layers.append(_mark(middle, np.broadcast_to((1.0, 0.0), middle.shape), np.zeros_like(middle), style))
    return np.concatenate(layers, 1)


def _radar_arrows(radar: RadarFrames, rig: Rig, view: BirdsEye) -> Floats:
    """An arrow for every detection along its line of sight: its length is the Doppler, its colour says closing or opening."""
    layers = [np.zeros((radar.valid.shape[0], 0, MARK_NUMBERS))]
    for k, sensor in enumerate(rig.radars):
        found = radar.detections[:, k].double().numpy()
        mask = radar.mask[:, k].numpy()
        distance, azimuth, elevation, doppler = (found[..., c] for c in range(4))
        sight = np.stack((np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)), -1)
        ego_T_radar = sensor.mount.ego_T_sensor()
        to_image = view.image_R_ego * view.px_per_m
        sight = sight @ ego_T_radar[:3, :3].T
        tail = (sight[..., :2] * distance[..., None] + ego_T_radar[:2, 3]) @ to_image.T + view.ego_px
        direction = sight[..., :2] @ view.image_R_ego.T
        direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-9)
        direction = np.where(doppler[..., None] < 0.0, -direction, direction)
        length = np.abs(doppler)[..., None] * ARROW_M_PER_MPS * view.px_per_m
        style = _where(_style(0.9, OPENING), mask)
        style[doppler < 0.0, 2:5] = CLOSING
        layers += _arrow(tail, direction, length, style)
    return np.concatenate(layers, 1)


def _arrow(tail: Floats, direction: Floats, length: Floats, style: Floats) -> list[Floats]:
    """A dot, a shaft and two barbs; shapes (B, D, 2), (B, D, 2), (B, D, 1), (B, D, 6)."""
    tip = tail + direction * length
    dot, none = style.copy(), np.zeros_like(length)
    dot[..., 0] = 1.7
    marks = [_mark((tail + tip) / 2, direction, np.concatenate((length / 2, none), -1), style)]
    marks.append(_mark(tail, direction, np.zeros_like(tail), dot))
    barb = np.minimum(length, 5.0)
    for angle in (0.75 * math.pi, -0.75 * math.pi):
        cos, sin = math.cos(angle), math.sin(angle)
        back = direction @ np.asarray([[cos, sin], [-sin, cos]])
        marks.append(_mark(tip + back * barb / 2, back, np.concatenate((barb / 2, none), -1), style))
    return marks
