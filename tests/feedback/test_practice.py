"""Practice pairs, invitations and roles, by the command and in the store."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from drive_fusion.cli import main
from feedback.accounts import Accounts
from feedback.practice import choose_practice
from feedback.store import LabelRejected, Store, StoreError
from sensors.errors import ConfigError


def film(store: Store, outcomes: dict[int, str]) -> None:
    """Give clips of those outcomes, with videos; the study's own five clips have none."""
    for number, outcome in outcomes.items():
        template = store.clips()[0]
        name = f"{number:064x}"
        store.add_clip(
            replace(
                template, id=name, seed=number, scenes_sha256=name, outcome=outcome, video_path=f"clips/{number}.mp4", video_sha256=name
            )
        )


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


OUTCOMES = {
    101: "crashed at 3.2 s",
    102: "still driving at 8.0 s",
    103: "crashed at 5.0 s",
    104: "arrived",
    105: "had crashed before",
    106: "crashed at 1.0 s",
}


def test_practice_is_chosen_of_rides_whose_answer_nobody_doubts(store: Store) -> None:
    assert choose_practice(store) == 0  # no videos
    film(store, OUTCOMES)
    assert choose_practice(store) == 2  # only two rides went well
    assert choose_practice(store) == 2  # and again nothing is added
    clips = {clip.id: clip for clip in store.clips()}
    known = store.known_answers()
    used = []
    for pair_id, first, second, reason in store.pairs():
        if reason == "practice":
            better, worse = (first, second) if known[pair_id] == "A" else (second, first)
            assert clips[worse].outcome.startswith("crashed at") and "crashed" not in clips[better].outcome
            used += [first, second]
    assert len(set(used)) == 4
    assert set(known.values()) == {"A", "B"}  # not always the same side


def test_practice_is_no_label_and_never_comes_up_as_a_question(store: Store, reviewer_id: int) -> None:
    film(store, OUTCOMES)
    choose_practice(store)
    waiting, tried = store.practice(reviewer_id, 3)
    assert (len(waiting), tried) == (2, 0)
    asked = store.progress(reviewer_id)
    first = waiting[0]
    with pytest.raises(LabelRejected, match="is for practice"):
        store.add_label(reviewer_id, first.pair_id, "A", 1.0)
    shown = store.add_practice(reviewer_id, first.pair_id, "tie")
    assert shown.answer in ("A", "B") and "crashed at" in shown.lesson
    store.add_practice(reviewer_id, first.pair_id, "A")  # a second try changes nothing
    waiting, tried = store.practice(reviewer_id, 3)
    assert (len(waiting), tried) == (1, 1)
    assert store.labels(active=False) == [] and store.progress(reviewer_id) == asked
    assert "practice" not in {pair.reason for pair in store.next_pairs(reviewer_id, 10)}
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT choice FROM practice").scalars().all() == ["tie"]


def test_gold_pairs_serve_for_practice_where_there_are_no_others_and_are_then_not_asked(store: Store, reviewer_id: int) -> None:
    first, second = (clip.id for clip in store.clips()[:2])
    gold = store.add_pair(second, first, "gold", answer="A", lesson="the first keeps its distance")
    before = store.progress(reviewer_id).remaining
    assert [shown.pair_id for shown in store.practice(reviewer_id, 3)[0]] == [gold]
    store.add_practice(reviewer_id, gold, "A")
    assert store.progress(reviewer_id).remaining == before - 1
    assert gold not in {shown.pair_id for shown in store.next_pairs(reviewer_id, 10)}
    with pytest.raises(LabelRejected, match="is for practice"):
        store.add_label(reviewer_id, gold, "A", 1.0)
    other = store.add_reviewer("heron")[0]
    store.add_label(other, gold, "A", 1.0)
    assert store.practice(other, 3) == ([], 0)  # whoever has answered it does not practise on it


def test_a_practice_pair_needs_a_known_answer(store: Store, reviewer_id: int) -> None:
    first, second = (clip.id for clip in store.clips()[:2])
    for answer in (None, "cannot", "left"):
        with pytest.raises(StoreError, match="known answer"):
            store.add_pair(second, first, "practice", answer=answer)  # type: ignore[arg-type]
    with pytest.raises(LabelRejected, match="not one of your practice pairs"):
        store.add_practice(reviewer_id, store.pairs()[0][0], "A")


def test_what_remains_is_what_is_still_asked(store: Store, reviewer_id: int) -> None:
    """The count, which is kept, against the questions themselves, one by one."""
    film(store, OUTCOMES)
    names = [f"{number:064x}" for number in OUTCOMES]
    for with_video in (False, True):
        for step in range(12):
            if step == 3:
                store.add_pair(names[0], names[1])
                store.add_pair(names[1], names[2], labels_wanted=1)
                store.add_pair(names[2], names[3], labels_wanted=2)
            if step == 5 and with_video:
                remaining = store.progress(reviewer_id, True).remaining
                wanted = store.add_pair(names[3], names[0], labels_wanted=1)
                assert store.progress(reviewer_id, True).remaining == remaining + 1
                store.add_label(store.add_reviewer("heron")[0], wanted, "A", 1.0)  # all it wants
                assert store.progress(reviewer_id, True).remaining == remaining
            asked = store.next_pairs(reviewer_id, 50, with_video)
            assert store.progress(reviewer_id, with_video).remaining == len(asked)
            if asked and step % 2:
                store.add_label(reviewer_id, asked[0].pair_id, "skip", 1.0)
        while store.undo(reviewer_id) is not None:
            pass


def test_the_command_invites_once_and_chooses_practice(store: Store, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(store, OUTCOMES)
    assert main(["review", str(study), "--invite", "Ada", "--role", "lead", "--port", "8123"]) == 0
    said = capsys.readouterr().out
    link = re.search(r"works once, within 72 h: http://127\.0\.0\.1:8123/invite/(\S{32})\n", said)
    assert link is not None and "lead here; the study has 2 practice pairs" in said
    accounts = Accounts(store)
    assert accounts.invited(link[1])
    assert main(["review", str(study), "--invite", "Ada"]) == 0  # nobody came yet: a new link, and the old one ends
    fresh = re.search(r"/invite/(\S{32})\n", capsys.readouterr().out)
    assert fresh is not None and not accounts.invited(link[1])
    opened = accounts.accept(fresh[1])
    assert opened is not None and accounts.accept(fresh[1]) is None
    session = accounts.session(opened[0])
    assert session is not None and session.reviewer.role == "reviewer"
    assert main(["review", str(study), "--invite", "Ada"]) == 2
    assert "has an account already" in capsys.readouterr().err
    again = accounts.log_in(opened[1])
    assert again is not None and accounts.session(again) is not None


def test_the_command_changes_roles(store: Store, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accounts = Accounts(store)
    accounts.add_person("Ada")
    assert main(["review", str(study), "--set-role", "Ada", "--role", "auditor"]) == 0
    assert accounts.people()[0].reviewer.role == "auditor"
    assert main(["review", str(study), "--set-role", "Bob", "--role", "auditor"]) == 2
    assert "no reviewer 'Bob'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no role 'auditr'|unknown role 'auditr'"):
        accounts.set_role("Ada", "auditr")


def test_nothing_of_an_invitation_is_stored_but_its_hash(store: Store, study: Path) -> None:
    _, secret = Accounts(store).invite("Ada")
    store.close()
    assert all(secret.encode() not in path.read_bytes() for path in study.iterdir() if path.is_file())


def test_erasing_somebody_ends_their_invitation(store: Store) -> None:
    accounts = Accounts(store)
    _, secret = accounts.invite("Ada")
    accounts.erase("Ada")
    assert not accounts.invited(secret) and accounts.accept(secret) is None
