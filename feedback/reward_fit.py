"""Learning the reward from comparisons and takeovers.

Every member learns from a Bayesian bootstrap of the comparisons and stops by a fold that it never saw; ties, lapses, temperature, the
takeover weight, and each reviewer's own rationality and side bias are fitted on those unseen folds; one more fold that nobody saw serves
the report. Folds share no start state. Where there are as many named reviewers as members, each member also leaves out some of them, and
the temperature is that of reviewers from whom the member has learned nothing at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from feedback.ensemble import bootstrap, one_thread
from feedback.hazard import Hazard, HazardReport, Ride, fit_hazard
from feedback.likelihood import ANSWERS, answer_log_probs
from feedback.panel import Answers, PanelAnswers
from feedback.reviewers import Judgements, PanelFit, fit_reviewers
from feedback.reward_learning import learn
from feedback.reward_model import RewardConfig, RewardModel, RewardNet
from feedback.reward_table import Comparison, RideWindows, Table, shares, table_of, unheard

__all__ = ["Comparison", "FitReport", "RideWindows", "calibration_bins", "fit_reward"]

LOG_TEMPERATURE_DEVIATION = 0.5
"""How unlike the known reviewers' temperature that of unknown ones may be, as logarithms."""


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
    temperature_answers: int = 0
    """Answers that the temperature was fitted on, by reviewers whom the network that is held against them had not heard; 0: there were
    fewer named reviewers than networks, and it is that of the same reviewers on unseen start states."""
    familiar_temperature: float = float("nan")
    """The temperature for reviewers who are known: where it is far below that of the answers, tastes differ."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


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
    table = table_of(rides, comparisons, hazard, config)
    with one_thread():
        seen, validate = shares(table, config)
        left_out = unheard(table, seen)
        model, start = _fit_members(table, config, hazard, previous, seen & ~left_out, validate)
        panel = _calibrate(model, table, validate, start, hazard is not None)
        strangers = validate & left_out
        model = replace(model, answers=_for_strangers(replace(model, answers=panel.values()), table, strangers))
        reviewers = _reviewers(model, table, validate) if config.reviewer_draws and table.names != ("",) else None
        report = _report(model, table, panel, len(comparisons), hazard_report, reviewers)
    familiar = panel.values().temperature
    report = replace(report, temperature_answers=int(strangers.sum()), familiar_temperature=familiar)
    return replace(model, about={"report": report.as_dict()}), report


def _fit_members(
    table: Table, config: RewardConfig, hazard: Hazard | None, previous: RewardModel | None, seen: Tensor, validate: Tensor
) -> tuple[RewardModel, Answers]:
    """Train the networks on what each member may see, (E, P); gives a model without calibrated answers, and where answers stand."""
    generator = torch.Generator().manual_seed(config.seed)
    net = RewardNet(table.features.shape[1], config.hidden, config.members, generator, config.windows)
    net.ensemble.standardise_by(table.features)
    start = learn(net, table, bootstrap(tuple(seen.shape), generator) * seen, validate, config, hazard is not None)
    reference = _reference(table, config, generator) if previous is None else previous.reference
    return RewardModel(config, net, reference, hazard=hazard), start


def _reference(table: Table, config: RewardConfig, generator: torch.Generator) -> Tensor:
    """Choose the windows that anchor scale and zero, (R, F)."""
    order = torch.randperm(len(table.features), generator=generator)
    return table.features[order[: config.reference_windows]].clone()


def _anchored_returns(model: RewardModel, table: Table) -> Tensor:
    """Anchored reward of every ride by every member, (E, N)."""
    with torch.no_grad():
        raw = table.returns(model.net)
        decisions = torch.bincount(table.ride, minlength=raw.shape[1]) + table.ended.sum(0)
        mean, deviation = model.anchor[..., 0]
        anchored: Tensor = (raw - mean[:, None] * decisions) / deviation[:, None]
        return anchored


def _calibrate(model: RewardModel, table: Table, validate: Tensor, start: Answers, with_hazard: bool) -> PanelAnswers:
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


def _for_strangers(model: RewardModel, table: Table, strangers: Tensor) -> Answers:
    """The model's answers, with the temperature that suits reviewers of whom nothing is known: a usual rationality and no side bias.

    It is fitted on answers by reviewers whom a member has not heard about start states that it has not seen, (E, P) bool.
    """
    answers = model.answers
    if not bool(strangers.any()):
        return answers
    advantage = table.advantage(_anchored_returns(model, table)) - answers.takeover_weight * table.advantage(table.hazard)
    usual = [torch.tensor(value) for value in (answers.tie_weight, answers.lapse, answers.careless_ties)]
    change = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([change], max_iter=50, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        log_probs = answer_log_probs(advantage / (answers.temperature * change.exp()), *usual)
        nll = -log_probs.gather(-1, table.answer.expand(advantage.shape)[..., None])[..., 0]
        loss: Tensor = (nll * strangers).sum() + 0.5 * (change / LOG_TEMPERATURE_DEVIATION) ** 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return replace(answers, temperature=answers.temperature * float(change.detach().exp()))


def _reviewers(model: RewardModel, table: Table, validate: Tensor) -> PanelFit:
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
    model: RewardModel, table: Table, panel: PanelAnswers, asked: int, hazard: HazardReport | None, reviewers: PanelFit | None
) -> FitReport:
    """Judge the model on the fold that nobody saw."""
    held_out = (table.fold_of_pair == 0).all(1)
    advantage, cost = table.advantage(_anchored_returns(model, table)), table.advantage(table.hazard)
    log_probs = _together(panel.log_probs(advantage, cost))
    nll, told = _nll(log_probs, table.answer), torch.sigmoid(log_probs[:, 0] - log_probs[:, 2])
    answers = model.answers
    plain = (advantage - answers.takeover_weight * cost) / answers.temperature
    usual = (torch.tensor(value) for value in (answers.tie_weight, answers.lapse, answers.careless_ties))
    to_strangers = _together(answer_log_probs(plain, *usual))
    unknown = _nll(to_strangers, table.answer)
    frequency = torch.bincount(table.answer[~held_out], minlength=len(ANSWERS)) + 1.0
    chance = -(frequency / frequency.sum()).log()[table.answer]
    decided = held_out & (table.answer != ANSWERS.index("tie"))
    said_a = (table.answer == ANSWERS.index("A")).float()
    alike = ((to_strangers[:, 0] > to_strangers[:, 2]) == (said_a > 0)).float()
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


def _together(log_probs: Tensor) -> Tensor:
    """What the members say together: the mean of their chances, (E, P, 3) to (P, 3)."""
    return torch.logsumexp(log_probs, 0) - math.log(len(log_probs))


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
