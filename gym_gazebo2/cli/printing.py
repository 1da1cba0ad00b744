"""Output of commands: tables and paths."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import warnings
from collections.abc import Iterable
from typing import Any

import gymnasium
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gym_gazebo2.algos import Evaluation, RunFolder
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.report import get_paper, get_paper_title, make_rows
from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["describe_envs", "show_envs", "show_evaluation", "show_paths", "show_run"]


def show_evaluation(result: Evaluation) -> None:
    """Print an evaluation beside the 2019 paper's figures."""
    paper = get_paper(result.env)
    where = f" on {result.backend}" if result.backend else ""
    table = Table(title=f"{result.env}, {result.algo} ({result.model}), {result.runs} episodes{where}")
    table.add_column("")
    table.add_column("here", justify="right")
    if paper:
        table.add_column(get_paper_title(result.env), justify="right")
    for name, (label, value) in make_rows(dataclasses.asdict(result), get_measures(result.env)).items():
        table.add_row(escape(label), value, *([paper.get(name, "")] if paper else []))
    Console().print(table)


def show_run(run: RunFolder) -> None:
    """Print the result of a training, its folder, and the next command."""
    console = Console(soft_wrap=True)
    training = run.read_json("training.json")
    steps, seconds = training.get("train_steps", 0), training.get("train_wall_s", 0.0)
    reason = training.get("stopped_by")
    console.print(f"Trained {steps:,} steps in {seconds:,.1f} s{f': {reason}' if reason else ''}", highlight=False)
    console.print(f"Run folder: {run.path}", highlight=False)
    console.print(f"Evaluate it with: gym-gazebo2 evaluate {shlex.quote(str(run.path))}", highlight=False)


def show_paths(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Print one file per line."""
    for path in paths:
        Console(soft_wrap=True).print(f"  {os.fspath(path)}", highlight=False)


def describe_envs() -> dict[str, dict[str, Any]]:
    """Return, for every id, its robot, observation and action spaces, episode, reward and goal."""
    return {name: _describe(name) for name in ENVIRONMENTS}


def show_envs(as_json: bool) -> None:
    """Print the ids, as a table or as JSON."""
    rows = describe_envs()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(title="Environment ids")
    table.add_column("id", no_wrap=True)  # readers copy ids, so they must not break
    for heading in next(iter(rows.values())):
        table.add_column(heading.replace("_", " "), overflow="fold")
    for name, row in rows.items():
        table.add_row(name, *(escape(str(value)) for value in row.values()))
    Console().print(table)


def _describe(env_id: str) -> dict[str, Any]:
    row = ENVIRONMENTS[env_id]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(env_id, backend="fake")
    core: Any = env.unwrapped.core  # type: ignore[attr-defined]
    space = env.observation_space
    parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {"": space}
    shapes = {name: "×".join(map(str, part.shape or ())) for name, part in parts.items()}
    described = {
        "robot": row.robot,
        "observation": ", ".join(f"{name} {shape}".strip() for name, shape in shapes.items()),
        "action": str(env.action_space.shape[0]) if env.action_space.shape else "",
        "steps": row.max_episode_steps,
        **core.task.describe(),
    }
    env.close()
    return described
