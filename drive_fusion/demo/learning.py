"""The demo's driver: a warm start cloned from a rule, PPO on the learned reward, and the scores of both beside the baselines."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from drive_fusion.demo.config import CLIP_WIDTH_PX, DemoConfig
from drive_fusion.study import Study

WARM, LEARNED = "warm start", "after PPO"
CAREFUL_S = 7.0
"""How long what the teacher does must stay clear of everybody: longer than the rule's default, since a clone is less exact."""
PASSES, LR = 2, 4e-3
"""Of cloning: many episodes seen twice teach more in the same time than few seen often."""


def checkpoint_of(study: Study, run: str) -> Path:
    """Where a run's last checkpoint lies."""
    return study.run(run) / "checkpoints" / "last"


def teach_warm_start(config: DemoConfig, study: Study) -> dict[str, Any]:
    """Clone a rule-based driver, seen through the rig, from episodes in which it is now and then disturbed."""
    from drive_fusion.cloning import CloneConfig, DisturbedDriver, clone, lessons
    from drive_fusion.ppo import FusedPPO
    from drive_fusion.rule_driver import RuleDriver
    from envs.rollout import record
    from envs.sb3 import make_sb3_vec
    from envs.seeds import seed_set
    from envs.world import World

    teacher = RuleDriver(clear_s=CAREFUL_S)
    taught = lessons(config.id, config.rig, teacher, config.teaching_episodes, config.seed)
    venv = make_sb3_vec(config.id, num_envs=config.num_envs, rig=config.rig, seed=config.seed)
    model = FusedPPO(env=venv, rig=config.rig, device="cpu", seed=config.seed)
    report = clone(model, taught, CloneConfig(epochs=PASSES, lr=LR, seed=config.seed))
    model.save(checkpoint_of(study, "warm"))
    world = World(config.id, num_worlds=1)
    shown = record(world, DisturbedDriver(teacher, world.num_actions or 0, seed=config.seed), seed_set("train", 1, seed=config.seed))[0]
    shown.save(study.run("warm") / "recordings" / f"seed-{shown.seed}.parquet")
    return {
        "decisions taught": report.decisions,
        "frames of recordings found sound": f"{taught.quality.sound} of {taught.quality.frames}",
        "does what the rule would in held-out decisions": f"{100 * report.accuracy:.1f} % of {report.held_out}",
        "always the commonest action would agree in": f"{100 * report.majority:.1f} %",
    }


def learn_to_drive(config: DemoConfig, study: Study) -> dict[str, Any]:
    """PPO from the warm start, paid by the learned reward alone; a run that was stopped goes on."""
    from drive_fusion.training import TrainConfig, train

    plan = TrainConfig(
        study=study.folder,
        run="learned",
        id=config.id,
        rig=config.rig,
        reward=study.folder / "reward",
        warm_start=checkpoint_of(study, "warm"),
        critic_warmup=config.steps // 8,
        num_envs=config.num_envs,
        n_steps=32,
        steps=config.steps,
        seed=config.seed,
        device="cpu",
    )
    began_s = time.monotonic()
    folder = train(replace(plan, resume=plan.last_checkpoint.exists()))
    seconds = time.monotonic() - began_s
    return {
        "environment steps": config.steps,
        "environment steps a second, sensors and updates in it": round(config.steps / seconds),
        "curves": training_curves(folder / "tensorboard"),
    }


CURVES = {
    "episode/return": "learned reward, an episode",
    "episode/world_return": "the id's own return (only logged)",
    "episode/terminated": "episodes that ended early",
}


def training_curves(folder: Path) -> list[dict[str, Any]]:
    """Curves of a run, from its TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    curves = []
    for tag, title in CURVES.items():
        if tag in events.Tags()["scalars"]:
            points = events.Scalars(tag)
            curves.append({"title": title, "steps": [point.step for point in points], "values": [point.value for point in points]})
    return curves


def score_drivers(config: DemoConfig, study: Study) -> dict[str, Any]:
    """Score the baselines, the rule, the warm start and the learned driver on the same held-out seeds."""
    from drive_fusion.evaluation import baselines, evaluate, table
    from envs.seeds import seed_set

    seeds = seed_set("test", config.evaluation_seeds)
    rows = baselines(config.id, seeds)
    rows.append(evaluate("rule", config.id, seeds, name="rule (sees all)"))
    for name, run in ((WARM, "warm"), (LEARNED, "learned")):
        rows.append(evaluate(checkpoint_of(study, run), config.id, seeds, rig=config.rig, name=name))
    files = []
    for row in rows:
        path = Path("scores") / f"{row.driver.replace(' ', '-')}.json"
        row.save(study.folder / path)
        files.append(path.as_posix())
    print(table(rows))
    return {"files": files, "seeds": len(seeds)}


def film_before_and_after(config: DemoConfig, study: Study) -> list[dict[str, str]]:
    """Drive one test start with the warm start and with the learned driver, and film both."""
    from drive_fusion.evaluation import Evaluation
    from drive_fusion.policy_driver import driver_of
    from envs.rollout import record
    from envs.world import World
    from sensors.views.video import write_clip_video

    scores = study.outcome("evaluation") or {}
    rows = {row.driver: row for row in (Evaluation.load(study.inside(path)) for path in scores["files"])}
    gain = rows[LEARNED]["score"] - rows[WARM]["score"]
    seed = rows[WARM].seeds[int(gain.argsort()[len(gain) // 2])]  # the median change: neither the best case nor the worst
    videos = []
    for name, run in ((WARM, "warm"), (LEARNED, "learned")):
        world = World(config.id, num_worlds=1)
        recording = record(world, driver_of(checkpoint_of(study, run), world, config.rig), [seed], until_horizon=False)[0]
        recording.save(study.run(run) / "recordings" / f"seed-{seed}.parquet")
        path = study.folder / "videos" / f"{run}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip_video(recording.scenes, path, width_px=CLIP_WIDTH_PX)
        end = "crashed" if bool(recording.scenes.crashed[-1, 0]) else "did not crash"
        caption = f"{name}, test seed {seed}: {end} in {float(recording.scenes.time_s[-1]):.0f} s. The start of the median change in score."
        videos.append({"path": f"videos/{run}.mp4", "caption": caption})
    return videos
