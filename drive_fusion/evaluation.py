"""Scoring drivers on seeds: what each episode returned, whether it crashed, how far and how well it was driven."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drive_fusion.intervals import Estimate, mean, paired_difference, wilson
from drive_fusion.policy_driver import driver_of
from drive_fusion.study import read_json, write_json
from envs.conditions import draw_conditions, set_conditions
from envs.drivers import META_ACTIONS, SPEED_ACTIONS, Driver
from envs.history import History
from envs.scores import AgentsScores, EpisodeScores, ScoreConstants, has_autopilot, idm_progress
from envs.world import World
from sensors.errors import ConfigError
from sensors.presets import rig_named
from sensors.rig import Rig
from sensors.scene import Scene

Floats = NDArray[np.float64]
SCORE_VERSION = f"{ScoreConstants().pdm.version}, {ScoreConstants().limits.version}"
"""Of the figure called ``score`` and its parts."""
PARTS = ("no_collision", "on_road", "time_to_collision", "progress_share", "comfort")
OTHER_SCORES = ("epdms", "nuplan", "carla", "route_completion", "success", "cost", "progress_vs_idm")
OTHER_TERMS = ("direction", "lane_keeping", "extended_comfort", "never_close", "always_comfortable", "speed")


@dataclass(frozen=True)
class Evaluation:
    """One driver on N seeds of one id."""

    driver: str
    id: str
    seeds: tuple[int, ...]
    rig: str | None
    """Through which rig it saw, if through any."""
    per_seed: dict[str, tuple[float, ...]]
    """return, crashed (0 or 1), progress_m, speed_mps, time_s, score and its parts, and the other scores where they were asked for."""
    score_version: str = SCORE_VERSION
    versions: dict[str, str] = field(default_factory=dict)
    """Of the other scores, by name."""
    weather: str | None = None
    faults: tuple[str, ...] = ()
    """What its sensors met, by name."""
    conditions: str | None = None
    """The suite that each episode's weather and faults were drawn from."""

    def __getitem__(self, metric: str) -> Floats:
        """One metric of every seed, (N,)."""
        return np.asarray(self.per_seed[metric], dtype=np.float64)

    @property
    def crash_rate(self) -> Estimate:
        """Share of episodes in which the ego crashed, with Wilson's interval."""
        crashed = self["crashed"]
        return wilson(int(crashed.sum()), len(crashed))

    def mean(self, metric: str) -> Estimate:
        """Mean of a metric over the seeds, with its bootstrap interval."""
        return mean(self[metric])

    def ahead_of(self, other: Evaluation, metric: str) -> Estimate:
        """Paired difference to another driver on the same seeds.

        Raises:
            ConfigError: The seeds or the id differ.
        """
        if (self.id, self.seeds) != (other.id, other.seeds):
            raise ConfigError(f"{self.driver} and {other.driver} drove other ids or seeds; a paired difference needs the same")
        return paired_difference(self[metric], other[metric])

    def summary(self) -> dict[str, dict[str, float]]:
        """Every figure with its interval, as plain data."""
        figures = {metric: self.mean(metric) for metric in self.per_seed if metric != "crashed"} | {"crash_rate": self.crash_rate}
        return {name: asdict(figure) for name, figure in figures.items()}

    def save(self, path: str | Path) -> None:
        """Write JSON, at once or not at all."""
        write_json(Path(path), {**asdict(self), "summary": self.summary()})

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what `save` wrote.

        Raises:
            ConfigError: It is not readable.
        """
        data: Mapping[str, Any] = read_json(Path(path), "a saved evaluation", "evaluate again")
        try:
            seeds = tuple(int(seed) for seed in data["seeds"])
            per_seed = {name: tuple(float(value) for value in values) for name, values in data["per_seed"].items()}
            if not seeds or "crashed" not in per_seed or any(len(values) != len(seeds) for values in per_seed.values()):
                raise ValueError(f"{len(seeds)} seeds, and not as many figures of each kind")
            if not all(0.0 <= crashed <= 1.0 for crashed in per_seed["crashed"]):
                raise ValueError("crashed is no share")
            versions = dict(data.get("versions", {}))
            met = data.get("weather"), tuple(data.get("faults", ())), data.get("conditions")
            return cls(str(data["driver"]), str(data["id"]), seeds, data["rig"], per_seed, str(data["score_version"]), versions, *met)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ConfigError(f"{path} is not a saved evaluation ({error}); evaluate again") from error


def evaluate(
    driver: Any,
    id: str,
    seeds: Tensor | Sequence[int],
    rig: str | Rig | None = None,
    device: str | torch.device = "cpu",
    num_worlds: int = 64,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
    scores: bool = False,
    weather: str | None = None,
    faults: Sequence[str] = (),
    conditions: str | None = None,
) -> Evaluation:
    """Drive one episode a seed, and score it.

    In a world of several agents a name or a model drives each of them, and each is scored as if it were the ego: a figure is then the mean
    of theirs, ``return`` that of highway-env's own mean reward, and ``crashed`` says whether any of them did.

    Args:
        driver: A name (random, idle, slower, faster, idm, rule, …), a checkpoint folder, an SB3 model, a `Driver`, or a function of
            scene and frames to actions.
        id: The environment's id.
        seeds: One an episode; `envs.seeds.seed_set("test", n)` are those that nothing trains on.
        rig: The rig of a model or function, if it does not say so itself.
        device: Where worlds, sensors and networks run.
        num_worlds: How many episodes run side by side; the figures do not depend on it.
        config: Changes to highway-env's configuration.
        name: What to call the driver in tables.
        scores: Tell EPDMS, nuPlan's, CARLA's and MetaDrive's figures too, their routes as long as IDM's progress on the same seeds
            where IDM can drive the id.
        weather: What the sensors look through, a name of ``sensors.weather.PRESETS``; a clear noon unless given.
        faults: Of the driver's sensors, each ``KIND[:MODALITY[:SEVERITY[:START[:END]]]]``.
        conditions: A suite of ``envs.conditions.SUITES`` instead: each episode's own weather and faults, the same for every driver.

    Raises:
        ConfigError: No seeds, an unknown id, driver, rig, weather, fault or suite, or a suite beside weather or faults.
    """
    numbers = torch.as_tensor(seeds, dtype=torch.int64).flatten()
    if not len(numbers):
        raise ConfigError("evaluate got no seeds, expected at least one")
    if conditions is not None and (weather is not None or faults):
        raise ConfigError(f"evaluate: conditions {conditions!r} draw weather and faults; leave weather and faults out")
    world = World(id, min(num_worlds, len(numbers)), device=device, config=config)
    set_conditions(world, weather, faults)
    driven = driver_of(driver, world, rig, device)
    chunks = []
    for first in range(0, len(numbers), world.num_worlds):
        chunk = numbers[first : first + world.num_worlds]
        filled = torch.cat((chunk, chunk[-1:].expand(world.num_worlds - len(chunk))))  # the last world repeats; its copies are dropped
        idm_m = idm_progress(world.id, filled, config, num_worlds) if scores and has_autopilot(world.id) else None
        draw_conditions(world, conditions, filled)
        found, versions = _drive(world, driven, filled, idm_m, scores)
        chunks.append({metric: values[: len(chunk)] for metric, values in found.items()})
    per_seed = {metric: tuple(torch.cat([chunk[metric] for chunk in chunks]).tolist()) for metric in chunks[0]}
    seen_by = driven.needs_frames.name if driven.needs_frames is not None else None
    driven_as, episodes = name or _name_of(driver), tuple(numbers.tolist())
    met: dict[str, Any] = {"weather": weather, "faults": tuple(faults), "conditions": conditions}
    return Evaluation(driven_as, world.id, episodes, seen_by, per_seed, versions=versions, **met)


def baselines(
    id: str, seeds: Tensor | Sequence[int], num_worlds: int = 64, config: Mapping[str, Any] | None = None, scores: bool = False
) -> list[Evaluation]:
    """The drivers beside which every figure stands: random, each constant action, and IDM where it can drive the id."""
    world = World(id, 1, config=config)
    names = [
        action.lower()
        for action in getattr(world, "action_names", None) or {5: META_ACTIONS, 3: SPEED_ACTIONS}.get(world.num_actions or 0, ("idle",))
    ]
    idm = ("idm",) if has_autopilot(id) else ()
    return [evaluate(name, id, seeds, num_worlds=num_worlds, config=config, scores=scores) for name in ("random", *names, *idm)]


def _drive(
    world: Any, driver: Driver, seeds: Tensor, idm_progress_m: Tensor | None, all_scores: bool
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """One episode in every world, to its end; each metric (B,) float64, and the versions of the other scores."""
    scene = world.reset(seeds)
    kind: Any = EpisodeScores if world.agents is None else AgentsScores
    scores = kind.of_world(world, scene, idm_progress_m)
    piloted = torch.full_like(scores.running, driver.autopilot)
    total = torch.zeros(world.num_worlds, dtype=torch.float64, device=scene.device)
    steps, state, history = 0, None, History(None if driver.needs_frames is None else rig_named(driver.needs_frames))
    while steps < world.horizon_steps and bool(scores.running.any()):
        running = scores.running
        actions, state = driver.act(scene, _frames(scene, driver.needs_frames, history), state)
        before = scene
        scene, outcome = world.step(actions, autopilot=piloted, substeps=True)
        history.add(before, outcome.substeps, scene)
        scores.add(scene, outcome)
        total += outcome.reward.double() * running
        steps += 1
    found = scores.result() if world.agents is None else _of_all(scores.result())
    told = {"return": total, "crashed": found["crashed"], "time_s": found["time_s"], "speed_mps": found["distance_m"] / found["time_s"]}
    if "pdms" in found:  # parking has no lanes, and so no score
        told["score"] = found["pdms"]
    names = ("progress_m", *PARTS, *(OTHER_SCORES + OTHER_TERMS if all_scores else ()))
    told |= {name: found[name] for name in names if name in found}
    versions = {name: version for name, version in scores.versions.items() if name in OTHER_SCORES}
    return {name: values.cpu() for name, values in told.items()}, versions if all_scores else {}


def _of_all(each: dict[str, Tensor]) -> dict[str, Tensor]:
    """Figures of each agent, (B, N), as one: their means, (B,), and whether any crashed."""
    return {name: values.amax(1) if name == "crashed" else values.mean(1) for name, values in each.items()}


def _frames(scene: Scene, rig: Rig | None, history: History) -> Any:
    if rig is None:
        return None
    from sensors.rendering import render

    return render(scene.to("cpu"), rig_named(rig), history.scenes)  # sensors render on the CPU


def _name_of(driver: Any) -> str:
    if isinstance(driver, (str, Path)):
        return str(driver)
    return str(getattr(driver, "__name__", type(driver).__name__))


def table(evaluations: Sequence[Evaluation]) -> str:
    """Evaluations side by side, as text: means with 95 % intervals."""
    title = "no evaluations"
    if evaluations:
        title = f"{evaluations[0].id}, {len(evaluations[0].seeds)} seeds; score is PDMS ({evaluations[0].score_version})"
    columns = {"progress m": ("progress_m", 0, 1.0), "speed m/s": ("speed_mps", 1, 1.0), "score": ("score", 3, 1.0)}
    rows = [
        [row.driver, row.mean("return").text(2), row.crash_rate.text(1, 100.0)]
        + [row.mean(name).text(digits, scale) if name in row.per_seed else "-" for name, digits, scale in columns.values()]
        for row in evaluations
    ]
    return _drawn(title, ("driver", "return", "crashed %", *columns), rows)


def scores_table(evaluations: Sequence[Evaluation]) -> str:
    """The other scores side by side: means and half their 95 % intervals, the versions below; a dash where an id lacks what one needs."""
    columns = {
        "EPDMS": ("epdms", 3, 1.0),
        "nuPlan": ("nuplan", 3, 1.0),
        "CARLA %": ("carla", 1, 1.0),
        "success %": ("success", 0, 100.0),
        "cost": ("cost", 2, 1.0),
        "route %": ("route_completion", 0, 100.0),
        "progress / IDM's": ("progress_vs_idm", 3, 1.0),
    }

    def cell(row: Evaluation, name: str, digits: int, scale: float) -> str:
        if name not in row.per_seed:
            return "-"
        figure = row.mean(name)
        return f"{scale * figure.value:.{digits}f} ± {scale * (figure.high - figure.low) / 2:.{digits}f}"

    rows = [[row.driver, *(cell(row, *column) for column in columns.values())] for row in evaluations]
    versions = evaluations[0].versions if evaluations else {}
    stated = "".join(f"{heading}: {versions[name]}\n" for heading, (name, _, _) in columns.items() if name in versions)
    return _drawn("analogues of published scores; compare within a version only", ("driver", *columns), rows) + stated


def _drawn(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=title)
    for heading in headings:
        drawn.add_column(heading, justify="left" if heading == "driver" else "right")
    for row in rows:
        drawn.add_row(*row)
    console = Console(width=140, file=io.StringIO())
    console.print(drawn)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
