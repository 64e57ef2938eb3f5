"""Crafted checkpoints: no file can run code, and none brings down more than itself."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from drive_fusion.checkpoint import MANIFEST, CheckpointError
from drive_fusion.plain import PlainDataError, decode
from drive_fusion.policy import FusedPolicy
from drive_fusion.policy_driver import driver_of
from drive_fusion.ppo import FusedPPO
from envs.world import World
from sensors.errors import DriveFusionError

TRAP = "a_trap_that_marks_its_import"


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def checkpoint(make_env, tmp_path) -> Path:
    model = FusedPPO(env=make_env(), rig="micro", temporal="gru", n_steps=8, batch_size=16, device="cpu", seed=0)
    model.learn(32).save(tmp_path / "model")
    return tmp_path / "model"


def rewritten(folder: Path, name: str, data: bytes) -> None:
    """Put other contents into a checkpoint, and sign them as its manifest does."""
    manifest = json.loads((folder / MANIFEST).read_text())
    entry = manifest["files"][name]
    (folder / entry["file"]).write_bytes(data)
    entry |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def facts_of(folder: Path) -> dict[str, Any]:
    name = json.loads((folder / MANIFEST).read_text())["files"]["facts.json"]["file"]
    facts: dict[str, Any] = json.loads((folder / name).read_text())
    return facts


def test_pickles_in_every_dress_are_refused_unopened(checkpoint, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for name in ("weights.safetensors", "learner.safetensors", "facts.json"):
        before = (checkpoint / json.loads((checkpoint / MANIFEST).read_text())["files"][name]["file"]).read_bytes()
        rewritten(checkpoint, name, bomb)
        with pytest.raises(CheckpointError, match="is not what its name says"):
            FusedPPO.load(checkpoint, device="cpu")
        rewritten(checkpoint, name, before)
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as archive:
        archive.writestr("data", bomb), archive.writestr("policy.pth", bomb)
    for path in (tmp_path / "foreign.zip", tmp_path / "foreign"):
        with pytest.raises(CheckpointError):
            FusedPPO.load(path, device="cpu")
    with pytest.raises(CheckpointError, match="a zip"):
        driver_of(str(tmp_path / "foreign.zip"), World("highway-fast-v0", 1))
    assert not (tmp_path / "exploded").exists()


def test_a_pickled_policy_is_not_opened(tmp_path):
    torch.save(Bomb(tmp_path / "exploded"), tmp_path / "policy")
    for place in (tmp_path / "policy", str(tmp_path / "policy")):
        with pytest.raises(CheckpointError):
            FusedPolicy.load(place, device="cpu")
    assert not (tmp_path / "exploded").exists()


def test_a_rig_that_names_a_module_is_not_imported(checkpoint, tmp_path, monkeypatch):
    (tmp_path / f"{TRAP}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\nRIG = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    facts = facts_of(checkpoint)
    facts["arguments"]["policy_kwargs"]["features_extractor_kwargs"]["rig"] = f"{TRAP}:RIG"
    rewritten(checkpoint, "facts.json", json.dumps(facts).encode())
    with pytest.raises(CheckpointError, match="nothing was imported"):
        FusedPPO.load(checkpoint, device="cpu")
    assert not (tmp_path / "imported").exists() and TRAP not in sys.modules


def test_stored_data_makes_none_but_plain_objects():
    for name in ("FusedPolicy", "Adam", "Rollout", "Tanh"):
        with pytest.raises(PlainDataError, match=f"makes an object of '{name}'"):
            decode({"$": "object", "name": name, "fields": {}}, {})


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(place for key, value in inner for place in places(value, (*at, key)))]


NONSENSE: tuple[Any, ...] = (
    *(None, True, -1, 0, 7, 1e300, "", "os:system", "builtins:eval", "__import__('os')", [], {}, [[]], {"$": "object"}, {"$": 3}),
    *({"$": "class", "name": "system"}, {"$": "tensor", "name": "nowhere"}, {"$": "float", "value": "nan"}, {"$": "dtype", "name": "O"}),
    *({"$": "tuple", "items": None}, {"$": "object", "name": "Box", "fields": {"low": 1}}, {"$": "class", "name": "Adam"}),
)


def test_facts_that_were_tampered_with_are_refused_or_harmless(checkpoint, make_env, monkeypatch):
    def forbidden(*arguments: Any, **named: Any) -> None:
        raise AssertionError(f"a checkpoint ran {arguments}")

    for module, name in ((os, "system"), (subprocess, "Popen"), (pickle, "loads"), (pickle, "load")):
        monkeypatch.setattr(module, name, forbidden)
    whole, draw = facts_of(checkpoint), random.Random(0)
    modules = {name.partition(".")[0] for name in sys.modules}
    refused = 0
    for _ in range(60):
        facts = json.loads(json.dumps(whole))
        *path, last = draw.choice(places(facts)[1:])
        around = facts
        for key in path:
            around = around[key]
        around[last] = draw.choice(NONSENSE)
        rewritten(checkpoint, "facts.json", json.dumps(facts).encode())
        try:
            FusedPPO.load(checkpoint, env=make_env(), device="cpu")
        except DriveFusionError:
            refused += 1
    assert refused > 20
    new = {name.partition(".")[0] for name in sys.modules} - modules
    assert not new, f"a checkpoint had {new} imported"


@pytest.mark.parametrize("manifest", ["", "[]", "null", '{"format": 1}', "[" * 100_000, '{"files": {"a": {"file": 3}}}', '{"files": []}'])
def test_manifests_of_nonsense_are_refused(tmp_path, manifest):
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(CheckpointError):
        FusedPPO.load(tmp_path, device="cpu")
