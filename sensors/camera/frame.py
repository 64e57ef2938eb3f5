"""One camera image, row by row: sky and ground, shadows, vehicles, haze, outlines, bytes. Only a few rows are held at a time."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import (
    DEPTH,
    FAR,
    GROUND_FAR_M,
    RING,
    SCRATCH_ROWS,
    colour_ground,
    colour_sky,
    grain_place,
    grain_row,
    ground_points,
    sky_numbers,
)
from sensors.camera.finish import MOST_OVERLAPS, copy_row, develop_row, find_glows, glow_row, haze_row, smooth_row
from sensors.camera.geometry import (
    ACTOR_NUMBERS,
    FOCAL,
    HULL_NUMBERS,
    KIND,
    NO_MARK,
    PART,
    ROWS,
    U0,
    U1,
    V0,
    V1,
    VIEW_NUMBERS,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    WHO,
    find_hulls,
    gather_actors,
    hit_row,
    place_view,
    ray_at,
    ray_in,
    row_rays,
    shade_row,
)
from sensors.camera.light import SUN_X, SUN_Y, SUN_Z
from sensors.camera.vehicle import vehicle_pixel
from sensors.frames import Semantic
from sensors.ground import STRIDE, ground_row, place_in_grid
from sensors.jit import kernel
from sensors.scene import Kind
from sensors.vehicle_shape import MAX_PARTS

f4, i4, u4, u1, i2, u8 = np.float32, np.int32, np.uint32, np.uint8, np.int16, np.uint64
SKY, VEHICLE, BARRIER = u1(Semantic.SKY), u1(Semantic.VEHICLE), u1(Semantic.OBSTACLE)
OBSTACLE, NOBODY = int(Kind.OBSTACLE), i2(-1)
CONTACT_M = 0.5
"""How far round a vehicle the ground is darker."""
GLOWS = 64


@kernel()
def _ground_span(base_z, step_z, z, width):  # type: ignore[no-untyped-def]
    """First and end column of a row's ground: where its rays fall faster than to GROUND_FAR_M."""
    limit = -z / GROUND_FAR_M
    if step_z == 0.0:
        return (0, width) if base_z < limit else (0, 0)
    edge = min(max((limit - base_z) / step_z, -1.0), width + 1.0)
    return (0, min(max(math.ceil(edge), 0), width)) if step_z > 0.0 else (min(max(math.floor(edge) + 1, 0), width), width)


@kernel()
def _sky_part(view, v, sky, s, out, first, count, label):  # type: ignore[no-untyped-def]
    """Draw the sky of a row from column ``first`` on."""
    x, y, z = ray_at(view, first + 0.5, v + 0.5)
    step = (f4(view[0] / view[FOCAL]), f4(view[3] / view[FOCAL]), f4(view[6] / view[FOCAL]))
    colour_sky(sky, (f4(x), f4(y), f4(z)), step, s, out, first, count)
    for k in range(first, first + count):
        label[k] = SKY


@kernel()
def _ground_part(view, v, grid, places, grain, light, shadows, s, out, first, count, label):  # type: ignore[no-untyped-def]
    """Draw the ground of a row from column ``first`` on, and the shadows on it."""
    x, y, z = ray_at(view, first + 0.5, v + 0.5)
    per_px = 1.0 / view[FOCAL]
    right, down = (f4(view[0] * per_px), f4(view[3] * per_px)), (f4(view[1] * per_px), f4(view[4] * per_px), f4(view[7] * per_px))
    ground_points(right, (f4(x), f4(y)), z, view[6] * per_px, f4(view[VIEW_Z]), down, s, first, count)
    ground_row(grid, places[0], s, first, count, label)
    grain_row(grain, places[1], s, first, count)
    hulls, who, shades = shadows
    for n in range(shades):
        p, q = max(who[n, U0], first), min(who[n, U1], first + count)
        if who[n, V0] <= v and v < who[n, V1] and p < q:
            shade_row(hulls, n, light[SUN_X], light[SUN_Y], light[SUN_Z], who[n, PART] == 0, s, p, q - p)
    colour_ground(light, s, out, first, count)


@kernel()
def _vehicles_row(view, v, found, light, sky, s, marks, label, instance):  # type: ignore[no-untyped-def]
    """Draw the vehicles into a row: nearest part first found, then one look at each of their pixels."""
    hulls, who, count = found
    width, slot = len(label), v % 3
    rays, px_size = row_rays(view, v), f4(1.0 / view[FOCAL])
    begin, end = width, 0
    for k in range(width):
        marks[slot * STRIDE + k] = NO_MARK
        instance[k] = NOBODY
    for n in range(count):
        if who[n, V0] <= v and v < who[n, V1]:
            p, q = who[n, U0], who[n, U1]
            hit_row(hulls, n, rays, s, marks, slot, p, q - p)
            begin, end = min(begin, p), max(end, q)
    for k in range(begin, end):
        mark = marks[slot * STRIDE + k]
        if mark >= 0:
            n = mark >> 3
            instance[k] = who[n, WHO]
            label[k] = BARRIER if i4(hulls[n, KIND]) == i4(OBSTACLE) else VEHICLE
            x, y, z = ray_in(hulls, n, rays, float(k))
            t, to = s[DEPTH + u8(k)], RING + u8(3 * slot * STRIDE + k)
            vehicle_pixel(hulls, n, who[n, PART], i4(mark & 7), (f4(x), f4(y), f4(z)), t, px_size, light, sky, s, to)


@kernel()
def _finish_row(view, v, found, glowing, candidates, light, key, noisy, marks, s, rgb, depth):  # type: ignore[no-untyped-def]
    """Turn a row that has its neighbours into bytes."""
    hulls, who, count = found
    glows, lamps = glowing
    height, width = depth.shape
    copy_row(s, RING + u8(3 * (v % 3) * STRIDE), width)
    smooth_row(view, v, hulls, who, count, candidates, marks, s)
    glow_row(glows, lamps, v, depth[v], s)
    develop_row(light, key[0], key[1], u4(v * width), u4(height * width), noisy, s, rgb, v)


@kernel()
def _draw_row(view, v, grid, places, grain, light, sky, found, shadows, s, marks, label, instance):  # type: ignore[no-untyped-def]
    """Draw sky, ground and vehicles of a row and the haze before them."""
    width, out, per_px = len(label), RING + u8(3 * (v % 3) * STRIDE), 1.0 / view[FOCAL]
    _, _, z = ray_at(view, 0.5, v + 0.5)
    begin, end = _ground_span(z, view[6] * per_px, view[VIEW_Z], width)
    if begin > 0:
        _sky_part(view, v, sky, s, out, 0, begin, label)
    if end < width:
        _sky_part(view, v, sky, s, out, end, width - end, label)
    if begin < end:
        _ground_part(view, v, grid, places, grain, light, shadows, s, out, begin, end - begin, label)
    _vehicles_row(view, v, found, light, sky, s, marks, label, instance)
    a0, b = (0.5 - 0.5 * width) * per_px, (v + 0.5 - 0.5 * view[ROWS]) * per_px
    haze_row(light, f4(a0), f4(per_px), f4(b), f4(z), f4(view[6] * per_px), s, out, width)


@kernel()
def _render_frame(view, grid, grain, actors, light, key, noisy, s, marks, hulls, who, glows, out):  # type: ignore[no-untyped-def]
    """Render one camera of one world."""
    rgb, depth, semantic, instance = out
    height, width = depth.shape
    found = (hulls[0], who[0], find_hulls(view, actors, 0.0, 0.0, -1.0, hulls[0], who[0]))
    slide_x, slide_y = -light[SUN_X] / light[SUN_Z], -light[SUN_Y] / light[SUN_Z]
    shadows = (hulls[1], who[1], find_hulls(view, actors, float(slide_x), float(slide_y), CONTACT_M, hulls[1], who[1]))
    glowing = (glows, find_glows(view, actors, glows))
    places = (place_in_grid(grid, view[VIEW_X], view[VIEW_Y]), grain_place(view[VIEW_X], view[VIEW_Y]))
    sky = sky_numbers(light)
    candidates = np.empty(MOST_OVERLAPS, np.int32)
    for k in range(width):
        marks[3 * STRIDE + k] = -1
    for v in range(height + 1):
        if v < height:
            _draw_row(view, v, grid, places, grain, light, sky, found, shadows, s, marks, semantic[v], instance[v])
            for k in range(width):
                t = s[DEPTH + u8(k)]
                depth[v, k] = t if t < FAR else f4(0)
        if v > 0:
            _finish_row(view, v - 1, found, glowing, candidates, light, key, noisy, marks, s, rgb, depth)


@kernel(nogil=True)
def render_worlds(first, end, mounts, focal, grid, grain, scene, bodies, lights, keys, noisy, out):  # type: ignore[no-untyped-def]
    """Render K cameras of worlds ``first`` to ``end`` of B.

    Args:
        first: First world.
        end: End of the worlds.
        mounts: ego_T_camera, columns right, down, forward, position, (K, 3, 4).
        focal: Focal lengths [px], (K,).
        grid: ``PaintGrid.arrays()``.
        grain: ``grain_table()``.
        scene: position (B, A, 2), heading (B, A), size (B, A, 3), kind, lights, valid (B, A).
        bodies: Albedo (B, A, 3).
        lights: ``light_table``.
        keys: (K, B, 2) uint32.
        noisy: (K,) bool.
        out: rgb (B, K, 3, H, W), depth (B, K, H, W), semantic, instance.
    """
    position, heading, size, kind, lamps, valid = scene
    rgb, depth, semantic, instance = out
    _, cameras, height, width = depth.shape
    view, actors = np.empty(VIEW_NUMBERS), np.empty((valid.shape[1], ACTOR_NUMBERS))
    s, marks = np.empty(SCRATCH_ROWS * STRIDE, np.float32), np.empty(4 * STRIDE, np.int32)
    room = MAX_PARTS * valid.shape[1]
    hulls, who = np.empty((2, room, HULL_NUMBERS), np.float32), np.empty((2, room, 6), np.int32)
    glows = np.empty((GLOWS, 6), np.float32)
    for w in range(first, end):
        gather_actors(position[w], heading[w], size[w], kind[w], lamps[w], valid[w], bodies[w], actors)
        for c in range(cameras):
            place_view(actors, mounts[c], focal[c], height, width, view)
            images = (rgb[w, c], depth[w, c], semantic[w, c], instance[w, c])
            _render_frame(view, grid, grain, actors, lights[w], keys[c, w], noisy[c], s, marks, hulls, who, glows, images)
