"""One camera image, row by row: sky and ground, shadows, vehicles, haze, outlines, bytes. Only a few rows are held at a time."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from sensors.camera_backdrop import GROUND_FAR_M, colour_ground, colour_sky, grain_place, ground_points
from sensors.camera_finish import develop_row, find_glows, glow_row, haze_row, smooth_row
from sensors.camera_geometry import (
    FAR,
    HULL_COS,
    HULL_NUMBERS,
    HULL_SIN,
    HULL_X,
    HULL_Y,
    HULL_Z,
    NO_MARK,
    PART,
    U0,
    U1,
    V0,
    V1,
    WHO,
    find_hulls,
    find_shadows,
    hit_row,
    place_view,
    ray_base,
    shade_row,
)
from sensors.camera_light import SUN_X, SUN_Z
from sensors.camera_vehicle import face_normal, lit_surface, panel
from sensors.frames import Semantic
from sensors.ground import FAST, ground_row, place_in_grid
from sensors.jit import kernel
from sensors.scene import Kind
from sensors.vehicle_shape import FRONT_LEAN, MAX_PARTS, REAR_LEAN, SIDE_LEAN

f4, i4, u4, u1 = np.float32, np.int32, np.uint32, np.uint8
SKY, VEHICLE, BARRIER = u1(Semantic.SKY), u1(Semantic.VEHICLE), u1(Semantic.OBSTACLE)
OBSTACLE = int(Kind.OBSTACLE)
CONTACT_M = 0.5
"""How far round a vehicle the ground is darker."""
X, Y, UX, UY, VX, VY, PAINT, ROAD, HARD, SUNLIT, SKYLIT = range(11)
SCRATCH_ROWS = 11
GLOWS = 64


@kernel()
def _ground_span(base_z, step_z, z, width):  # type: ignore[no-untyped-def]
    """First and end column of a row's ground: where its rays fall faster than to GROUND_FAR_M."""
    limit = -z / GROUND_FAR_M
    if step_z == 0.0:
        return (0, width) if base_z < limit else (0, 0)
    edge = min(max((limit - base_z) / step_z, -1.0), width + 1.0)
    return (0, min(max(math.ceil(edge), 0), width)) if step_z > 0.0 else (min(max(math.floor(edge) + 1, 0), width), width)


@kernel(fastmath=FAST)
def _backdrop_row(view, v, grid, places, grain, light, shadows, rows, label, depth, marks, colour):  # type: ignore[no-untyped-def]
    """Sky, ground and the shadows on it."""
    R, z, focal, height, width = view
    a0, b = (0.5 - 0.5 * width) / focal, (v + 0.5 - 0.5 * height) / focal
    rx, ry, rz = R[0, 0] / focal, R[1, 0] / focal, R[2, 0] / focal
    bx = R[0, 0] * a0 + R[0, 1] * b + R[0, 2]
    by = R[1, 0] * a0 + R[1, 1] * b + R[1, 2]
    bz = R[2, 0] * a0 + R[2, 1] * b + R[2, 2]
    begin, end = _ground_span(bz, rz, z, width)
    for k in range(width):
        marks[k] = NO_MARK
    for p, q in ((0, begin), (end, width)):
        if p < q:
            ray = (f4(bx + rx * p), f4(by + ry * p), f4(bz + rz * p))
            colour_sky(light, ray, (f4(rx), f4(ry), f4(rz)), colour[0, p:q], colour[1, p:q], colour[2, p:q])
            depth[p:q] = FAR
            label[p:q] = SKY
    if begin == end:
        return
    span = rows[:, begin:end]
    x, y, ux, uy, vx, vy = span[X], span[Y], span[UX], span[UY], span[VX], span[VY]
    down = (f4(R[0, 1] / focal), f4(R[1, 1] / focal), f4(R[2, 1] / focal))
    ray = (f4(bx + rx * begin), f4(by + ry * begin))
    ground_points((f4(rx), f4(ry)), ray, bz + rz * begin, rz, f4(z), down, depth[begin:end], x, y, ux, uy, vx, vy)
    paint, road, hard, sunlit, skylit = span[PAINT], span[ROAD], span[HARD], span[SUNLIT], span[SKYLIT]
    ground_row(grid, places[0], x, y, ux, uy, vx, vy, paint, road, hard, label[begin:end])
    sunlit[:] = f4(1)
    skylit[:] = f4(1)
    hulls, who, count = shadows
    for n in range(count):
        p, q = max(who[n, U0], begin), min(who[n, U1], end)
        if who[n, V0] <= v and v < who[n, V1] and p < q:
            sun = (light[SUN_X], light[SUN_X + 1], light[SUN_Z])
            shade_row(hulls[n], sun, who[n, PART] == 0, rows[X, p:q], rows[Y, p:q], rows[SUNLIT, p:q], rows[SKYLIT, p:q])
    r, g, b_ = colour[0, begin:end], colour[1, begin:end], colour[2, begin:end]
    colour_ground(light, grain, places[1], x, y, ux, uy, vx, vy, (paint, road, hard), sunlit, skylit, r, g, b_)


@kernel(fastmath=FAST)
def _vehicle_pixel(view, k, v, hull, actor, part, face, kind, size, lights, body, light, t, out):  # type: ignore[no-untyped-def]
    """Colour one pixel of a vehicle at depth ``t``."""
    R, _, focal, height, width = view
    a, b = f4((k + 0.5 - 0.5 * width) / focal), f4((v + 0.5 - 0.5 * height) / focal)
    wx, wy = f4(R[0, 0]) * a + f4(R[0, 1]) * b + f4(R[0, 2]), f4(R[1, 0]) * a + f4(R[1, 1]) * b + f4(R[1, 2])
    dz = f4(R[2, 0]) * a + f4(R[2, 1]) * b + f4(R[2, 2])
    cos, sin = hull[HULL_COS], hull[HULL_SIN]
    dx, dy = cos * wx + sin * wy, cos * wy - sin * wx
    x, y, z = hull[HULL_X] + t * dx, hull[HULL_Y] + t * dy, hull[HULL_Z] + t * dz
    inverse = f4(1) / math.sqrt(dx * dx + dy * dy + dz * dz)
    hx, hy, h = f4(0.5 * size[0]), f4(0.5 * size[1]), f4(size[2])
    materials = panel(kind, part, face, x, y, z, hx, hy, h, max(t / f4(focal), f4(1e-3)), lights)
    normal = face_normal(face, hull[FRONT_LEAN], hull[REAR_LEAN], hull[SIDE_LEAN])
    ray = (dx * inverse, dy * inverse, dz * inverse)
    out[0, k], out[1, k], out[2, k] = lit_surface(light, cos, sin, normal, ray, z / h, materials, body)


@kernel()
def _vehicles_row(view, v, hulls, who, count, actors, bodies, light, depth, label, instance, marks, colour):  # type: ignore[no-untyped-def]
    """Draw the vehicles into a row: nearest part first found, then one look at each of their pixels."""
    R, _, focal, height, width = view
    begin, end = width, 0
    for n in range(count):
        if who[n, V0] <= v and v < who[n, V1]:
            p, q = who[n, U0], who[n, U1]
            base, step = ray_base(hulls[n], R, focal, p + 0.5 - 0.5 * width, v + 0.5 - 0.5 * height)
            hit_row(hulls[n], base, step, i4(n * 8), depth[p:q], marks[p:q])
            begin, end = min(begin, p), max(end, q)
    instance[:] = np.int16(-1)
    _, _, size, kind, lights, _ = actors
    for k in range(begin, end):
        if marks[k] >= 0:
            n = marks[k] >> 3
            actor = who[n, WHO]
            instance[k] = actor
            label[k] = BARRIER if kind[actor] == OBSTACLE else VEHICLE
            face, on, what = i4(marks[k] & 7), i4(lights[actor]), i4(kind[actor])
            _vehicle_pixel(
                view, k, v, hulls[n], actor, i4(who[n, PART]), face, what, size[actor], on, bodies[actor], light, depth[k], colour
            )


@kernel()
def _finish_row(view, v, found, glowing, light, key, noisy, marks, ring, line, out):  # type: ignore[no-untyped-def]
    """Turn a row that has its neighbours into bytes."""
    hulls, who, count = found
    glows, lamps = glowing
    rgb, depth, _, _ = out
    height, width = depth.shape
    above, below = max(v - 1, 0) % 3, min(v + 1, height - 1) % 3
    smooth_row(view, v, hulls, who, count, v % 3, above, below, marks, ring, line)
    glow_row(glows, lamps, v, depth[v], line)
    develop_row(light, key[0], key[1], u4(v * width), u4(height * width), noisy, line, rgb[0, v], rgb[1, v], rgb[2, v])
    for k in range(width):
        depth[v, k] = depth[v, k] if depth[v, k] < FAR else f4(0)


@kernel()
def _render_frame(view, cx, cy, grid, grain, actors, bodies, light, key, noisy, out):  # type: ignore[no-untyped-def]
    """Render one camera of one world."""
    R, z, focal, height, width = view
    position, heading, size, kind, lights, valid = actors
    room = MAX_PARTS * len(valid)
    hulls, who = np.empty((room, HULL_NUMBERS), np.float32), np.empty((room, 6), np.int32)
    shade_hulls, shade_who = np.empty((room, HULL_NUMBERS), np.float32), np.empty((room, 6), np.int32)
    glows = np.empty((GLOWS, 6), np.float32)
    sun = (float(light[SUN_X]), float(light[SUN_X + 1]), float(light[SUN_Z]))
    count = find_hulls(view, cx, cy, position, heading, size, kind, valid, hulls, who)
    shades = find_shadows(view, cx, cy, position, heading, size, kind, valid, sun, CONTACT_M, shade_hulls, shade_who)
    glowing = (glows, find_glows(view, cx, cy, position, heading, size, kind, lights, valid, glows))
    places = (place_in_grid(grid, cx, cy), grain_place(cx, cy))
    rows = np.empty((SCRATCH_ROWS, width), np.float32)
    ring, line = np.empty((3, 3, width), np.float32), np.empty((3, width), np.float32)
    marks = np.empty((3, width), np.int32)
    found, shadows = (hulls, who, count), (shade_hulls, shade_who, shades)
    _, depth, semantic, instance = out
    for v in range(height):
        slot = v % 3
        colour, mark = ring[slot], marks[slot]
        _backdrop_row(view, v, grid, places, grain, light, shadows, rows, semantic[v], depth[v], mark, colour)
        _vehicles_row(view, v, hulls, who, count, actors, bodies, light, depth[v], semantic[v], instance[v], mark, colour)
        a0, b = (0.5 - 0.5 * width) / focal, (v + 0.5 - 0.5 * height) / focal
        up = R[2, 0] * a0 + R[2, 1] * b + R[2, 2]
        haze_row(light, f4(a0), f4(1.0 / focal), f4(b), f4(up), f4(R[2, 0] / focal), depth[v], colour[0], colour[1], colour[2])
        if v > 0:
            _finish_row(view, v - 1, found, glowing, light, key, noisy, marks, ring, line, out)
    _finish_row(view, height - 1, found, glowing, light, key, noisy, marks, ring, line, out)


@kernel(parallel=True)
def render_worlds(mounts, focal, grid, grain, actors, bodies, lights, keys, noisy, out):  # type: ignore[no-untyped-def]
    """Render K cameras of B worlds.

    Args:
        mounts: ego_T_camera, columns right, down, forward, position, (K, 3, 4).
        focal: Focal lengths [px], (K,).
        grid: ``PaintGrid.arrays()``.
        grain: ``grain_table()``.
        actors: position (B, A, 2), heading (B, A), size (B, A, 3), kind, lights, valid (B, A).
        bodies: Albedo (B, A, 3).
        lights: ``light_table``.
        keys: (K, B, 2) uint32.
        noisy: (K,) bool.
        out: rgb (B, K, 3, H, W), depth (B, K, H, W), semantic, instance.
    """
    position, heading, size, kind, lamps, valid = actors
    rgb, depth, semantic, instance = out
    worlds, cameras, height, width = depth.shape
    for w in prange(worlds):
        view_R = np.empty((3, 3))
        mine = (position[w], heading[w], size[w], kind[w], lamps[w], valid[w])
        for c in range(cameras):
            cx, cy, cz = place_view(position[w, 0, 0], position[w, 0, 1], heading[w, 0], mounts[c], view_R)
            view = (view_R, cz, focal[c], height, width)
            images = (rgb[w, c], depth[w, c], semantic[w, c], instance[w, c])
            _render_frame(view, cx, cy, grid, grain, mine, bodies[w], lights[w], keys[c, w], noisy[c], images)
