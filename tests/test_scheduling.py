"""How processes share processors: a help where the system lets, and no fault where it does not."""

from __future__ import annotations

import errno
import os

import pytest

from gym_gazebo2.scheduling import keep_to_processor, work_in_batches


def refuse(*args: object) -> None:
    raise OSError(errno.EINVAL, "Invalid argument")


def test_a_system_that_refuses_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    work_in_batches()
    keep_to_processor(0)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
