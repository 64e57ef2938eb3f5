"""What a study's figures support, in sentences; nothing is claimed that an interval does not exclude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive_fusion.evaluation import Evaluation
    from drive_fusion.intervals import Estimate


def compared(name: str, other: str, what: str, words: tuple[str, str], difference: Estimate, unit: str, digits: int) -> str:
    """One sentence about a paired difference.

    Args:
        name: Who is in question.
        other: Whom it is compared with.
        what: The quantity, e.g. 'progress'.
        words: How to say that there is more and that there is less of it.
        difference: Name minus other, seed by seed, with its 95 % interval.
        unit: Of the difference.
        digits: Decimals.
    """
    interval = f"{difference.value:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}] {unit}"
    if difference.low <= 0.0 <= difference.high:
        return f"No difference in {what} between “{name}” and “{other}” is shown: {interval} contains zero."
    return f"“{name}” {words[difference.value < 0]} “{other}”: {interval}."


def driver_findings(evaluations: Sequence[Evaluation], name: str, others: Sequence[str]) -> list[str]:
    """Compare a driver with others on the same seeds: crashes, then progress, for each of the others that was evaluated."""
    from drive_fusion.intervals import paired_difference

    rows = {evaluation.driver: evaluation for evaluation in evaluations}
    sentences = []
    for other in (each for each in others if each in rows):
        crashes = paired_difference(100.0 * rows[name]["crashed"], 100.0 * rows[other]["crashed"])
        progress = rows[name].ahead_of(rows[other], "progress_m")
        sentences.append(
            compared(name, other, "crashes", ("crashes more often than", "crashes less often than"), crashes, "percentage points", 1)
        )
        sentences.append(compared(name, other, "progress", ("gets further than", "gets less far than"), progress, "m an episode", 0))
    return sentences
