"""The ids of highway-env, of one ego and of several, and their registration with gymnasium as ``DriveFusion/<id>``."""

from __future__ import annotations

from sensors.errors import unknown_name

SINGLE_AGENT_IDS = (
    "exit-v0",
    "exit-v1",
    "highway-fast-v0",
    "highway-v0",
    "intersection-v0",
    "intersection-v1",
    "intersection-v2",
    "lane-keeping-v0",
    "merge-generic-v0",
    "merge-generic-v1",
    "merge-v0",
    "merge-v1",
    "parking-ActionRepeat-v0",
    "parking-parked-v0",
    "parking-v0",
    "racetrack-large-v0",
    "racetrack-large-v1",
    "racetrack-oval-v0",
    "racetrack-oval-v1",
    "racetrack-v0",
    "racetrack-v1",
    "roundabout-generic-v0",
    "roundabout-generic-v1",
    "roundabout-v0",
    "roundabout-v1",
    "two-way-v0",
    "u-turn-v0",
    "u-turn-v1",
)
MULTI_AGENT_IDS = ("intersection-multi-agent-v0", "intersection-multi-agent-v1", "intersection-multi-agent-v2")
IDS = tuple(sorted(SINGLE_AGENT_IDS + MULTI_AGENT_IDS))
"""All of highway-env's."""
EACH_AGENT_JUDGED = ("intersection-multi-agent-v1", "intersection-multi-agent-v2")
"""Ids whose environments give a reward and an end for each agent, as highway-env's wrapper for them does; its v0 gives one for all."""
NAMESPACE = "DriveFusion"


def checked_id(id: str) -> str:
    """Give the id back, without our namespace; one of the form ``module:name`` is a scenario of a user's own.

    Raises:
        ConfigError: There is no such id.
    """
    bare = id.removeprefix(f"{NAMESPACE}/")
    if ":" in bare:
        return bare
    if bare not in IDS:
        raise unknown_name("id", id, IDS)
    return bare


def register_all() -> None:
    """Register every id with gymnasium; entry points are strings, so nothing heavy is imported. Safe to call again.

    Without gymnasium nothing happens: a benchmark machine need not have it.
    """
    try:
        from gymnasium.envs.registration import register, registry
    except ImportError:
        return
    for id in IDS:
        if f"{NAMESPACE}/{id}" not in registry:
            register(
                id=f"{NAMESPACE}/{id}",
                entry_point=f"envs.entry_points:single/{id}",
                vector_entry_point=f"envs.entry_points:vector/{id}",
                disable_env_checker=id in EACH_AGENT_JUDGED,  # it warns of rewards that are no number
            )
