"""What the lidar's light meets: reflectivity at about 905 nm of paint, glass, plates, reflectors, road and weather.

Values are for light that goes back the way it came, head-on, as a share of what a white diffuse surface sends back; a retro-reflector
sends back more than 1. Places of patches are those that the camera draws.
"""

from __future__ import annotations

import numpy as np

from sensors.scene import Kind
from sensors.vehicle_shape import FACE_FRONT, FACE_LEFT, FACE_REAR, FACE_RIGHT, WAIST

REFLECTIVITY = np.array([[0.5, 0.5], [0.6, 0.5], [0.3, 0.3]])
"""By kind and part: paint."""
PLAIN_REFLECTIVITY = np.array([[0.5, 0.25], [0.6, 0.5], [0.3, 0.3]])
"""By kind and part without patches: a car's cabin is a mean of glass and paint, but for its roof."""
ROOF = 0.5
"""Of a car's roof, bonnet and boot."""
GLASS = 0.05
PLATE = 4.0
"""Retro-reflective sheeting; much of the beam falls beside it, as it is small."""
REFLECTOR = 1.5
"""Lamps with reflectors in them."""
ASPHALT = 0.15
WET_SHARE = 0.4
"""What standing water leaves of it: the rest is mirrored away from the sensor."""
SNOW = 0.8
LANE_PAINT = 0.5
"""Lane paint with glass beads in it: 3.3 times as bright as asphalt."""
WET_PAINT_SHARE = 0.25
"""What standing water leaves of that: beads under water send little back (EN 1436 asks for 100 to 300 mcd/m^2/lx dry, 25 to 75 wet)."""

CAR, TRUCK = int(Kind.CAR), int(Kind.TRUCK)
KIND, PART, FACE, ACROSS_LOW, ACROSS_HIGH, BOTTOM, TOP, MATERIAL = range(8)
_PANE = (WAIST + 0.08 * (1.0 - WAIST), WAIST + 0.86 * (1.0 - WAIST))
_TAIL = (0.68 * WAIST, 0.92 * WAIST)
PATCHES = np.array(
    [
        (CAR, 0, FACE_REAR, -0.26, 0.26, 0.30, 0.375, PLATE),
        (CAR, 0, FACE_FRONT, -0.26, 0.26, 0.38 * WAIST, 0.50 * WAIST, PLATE),
        (CAR, 0, FACE_REAR, 0.52, 0.96, *_TAIL, REFLECTOR),
        (CAR, 0, FACE_REAR, -0.96, -0.52, *_TAIL, REFLECTOR),
        (CAR, 1, FACE_FRONT, -0.76, 0.76, *_PANE, GLASS),
        (CAR, 1, FACE_REAR, -0.76, 0.76, *_PANE, GLASS),
        (CAR, 1, FACE_LEFT, -0.60, 0.12, *_PANE, GLASS),
        (CAR, 1, FACE_RIGHT, -0.60, 0.12, *_PANE, GLASS),
        (TRUCK, 0, FACE_REAR, 0.72, 0.95, 0.14, 0.24, REFLECTOR),
        (TRUCK, 0, FACE_REAR, -0.95, -0.72, 0.14, 0.24, REFLECTOR),
        (TRUCK, 1, FACE_FRONT, -0.85, 0.85, 0.46, 0.76, GLASS),
    ]
)
"""Kind, part, face, from and to across it as a share of half the actor's width (its length for a side), from and to in height as a share
of its height, and reflectivity. A plate is 0.52 m wide on a car 2 m wide."""
