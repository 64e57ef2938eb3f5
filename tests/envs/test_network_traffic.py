"""Traffic on road networks as properties: where lanes are, who is near, what drivers decide, what a collision does, who may interfere."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import Override, ReferenceWorld, World
from envs.class_constants import in_place, pristine
from envs.network.collisions import collide, separate
from envs.network.driving import MAX_ACCELERATION_MPS2, decide
from envs.network.geometry import LANE_MARGIN_M, box_distance2, closest_lane, is_on, lane_distance, lane_frame, may_be_on, place_on_lane
from envs.network.layout import BY_IDM, CAR, LANDMARK, NOBODY, OBSTACLE, Network
from envs.network.neighbours import neighbours_on
from envs.network.regulation import enforce_rules, who_yields
from envs.network.scenarios import exit, intersection, roundabout, u_turn
from envs.reference_config import emptied
from envs.traffic.collisions import OVERLAP

STEERED = {"action": {"type": "ContinuousAction"}}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "exit": ("exit-v0", {}),
    "highway": ("highway-fast-v0", STEERED),
    "intersection": ("intersection-v0", {}),
    "lane-keeping": ("lane-keeping-v0", {}),
    "merge": ("merge-v0", {}),
    "merge-generic": ("merge-generic-v0", {"lanes_count": 3}),
    "parking": ("parking-v0", {}),
    "racetrack": ("racetrack-v0", {}),
    "racetrack-large": ("racetrack-large-v0", {}),
    "racetrack-oval": ("racetrack-oval-v0", {"no_lanes": 4}),
    "roundabout": ("roundabout-v0", {}),
    "roundabout-generic": ("roundabout-generic-v0", {"roundabout_lanes": 3}),
    "two-way": ("two-way-v0", {}),
    "u-turn": ("u-turn-v0", {}),
}


@cache
def engine(name: str) -> Any:
    """A general engine; what is asked of it here does not change it."""
    id, config = NETWORKS[name]
    return World(id, 1, config=config)._engine


@cache
def oracle_network(name: str) -> tuple[Any, list[Any]]:
    """highway-env's own network, and its lanes by number."""
    id, config = NETWORKS[name]
    with in_place(pristine()):
        network = emptied(id, config).road.network
    return network, list(network.lanes_dict())


def car_at(
    x: float, y: float, heading: float = 0.0, speed: float = 20.0, network: Network | None = None, **fields: Any
) -> NDArray[np.void]:
    """The record of an ordinary car, (1,)."""
    car = np.zeros(1, CAR)
    car["x_m"], car["y_m"], car["heading_rad"], car["speed_mps"] = x, y, heading, speed
    car["cos"], car["sin"], car["driver"], car["looks_out"], car["changes_lanes"] = math.cos(heading), math.sin(heading), BY_IDM, True, True
    car["length_m"], car["width_m"], car["diagonal_m"] = 5.0, 2.0, math.hypot(5.0, 2.0)
    car["slowest_mps"], car["fastest_mps"], car["exponent"] = -40.0, 40.0, 4.0
    car["jam_distance_m"], car["comfort_mps2"], car["twice_root_mps2"] = 10.0, 3.0, 2.0 * math.sqrt(15.0)
    car["target_speed_mps"] = speed
    car["route"] = car["lane"] = car["target_lane"] = NOBODY
    if network is not None:
        car["lane"], car["run_m"], car["offset_m"] = closest_lane(network.lanes, x, y, heading, 0)
        car["target_lane"] = car["lane"]
    for field, value in fields.items():
        car[field] = value
    return car


def on_lane(network: Network, lane: int, run: float, offset: float = 0.0, speed: float = 20.0, **fields: Any) -> NDArray[np.void]:
    """A car on a straight lane."""
    x, y = place_on_lane(network.lanes[lane], run, offset)
    return car_at(x, y, float(network.lanes[lane]["heading_rad"]), speed, network, **fields)


def random_poses(lanes: Any, draws: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Places on and around lanes, and far away, with any heading."""
    poses = []
    for _ in range(count):
        lane = lanes[draws.integers(len(lanes))]
        run = draws.uniform(-20.0, float(lane["length_m"]) + 20.0)
        x, y = place_on_lane(lane, run, draws.normal(0.0, 4.0))
        if draws.random() < 0.1:
            x, y = x + draws.normal(0.0, 300.0), y + draws.normal(0.0, 300.0)
        poses.append((float(x), float(y), float(draws.uniform(-math.pi, math.pi))))
    return poses


@pytest.mark.parametrize("name", NETWORKS)
def test_the_closest_lane_is_highway_envs_whatever_the_guess(name: str) -> None:
    lanes = engine(name)._network.lanes
    network, indexes = oracle_network(name)
    draws = np.random.default_rng(1)
    for x, y, heading in random_poses(lanes, draws, 60):
        expected = indexes.index(network.get_closest_lane_index(np.array([x, y]), heading))
        for guess in (0, len(lanes) - 1, int(draws.integers(len(lanes)))):
            assert closest_lane(lanes, x, y, heading, guess)[0] == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_place_and_frame_are_inverses_on_every_lane(name: str) -> None:
    draws = np.random.default_rng(2)
    for lane in engine(name)._network.lanes:
        for _ in range(6):
            run, offset = draws.uniform(0.0, lane["length_m"]), draws.uniform(-2.0, 2.0)
            x, y = place_on_lane(lane, run, offset)
            again = lane_frame(lane, x, y)
            assert again == pytest.approx((run, offset), abs=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_reject_no_point_of_a_lane_and_promise_no_more_than_its_distance(name: str) -> None:
    lanes = engine(name)._network.lanes
    draws = np.random.default_rng(3)
    seen = 0
    for x, y, _ in random_poses(lanes, draws, 150):
        for lane in lanes:
            run, offset = lane_frame(lane, x, y)
            if is_on(lane, run, offset, LANE_MARGIN_M):
                seen += 1
                assert may_be_on(lane, x, y)
            assert math.sqrt(box_distance2(lane, x, y)) <= lane_distance(lane, x, y) + 1e-6
    assert seen > 30


ROUTED = {"exit": exit, "intersection": intersection, "roundabout": roundabout, "roundabout-generic": roundabout, "u-turn": u_turn}


@pytest.mark.parametrize("name", ROUTED)
def test_routes_are_whole_and_lead_where_they_should(name: str) -> None:
    network, destinations = engine(name)._network, ROUTED[name].DESTINATIONS
    graph = oracle_network(name)[0].graph
    pairs = [(start, end) for start, ends in graph.items() for end in ends]
    assert len(network.routes) == len(pairs) * len(destinations)
    arrived = 0
    for number, row in enumerate(network.routes):
        roads = [int(road) for road in row if road != NOBODY]
        assert roads[0] == number // len(destinations) and set(row[len(roads) :]) <= {NOBODY}
        for one, following in zip(roads, roads[1:], strict=False):
            assert network.roads[one]["end"] == network.roads[following]["start"]
        arrived += pairs[roads[-1]][1] == destinations[number % len(destinations)]
    assert arrived > len(pairs) / 2  # the rest begins where no way leads on


def neighbours_by_scan(cars: NDArray[np.void], room: int, vehicles: int, network: Network, number: int, lane: int) -> tuple[int, int]:
    """Who is ahead and behind, by sorting: the nearest ahead and the last of equals; the nearest behind and the first of equals."""
    run = lane_frame(network.lanes[lane], cars[number]["x_m"], cars[number]["y_m"])[0]
    ahead: list[tuple[float, int]] = []
    behind: list[tuple[float, int]] = []
    for place in [*range(vehicles), *range(room, len(cars))]:
        if place == number or cars[place]["driver"] == LANDMARK:
            continue
        its_run, its_offset = lane_frame(network.lanes[lane], cars[place]["x_m"], cars[place]["y_m"])
        if is_on(network.lanes[lane], its_run, its_offset, LANE_MARGIN_M):
            (ahead if its_run >= run else behind).append((its_run, place))
    front = min(ahead, key=lambda one: (one[0], -one[1]))[1] if ahead else NOBODY
    rear = max(behind, key=lambda one: (one[0], -one[1]))[1] if behind else NOBODY
    return front, rear


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 3))
def test_the_last_of_equals_ahead_and_the_first_of_equals_behind_are_neighbours(seed: int, vehicles: int, things: int) -> None:
    network = engine("highway")._network
    draws = np.random.default_rng(seed)
    room = vehicles + 2  # two records that nobody uses
    cars = np.zeros(room + things, CAR)
    for place in range(len(cars)):
        run = float(draws.integers(95, 105))
        cars[place] = on_lane(network, int(draws.integers(3)), run, float(draws.choice([0.0, 0.0, 1.5, 2.5])))[0]
        if place >= room:
            cars[place]["driver"] = draws.choice([OBSTACLE, LANDMARK])
    for number in range(vehicles):
        for lane in range(3):
            found = neighbours_on(cars, vehicles, room, network, number, lane)
            assert found == neighbours_by_scan(cars, room, vehicles, network, number, lane)


@pytest.mark.parametrize(("id", "seen"), [("merge-v0", False), ("merge-v1", True)])
def test_cars_on_the_next_road_are_neighbours_where_lanes_are_connected(id: str, seen: bool) -> None:
    network = World(id, 1)._engine._network
    first, second = network.lanes[0], network.lanes[2]
    assert (first["road"], second["road"], first["index"], second["index"]) == (0, 1, 0, 0)
    length = float(first["length_m"])
    cars = np.concatenate([on_lane(network, 0, length - 20.0), on_lane(network, 2, 15.0)])
    assert cars["lane"].tolist() == [0, 2]
    assert neighbours_on(cars, 2, 2, network, 0, 0)[0] == (1 if seen else NOBODY)
    assert neighbours_on(cars, 2, 2, network, 1, 2)[1] == (0 if seen else NOBODY)


@settings(deadline=None, max_examples=60)
@given(st.floats(-5, 40), st.floats(0, 30), st.floats(-3, 120), st.floats(-5, 40), st.booleans())
def test_idm_keeps_within_its_limits(speed: float, target: float, gap: float, other: float, alone: bool) -> None:
    network = engine("highway")._network
    cars = np.concatenate([on_lane(network, 1, 100.0, 0.0, speed, target_speed_mps=target), on_lane(network, 1, 100.0 + gap, 0.0, other)])
    decide(cars, 1 if alone else 2, 2, network)
    assert -MAX_ACCELERATION_MPS2 <= cars["acceleration_mps2"][0] <= 3.0  # its own a on a free road
    if alone and 0.1 < target:
        assert (cars["acceleration_mps2"][0] > 0) == (speed < target) or cars["acceleration_mps2"][0] == 0


def test_a_driver_stops_behind_an_obstacle() -> None:
    world = World("merge-v0", 1, dtype=torch.float64)
    world.reset([1])
    state = world.state()
    cars, episodes = state.cars.copy(), state.episodes.copy()
    network = world._engine._network
    thing = cars[0, -1]
    assert thing["driver"] == OBSTACLE
    lane = next(n for n, one in enumerate(network.lanes) if abs(one["start_y_m"] - thing["y_m"]) < 1e-9 and one["start_x_m"] < thing["x_m"])
    driver = on_lane(network, lane, 1.0, 0.0, 15.0, target_speed_mps=30.0, changes_lanes=False)[0]
    cars[0, 1] = driver
    episodes["vehicles"] = 2
    world.load(type(state)(state.id, state.config, cars, episodes, state.kept))
    for _ in range(25):
        scene, _ = world.step([4])
    gap = float(thing["x_m"]) - float(scene.position_m[0, 1, 0])
    assert not scene.crashed[0, 1] and abs(float(scene.speed_mps[0, 1])) < 0.1 and 5.0 < gap < 15.0


def changer(others: list[NDArray[np.void]]) -> int:
    """Target lane that a thinking car in the middle lane of three ends up with, among others."""
    network = engine("highway")._network
    cars = np.concatenate([on_lane(network, 1, 100.0, 0.0, 25.0, timer_s=1.5, target_speed_mps=30.0), *others])
    decide(cars, len(cars), len(cars), network)
    return int(cars["target_lane"][0])


def test_mobil_changes_for_a_gain_and_refuses_an_unsafe_follower() -> None:
    network = engine("highway")._network
    slow_ahead = on_lane(network, 1, 125.0, 0.0, 15.0)
    blocked_right = on_lane(network, 2, 112.0, 0.0, 5.0)
    close_behind = on_lane(network, 0, 96.0, 0.0, 30.0)
    assert changer([]) == 1
    assert changer([slow_ahead, blocked_right]) == 0
    assert changer([slow_ahead, blocked_right, close_behind]) == 1
    assert changer([slow_ahead]) == 2  # left is accepted first, right last


def test_a_changer_gives_way_to_one_close_ahead_with_the_same_aim() -> None:
    network = engine("highway")._network
    for gap, kept in ((15.0, 0), (200.0, 1)):
        me = on_lane(network, 0, 100.0, 0.0, 25.0, target_lane=1)
        rival = on_lane(network, 2, 100.0 + gap, 0.0, 25.0, target_lane=1)
        cars = np.concatenate([me, rival])
        decide(cars, 2, 2, network)
        assert cars["target_lane"].tolist() == [kept, 1]


@pytest.mark.parametrize("swapped", [False, True])
def test_at_the_intersection_the_lower_priority_yields_and_then_goes_on(swapped: bool) -> None:
    network, (_, indexes) = engine("intersection")._network, oracle_network("intersection")
    crossing = [indexes.index(("ir0", "il2", 0)), indexes.index(("ir1", "il3", 0))]
    low, high = sorted(crossing, key=lambda lane: int(network.lanes[lane]["priority"]))
    assert network.lanes[low]["priority"] < network.lanes[high]["priority"]
    lanes = [high, low] if swapped else [low, high]
    cars = np.concatenate([on_lane(network, lane, float(network.lanes[lane]["length_m"]) / 2 - 6.0, 0.0, 8.0) for lane in lanes])
    assert cars["lane"].tolist() == lanes
    yielding = int(swapped)
    assert who_yields(network, cars, 0, 1) == who_yields(network, cars, 1, 0) == yielding
    enforce_rules(cars, 2, network)
    assert np.flatnonzero(cars["yields"]).tolist() == [yielding]
    assert cars["target_speed_mps"][yielding] == 0.0 and cars["target_speed_mps"][1 - yielding] == 8.0
    alone = cars[yielding : yielding + 1].copy()  # the other one has gone
    enforce_rules(alone, 1, network)
    assert not alone["yields"][0] and alone["target_speed_mps"][0] == network.lanes[low]["speed_limit_mps"]


@settings(deadline=None, max_examples=80)
@given(st.floats(-4, 4), st.floats(-3, 3), st.floats(-3.1, 3.1), st.floats(-3.1, 3.1), st.booleans())
def test_a_push_takes_standing_boxes_apart_and_moves_no_obstacle(dx: float, dy: float, first: float, second: float, thing: bool) -> None:
    cars = np.concatenate([car_at(0.0, 0.0, first, 0.0), car_at(dx, dy, second, 0.0, driver=OBSTACLE if thing else BY_IDM)])
    before = cars.copy()
    collide(cars[0], cars[1], 1 / 15)
    if not cars["pushed"].any():
        assert not cars["crashed"].any()
        return
    assert cars["crashed"].all()  # they overlap now
    assert cars["pushed"].tolist() == [True, not thing]
    if thing:
        assert (cars["impact_x_m"][1], cars["impact_y_m"][1]) == (0.0, 0.0)
    else:
        assert cars["impact_x_m"][0] == -cars["impact_x_m"][1] and cars["impact_y_m"][0] == -cars["impact_y_m"][1]
    assert np.array_equal(cars["x_m"], before["x_m"])  # a push is taken a substep later
    share = 1.0 + 1e-9  # of the shortest way out
    cars["x_m"] += share * cars["impact_x_m"]
    cars["y_m"] += share * cars["impact_y_m"]
    verdict, way_x, way_y = separate(cars[0], cars[1], 1 / 15)
    assert not verdict & OVERLAP or math.hypot(way_x, way_y) < 1e-6


def actions_of(world: Any, draws: np.random.Generator, worlds: int) -> torch.Tensor:
    """Random actions."""
    if world.num_actions is None:
        return torch.tensor(draws.uniform(-1, 1, (worlds, world.action_width)), dtype=torch.float32)
    return torch.tensor(draws.integers(world.num_actions, size=worlds))


def same_cars(a: World, first: int, b: World, second: int) -> bool:
    """Is every field of the cars of two worlds equal, bit for bit? What lies in unused records says nothing."""
    left, right = a.state(), b.state()
    count = int(left.episodes["vehicles"][first])
    names = left.cars.dtype.names or ()
    return count == right.episodes["vehicles"][second] and all(
        left.cars[name][first, :count].tobytes() == right.cars[name][second, :count].tobytes() for name in names
    )


MANY = 64


@pytest.mark.parametrize("id", ["intersection-v0", "merge-generic-v0", "racetrack-v0", "u-turn-v1"])
def test_a_world_alone_equals_one_among_many_on_any_threads(id: str) -> None:
    crowds = [World(id, MANY, num_threads=threads) for threads in (1, 2)]
    chosen = (0, 17, MANY - 1)
    alone = {index: World(id, 1, num_threads=1) for index in chosen}
    seeds = list(range(900, 900 + MANY))
    for world in crowds:
        world.reset(seeds)
    for index, world in alone.items():
        world.reset([seeds[index]])
    draws = np.random.default_rng(4)
    for _ in range(5):
        actions = actions_of(crowds[0], draws, MANY)
        given = [world.step_autoreset(actions) for world in crowds]
        assert torch.equal(given[0].reward, given[1].reward)
        for index, world in alone.items():
            single = world.step_autoreset(actions[index : index + 1])
            assert torch.equal(single.reward[0], given[0].reward[index])
            assert torch.equal(single.observation[0], given[0].observation[index])
            assert same_cars(world, 0, crowds[0], index) and same_cars(world, 0, crowds[1], index)


def same_scene(a: Any, b: Any) -> bool:
    """Equal where somebody is."""
    rows = a.valid
    return torch.equal(rows, b.valid) and all(
        torch.equal(getattr(a, name)[rows], getattr(b, name)[rows])
        for name in ("position_m", "heading_rad", "velocity_mps", "acceleration_mps2", "yaw_rate_radps", "crashed", "kind")
    )


def flat_observation(world: Any) -> torch.Tensor:
    """Whatever it shows, as one tensor."""
    seen = world.observation()
    return torch.cat([part.flatten(1) for part in seen.values()], 1) if isinstance(seen, dict) else seen.flatten(1)


@pytest.mark.parametrize("id", ["intersection-v0", "lane-keeping-v0", "parking-v0", "racetrack-v0", "roundabout-v0"])
def test_states_forks_and_loads_go_on_identically(id: str) -> None:
    world = World(id, 2)
    world.reset([11, 12])
    draws = np.random.default_rng(5)
    for _ in range(7):  # in the middle of an episode; at the intersection cars came and went
        world.step(actions_of(world, draws, 2))
    state, seen = world.state(), flat_observation(world)
    forks = World(id, 3)
    forks.load(world.fork(1, 3))
    assert all(torch.equal(flat_observation(forks)[place], seen[1]) for place in range(3))
    script = [actions_of(world, draws, 2) for _ in range(4)]
    first = [world.step(actions)[1].reward for actions in script]
    scene, after = world.scene, flat_observation(world)
    for _ in range(2):  # a state is not used up
        world.load(state)
        assert torch.equal(flat_observation(world), seen)
        assert all(torch.equal(world.step(actions)[1].reward, reward) for actions, reward in zip(script, first, strict=True))
        assert same_scene(world.scene, scene) and torch.equal(flat_observation(world), after)
    for actions, reward in zip(script, first, strict=True):
        forked = forks.step(actions[[1, 1, 1]])[1].reward
        assert torch.equal(forked, reward[[1, 1, 1]])
    arrays = state.arrays()
    copied = type(state).of_arrays(state.id, state.config, {name: values.copy() for name, values in arrays.items()})
    world.load(copied)
    assert torch.equal(world.step(script[0])[1].reward, first[0])


def test_an_override_drives_its_actor_and_nobody_else_notices_before_the_next_substep() -> None:
    plain, driven = (World("merge-v0", 2, dtype=torch.float64) for _ in range(2))
    for world in (plain, driven):
        world.reset([3, 4])
    where = torch.zeros(driven.scene.valid.shape, dtype=torch.bool)
    where[0, 2] = True
    acceleration, steering = torch.full(where.shape, -2.0, dtype=torch.float64), torch.full(where.shape, 0.05, dtype=torch.float64)
    before = driven.scene
    _, usual = plain.step([1, 1], substeps=True)
    _, forced = driven.step([1, 1], override=Override(where, acceleration, steering), substeps=True)
    one, other = usual.substeps[0], forced.substeps[0]
    untouched = ~where
    assert torch.equal(one.position_m[untouched], other.position_m[untouched])
    assert torch.equal(one.velocity_mps[untouched], other.velocity_mps[untouched])
    dt, slip = driven.substep_dt_s, math.atan(0.5 * math.tan(0.05))
    speed, heading = float(before.speed_mps[0, 2]), float(before.heading_rad[0, 2])
    moved = (other.position_m - before.position_m)[0, 2] / dt
    assert moved.tolist() == pytest.approx([speed * math.cos(heading + slip), speed * math.sin(heading + slip)], abs=1e-9)
    assert float(other.speed_mps[0, 2]) == pytest.approx(speed - 2.0 * dt, abs=1e-9)
    assert float(other.heading_rad[0, 2]) == pytest.approx(heading + speed * math.sin(slip) / 2.5 * dt, abs=1e-9)
    for name in ("position_m", "velocity_mps", "heading_rad"):  # the other world never notices
        assert torch.equal(getattr(plain.scene, name)[1], getattr(driven.scene, name)[1])
    assert not torch.equal(plain.scene.position_m[0], driven.scene.position_m[0])


def test_an_override_may_be_asked_before_every_substep() -> None:
    asked, world = [], World("merge-v0", 1, dtype=torch.float64)
    world.reset([3])

    def driver(scene: Any) -> Override | None:
        asked.append(int(scene.step[0]))
        if len(asked) % 2:
            return None
        return Override(torch.tensor([True]), torch.tensor([-3.0]), torch.tensor([0.0]))

    _, outcome = world.step([3], override=driver, substeps=True)
    assert asked == list(range(world.substeps_per_step))
    gains = [float(after.acceleration_mps2[0, 0, 0]) for after in outcome.substeps]
    assert all(gain == -3.0 for gain in gains[1::2]) and all(gain > -3.0 for gain in gains[::2])


@pytest.mark.parametrize(("id", "agents"), [("intersection-v0", 1), ("intersection-multi-agent-v0", 2)])
def test_agents_stay_the_first_actors_in_every_substep_though_cars_before_them_are_cleared(id: str, agents: int) -> None:
    """Who leaves is cleared at a decision's end, and highway-env's list moves up: scenes of the substeps before must not."""
    world, cleared = World(id, 24), 0
    before = world.reset(range(5, 29))
    for _ in range(world.horizon_steps):
        actions = torch.zeros((24,) if agents == 1 else (24, agents), dtype=torch.int64)  # they stop and see the others leave
        egos = world.state().episodes["ego"].copy()
        _, outcome = world.step(actions, substeps=True)
        cleared += int((world.state().episodes["ego"] < egos).sum())
        for scene in outcome.substeps:
            moved_m = (scene.position_m - before.position_m)[:, :agents].norm(dim=-1)
            assert float(moved_m.max()) < 11.0 * world.substep_dt_s
            before = scene
        assert torch.equal(before.position_m[:, :agents], world.scene.position_m[:, :agents])
    assert cleared > 5


@pytest.mark.parametrize("id", ["merge-v0", "roundabout-v0", "u-turn-v0", "two-way-v0", "intersection-v0"])
def test_the_autopilot_is_the_references(id: str) -> None:
    config = {"simulation_frequency": 5}
    native, reference = (kind(id, 1, dtype=torch.float64, config=config) for kind in (World, ReferenceWorld))
    native.reset([21]), reference.reset([21])
    on = torch.tensor([True])
    for _ in range(6):
        ours, mine = native.step([1], autopilot=on)
        theirs, its = reference.step([1], autopilot=on)
        count = int(theirs.valid.sum())
        assert int(ours.valid.sum()) == count
        assert torch.allclose(ours.position_m[0, :count], theirs.position_m[0, :count], atol=1e-6, rtol=0)
        assert torch.allclose(mine.reward, its.reward, atol=1e-6, rtol=0)
        assert torch.equal(mine.terminated, its.terminated)
