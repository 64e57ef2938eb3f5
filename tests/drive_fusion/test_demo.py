"""The demo at its smallest: every stage runs, a stopped study goes on, and the report says what the figures support."""

import re
from dataclasses import replace

import pytest

from drive_fusion.demo import stages
from drive_fusion.demo.config import DemoConfig
from drive_fusion.study import Study
from feedback.store import Store
from sensors.errors import ConfigError

TINY = {
    "teaching_episodes": 4,
    "clip_episodes": 8,
    "labels": 48,
    "ride_alongs": 12,
    "videos": 1,
    "steps": 1024,
    "num_envs": 16,
    "evaluation_seeds": 4,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that was stopped before the reward was learned, and went on."""
    config = DemoConfig(study=tmp_path_factory.mktemp("demo") / "study", **TINY)
    order = list(stages.STAGES)

    def stop(config, study):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "STAGES", tuple((name, text, stop if name == "reward" else stage) for name, text, stage in order))
        assert stages.run_demo(config) == 130
    study = Study(config.study)
    with Store(study.database) as store:
        labels = store.labels_hash()
    assert stages.run_demo(config) == 0
    with Store(study.database) as store:
        assert store.labels_hash() == labels, "going on must not label again"
    return config, study


def test_every_stage_leaves_its_outcome(finished):
    _, study = finished
    assert all(study.outcome(name) is not None for name, _, _ in stages.STAGES)
    assert study.outcome("labels")["takeovers"] > 0


def test_the_report_tells_who_labelled_and_scores_every_baseline(finished):
    config, study = finished
    text = study.report.read_text()
    assert "48 answers of scripts, none of people" in text
    for driver in ("random", "idle", "slower", "faster", "idm", "warm start", "after PPO"):
        assert re.search(rf"<td>{driver}</td>", text), driver
    assert all((study.folder / video["path"]).stat().st_size > 1000 for video in study.outcome("videos"))


def test_pairs_with_videos_wait_for_people(finished):
    config, study = finished
    with Store(study.database) as store:
        person, _ = store.add_reviewer("somebody")
        asked = store.next_pair(person, with_video=True)
    assert asked is not None
    assert (study.folder / asked.left.video_path).stat().st_size > 1000


def test_other_settings_need_another_study(finished):
    config, _ = finished
    with pytest.raises(ConfigError, match="labels 48 -> 49"):
        stages.run_demo(replace(config, labels=49))
