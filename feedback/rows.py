"""What the store takes and gives: clips, reviewers, assignments, labels and takeovers, as plain frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Choice = Literal["A", "B", "tie", "cannot", "skip"]
Side = Literal["left", "right"]

Reason = Literal["safety", "comfort", "progress", "rules", "courtesy"]

REASONS: tuple[Reason, ...] = ("safety", "comfort", "progress", "rules", "courtesy")
"""Why a ride was preferred, where the reviewer says."""

Cause = Literal["about to crash", "too close", "too fast", "too slow", "needless lane change", "unfair to others", "just to try"]

TAKEOVER_CAUSES: tuple[Cause, ...] = (
    "about to crash",
    "too close",
    "too fast",
    "too slow",
    "needless lane change",
    "unfair to others",
    "just to try",
)
"""Why somebody took the wheel of a live ride, to choose from."""

RIDE_RATES = (1.0, 0.5, 0.25)
"""How fast a live ride can go, as a share of real time."""

CHOICES: tuple[Choice, ...] = ("A", "B", "tie", "cannot", "skip")
"""What a label can say of a pair's clips, in the pair's own order. 'cannot' (compare) and 'skip' are no ties: learning leaves them out."""


@dataclass(frozen=True)
class ClipRow:
    """A clip as the study's database knows it; its scenes, and its video if it has one, are files in the study."""

    id: str
    """Hash of the clip's content: its name everywhere."""
    env_id: str
    """highway-env id of the world that it was cut from."""
    seed: int
    """Episode seed."""
    scenes_path: str
    """Parquet file with the scenes, relative to the study."""
    scenes_sha256: str
    """SHA-256 of that file, hexadecimal."""
    duration_s: float
    """Length of the window [s]."""
    start_s: float = 0.0
    """Where the window starts in its episode [s]."""
    outcome: str = ""
    """How the ride ended, for people, e.g. 'crashed at 6.2 s'; shown after the clip, so it names no driver."""
    driver: str = ""
    """Name or hash of the driver; never shown to reviewers."""
    run: str = ""
    """Name of the run that recorded it."""
    video_path: str | None = None
    """MP4 that reviewers watch, relative to the study."""
    video_sha256: str | None = None
    """SHA-256 of that file, hexadecimal: the evidence of what was seen."""
    video_frames_per_s: float = 15.0
    """Frame rate of the video [1/s]; what one frame step moves."""


@dataclass(frozen=True)
class Reviewer:
    """Someone, or some script, who gives opinions."""

    id: int
    """Number in this study's database."""
    pseudonym: str
    """Name in labels and exports."""
    role: str
    """What they may do: one of ``roles.ROLES``."""
    scripted: bool
    """True for a program."""


@dataclass(frozen=True)
class Assignment:
    """A pair that a reviewer is asked about, and on which side each clip is shown."""

    pair_id: int
    """The pair."""
    clip_a: ClipRow
    """First clip in the pair's own order."""
    clip_b: ClipRow
    """Second clip in the pair's own order."""
    reason: str
    """Why the pair was made: 'uniform', 'fork', 'gold', ..."""
    mirrored: bool
    """True: clip_b is shown on the left."""
    answer: str | None = None
    """What everybody should say, where it is known."""
    lesson: str = ""
    """Why, for newcomers."""

    @property
    def left(self) -> ClipRow:
        """The clip shown on the left."""
        return self.clip_b if self.mirrored else self.clip_a

    @property
    def right(self) -> ClipRow:
        """The clip shown on the right."""
        return self.clip_a if self.mirrored else self.clip_b

    def choice(self, side: Side) -> Choice:
        """Turn 'the left one' or 'the right one' into the pair's own order."""
        return choice_of(side, self.mirrored)

    def side(self, choice: str) -> str:
        """Turn a choice in the pair's own order into what was seen: 'left', 'right', or the choice itself."""
        if choice not in ("A", "B"):
            return choice
        return "left" if (choice == "A") != self.mirrored else "right"


def choice_of(said: Side | Choice, mirrored: bool) -> Choice:
    """Turn 'left' and 'right' into a pair's own order; other choices stay."""
    if said == "left" or said == "right":
        return "A" if (said == "left") != mirrored else "B"
    return said


@dataclass(frozen=True)
class LabelRow:
    """One answer, or one undo, as stored; clips and choice are in the pair's own order."""

    id: int
    """Number in this study's database, rising with time."""
    pair_id: int
    """The pair that was judged."""
    clip_a: str
    """First clip's id."""
    clip_b: str
    """Second clip's id."""
    reason: str
    """Why the pair was made."""
    reviewer_id: int
    """Who judged."""
    reviewer: str
    """Their pseudonym."""
    scripted: bool
    """True for a program's label."""
    choice: str
    """One of CHOICES, or 'undo'."""
    undoes: int | None
    """The label that an undo takes back."""
    latency_s: float
    """Time from first sight to answer [s]."""
    replays: int
    """How often the pair was watched again."""
    mirrored: bool
    """True: clip_b was shown on the left."""
    client_key: str
    """Key given by the sender: sending it again writes nothing."""
    created_unix_s: float
    """When it was stored [s since 1970]."""
    reasons: tuple[str, ...] = ()
    """Why, in words of ``REASONS``, where they said it."""
    comment: str = ""
    """Why, in their own words, where they said it."""


@dataclass(frozen=True)
class TakeoverRow:
    """One ride that somebody watched with a hand at the wheel, and whether and when they took over."""

    id: int
    """Number in this study's database."""
    reviewer_id: int
    """Who rode."""
    reviewer: str
    """Their pseudonym."""
    scripted: bool
    """True for a program."""
    clip_id: str | None
    """The clip, or None for a ride that no clip was cut from."""
    recording: str
    """The recording, relative to the study; may be empty where clip_id says enough."""
    onset_s: float | None
    """When they took over, from the ride's start [s]; None: they watched up to release_s and did not."""
    release_s: float
    """When they gave the wheel back or the ride ended [s]."""
    cause: str
    """Why, e.g. 'time to collision 1.2 s'."""
    driver_actions: tuple[float | tuple[float, ...], ...]
    """What the driver wanted at each step while they drove."""
    person_actions: tuple[float | tuple[float, ...], ...]
    """What they did at each step."""
    client_key: str
    """Key given by the sender: sending it again writes nothing."""
    created_unix_s: float
    """When it was stored [s since 1970]."""
    request_s: float | None = None
    """When they asked for the wheel, of live rides, on the clock of onset_s."""
    after_clip_id: str | None = None
    """A clip of what they did with the wheel, and of what came after."""
    ride_id: int | None = None
    """The live ride that it is a part of."""


@dataclass(frozen=True)
class Said:
    """One of a reviewer's own standing answers, as they saw the pair."""

    label_id: int
    """The answer's number."""
    shown: Assignment
    """The pair, and on which side each clip was."""
    choice: str
    """What they said, in the pair's own order."""
    created_unix_s: float
    """When [s since 1970]."""


@dataclass(frozen=True)
class RideRow:
    """One live ride."""

    id: int
    """Number in this study's database."""
    reviewer_id: int
    """Who rode."""
    reviewer: str
    """Their pseudonym."""
    env_id: str
    """The world's id."""
    seed: int
    """Episode seed."""
    driver: str
    """Who drove when they did not."""
    recording: str
    """Parquet file with the scenes, relative to the study; the controls by hand lie beside it."""
    recording_sha256: str
    """SHA-256 of that file, hexadecimal."""
    duration_s: float
    """How long it was, by the world's clock."""
    by_hand_s: float
    """How long of that the person drove."""
    distance_m: float
    """How far the ego came."""
    outcome: str
    """How it ended, e.g. 'crashed at 12.4 s'."""
    stars: int | None
    """The latest rating, 1 to 5; None: not rated."""
    created_unix_s: float
    """When it was stored [s since 1970]."""


class Progress(NamedTuple):
    """How many pairs a reviewer has answered, and how many wait."""

    done: int
    remaining: int


class Ahead(NamedTuple):
    """What comes next for a reviewer."""

    pairs: list[Assignment]
    """The open pair, then those to fetch ahead."""
    progress: Progress
    pace_s: float | None
    """How long they usually take for an answer; None as long as nobody can tell."""
