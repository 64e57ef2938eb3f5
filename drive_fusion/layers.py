"""Small pieces that several parts of the network share."""

from __future__ import annotations

from torch import Tensor, nn


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm: never BatchNorm, whose statistics differ between rollout and update."""
    return nn.GroupNorm(4 if channels < 64 else 8, channels)


def conv(before: int, after: int, stride: int | tuple[int, int] = 1) -> list[nn.Module]:
    """A 3 x 3 layer (with stride 4 a layer of 4 x 4 patches), a norm and a ReLU."""
    shape = {"kernel_size": 4} if stride == 4 else {"kernel_size": 3, "padding": 1}
    return [nn.Conv2d(before, after, stride=stride, bias=False, **shape), norm(after), nn.ReLU(inplace=True)]  # type: ignore[arg-type]


class Block(nn.Module):
    """Two 3 x 3 layers and a short cut (He et al. 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.Sequential(*conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False), norm(channels))

    def forward(self, found: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return nn.functional.relu(found + self.net(found))


class FeedForward(nn.Module):
    """The second half of a transformer's layer: norm, twice the width, back, short cut."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., W) to the same."""
        result: Tensor = tokens + self.net(tokens)
        return result
