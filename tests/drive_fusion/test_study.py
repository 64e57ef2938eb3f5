"""A study remembers its settings and stages, and refuses to be another one."""

from dataclasses import dataclass

import pytest

from drive_fusion.study import Study
from sensors.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    seed: int = 0
    rig: str = "micro"


def test_stages_survive_reopening(tmp_path):
    study = Study(tmp_path / "study")
    study.open(Settings())
    assert study.outcome("clips") is None
    study.finish("clips", {"count": 3})
    again = Study(tmp_path / "study")
    again.open(Settings())
    assert again.outcome("clips") == {"count": 3}


def test_other_settings_are_refused_by_name(tmp_path):
    Study(tmp_path).open(Settings(seed=1))
    with pytest.raises(ConfigError, match=r"seed 1 -> 2"):
        Study(tmp_path).open(Settings(seed=2))


def test_a_half_written_memory_is_told(tmp_path):
    (tmp_path / "study.json").write_text('{"settings": {')
    with pytest.raises(ConfigError, match="study.json is not readable"):
        Study(tmp_path).open(Settings())
