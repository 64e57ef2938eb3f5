"""One camera image, row by row: sky and ground, shadows, vehicles, haze, outlines, bytes. Only a few rows are held at a time."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera_backdrop import GROUND_FAR_M, colour_ground, colour_sky, grain_place, grain_row, ground_points, sky_numbers
from sensors.camera_finish import develop_row, find_glows, glow_row, haze_row, smooth_row
from sensors.camera_geometry import (
    ACTOR_NUMBERS,
    AT_HEIGHT,
    AT_KIND,
    AT_LENGTH,
    AT_LIGHTS,
    AT_WIDTH,
    FAR,
    FOCAL,
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
    VIEW_NUMBERS,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    WHO,
    find_hulls,
    gather_actors,
    hit_row,
    in_actor,
    place_view,
    ray_at,
    shade_row,
)
from sensors.camera_light import SUN_X, SUN_Y, SUN_Z
from sensors.camera_vehicle import face_normal, lit_surface, panel
from sensors.frames import Semantic
from sensors.ground import MAX_SPAN, SKYLIT, SPAN_ROWS, STRIDE, SUNLIT, ground_row, place_in_grid
from sensors.jit import kernel
from sensors.scene import Kind
from sensors.vehicle_shape import FRONT_LEAN, MAX_PARTS, REAR_LEAN, SIDE_LEAN

f4, i4, u4, u1, i2 = np.float32, np.int32, np.uint32, np.uint8, np.int16
SKY, VEHICLE, BARRIER = u1(Semantic.SKY), u1(Semantic.VEHICLE), u1(Semantic.OBSTACLE)
OBSTACLE = int(Kind.OBSTACLE)
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
def _sky_part(view, v, sky, begin, end, label, depth, colour):  # type: ignore[no-untyped-def]
    """Draw a row's sky from column ``begin`` to ``end``."""
    x, y, z = ray_at(view, begin + 0.5, v + 0.5)
    step = (f4(view[0] / view[FOCAL]), f4(view[3] / view[FOCAL]), f4(view[6] / view[FOCAL]))
    colour_sky(sky, (f4(x), f4(y), f4(z)), step, colour[0, begin:end], colour[1, begin:end], colour[2, begin:end])
    depth[begin:end] = FAR
    label[begin:end] = SKY


@kernel()
def _ground_part(view, v, grid, places, grain, light, shadows, span, begin, end, label, depth, colour):  # type: ignore[no-untyped-def]
    """Draw a row's ground and the shadows on it, from column ``begin`` to ``end``, at most MAX_SPAN of them."""
    x, y, z = ray_at(view, begin + 0.5, v + 0.5)
    per_px = 1.0 / view[FOCAL]
    right, down = (f4(view[0] * per_px), f4(view[3] * per_px)), (f4(view[1] * per_px), f4(view[4] * per_px), f4(view[7] * per_px))
    ground_points(right, (f4(x), f4(y)), z, view[6] * per_px, f4(view[VIEW_Z]), down, span, depth[begin:end])
    ground_row(grid, places[0], span, end - begin, label[begin:end])
    grain_row(grain, places[1], span, end - begin)
    span[SUNLIT * STRIDE : SUNLIT * STRIDE + end - begin] = f4(1)
    span[SKYLIT * STRIDE : SKYLIT * STRIDE + end - begin] = f4(1)
    hulls, who, count = shadows
    sun = (light[SUN_X], light[SUN_Y], light[SUN_Z])
    for n in range(count):
        p, q = max(who[n, U0], begin), min(who[n, U1], end)
        if who[n, V0] <= v and v < who[n, V1] and p < q:
            shade_row(hulls[n], sun, who[n, PART] == 0, span, p - begin, q - begin)
    colour_ground(light, span, colour[0, begin:end], colour[1, begin:end], colour[2, begin:end])


@kernel()
def _vehicle_pixel(view, k, v, hull, actor, part, face, body, light, sky, t, out):  # type: ignore[no-untyped-def]
    """Colour one pixel of a vehicle at depth ``t``; ``actor`` is its row of the table."""
    x, y, z = ray_at(view, k + 0.5, v + 0.5)
    dx, dy = in_actor(hull, f4(x), f4(y))
    dz = f4(z)
    x, y, z = hull[HULL_X] + t * dx, hull[HULL_Y] + t * dy, hull[HULL_Z] + t * dz
    inverse = f4(1) / math.sqrt(dx * dx + dy * dy + dz * dz)
    hx, hy, h = f4(0.5 * actor[AT_LENGTH]), f4(0.5 * actor[AT_WIDTH]), f4(actor[AT_HEIGHT])
    wide = max(t / f4(view[FOCAL]), f4(1e-3))
    materials = panel(i4(actor[AT_KIND]), part, face, x, y, z, hx, hy, h, wide, i4(actor[AT_LIGHTS]))
    normal = face_normal(face, hull[FRONT_LEAN], hull[REAR_LEAN], hull[SIDE_LEAN])
    ray = (dx * inverse, dy * inverse, dz * inverse)
    out[0, k], out[1, k], out[2, k] = lit_surface(light, sky, hull[HULL_COS], hull[HULL_SIN], normal, ray, z / h, materials, body)


@kernel()
def _vehicles_row(view, v, found, actors, bodies, light, sky, depth, label, instance, marks, colour):  # type: ignore[no-untyped-def]
    """Draw the vehicles into a row: nearest part first found, then one look at each of their pixels; returns the columns touched."""
    hulls, who, count = found
    begin, end = len(marks), 0
    marks[:] = NO_MARK
    instance[:] = i2(-1)
    for n in range(count):
        if who[n, V0] <= v and v < who[n, V1]:
            p, q = who[n, U0], who[n, U1]
            hull = hulls[n]
            x, y, z = ray_at(view, p + 0.5, v + 0.5)
            bx, by = in_actor(hull, x, y)
            sx, sy = in_actor(hull, view[0] / view[FOCAL], view[3] / view[FOCAL])
            step = (f4(sx), f4(sy), f4(view[6] / view[FOCAL]))
            hit_row(hull, (f4(bx), f4(by), f4(z)), step, i4(n * 8), depth[p:q], marks[p:q])
            begin, end = min(begin, p), max(end, q)
    for k in range(begin, end):
        if marks[k] >= 0:
            n = marks[k] >> 3
            who_k = who[n, WHO]
            actor = actors[who_k]
            instance[k] = who_k
            label[k] = BARRIER if actor[AT_KIND] == OBSTACLE else VEHICLE
            _vehicle_pixel(view, k, v, hulls[n], actor, who[n, PART], i4(marks[k] & 7), bodies[who_k], light, sky, depth[k], colour)
    return begin, end


@kernel()
def _finish_row(view, v, found, glowing, touched, light, key, noisy, marks, ring, line, out):  # type: ignore[no-untyped-def]
    """Turn a row that has its neighbours into bytes."""
    hulls, who, count = found
    glows, lamps = glowing
    rgb, depth = out[0], out[1]
    height, width = depth.shape
    begin = min(touched[0, 0], min(touched[1, 0], touched[2, 0]))
    end = max(touched[0, 1], max(touched[1, 1], touched[2, 1]))
    smooth_row(view, v, hulls, who, count, begin, end, marks, ring, line)
    glow_row(glows, lamps, v, depth[v], line)
    develop_row(light, key[0], key[1], u4(v * width), u4(height * width), noisy, line, rgb[0, v], rgb[1, v], rgb[2, v])
    for k in range(width):
        depth[v, k] = depth[v, k] if depth[v, k] < FAR else f4(0)


@kernel()
def _render_frame(view, grid, grain, actors, bodies, light, key, noisy, out):  # type: ignore[no-untyped-def]
    """Render one camera of one world."""
    rgb, depth, semantic, instance = out
    height, width = depth.shape
    room = MAX_PARTS * len(actors)
    hulls, who = np.empty((room, HULL_NUMBERS), np.float32), np.empty((room, 6), np.int32)
    found = (hulls, who, find_hulls(view, actors, (0.0, 0.0, 1.0), -1.0, hulls, who))
    shade_hulls, shade_who = np.empty((room, HULL_NUMBERS), np.float32), np.empty((room, 6), np.int32)
    sun = (float(light[SUN_X]), float(light[SUN_Y]), float(light[SUN_Z]))
    shadows = (shade_hulls, shade_who, find_hulls(view, actors, sun, CONTACT_M, shade_hulls, shade_who))
    glows = np.empty((GLOWS, 6), np.float32)
    glowing = (glows, find_glows(view, actors, glows))
    places = (place_in_grid(grid, view[VIEW_X], view[VIEW_Y]), grain_place(view[VIEW_X], view[VIEW_Y]))
    sky = sky_numbers(light)
    span = np.empty(SPAN_ROWS * STRIDE, np.float32)
    ring, line = np.empty((3, 3, width), np.float32), np.empty((3, width), np.float32)
    marks, touched = np.full((3, width), NO_MARK), np.zeros((3, 2), np.int64)
    touched[:, 0] = width
    per_px = 1.0 / view[FOCAL]
    for v in range(height):
        colour, mark = ring[v % 3], marks[v % 3]
        _, _, z = ray_at(view, 0.5, v + 0.5)
        begin, end = _ground_span(z, view[6] * per_px, view[VIEW_Z], width)
        for p, q in ((0, begin), (end, width)):
            if p < q:
                _sky_part(view, v, sky, p, q, semantic[v], depth[v], colour)
        for p in range(begin, end, MAX_SPAN):
            q = min(p + MAX_SPAN, end)
            _ground_part(view, v, grid, places, grain, light, shadows, span, p, q, semantic[v], depth[v], colour)
        p, q = _vehicles_row(view, v, found, actors, bodies, light, sky, depth[v], semantic[v], instance[v], mark, colour)
        touched[v % 3, 0], touched[v % 3, 1] = p, q
        a0, b = (0.5 - 0.5 * width) * per_px, (v + 0.5 - 0.5 * height) * per_px
        haze_row(light, f4(a0), f4(per_px), f4(b), f4(z), f4(view[6] * per_px), depth[v], colour[0], colour[1], colour[2])
        if v > 0:
            _finish_row(view, v - 1, found, glowing, touched, light, key, noisy, marks, ring, line, out)
    _finish_row(view, height - 1, found, glowing, touched, light, key, noisy, marks, ring, line, out)


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
    for w in range(first, end):
        gather_actors(position[w], heading[w], size[w], kind[w], lamps[w], valid[w], actors)
        for c in range(cameras):
            place_view(actors, mounts[c], focal[c], height, width, view)
            images = (rgb[w, c], depth[w, c], semantic[w, c], instance[w, c])
            _render_frame(view, grid, grain, actors, bodies[w], lights[w], keys[c, w], noisy[c], images)
