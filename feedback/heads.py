"""The parts of a reward that have names: each sees only what belongs to its name, and together they are the reward.

A part that could see everything would be a name on a black box. So the courtesy part knows what the car behind had to do, and not how
fast the ego went; what several names share (a lane change is felt, may be unlawful, and may cut somebody off) they all see.
"""

from __future__ import annotations

import torch
from torch import Tensor

from feedback.windows import WindowConfig, feature_names
from sensors.errors import ConfigError

HEADS = ("progress", "gap", "comfort", "legality", "courtesy")
"""Names of the parts, in the order of every tensor of parts."""

_AHEAD = ("headway", "near_1s", "near_2s", "ttc", "ttc_soon", "any_ttc", "any_ttc_soon")
_BEHIND = ("rear_headway", "rear_ttc", "rear_ttc_soon")
SEES: dict[str, tuple[str, ...]] = {
    "progress": ("before_speed", "speed", "progress", "arrival"),
    "gap": (*(f"before_{name}" for name in _AHEAD), *_AHEAD, "crash"),
    "comfort": ("acceleration_long", "acceleration_lat", "yaw_rate", "jerk", "lane_changed"),
    "legality": ("lateral", "lateral_abs", "heading_error", "on_road", "lane_left", "lane_right", "over_limit", "signals", "lane_changed"),
    "courtesy": (*(f"before_{name}" for name in _BEHIND), *_BEHIND, "rear_braking", "lane_changed"),
}
"""The features of each part; an action, where one is told, is felt: comfort."""
GIVEN_HEADS = ("given",)
"""The one part of a reward that is told numbers by somebody else: nobody knows what they mean, so it has no better name."""
ACTOR_HEADS = ("gap", "courtesy")
"""Parts that also see the other actors one by one."""


def heads_of(config: WindowConfig) -> tuple[str, ...]:
    """Names of the parts of a reward over such windows, H."""
    return GIVEN_HEADS if config.given else HEADS


def sees(config: WindowConfig) -> Tensor:
    """Which features each part sees through its rows, (H, F) bool; actors told one by one go through a set encoder instead.

    Raises:
        ConfigError: A feature belongs to no part.
    """
    names = feature_names(config)
    if config.given:
        return torch.ones(len(GIVEN_HEADS), len(names), dtype=torch.bool)
    table = torch.zeros(len(HEADS), len(names), dtype=torch.bool)
    for row, head in enumerate(HEADS):
        for column, name in enumerate(names):
            table[row, column] = name in SEES[head] or (name.startswith("action") and head == "comfort")
    orphans = [name for name, seen in zip(names, table.any(0).tolist(), strict=True) if not seen and not name.startswith("neighbour")]
    if orphans:
        raise ConfigError(f"features {orphans} belong to no part of the reward, expected every one in feedback.heads.SEES")
    return table
