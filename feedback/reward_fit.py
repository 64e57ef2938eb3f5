"""Learning the reward from comparisons and takeovers.

Every member learns from a Bayesian bootstrap of the comparisons and stops by a fold that it never saw; ties, lapses, temperature, the
takeover weight, and each reviewer's own rationality and side bias are fitted on those unseen folds; one more fold that nobody saw serves
the report. Folds share no start state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from feedback.ensemble import one_thread
from feedback.folds import folds_of
from feedback.hazard import Hazard, HazardReport, Ride, fit_hazard
from feedback.likelihood import ANSWERS, answer_log_probs
from feedback.panel import Answers, PanelAnswers, Said
from feedback.reviewers import Judgements, PanelFit, fit_reviewers, numbered
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.windows import Windows
from sensors.errors import ConfigError

PATIENCE = 60
"""Updates without any member doing better on its unseen fold, after which learning stops."""
ANSWER_RATE = 0.02
"""Step size for the reviewers' parameters while the networks learn."""


@dataclass(frozen=True)
class RideWindows:
    """A clip as the reward model sees it."""

    seen: Windows  # D decisions
    group: str
    """Clips of one group share a start state."""


@dataclass(frozen=True)
class Comparison:
    """One answer about two rides, by their names."""

    first: str
    second: str
    answer: str
    """'A': the first is better; 'B'; 'tie'; anything else ('cannot', 'skip') says nothing and is left out."""
    reviewer: str = ""
    """Pseudonym of who answered; all who are not named count as one."""
    mirrored: bool = False
    """True: the second ride was shown on the left."""


@dataclass(frozen=True)
class FitReport:
    """What learning the reward came to; figures are of comparisons whose start states nobody learned from."""

    comparisons: int
    """Answers in the likelihood."""
    left_out: int
    """Answers like 'cannot' or 'skip'."""
    held_out: int
    """Comparisons in the report's fold."""
    accuracy: float
    """Share of held-out A and B answers that the model ranks alike."""
    nll: float
    """Mean negative log-likelihood of a held-out answer."""
    chance_nll: float
    """The same if each answer only had its frequency."""
    calibration_error: float
    """Mean distance between the told probability of A and its frequency, over bins of the decided held-out comparisons."""
    calibration: tuple[tuple[float, float, int], ...]
    """Each bin: mean told probability, frequency, count."""
    answers: Answers
    """How reviewers turn rewards into answers."""
    hazard: HazardReport | None
    """The takeover hazard, if there were takeovers."""
    unknown_reviewer_nll: float = float("nan")
    """Mean negative log-likelihood of a held-out answer if nothing were known of who gave it: a usual rationality and no side bias."""
    reviewers: PanelFit | None = None
    """What is known of each reviewer, where comparisons name them."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class _Table:
    """All rides and comparisons as tensors: M live windows of N rides, P comparisons."""

    features: Tensor  # (M, F)
    ride: Tensor  # (M,)
    ended: Tensor  # (2, N) decisions spent dead and arrived
    hazard: Tensor  # (N,) sum of H
    first: Tensor  # (P,)
    second: Tensor  # (P,)
    said: Said
    names: tuple[str, ...]  # (K,) reviewers
    fold_of_pair: Tensor  # (P, 2)

    @property
    def answer(self) -> Tensor:
        """Place of each answer in ANSWERS, (P,)."""
        return self.said.answer

    def returns(self, net: RewardNet) -> Tensor:
        """Raw reward of every ride by every member, summed over its decisions, (E, N)."""
        live = net.live(self.features)
        sums = torch.zeros((len(live), self.ended.shape[1])).index_add(1, self.ride, live)
        return sums + net.ended @ self.ended

    def advantage(self, per_ride: Tensor) -> Tensor:
        """First ride minus second, (..., N) to (..., P)."""
        return per_ride[..., self.first] - per_ride[..., self.second]


def fit_reward(
    rides: Mapping[str, RideWindows],
    comparisons: Sequence[Comparison],
    watched: Sequence[Ride] = (),
    config: RewardConfig | None = None,
    previous: RewardModel | None = None,
) -> tuple[RewardModel, FitReport]:
    """Learn a reward from comparisons, and a takeover hazard from watched rides where some were taken over.

    Args:
        rides: Clips by name.
        comparisons: Answers about them.
        watched: Rides that somebody watched with a hand at the wheel.
        config: How to learn; the defaults if none.
        previous: The model before this one: scale and zero stay anchored on its reference windows.

    Returns:
        The model, and what learning came to. The same input gives the same model, bit for bit, on one machine.

    Raises:
        ConfigError: Too few comparisons, or one names a ride that is not there.
    """
    config = config or RewardConfig()
    hazard, hazard_report = None, None
    if any(ride.onset_s is not None for ride in watched):
        hazard, hazard_report = fit_hazard(watched, config.hazard)
    table = _table(rides, comparisons, hazard, config)
    with one_thread():
        model, validate, start = _fit_members(table, config, hazard, previous)
        panel = _calibrate(model, table, validate, start, hazard is not None)
        model = replace(model, answers=panel.values())
        reviewers = _reviewers(model, table, validate) if config.reviewer_draws and table.names != ("",) else None
        report = _report(model, table, panel, len(comparisons), hazard_report, reviewers)
    return replace(model, about={"report": report.as_dict()}), report


def _fit_members(
    table: _Table, config: RewardConfig, hazard: Hazard | None, previous: RewardModel | None
) -> tuple[RewardModel, Tensor, Answers]:
    """Train the networks; gives a model without calibrated answers, what each member has not seen, and where answers stand."""
    learn, validate = _shares(table, config)
    generator = torch.Generator().manual_seed(config.seed)
    net = RewardNet(table.features.shape[1], config.hidden, config.members, generator, config.windows)
    net.ensemble.standardise_by(table.features)
    start = _learn(net, table, _bootstrap(learn, generator), validate, config, hazard is not None)
    reference = _reference(table, config, generator) if previous is None else previous.reference
    return RewardModel(config, net, reference, hazard=hazard), validate, start


def _table(rides: Mapping[str, RideWindows], comparisons: Sequence[Comparison], hazard: Hazard | None, config: RewardConfig) -> _Table:
    used = [comparison for comparison in comparisons if comparison.answer in ANSWERS]
    least = 2 * config.folds
    if len(used) < least:
        raise ConfigError(
            f"learning a reward got {len(used)} answers ({len(comparisons) - len(used)} more compare nothing), "
            f"expected at least {least}; label more pairs"
        )
    missing = {name for comparison in used for name in (comparison.first, comparison.second)} - set(rides)
    if missing:
        raise ConfigError(f"{len(missing)} compared rides are not there, among them {min(missing)!r}; give every clip that a label names")
    names = sorted(rides)
    number = {name: place for place, name in enumerate(names)}
    pairs = [(number[comparison.first], number[comparison.second]) for comparison in used]
    fold = torch.tensor(folds_of([rides[name].group for name in names], pairs, config.folds, config.seed))
    pair = torch.tensor(pairs)
    seen = [rides[name].seen for name in names]
    features = torch.cat([one.features[one.live] for one in seen])
    ride = torch.cat([torch.full((int(one.live.sum()),), place) for place, one in enumerate(seen)])
    sums = torch.zeros(len(names))
    if hazard is not None:
        with torch.no_grad():
            sums = sums.index_add(0, ride, hazard.cumulative(features, torch.ones(len(features))))
    ended = torch.stack([torch.stack((one.dead.sum(), one.arrived.sum())) for one in seen], 1).float()
    answer = torch.tensor([ANSWERS.index(comparison.answer) for comparison in used])
    people, who = numbered([comparison.reviewer for comparison in used])
    left = torch.tensor([-1.0 if comparison.mirrored else 1.0 for comparison in used])
    said = Said(answer, torch.from_numpy(who), left)
    return _Table(features, ride, ended, sums, pair[:, 0], pair[:, 1], said, people, fold[pair])


def _shares(table: _Table, config: RewardConfig) -> tuple[Tensor, Tensor]:
    """Which comparisons each member learns from and stops by, two (E, P) masks; fold 0 is nobody's."""
    reserved = (table.fold_of_pair == 0).any(1)
    there = [fold for fold in range(1, config.folds) if bool((table.fold_of_pair == fold).any())] or [1]
    wanted = [there[member % len(there)] for member in range(config.members)]  # of few start states, members share a fold
    own = torch.stack([(table.fold_of_pair == fold).any(1) for fold in wanted])
    learn, validate = ~own & ~reserved, own & ~reserved
    if not (bool(learn.any(1).all()) and bool(validate.any(1).all())):
        raise ConfigError(
            f"{len(table.answer)} answers cannot be parted into {config.folds} folds without common start states; "
            "label pairs of more start states, or set fewer folds"
        )
    return learn, validate


def _bootstrap(learn: Tensor, generator: torch.Generator) -> Tensor:
    """How much each comparison counts for each member, (E, P): exponential weights (Rubin 1981) with a mean of 1, 0 where unseen."""
    return torch.empty(learn.shape).exponential_(generator=generator) * learn


def _learn(net: RewardNet, table: _Table, weights: Tensor, validate: Tensor, config: RewardConfig, with_hazard: bool) -> Answers:
    """Train all members side by side; each keeps the weights that did best on its unseen fold. Gives the answers' parameters then."""
    answers = PanelAnswers(Answers(takeover_weight=0.1), table.said, len(table.names), with_hazard)
    answers.log_temperature.requires_grad_(False)  # the networks set their own scale
    optimiser = torch.optim.Adam(net.parameters(), config.learning_rate)
    answer_optimiser = torch.optim.Adam([each for each in answers.parameters() if each.requires_grad], ANSWER_RATE)
    hazard = table.advantage(table.hazard)
    best = torch.full((config.members,), torch.inf)
    kept = {name: value.detach().clone() for name, value in net.named_parameters()}
    last_better = 0
    for step in range(config.steps):
        advantage = table.advantage(table.returns(net))
        unseen = (answers.nll(advantage.detach(), hazard) * validate).sum(1) / validate.sum(1)
        better = unseen.detach() < best
        best = torch.where(better, unseen.detach(), best)
        last_better = step if bool(better.any()) else last_better
        if step - last_better > PATIENCE:
            break
        for name, value in net.named_parameters():
            of_member = better.repeat_interleave(len(value) // config.members).reshape(-1, *[1] * (value.ndim - 1))
            kept[name] = torch.where(of_member, value.detach(), kept[name])
        optimiser.zero_grad()
        with answers.held():
            learned = (answers.nll(advantage, hazard) * weights).sum(1)
        believed = 0.5 * net.squared_weights() / config.weight_deviation**2
        ((learned + believed) / weights.sum(1)).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        answer_optimiser.zero_grad()
        (unseen * validate.sum(1)).sum().sub(answers.log_prior()).div(validate.sum()).backward()  # type: ignore[no-untyped-call]
        answer_optimiser.step()
    net.load_state_dict(kept, strict=False)
    net.requires_grad_(False)
    return answers.values()


def _reference(table: _Table, config: RewardConfig, generator: torch.Generator) -> Tensor:
    """Choose the windows that anchor scale and zero, (R, F)."""
    order = torch.randperm(len(table.features), generator=generator)
    return table.features[order[: config.reference_windows]].clone()


def _anchored_returns(model: RewardModel, table: _Table) -> Tensor:
    """Anchored reward of every ride by every member, (E, N)."""
    with torch.no_grad():
        raw = table.returns(model.net)
        decisions = torch.bincount(table.ride, minlength=raw.shape[1]) + table.ended.sum(0)
        mean, deviation = model.anchor[..., 0]
        anchored: Tensor = (raw - mean[:, None] * decisions) / deviation[:, None]
        return anchored


def _calibrate(model: RewardModel, table: _Table, validate: Tensor, start: Answers, with_hazard: bool) -> PanelAnswers:
    """Fit the reviewers' parameters to what each member says of its unseen fold (maximum a posteriori)."""
    scale = float(model.anchor[1].mean())
    started = replace(start, temperature=1.0 / scale, takeover_weight=start.takeover_weight / scale)
    fit = PanelAnswers(started, table.said, len(table.names), with_hazard)
    advantage = table.advantage(_anchored_returns(model, table))
    hazard = table.advantage(table.hazard)
    optimiser = torch.optim.LBFGS(fit.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = ((fit.nll(advantage, hazard) * validate).sum() - fit.log_prior()) / validate.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return fit.requires_grad_(False)


def _reviewers(model: RewardModel, table: _Table, validate: Tensor) -> PanelFit:
    """Estimate each reviewer from what members say of pairs that they have not seen."""
    unseen = validate | (table.fold_of_pair == 0).any(1)
    members = table.advantage(_anchored_returns(model, table))
    used = unseen.any(0)
    advantage = (members * unseen).sum(0) / unseen.sum(0).clamp(min=1)
    ensemble = model.net.ensemble
    wide = ensemble.sees[:, :, 0].any(0)
    rows = ((table.features - ensemble.mean) / ensemble.deviation)[:, wide]
    sums = torch.zeros((table.ended.shape[1], rows.shape[1])).index_add(0, table.ride, rows)
    features = table.advantage(torch.cat((sums.T, table.ended)))
    turn = torch.where(table.first < table.second, 1.0, -1.0)  # the same two rides are one pair, whatever their order
    answer = torch.where(turn > 0, table.answer, len(ANSWERS) - 1 - table.answer)
    low, high = torch.minimum(table.first, table.second), torch.maximum(table.first, table.second)
    hazard = table.advantage(table.hazard) * turn
    judgements = Judgements(
        advantage=(advantage * turn)[used].double().numpy(),
        answer=answer[used].numpy(),
        reviewer=table.said.reviewer[used].numpy(),
        left=(table.said.left * turn)[used].double().numpy(),
        names=table.names,
        pair=(low * table.ended.shape[1] + high)[used].numpy(),
        hazard=None if model.hazard is None else hazard[used].double().numpy(),
        features=(features * turn).T[used].double().numpy(),
    )
    return fit_reviewers(judgements, model.config.seed, model.config.reviewer_draws, model.config.reviewer_draws)


def _report(
    model: RewardModel, table: _Table, panel: PanelAnswers, asked: int, hazard: HazardReport | None, reviewers: PanelFit | None
) -> FitReport:
    """Judge the model on the fold that nobody saw."""
    held_out = (table.fold_of_pair == 0).all(1)
    advantage, cost = table.advantage(_anchored_returns(model, table).mean(0)), table.advantage(table.hazard)
    log_probs = panel.log_probs(advantage, cost)
    nll, told = _nll(log_probs, table.answer), torch.sigmoid(log_probs[:, 0] - log_probs[:, 2])
    answers = model.answers
    plain = (advantage - answers.takeover_weight * cost) / answers.temperature
    usual = (torch.tensor(value) for value in (answers.tie_weight, answers.lapse, answers.careless_ties))
    unknown = _nll(answer_log_probs(plain, *usual), table.answer)
    frequency = torch.bincount(table.answer[~held_out], minlength=len(ANSWERS)) + 1.0
    chance = -(frequency / frequency.sum()).log()[table.answer]
    decided = held_out & (table.answer != ANSWERS.index("tie"))
    said_a = (table.answer == ANSWERS.index("A")).float()
    alike = ((plain > 0) == (said_a > 0)).float()
    bins = calibration_bins(told[decided], said_a[decided])
    counted = sum(count for _, _, count in bins)
    return FitReport(
        comparisons=len(table.answer),
        left_out=asked - len(table.answer),
        held_out=int(held_out.sum()),
        accuracy=float(alike[decided].mean()),
        nll=float(nll[held_out].mean()),
        chance_nll=float(chance[held_out].mean()),
        calibration_error=sum(abs(mean - share) * count for mean, share, count in bins) / max(counted, 1),
        calibration=bins,
        answers=answers,
        hazard=hazard,
        unknown_reviewer_nll=float(unknown[held_out].mean()),
        reviewers=reviewers,
    )


def _nll(log_probs: Tensor, answer: Tensor) -> Tensor:
    """Negative log-likelihood of answers (P,) under log-probabilities (P, 3)."""
    return -log_probs.gather(-1, answer[:, None])[:, 0]


def calibration_bins(told: Tensor, happened: Tensor, bins: int = 5) -> tuple[tuple[float, float, int], ...]:
    """Compare told probabilities with frequencies, in bins of equal count.

    Args:
        told: Probabilities, (P,).
        happened: 0 or 1, (P,).
        bins: At most this many; fewer where there are few.

    Returns:
        For each bin: mean told probability, frequency, count.
    """
    order = told.argsort(stable=True)
    parts = [part for part in order.chunk(bins) if len(part)] if len(told) else []
    return tuple((float(told[part].mean()), float(happened[part].mean()), len(part)) for part in parts)
