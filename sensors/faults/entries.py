"""Faults as data: what is wrong with which sensor, and from when to when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from sensors.batch import Batch
from sensors.errors import ConfigError, unknown_name
from sensors.faults.kinds import FAULTS_OF, SEVERITIES, UNGRADED, FaultKind, Modality

ALL_SENSORS = -1
FOR_EVER = 2**31
DEFAULT_SEVERITY = 2
Name = TypeVar("Name", FaultKind, Modality)
Number = int | Tensor


@dataclass(frozen=True)
class Faults(Batch):
    """Up to F faults a world; entry f of world b acts while ``start_step <= step < end_step``. All (B, F) int64.

    Entries of kind NONE are room for nothing. Of two entries of one kind that act on one sensor, the severer counts.
    """

    kind: Tensor
    modality: Tensor
    index: Tensor
    """Which sensor of that modality in the rig; -1 is all of them. A sensor that the rig lacks cannot fail."""
    severity: Tensor
    start_step: Tensor
    end_step: Tensor

    @classmethod
    def none(cls, num_worlds: int, device: str | torch.device = "cpu") -> Faults:
        """No fault at all: F = 0."""
        empty = torch.zeros((num_worlds, 0), dtype=torch.int64, device=device)
        return cls(empty, empty, empty, empty, empty, empty)

    @classmethod
    def dead(cls, num_worlds: int, modality: Modality, index: int = ALL_SENSORS, device: str | torch.device = "cpu") -> Faults:
        """One sensor (or all of a modality) dead for the whole episode, in every world."""
        return cls.of(num_worlds, FaultKind.DEAD, modality, severity=1, index=index, device=device)

    @classmethod
    def of(
        cls,
        num_worlds: int,
        kind: FaultKind | str,
        modality: Modality | str,
        *,
        severity: Number = DEFAULT_SEVERITY,
        index: Number = ALL_SENSORS,
        start_step: Number = 0,
        end_step: Number = FOR_EVER,
        where: Tensor | None = None,
        device: str | torch.device = "cpu",
    ) -> Faults:
        """One fault a world: F = 1.

        Args:
            num_worlds: B.
            kind: A ``FaultKind`` or its name in lower case.
            modality: A ``Modality`` or its name in lower case.
            severity: 1 to 3; like the next three one number, or one a world, int64 (B,).
            index: Which sensor of the modality; -1 is all of them.
            start_step: The fault acts from this simulation step on,
            end_step: until before this one.
            where: Worlds that have it, bool (B,); the others have none.
            device: Where the tensors go.

        Raises:
            ConfigError: An unknown name, a kind that the modality cannot have, or a number out of range.
        """
        kind, modality = _member(FaultKind, "fault", kind), _member(Modality, "modality", modality)
        if kind not in FAULTS_OF[modality]:
            raise unknown_name(f"fault of a {modality.name.lower()}", kind.name.lower(), fault_names(modality))

        def column(value: Number) -> Tensor:
            whole = torch.as_tensor(value, dtype=torch.int64, device=device)
            if whole.ndim and whole.shape != (num_worlds,):
                raise ConfigError(f"Faults.of: got numbers of shape {tuple(whole.shape)}, expected one number or ({num_worlds},)")
            return whole.expand(num_worlds)[:, None].clone()

        here = torch.ones(num_worlds, dtype=torch.bool, device=device) if where is None else where.to(device)
        faults = cls(
            column(int(kind)) * here[:, None],
            column(int(modality)),
            column(index),
            column(severity),
            column(start_step),
            column(end_step),
        )
        check_faults(faults)
        return faults

    @classmethod
    def join(cls, parts: Sequence[Faults]) -> Faults:
        """Several faults at once: the entries of all parts, which are of the same worlds.

        Raises:
            ConfigError: No part, or parts of different numbers of worlds.
        """
        worlds = [len(part.kind) for part in parts]
        if len(set(worlds)) != 1:
            raise ConfigError(f"Faults.join: got parts of {worlds} worlds, expected at least one part and the same number in each")
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts], 1) for field in fields(cls)})

    @classmethod
    def parse(cls, text: str, num_worlds: int, device: str | torch.device = "cpu") -> Faults:
        """Read ``KIND[:MODALITY[:SEVERITY[:START[:END]]]]``, for example ``frozen:camera:3:30:60``.

        Without a modality, or with an empty one, every modality that can have the fault has it. The severity is 2 unless given, the
        fault acts throughout unless given its first step and the step after its last.

        Raises:
            ConfigError: It cannot be read, or is refused as ``of`` refuses it.
        """
        parts = text.split(":")
        if len(parts) > 5:
            raise ConfigError(f"fault {text!r} has {len(parts)} parts, expected KIND[:MODALITY[:SEVERITY[:START[:END]]]]")
        kind = _member(FaultKind, "fault", parts[0])
        numbers: dict[str, Any] = dict(
            zip(("severity", "start_step", "end_step"), (_number(text, part) for part in parts[2:]), strict=False)
        )
        if len(parts) > 1 and parts[1]:
            return cls.of(num_worlds, kind, parts[1], device=device, **numbers)
        able = [modality for modality in Modality if kind in FAULTS_OF[modality]]
        if not able:
            raise ConfigError(f"fault {text!r} is no fault; {', '.join(fault_names())} are")
        return cls.join([cls.of(num_worlds, kind, modality, device=device, **numbers) for modality in able])


def fault_names(modality: Modality | None = None) -> list[str]:
    """Names of the faults that a modality can have, or of all."""
    kinds = FAULTS_OF[modality] if modality is not None else tuple(kind for kind in FaultKind if kind is not FaultKind.NONE)
    return [kind.name.lower() for kind in kinds]


def fault_suite() -> Iterator[tuple[Modality, FaultKind, int]]:
    """Every fault of every modality at every severity; a kind without grades once, at severity 1."""
    for modality, kinds in FAULTS_OF.items():
        for kind in kinds:
            for severity in SEVERITIES[:1] if kind in UNGRADED else SEVERITIES:
                yield modality, kind, severity


def check_faults(faults: Faults) -> None:
    """Refuse faults that no sensor can have.

    Raises:
        ConfigError: An entry with an unknown kind or modality, a kind that its modality cannot have, or a number out of range.
    """
    kind, modality = faults.kind, faults.modality
    table = torch.zeros((len(FaultKind), len(Modality)), dtype=torch.bool, device=kind.device)
    for sense, kinds in FAULTS_OF.items():
        table[[int(one) for one in kinds], int(sense)] = True
    known = (kind >= 0) & (kind < len(FaultKind)) & (modality >= 0) & (modality < len(Modality))
    able = known & table[kind.clamp(0, len(FaultKind) - 1), modality.clamp(0, len(Modality) - 1)]
    numbers = (faults.severity >= SEVERITIES[0]) & (faults.severity <= SEVERITIES[-1]) & (faults.index >= ALL_SENSORS)
    fine = (kind == FaultKind.NONE) | (able & numbers & (faults.start_step >= 0) & (faults.end_step >= faults.start_step))
    if not bool(fine.all()):
        world, entry = (int(number) for number in (~fine).nonzero()[0])
        got = ", ".join(f"{field.name} {int(getattr(faults, field.name)[world, entry])}" for field in fields(faults))
        raise ConfigError(
            f"fault {entry} of world {world} is {got}; expected a kind of FAULTS_OF its modality, severity 1 to 3, index -1 or more, "
            f"0 <= start_step <= end_step; Faults.of makes such entries"
        )


def _member(names: type[Name], what: str, given: Name | str) -> Name:
    """Find a member by its name, in any case."""
    if isinstance(given, str):
        if given.upper() not in names.__members__:
            raise unknown_name(what, given, [member.name.lower() for member in names if member.name != "NONE"])
        return names[given.upper()]
    return names(given)


def _number(text: str, part: str) -> int:
    if not part.isdigit():
        raise ConfigError(f"fault {text!r}: {part!r} is not a whole number; expected KIND[:MODALITY[:SEVERITY[:START[:END]]]]")
    return int(part)
