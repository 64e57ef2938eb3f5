"""Several small networks that look at the same rows, evaluated together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

SMALLEST_DEVIATION = 0.05
"""Features that hardly vary are not blown up; they are of order one by construction."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: these networks are too small for more, and sums come out the same on every machine size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


SMOOTHING = 4
"""Exponentials in a bootstrap weight, whose variance is one in so many: members learn from what 4 of 5 of their rows are worth."""


def bootstrap(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """How much each row counts for each member: smoothed Bayesian bootstrap (Rubin 1981), with a mean of 1.

    Weights are means of exponentials: one alone would make members as unlike as half of the rows would leave them.
    """
    return torch.empty((SMOOTHING, *shape)).exponential_(generator=generator).mean(0)


def descend(parameters: Sequence[Tensor], objective: Callable[[], Tensor], moves: int) -> None:
    """A few moves of L-BFGS; gradients of other parameters are left alone."""
    optimiser = torch.optim.LBFGS(list(parameters), max_iter=moves, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        loss = objective()
        loss.backward(inputs=list(parameters))  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]


class Ensemble(nn.Module):
    """E networks, each a straight line plus two hidden layers, on rows that are standardised alike."""

    mean: Tensor
    deviation: Tensor

    sees: Tensor

    def __init__(self, width: int, hidden: int, members: int, generator: torch.Generator | None = None, sees: Tensor | None = None) -> None:
        """Make the networks.

        Args:
            width: Numbers in a row, F.
            hidden: Units of a hidden layer.
            members: E.
            generator: Draws the first weights; torch's own if none.
            sees: Which numbers each network sees, (E, F) bool; all if none.
        """
        super().__init__()

        def weights(fan_in: int, fan_out: int, gain: float) -> nn.Parameter:
            drawn = torch.randn((members, fan_in, fan_out), generator=generator)
            return nn.Parameter(drawn * gain / math.sqrt(fan_in))

        self.line = nn.Parameter(torch.zeros(members, width, 1))
        self.first = weights(width, hidden, 1.0)
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second = weights(hidden, hidden, 1.0)
        self.second_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.last = weights(hidden, 1, 0.1)
        self.last_bias = nn.Parameter(torch.zeros(members, 1, 1))
        seen = torch.ones(members, width) if sees is None else sees.float()
        with torch.no_grad():
            self.first.mul_((width / seen.sum(1).clamp(min=1.0)).sqrt()[:, None, None])
        self.register_buffer("sees", seen[..., None], persistent=False)  # (E, F, 1)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def standardise_by(self, rows: Tensor) -> None:
        """Take mean and deviation of every feature from rows (N, F)."""
        self.mean.copy_(rows.mean(0))
        self.deviation.copy_(rows.std(0, correction=0).clamp(min=SMALLEST_DEVIATION))

    def steepness(self, scale: Tensor | float) -> Tensor:
        """How unlikely each network's line is under a Cauchy belief of this scale, or (F, 1) scales: -log p up to a constant, (E,).

        Most features mean nothing and a few mean much (a crash): a belief with heavy tails leaves those alone and draws the others to 0
        (Carvalho et al. 2010, "The horseshoe estimator"; Gelman et al. 2008 for a Cauchy belief in logistic regression).
        """
        return (self.line * self.sees / scale).square().log1p().sum((1, 2))

    def squared_weights(self) -> Tensor:
        """Sum of squared weights (line and biases apart) of each network, (E,)."""
        weights = (self.first * self.sees, self.second, self.last)
        return torch.stack([weight.square().sum((1, 2)) for weight in weights]).sum(0)

    def forward(self, rows: Tensor) -> Tensor:
        """Evaluate every network on every row: (N, F) to (E, N)."""
        seen = (rows - self.mean) / self.deviation  # (N, F)
        members, width, units = self.first.shape
        first = (self.first * self.sees).permute(1, 0, 2).reshape(width, members * units)  # one product for all: several times faster
        hidden = torch.tanh((seen @ first).reshape(-1, members, units).transpose(0, 1) + self.first_bias)
        hidden = torch.tanh(torch.baddbmm(self.second_bias, hidden, self.second))
        line = seen @ (self.line * self.sees)[..., 0].T  # (N, E)
        out: Tensor = torch.baddbmm(self.last_bias, hidden, self.last)[..., 0] + line.T
        return out


class SetEnsemble(nn.Module):
    """E networks, each of which looks at a set of actors in any order: one layer for each actor, the largest of each unit, one line.

    Zaheer et al. 2017 (Deep Sets), with a maximum as in PointNet (Qi et al. 2017).
    """

    def __init__(self, width: int, hidden: int, members: int, generator: torch.Generator | None = None) -> None:
        """Make the networks for tokens of ``width`` numbers, of which the first tells whether there is an actor."""
        super().__init__()
        self.first = nn.Parameter(torch.randn((members, width, hidden), generator=generator) / math.sqrt(width))
        self.last = nn.Parameter(torch.randn((members, hidden, 1), generator=generator) * 0.1 / math.sqrt(hidden))

    def squared_weights(self) -> Tensor:
        """Sum of squared weights of each network, (E,)."""
        return self.first.square().sum((1, 2)) + self.last.square().sum((1, 2))

    def forward(self, tokens: Tensor) -> Tensor:
        """Evaluate every network on N sets of K actors: (N, K, T) to (E, N); 0 where nobody is there."""
        count, room, width = tokens.shape
        units = self.first.shape[2]
        seen = torch.relu(tokens.reshape(count * room, width) @ self.first.permute(1, 0, 2).reshape(width, -1))  # nobody is all zeros: 0
        most = seen.reshape(count, room, -1).amax(1).reshape(count, -1, units).transpose(0, 1)  # (E, N, units)
        out: Tensor = torch.bmm(most, self.last)
        return out[..., 0]
