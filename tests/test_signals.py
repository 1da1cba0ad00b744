"""Signals that end a process: exceptions, exit statuses, and what a process inherits. The signals are real."""

from __future__ import annotations

import importlib
import pickle
import signal
import subprocess
import sys
import threading

import pytest

from gym_gazebo2 import signals
from gym_gazebo2.signals import ENDING, Interrupted, get_status, handle_signals, hold_signals, raise_on_signals

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
TIMEOUT_S = 30


def raise_and_catch(signum: signal.Signals) -> KeyboardInterrupt:
    """Send this process a signal, and return the exception that it becomes."""
    with pytest.raises(KeyboardInterrupt) as caught, raise_on_signals():
        signal.raise_signal(signum)
    return caught.value


@pytest.fixture(autouse=True)
def usual_handlers():
    """Give each test the handlers of a process that was started in a terminal, and put back those of pytest."""
    usual = {signum: signal.SIG_DFL for signum in ENDING} | {signal.SIGINT: signal.default_int_handler}
    before = {signum: signal.signal(signum, handler) for signum, handler in usual.items()}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", ENDING)
def test_each_signal_raises_and_has_the_status_of_a_shell(signum):
    interrupt = raise_and_catch(signum)
    assert get_status(interrupt) == STATUS[signum]
    assert isinstance(interrupt, Interrupted) == (signum != signal.SIGINT)


@pytest.mark.parametrize("signum", ENDING)
def test_the_signal_is_kept_where_a_library_raises_a_new_keyboard_interrupt(signum):
    """Ray's client does so: it waits in C++, and keeps only that it was interrupted."""
    with pytest.raises(KeyboardInterrupt, match="continue with …") as caught, raise_on_signals():
        try:
            signal.raise_signal(signum)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("continue with …") from None
    assert get_status(caught.value) == STATUS[signum]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_crosses_process_boundaries(signum):
    copy = pickle.loads(pickle.dumps(Interrupted(signum, "continue with …")))
    assert (copy.signum, copy.code, copy.args) == (signum, STATUS[signum], ("continue with …",))


def test_the_handlers_from_before_come_back():
    before = [signal.getsignal(signum) for signum in ENDING]
    with raise_on_signals():
        assert all(signal.getsignal(signum) not in before for signum in ENDING)
    assert [signal.getsignal(signum) for signum in ENDING] == before


def test_an_ignored_sigint_raises_all_the_same_but_an_ignored_sighup_stays_ignored():
    """A shell ignores SIGINT for what it starts in the background; only ``nohup`` ignores SIGHUP."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert get_status(raise_and_catch(signal.SIGINT)) == 130
    with raise_on_signals():
        signal.raise_signal(signal.SIGHUP)


def test_a_blocked_signal_raises_too():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    assert get_status(raise_and_catch(signal.SIGTERM)) == 143


def test_a_second_sigterm_does_not_interrupt_the_clean_up_but_a_second_sigint_does():
    with pytest.raises(Interrupted), raise_on_signals():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_a_handler_replaces_only_what_would_end_the_process():
    seen: list[int] = []
    own = lambda signum, frame: None  # noqa: E731
    signal.signal(signal.SIGHUP, own)
    with handle_signals(lambda signum, frame: seen.append(signum)):
        assert signal.getsignal(signal.SIGHUP) is own
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert seen == [signal.SIGTERM, signal.SIGINT]


MODULE = """
import signal
try:
    signal.raise_signal(signal.{name})
except KeyboardInterrupt as error:
    raise ImportError("a library in C++ hides the interrupt") from error
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_import_raises_after_it(tmp_path, monkeypatch, signum):
    (tmp_path / f"interrupted_{signum.name}.py").write_text(MODULE.format(name=signum.name))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt) as caught, raise_on_signals():
        importlib.import_module(f"interrupted_{signum.name}")
        threading.Event().wait(TIMEOUT_S)
    assert get_status(caught.value) == STATUS[signum]


def test_a_held_signal_raises_after_the_block():
    """A library that catches every exception does not get to see the interrupt."""
    seen: list[str] = []
    with pytest.raises(Interrupted), raise_on_signals():
        with hold_signals():
            try:
                signal.raise_signal(signal.SIGTERM)
                seen.append("whole")
            except BaseException:
                seen.append("half")
        threading.Event().wait(TIMEOUT_S)
    assert seen == ["whole"]


def test_another_thread_leaves_the_handlers_alone():
    seen: list[bool] = []

    def enter() -> None:
        with raise_on_signals():
            seen.append(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(TIMEOUT_S)
    assert seen == [True]


WORKER = """
import signal, sys
from gym_gazebo2 import signals
signals.WORKER_GRACE_S = 1
signals.leave_signals_to_parent()
for name in sys.argv[1:]:
    signal.raise_signal(getattr(signal, name))
print("alive", flush=True)
signal.pause()
"""


def run_worker(*names: str) -> tuple[str, int]:
    """Run a worker that gets these signals, and return what it printed and its exit status."""
    process = subprocess.run(
        [sys.executable, "-c", WORKER, *names], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return process.stdout.strip(), process.returncode


def test_a_worker_outlives_the_signals_of_its_job_until_its_grace_is_over():
    assert signals.WORKER_GRACE_S >= 10
    assert run_worker("SIGINT", "SIGHUP", "SIGTERM") == ("alive", -signal.SIGALRM)


def test_a_second_sigterm_ends_a_worker_at_once():
    assert run_worker("SIGTERM", "SIGTERM") == ("", -signal.SIGTERM)


def test_a_program_that_does_not_catch_an_interrupt_ends_with_its_status_and_without_a_traceback():
    code = (
        "import os, signal; from gym_gazebo2.signals import raise_on_signals\nwith raise_on_signals(): signal.raise_signal(15)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (process.returncode, process.stderr) == (143, "")
