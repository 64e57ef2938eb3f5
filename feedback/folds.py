"""Parts of the comparisons that share no start state, so that what is held out was really never seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence


def folds_of(groups: Sequence[str], pairs: Sequence[tuple[int, int]], folds: int, seed: int = 0) -> list[int]:
    """Put every ride into a fold; rides of one group always together.

    Groups that comparisons link stay together too, as far as that leaves folds of similar size (proposals draw pairs within blocks
    of start states so that it does); otherwise some comparisons join two folds, and whoever holds one of them out drops them.

    Args:
        groups: Group (start state) of each of N rides.
        pairs: Rides that were compared, as numbers.
        folds: How many folds.
        seed: Chooses among equal assignments.

    Returns:
        Fold of each ride.
    """
    joined = _components(groups, pairs)
    load = Counter(joined[first] for first, _ in pairs)
    units = joined if load and max(load.values()) <= 2.0 * len(pairs) / folds else list(groups)
    weight: Counter[str] = Counter(dict.fromkeys(units, 0))
    for first, second in pairs:
        weight[units[first]] += 1
        weight[units[second]] += 1

    def order(unit: str) -> tuple[int, str]:
        return -weight[unit], hashlib.sha256(f"{seed} {unit}".encode()).hexdigest()

    filled = [0] * folds
    fold_of_unit: dict[str, int] = {}
    for unit in sorted(weight, key=order):
        fold = min(range(folds), key=filled.__getitem__)
        fold_of_unit[unit] = fold
        filled[fold] += weight[unit] + 1
    return [fold_of_unit[unit] for unit in units]


def _components(groups: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Name the connected component of every ride by its first group (union-find with path halving)."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for first, second in pairs:
        one, other = sorted((root(groups[first]), root(groups[second])))
        parent[other] = one
    return [root(group) for group in groups]
