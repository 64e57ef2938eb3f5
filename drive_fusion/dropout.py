"""Modality dropout: in training, whole senses fall silent for a stretch, so that the driver learns to do without.

It is the cheapest large win in robustness (Wang et al. 2024, UniBEV). What falls silent is drawn at the start of each segment and stays so
to its end; a segment ends with the episode, or after some decisions, so that a memory also learns loss and recovery on the way. A world's
draws hang on a key, from torch's generator, and on a count of its decisions, both kept in the memory's state: whoever unrolls a stretch
again from the state at its beginning, as PPO's update does, gets the same draws.
"""

from __future__ import annotations

import torch
from torch import Tensor

from envs.seeds import uniform
from sensors.errors import ConfigError

SEGMENT_DECISIONS = 20
"""How many decisions a segment lasts on average, where the episode does not end before."""
KEYS = 2**24
"""Whole numbers below this are exact in float32."""


class ModalityDropout:
    """Which of M modalities are heard."""

    def __init__(self, modalities: int, rate: float):
        """Begin.

        Args:
            modalities: M.
            rate: Chance of each to fall silent in a segment; where all would, one of them is spared.

        Raises:
            ConfigError: The rate is no chance.
        """
        if not 0.0 <= rate <= 1.0:
            raise ConfigError(f"modality_dropout is {rate}, expected 0 to 1")
        self.modalities, self.rate = modalities, rate

    @property
    def active(self) -> bool:
        """Whether anything ever falls silent."""
        return self.rate > 0.0 and self.modalities > 1

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A world's state: key, count of decisions, and which modalities are silent."""
        return {"silence": (2 + self.modalities,)} if self.active else {}

    def initial(self, worlds: int, device: torch.device, drop: bool) -> dict[str, Tensor]:
        """Draw keys; without ``drop`` they are 0, which lets everything be heard for ever."""
        if not self.active:
            return {}
        state = torch.zeros(worlds, 2 + self.modalities)
        if drop:
            state[:, 0] = torch.randint(1, KEYS, (worlds,)).float()
        return {"silence": state.to(device)}

    def unroll(self, state: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Say what is heard.

        Args:
            state: Before the first instant, (B, 2 + M).
            starts: (T, B) bool.

        Returns:
            Whether a modality is heard, bool (T, B, M), and the state after the last instant.
        """
        key, count, silent = state[:, 0].long(), state[:, 1].long(), state[:, 2:] > 0.5
        heard = []
        for start in starts:
            count = (count + 1) % KEYS
            begins = start | (uniform(key, count, 0) < 1.0 / SEGMENT_DECISIONS)
            silent = torch.where((begins & (key > 0))[:, None], self._draw(key, count), silent)
            heard.append(~silent)
        return torch.stack(heard), torch.cat((state[:, :1], count[:, None].float(), silent.float()), 1)

    def _draw(self, key: Tensor, count: Tensor) -> Tensor:
        """Which modalities a segment that begins now silences, (B, M)."""
        chance = torch.stack([uniform(key, count, 1 + number) for number in range(self.modalities)], 1)
        spared = torch.nn.functional.one_hot(chance.argmax(1), self.modalities).bool()
        return (chance < self.rate) & ~spared
