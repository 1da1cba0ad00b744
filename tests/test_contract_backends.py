"""Every backend keeps the contract, and every check of the contract finds a backend that breaks it."""

import dataclasses

import numpy as np
import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import UnknownNameError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.testing import CHECKS, check_backend

from .pincer import make_pincer


@pytest.mark.parametrize("check", CHECKS)
def test_backend_keeps_the_contract(check, factory):
    CHECKS[check](factory, 3)


def _break(method, change):
    """Return a fake backend whose method's result is changed."""

    def broken(self, *args):
        return change(self, getattr(FakeBackend, method)(self, *args))

    return type("Broken", (FakeBackend,), {method: broken})


def _drift(backend, state):
    return dataclasses.replace(state, q=state.q + 0.03 * np.sin(state.time[:, None] * 1e-8))


BROKEN = {
    "attributes": type("Broken", (FakeBackend,), {"is_shared": None}),
    "time": _break("step", lambda b, s: dataclasses.replace(s, time=s.time + 1)),
    "state": _break("step", lambda b, s: dataclasses.replace(s, q=s.q.astype(np.float32))),
    "setpoint": _break("_check_step", lambda b, q: q * 0.99),
    "reset": _break("reset", lambda b, s: dataclasses.replace(s, dq=s.dq + 1e-3)),
    "determinism": _break("step", lambda b, s: dataclasses.replace(s, q=s.q + np.random.default_rng().normal(0, 1e-3))),
    "fidelity": _break("step", _drift),
    "random_actions": _break("step", lambda b, s: dataclasses.replace(s, q=s.q * np.inf)),
    "saved_state": _break("get_state", lambda b, d: {**d, "dq": d["dq"] * 0}),
    "fingers": _break("step", lambda b, s: dataclasses.replace(s, q=s.q + np.array([0, 0, 0, 0, 2e-3]))),
    "effort": _break("step_effort", lambda b, s: dataclasses.replace(s, dq=0.7 * s.dq)),
    "misuse": _break("_check_open", lambda b, s: None),
}
BROKEN["misuse"]._check_open = lambda self: None


@pytest.mark.parametrize("check", CHECKS)
def test_check_finds_a_backend_that_breaks_it(check):
    robot = make_pincer() if check == "fingers" else make_robot("mara")
    with pytest.raises(AssertionError):
        CHECKS[check](lambda n: BROKEN[check](robot, n), 3)


def test_check_backend_names_the_check_that_failed():
    robot = make_robot("scara")
    with pytest.raises(AssertionError, match="^time: "):
        check_backend(lambda n: BROKEN["time"](robot, n))


def test_fidelity_names_the_joint_and_the_arm():
    """The cause that the data show: one joint of one arm lags."""

    def lag(backend, state):
        q = state.q.copy()
        q[1, 2] += 0.03 * np.sin(state.time[1] * 1e-8)
        return dataclasses.replace(state, q=q)

    broken, robot = _break("step", lag), make_robot("mara")
    with pytest.raises(AssertionError, match=f"joint '{robot.joint_names[2]}' of arm 1 is 0.0.*effort limit"):
        CHECKS["fidelity"](lambda n: broken(robot, n), 3)


def test_unknown_backend_lists_those_that_exist():
    with pytest.raises(UnknownNameError, match="Available: .*fake.*mujoco"):
        make_backend("bullet", make_robot("mara"))


@pytest.mark.parametrize(
    ("keyword", "value"), [("num_envs", 0), ("num_envs", 1.5), ("control_dt", 0.0), ("control_dt", float("nan"))]
)
def test_invalid_sizes(keyword, value, backend_name):
    with pytest.raises(ValueError, match=keyword):
        make_backend(backend_name, make_robot("mara"), **{keyword: value})


def test_control_period_that_is_no_whole_number_of_physics_steps():
    with pytest.raises(ValueError, match=r"control_dt is 0\.052.*0\.005 s"):
        make_backend("mujoco", make_robot("mara"), control_dt=0.052)


def test_refused_step_changes_nothing(factory):
    backend = factory(1)
    state = backend.reset(np.ones(1, dtype=bool), backend.robot.home[None])
    with pytest.raises(ValueError, match="q_setpoint"):
        backend.step(state.q_setpoint + 10.0)
    after = backend.step(state.q_setpoint)
    assert after.time[0] == backend.control_dt_ns and np.allclose(after.q, state.q, atol=1e-9)
