"""One camera image, row by row: sky and ground, shadows, haze, vehicles, lamps, bytes. One row is held at a time."""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import (
    GROUND_FAR_M,
    LEFT,
    colour_ground,
    colour_sky,
    grain_place,
    grain_row,
    ground_points,
    sky_numbers,
)
from sensors.camera.faces import (
    BODY,
    BODY_ACTOR,
    KIND,
    Q_DOWN,
    Q_RIGHT,
    SUB_ROWS,
    WHOLE,
    Q,
    find_faces,
    hit_row,
    spans_of,
)
from sensors.camera.fall import fall_row, find_fallers, sun_in_image, veil_row
from sensors.camera.finish import develop_row, keep_row, label_row, mean_row, name_row
from sensors.camera.geometry import (
    AT_COS,
    AT_LENGTH,
    AT_SIN,
    AT_X,
    AT_Y,
    COLUMNS,
    FOCAL,
    ROWS,
    VIEW_X,
    VIEW_Y,
    VIEW_Z,
    gather_actors,
    place_view,
    ray_at,
    sort_actors,
)
from sensors.camera.lamps import find_glows, glow_row
from sensors.camera.light import DROPS, EXPOSURE, FLAKES, GAIN, GROUND_CHANGES, SUN_X, SUN_Y, SUN_Z
from sensors.camera.shadow import U0 as SHADOW_U0
from sensors.camera.shadow import U1 as SHADOW_U1
from sensors.camera.shadow import V0 as SHADOW_V0
from sensors.camera.shadow import V1 as SHADOW_V1
from sensors.camera.shadow import find_shadows, shade_row
from sensors.camera.surface import weather_ground
from sensors.camera.vehicle import begin_vehicles, draw_face, end_vehicles, next_part
from sensors.frames import Semantic
from sensors.ground import ground_row, place_in_grid, plain
from sensors.jit import inlined
from sensors.scene import Kind

f4, u4, u8 = np.float32, np.uint32, np.uint64
VEHICLE, BARRIER = f4(Semantic.VEHICLE), f4(Semantic.OBSTACLE)
OBSTACLE = int(Kind.OBSTACLE)
BRIGHTER, NOISE, SHUTTER, LOOKS = range(4)
"""Columns of a camera's optics: factors on exposure and on the noise's standard deviation, shutter [s], instants that are averaged."""
STRETCH = 256
"""Pixels of a row whose ground is worked out at once, so that what is known of them stays in the fastest cache."""


@inlined()
def _ground_span(base_z, step_z, z, width):  # type: ignore[no-untyped-def]
    """First and end column of a row's ground: where its rays fall faster than to GROUND_FAR_M."""
    limit = -z / GROUND_FAR_M
    if step_z == 0.0:
        return (0, width) if base_z < limit else (0, 0)
    edge = min(max((limit - base_z) / step_z, -1.0), width + 1.0)
    return (0, min(max(int(math.ceil(edge)), 0), width)) if step_z > 0.0 else (min(max(int(math.floor(edge)) + 1, 0), width), width)


@inlined()
def _sky_part(view, v, light, sky, s, first, count):  # type: ignore[no-untyped-def]
    """Draw the sky of a row from column ``first`` on."""
    x, y, z = ray_at(view, first + 0.5, v + 0.5)
    step = (f4(view[0] / view[FOCAL]), f4(view[3] / view[FOCAL]), f4(view[6] / view[FOCAL]))
    colour_sky(light, sky, (f4(x), f4(y), f4(z)), step, s, first, count)


@inlined()
def _ground_part(view, v, grid, places, grain, light, ego, shadows, shades, texels, s, first, count):  # type: ignore[no-untyped-def]
    """Draw the ground of a row from column ``first`` on, and the shadows on it."""
    x, y, z = ray_at(view, first + 0.5, v + 0.5)
    per_px = 1.0 / view[FOCAL]
    right, down = (f4(view[0] * per_px), f4(view[3] * per_px)), (f4(view[1] * per_px), f4(view[4] * per_px), f4(view[7] * per_px))
    ground_points(right, (f4(x), f4(y)), z, view[6] * per_px, f4(view[VIEW_Z]), down, s, first, count)
    ground_row(grid, places[0], s, first, count)
    grain_row(grain, places[1], s, texels, first, count)
    for n in range(shades):
        shadow = shadows[n]
        p, q = max(int(shadow[SHADOW_U0]), first), min(int(shadow[SHADOW_U1]), first + count)
        if shadow[SHADOW_V0] <= v and v < shadow[SHADOW_V1] and p < q:
            shade_row(shadow, s, p, q - p)
    tangents = (f4((first + 0.5 - 0.5 * view[COLUMNS]) * per_px), f4(per_px), f4((v + 0.5 - 0.5 * view[ROWS]) * per_px))
    if light[GROUND_CHANGES] > f4(0):
        weather_ground(light, tangents, f4(view[VIEW_Z]), ego, s, first, count)
    else:
        colour_ground(light, tangents, s, first, count)


@inlined()
def _background(view, v, grid, places, grain, light, sky, ego, shadows, shades, texels, s):  # type: ignore[no-untyped-def]
    """Draw sky and ground of a row, from left to right: each part may write a little beyond its end."""
    width = int(view[COLUMNS])
    _, _, z = ray_at(view, 0.5, v + 0.5)
    begin, end = _ground_span(z, view[6] / view[FOCAL], view[VIEW_Z], width)
    if begin > 0 or begin == end:
        _sky_part(view, v, light, sky, s, 0, begin if begin < end else width)
    for first in range(begin, end, STRETCH):
        _ground_part(view, v, grid, places, grain, light, ego, shadows, shades, texels, s, first, min(STRETCH, end - first))
    if begin < end and end < width:
        _sky_part(view, v, light, sky, s, end, width - end)


@inlined()
def _hit(face, body, v, width, edges, s):  # type: ignore[no-untyped-def]
    """Label the pixels of a row whose middles see a face; ``edges`` are from ``spans_of``."""
    low, high = edges[2 * SUB_ROWS], edges[2 * SUB_ROWS + 1]
    first, end = max(int(math.ceil(low - 0.5)), 0), min(int(math.ceil(high - 0.5)), width)
    if first < end:
        q = face[Q] + face[Q_RIGHT] * (first + 0.5) + face[Q_DOWN] * (v + 0.5)
        label = BARRIER if int(body[KIND]) == OBSTACLE else VEHICLE
        hit_row(f4(q), f4(face[Q_RIGHT]), f4(body[BODY_ACTOR]), label, s, first, end - first)


@inlined()
def _stretches(v, width, faces, rows, count, edges, active):  # type: ignore[no-untyped-def]
    """List the faces that take part of a row, nearest first: number, first and end column; their number, and the stretch of all."""
    found, begin, end = 0, width, 0
    for n in range(count):
        if v < rows[n, 0] or v >= rows[n, 1]:
            continue
        low, high = spans_of(faces[n], v, width, edges[found])
        first, to = max(int(math.floor(low)), 0), min(int(math.ceil(high)), width)
        if low < high and first < to:
            active[found, 0], active[found, 1], active[found, 2] = n, first, to
            found, begin, end = found + 1, min(begin, first), max(end, to)
    return found, begin, end


@inlined()
def _draw(face, body, v, px_size, light, sky, ego, edges, s, first, end):  # type: ignore[no-untyped-def]
    """Draw a face into its stretch of a row as far as there is room left; whether there was any."""
    while first < end and s[LEFT + u8(first)] == f4(0):
        first += 1
    while first < end and s[LEFT + u8(end - 1)] == f4(0):
        end -= 1
    if first < end:
        draw_face(face, body, v, px_size, light, sky, ego, edges, s, first, end - first)
    return first < end


@inlined()
def _vehicles(v, width, px_size, bodies, faces, rows, count, light, sky, ego, edges, active, s):  # type: ignore[no-untyped-def]
    """Draw the vehicles of a row, nearest first; the stretch that they may be in."""
    found, begin, end = _stretches(v, width, faces, rows, count, edges, active)
    if found == 0:
        return 0, 0
    begin_vehicles(s, begin, end - begin)
    last, from_, to = -1, width, 0
    for k in range(found):
        n = active[k, 0]
        if int(faces[n, WHOLE]) != last and from_ < to:
            next_part(s, from_, to - from_)
            from_, to = width, 0
        last, face, body = int(faces[n, WHOLE]), faces[n], bodies[int(faces[n, BODY])]
        _hit(face, body, v, width, edges[k], s)
        if _draw(face, body, v, px_size, light, sky, ego, edges[k], s, active[k, 1], active[k, 2]):
            from_, to = min(from_, active[k, 1]), max(to, active[k, 2])
    end_vehicles(s, begin, end - begin)
    return begin, end


@inlined()
def _ego_numbers(view, actors):  # type: ignore[no-untyped-def]
    """The world's axes in the ego's frame, and the camera's footprint from the middle of its front bumper, float32."""
    cos, sin = actors[0, AT_COS], actors[0, AT_SIN]
    x, y = view[VIEW_X] - actors[0, AT_X], view[VIEW_Y] - actors[0, AT_Y]
    return f4(cos), f4(sin), f4(cos * x + sin * y - 0.5 * actors[0, AT_LENGTH]), f4(cos * y - sin * x)


@plain
def _finish_row(light, fallers, falling, optics, key, v, width, s, bits, rgb):  # type: ignore[no-untyped-def]
    """Lay streaks over a row and develop it."""
    if falling > 0:
        fall_row(light, fallers, falling, v, width, s)
    exposure, gain = light[EXPOSURE] * optics[BRIGHTER], light[GAIN] * optics[BRIGHTER]
    develop_row(exposure, gain, optics[NOISE], key[0], key[1], u4(v * width), s, bits, rgb, v)


@inlined()
def render_frame(world, mount, focal, grid, grain, light, key, optics, tables, rows, out):  # type: ignore[no-untyped-def]
    """Render rows of one camera of one world.

    With several looks the picture is the mean light of as many instants, evenly spread over the time that the shutter is open; depth and
    labels are those of the middle one, which is the scene's own.

    Args:
        world: The scene's arrays of this world, as for ``gather_actors``.
        mount: ego_T_camera, (3, 4).
        focal: Focal length [px].
        grid: ``PaintGrid.arrays()``.
        grain: ``grain_table()``.
        light: One row of ``light_table``.
        key: (4,) uint32: of the sensor's noise, and of what falls.
        optics: One row of ``optics_of``.
        tables: As ``render_worlds`` makes them; the actors are gathered.
        rows: First and end row.
        out: rgb (3, H, W), depth (H, W), semantic, instance.
    """
    rgb, depth, semantic, instance = out
    (s, view, actors, shapes, order, distance), (bodies, faces, reach, shadows, glows, fallers, edges, active), rest = tables
    texels, bits, planes, corners, blur = rest
    height, width = depth.shape
    looks, falling = int(optics[LOOKS]), 0
    place_view(actors, mount, focal, height, width, view)
    if light[DROPS] + light[FLAKES] > f4(0):
        falling = find_fallers(view, light, world[0][0], optics[SHUTTER], key[2:], fallers)
    for look in range(looks):
        if looks > 1:
            gather_actors(world, ((look + 0.5) / looks - 0.5) * optics[SHUTTER], actors, shapes)
            place_view(actors, mount, focal, height, width, view)
        count = find_faces(view, actors, shapes, order, sort_actors(view, actors, distance, order), planes, corners, bodies, faces, reach)
        shades = find_shadows(view, actors, shapes, float(light[SUN_X]), float(light[SUN_Y]), float(light[SUN_Z]), corners, shadows)
        lamps, sun = find_glows(view, actors, light, glows), sun_in_image(view, light)
        places = (place_in_grid(grid, view[VIEW_X], view[VIEW_Y]), grain_place(view[VIEW_X], view[VIEW_Y]))
        sky, ego, px_size = sky_numbers(light), _ego_numbers(view, actors), 1.0 / view[FOCAL]
        for v in range(rows[0], rows[1]):
            _background(view, v, grid, places, grain, light, sky, ego, shadows, shades, texels, s)
            begin, end = _vehicles(v, width, px_size, bodies, faces, reach, count, light, sky, ego, edges, active, s)
            if 2 * look + 1 == looks:
                name_row(s, instance[v], begin, end)
                label_row(s, depth[v], semantic[v])
            glow_row(glows, lamps, v, width, s)
            if sun[2] > f4(0):
                veil_row(light, sun, f4(px_size), v, width, s)
            if looks == 1:
                _finish_row(light, fallers, falling, optics, key, v, width, s, bits, rgb)
            else:
                keep_row(s, blur, 3 * (v - rows[0]) * width, width, look == 0)
    if looks > 1:
        gather_actors(world, 0.0, actors, shapes)
        for v in range(rows[0], rows[1]):
            mean_row(blur, 3 * (v - rows[0]) * width, width, looks, depth[v], s)
            _finish_row(light, fallers, falling, optics, key, v, width, s, bits, rgb)
