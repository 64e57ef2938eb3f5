"""highway-env's Kinematics observation: presence, x, y, vx, vy of the ego and of the nearest cars, scaled to [-1, 1].

Source: highway_env.envs.common.observation.KinematicObservation with its defaults, and Road.close_objects_to: cars within 200 m
that are at most 10 m behind, nearest along the road first, relative to the ego. The ego's own row is absolute.
"""

from __future__ import annotations

from typing import Any

from envs.traffic.elementary import clip, norm2
from envs.traffic.layout import LANE_WIDTH_M, LENGTH_M, PERCEPTION_M, TOP_SPEED_MPS
from sensors.jit import leaf

FEATURES = 5


@leaf()
def scaled(value: float, limit: float) -> float:
    """Map [-limit, limit] to [-1, 1] and clip (highway_env.utils.lmap)."""
    return clip(-1.0 + (value + limit) * 2.0 / (limit + limit), -1.0, 1.0)


@leaf()
def nearest_cars(cars: Any, chosen: Any, distance: Any) -> int:
    """Choose the nearest cars that the ego sees; of equals the first in the list.

    Args:
        cars: The world's cars.
        chosen: Written with their numbers, nearest first.
        distance: Room for as many distances.

    Returns:
        How many there are.
    """
    ego = cars[0]
    count = 0
    for number in range(1, len(cars)):
        dx = cars[number].x_m - ego.x_m
        if not -2.0 * LENGTH_M < dx < PERCEPTION_M or (count == len(chosen) and abs(dx) >= distance[count - 1]):
            continue
        if norm2(dx, cars[number].y_m - ego.y_m) >= PERCEPTION_M:
            continue
        count = min(count + 1, len(chosen))
        place = count - 1
        while place > 0 and distance[place - 1] > abs(dx):
            distance[place], chosen[place] = distance[place - 1], chosen[place - 1]
            place -= 1
        distance[place], chosen[place] = abs(dx), number
    return count


@leaf()
def observe(cars: Any, lanes: int, observation: Any, chosen: Any, distance: Any) -> None:
    """Write a world's observation, (rows, 5) float32; rows without a car are zero. The rest is room for ``nearest_cars``."""
    rows = observation.shape[0]
    seen = nearest_cars(cars, chosen, distance)
    ego = cars[0]
    ego_vx, ego_vy = ego.speed_mps * ego.cos, ego.speed_mps * ego.sin
    for row in range(rows):
        if row > seen:
            for feature in range(FEATURES):
                observation[row, feature] = 0.0
            continue
        x, y, vx, vy = ego.x_m, ego.y_m, ego_vx, ego_vy
        if row > 0:
            car = cars[chosen[row - 1]]
            x, y = car.x_m - ego.x_m, car.y_m - ego.y_m
            vx, vy = car.speed_mps * car.cos - ego_vx, car.speed_mps * car.sin - ego_vy
        observation[row, 0] = 1.0
        observation[row, 1] = scaled(x, PERCEPTION_M)
        observation[row, 2] = scaled(y, LANE_WIDTH_M * lanes)
        observation[row, 3] = scaled(vx, 2.0 * TOP_SPEED_MPS)
        observation[row, 4] = scaled(vy, 2.0 * TOP_SPEED_MPS)
