"""Obstacles and goals as records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.network.layout import CAR, LANDMARK, NOBODY, OBSTACLE


def fixtures_of(env: Any) -> NDArray[np.void]:
    """What stands on an environment's road, in highway-env's order, (O,) CAR records."""
    records = np.zeros(len(env.road.objects), CAR)
    for record, thing in zip(records, env.road.objects, strict=True):
        record["x_m"], record["y_m"] = thing.position
        record["heading_rad"] = thing.heading
        record["cos"], record["sin"] = math.cos(thing.heading), math.sin(thing.heading)
        record["length_m"], record["width_m"], record["diagonal_m"] = thing.LENGTH, thing.WIDTH, thing.diagonal
        record["driver"] = OBSTACLE if thing.solid else LANDMARK
        record["looks_out"] = thing.check_collisions
        record["route"] = record["lane"] = record["target_lane"] = NOBODY
    return records
