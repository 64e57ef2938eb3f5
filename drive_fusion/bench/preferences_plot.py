"""Curves of ``drive-fusion bench preferences``: share of the gap and crashes over the number of labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from drive_fusion.bench.preferences import Results

COLOURS = ("#d9480f", "#1971c2", "#2b8a3e", "#862e9c", "#5c7c9a", "#e67700")


def draw_curves(results: Results, path: Path) -> Path:
    """Draw both; gives the picture's path."""
    figure = Figure(figsize=(11.0, 4.2))
    gap, crashes = figure.subplots(1, 2)
    teachers = list(dict.fromkeys(kind for kind, _, _ in results.rows))
    for place, teacher in enumerate(teachers):
        labels = sorted(count for kind, count, offset in results.rows if kind == teacher and not offset)
        at = [count * 1.04 ** (place - (len(teachers) - 1) / 2) for count in labels]
        colour = COLOURS[place % len(COLOURS)]
        _curve(gap, at, [tuple(100 * value for value in results.share(teacher, count)) for count in labels], teacher, colour)
        for x, count in zip(at, labels, strict=True):
            gap.scatter([x] * results.seeds, [100 * each for each in results.each_share(teacher, count)], s=9, color=colour, alpha=0.35)
        _curve(crashes, at, [tuple(100 * value for value in results.more_crashes(teacher, count)) for count in labels], teacher, colour)
    true = 100 * float(results.returns("true", what="crashed").mean())
    gap.axhline(100.0, color="#1f2933", linewidth=0.8, linestyle=":")
    gap.set_ylabel("share of the gap, %")
    gap.set_title("best constant action = 0, PPO on the teacher's true reward = 100", fontsize=9)
    crashes.axhline(3.0, color="#1f2933", linewidth=0.8, linestyle=":")
    crashes.set_ylabel("more crashes, percentage points")
    crashes.set_title(f"0 = PPO on the true reward, {true:.1f} % of episodes; dotted: 3 more", fontsize=9)
    for axes in (gap, crashes):
        counts = sorted({count for _, count, _ in results.rows})
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("labels")
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    gap.legend(frameon=False, loc="lower right")
    figure.suptitle(
        f"PPO on learned reward only, {results.seeds} seeds; bars: 95 % over seeds and test episodes, dots: single seeds", fontsize=10
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _curve(axes: Axes, at: list[float], figures: list[tuple[float, ...]], name: str, colour: str) -> None:
    middle = [value for value, _, _ in figures]
    below = [value - low for value, low, _ in figures]
    above = [high - value for value, _, high in figures]
    axes.errorbar(at, middle, yerr=[below, above], marker="o", markersize=5, capsize=3, linewidth=1.5, color=colour, label=name)
