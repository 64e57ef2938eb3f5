"""``drive-fusion train --alternate``: rollouts, questions, answers, the reward's update and PPO take turns until the rounds are done.

Every stage of a turn leaves its outcome in the run's study.json; a run that was stopped or killed goes on from its last finished stage, and
a stage that is begun again does not ask, answer or learn twice. While people answer nothing is held: PPO on a GPU runs in a process of its
own, which has ended by then.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive_fusion.loop.config import LoopConfig
from drive_fusion.study import Study
from sensors.errors import ConfigError, DriveFusionError

if TYPE_CHECKING:
    from drive_fusion.training import TrainConfig
    from envs.recording import Recording
    from feedback.reward_model import RewardModel

FIRST_DRIVERS = ("random", "idle", "slower", "faster")
"""Beside the first policy: what people are shown before anything was learned has to differ."""
NOT_SETTINGS = {"resume": False, "device": "auto", "threads": 0, "save_every": 1, "study": Path("."), "bf16": False, "compiled": False}
"""What a resumed run may have otherwise than it began with."""


class RoundFailed(DriveFusionError):
    """PPO ended in a process of its own without a checkpoint."""


@dataclass(frozen=True)
class Turn:
    """One turn of a run, as its stages see it."""

    config: TrainConfig
    number: int
    memory: Study
    """The run's folder."""

    @property
    def study(self) -> Study:
        """The study that the run belongs to."""
        return Study(self.config.study)

    @property
    def loop(self) -> LoopConfig:
        """How turns go."""
        return self.config.loop

    @property
    def seed(self) -> int:
        """Of what this turn draws."""
        return 1000 * self.config.seed + self.number

    @property
    def name(self) -> str:
        """The turn's own run: its config, checkpoints and curves."""
        return f"{self.config.run}-round{self.number}"

    @property
    def reward(self) -> Path:
        """The reward that this turn learned."""
        return self.memory.folder / "rounds" / str(self.number) / "reward"

    @property
    def candidate(self) -> Path:
        """What PPO made of the last approved policy."""
        return self.study.run(self.name) / "checkpoints" / "last"

    @property
    def approved(self) -> Path:
        """The last approved policy before this turn; the first one if none was."""
        for number in range(self.number - 1, -1, -1):
            if self.memory.outcome(f"{number} verdict")["approved"]:  # type: ignore[index]
                return replace(self, number=number).candidate
        return self.memory.folder / "checkpoints" / "start"

    def before(self) -> Turn | None:
        """The turn before this one."""
        return replace(self, number=self.number - 1) if self.number else None

    def outcome(self, stage: str) -> Any:
        """What a stage of this turn left, None if it has not ended."""
        return self.memory.outcome(f"{self.number} {stage}")

    def previous_model(self) -> RewardModel | None:
        """The reward before this turn's."""
        from feedback.reward_model import RewardModel

        turn = self.before()
        return None if turn is None else RewardModel.load(turn.reward)


def alternate(config: TrainConfig) -> Path:
    """Run what is not finished yet of all turns.

    Returns:
        The run's folder. ``checkpoints/approved`` in it is the last approved policy, if one was.

    Raises:
        ConfigError: The run exists and is not to be resumed, was begun with other settings, or has a reward named.
        KeyboardInterrupt: Ctrl-C; what is finished is kept.
    """
    _check(config)
    memory = Study(config.folder)
    if memory.settings() and not config.resume:
        raise ConfigError(f"run {config.folder} exists; go on with --resume, or choose another --run")
    memory.open(replace(config, loop=replace(config.loop, rounds=1, poll_s=1.0), **NOT_SETTINGS))  # type: ignore[arg-type]
    for number in range(config.loop.rounds):
        turn = Turn(config, number, memory)
        for stage, run in STAGES:
            if turn.outcome(stage) is None:
                memory.finish(f"{number} {stage}", run(turn))
        print(_line(turn), flush=True)
        if turn.outcome("verdict")["stop"]:
            break
    return config.folder


def _check(config: TrainConfig) -> None:
    from feedback.scripted import teacher_named

    given = [name for name in ("reward", "scripted_reward", "crash_penalty", "anchor") if getattr(config, name)]
    if given:
        raise ConfigError(f"train: --alternate learns the reward and anchors PPO by itself; leave {', '.join(given)} out")
    for teacher in config.loop.scripts:
        teacher_named(teacher)


def _line(turn: Turn) -> str:
    scores, verdict = turn.outcome("scores")["candidate"], turn.outcome("verdict")
    figures = ", ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in scores["summary"].items())
    ended = "stopped" if verdict["stop"] else "approved" if verdict["approved"] else "not approved"
    return f"round {turn.number}: {figures}; {ended}: {verdict['why']}"


def record_rides(turn: Turn) -> dict[str, Any]:
    """Drive the present policy, and in the first turn scripted drivers too; cut clips and put pairs of them into the study."""
    from drive_fusion.loop.asking import choose_questions, clips_of, shelve
    from envs.seeds import seed_set
    from feedback.clips import ClipShelf
    from feedback.store import Store

    _make_start(turn)
    seeds = seed_set("train", turn.loop.episodes, seed=turn.seed + 1)
    before = turn.before()
    drivers: dict[str, Any] = {"approved": turn.approved}
    if before is None:
        drivers |= {name: name for name in _scripted(turn)}
    elif before.candidate != turn.approved:
        drivers["refused"] = before.candidate
    rides = {name: _record(turn, driver, seeds) for name, driver in drivers.items()}
    clips = clips_of({f"{turn.name} {name}": each for name, each in rides.items()}, turn.name, turn.seed)
    last = before.outcome("clips") if before is not None else {"scripts": [], "people": []}
    with Store(turn.study.database) as store:
        shelf, model, asked = ClipShelf(store), turn.previous_model(), [*last["scripts"], *last["people"]]
        pairs = choose_questions(clips, f"{turn.name} approved", turn.loop.labels, turn.seed, model, shelf, asked)
        numbers = shelve(store, shelf, pairs, turn.loop.people, turn.seed)
    return {"drivers": list(drivers), "clips": len(clips), **numbers}


def _make_start(turn: Turn) -> None:
    """Save the policy that the first turn begins with."""
    from drive_fusion.training import learner

    path = turn.memory.folder / "checkpoints" / "start"
    if not path.exists():
        learner(replace(turn.config, device="cpu", alternate=False)).save(path)


def _scripted(turn: Turn) -> tuple[str, ...]:
    from envs.world import World

    world = World(turn.config.id, 1)
    names = getattr(world, "action_names", None)
    return tuple(each for each in FIRST_DRIVERS if each == "random" or names is None or each.upper() in names)


def _record(turn: Turn, driver: Any, seeds: Any) -> list[Recording]:
    """Drive one episode a seed to the horizon, on the CPU."""
    from drive_fusion.policy_driver import driver_of
    from envs.rollout import record
    from envs.world import World

    rig = turn.config.rig if turn.config.sees else None
    world = World(turn.config.id, len(seeds))
    return record(world, driver_of(driver if driver in FIRST_DRIVERS else str(driver), world, rig), seeds)


def take_answers(turn: Turn) -> dict[str, Any]:
    """Let scripts answer their share, and wait for people's."""
    return _answers(turn, turn.outcome("clips"))


def _answers(turn: Turn, pairs: dict[str, list[int]]) -> dict[str, Any]:
    from drive_fusion.loop.asking import answers_to, counted, let_scripts_answer, wait_for_people
    from feedback.clips import ClipShelf
    from feedback.store import Store

    with Store(turn.study.database) as store:
        scripts = partial(let_scripts_answer, store, ClipShelf(store), pairs["scripts"], turn.loop.scripts, turn.config.id)
        wait_for_people(store, pairs["people"], turn.loop.poll_s, turn.config.study, scripts)
        labels = answers_to(store, (*pairs["scripts"], *pairs["people"]))
    return {"labels": len(labels), "by": counted(labels)}


def learn_reward(turn: Turn) -> dict[str, Any]:
    """Learn the reward from all that was answered so far but the panel's answers."""
    from drive_fusion.loop.asking import PANEL
    from feedback.learning import learn_from_store
    from feedback.reward_model import RewardConfig
    from feedback.store import Store

    with Store(turn.study.database) as store:
        model, report = learn_from_store(store, RewardConfig(seed=turn.config.seed), turn.previous_model(), leave_out={PANEL})
    turn.reward.parent.mkdir(parents=True, exist_ok=True)
    model.save(turn.reward)
    return {
        "labels_sha256": model.about["labels_sha256"],
        "comparisons": report.comparisons,
        "accuracy": report.accuracy,
        "nll": report.nll,
    }


def learn_to_drive(turn: Turn) -> dict[str, Any]:
    """PPO from the last approved policy and near it, paid by the learned reward alone; one that was stopped goes on."""
    from drive_fusion.training import train

    approved = turn.approved
    near = {"anchor": approved, "anchor_weight": turn.loop.kl, "anchor_annealed": False} if turn.loop.kl else {}
    plan = replace(turn.config, alternate=False, loop=LoopConfig(), run=turn.name, reward=turn.reward, warm_start=approved, **near)  # type: ignore[arg-type]
    plan = replace(plan, seed=turn.seed, resume=plan.last_checkpoint.exists())
    if _on_gpu(plan):
        _in_a_process_of_its_own(plan)
    else:
        train(plan)
    return {"steps": plan.steps, "run": turn.name}


def _on_gpu(plan: TrainConfig) -> bool:
    """Whether PPO is to hold a GPU; asked without touching one."""
    if plan.device != "auto":
        return plan.device.startswith("cuda")
    import torch

    return bool(torch.cuda.device_count())


def _in_a_process_of_its_own(plan: TrainConfig) -> None:
    """Train where the device is given back whole at the end: nothing of it is held while people answer."""
    process = multiprocessing.get_context("spawn").Process(target=_train_until_left_alone, args=(plan,))
    process.start()
    process.join()
    if process.exitcode:
        raise RoundFailed(f"PPO of run {plan.folder} ended with status {process.exitcode}; look above for why, then go on with --resume")


def _train_until_left_alone(plan: TrainConfig) -> None:
    """Train, and end at once if the run that waits for it was killed: what goes on with that run will train again from the checkpoint."""
    from drive_fusion.training import train

    waiting = multiprocessing.parent_process()

    def watch() -> None:
        if waiting is not None:
            waiting.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    train(plan)


def score(turn: Turn) -> dict[str, Any]:
    """Drive the candidate and the last approved policy on the panel's starts, and put pairs of their rides to the panel."""
    from drive_fusion.loop.asking import PANEL, shelve
    from drive_fusion.loop.driven import driven
    from envs.seeds import seed_set
    from feedback.clips import ClipShelf, cut_clips
    from feedback.pairs import PairProposal
    from feedback.reward_model import RewardModel
    from feedback.store import Store

    seeds, model = seed_set("validation", turn.loop.panel), RewardModel.load(turn.reward)
    rides = {name: _record(turn, path, seeds) for name, path in (("candidate", turn.candidate), ("approved", turn.approved))}
    figures = {name: driven(each, model) for name, each in rides.items()}
    pairs, sides, alike = [], [], 0
    for place, (new, old) in enumerate(zip(rides["candidate"], rides["approved"], strict=True)):
        one, other = (cut_clips(ride, count=1, seed=turn.seed, driver=turn.name, run=turn.name)[0] for ride in (new, old))
        if one.ride_hash == other.ride_hash or one.num_decisions != other.num_decisions:
            alike += 1
            continue
        first = place % 2 == 0
        pairs.append(PairProposal(one, other, PANEL) if first else PairProposal(other, one, PANEL))
        sides.append("A" if first else "B")
    with Store(turn.study.database) as store:
        numbers = shelve(store, ClipShelf(store), pairs, turn.loop.people, turn.seed)
        of_pair = {frozenset((one, other)): number for number, one, other, reason in store.pairs() if reason == PANEL}
    side_of = {
        of_pair[frozenset((pair.first.content_hash, pair.second.content_hash))]: side for pair, side in zip(pairs, sides, strict=True)
    }
    told = {name: {**asdict(each), "summary": each.summary()} for name, each in figures.items()}
    return {**told, **numbers, "alike": alike, "side": {str(number): side for number, side in side_of.items()}}


def ask_the_panel(turn: Turn) -> dict[str, Any]:
    """Let scripts and people compare the candidate's rides with the approved policy's."""
    from drive_fusion.loop.asking import answers_to
    from feedback.store import Store

    scores = turn.outcome("scores")
    told = _answers(turn, scores)
    with Store(turn.study.database) as store:
        labels = answers_to(store, (*scores["scripts"], *scores["people"]))
    decided = [label for label in labels if label.choice in ("A", "B", "tie")]
    preferred = [0.5 if label.choice == "tie" else float(label.choice == scores["side"][str(label.pair_id)]) for label in decided]
    return {**told, "preferred": preferred + [0.5] * scores["alike"]}


def decide(turn: Turn) -> dict[str, Any]:
    """Approve the candidate or not, or stop."""
    from drive_fusion.loop.gate import Driven, judge

    scores = turn.outcome("scores")
    names = Driven.__dataclass_fields__
    candidate, approved = (Driven(**{each: tuple(scores[who][each]) for each in names}) for who in ("candidate", "approved"))
    verdict = judge(candidate, approved, turn.outcome("panel")["preferred"] or [0.5])
    if verdict.approved:
        _keep(turn)
    return asdict(verdict)


def _keep(turn: Turn) -> None:
    """Copy the approved policy to where others look for it."""
    place = turn.memory.folder / "checkpoints" / "approved"
    fresh = place.with_name("approved.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(turn.candidate, fresh)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


STAGES: tuple[tuple[str, Callable[[Turn], Any]], ...] = (
    ("clips", record_rides),
    ("labels", take_answers),
    ("reward", learn_reward),
    ("driver", learn_to_drive),
    ("scores", score),
    ("panel", ask_the_panel),
    ("verdict", decide),
)
