"""Give every link a bit mask so that exactly the chosen pairs of links collide.

gz-sim has no list of pairs that do not collide. Two shapes collide if their masks, 16 bits each, have a bit in common. So each
bit stands for a group of links. Any two links of a group must collide, unless it does not matter for them. Every pair of links
that must collide has to be in one of the groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from gym_gazebo2.gazebo.errors import GazeboError

__all__ = ["NUM_BITS", "Pair", "color_apart", "find_masks"]

NUM_BITS = 16
"""Bits of a mask in gz-sim."""
Pair = frozenset[str]


def find_masks(
    names: Sequence[str], excluded: Collection[Pair], free: Collection[Pair] = (), num_bits: int = NUM_BITS
) -> dict[str, int]:
    """Return name → bit mask. Two names have a bit in common if they may collide, and none if their pair is excluded.

    The groups are found greedily. To find the smallest number of groups is a hard problem, and arms need only three to nine.

    Args:
        names: Names of the links, and of the floor.
        excluded: Pairs that must not collide.
        free: Pairs for which it does not matter, because the engine itself never collides them, or their contacts are not
            reported. They may be among the excluded ones.
        num_bits: Number of bits that may be used, the lowest ones.

    Raises:
        GazeboError: More groups are needed than there are bits.
    """
    never, ignored = set(excluded) - set(free), set(free)
    pairs = [frozenset((a, b)) for i, a in enumerate(names) for b in names[i + 1 :]]
    uncovered = [pair for pair in pairs if pair not in never and pair not in ignored]
    groups: list[list[str]] = []
    while uncovered:
        group = _grow(sorted(uncovered[0], key=names.index), names, uncovered, never)
        groups.append(group)
        uncovered = [pair for pair in uncovered if not pair <= set(group)]
    # Links that collide with no other link of the arm get bits, too: they must still collide with other models.
    groups += _gather([name for name in names if not any(name in group for group in groups)], never)
    if len(groups) > num_bits:
        raise GazeboError(
            f"The excluded pairs of links need {len(groups)} bits of gz-sim's collision masks, but only {num_bits} are free. "
            "Exclude fewer pairs of links, or use the backend gazebo."
        )
    return {name: sum(1 << bit for bit, group in enumerate(groups) if name in group) for name in names}


def color_apart(names: Sequence[str], apart: Collection[Pair]) -> dict[str, int]:
    """Return name → number of a color, from 0, so that the names of no pair in ``apart`` have the same color.

    Each name gets the lowest color that is free, in the order of the names.
    """
    colors: dict[str, int] = {}
    for name in names:
        taken = {color for other, color in colors.items() if frozenset((name, other)) in apart}
        colors[name] = next(color for color in itertools.count() if color not in taken)
    return colors


def _grow(group: list[str], names: Sequence[str], uncovered: Sequence[Pair], excluded: Collection[Pair]) -> list[str]:
    """Add names that may collide with all of the group. The name that covers the most uncovered pairs comes first."""
    while True:
        candidates = [n for n in names if n not in group and not any(frozenset((n, m)) in excluded for m in group)]
        gains = {n: sum(frozenset((n, m)) in uncovered for m in group) for n in candidates}
        best = max(candidates, key=gains.__getitem__, default=None)
        if best is None or gains[best] == 0:
            return group
        group.append(best)


def _gather(names: Sequence[str], excluded: Collection[Pair]) -> list[list[str]]:
    """Put each name into the first group that it does not exclude."""
    groups: list[list[str]] = []
    for name in names:
        fitting = [group for group in groups if not any(frozenset((name, other)) in excluded for other in group)]
        if not fitting:
            groups.append([])
        (fitting or groups[-1:])[0].append(name)
    return groups
