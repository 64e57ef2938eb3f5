"""What to ask next: mostly pairs that would teach the reward model something, mixed with ones that keep it and its reviewers honest.

Half are chosen by information gain, near what the policy does now. Uniform pairs keep evaluation unbiased; k-center ones cover what the
model has not seen; gold ones have a known answer; repeats, and the same with sides changed, show how sure a reviewer is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from envs.seeds import uniform
from feedback.clips import Clip
from feedback.foretelling import told_answers
from feedback.pairs import Pair, pair_name, pairs_within_blocks, shuffled
from feedback.reward_model import RewardModel
from feedback.windows import WindowConfig, Windows
from sensors.errors import ConfigError

CANDIDATES = 3000
"""Most pairs that are looked at for what they would teach."""
PAIRS_OF_CLIP = 2
"""How often one clip may be among the pairs chosen by information gain: what a batch repeats teaches nothing twice."""


@dataclass(frozen=True)
class QueryMix:
    """Shares of a batch of questions, by why they are asked."""

    information: float = 0.5
    """Pairs near the policy's data whose answer would tell most about which member is right."""
    uniform: float = 0.2
    """Any pair."""
    kcenter: float = 0.1
    """Pairs least like all that were asked."""
    gold: float = 0.1
    """Pairs whose answer is known."""
    again: float = 0.1
    """Pairs that were asked before: half of them as they were, half with their clips exchanged."""

    def __post_init__(self) -> None:
        shares = tuple(asdict(self).values())
        if min(shares) < 0 or abs(sum(shares) - 1.0) > 1e-6:
            raise ConfigError(f"{self}: shares sum to {sum(shares):.3f}, expected shares of at least 0 that sum to 1")


@dataclass(frozen=True)
class Query:
    """A question, and why it is asked."""

    first: Clip
    second: Clip
    reason: str
    """'information', 'uniform', 'kcenter', 'gold', 'repeat' or 'mirror'."""
    answer: str | None = None
    """What everybody should say, where it is known."""


def choose_queries(
    clips: Sequence[Clip],
    count: int,
    *,
    model: RewardModel | None = None,
    near: Collection[str] | None = None,
    asked: Sequence[tuple[str, str]] = (),
    gold: Mapping[tuple[str, str], str] | None = None,
    mix: QueryMix | None = None,
    seen: dict[str, Windows] | None = None,
    seed: int = 0,
) -> list[Query]:
    """Choose a batch of questions; a kind of which there are too few is made up by uniform ones.

    Args:
        clips: What there is.
        count: How many questions.
        model: The present reward model; without one nothing is chosen by information gain.
        near: Content hashes of the policy's latest clips: pairs chosen by information gain have at least one of them. None: all clips.
        asked: Pairs that were asked before, by content hashes, in their own order.
        gold: Known answers by pair; by default a ride that crashed loses against one that drives on.
        mix: Shares; feedback's usual ones if None.
        seen: Clips' feature windows by content hash, of the model's configuration; those that are missing are made and put there.
        seed: Chooses among equals.

    Returns:
        Different questions in random order: no pair twice but for repeats and mirrors, which are of ``asked``. Fewer than ``count`` where
        there are no more.
    """
    by_hash = {clip.content_hash: clip for clip in clips}
    wanted = _counts(count, mix or QueryMix())
    pool = shuffled(pairs_within_blocks(list(by_hash.values())), seed, 21)
    known = dict(gold) if gold is not None else obvious(pool)
    taken = {frozenset(pair) for pair in asked}
    chosen = _again([pair for pair in asked if set(pair) <= set(by_hash)], by_hash, wanted["again"], seed)
    for pair, answer in known.items():
        if sum(query.reason == "gold" for query in chosen) >= wanted["gold"]:
            break
        if frozenset(pair) not in taken and set(pair) <= set(by_hash):
            taken.add(frozenset(pair))
            chosen.append(Query(by_hash[pair[0]], by_hash[pair[1]], "gold", answer))
    windows_of = _Seen(model.config.windows if model else WindowConfig(), {} if seen is None else seen)
    if model is not None:
        fresh = [pair for pair in pool if pair_name(pair) not in taken and _is_near(pair, near)][:CANDIDATES]
        told = _informative(fresh, model, windows_of, wanted["information"])
        chosen += [Query(*pair, "information") for pair in told]
        taken |= {pair_name(pair) for pair in told}
    fresh = [pair for pair in pool if pair_name(pair) not in taken]
    before = [(by_hash[one], by_hash[other]) for one, other in asked if {one, other} <= set(by_hash)]
    far = _farthest(fresh[: CANDIDATES // 4], before, windows_of, wanted["kcenter"])
    chosen += [Query(*pair, "kcenter") for pair in far]
    taken |= {pair_name(pair) for pair in far}
    rest = [pair for pair in fresh if pair_name(pair) not in taken]
    chosen += [Query(*pair, "uniform") for pair in rest[: max(count - len(chosen), 0)]]
    return [chosen[place] for place in uniform(seed, 22, torch.arange(len(chosen))).argsort().tolist()]


def _counts(count: int, mix: QueryMix) -> dict[str, int]:
    """Whole numbers that are as near to the shares as can be and sum to ``count``."""
    exact = {name: share * count for name, share in asdict(mix).items()}
    whole = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda each: whole[each] - exact[each])[: count - sum(whole.values())]:
        whole[name] += 1
    return whole


def obvious(pairs: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Pairs whose answer nobody doubts, by content hashes: one crashed in it, the other drives on; both orders occur."""
    told: dict[tuple[str, str], str] = {}
    used: Counter[str] = Counter()
    for first, second in pairs:
        outcomes = (first.outcome, second.outcome)
        for good, bad, answer in ((0, 1, "A"), (1, 0, "B")):
            hashes = (first.content_hash, second.content_hash)
            clear = outcomes[good].startswith("still driving") and outcomes[bad].startswith("crashed at")
            if clear and not used[hashes[0]] and not used[hashes[1]]:
                told[hashes] = answer
                used.update(hashes)
    return told


def _again(asked: Sequence[tuple[str, str]], by_hash: Mapping[str, Clip], count: int, seed: int) -> list[Query]:
    """Questions that were asked before, every other one with its clips exchanged."""
    order = uniform(seed, 23, torch.arange(len(asked))).argsort().tolist()[:count]
    again = []
    for place, number in enumerate(order):
        first, second = (by_hash[name] for name in asked[number])
        again.append(Query(second, first, "mirror") if place % 2 else Query(first, second, "repeat"))
    return again


def _is_near(pair: Pair, near: Collection[str] | None) -> bool:
    return near is None or pair[0].content_hash in near or pair[1].content_hash in near


class _Seen:
    """Feature windows of clips, made once."""

    def __init__(self, config: WindowConfig, kept: dict[str, Windows]) -> None:
        self.config, self.kept = config, kept

    def __getitem__(self, clip: Clip) -> Windows:
        if clip.content_hash not in self.kept:
            self.kept[clip.content_hash] = clip.decisions().windows(self.config)
        return self.kept[clip.content_hash]

    def summary(self, clip: Clip) -> Tensor:
        """What a clip holds, summed over its decisions, with the counts of dead and arrived ones, (F + 2,)."""
        seen = self[clip]
        return torch.cat((seen.features.sum(0), torch.stack((seen.dead.sum(), seen.arrived.sum())).float()))


def _informative(pairs: Sequence[Pair], model: RewardModel, seen: _Seen, count: int) -> list[Pair]:
    """The pairs whose answer would tell most about which member is right, each clip a few times at most."""
    gain = information_gain(model, [(seen[first], seen[second]) for first, second in pairs]) if count else torch.zeros(0)
    used: Counter[str] = Counter()
    chosen: list[Pair] = []
    for place in gain.argsort(descending=True, stable=True).tolist():
        names = [clip.content_hash for clip in pairs[place]]
        if len(chosen) < count and all(used[name] < PAIRS_OF_CLIP for name in names):
            chosen.append(pairs[place])
            used.update(names)
    return chosen


def information_gain(model: RewardModel, pairs: Sequence[tuple[Windows, Windows]]) -> Tensor:
    """How much the answers to pairs would tell about the members: BALD (Houlsby et al. 2011), in nats.

    The entropy of the panel's mean prediction less the mean entropy of each member's: high where members are sure of different answers,
    0 where all are equally unsure.

    Args:
        model: Its members and how reviewers answer.
        pairs: The windows of both rides of each pair.

    Returns:
        (P,).
    """
    told = told_answers(model, pairs)
    return _entropy(told.mean(0)) - _entropy(told).mean(0)


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(-1)


def _farthest(pairs: Sequence[Pair], before: Sequence[Pair], seen: _Seen, count: int) -> list[Pair]:
    """Pairs that are farthest from all asked and chosen ones: greedy k-center (Gonzalez 1985), over differences of what rides hold."""
    if not count or not pairs:
        return []
    rows = torch.stack([(seen.summary(one) - seen.summary(other)).abs() for one, other in (*pairs, *before)])
    rows = rows / rows.std(0, correction=0).clamp(min=1e-3)
    there, centers = rows[: len(pairs)], rows[len(pairs) :]
    nearest = torch.cdist(there, centers).amin(1) if len(centers) else (there - there.mean(0)).norm(dim=1)
    chosen: list[Pair] = []
    for _ in range(min(count, len(pairs))):
        place = int(nearest.argmax())
        chosen.append(pairs[place])
        nearest = torch.minimum(nearest, (there - there[place]).norm(dim=1))
        nearest[place] = -1.0
    return chosen
