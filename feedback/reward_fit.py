"""Learning the reward from comparisons and takeovers.

Every member learns from a Bayesian bootstrap of the comparisons and stops by a fold that it never saw; ties, lapses, temperature and the
takeover weight are fitted on those unseen folds; one more fold that nobody saw serves the report. Folds share no start state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from feedback.ensemble import one_thread
from feedback.folds import folds_of
from feedback.hazard import Hazard, HazardReport, Ride, fit_hazard
from feedback.likelihood import ANSWERS, answer_log_probs, decided_probability, log_prior
from feedback.reward_model import Answers, RewardConfig, RewardModel, RewardNet
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
    answer: Tensor  # (P,) place in ANSWERS
    fold_of_pair: Tensor  # (P, 2)

    def returns(self, net: RewardNet) -> Tensor:
        """Raw reward of every ride by every member, summed over its decisions, (E, N)."""
        live: Tensor = net.ensemble(self.features)
        sums = torch.zeros((len(live), self.ended.shape[1])).index_add(1, self.ride, live)
        return sums + net.ended @ self.ended

    def advantage(self, per_ride: Tensor) -> Tensor:
        """First ride minus second, (..., N) to (..., P)."""
        return per_ride[..., self.first] - per_ride[..., self.second]


class _AnswerFit(nn.Module):
    """The reviewers' parameters, as numbers without bounds."""

    def __init__(self, start: Answers, with_hazard: bool) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(start.temperature).log())
        self.log_tie = nn.Parameter(torch.tensor(start.tie_weight).log())
        self.lapse_logit = nn.Parameter(torch.logit(torch.tensor(start.lapse)))
        self.log_takeover = nn.Parameter(torch.tensor(start.takeover_weight).log())
        self.with_hazard = with_hazard

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Temperature, tie weight, lapse and takeover weight."""
        takeover = self.log_takeover.exp() if self.with_hazard else torch.zeros(())
        return self.log_temperature.exp(), self.log_tie.exp(), self.lapse_logit.sigmoid(), takeover

    def nll(self, advantage: Tensor, hazard: Tensor, answer: Tensor) -> Tensor:
        """Negative log-likelihood of answers (P,), given summed rewards' difference (..., P) and that of H (P,)."""
        temperature, tie, lapse, takeover = self.tensors()
        return _nll((advantage - takeover * hazard) / temperature, tie, lapse, answer)

    def log_prior(self) -> Tensor:
        """What was believed before."""
        _, tie, lapse, takeover = self.tensors()
        return log_prior(tie, lapse, takeover)

    def values(self) -> Answers:
        """As plain numbers."""
        return Answers(*(float(value.detach()) for value in self.tensors()))


def _nll(logit: Tensor, tie: Tensor, lapse: Tensor, answer: Tensor) -> Tensor:
    """Negative log-likelihood of answers (P,) under logits (..., P)."""
    log_probs = answer_log_probs(logit, tie, lapse)
    return -log_probs.gather(-1, answer.expand(logit.shape)[..., None])[..., 0]


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
        model = replace(model, answers=_calibrate(model, table, validate, start, hazard is not None))
        report = _report(model, table, len(comparisons), hazard_report)
    return replace(model, about={"report": report.as_dict()}), report


def _fit_members(
    table: _Table, config: RewardConfig, hazard: Hazard | None, previous: RewardModel | None
) -> tuple[RewardModel, Tensor, Answers]:
    """Train the networks; gives a model without calibrated answers, what each member has not seen, and where answers stand."""
    learn, validate = _shares(table, config)
    generator = torch.Generator().manual_seed(config.seed)
    net = RewardNet(table.features.shape[1], config.hidden, config.members, generator)
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
    return _Table(features, ride, ended, sums, pair[:, 0], pair[:, 1], answer, fold[pair])


def _shares(table: _Table, config: RewardConfig) -> tuple[Tensor, Tensor]:
    """Which comparisons each member learns from and stops by, two (E, P) masks; fold 0 is nobody's."""
    reserved = (table.fold_of_pair == 0).any(1)
    own = torch.stack([(table.fold_of_pair == 1 + member).any(1) for member in range(config.members)])
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
    answers = _AnswerFit(Answers(takeover_weight=0.1), with_hazard)
    answers.log_temperature.requires_grad_(False)  # the networks set their own scale
    optimiser = torch.optim.Adam(net.parameters(), config.learning_rate)
    answer_optimiser = torch.optim.Adam([each for each in answers.parameters() if each.requires_grad], ANSWER_RATE)
    hazard = table.advantage(table.hazard)
    best = torch.full((config.members,), torch.inf)
    kept = {name: value.detach().clone() for name, value in net.named_parameters()}
    last_better = 0
    for step in range(config.steps):
        advantage = table.advantage(table.returns(net))
        unseen = (answers.nll(advantage.detach(), hazard, table.answer) * validate).sum(1) / validate.sum(1)
        better = unseen.detach() < best
        best = torch.where(better, unseen.detach(), best)
        last_better = step if bool(better.any()) else last_better
        if step - last_better > PATIENCE:
            break
        for name, value in net.named_parameters():
            kept[name] = torch.where(better.reshape(-1, *[1] * (value.ndim - 1)), value.detach(), kept[name])
        optimiser.zero_grad()
        answers.requires_grad_(False)
        learned = (answers.nll(advantage, hazard, table.answer) * weights).sum(1)
        believed = 0.5 * net.ensemble.squared_weights() / config.weight_deviation**2
        ((learned + believed) / weights.sum(1)).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        answers.requires_grad_(True)
        answers.log_temperature.requires_grad_(False)
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


def _calibrate(model: RewardModel, table: _Table, validate: Tensor, start: Answers, with_hazard: bool) -> Answers:
    """Fit the reviewers' parameters to what each member says of its unseen fold (maximum a posteriori)."""
    scale = float(model.anchor[1].mean())
    fit = _AnswerFit(replace(start, temperature=1.0 / scale, takeover_weight=start.takeover_weight / scale), with_hazard)
    advantage = table.advantage(_anchored_returns(model, table))
    hazard = table.advantage(table.hazard)
    optimiser = torch.optim.LBFGS(fit.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = ((fit.nll(advantage, hazard, table.answer) * validate).sum() - fit.log_prior()) / validate.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return fit.values()


def _report(model: RewardModel, table: _Table, asked: int, hazard: HazardReport | None) -> FitReport:
    """Judge the model on the fold that nobody saw."""
    held_out = (table.fold_of_pair == 0).all(1)
    answers = model.answers
    advantage = table.advantage(_anchored_returns(model, table).mean(0) - answers.takeover_weight * table.hazard)
    logit, tie, lapse = advantage / answers.temperature, torch.tensor(answers.tie_weight), torch.tensor(answers.lapse)
    nll, told = _nll(logit, tie, lapse, table.answer), decided_probability(logit, tie, lapse)
    frequency = torch.bincount(table.answer[~held_out], minlength=len(ANSWERS)) + 1.0
    chance = -(frequency / frequency.sum()).log()[table.answer]
    decided = held_out & (table.answer != ANSWERS.index("tie"))
    said_a = (table.answer == ANSWERS.index("A")).float()
    alike = ((logit > 0) == (said_a > 0)).float()
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
    )


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
