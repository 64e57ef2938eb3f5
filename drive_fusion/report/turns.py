"""What the report says of a run that learned in turns: every round beside the labels it had learned from and who gave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drive_fusion.study import Study

HEADINGS = (
    "round",
    "labels so far",
    "of people",
    "of scripts",
    "learned reward",
    "panel prefers it, %",
    "takeovers / 100 km",
    "collisions / 100 km",
    "progress, m",
    "crashed, %",
    "verdict",
)


@dataclass(frozen=True)
class RunInTurns:
    """One run's finished rounds."""

    name: str
    settings: dict[str, Any]
    rounds: tuple[dict[str, Any], ...]
    """Outcomes of each finished round, by stage."""

    def labels(self, number: int) -> dict[str, int]:
        """Answers that the reward of a round was learned from, of 'people' and 'scripts'."""
        counts = {"people": 0, "scripts": 0}
        for each in self.rounds[: number + 1]:
            for reviewer in each["labels"]["by"].values():
                counts["scripts" if reviewer["scripted"] else "people"] += reviewer["answers"]
        return counts


def runs_in_turns(study: Study) -> list[RunInTurns]:
    """Runs of a study that learned in turns and finished one, by name."""
    found = []
    for path in sorted((study.folder / "runs").glob("*/study.json")):
        memory = Study(path.parent)
        rounds: list[dict[str, Any]] = []
        while memory.outcome(f"{len(rounds)} verdict") is not None:
            rounds.append({stage: memory.outcome(f"{len(rounds)} {stage}") for stage in ("labels", "reward", "scores", "panel", "verdict")})
        if rounds:
            found.append(RunInTurns(path.parent.name, memory.settings(), tuple(rounds)))
    return found


def turn_findings(run: RunInTurns) -> list[str]:
    """What the rounds came to, in sentences."""
    last, number = run.rounds[-1], len(run.rounds) - 1
    said = run.labels(number)
    verdicts = [each["verdict"] for each in run.rounds]
    approved = [place for place, verdict in enumerate(verdicts) if verdict["approved"]]
    rounds = f"{len(run.rounds)} round{'s' * (len(run.rounds) > 1)}"
    sentences = [
        f"Run {run.name}: {rounds} on {said['people']} answers of people and {said['scripts']} of scripts; "
        + (f"approved: rounds {', '.join(map(str, approved))}." if approved else "no round was approved.")
    ]
    if last["verdict"]["stop"]:
        sentences.append(f"Run {run.name} was stopped in round {number}: {last['verdict']['why']}.")
    return sentences


def turn_section(run: RunInTurns) -> dict[str, Any]:
    """Table and curves of a run's rounds."""
    from drive_fusion.report.plots import rounds_plot

    rows = [_cells(run, number) for number in range(len(run.rounds))]
    said = [run.labels(number) for number in range(len(run.rounds))]
    at = [f"{sum(each.values())}\n{each['people']} people\n{each['scripts']} scripts" for each in said]
    curves: list[tuple[str, Sequence[float | None], Sequence[float | None]]] = []
    for title, key in (
        ("learned reward, a ride", "learned"),
        ("takeovers per 100 km", "takeovers_per_100km"),
        ("collisions per 100 km", "collisions_per_100km"),
        ("progress, m a ride", "progress_m"),
    ):
        candidate, approved = ([each["scores"][who]["summary"][key] for each in run.rounds] for who in ("candidate", "approved"))
        curves.append((title, candidate, approved))
    panel = [100 * each["verdict"]["panel"]["value"] for each in run.rounds]
    curves.insert(1, ("held-out panel prefers it, %", panel, [50.0] * len(panel)))
    text = (
        f"Each round's policy on {len(run.rounds[0]['scores']['candidate']['progress_m'])} held-out starts, beside the policy that was "
        "approved before (thin line), both by that round's reward. Takeovers are those of a scripted hand at the wheel; read them and "
        "collisions with progress: a parked car has neither. The panel's answers are not learned from."
    )
    return {
        "title": f"Learning in turns: {run.name}",
        "text": text,
        "facts": [(f"round {number}", each["verdict"]["why"]) for number, each in enumerate(run.rounds)],
        "table": {"headings": HEADINGS, "rows": rows},
        "plots": [rounds_plot(at, curves, [bool(each["verdict"]["approved"]) for each in run.rounds])],
    }


def _cells(run: RunInTurns, number: int) -> list[str]:
    each, said = run.rounds[number], run.labels(number)
    verdict, figures = each["verdict"], each["scores"]["candidate"]["summary"]
    panel = verdict["panel"]
    ended = "stopped" if verdict["stop"] else "approved" if verdict["approved"] else "not approved"
    return [
        str(number),
        str(sum(said.values())),
        str(said["people"]),
        str(said["scripts"]),
        f"{figures['learned']:.2f}",
        f"{100 * panel['value']:.0f} [{100 * panel['low']:.0f}, {100 * panel['high']:.0f}]",
        *(_or_dash(figures[key]) for key in ("takeovers_per_100km", "collisions_per_100km")),
        f"{figures['progress_m']:.0f}",
        f"{100 * figures['crashed']:.0f}",
        ended,
    ]


def _or_dash(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f}"
