"""Recordings: saved and loaded without loss, replayed bit for bit, and refused when they are not whole."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from envs.drivers import driver_named
from envs.ids import SINGLE_AGENT_IDS
from envs.recording import FORMAT, Recording, with_room
from envs.reference import ReferenceWorld
from envs.rollout import record
from envs.scene_table import METADATA_KEY, RecordingError, read_table, road_as_json, road_from_json, write_table
from envs.world import World
from sensors.faults import Faults, Modality
from sensors.weather import Weather


def recorded(id="u-turn-v0", driver="random", dtype=torch.float32, seeds=(3, 4), world=ReferenceWorld, **config):
    quick = {"simulation_frequency": 5}  # highway-env takes its time
    built = world(id, len(seeds), dtype=dtype, config=quick | config)
    return record(built, driver_named(driver, built.num_actions), list(seeds))


@pytest.fixture(scope="module")
def recording():
    return recorded(duration=3)[0]


CASES = {
    "reference discrete": {"duration": 3},
    "reference autopilot": {"driver": "idm", "duration": 3},
    "reference continuous": {"id": "racetrack-v0", "duration": 1, "dtype": torch.float64},
    "reference spawning": {"id": "intersection-v0", "duration": 2},
    "native": {"id": "highway-fast-v0", "world": World},
    "native spawning": {"id": "intersection-v0", "world": World, "duration": 4},
    "native continuous": {"id": "racetrack-v0", "world": World, "duration": 2, "dtype": torch.float64},
    "native autopilot": {"id": "highway-v0", "world": World, "driver": "idm", "duration": 6, "dtype": torch.float64},
}


@pytest.mark.parametrize("case", CASES)
def test_a_replay_is_the_same_bit_for_bit(case, tmp_path):
    first, second = recorded(**CASES[case])
    assert second.replay().differences(second) == []
    second.save(tmp_path / "episode.parquet")
    loaded = Recording.load(tmp_path / "episode.parquet")
    assert loaded.differences(second) == [] and loaded.versions == second.versions
    assert loaded.replay().differences(second) == []
    assert "position_m" in first.differences(second)


@pytest.mark.slow
@pytest.mark.parametrize("id", SINGLE_AGENT_IDS)
def test_every_id_replays_bit_for_bit_from_its_file(id, tmp_path):
    world = World(id, 2)
    world.horizon_steps = 3
    recording = record(world, driver_named("random", world.num_actions), [101, 102])[1]
    recording.save(tmp_path / "episode.parquet")
    loaded = Recording.load(tmp_path / "episode.parquet")
    assert loaded.num_decisions == 3
    assert loaded.differences(recording) == [] and loaded.replay().differences(recording) == []


def test_differences_sees_one_changed_bit(recording):
    scenes = recording.scenes
    position = scenes.position_m.clone()
    position.view(torch.int32)[-1, 0, 0] ^= 1
    assert recording.differences(replace(recording, scenes=replace(scenes, position_m=position))) == ["position_m"]
    actions = recording.actions.clone()
    actions[0] += 1
    assert recording.differences(replace(recording, actions=actions, dt_s=0.1)) == ["actions", "dt_s"]


def test_a_recording_has_every_instant(recording):
    substeps = round(1 / recording.dt_s)
    assert recording.num_decisions == 3 and recording.scenes.num_worlds == 1 + 3 * substeps
    assert recording.scenes.step.tolist() == list(range(1 + 3 * substeps))
    assert recording.decision_of_substep.tolist() == [-1] + [decision for decision in range(3) for _ in range(substeps)]
    assert recording.at_decisions().step.tolist() == [0, substeps, 2 * substeps, 3 * substeps]
    assert recording.truncated.tolist() == [False, False, True]


def test_a_recording_is_what_the_world_did(recording):
    world = ReferenceWorld("u-turn-v0", 1, config={"duration": 3, "simulation_frequency": 5})
    scene = world.reset([recording.seed])
    for decision in range(3):
        assert torch.equal(recording.at_decisions().position_m[decision], scene.position_m[0])
        scene, outcome = world.step(recording.actions[decision : decision + 1])
        assert outcome.reward[0] == recording.rewards[decision]
    assert torch.equal(recording.scenes.position_m[-1], scene.position_m[0])


def test_weather_and_faults_are_kept_and_replayed(tmp_path):
    world = ReferenceWorld("u-turn-v0", 1, config={"duration": 2, "simulation_frequency": 5})
    world.weather = replace(Weather.clear(1), visibility_m=torch.tensor([80.0]))
    world.faults = Faults.dead(1, Modality.RADAR)
    kept = record(world, driver_named("idle", 5), [1])[0]
    kept.save(tmp_path / "fog.parquet")
    loaded = Recording.load(tmp_path / "fog.parquet")
    assert loaded.scenes.weather.visibility_m.unique().tolist() == [80.0]
    assert loaded.scenes.faults.modality.unique().tolist() == [Modality.RADAR]
    assert loaded.replay().differences(kept) == []


def test_a_recording_without_decisions_survives(recording, tmp_path):
    empty = replace(
        recording,
        actions=recording.actions[:0],
        rewards=recording.rewards[:0],
        terminated=recording.terminated[:0],
        truncated=recording.truncated[:0],
        scenes=recording.scenes.select([0]),
        decision_of_substep=recording.decision_of_substep[:1],
    )
    empty.save(tmp_path / "empty.parquet")
    assert Recording.load(tmp_path / "empty.parquet").differences(empty) == []
    assert empty.replay().differences(empty) == []


def test_the_road_map_travels_with_the_recording(recording):
    road = recording.scenes.road
    again = road_from_json(json.loads(json.dumps(road_as_json(road))))
    assert road_as_json(again) == road_as_json(road)
    assert again.lanes.start_m.dtype == road.lanes.start_m.dtype and again.lane_of_piece.dtype == road.lane_of_piece.dtype


def test_other_filesystems_work(recording):
    recording.save("memory://episodes/one.parquet")
    assert Recording.load("memory://episodes/one.parquet").differences(recording) == []


def test_others_can_read_the_file(recording, tmp_path):
    recording.save(tmp_path / "episode.parquet")
    table = pq.read_table(tmp_path / "episode.parquet")
    assert len(table) == recording.scenes.num_worlds
    assert table["decision"].to_pylist() == recording.decision_of_substep.tolist()
    assert table["scene.time_s"].to_pylist() == recording.scenes.time_s.tolist()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(recording, tmp_path, share):
    path = tmp_path / "episode.parquet"
    recording.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(RecordingError, match="episode.parquet: not a whole drive-fusion recording"):
        Recording.load(path)


def test_a_damaged_page_is_refused(recording, tmp_path):
    path = tmp_path / "episode.parquet"
    recording.save(path)
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 4
    damaged[middle] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(RecordingError, match="not a whole"):
        Recording.load(path)


def test_foreign_files_are_refused(recording, tmp_path):
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1, 2]}), path)
    with pytest.raises(RecordingError, match="another program"):
        Recording.load(path)
    write_table(path, {"x": pa.array([1])}, {"format": "drive-fusion clip", "version": 1})
    with pytest.raises(RecordingError, match="holds a 'drive-fusion clip'"):
        Recording.load(path)
    write_table(path, {"x": pa.array([1])}, {"format": FORMAT, "version": 99})
    with pytest.raises(RecordingError, match="update drive-fusion"):
        Recording.load(path)
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "none.parquet")


def test_a_missing_column_is_named(recording, tmp_path):
    path = tmp_path / "episode.parquet"
    recording.save(path)
    table, metadata = read_table(path, FORMAT, 1)
    columns = {name: table[name].combine_chunks() for name in table.column_names if name != "reward"}
    write_table(path, columns, metadata)
    with pytest.raises(RecordingError, match="reward"):
        Recording.load(path)


def test_nothing_is_unpickled(recording, tmp_path):
    recording.save(tmp_path / "episode.parquet")
    metadata = pq.read_schema(tmp_path / "episode.parquet").metadata
    assert json.loads(metadata[METADATA_KEY])["seed"] == recording.seed


def test_a_failed_save_leaves_the_old_file(recording, tmp_path, monkeypatch):
    path = tmp_path / "episode.parquet"
    recording.save(path)
    before = path.read_bytes()

    def full_disk(*arguments, **options):
        arguments[1].write(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space left"):
        recording.save(path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["episode.parquet"]


def test_an_unknown_world_is_refused(recording):
    with pytest.raises(RecordingError, match="'CloudWorld' cannot be replayed"):
        replace(recording, world="CloudWorld").replay()


def test_room_is_made_for_more_actors(recording):
    scene = recording.scenes
    roomy = with_room(scene, scene.num_actors + 2)
    assert roomy.num_actors == scene.num_actors + 2 and not roomy.valid[:, -2:].any()
    assert torch.equal(roomy.position_m[:, :-2], scene.position_m) and torch.equal(roomy.action, scene.action)
    assert with_room(scene, scene.num_actors) is scene


def rewritten(path, about):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about).encode()}), path)
    return path


def test_metadata_of_nonsense_is_refused(recording, tmp_path):
    recording.save(tmp_path / "whole.parquet")
    whole = json.loads(pq.read_table(tmp_path / "whole.parquet").schema.metadata[METADATA_KEY])
    changed = [{**whole, "shapes": [1]}, {**whole, "version": "2"}, {**whole, "scene": {**whole["scene"], "shapes": {"crashed": 3}}}]
    road = {**whole["scene"]["road"], "lane_road": [10**30]}
    for about in (3, [], "x", None, *changed, {**whole, "scene": {**whole["scene"], "road": road}}):
        recording.save(tmp_path / "whole.parquet")
        with pytest.raises(RecordingError):
            Recording.load(rewritten(tmp_path / "whole.parquet", about))


def test_a_column_that_is_missing_is_not_made_up(recording, tmp_path):
    recording.save(tmp_path / "whole.parquet")
    table = pq.read_table(tmp_path / "whole.parquet")
    pq.write_table(table.drop_columns(["scene.velocity_mps"]), tmp_path / "less.parquet")
    with pytest.raises(RecordingError, match="no column velocity_mps"):
        Recording.load(tmp_path / "less.parquet")


def test_a_file_that_unfolds_to_hundreds_of_its_length_is_refused(tmp_path):
    zeros = pa.table({"decision": pa.array(np.zeros(40_000_000, np.int64))})
    for options in ({"compression": "zstd", "use_dictionary": False}, {}):  # pages that compress well, and a dictionary's runs
        pq.write_table(zeros, tmp_path / "bomb.parquet", **options)
        assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000
        with pytest.raises(RecordingError, match="bytes that unfold to 320"):
            Recording.load(tmp_path / "bomb.parquet")
