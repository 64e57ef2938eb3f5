"""Distilling a privileged driver to sensors: the divergence, who drives, which comment belongs to which decision, what is learned."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import make_proba_distribution

from drive_fusion.checkpoint import CheckpointError
from drive_fusion.distilling import dagger
from drive_fusion.distilling.config import DistillConfig
from drive_fusion.distilling.dagger import School, distill
from drive_fusion.distilling.teacher import RULE, SCRIPTED_SPREAD, PrivilegedTeacher, ScriptedTeacher, divergence, drawn, teacher_of
from drive_fusion.heads import labels_of
from drive_fusion.policy_driver import driver_of
from drive_fusion.ppo import FusedPPO, OutOfMemory
from drive_fusion.privileged import PrivilegedState
from drive_fusion.training import TrainConfig, learner, train
from envs.sb3 import make_sb3_vec
from envs.world import World
from sensors.errors import ConfigError


def taught_on(folder: Path, id: str) -> Path:
    """A privileged driver with the weights that it was made with, but with an opinion: its actor's last layer is scaled up."""
    config = TrainConfig(study=folder, id=id, rig="privileged", num_envs=4, n_steps=8, batch=16, seed=3, device="cpu", threads=1)
    model = learner(config)
    with torch.no_grad():
        model.policy.action_net.weight *= 400.0
        if hasattr(model.policy, "log_std"):
            model.policy.log_std -= 1.0
    model.save(folder / f"teacher-{id}")
    return folder / f"teacher-{id}"


@pytest.fixture(scope="module")
def teachers(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("teachers")
    return {id: taught_on(folder, id) for id in ("racetrack-v0", "intersection-v0")}


@pytest.fixture
def config(tmp_path: Path, teachers) -> DistillConfig:
    sizes = {"num_envs": 8, "n_steps": 8, "batch": 32, "steps": 1024, "remember": 512}
    return DistillConfig(teachers["racetrack-v0"], tmp_path, id="racetrack-v0", device="cpu", threads=1, seed=5, **sizes)


def test_the_divergence_of_discrete_actions_is_that_of_a_sum():
    space = spaces.Discrete(4)
    generator = torch.Generator().manual_seed(0)
    taught, own = (torch.randn(6, 4, generator=generator) for _ in range(2))
    pupil = make_proba_distribution(space).proba_distribution(own)
    found = divergence(pupil, taught.log_softmax(1))
    p, q = taught.softmax(1).tolist(), own.softmax(1).tolist()
    wanted = [sum(a * math.log(a / b) for a, b in zip(ps, qs, strict=True)) for ps, qs in zip(p, q, strict=True)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)


def test_the_divergence_of_continuous_actions_is_that_of_an_integral():
    pupil = make_proba_distribution(spaces.Box(-1.0, 1.0, (2,))).proba_distribution(torch.tensor([[0.1, -0.4]]), torch.tensor([-1.0, -0.5]))
    found = float(divergence(pupil, torch.tensor([[0.3, 0.2, 0.25, 0.6]])))
    x = np.linspace(-8.0, 8.0, 400_001)

    def density(mean: float, spread: float) -> np.ndarray:
        return np.exp(-(((x - mean) / spread) ** 2) / 2.0) / (spread * math.sqrt(2.0 * math.pi))

    wanted = 0.0
    for mean, spread, own_mean, own_spread in ((0.3, 0.25, 0.1, math.exp(-1.0)), (0.2, 0.6, -0.4, math.exp(-0.5))):
        log_ratio = math.log(own_spread / spread) + ((x - own_mean) / own_spread) ** 2 / 2.0 - ((x - mean) / spread) ** 2 / 2.0
        wanted += float((density(mean, spread) * log_ratio).sum() * (x[1] - x[0]))
    assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("id", ["racetrack-v0", "intersection-v0"])
def test_a_teacher_comments_as_it_would_drive(teachers, id):
    teacher, world = PrivilegedTeacher(teachers[id]), World(id, 6)
    scene = world.reset(torch.arange(6))
    opinion = teacher.comment(scene)
    chosen, _ = teacher.model.predict(PrivilegedState()(scene).numpy(), deterministic=True)
    values = teacher.model.policy.predict_values(PrivilegedState()(scene)).flatten()
    torch.testing.assert_close(opinion.values, values.detach())
    if id == "racetrack-v0":
        np.testing.assert_allclose(opinion.parameters[:, :1].numpy(), chosen, atol=1e-6)
    else:
        assert opinion.parameters.argmax(1).tolist() == chosen.tolist()
        torch.testing.assert_close(opinion.parameters.exp().sum(1), torch.ones(6))
    assert drawn(teacher.space, opinion).shape == (6, *teacher.space.shape)


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_a_decision_is_learned_from_the_comment_on_its_own_scene(config, temporal):
    school = School(
        learner(replace(config, temporal=temporal).pupil), PrivilegedTeacher(config.teacher), replace(config, temporal=temporal)
    )
    told, commented = [], school.teacher.comment

    def comment(scene):
        told.append((scene.position_m[:, 0].clone(), commented(scene)))
        return told[-1][1]

    school.teacher.comment = comment
    lesson = school.drive(0.0)
    assert len(told) == config.n_steps
    for part in lesson.rollout.get(config.batch):
        rows = lesson.rollout.kept.rows(part.places // config.num_envs, part.places % config.num_envs)
        assert torch.equal(rows["ego"], part.stretch.observations["ego"].flatten(0, 1))
        assert torch.equal(rows["camera"], part.stretch.observations["camera"].flatten(0, 1))
        for place in part.places.tolist():
            opinion = told[place // config.num_envs][1]
            assert torch.equal(lesson.parameters[place], opinion.parameters[place % config.num_envs])
            assert lesson.values[place] == opinion.values[place % config.num_envs]


@pytest.mark.parametrize(("beta", "who"), [(1.0, "teacher"), (0.0, "pupil")])
def test_who_drives(config, beta, who, monkeypatch):
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), config)
    taught, stepped = [], []
    step = school._step

    def seen_draw(space, opinion):
        taught.append(drawn(space, opinion))
        return taught[-1]

    def seen_step(actions):
        stepped.append(actions)
        return step(actions)

    monkeypatch.setattr(dagger, "drawn", seen_draw)
    school._step = seen_step
    lesson = school.drive(beta)
    own = list(lesson.rollout.actions)
    for actions, wanted in zip(stepped, taught if who == "teacher" else own, strict=True):
        assert torch.equal(actions, wanted)


def test_a_pupil_begins_with_the_teachers_spread_and_a_critic_in_the_middle_of_its_values(config):
    teacher = PrivilegedTeacher(config.teacher)
    with torch.no_grad():
        teacher.model.policy.value_net.bias += 40.0
    school = School(learner(config.pupil), teacher, replace(config, steps=64))
    assert torch.equal(school.model.policy.log_std, teacher.model.policy.log_std)
    noted = []
    learn, school.learn = school.learn, lambda: noted.append(school.model.policy.value_net.bias.item()) or learn()
    school.teach()
    assert noted == [pytest.approx(float(school.lessons[0].values.mean()), abs=1e-4)]


@pytest.mark.parametrize(("id", "rig"), [("racetrack-v0", "privileged"), ("racetrack-v0", "micro"), ("highway-fast-v0", "privileged")])
def test_the_rules_teach_whom_there_is_no_teacher_for_yet(tmp_path, id, rig):
    config = DistillConfig(
        Path(RULE), study=tmp_path, id=id, rig=rig, num_envs=16, n_steps=8, batch=64, steps=2048, device="cpu", threads=1
    )
    model = learner(config.pupil)
    school = School(model, teacher_of(config.teacher, model.action_space), config)
    critic = {name: value.clone() for name, value in model.policy.value_net.state_dict().items()}
    school.lessons.append(school.drive(1.0))
    figures = [school.learn() for _ in range(12)]
    assert figures[-1]["kl"] < 0.5 * figures[0]["kl"] and "value_error" not in figures[-1]
    assert all(torch.equal(value, critic[name]) for name, value in model.policy.value_net.state_dict().items()), "it has no values to teach"
    if id == "racetrack-v0":
        assert float(model.policy.log_std.exp().detach()) == pytest.approx(SCRIPTED_SPREAD, rel=0.3)


def test_the_rules_say_what_they_would_do():
    for id in ("racetrack-v0", "highway-fast-v0"):
        world = World(id, 4)
        scene = world.reset(torch.arange(4))
        venv = make_sb3_vec(id, 1)
        opinion = ScriptedTeacher(venv.action_space).comment(scene)
        action, _ = driver_of("rule", world).act(scene, None, None)
        told = opinion.parameters[:, :1] if id == "racetrack-v0" else opinion.parameters.argmax(1)
        assert torch.equal(told, action) and not opinion.values.any()
    with pytest.raises(ConfigError, match=r"no scripted teacher for actions of Discrete\(3\)"):
        ScriptedTeacher(make_sb3_vec("intersection-v0", 1).action_space)


@pytest.mark.parametrize("id", ["racetrack-v0", "intersection-v0"])
def test_the_pupil_comes_to_do_what_the_teacher_does(config, teachers, id):
    config = replace(config, id=id, teacher=teachers[id], num_envs=16, steps=1536, passes=6.0)
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), config)
    figures, learn = [], school.learn

    def noted():
        figures.append(learn())
        return figures[-1]

    school.learn = noted
    school.teach()
    assert figures[-1]["kl"] < 0.5 * figures[0]["kl"]
    assert school.model.num_timesteps == 1536
    assert all(not weight.grad.isnan().any() for weight in school.model.policy.parameters() if weight.grad is not None)


def test_a_distilled_driver_is_a_checkpoint_like_any_other_and_the_same_each_time(config):
    config = replace(config, steps=256)
    first, second = distill(config), distill(replace(config, run="again"))
    left, right = (FusedPPO.load(folder / "checkpoints" / "last", device="cpu") for folder in (first, second))
    for (name, mine), theirs in zip(left.policy.state_dict().items(), right.policy.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), name
    assert json.loads((first / "config.json").read_text())["teacher"] == str(config.teacher)
    warm = replace(config.pupil, run="on", steps=64, warm_start=first / "checkpoints" / "last", critic_warmup=64)
    assert train(warm).joinpath("checkpoints", "last").is_dir()
    with pytest.raises(ConfigError, match="exists"):
        distill(config)


@pytest.mark.parametrize("id", ["racetrack-v0", "intersection-v0"])
def test_in_practice_choices_are_judged_by_what_they_earned_beside_what_the_teacher_expected(config, teachers, id):
    config = replace(config, id=id, teacher=teachers[id], practice=1.0, teacher_share=0.0, num_envs=4, n_steps=16, batch=64)
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), config)
    expected, paid, ends = [], [], []
    comment, step = school.teacher.comment, school.env.step

    def noted_comment(scene):
        opinion = comment(scene)
        expected.append(opinion.values.tolist())
        return opinion

    def noted_step(actions):
        found = step(actions)
        paid.append(found[1].tolist())
        ends.append(found[2].tolist())
        return found

    school.teacher.comment, school.env.step = noted_comment, noted_step
    lesson = school.drive(0.0)
    assert len(expected) == 17 and lesson.practised and (id == "racetrack-v0" or any(map(any, ends)))
    gamma = school.teacher.model.gamma
    for world in range(4):
        ahead = 0.0
        for decision in reversed(range(16)):
            later = 0.0 if ends[decision][world] else 1.0
            surprise = paid[decision][world] + gamma * later * expected[decision + 1][world] - expected[decision][world]
            ahead = surprise + gamma * dagger.PRACTICE_LAMBDA * later * ahead
            assert float(lesson.rollout.advantages[decision, world]) == pytest.approx(ahead, abs=1e-4)


def test_practice_makes_likelier_what_earned_more(config, teachers):
    config = replace(config, id="intersection-v0", teacher=teachers["intersection-v0"], practice=1.0, teacher_share=0.0, batch=64)
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), config)
    lesson = school.drive(0.0)
    lesson.rollout.advantages = (lesson.rollout.actions == 2).float()
    lesson.rollout.values = lesson.values.view_as(lesson.rollout.values)

    @torch.no_grad()
    def chance() -> float:
        part = next(iter(lesson.rollout.get(64)))
        latent, _ = school.model.policy.mlp_extractor(dagger.features(school.model, part))
        return float(school.model.policy._get_action_dist_from_latent(latent).distribution.probs[:, 2].mean())

    school.lessons.append(lesson)
    before = chance()
    school.learn()
    assert chance() > before + 0.1


def test_school_comes_before_practice_and_practice_forgets_what_another_pupil_earned(config):
    config = replace(config, steps=64 * 12, practice=0.5, passes=1.0)
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), config)
    noted, learn = [], school.learn

    def noted_learn():
        noted.append([lesson.practised for lesson in school.lessons])
        return learn()

    school.learn = noted_learn
    school.teach()
    assert noted[5] == [False] * 6 and noted[6] == [False] * 3 + [True]
    assert noted[9:] == [[True] * 4] * 3


def test_minutes_bound_the_time(config):
    school = School(learner(config.pupil), PrivilegedTeacher(config.teacher), replace(config, steps=10**9, minutes=0.02))
    school.teach()
    assert 64 <= school.model.num_timesteps < 10**5


def test_what_cannot_teach_is_refused(config, teachers, tmp_path):
    learner(replace(config.pupil, rig="none")).save(tmp_path / "blind")
    with pytest.raises(ConfigError, match="not trained on privileged state"):
        PrivilegedTeacher(tmp_path / "blind")
    with pytest.raises(ConfigError, match=r"the teacher's actions are Discrete\(3\)"):
        School(learner(config.pupil), PrivilegedTeacher(teachers["intersection-v0"]), config)
    with pytest.raises(ConfigError, match="expected one with sensors, or privileged"):
        replace(config, rig="none")
    with pytest.raises(ConfigError, match="practice needs a teacher who values scenes"):
        School(learner(config.pupil), teacher_of(Path(RULE), learner(config.pupil).action_space), replace(config, practice=0.2))
    with pytest.raises(ConfigError, match=r"teacher_share 0.3 and practice 0.8 come to more than 1"):
        replace(config, practice=0.8)
    with pytest.raises(ConfigError, match="remember is 10"):
        replace(config, remember=10)
    with pytest.raises(ConfigError, match="multiple of batch"):
        replace(config, batch=50)


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return FusedPPO.load(folder / "checkpoints" / "last", device="cpu").policy.state_dict()


class Killed(Exception):
    """Stands for a process that dies."""


def killed_while(monkeypatch, owner, name: str, times: int) -> None:
    """Let a process die when something is begun for the so-manieth time."""
    whole, calls = getattr(owner, name), iter(range(times))

    def dying(*arguments, **named):
        if next(calls, None) is None:
            raise Killed
        return whole(*arguments, **named)

    monkeypatch.setattr(owner, name, dying)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temporal": "gru", "chunk": 4, "burn_in": 2, "modality_dropout": 0.5, "auxiliary": 0.5},
        {"keep": "scenes", "auxiliary": 0.5, "id": "intersection-v0"},
        {"practice": 0.7, "id": "intersection-v0"},
    ],
    ids=["plain", "remembers", "scenes", "practises"],
)
def test_a_run_that_died_and_was_resumed_equals_one_that_did_not(config, teachers, monkeypatch, changes):
    config = replace(config, steps=320, save_every=64, remember=192, passes=2.0, **changes)
    config = replace(config, teacher=teachers[config.id])
    straight = distill(replace(config, run="straight"))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        killed_while(patched, School, "drive", 3)
        distill(replace(config, run="died"))
    lessons = config.study / "runs" / "died" / "lessons"
    assert sorted(path.name for path in lessons.iterdir()) == [f"lesson-{number:06d}.safetensors" for number in range(3)]
    with monkeypatch.context() as patched, pytest.raises(Killed):
        killed_while(patched, FusedPPO, "save", 1)  # a lesson more is written, and no checkpoint knows it
        distill(replace(config, run="died", resume=True))
    died = distill(replace(config, run="died", resume=True))
    assert FusedPPO.load(died / "checkpoints" / "last", device="cpu").num_timesteps == 320
    for (name, mine), theirs in zip(last_weights(straight).items(), last_weights(died).values(), strict=True):
        assert torch.equal(mine, theirs), name
    assert not lessons.exists()  # nothing is drawn from any more
    assert distill(replace(config, run="died", resume=True)) == died


def test_a_run_from_before_there_was_practice_goes_on(config, monkeypatch):
    config = replace(config, steps=192, save_every=64, passes=1.0)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        killed_while(patched, School, "drive", 2)
        distill(config)
    begun = config.pupil.folder / "config.json"
    settings = json.loads(begun.read_text())
    assert settings.pop("practice") == 0.0
    begun.write_text(json.dumps(settings))
    assert distill(replace(config, resume=True)) == config.pupil.folder


def test_what_a_run_cannot_go_on_from_is_refused(config, monkeypatch):
    config = replace(config, steps=320, save_every=64, passes=1.0)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        killed_while(patched, School, "drive", 2)
        distill(config)
    with pytest.raises(ConfigError, match=r"other settings \(steps 320 -> 640\)"):
        distill(replace(config, steps=640, resume=True))
    lesson = next((config.pupil.folder / "lessons").iterdir())
    whole = lesson.read_bytes()
    lesson.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="was changed: its SHA-256"):
        distill(replace(config, resume=True))
    lesson.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        distill(replace(config, resume=True))
    lesson.write_bytes(whole)
    train(replace(config.pupil, run="other", steps=64))
    (config.pupil.last_checkpoint).rename(config.study / "aside")
    (config.study / "runs" / "other" / "checkpoints" / "last").rename(config.pupil.last_checkpoint)
    with pytest.raises(CheckpointError, match="is none that distill wrote"):
        distill(replace(config, resume=True))


def test_ctrl_c_stops_after_the_lesson_and_loses_nothing(config, monkeypatch):
    config = replace(config, steps=192, passes=1.0)
    straight = distill(replace(config, run="straight"))
    learn = School.learn

    def interrupted(school):
        if school.model.num_timesteps == 128:
            signal.raise_signal(signal.SIGINT)
        return learn(school)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(School, "learn", interrupted)
        distill(config)
    assert FusedPPO.load(config.pupil.last_checkpoint, device="cpu").num_timesteps == 128
    for mine, theirs in zip(last_weights(straight).values(), last_weights(distill(replace(config, resume=True))).values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("temporal", ["none", "gru"])
def test_auxiliary_lessons_are_those_of_the_decisions_own_scenes_and_weigh_less_and_less(config, temporal):
    config = replace(config, temporal=temporal, auxiliary=0.8, steps=256, remember=128, passes=1.0)
    school = School(learner(config.pupil), teacher_of(config.teacher, learner(config.pupil).action_space), config)
    scenes, weights = [], []
    step, loss = school._step, school.model.tutor.loss

    def stepped(actions):
        scenes.append(school.worlds.scene.clone())
        return step(actions)

    def told(features, fused, part, kept):
        weights.append(school.model.auxiliary_weight_now)
        lesson = next(lesson for lesson in school.lessons if lesson.labels is kept)
        for place in part.places[:3].tolist():
            time, world = divmod(place, config.num_envs)
            truth = labels_of(
                scenes[lesson.number * config.n_steps + time].select([world]), school.model.tutor.rig, school.model.tutor.size
            )
            assert torch.equal(kept.wide().cell[place], truth.cell[0]) and torch.equal(kept.occupied[place], truth.occupied[0])
        return loss(features, fused, part, kept)

    school._step, school.model.tutor.loss = stepped, told
    before = [weight.clone() for weight in school.model.tutor.heads.parameters()]
    school.teach()
    assert weights == sorted(weights, reverse=True) and weights[0] == 0.8 and weights[-1] == pytest.approx(0.2)
    assert len({lesson.number for lesson in school.lessons}) == 2
    assert all(not torch.equal(mine, theirs) for mine, theirs in zip(before, school.model.tutor.heads.parameters(), strict=True))


def test_auxiliary_lessons_reach_the_eyes(config):
    plain = last_weights(distill(replace(config, steps=64, passes=1.0)))
    taught = last_weights(distill(replace(config, steps=64, passes=1.0, auxiliary=1.0, run="taught")))
    assert plain.keys() == taught.keys()
    assert not torch.equal(
        plain["features_extractor.encoders.camera.trunk.0.weight"], taught["features_extractor.encoders.camera.trunk.0.weight"]
    )
    with pytest.raises(ConfigError, match="auxiliary is -1.0, expected 0 or more"):
        replace(config, auxiliary=-1.0)


def test_no_memory_left_proposes_a_smaller_batch(config, monkeypatch):
    def greedy(school):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(School, "learn", greedy)
    with pytest.raises(OutOfMemory, match="cpu has too little memory for gradient steps on batches of 32; take --batch 16"):
        distill(config)
