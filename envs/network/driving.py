"""What drivers decide: IDM along the road, MOBIL across it, and commands.

Sources as in envs.traffic.physics and decisions, here on curved lanes, with parameters of each car. Positions stand still while cars
decide, one after the other in the list; only a target lane that one sets is seen by the later ones.
"""

from __future__ import annotations

from typing import Any

from envs.network.geometry import frame_of, is_reachable, lane_heading
from envs.network.layout import BY_COMMAND, BY_IDM, FASTER, LANE_LEFT, LANE_RIGHT, NOBODY, OBSTACLE, SLOWER, Network
from envs.network.neighbours import neighbours_on
from envs.network.routes import follow_road, road_ahead, wanted_lane
from envs.traffic import libm
from envs.traffic.decisions import speed_index
from envs.traffic.elementary import clip, dot2, not_zero, wrap_to_pi
from envs.traffic.physics import heading_wanted as lane_heading_wanted
from envs.traffic.physics import speed_tracking, steering_to_slip
from sensors.jit import leaf

TIME_GAP_S = 1.5
MAX_ACCELERATION_MPS2 = 6.0
LANE_CHANGE_DELAY_S = 1.0
LANE_CHANGE_GAIN_MPS2 = 0.2
LANE_CHANGE_BRAKING_MPS2 = 2.0
LANE_CHANGE_SPEED_MPS = 1.0
LATERAL_GAIN = 1.0 / 0.6
HEADING_GAIN = 1.0 / 0.2
PURSUIT_S = 0.5 * 0.2


@leaf(forceinline=True)
def gap_wanted(asker: Any, car: Any, front: Any) -> float:
    """Gap that a car wants to another one ahead [m], by the asker's parameters (IDMVehicle.desired_gap)."""
    closing = dot2(
        car.speed_mps * car.cos - front.speed_mps * front.cos, car.speed_mps * car.sin - front.speed_mps * front.sin, car.cos, car.sin
    )
    return asker.jam_distance_m + car.speed_mps * TIME_GAP_S + car.speed_mps * closing / asker.twice_root_mps2


@leaf(forceinline=True)
def lane_gap(network: Network, car: Any, other: Any) -> float:
    """How far another one is ahead along a car's own lane [m]."""
    return frame_of(network.lanes, car.lane, other)[0] - car.run_m


@leaf(forceinline=True)
def acceleration_behind(cars: Any, network: Network, asker: int, number: int, front: int) -> float:
    """IDM acceleration of a car behind another one [m/s2], by the asker's parameters (IDMVehicle.acceleration).

    Args:
        cars: The world's records.
        network: The road network.
        asker: Whose parameters are used.
        number: Whose acceleration it is; an obstacle or NOBODY has none.
        front: Who is ahead, or NOBODY.
    """
    if number == NOBODY or cars[number].driver >= OBSTACLE:
        return 0.0
    me, car = cars[asker], cars[number]
    wanted = abs(not_zero(clip(car.target_speed_mps, 0.0, network.lanes[car.lane].speed_limit_mps)))
    acceleration = me.comfort_mps2 * (1.0 - libm.power(max(car.speed_mps, 0.0) / wanted, me.exponent))
    if front != NOBODY:
        ratio = gap_wanted(me, car, cars[front]) / not_zero(lane_gap(network, car, cars[front]))
        acceleration -= me.comfort_mps2 * (ratio * ratio)
    return acceleration


@leaf(forceinline=True)
def lane_steering(network: Network, car: Any) -> float:
    """Steering that brings a car to the middle of its target lane [rad] (ControlledVehicle.steering_control)."""
    lane = network.lanes[car.target_lane]
    run, offset = frame_of(network.lanes, car.target_lane, car)
    future_heading = lane_heading(lane, run + car.speed_mps * PURSUIT_S)
    divisor = not_zero(car.speed_mps)
    heading_wanted = future_heading + lane_heading_wanted(-LATERAL_GAIN * offset / divisor, None)
    rate = HEADING_GAIN * wrap_to_pi(heading_wanted - car.heading_rad)
    return 0.0 if rate == 0.0 else steering_to_slip(car.length_m / 2.0 / divisor * rate)


@leaf()
def give_way(cars: Any, vehicles: int, network: Network, number: int) -> None:
    """Stop changing lane where another controlled car, close ahead, changes to the same one."""
    car = cars[number]
    if network.lanes[car.lane].road != network.lanes[car.target_lane].road:
        return
    for other in range(vehicles):
        rival = cars[other]
        if other == number or rival.driver > BY_COMMAND or rival.lane == car.target_lane or rival.target_lane != car.target_lane:
            continue
        if 0.0 < lane_gap(network, car, rival) < gap_wanted(car, car, rival):
            car.target_lane = car.lane
            return


@leaf(forceinline=True)
def side_of(lanes: int) -> int:
    """Sign of a number of lanes: -1 to the left, 1 to the right."""
    return (1 if lanes > 0 else 0) - (1 if lanes < 0 else 0)


@leaf()
def is_worth_it(cars: Any, network: Network, number: int, lane: int, front: int, rear: int, old_front: int, old_rear: int) -> bool:
    """MOBIL's answer for one lane (IDMVehicle.mobil)."""
    car = cars[number]
    rear_after = acceleration_behind(cars, network, number, rear, number)
    if rear_after < -LANE_CHANGE_BRAKING_MPS2:
        return False
    mine_after = acceleration_behind(cars, network, number, number, front)
    if road_ahead(network, car) != NOBODY and wanted_lane(car) != NOBODY:
        target = network.lanes[car.target_lane].index
        right_way = side_of(network.lanes[lane].index - target) == side_of(wanted_lane(car) - target)
        return right_way and mine_after >= -LANE_CHANGE_BRAKING_MPS2
    gain = mine_after - acceleration_behind(cars, network, number, number, old_front)
    if car.politeness != 0.0:
        others = rear_after - acceleration_behind(cars, network, number, rear, front)
        others += acceleration_behind(cars, network, number, old_rear, old_front)
        gain += car.politeness * (others - acceleration_behind(cars, network, number, old_rear, number))
    return gain >= LANE_CHANGE_GAIN_MPS2


@leaf()
def choose_lane(cars: Any, vehicles: int, room: int, network: Network, number: int) -> None:
    """Take a side lane that MOBIL recommends: the left one first, the last accepted one counts."""
    car = cars[number]
    if abs(car.speed_mps) < LANE_CHANGE_SPEED_MPS:
        return
    present = network.lanes[car.lane]
    old_front, old_rear = UNASKED, UNASKED
    for side in (-1, 1):
        lane = car.lane + side
        if not 0 <= present.index + side < present.count or not is_reachable(network.lanes[lane], car.x_m, car.y_m):
            continue
        if old_front == UNASKED:
            old_front, old_rear = neighbours_on(cars, vehicles, room, network, number, car.lane)
        front, rear = neighbours_on(cars, vehicles, room, network, number, lane)
        if is_worth_it(cars, network, number, lane, front, rear, old_front, old_rear):
            car.target_lane = lane


UNASKED = -2


@leaf(forceinline=True)
def drive_by_idm(cars: Any, vehicles: int, room: int, network: Network, number: int) -> None:
    """One decision of an IDMVehicle: lane, steering, acceleration. A crashed one decides nothing."""
    car = cars[number]
    if car.crashed:
        return
    follow_road(network, car)
    if car.changes_lanes:
        if car.lane != car.target_lane:
            give_way(cars, vehicles, network, number)
        elif car.timer_s > LANE_CHANGE_DELAY_S:
            car.timer_s = 0.0
            choose_lane(cars, vehicles, room, network, number)
    car.steering_rad = lane_steering(network, car)
    front = neighbours_on(cars, vehicles, room, network, number, car.lane)[0]
    acceleration = acceleration_behind(cars, network, number, number, front)
    if car.lane != car.target_lane:
        front = neighbours_on(cars, vehicles, room, network, number, car.target_lane)[0]
        acceleration = min(acceleration, acceleration_behind(cars, network, number, number, front))
    car.acceleration_mps2 = clip(acceleration, -MAX_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2)


@leaf()
def decide(cars: Any, vehicles: int, room: int, network: Network) -> None:
    """All cars decide, in the order of the list; one driven by the wheel keeps its controls."""
    for number in range(vehicles):
        car = cars[number]
        if car.driver == BY_IDM:
            drive_by_idm(cars, vehicles, room, network, number)
        elif car.driver == BY_COMMAND:
            follow_road(network, car)
            car.steering_rad = lane_steering(network, car)
            car.acceleration_mps2 = speed_tracking(car.speed_mps, car.target_speed_mps)


@leaf()
def take_command(network: Network, car: Any, action: int, targets: Any) -> None:
    """Apply a meta-action: a step of the set speed from the present speed, or a lane to the side (MDPVehicle.act)."""
    if action == FASTER or action == SLOWER:
        index = speed_index(car.speed_mps, targets) + (1 if action == FASTER else -1)
        car.speed_index = min(max(index, 0), len(targets) - 1)
        car.target_speed_mps = targets[car.speed_index]
    follow_road(network, car)
    if action == LANE_LEFT or action == LANE_RIGHT:
        target = network.lanes[car.target_lane]
        index = min(max(target.index + (1 if action == LANE_RIGHT else -1), 0), target.count - 1)
        lane = car.target_lane + index - target.index
        if is_reachable(network.lanes[lane], car.x_m, car.y_m):
            car.target_lane = lane
