"""The workers of a distributed training: who stepped how much, at what speed, and what was lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from gym_gazebo2.algos.report import page
from gym_gazebo2.algos.report.page import text

__all__ = ["WorkerTotal", "add_sessions", "make_workers"]

MEGABYTE = 1e6


@dataclasses.dataclass
class WorkerTotal:
    """What one worker's place did in all sessions of a run.

    Attributes:
        hosts: Machines that it was on.
        steps: Environment steps.
        busy_s: Time of work [s].
        num_bytes: Data that it sent [byte].
        restarts: Workers that were lost in this place.
        last_loss: Why the last one was; empty if none was.
    """

    hosts: list[str] = dataclasses.field(default_factory=list)
    steps: int = 0
    busy_s: float = 0.0
    num_bytes: int = 0
    restarts: int = 0
    last_loss: str = ""


def add_sessions(sessions: Sequence[dict[str, Any]]) -> dict[int, WorkerTotal]:
    """Return number of the worker → what it did in all sessions."""
    totals: dict[int, WorkerTotal] = {}
    for worker in (worker for session in sessions for worker in session["workers"]):
        total = totals.setdefault(worker["index"], WorkerTotal())
        if worker["host"] and worker["host"] not in total.hosts:
            total.hosts.append(worker["host"])
        for name in ("steps", "busy_s", "num_bytes", "restarts"):
            setattr(total, name, getattr(total, name) + worker[name])
        total.last_loss = worker["last_loss"] or total.last_loss
    return dict(sorted(totals.items()))


def make_workers(sessions: Sequence[dict[str, Any]]) -> str:
    """Return the section of a report; empty where no worker took part."""
    totals = add_sessions(sessions)
    if not totals:
        return ""
    all_steps = sum(total.steps for total in totals.values()) or 1
    rows = [[text(cell) for cell in _make_row(index, total, all_steps)] for index, total in totals.items()]
    head = ("worker", "machine", "steps", "share", "steps/s of work", "data sent", "bytes per step", "restarts")
    about = f"{len(totals)} workers" if len(totals) > 1 else "One worker"
    if len(sessions) > 1:
        about += f", in {len(sessions)} sessions: the training was resumed"
    return f'<section><h2>Workers</h2><p class="about">{text(about)}.</p>{page.make_table(head, rows, "stack")}</section>'


def _make_row(index: int, total: WorkerTotal, all_steps: int) -> list[str]:
    loss = f" ({total.last_loss})" if total.last_loss else ""
    return [
        str(index),
        ", ".join(total.hosts) or "–",
        f"{total.steps:,}",
        f"{100 * total.steps / all_steps:.1f} %",
        f"{total.steps / total.busy_s:,.0f}" if total.busy_s else "–",
        f"{total.num_bytes / MEGABYTE:,.1f} MB",
        f"{total.num_bytes / total.steps:,.0f}" if total.steps else "–",
        f"{total.restarts}{loss}",
    ]
