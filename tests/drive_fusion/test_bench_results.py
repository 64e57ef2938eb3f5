"""Benchmark results: round trip, comparison, refusals."""

from dataclasses import dataclass, replace

import pytest

from drive_fusion.bench.results import Result, compare
from sensors.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    rounds: int = 3


def test_saving_and_loading_gives_the_same_result(tmp_path):
    result = Result.of("world", Settings(), {"highway.steps_per_s": 1234.5})
    result.save(tmp_path / "a" / "result.json")
    assert Result.load(tmp_path / "a" / "result.json") == result
    assert "world.highway.steps_per_s: 1234.5" in result.lines()


def test_comparison_tells_ratio_and_what_differs():
    first = Result.of("world", Settings(), {"speed": 10.0, "only_a": 1.0})
    second = replace(Result.of("world", Settings(rounds=4), {"speed": 25.0}), hardware={"processor": "other"})
    text = "\n".join(compare(first, second))
    assert "2.500" in text
    assert "only in A: only_a" in text
    assert "settings differ" in text and "different machines" in text


def test_results_of_two_suites_are_not_compared():
    with pytest.raises(ConfigError, match="one suite"):
        compare(Result.of("world", Settings(), {}), Result.of("sensors", Settings(), {}))


@pytest.mark.parametrize("text", ["", "{}", '{"suite": 1}', "[1, 2]"])
def test_a_foreign_file_is_refused(tmp_path, text):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a benchmark result"):
        Result.load(path)
