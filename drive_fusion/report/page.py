"""A study's report.html: one file beside its videos, made of what the study's stages left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drive_fusion.evaluation import Evaluation
from drive_fusion.intervals import Estimate
from drive_fusion.report.config import ReportConfig
from drive_fusion.report.findings import driver_findings
from drive_fusion.study import Study
from sensors.errors import ConfigError

OURS = ("warm start", "after PPO")
COLUMNS = (
    ("return", "return", 2, 1.0),
    ("crash_rate", "crashed, %", 1, 100.0),
    ("progress_m", "progress, m", 0, 1.0),
    ("speed_mps", "speed, m/s", 1, 1.0),
    ("score", "score", 3, 1.0),
)


def run_report(config: ReportConfig) -> int:
    """Write the report of a study."""
    study = Study(config.study)
    print(f"wrote {write_report(study)}")
    return 0


def write_report(study: Study) -> Path:
    """Make the page from what the stages left.

    Raises:
        ConfigError: The study has no evaluation yet.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    from drive_fusion.report import plots
    from drive_fusion.report.turns import runs_in_turns, turn_findings, turn_section

    scored, runs = study.outcome("evaluation"), runs_in_turns(study)
    if scored is None and not runs:
        raise ConfigError(
            f"study {study.folder} has no evaluation yet; finish it with drive-fusion demo --study {study.folder}, "
            f"or learn in turns with drive-fusion train --alternate --study {study.folder}"
        )
    evaluations = [Evaluation.load(study.inside(path)) for path in scored["files"]] if scored is not None else []
    settings = study.settings() or runs[0].settings

    drivers = [{"name": row.driver, **{name: _triple(estimate(row, name)) for name in ("crash_rate", "progress_m")}} for row in evaluations]
    environment = Environment(loader=PackageLoader("drive_fusion.report", "."), autoescape=select_autoescape(["html"]))
    text = environment.get_template("template.html").render(
        title=f"Learning to drive on {settings['id']} from feedback",
        lead=_lead(settings, study) if scored is not None else "",
        findings=[*(findings(study, evaluations) if scored is not None else []), *(each for run in runs for each in turn_findings(run))],
        videos=study.outcome("videos") or [],
        seeds=len(evaluations[0].seeds) if evaluations else 0,
        columns=[{"label": label} for _, label, _, _ in COLUMNS],
        rows=[{"name": row.driver, "ours": row.driver in OURS, "cells": _cells(row)} for row in evaluations],
        driver_plot=plots.driver_plot(drivers, OURS) if drivers else "",
        sections=[*(turn_section(run) for run in runs), *(sections(study) if scored is not None else [])],
    )
    unfinished = study.report.with_suffix(".tmp")
    unfinished.write_text(text)
    os.replace(unfinished, study.report)
    return study.report


def estimate(row: Evaluation, metric: str) -> Estimate:
    """One figure of one driver with its interval."""
    return row.crash_rate if metric == "crash_rate" else row.mean(metric)


def _triple(figure: Estimate) -> tuple[float, float, float]:
    return figure.value, figure.low, figure.high


def _cells(row: Evaluation) -> list[dict[str, str]]:
    cells = []
    for metric, _, digits, scale in COLUMNS:
        figure = estimate(row, metric)
        mean, low, high = (f"{scale * value:.{digits}f}" for value in _triple(figure))
        cells.append({"mean": mean, "low": low, "high": high})
    return cells


def _lead(settings: dict[str, Any], study: Study) -> str:
    people = labellers(study)
    return (
        f"Traffic of highway-env, sensors of rig {settings['rig']}, a fused policy trained by PPO for {settings['steps']:,} steps "
        f"on a reward learned from {people}. One run with one seed: the intervals are over test episodes, not over training runs."
    )


def labellers(study: Study) -> str:
    """Who gave how many labels, in words."""
    said = study.outcome("labels") or {"reviewers": []}
    counts = {True: 0, False: 0}
    for reviewer in said["reviewers"]:
        counts[reviewer["scripted"]] += sum(reviewer["answers"].values())
    if not counts[False]:
        return f"{counts[True]} answers of scripts, none of people"
    return f"{counts[False]} answers of people and {counts[True]} of scripts"


def findings(study: Study, evaluations: Sequence[Evaluation]) -> list[str]:
    """The sentences at the top of the page."""
    sentences = driver_findings(evaluations, OURS[1], (OURS[0], "idm", "slower"))
    fit, ceiling = study.outcome("reward"), study.outcome("labels")
    if fit is not None and ceiling is not None:
        sentences.append(
            f"On {fit['held_out']} held-out answers the reward model ranks {100 * fit['accuracy']:.0f} % as the labels do; the labellers' "
            f"own mistakes allow {100 * ceiling['ceiling_accuracy']:.0f} %. That figure says little about driving: read the table below."
        )
    return sentences


def sections(study: Study) -> list[dict[str, Any]]:
    """What comes below the table: training, reward, people, machine."""
    from drive_fusion.report import plots

    training, reward = study.outcome("driver") or {}, study.outcome("reward") or {}
    people, clips = study.outcome("labels") or {"reviewers": []}, study.outcome("clips") or {}
    curves = [(curve["title"], curve["steps"], curve["values"]) for curve in training.get("curves", [])]
    facts = {name: value for name, value in training.items() if name != "curves"}
    found = [{"title": "PPO on the learned reward", "text": "", "facts": list(facts.items()), "plots": [plots.curve_plot(curves)]}]
    if reward:
        bins = list(zip(*reward["calibration"], strict=True)) or [(), (), ()]
        found.append(
            {
                "title": "The learned reward",
                "text": "Comparisons whose start states nobody learned from.",
                "facts": _reward_facts(reward),
                "plots": [plots.calibration_plot(*bins)],
            }
        )
    answers = [(each["name"] + (" (script)" if each["scripted"] else ""), _counted(each["answers"])) for each in people["reviewers"]]
    rides = [("rides watched with a hand at the wheel", people.get("rides watched", 0)), ("takeovers", people.get("takeovers", 0))]
    found.append({"title": "Who said what", "text": "", "facts": [*clips.items(), *answers, *rides], "plots": []})
    warm, machine = study.outcome("warm_start") or {}, study.outcome("machine") or {}
    found.append({"title": "Warm start", "text": "", "facts": list(warm.items()), "plots": []})
    found.append(
        {"title": "Machine, versions and settings", "text": "", "facts": [*machine.items(), *study.settings().items()], "plots": []}
    )
    return found


def _counted(answers: dict[str, int]) -> str:
    return ", ".join(f"{count} {choice}" for choice, count in sorted(answers.items()))


def _reward_facts(reward: dict[str, Any]) -> list[tuple[str, str]]:
    answers, hazard = reward["answers"], reward["hazard"]
    facts = [
        ("answers learned from", f"{reward['comparisons']} ({reward['left_out']} more compare nothing)"),
        ("held-out accuracy", f"{100 * reward['accuracy']:.1f} % of {reward['held_out']}"),
        (
            "held-out negative log-likelihood",
            f"{reward['nll']:.3f} (knowing only how often each answer is given: {reward['chance_nll']:.3f})",
        ),
        ("calibration error", f"{reward['calibration_error']:.3f}"),
        ("share of careless answers, fitted", f"{answers['lapse']:.3f}"),
        ("weight of the takeover hazard (kappa), fitted", f"{answers['takeover_weight']:.3f}"),
    ]
    if hazard is not None:
        facts.append(("takeover hazard, held-out", f"{hazard['validation_nll']:.3f} (constant hazard: {hazard['constant_nll']:.3f})"))
    return facts
