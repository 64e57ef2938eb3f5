"""From a study's store to a reward model: what reviewers answered and where they took the wheel, as the model learns from it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from feedback.clips import ClipShelf
from feedback.hazard import Ride
from feedback.reward_fit import Comparison, FitReport, RideWindows, fit_reward
from feedback.reward_model import RewardConfig, RewardModel
from feedback.store import Store
from feedback.takeover import hazard_ride
from feedback.windows import WindowConfig


def learn_from_store(
    store: Store,
    config: RewardConfig | None = None,
    previous: RewardModel | None = None,
    shelf: ClipShelf | None = None,
    leave_out: Collection[str] = (),
) -> tuple[RewardModel, FitReport]:
    """Learn a reward from all active labels and all takeovers of a study.

    Args:
        store: The study's.
        config: How to learn; the defaults if None.
        previous: The model before this one, whose scale is kept.
        shelf: The study's clips, where they are read already.
        leave_out: Reasons of pairs whose answers are not learned from, such as those that judge what was learned.

    Returns:
        The model, which names the hash of the labels it learned from, and what learning came to.

    Raises:
        ConfigError: There are too few labels.
        RecordingError: A labelled clip's file is missing or changed.
    """
    config = config or RewardConfig()
    shelf = shelf or ClipShelf(store)
    labels, labels_hash = [label for label in store.labels() if label.reason not in leave_out], store.labels_hash()
    comparisons = [Comparison(label.clip_a, label.clip_b, label.choice, label.reviewer, label.mirrored) for label in labels]
    names = {name for comparison in comparisons for name in (comparison.first, comparison.second)}
    rides = {name: ride_windows(shelf, name, config.windows) for name in names}
    model, report = fit_reward(rides, comparisons, watched_rides(store, shelf, config.windows), config, previous)
    return replace(model, about={**model.about, "labels_sha256": labels_hash}), report


def ride_windows(shelf: ClipShelf, clip_id: str, config: WindowConfig) -> RideWindows:
    """A clip as the reward model sees it."""
    clip = shelf[clip_id]
    return RideWindows(clip.decisions().windows(config), clip.group)


def watched_rides(store: Store, shelf: ClipShelf, config: WindowConfig) -> list[Ride]:
    """The clips that were watched with a hand at the wheel, as the takeover hazard learns from them."""
    rows = [(row, row.clip_id) for row in store.takeovers() if row.clip_id is not None]
    return [hazard_ride(row, shelf.decisions(name), config, shelf[name].group) for row, name in rows]
