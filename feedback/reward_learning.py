"""Networks that learn a reward from comparisons: each part's straight line first, to the end, and then what no line can say."""

from __future__ import annotations

import torch
from torch import Tensor

from feedback.ensemble import descend
from feedback.panel import Answers, PanelAnswers
from feedback.reward_model import RewardConfig, RewardNet
from feedback.reward_table import Table

PATIENCE = 30
"""Updates without any member doing better on its unseen fold, after which learning stops."""
ANSWER_RATE = 0.02
"""Step size for the reviewers' parameters while the networks learn."""
ROUNDS, LINE_MOVES, ANSWER_MOVES = 4, 30, 15
"""The lines and the reviewers' parameters are learned in turns, so many times, each by so many moves of L-BFGS."""
CRASH_FREEDOM = 1.5
"""Degrees of freedom of the belief about what a crash costs, Student's t: with 1, as for other features, learners grew too timid, and with
2 some too bold."""
FACTORS = 241
"""Costs of a crash that are tried, from a tenth of the likeliest to a hundred times it."""


def learn(net: RewardNet, table: Table, weights: Tensor, validate: Tensor, config: RewardConfig, with_hazard: bool) -> Answers:
    """Train all members side by side on answers that count (E, P) each; gives the reviewers' parameters then.

    Args:
        net: The members, untrained.
        table: Rides and answers.
        weights: How much each member learns from each answer, (E, P).
        validate: What it stops by, and the reviewers' parameters are fitted on, (E, P) bool.
        config: How to learn.
        with_hazard: Whether there is a hazard to weigh.
    """
    answers = PanelAnswers(Answers(takeover_weight=0.1), table.said, len(table.names), with_hazard)
    answers.log_temperature.requires_grad_(False)  # the networks set their own scale
    _learn_lines(net, answers, table, weights, validate, config)
    _learn_bends(net, answers, table, weights, validate, config)
    net.requires_grad_(False)
    return answers.values()


def _learn_lines(net: RewardNet, answers: PanelAnswers, table: Table, weights: Tensor, validate: Tensor, config: RewardConfig) -> None:
    """Learn what is linear, to the end: a crash is rare and weighs much, and gradient steps that stop early never get there.

    Lines need nothing but rides' sums, so that this takes less time than a few steps of the networks.
    """
    with torch.no_grad():
        rest = table.advantage(table.returns(net))  # (E, P) of untrained networks
        rows = (table.features - net.ensemble.mean) / net.ensemble.deviation
        rides = table.ended.shape[1]
        sums = torch.zeros((rides, rows.shape[1])).index_add(0, table.ride, rows)
        counts = torch.bincount(table.ride, minlength=rides)[None]
        told = table.advantage(torch.cat((sums.T, counts))).T  # (P, F + 1)
        ended, hazard = table.advantage(table.ended), table.advantage(table.hazard)
    linear = [net.ensemble.line, net.ensemble.last_bias, net.ended]

    def advantage() -> Tensor:
        line = (net.ensemble.line * net.ensemble.sees)[..., 0].reshape(net.members, -1, rows.shape[1]).sum(1)  # (E, F)
        bias = net.ensemble.last_bias.reshape(net.members, -1).sum(1, keepdim=True)
        return rest + torch.cat((line, bias), 1) @ told.T + net.ended @ ended

    def learned() -> Tensor:
        with answers.held():
            nll = (answers.nll(advantage(), hazard) * weights).sum(1)
        return ((nll + net.unlikely(config.weight_deviation, config.line_scale)) / weights.sum(1)).sum()

    def unseen() -> Tensor:
        nll = (answers.nll(advantage().detach(), hazard) * validate).sum()
        return (nll - answers.log_prior()) / validate.sum()

    for _ in range(ROUNDS):
        descend(linear, learned, LINE_MOVES)
        descend([each for each in answers.parameters() if each.requires_grad], unseen, ANSWER_MOVES)
    with torch.no_grad():
        _weigh_crashes(net, answers, advantage(), told, hazard, weights, config)


def _weigh_crashes(
    net: RewardNet, answers: PanelAnswers, advantage: Tensor, told: Tensor, hazard: Tensor, weights: Tensor, config: RewardConfig
) -> None:
    """Put what a crash costs in the middle of what the answers leave open, given the rest of the lines.

    Where a crash lost whatever it was held against, answers say no more than that it costs more than a clip is worth, and the likeliest
    weight is the least that does: whoever is paid so takes risks that nobody approved. The belief has a tail (CRASH_FREEDOM) by which the
    median is 1.6 times the least where nothing else is known; where the answers tell the cost, it is the likeliest weight.

    Args:
        net: The members, their lines learned.
        answers: The reviewers' parameters.
        advantage: What members say of each answer's rides, (E, P).
        told: The rides' features and decisions, first less second, (P, F + 1).
        hazard: The same of H, (P,).
        weights: How much each member learns from each answer, (E, P).
        config: How to learn.
    """
    if net.crash is None:
        return
    head, place = net.crash
    own = net.ensemble.line.view(net.members, -1, net.ensemble.line.shape[1])[:, head, place]  # (E,)
    usual = net.ensemble.mean[place] / net.ensemble.deviation[place]
    crashes = told[:, place] + usual * told[:, -1]  # a crash alone: other decisions stay as good as they were
    weight = torch.logspace(-1.0, 2.0, FACTORS, 10.0)[:, None] * own  # (G, E)
    nll = torch.stack([(answers.nll(advantage + more[:, None] * crashes, hazard) * weights).sum(1) for more in weight - own])
    spread = (weight / config.line_scale).square() / CRASH_FREEDOM
    belief = weight.abs().log() - 0.5 * (CRASH_FREEDOM + 1.0) * spread.log1p()  # over the weight's logarithm
    below = torch.softmax(belief - nll, 0).cumsum(0) < 0.5
    middle = weight.gather(0, below.sum(0, keepdim=True).clamp(max=FACTORS - 1))[0]
    more = torch.where(own < 0.0, middle - own, torch.zeros_like(own))
    own += more
    net.ensemble.last_bias.view(net.members, -1)[:, head] += more * usual


def _learn_bends(net: RewardNet, answers: PanelAnswers, table: Table, weights: Tensor, validate: Tensor, config: RewardConfig) -> None:
    """Learn what no line can say; each member keeps the weights that did best on its unseen fold, be it those without any bend."""
    net.ensemble.line.requires_grad_(False)
    optimiser = torch.optim.Adam([each for each in net.parameters() if each.requires_grad], config.learning_rate)
    answer_optimiser = torch.optim.Adam([each for each in answers.parameters() if each.requires_grad], ANSWER_RATE)
    hazard = table.advantage(table.hazard)
    best = torch.full((config.members,), torch.inf)
    kept = {name: value.detach().clone() for name, value in net.named_parameters()}
    last_better = 0
    for step in range(config.steps + 1):
        advantage = table.advantage(table.returns(net))
        unseen = (answers.nll(advantage.detach(), hazard) * validate).sum(1) / validate.sum(1)
        better = unseen.detach() < best
        best = torch.where(better, unseen.detach(), best)
        last_better = step if bool(better.any()) else last_better
        for name, value in net.named_parameters():
            of_member = better.repeat_interleave(len(value) // config.members).reshape(-1, *[1] * (value.ndim - 1))
            kept[name] = torch.where(of_member, value.detach(), kept[name])
        if step - last_better > PATIENCE or step == config.steps:
            break
        optimiser.zero_grad()
        with answers.held():
            learned = (answers.nll(advantage, hazard) * weights).sum(1)
        unlikely = net.unlikely(config.weight_deviation, config.line_scale)
        ((learned + unlikely) / weights.sum(1)).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        answer_optimiser.zero_grad()
        (unseen * validate.sum(1)).sum().sub(answers.log_prior()).div(validate.sum()).backward()  # type: ignore[no-untyped-call]
        answer_optimiser.step()
    net.load_state_dict(kept, strict=False)
