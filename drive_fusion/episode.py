"""``drive-fusion run``: drive episodes, say how they went, record them, make a video."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensors.errors import ConfigError

if TYPE_CHECKING:
    from envs.recording import Recording


@dataclass(frozen=True)
class RunConfig:
    """Options of ``drive-fusion run``."""

    id: str = "highway-fast-v0"
    """highway-env's name of the world."""
    driver: str = "idm"
    """random, idle, slower, faster, lane_left, lane_right, idm, rule, or a checkpoint's folder."""
    episodes: int = 1
    """How many episodes, with seeds that follow one another."""
    seed: int = 0
    """Seed of the first episode: the same traffic as highway-env's reset(seed=...)."""
    config: str = "{}"
    """Settings that differ from the id's own, as a JSON object with highway-env's keys."""
    weather: str | None = None
    """What the sensors look through: noon, dusk, night, fog, rain or snow; noon unless given."""
    fault: tuple[str, ...] = ()
    """Faults of the driver's sensors, each KIND[:MODALITY[:SEVERITY[:START[:END]]]]: docs/faults.md lists them."""
    video: Path | None = None
    """Write the first episode here as an H.264 MP4: camera above, bird's-eye view below."""
    record: Path | None = None
    """Write every episode into this folder, as seed-NUMBER.parquet."""
    explain: Path | None = None
    """Write here, for each decision of the first episode, what the driver saw and which sense counted: pictures and explain.json."""

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError(f"run: episodes is {self.episodes}, expected 1 or more")
        if self.seed < 0:
            raise ConfigError(f"run: seed is {self.seed}, expected 0 or more")

    def settings(self) -> dict[str, Any]:
        """The JSON object of ``config``."""
        try:
            settings = json.loads(self.config)
        except ValueError as error:
            raise ConfigError(f"run: --config is not JSON ({error}); write for example '{{\"lanes_count\": 4}}'") from None
        if not isinstance(settings, dict):
            raise ConfigError(f"run: --config is {type(settings).__name__}, expected a JSON object")
        return settings


def described(recording: Recording) -> str:
    """One line on how an episode went; after its end nothing counts."""
    ended = (recording.terminated | recording.truncated).nonzero().flatten()
    decisions = int(ended[0]) + 1 if len(ended) else recording.num_decisions
    scenes = recording.at_decisions().select(slice(0, decisions + 1))
    path_m = (scenes.position_m[1:, 0] - scenes.position_m[:-1, 0]).norm(dim=-1).sum()
    seconds = float(scenes.time_s[-1] - scenes.time_s[0])
    end = "crashed" if bool(scenes.crashed[-1, 0]) else "ended" if bool(recording.terminated[:decisions].any()) else "ran to its horizon"
    return (
        f"seed {recording.seed}: {end} after {seconds:.0f} s, {float(path_m):.0f} m, "
        f"{float(path_m) / max(seconds, 1e-9):.1f} m/s, return {float(recording.rewards[:decisions].sum()):.2f}"
    )


def run_episodes(config: RunConfig) -> int:
    """Drive, print a line an episode, and write what was asked for."""
    import torch

    from drive_fusion.policy_driver import driver_of
    from envs.conditions import set_conditions
    from envs.rollout import record
    from envs.world import World

    world = World(config.id, num_worlds=config.episodes, config=config.settings())
    set_conditions(world, config.weather, config.fault)
    driver = driver_of(config.driver, world)
    if config.explain is not None:
        check_explainable(driver)
    recordings = record(world, driver, torch.arange(config.seed, config.seed + config.episodes), until_horizon=False)
    for recording in recordings:
        print(described(recording))
        if config.record is not None:
            path = config.record / f"seed-{recording.seed}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            recording.save(path)
    if config.record is not None:
        print(f"recorded {len(recordings)} episodes in {config.record}")
    if config.video is not None:
        from sensors.views.video import write_clip_video

        config.video.parent.mkdir(parents=True, exist_ok=True)
        write_clip_video(recordings[0].scenes, config.video)
        print(f"wrote {config.video}")
    if config.explain is not None:
        print(explain_episode(driver, recordings[0], config.explain))
    return 0


def check_explainable(driver: Any) -> None:
    """Refuse a driver that is no network with sensors.

    Raises:
        ConfigError: It is not.
    """
    if getattr(driver, "model", None) is None or driver.needs_frames is None:
        raise ConfigError("run: --explain tells what a network saw; --driver must be the folder of a checkpoint with sensors")


def explain_episode(driver: Any, recording: Recording, folder: Path) -> str:
    """Explain what a network did in an episode, and say where that lies."""
    from drive_fusion.explain.pictures import explain_recording

    pictures = explain_recording(driver.model.policy, recording, driver.needs_frames, folder)
    return f"explained {len(pictures)} decisions in {folder}"
