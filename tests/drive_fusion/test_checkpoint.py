"""Checkpoints: round trips, damage, and a process killed while saving."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

from drive_fusion.checkpoint import MANIFEST, CheckpointError, read_checkpoint, write_checkpoint
from drive_fusion.plain import PlainDataError, decode, encode
from sensors.presets import RIGS

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=8,
)


def round_trip(value):
    tensors: dict[str, torch.Tensor] = {}
    return decode(json.loads(json.dumps(encode(value, tensors, "value"), allow_nan=False)), tensors)


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_equal(value):
    again = round_trip(value)
    assert again == value


def test_arrays_classes_and_objects_come_back():
    keys = np.arange(4, dtype=np.uint32) + 2**31
    assert np.array_equal(round_trip(keys), keys) and round_trip(keys).dtype == np.uint32
    assert round_trip(np.float32(0.1)) == np.float32(0.1)
    assert round_trip(RIGS["micro"]) == RIGS["micro"]
    assert round_trip(nn.Tanh) is nn.Tanh
    assert round_trip(deque([1, 2], maxlen=5)).maxlen == 5
    assert round_trip(LinearSchedule(1.0, 0.5, 0.5))(0.5) == 0.5
    space = spaces.Dict({"a": spaces.Box(-1.0, 1.0, (2,)), "b": spaces.Discrete(3, start=1)})
    assert round_trip(space) == space


def test_an_unknown_class_is_not_looked_for():
    with pytest.raises(PlainDataError, match="'system', which is not known here"):
        decode({"$": "object", "name": "system", "fields": {"command": "true"}}, {})


def test_what_is_not_plain_is_refused():
    class Secret:
        pass

    with pytest.raises(PlainDataError, match=r"state\.inner is a Secret"):
        encode({"inner": Secret()}, {}, "state")


def saved(folder: Path, fill: float = 1.0) -> Path:
    write_checkpoint(folder, {"weights": {"w": torch.full((100,), fill)}}, {"fill": fill})
    return folder


def test_files_come_back_and_old_ones_go(tmp_path):
    saved(tmp_path / "c", 1.0)
    saved(tmp_path / "c", 2.0)
    tensors, facts = read_checkpoint(tmp_path / "c")
    assert torch.equal(tensors["weights"]["w"], torch.full((100,), 2.0)) and facts == {"fill": 2.0}
    assert len(list((tmp_path / "c").iterdir())) == 3


def the_weights(folder: Path) -> Path:
    return next(folder.glob("weights-*.safetensors"))


def test_truncated_weights_are_refused(tmp_path):
    path = the_weights(saved(tmp_path / "c"))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"is truncated: it has \d+ bytes, expected \d+; use an older checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_changed_weights_are_refused(tmp_path):
    path = the_weights(saved(tmp_path / "c"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="was changed"):
        read_checkpoint(tmp_path / "c")


def test_a_missing_file_and_a_damaged_manifest_are_refused(tmp_path):
    the_weights(saved(tmp_path / "c")).unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "c")
    (tmp_path / "c" / MANIFEST).write_text('{"format": "drive-fu')
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(tmp_path / "c")


def test_a_manifest_that_points_outside_is_refused(tmp_path):
    folder = saved(tmp_path / "c")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["weights.safetensors"]["file"] = "../elsewhere"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        read_checkpoint(folder)


def test_a_full_disk_leaves_the_older_checkpoint_whole(tmp_path, monkeypatch):
    saved(tmp_path / "c", 1.0)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="the disk is full; what was there before is untouched"):
        saved(tmp_path / "c", 2.0)
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "c")[1] == {"fill": 1.0}
    assert not list((tmp_path / "c").glob(".*.tmp"))


SAVE_FOR_EVER = """
import sys, torch
from pathlib import Path
from drive_fusion.checkpoint import write_checkpoint
number = 0
while True:
    number += 1
    write_checkpoint(Path(sys.argv[1]), {"weights": {"w": torch.full((20000,), float(number))}}, {"number": number})
    print(number, flush=True)
"""


def kill_while_saving(folder: Path, after_s: float) -> None:
    """Start a process that saves for ever, kill it, and see that what it acknowledged is there and whole."""
    process = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    done = [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    tensors, facts = read_checkpoint(folder)
    assert facts["number"] >= max(done, default=1)
    assert torch.equal(tensors["weights"]["w"], torch.full((20000,), float(facts["number"])))


def test_kill_while_saving_loses_no_checkpoint(tmp_path):
    kill_while_saving(tmp_path / "c", 0.05)


@pytest.mark.slow
def test_twenty_kills_while_saving_lose_no_checkpoint(tmp_path):
    for attempt in range(20):
        kill_while_saving(tmp_path / "c", 0.007 * attempt)
