"""Several agents in one world: highway-env's MultiAgentAction and MultiAgentObservation, which wrap an action and an observation of one.

The agents of a world are the first actors of its scenes, in highway-env's order: actor 0 is the first agent. Intersections take more than
one (``controlled_vehicles``) natively; highways, exits and racetracks through ``ReferenceWorld``, and there highway-env knows the reward
and the end of the first agent alone. Nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sensors.errors import ConfigError

ACTION, OBSERVATION = "MultiAgentAction", "MultiAgentObservation"
INNER = {ACTION: "action_config", OBSERVATION: "observation_config"}
"""Where the settings of one agent's action or observation stand."""
FAMILY = "intersection"
"""Ids, by the beginning of their names, whose several agents are native and judged one by one."""
FAMILIES = (FAMILY, "highway", "exit", "racetrack")
"""Ids, by the beginning of their names, that place as many controlled cars as they are asked for."""
REWARDS, TERMINATED = "agents_rewards", "agents_terminated"
"""What a step tells of each agent, by highway-env's names, (B, N): floats, and bools (arrived or crashed)."""


def of_one(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The action or observation of one agent in settings that may wrap it for several."""
    inner: Mapping[str, Any] = part[INNER[part["type"]]] if part["type"] in INNER else part
    return inner


def check_wrapping(id: str, part: str, given: Mapping[str, Any]) -> None:
    """Check that an ``action`` or ``observation`` for several agents holds what it must, and that the id has several.

    Args:
        id: An id.
        part: ``"action"`` or ``"observation"``.
        given: The setting; it has a type.

    Raises:
        ConfigError: The id has one ego, or the settings of one agent are missing.
    """
    kind = given["type"]
    if kind not in INNER:
        return
    if not id.startswith(FAMILIES):
        raise ConfigError(f"{id}: {part} {kind} is for several agents, which only {', '.join(FAMILIES)} ids have; give that of one ego")
    for key in given:
        if key not in ("type", INNER[kind]):
            raise ConfigError(f"{id}: {part} {kind} has no key {key!r}; settings of each agent stand in {INNER[kind]!r}")
    inner = given.get(INNER[kind])
    if not isinstance(inner, Mapping) or "type" not in inner:
        raise ConfigError(f"{id}: {part} {kind} has {INNER[kind]} {inner!r}, expected a dict with a 'type' and what that type takes")


def check_number(id: str, config: Mapping[str, Any]) -> None:
    """Check that actions reach every controlled car.

    Args:
        id: An id.
        config: All its settings.

    Raises:
        ConfigError: Several cars, and an action of one.
    """
    count = config.get("controlled_vehicles", 1)
    if count != 1 and config["action"]["type"] != ACTION:
        raise ConfigError(
            f"{id}: controlled_vehicles is {count!r}, expected 1 with action {config['action']['type']}, "
            f"which drives one ego; {ACTION} is of several"
        )


def number_of(config: Mapping[str, Any]) -> int | None:
    """How many agents drive by actions of their own; None where an action is that of one ego and has no axis for agents."""
    return int(config["controlled_vehicles"]) if config["action"]["type"] == ACTION else None
