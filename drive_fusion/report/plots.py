"""The report's pictures, as SVG text to put into the page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, OURS, OTHERS = "#1f2933", "#d9480f", "#5c7c9a"


def _svg(figure: Figure) -> str:
    """Draw a figure; the XML head is dropped because the text goes into a page."""
    target = io.StringIO()
    figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = target.getvalue()
    return text[text.index("<svg") :]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.tick_params(labelsize=9)


def driver_plot(drivers: Sequence[dict[str, Any]], ours: Sequence[str]) -> str:
    """Crash rate and progress of every driver with 95 % intervals, one row a driver.

    Args:
        drivers: Rows with ``name`` and, for ``crash_rate`` and ``progress_m``, (mean, low, high).
        ours: Names to set off in colour.
    """
    figure = Figure(figsize=(9.0, 0.42 * len(drivers) + 1.0))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, scale, label in (
        (left, "crash_rate", 100.0, "crashed, % of episodes"),
        (right, "progress_m", 1.0, "progress, m an episode"),
    ):
        for place, row in enumerate(drivers):
            mean, low, high = (scale * value for value in row[key])
            colour = OURS if row["name"] in ours else OTHERS
            axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, markersize=5)
        axes.set_xlabel(label, fontsize=9)
        _plain(axes)
    left.set_yticks(range(len(drivers)), [row["name"] for row in drivers])
    left.invert_yaxis()
    return _svg(figure)


def curve_plot(curves: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Learning curves, one panel each: (title, environment steps, values)."""
    shown = [curve for curve in curves if len(curve[1])]
    columns = min(3, max(1, len(shown)))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(9.0, 2.4 * max(rows, 1)))
    grid = figure.subplots(max(rows, 1), columns, squeeze=False).ravel()
    for axes, (title, steps, values) in zip(grid, shown, strict=False):
        axes.plot(steps, values, color=OURS, linewidth=1.6)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("environment steps", fontsize=9)
        _plain(axes)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    figure.tight_layout()
    return _svg(figure)


def calibration_plot(predicted: Sequence[float], observed: Sequence[float], counts: Sequence[int]) -> str:
    """How often the first clip was preferred against how often the model said so, on held-out pairs, by bin."""
    figure = Figure(figsize=(3.6, 3.2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    axes.scatter(predicted, observed, s=[12 + 3 * count for count in counts], color=OURS, alpha=0.8)
    axes.set_xlabel("model: chance that A is preferred", fontsize=9)
    axes.set_ylabel("labels: share that preferred A", fontsize=9)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    _plain(axes)
    return _svg(figure)


def rounds_plot(
    at: Sequence[str], curves: Sequence[tuple[str, Sequence[float | None], Sequence[float | None]]], approved: Sequence[bool]
) -> str:
    """Figures of a run's rounds, one panel each.

    Args:
        at: What stands below each round: how many labels, and whose.
        curves: Title, the candidates' figures, and those of what was approved before; None where there is none.
        approved: Which candidates were; their marks are filled.
    """
    columns = 3
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(10.5, 2.9 * rows))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    places = range(len(at))
    for axes, (title, candidate, before) in zip(grid, curves, strict=False):
        for values, colour, width in ((before, OTHERS, 1.0), (candidate, OURS, 1.6)):
            axes.plot(places, [math.nan if value is None else value for value in values], color=colour, linewidth=width)
        for place, value in enumerate(candidate):
            if value is not None:
                axes.plot(place, value, "o", color=OURS, markersize=6, markerfacecolor=OURS if approved[place] else "white")
        axes.set_title(title, fontsize=10)
        axes.set_xticks(places, at, fontsize=7)
        _plain(axes)
        axes.tick_params(axis="x", labelsize=7)
    for axes in grid[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("labels so far, and who gave them; a filled mark: approved", fontsize=9)
    figure.tight_layout()
    return _svg(figure)
