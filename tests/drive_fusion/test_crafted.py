"""Crafted checkpoints: no file can run code, and none brings down more than itself."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from drive_fusion.bench.results import Result
from drive_fusion.checkpoint import MANIFEST, CheckpointError
from drive_fusion.evaluation import Evaluation
from drive_fusion.plain import PlainDataError, decode
from drive_fusion.policy import FusedPolicy
from drive_fusion.policy_driver import driver_of
from drive_fusion.ppo import FusedPPO
from drive_fusion.report.page import write_report
from drive_fusion.study import Study
from envs.world import World
from feedback.model_file import ModelFileError, load_model, save_model
from feedback.reward_model import KIND, RewardConfig, RewardModel, RewardNet
from feedback.windows import WindowConfig, feature_names
from sensors.errors import ConfigError, DriveFusionError
from sensors.presets import RIGS
from tests.drive_fusion.conftest import ToyVecEnv

TRAP = "a_trap_that_marks_its_import"


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    model = FusedPPO(env=ToyVecEnv(RIGS["micro"]), rig="micro", temporal="gru", n_steps=8, batch_size=16, device="cpu", seed=0)
    folder: Path = tmp_path_factory.mktemp("crafted") / "whole"
    model.learn(32).save(folder)
    return folder


@pytest.fixture
def checkpoint(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


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


def own_file(folder: Path, name: str) -> Path:
    return folder / json.loads((folder / MANIFEST).read_text())["files"][name]["file"]


def test_links_and_pipes_in_a_checkpoint_are_not_followed(checkpoint, tmp_path):
    weights = own_file(checkpoint, "weights.safetensors")
    elsewhere = tmp_path / "elsewhere.safetensors"
    weights.rename(elsewhere)
    weights.symlink_to(elsewhere)  # the very bytes that the manifest signs
    with pytest.raises(CheckpointError, match="is a link or no file at all"):
        FusedPPO.load(checkpoint, device="cpu")
    weights.unlink()
    os.mkfifo(weights)  # reading it would wait for ever
    with pytest.raises(CheckpointError, match="is a link or no file at all"):
        FusedPPO.load(checkpoint, device="cpu")


def test_what_is_longer_than_it_says_is_not_read(checkpoint):
    with own_file(checkpoint, "weights.safetensors").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no room until somebody reads it
    with pytest.raises(CheckpointError, match="it has 1099511627776 bytes, expected"):
        FusedPPO.load(checkpoint, device="cpu")
    with (checkpoint / MANIFEST).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="expected some hundred"):
        FusedPPO.load(checkpoint, device="cpu")


def test_a_manifest_that_names_a_file_twice_is_refused(checkpoint):
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    manifest["files"] |= {f"{number}.safetensors": manifest["files"]["weights.safetensors"] for number in range(3)}
    (checkpoint / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="names one file several times"):
        FusedPPO.load(checkpoint, device="cpu")


def test_weights_without_a_place_are_counted_and_refused(checkpoint):
    weights = safetensors.torch.load_file(own_file(checkpoint, "weights.safetensors"))
    rewritten(checkpoint, "weights.safetensors", safetensors.torch.save(weights | {"a_stranger": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match=r"1 of its \d+ weights have no place .* first 'a_stranger'"):
        FusedPPO.load(checkpoint, device="cpu")


WIDE = {"$": "object", "name": "Discrete", "fields": {"n": 10**9, "start": 0}}
BOX = {"$": "object", "name": "Box", "fields": {"low": 0.0, "high": 1.0, "shape": [10**11], "dtype": {"$": "dtype", "name": "<f4"}}}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("arguments", "policy_kwargs", "net_arch"), [100_000, 100_000], "ask for a tensor of 10000000000 numbers"),
        (("arguments", "policy_kwargs", "net_arch"), [4] * 100_000, "ask for a network of more tensors"),
        (("arguments", "n_steps"), 10**14, "does not fit"),
        (("counters", "action_space"), WIDE, "ask for a tensor of 64000000000 numbers"),
        (("counters", "observation_space"), BOX, r"a Box of shape \[100000000000\] of bounds of \(\)"),
    ],
)
def test_settings_that_ask_for_more_than_there_is_are_refused_before_anything_is_made(checkpoint, path, value, message):
    facts = facts_of(checkpoint)
    around = facts
    for key in path[:-1]:
        around = around[key]
    around[path[-1]] = value
    rewritten(checkpoint, "facts.json", json.dumps(facts).encode())
    began_s = time.process_time()
    with pytest.raises(CheckpointError, match=message):
        FusedPPO.load(checkpoint, device="cpu")
    assert time.process_time() - began_s < 20.0


PAGES: tuple[bytes, ...] = (
    b"",
    b"[]",
    b"null",
    b"1",
    b"{",
    b'"a"',
    b"\x00\xff",
    b"[" * 100_000,
    b'{"settings": 3}',
    b'{"per_seed": {"a": 1}}',
)


@pytest.mark.parametrize("page", PAGES, ids=range(len(PAGES)))
def test_pages_of_nonsense_are_refused_in_one_line(tmp_path, page):
    (tmp_path / "x.json").write_bytes(page)
    (tmp_path / "study.json").write_bytes(page)
    for read in (Evaluation.load, Result.load):
        with pytest.raises(ConfigError, match=r"x\.json is not a "):
            read(tmp_path / "x.json")
    try:
        assert Study(tmp_path).settings() == {}
    except ConfigError as error:
        assert "study.json" in str(error)


@pytest.mark.parametrize(
    "figures", [{}, {"crashed": [0.0]}, {"crashed": [0.0, -1.0]}, {"crashed": [0, 0], "score": ["x", 1]}, {"score": [1, 1]}]
)
def test_an_evaluation_has_as_many_figures_as_seeds(tmp_path, figures):
    facts = {"driver": "d", "id": "highway-v0", "seeds": [1, 2], "rig": None, "score_version": "1"}
    (tmp_path / "x.json").write_text(json.dumps(facts | {"per_seed": {"crashed": [0, 1]}}))
    assert Evaluation.load(tmp_path / "x.json").crash_rate.value == 0.5
    (tmp_path / "x.json").write_text(json.dumps(facts | {"per_seed": figures}))
    with pytest.raises(ConfigError, match="is not a saved evaluation"):
        Evaluation.load(tmp_path / "x.json")


def test_a_study_reads_nothing_outside_its_folder(tmp_path):
    study = Study(tmp_path / "study")
    study.finish("evaluation", {"files": ["../outside.json"]})
    for name in ("../outside.json", "/etc/passwd", "runs/../../outside.json"):
        with pytest.raises(ConfigError, match="outside the study; refused"):
            study.inside(name)
    with pytest.raises(ConfigError, match="outside the study; refused"):
        write_report(study)
    (study.folder / "link.json").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError, match="outside the study"):
        study.inside("link.json")
    assert study.inside("scores/idm.json") == study.folder / "scores" / "idm.json"


@pytest.fixture
def learned(tmp_path) -> Path:
    """A reward model's file, of weights that nobody taught."""
    config, width = RewardConfig(hidden=4, members=3), len(feature_names(WindowConfig()))
    generator = torch.Generator().manual_seed(0)
    net = RewardNet(width, 4, 3, generator).requires_grad_(False)
    RewardModel(config, net, torch.randn(8, width, generator=generator)).save(tmp_path / "reward")
    return tmp_path / "reward"


def test_a_reward_models_settings_that_were_tampered_with_are_refused_or_harmless(learned):
    tensors, whole = load_model(learned, KIND)
    draw, refused = random.Random(1), 0
    for _ in range(120):
        settings = json.loads(json.dumps(whole))
        *path, last = draw.choice(places(settings)[1:])
        around = settings
        for key in path:
            around = around[key]
        around[last] = draw.choice(NONSENSE)
        save_model(learned, KIND, tensors, settings)
        try:
            RewardModel.load(learned)
        except DriveFusionError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize(("place", "value"), [(("hidden",), 10**9), (("hazard", "hidden"), 10**9), (("windows", "num_neighbours"), 10**9)])
def test_a_reward_model_that_asks_for_more_than_it_has_is_refused(learned, place, value):
    tensors, settings = load_model(learned, KIND)
    around = settings["config"]
    for key in place[:-1]:
        around = around[key]
    around[place[-1]] = value
    save_model(learned, KIND, tensors, settings)
    with pytest.raises(ModelFileError, match=r"its settings ask for \d+ units, and it has \d+ numbers"):
        RewardModel.load(learned)


def test_a_model_files_header_of_nonsense_is_refused(learned):
    for header in ("[" * 100_000, "3", "[]", '{"sha256": 3}', "null"):
        learned.write_bytes(safetensors.torch.save({"x": torch.zeros(1)}, {"drive_fusion": header}))
        with pytest.raises(ModelFileError):
            RewardModel.load(learned)
