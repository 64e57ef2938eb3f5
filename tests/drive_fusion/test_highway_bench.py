"""The bench of learning on the highway at its smallest."""

from __future__ import annotations

import pytest

from drive_fusion.bench.highway import HighwayBench, bench_highway, trained_drivers
from sensors.errors import ConfigError


def test_every_driver_is_trained_once_and_stands_beside_idm(tmp_path, monkeypatch):
    config = HighwayBench(
        folder=tmp_path,
        seeds=(3,),
        episodes=3,
        privileged_steps=4096,
        sensor_steps=0,
        own_steps=1024,
        evaluation_seeds=3,
        seed_set="validation",
    )
    figures = bench_highway(config)
    for name in ("idm", "rule", "random", "slower", "SB3_own_3", "privileged_clone_3", "privileged_PPO_3", "sensors_clone_3"):
        assert figures[f"{name}.progress_m.low"] <= figures[f"{name}.progress_m"] <= figures[f"{name}.progress_m.high"]
    assert figures["rule-idm.progress_m"] == pytest.approx(figures["rule.progress_m"] - figures["idm.progress_m"])
    assert "idm-idm.progress_m" not in figures
    assert (tmp_path / "scores" / "validation" / "sensors-clone-3.json").exists()
    written = {place: (place / "manifest.json").read_bytes() for place in trained_drivers(config).values()}
    assert all((place / "manifest.json").read_bytes() == before for place, before in written.items())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="unknown kind 'sensor'"):
        HighwayBench(kinds=("sensor",))
    with pytest.raises(ConfigError, match="1 or more"):
        HighwayBench(seeds=())
