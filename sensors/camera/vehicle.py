"""Vehicles in a row: faces one after the other, nearest first, each as far as the pixels have room left for it.

A face's share of a pixel is exact along the row, averaged over SUB_ROWS lines within it; what it does not cover is left for what is
behind it. So outlines are smooth, also where vehicles stand before each other.
"""

from __future__ import annotations

import math

import numpy as np

from sensors.camera.backdrop import (
    ACTOR,
    AWAY,
    BEFORE,
    BLUE,
    DARK,
    GAIN,
    GLASS,
    GLOW_G,
    GLOW_R,
    GREEN,
    LEFT,
    PALE,
    PER_M,
    PX,
    PY,
    PZ,
    RED,
    SEEN_B,
    SEEN_G,
    SEEN_R,
    sky_colour,
)
from sensors.camera.beam import beam_on_face
from sensors.camera.faces import (
    BODY_B,
    BODY_COS,
    BODY_G,
    BODY_R,
    BODY_SIN,
    EYE_X,
    EYE_Y,
    EYE_Z,
    FACE,
    HALF_X,
    HALF_Y,
    HEIGHT,
    KIND,
    LIGHTS,
    NORMAL,
    PART,
    Q_DOWN,
    Q_LEAST,
    Q_MOST,
    Q_RIGHT,
    RAY,
    RAY_DOWN,
    RAY_RIGHT,
    Q,
)
from sensors.camera.light import (
    AMBIENT_B,
    AMBIENT_G,
    AMBIENT_R,
    BEAM,
    EXTINCTION,
    HORIZON_B,
    HORIZON_G,
    HORIZON_R,
    SUN_B,
    SUN_G,
    SUN_R,
    SUN_X,
    SUN_Y,
    SUN_Z,
)
from sensors.camera.panels import draw_panel
from sensors.ground import clamp01, eights, fast, whole
from sensors.jit import inlined
from sensors.noise import exp_fast

f4, i4, u8 = np.float32, np.int32, np.uint64
ZERO, ONE = f4(0), f4(1)
GROUND_SHEEN = f4(0.14)
"""What a body mirrors of the ground, as a share of the light there."""
FULL = f4(0.004)
"""Below this share a pixel counts as full: a grey level in 256."""


@inlined()
def _rays(body, u, v):  # type: ignore[no-untyped-def]
    """Ray through a place of the image and its change with each pixel to the right, in the actor's frame, float32."""
    x = f4(body[RAY] + body[RAY_RIGHT] * u + body[RAY_DOWN] * v)
    y = f4(body[RAY + 1] + body[RAY_RIGHT + 1] * u + body[RAY_DOWN + 1] * v)
    z = f4(body[RAY + 2] + body[RAY_RIGHT + 2] * u + body[RAY_DOWN + 2] * v)
    return (x, y, z), (f4(body[RAY_RIGHT]), f4(body[RAY_RIGHT + 1]), f4(body[RAY_RIGHT + 2]))


@fast
def _cover(x, low, high):  # type: ignore[no-untyped-def]
    """Length of a pixel from ``x`` on that lies within low to high."""
    return max(min(x + ONE, high) - max(x, low), ZERO)


@fast
def _place(q, limits, rays, eye, half, px_size, edges, s, first, count):  # type: ignore[no-untyped-def]
    """Find a face's share of each pixel and the place on the actor that the pixel's middle shows: GAIN, AWAY, PX to PER_M; takes from LEFT.

    Args:
        q: Inverse depth at the first pixel's middle, and its change with each pixel.
        limits: Its least and greatest value on the part; pixels on the outline, whose middle misses it, are kept within.
        rays: From ``_rays``.
        eye: The camera's place in the actor's frame.
        half: The actor's half sizes and height, which places are kept within.
        px_size: Width of a pixel at unit depth.
        edges: From ``spans_of``, relative to the first column.
        s: Scratch.
        first: Column of the first pixel.
        count: How many.
    """
    (bx, by, bz), (sx, sy, sz) = rays
    low0, low1, low2, low3, high0, high1, high2, high3 = edges
    for i in range(eights(count)):
        k, n = u8(first) + u8(i), f4(i4(i))
        t = ONE / min(max(q[0] + q[1] * n, limits[0]), limits[1])
        share = f4(0.25) * ((_cover(n, low0, high0) + _cover(n, low1, high1)) + (_cover(n, low2, high2) + _cover(n, low3, high3)))
        gain = s[BEFORE + k] * share
        left = s[LEFT + k] - gain
        s[LEFT + k] = left if left > FULL else ZERO
        s[GAIN + k], s[AWAY + k], s[PER_M + k] = gain, t, ONE / max(t * px_size, f4(1e-3))
        s[PX + k] = min(max(eye[0] + t * (bx + sx * n), -half[0]), half[0])
        s[PY + k] = min(max(eye[1] + t * (by + sy * n), -half[1]), half[1])
        s[PZ + k] = min(max(eye[2] + t * (bz + sz * n), ZERO), half[2])


@fast
def _light(light, sky, rays, normal, sun, body, height, s, first, count):  # type: ignore[no-untyped-def]
    """Light a stretch of one face and add it to what is seen: sun, dome, gloss that mirrors the sky, and the haze before it.

    Args:
        light: One row of ``light_table``.
        sky: Its ``sky_numbers`` with the sun's direction in the actor's frame.
        rays: From ``_rays``.
        normal: Outward unit normal in the actor's frame.
        sun: Cosine of the sun's incidence, 0 where it does not reach.
        body: Albedo of the body (red, green, blue).
        height: The actor's.
        s: Scratch.
        first: Column of the first pixel.
        count: How many.
    """
    (bx, by, bz), (tx, ty, tz) = rays
    nx, ny, nz = normal
    body_r, body_g, body_b = body
    sun_r, sun_g, sun_b = light[SUN_R], light[SUN_G], light[SUN_B]
    air_r, air_g, air_b, extinction = light[HORIZON_R], light[HORIZON_G], light[HORIZON_B], -light[EXTINCTION]
    dome_r, dome_g, dome_b = light[AMBIENT_R], light[AMBIENT_G], light[AMBIENT_B]
    open_sky, per_height = f4(0.62) + f4(0.38) * nz, f4(2) / height
    for i in range(eights(count)):
        k, n = u8(first) + u8(i), f4(i4(i))
        dx, dy, dz = bx + tx * n, by + ty * n, bz + tz * n
        squared = dx * dx + dy * dy + dz * dz
        inverse = ONE / math.sqrt(squared)
        vx, vy, vz = dx * inverse, dy * inverse, dz * inverse
        facing = max(-(nx * vx + ny * vy + nz * vz), ZERO)
        mirror_z = vz + f4(2) * facing * nz
        sky_r, sky_g, sky_b = sky_colour(sky, vx + f4(2) * facing * nx, vy + f4(2) * facing * ny, mirror_z)
        sheen = clamp01(f4(0.5) + mirror_z * f4(6))  # 0 mirrors the ground, 1 the sky
        low = (ONE - sheen) * GROUND_SHEEN
        fresnel = ONE - facing
        fresnel *= fresnel * fresnel * fresnel
        dark, pale, glass = s[DARK + k], s[PALE + k], s[GLASS + k]
        paint = (ONE - dark) * (ONE - pale) * (ONE - glass)
        gloss = (f4(0.05) + f4(0.6) * fresnel) * (paint + glass * f4(1.8))
        dome = open_sky * (f4(0.6) + f4(0.4) * min(s[PZ + k] * per_height, ONE))
        trim = f4(0.022) * dark + f4(0.62) * pale * (ONE - dark) + f4(0.018) * glass
        red = s[GLOW_R + k]
        r = (body_r * paint + trim) * (dome_r * dome + sun_r * sun) + gloss * (sky_r * sheen + low * sun_r) + red
        g = (body_g * paint + trim) * (dome_g * dome + sun_g * sun) + gloss * (sky_g * sheen + low * sun_g)
        g += s[GLOW_G + k] + f4(0.010) * red
        b = (body_b * paint + trim * f4(1.06)) * (dome_b * dome + sun_b * sun) + gloss * (sky_b * sheen + low * sun_b) + f4(0.010) * red
        gain = s[GAIN + k]
        through = exp_fast(extinction * s[AWAY + k] * squared * inverse)
        s[SEEN_R + k] += gain * (air_r + (r - air_r) * through)
        s[SEEN_G + k] += gain * (air_g + (g - air_g) * through)
        s[SEEN_B + k] += gain * (air_b + (b - air_b) * through)


@inlined()
def draw_face(face, body, v, px_size, light, sky, ego, edges, s, first, count):  # type: ignore[no-untyped-def]
    """Draw a stretch of one face into row ``v``.

    Args:
        face: (FACE_NUMBERS,).
        body: (BODY_NUMBERS,).
        v: The row.
        px_size: Width of a pixel at unit depth.
        light: One row of ``light_table``.
        sky: Its ``sky_numbers``.
        ego: As for ``weather_ground``.
        edges: From ``spans_of``.
        s: Scratch: BEFORE is read, LEFT lowered, SEEN_R to SEEN_B raised.
        first: Column of the first pixel.
        count: How many.
    """
    u, w = first + 0.5, v + 0.5
    rays, half = _rays(body, u, w), (f4(body[HALF_X]), f4(body[HALF_Y]), f4(body[HEIGHT]))
    near = (
        (f4(edges[0] - first), f4(edges[1] - first), f4(edges[2] - first), f4(edges[3] - first)),
        (f4(edges[4] - first), f4(edges[5] - first), f4(edges[6] - first), f4(edges[7] - first)),
    )
    q, limits = (f4(face[Q] + face[Q_RIGHT] * u + face[Q_DOWN] * w), f4(face[Q_RIGHT])), (f4(face[Q_LEAST]), f4(face[Q_MOST]))
    eye = (f4(body[EYE_X]), f4(body[EYE_Y]), f4(body[EYE_Z]))
    _place(q, limits, rays, eye, half, f4(px_size), (*near[0], *near[1]), s, first, count)
    draw_panel(int(body[KIND]), int(face[PART]), int(face[FACE]), half[0], half[1], half[2], int(body[LIGHTS]), light, s, first, count)
    cos, sin = f4(body[BODY_COS]), f4(body[BODY_SIN])
    sun = (cos * light[SUN_X] + sin * light[SUN_Y], cos * light[SUN_Y] - sin * light[SUN_X], light[SUN_Z])
    normal = (f4(face[NORMAL]), f4(face[NORMAL + 1]), f4(face[NORMAL + 2]))
    incidence = max(normal[0] * sun[0] + normal[1] * sun[1] + normal[2] * sun[2], ZERO)
    colour = (f4(body[BODY_R]), f4(body[BODY_G]), f4(body[BODY_B]))
    _light(light, (sun, sky[1], sky[2], sky[3]), rays, normal, incidence, colour, half[2], s, first, count)
    if light[BEAM] > ZERO:  # the actor's frame in the ego's
        c, d = ego[0] * cos + ego[1] * sin, ego[0] * sin - ego[1] * cos
        turn = (c, d, ego[2] - (c * eye[0] - d * eye[1]), ego[3] - (d * eye[0] + c * eye[1]))
        beam_on_face(light, turn, rays, normal, colour, s, first, count)


@fast
def begin_vehicles(s, first, count):  # type: ignore[no-untyped-def]
    """Prepare a stretch of a row that vehicles may be in."""
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        s[ACTOR + k], s[LEFT + k], s[BEFORE + k] = f4(-1), ONE, ONE
        s[SEEN_R + k], s[SEEN_G + k], s[SEEN_B + k] = ZERO, ZERO, ZERO


@fast
def next_part(s, first, count):  # type: ignore[no-untyped-def]
    """Let the parts behind have what the last one has left."""
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        s[BEFORE + k] = s[LEFT + k]


@fast
def end_vehicles(s, first, count):  # type: ignore[no-untyped-def]
    """Put what is seen of vehicles before the background."""
    end = i4(count)
    for i in range(whole(count)):
        k = u8(first) + u8(i)
        inside = i4(i) < end  # what lies beyond in the scratch is another row's
        left = s[LEFT + k] if inside else ONE
        s[RED + k] = (s[SEEN_R + k] if inside else ZERO) + left * s[RED + k]
        s[GREEN + k] = (s[SEEN_G + k] if inside else ZERO) + left * s[GREEN + k]
        s[BLUE + k] = (s[SEEN_B + k] if inside else ZERO) + left * s[BLUE + k]
