"""How processes share processors, read back from processes that ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

REPORT = """
import ctypes, errno, json, os, subprocess, sys
from gym_gazebo2.scheduling import keep_to_processor, work_in_batches
{call}
child = subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True, timeout=60)
print(json.dumps([os.sched_getscheduler(0), int(child.stdout), sorted(os.sched_getaffinity(0))]))
"""
"""Prints the scheduling policy of the process and of a child that it starts, and its processors."""


def run(call: str, *before: str) -> tuple[int, int, list[int]]:
    """Return what a process reports after a call."""
    command = [*before, sys.executable, "-c", REPORT.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    policy, of_child, processors = json.loads(done.stdout)
    return policy, of_child, processors


def test_a_process_works_in_batches_and_so_do_those_that_it_starts() -> None:
    assert run("pass")[:2] == (os.SCHED_OTHER, os.SCHED_OTHER)
    assert run("work_in_batches()")[:2] == (os.SCHED_BATCH, os.SCHED_BATCH)


def test_another_process_can_be_made_to_work_in_batches() -> None:
    call = "child = subprocess.Popen(['sleep', '60'])\nwork_in_batches(child.pid)\n"
    call += "assert os.sched_getscheduler(child.pid) == os.SCHED_BATCH\nchild.kill()\nchild.wait(10)"
    assert run(call)[0] == os.SCHED_OTHER


def test_a_process_is_kept_to_one_of_its_processors_counted_round() -> None:
    own = sorted(os.sched_getaffinity(0))
    for index in (0, len(own) - 1, len(own), 2 * len(own) + 1):
        assert run(f"keep_to_processor({index})")[2] == [own[index % len(own)]]


FORBID = """
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
ALLOW, REFUSE = ctypes.c_uint32(0x7FFF0000), ctypes.c_uint32(0x00050000 | errno.EPERM)
rules = ctypes.c_void_p(seccomp.seccomp_init(ALLOW))
for name in (b"sched_setscheduler", b"sched_setaffinity"):
    assert seccomp.seccomp_rule_add(rules, REFUSE, seccomp.seccomp_syscall_resolve_name(name), 0) == 0
assert seccomp.seccomp_load(rules) == 0
"""
"""A filter of system calls, as sandboxes have them: the kernel answers EPERM."""


@pytest.mark.parametrize("call", ["work_in_batches()", "keep_to_processor(0)"])
def test_a_system_that_refuses_changes_nothing_and_stops_nobody(call: str) -> None:
    assert run(f"{FORBID}\n{call}") == (os.SCHED_OTHER, os.SCHED_OTHER, sorted(os.sched_getaffinity(0)))


def test_a_process_that_has_ended_is_left_alone() -> None:
    run("child = subprocess.Popen(['true'])\nchild.wait(10)\nwork_in_batches(child.pid)")
