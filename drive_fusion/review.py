"""``drive-fusion review``: the review room, with the driver that people can ride along with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feedback.server.command import serve
from feedback.server.config import ReviewConfig
from feedback.server.ride_desk import RideOffer


def run_review(config: ReviewConfig) -> int:
    """Serve, or do what was asked instead of serving.

    Returns:
        The exit status.

    Raises:
        ConfigError: As ``serve``; or there is no such driver or world.
        CheckpointError: The folder is no checkpoint of ours.
    """
    return serve(config, None if config.ride is None else ride_offer(config.ride, config.id))


def ride_offer(driver: str, env_id: str) -> RideOffer:
    """What ``--ride`` and ``--id`` name; tried out once, so that a mistake is told before anybody waits.

    Args:
        driver: A scripted driver's name, or a checkpoint's folder.
        env_id: The world.
    """

    def make() -> tuple[Any, Any]:
        from drive_fusion.policy_driver import driver_of
        from envs.world import World

        world = World(env_id, 1, num_threads=1)
        return world, driver_of(driver, world)

    make()
    name = Path(driver)
    return RideOffer(driver if len(name.parts) == 1 else "/".join(name.parts[-3:]), env_id, make)
