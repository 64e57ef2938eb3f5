"""Boxes on the ground, in batch: corners, overlap, and who is at fault in a collision.

Only operations that give an element the same bits whatever the batch are used: square roots of sums instead of ``norm`` or ``hypot``, and
no ``atan2``, whose vectorised and scalar forms differ in torch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from envs.scores.constants import Limits
from sensors.scene import Kind, Scene


def length_of(vectors: Tensor) -> Tensor:
    """Euclidean lengths of (..., 2)."""
    return (vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1]).sqrt()


def in_ego_frame(scene: Scene) -> Tensor:
    """Positions relative to the ego, x ahead and y left [m], (B, A, 2) float64."""
    return turned(scene.position_m.double() - scene.position_m[:, :1].double(), -scene.heading_rad[:, :1].double())


def turned(vectors: Tensor, angle_rad: Tensor) -> Tensor:
    """Vectors (..., 2) turned counter-clockwise by angles (...)."""
    cos, sin = angle_rad.cos(), angle_rad.sin()
    return torch.stack((vectors[..., 0] * cos - vectors[..., 1] * sin, vectors[..., 0] * sin + vectors[..., 1] * cos), -1)


def ego_points(scene: Scene) -> Tensor:
    """The ego's middle and its four corners [m], (B, 5, 2) float64."""
    half = scene.size_m[:, 0, :2].double() / 2
    signs = half.new_tensor(((0.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)))
    heading = scene.heading_rad[:, 0].double()
    return scene.position_m[:, :1].double() + turned(signs * half[:, None], heading[:, None])


def boxes_overlap(offset_m: Tensor, heading_rad: tuple[Tensor, Tensor], size_m: tuple[Tensor, Tensor]) -> Tensor:
    """Whether pairs of boxes overlap: they do unless an axis of one of them separates them.

    Args:
        offset_m: From the first box's centre to the second's, (N, T, 2).
        heading_rad: Of the first and of the second, each (N, 1).
        size_m: Length and width, first columns of (N, 2 or more) each.

    Returns:
        (N, T) bool.
    """
    turn = heading_rad[1] - heading_rad[0]
    cos, sin = turn.cos().abs(), turn.sin().abs()
    overlap = torch.ones(offset_m.shape[:2], dtype=torch.bool, device=offset_m.device)
    for mine, other in ((0, 1), (1, 0)):
        axis_x, axis_y = heading_rad[mine].cos(), heading_rad[mine].sin()
        length, width = size_m[mine][:, :1] / 2, size_m[mine][:, 1:2] / 2
        other_length, other_width = size_m[other][:, :1] / 2, size_m[other][:, 1:2] / 2
        along = (offset_m[..., 0] * axis_x + offset_m[..., 1] * axis_y).abs()
        across = (offset_m[..., 1] * axis_x - offset_m[..., 0] * axis_y).abs()
        overlap &= along < length + cos * other_length + sin * other_width
        overlap &= across < width + sin * other_length + cos * other_width
    return overlap


def bearing_cos(scene: Scene, relative_m: Tensor) -> Tensor:
    """Cosine of the angle between the ego's heading and where the others are, seen from the ego's rear axle, (B, A).

    highway-env's bicycle model has its rear axle half a length behind the middle.
    """
    ahead = relative_m[..., 0] + scene.size_m[:, :1, 0].double() / 2
    distance = (ahead * ahead + relative_m[..., 1] * relative_m[..., 1]).sqrt()
    return ahead / distance.clamp(min=1e-9)


def soon_overlapping(scene: Scene, candidate: Tensor, looks_s: tuple[tuple[float, ...], ...]) -> dict[tuple[float, ...], Tensor]:
    """Whether anybody overlaps with the ego at one of some times, if all go on at their velocities and headings.

    Args:
        scene: B worlds of A actors.
        candidate: Who is asked about, (B, A) bool.
        looks_s: Several sets of times from now.

    Returns:
        For each set, (B,) bool.
    """
    asked = sorted({time for times in looks_s for time in times})
    position, velocity = scene.position_m.double(), scene.velocity_mps.double()
    sizes = length_of(scene.size_m[..., :2].double())
    reach = length_of(velocity - velocity[:, :1]) * asked[-1] + (sizes + sizes[:, :1]) / 2
    world, actor = (candidate & (length_of(position - position[:, :1]) < reach)).nonzero(as_tuple=True)
    offset, drift = position[world, actor] - position[world, 0], velocity[world, actor] - velocity[world, 0]
    moved = offset[:, None] + drift[:, None] * position.new_tensor(asked)[:, None]  # (N, T, 2)
    heading, size = scene.heading_rad.double(), scene.size_m.double()
    hits = boxes_overlap(moved, (heading[world, 0][:, None], heading[world, actor][:, None]), (size[world, 0], size[world, actor]))
    found = {}
    for times in looks_s:
        found[times] = torch.zeros(scene.num_worlds, dtype=torch.bool, device=scene.device)
        found[times][world[hits[:, [asked.index(time) for time in times]].any(1)]] = True
    return found


def no_collision_of(scene: Scene, between_lanes: Tensor, limits: Limits) -> tuple[Tensor, Tensor]:
    """Judge the collision that the ego of each world is in, by nuPlan's rules.

    The other is the crashed actor nearest to the ego. If the ego stands, it is not at fault. Else it is, if the other stands, if the
    other touches the ego's front bumper, or if it touches the ego's side while the ego is between lanes or off the road; it is not if the
    other is behind. highway-env flags a collision up to one substep ahead and pushes both apart, so the other's box is first brought back
    along the ego's axis on which they are furthest apart.

    Args:
        scene: Right after the collision.
        between_lanes: Where the ego is in several lanes at once or off the road, (B,) bool.
        limits: The angles and speeds.

    Returns:
        The no-collision term, (B,) float64: 1 not at fault, 0.5 at fault with an obstacle, 0 at fault with a vehicle; and whether the
        other is an obstacle, (B,) bool. Nobody to collide with (highway-env tells only that the ego crashed) counts as a vehicle at fault.
    """
    relative = in_ego_frame(scene)
    others = scene.crashed & scene.valid
    others = torch.cat((torch.zeros_like(others[:, :1]), others[:, 1:]), 1)
    nearest = torch.where(others, length_of(relative), torch.inf).argmin(1)
    row = torch.arange(scene.num_worlds, device=scene.device)
    speed = length_of(scene.velocity_mps.double())
    front = _touches_front(scene, relative[row, nearest], nearest)
    behind = bearing_cos(scene, relative)[row, nearest] < math.cos(limits.behind_rad)
    stands = speed[row, nearest] <= limits.stopped_mps
    fault = stands | (~behind & (front | between_lanes))
    fault = (fault | ~others.any(1)) & (speed[:, 0] > limits.stopped_mps)
    obstacle = others.any(1) & (scene.kind[row, nearest] == int(Kind.OBSTACLE))
    blame = torch.where(obstacle, 0.5, 1.0).to(relative.dtype)
    return 1.0 - fault * blame, obstacle


def _touches_front(scene: Scene, offset_m: Tensor, other: Tensor) -> Tensor:
    """Whether the line of the ego's front bumper meets another's box, (B,).

    Args:
        scene: B worlds.
        offset_m: The other's middle in the ego's frame, (B, 2).
        other: Which actor it is, (B,).
    """
    row = torch.arange(scene.num_worlds, device=scene.device)
    mine, size = scene.size_m[:, 0, :2].double(), scene.size_m[row, other, :2].double()
    turn = (scene.heading_rad[row, other] - scene.heading_rad[:, 0]).double()
    cos, sin = turn.cos().abs(), turn.sin().abs()
    reach = torch.stack((cos * size[:, 0] + sin * size[:, 1], sin * size[:, 0] + cos * size[:, 1]), -1) / 2  # along the ego's axes
    gap = offset_m.abs() - mine / 2 - reach  # (B, 2), negative where they overlap along that axis
    apart = gap.max(1).values.clamp(min=0.0)
    along_x = gap[:, 0] >= gap[:, 1]
    shift = torch.stack((apart * along_x, apart * ~along_x), -1) * offset_m.sign()
    bumper = torch.stack((mine[:, 0] / 2, torch.zeros_like(apart)), -1)
    thin = torch.stack((torch.full_like(apart, 2e-3), mine[:, 1]), -1)  # touching counts
    zero = torch.zeros_like(turn)[:, None]
    return boxes_overlap((offset_m - shift - bumper)[:, None], (zero, turn[:, None]), (thin, size))[:, 0]
