"""Groups of runs that differ only in their seeds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from gym_gazebo2.algos.report.run_data import RunData

__all__ = ["Group", "format_argument", "get_arguments", "group_runs"]

IGNORED = (
    *("env", "algo", "seed", "out", "progress", "hyperparameters", "checkpoint_seconds", "eval_every", "eval_runs"),
    *("shards", "worker_cpus", "address", "invite", "insecure", "missing_workers", "price_per_hour"),
)
"""Fields ignored when grouping runs: groups are made per id and algorithm anyway, hyperparameters are compared one by one, and
the others do not change what is learned."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one id and algorithm that differ only in their seeds.

    Attributes:
        env: Environment id.
        label: Algorithm, and the arguments in which the group differs from the other groups.
        color: Index of the group's colour.
        runs: The runs.
    """

    env: str
    label: str
    color: int
    runs: tuple[RunData, ...]


def group_runs(runs: Sequence[RunData]) -> list[Group]:
    """Return the groups of runs, in the order of their first runs. Colours are counted per id."""
    arguments = {id(run): get_arguments(run) for run in runs}
    members: dict[tuple[str, str], list[RunData]] = {}
    for run in runs:
        peers = [other for other in runs if (other.config.env, other.config.algo) == (run.config.env, run.config.algo)]
        own = arguments[id(run)]
        differing = [name for name in own if any(arguments[id(peer)].get(name) != own[name] for peer in peers)]
        # Arguments that only other runs have, such as a hyperparameter that this run leaves at its default.
        differing += sorted({name for peer in peers for name in arguments[id(peer)]} - set(own))
        label = ", ".join(
            [run.config.algo, *(f"{name.replace('_', ' ')} {format_argument(own.get(name))}" for name in differing)]
        )
        members.setdefault((run.config.env, label), []).append(run)
    seen: dict[str, int] = {}
    groups = []
    for (env, label), found in members.items():
        groups.append(Group(env, label, seen.get(env, 0), tuple(found)))
        seen[env] = seen.get(env, 0) + 1
    return groups


def get_arguments(run: RunData) -> dict[str, Any]:
    """Return the arguments of a run by which groups are formed, hyperparameters included."""
    own = {name: value for name, value in vars(run.config).items() if name not in IGNORED}
    return own | dict(run.config.hyperparameters)


def format_argument(value: Any) -> str:
    """Return the value of an argument as text."""
    if value is None:
        return "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
