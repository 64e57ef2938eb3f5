"""Cameras of many worlds on a CPU, and the memory that a thread needs to render them."""

from __future__ import annotations

import numpy as np

from sensors.camera.backdrop import SCRATCH_ROWS
from sensors.camera.faces import BODY_NUMBERS, FACE_NUMBERS, FACES, MOST_FACES, SUB_ROWS
from sensors.camera.fall import FALLER_NUMBERS, FALLERS
from sensors.camera.frame import LOOKS, STRETCH, render_frame
from sensors.camera.geometry import ACTOR_NUMBERS, CORNER_NUMBERS, VIEW_NUMBERS, gather_actors
from sensors.camera.lamps import GLOW_NUMBERS, GLOWS
from sensors.camera.shadow import SHADOW_NUMBERS
from sensors.ground import STRIDE
from sensors.jit import kernel
from sensors.vehicle_shape import MAX_PARTS, PART_NUMBERS


@kernel(nogil=True)
def render_worlds(first, end, mounts, focal, grid, grain, scene, lights, keys, optics, out):  # type: ignore[no-untyped-def]
    """Render K cameras of worlds ``first`` to ``end`` of B.

    Args:
        first: First world.
        end: End of the worlds.
        mounts: ego_T_camera, columns right, down, forward, position, (K, 3, 4).
        focal: Focal lengths [px], (K,).
        grid: ``PaintGrid.arrays()``.
        grain: ``grain_table()``.
        scene: velocity (B, A, 2), yaw rate (B, A), position (B, A, 2), heading (B, A), size (B, A, 3), kind, lights, valid (B, A), albedo
            of the bodies (B, A, 3).
        lights: ``light_table``.
        keys: (K, B, 4) uint32: of the sensor's noise, and of what falls.
        optics: ``optics_of`` the cameras, (K, 4) float32.
        out: rgb (B, K, 3, H, W), depth (B, K, H, W), semantic, instance.
    """
    velocity, yaw_rate, position, heading, size, kind, lamps, valid, bodies = scene
    rgb, depth, semantic, instance = out
    _, cameras, height, width = depth.shape
    number = valid.shape[1]
    blurs = False
    for c in range(cameras):
        blurs |= optics[c, LOOKS] > 1.0
    place = (
        np.zeros(SCRATCH_ROWS * STRIDE, np.float32),
        np.empty(VIEW_NUMBERS),
        np.empty((number, ACTOR_NUMBERS)),
        np.empty((number, MAX_PARTS, PART_NUMBERS)),
        np.empty(number, np.int32),
        np.empty(number),
    )
    lists = (
        np.empty((number, BODY_NUMBERS)),
        np.empty((MOST_FACES * number, FACE_NUMBERS)),
        np.empty((MOST_FACES * number, 2), np.int32),
        np.empty((number, SHADOW_NUMBERS)),
        np.empty((GLOWS, GLOW_NUMBERS), np.float32),
        np.empty((FALLERS + 1, FALLER_NUMBERS), np.float32),
        np.empty((MOST_FACES * number, 2 * SUB_ROWS + 2)),
        np.empty((MOST_FACES * number, 3), np.int32),
    )
    rest = (
        np.empty(STRETCH, np.int32),
        np.empty(width, np.uint32),
        np.empty((FACES, 8)),
        np.empty(CORNER_NUMBERS),
        np.empty(3 * height * width if blurs else 1, np.float32),
    )
    for w in range(first, end):
        world = (velocity[w], yaw_rate[w], position[w], heading[w], size[w], kind[w], lamps[w], valid[w], bodies[w])
        gather_actors(world, 0.0, place[2], place[3])
        for c in range(cameras):
            images = (rgb[w, c], depth[w, c], semantic[w, c], instance[w, c])
            render_frame(
                world, mounts[c], focal[c], grid, grain, lights[w], keys[c, w], optics[c], (place, lists, rest), (0, height), images
            )
