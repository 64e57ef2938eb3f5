"""The demo's stages in order. Each leaves its outcome in the study; a demo that was stopped goes on from its last finished stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from drive_fusion.demo.config import DemoConfig
from drive_fusion.study import Study

Stage = Callable[[DemoConfig, Study], Any]


def compile_kernels(config: DemoConfig, study: Study) -> dict[str, Any]:
    """Compile world and sensors once; say what this runs on."""
    import torch

    from drive_fusion.bench.results import processor, versions
    from envs.world import World
    from sensors.rendering import render

    world = World(config.id, num_worlds=2)
    render(world.reset(torch.arange(2)), config.rig)
    world.step(torch.ones(2, dtype=torch.int64), substeps=True)
    return {"processor": processor(), "threads": torch.get_num_threads(), **versions()}


def teach(config: DemoConfig, study: Study) -> Any:
    """The warm start."""
    from drive_fusion.demo.learning import teach_warm_start

    return teach_warm_start(config, study)


def shelve(config: DemoConfig, study: Study) -> Any:
    """Clips and pairs."""
    from drive_fusion.demo.learning import checkpoint_of
    from drive_fusion.demo.people import record_drivers, shelve_pairs

    return shelve_pairs(config, study, record_drivers(config, checkpoint_of(study, "warm")))


def label(config: DemoConfig, study: Study) -> Any:
    """Labels and takeovers."""
    from drive_fusion.demo.people import let_scripts_label

    return let_scripts_label(config, study)


def learn_reward(config: DemoConfig, study: Study) -> Any:
    """The reward model."""
    from drive_fusion.demo.people import learn_reward

    return learn_reward(config, study)


def learn_to_drive(config: DemoConfig, study: Study) -> Any:
    """PPO."""
    from drive_fusion.demo.learning import learn_to_drive

    return learn_to_drive(config, study)


def score(config: DemoConfig, study: Study) -> Any:
    """Scores on held-out seeds."""
    from drive_fusion.demo.learning import score_drivers

    return score_drivers(config, study)


def film(config: DemoConfig, study: Study) -> Any:
    """Videos of before and after."""
    from drive_fusion.demo.learning import film_before_and_after

    return film_before_and_after(config, study)


STAGES: tuple[tuple[str, str, Stage], ...] = (
    ("machine", "compile the traffic and the sensors", compile_kernels),
    ("warm_start", "teach a first driver by cloning a rule, through camera, lidar and radar", teach),
    ("clips", "record drivers, cut clips, pair them", shelve),
    ("labels", "let scripted reviewers compare clips and take the wheel", label),
    ("reward", "learn the reward from what they said", learn_reward),
    ("driver", "train the driver by PPO on the learned reward", learn_to_drive),
    ("evaluation", "score it beside the baselines on held-out episodes", score),
    ("videos", "film one episode before and after", film),
)


def run_demo(config: DemoConfig) -> int:
    """Run what is not finished yet, then write the report."""
    study = Study(config.study)
    study.open(config)
    began_s = time.monotonic()
    try:
        for number, (name, purpose, stage) in enumerate(STAGES, 1):
            heading = f"[{number}/{len(STAGES)}] {purpose}"
            if study.outcome(name) is not None:
                print(f"{heading}: done before", flush=True)
                continue
            print(heading, flush=True)
            stage_began_s = time.monotonic()
            outcome = stage(config, study)
            study.finish(name, outcome)
            for line in lines_about(outcome):
                print(f"      {line}")
            print(f"      {time.monotonic() - stage_began_s:.0f} s", flush=True)
    except KeyboardInterrupt:
        print(f"\nstopped; what is finished is kept. Go on with: drive-fusion demo --study {config.study}", flush=True)
        return 130
    from drive_fusion.report.page import write_report

    print(f"\n{write_report(study)}  ({time.monotonic() - began_s:.0f} s in all)")
    print("The reviewers were scripts. To label yourself:")
    print(f"  drive-fusion review {config.study} --invite NAME          # prints a link that lets them in, once")
    print(f"  drive-fusion review {config.study}                        # then open the address it prints")
    return 0


def lines_about(outcome: Any) -> list[str]:
    """What a stage found, one short line a fact; tables and curves are left to the report."""
    if not isinstance(outcome, dict):
        return []
    return [f"{name}: {value}" for name, value in outcome.items() if isinstance(value, (str, int, float))]
