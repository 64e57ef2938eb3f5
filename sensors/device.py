"""Which device worlds hand out on and networks run on. Asking for a GPU that is not there is an error; only "auto" chooses."""

from __future__ import annotations

import torch

from sensors.errors import ConfigError, unknown_name

DEVICE_KINDS = ("auto", "cpu", "cuda")


def device_named(name: str | torch.device) -> torch.device:
    """Turn a setting into a device.

    Args:
        name: "cpu", "cuda", "cuda:N", or "auto": a GPU where there is one, else the CPU.

    Raises:
        ConfigError: No such kind of device, or no such GPU on this machine.
    """
    text = str(name)
    kind, _, number = text.partition(":")
    if kind not in DEVICE_KINDS or (number and not number.isdigit()):
        raise unknown_name("device", text, DEVICE_KINDS)
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seen = torch.cuda.device_count()
    if kind == "cuda" and int(number or 0) >= seen:
        raise ConfigError(f"device {text!r}: torch sees {seen} CUDA devices, so there are {seen} usable GPUs; use device='cpu' or 'auto'")
    return torch.device(text)
