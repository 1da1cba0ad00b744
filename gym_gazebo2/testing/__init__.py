"""The backend contract as a test that anyone can run on a backend of their own.

Three lines are enough, with or without a test runner::

    from gym_gazebo2.testing import check_backend
    from my_package import MyBackend
    check_backend(lambda num_envs: MyBackend(make_robot("mara"), num_envs))

A check raises an ``AssertionError`` with the expected and the actual value. ``CHECKS`` lists the checks by name, and
``OBJECT_CHECKS`` those of backends that were made with a scene with objects. Tolerances are
in rad, and in strokes for prismatic joints.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import NANOSECONDS, Backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import InvalidArgumentError, UnsupportedError, UsageError
from gym_gazebo2.robots.spec import Gripper
from gym_gazebo2.setpoint import compute_setpoint
from gym_gazebo2.state import ArmState
from gym_gazebo2.testing.objects import OBJECT_CHECKS
from gym_gazebo2.testing.tools import (
    Factory,
    expect,
    expect_error,
    get_arrays,
    get_travel,
    open_backend,
    reset_arms,
    reset_home,
)

__all__ = [
    "CHECKS",
    "FAKE_TOLERANCE",
    "OBJECT_CHECKS",
    "Factory",
    "Fidelity",
    "check_backend",
    "drive_smoothly",
    "measure_fidelity",
]

Array = NDArray[np.float64]
FAKE_TOLERANCE = 0.02
"""Largest difference to the fake backend, free of contact and with smooth actions [rad]."""
FREE_SHARE = 0.1
"""Share of the control periods that must be free of contact, so that enough of them can be compared."""
LIMIT_TOLERANCE = 0.1
"""Joint limits are soft: a joint may pass its limit by this much [rad]."""
SMOOTH_CHANGE = 0.2
"""Largest change of an action's component per period in the fidelity check."""
FINGER_TOLERANCE = 0.04
"""Largest difference between the openings of two fingers, and between an opening and its command. Openings go from −1
(closed) to 1 (open), so this is 2 % of the stroke."""
SETTLING = 8
"""Control periods in which a drive settles: 8 periods of 0.05 s are 16 time constants 1/ω, with ω = 40 rad/s."""
EFFORT_TOLERANCE = 0.05
"""Largest difference to the speed at which the damping balances an effort, as a share of the control speed."""
ARMS, PERIODS = 3, 20
"""Default size of the batch, and number of control periods, of a check."""


def check_backend(factory: Factory, arms: int = ARMS) -> None:
    """Run every check of the contract.

    Args:
        factory: Makes a new backend for a given number of arms.
        arms: Number of arms in the checked batch; 1 for a backend that moves a single arm.

    Raises:
        AssertionError: The backend breaks the contract; the message says where.
    """
    with open_backend(factory, arms) as backend:
        checks = CHECKS | (OBJECT_CHECKS if backend.num_objects else {})
    for name, check in checks.items():
        try:
            check(factory, arms)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def check_attributes(factory: Factory, arms: int = ARMS) -> None:
    """The attributes that callers need exist: size, period, ``lock_step`` and ``is_shared``."""
    with open_backend(factory, arms) as backend:
        expect(backend.num_envs == arms, f"num_envs is {backend.num_envs!r}, not {arms}")
        dt = backend.control_dt
        expect(isinstance(dt, float) and dt > 0, f"control_dt is {dt!r}, expected a positive float [s]")
        for name in ("lock_step", "is_shared"):
            value = getattr(backend, name, None)
            expect(isinstance(value, bool), f"{name} is {value!r}, expected True or False")


def check_state(factory: Factory, arms: int = ARMS) -> None:
    """Shapes and types are those of ``ArmState``, and later calls do not change a state that was returned."""
    with open_backend(factory, arms) as backend:
        shape = (arms, backend.robot.dof)
        first = reset_home(backend)
        kept = [array.copy() for array in get_arrays(first)]
        second = backend.step(first.q_setpoint + 0.3 * _find_inward(backend) * get_travel(backend))
        for state in (first, second):
            for name, dtype, expected in (
                ("time", np.int64, (arms,)),
                ("q", np.float64, shape),
                ("dq", np.float64, shape),
                ("q_setpoint", np.float64, shape),
                ("in_collision", np.bool_, (arms,)),
            ):
                array = getattr(state, name)
                expect(
                    array.dtype == dtype and array.shape == expected,
                    f"{name} is {array.dtype} {array.shape}, not {dtype} {expected}",
                )
        unchanged = all(np.array_equal(a, b) for a, b in zip(get_arrays(first), kept, strict=True))
        expect(unchanged, "a step changed the arrays of the state before")


def check_time(factory: Factory, arms: int = ARMS) -> None:
    """Every step advances simulated time by exactly one control period, in integer nanoseconds."""
    with open_backend(factory, arms) as backend:
        period = round(backend.control_dt * NANOSECONDS)
        state = reset_home(backend)
        for k in range(PERIODS):
            # A robot or a free-running simulator returns the first state at or after the instant, so it may be late.
            expected = k * period
            exact = np.array_equal(state.time, np.full(arms, expected))
            expect(exact or not backend.lock_step, f"after {k} steps time is {state.time} ns, not {expected}")
            expect(bool(np.all(state.time >= expected)), f"after {k} steps time is only {state.time} ns of {expected}")
            state = backend.step(state.q_setpoint)


def check_setpoint(factory: Factory, arms: int = ARMS) -> None:
    """The drives end each period at the given set-point. Invalid set-points are refused and change nothing."""
    # One arm is enough here, and lets a backend that moves a single arm run this check.
    with open_backend(factory, 1) as backend:
        robot, state = backend.robot, reset_home(backend)
        goal = state.q_setpoint + 0.5 * _find_inward(backend) * get_travel(backend)
        state = backend.step(goal)
        expect(np.allclose(state.q_setpoint, goal, atol=1e-9), f"set-point is {state.q_setpoint}, not {goal}")
        too_fast = goal + 1.01 * _find_inward(backend) * robot.velocity_limit * backend.control_dt
        for fault, bad in {
            "too fast": too_fast,
            "NaN": np.full_like(goal, np.nan),
            "of another shape": goal[:, 1:] if robot.gripper is None else goal[:, : robot.chain_dof - 1],
            "of another batch": np.vstack([goal, goal]),
        }.items():
            expect_error(InvalidArgumentError, functools.partial(backend.step, bad), f"a set-point that is {fault}")
        # At the upper limit, a set-point a little beyond is outside without being too fast.
        upper = robot.upper[None].copy()
        state = backend.reset(np.ones(1, dtype=bool), upper)
        expect_error(InvalidArgumentError, lambda: backend.step(upper + 1e-3 * robot.scale), "a set-point outside the limits")
        # Time is still that of the reset: none of the refused set-points has advanced it.
        state = backend.step(upper)
        expect(
            bool(np.all(state.time == backend.control_dt * NANOSECONDS) or not backend.lock_step),
            "a refused step advanced time",
        )


def check_reset(factory: Factory, arms: int = ARMS) -> None:
    """A reset puts masked arms exactly at a pose, at rest, at time zero, whatever they did before. Others do not change."""
    rng = np.random.default_rng(0)
    with open_backend(factory, arms) as backend:
        robot, state = backend.robot, reset_home(backend)
        for _ in range(PERIODS):
            state = backend.step(_move(backend, state, rng.uniform(-1, 1, state.q.shape)))
            mask = rng.random(arms) < 0.5
            q = rng.uniform(robot.lower, robot.upper, state.q.shape)
            q[~mask] = np.nan  # rows outside the mask must be ignored, even if invalid
            before, state = state, backend.reset(mask, q)
            expect(bool(np.allclose(state.q[mask], q[mask], atol=1e-6)), f"reset to {q[mask]} put the arm at {state.q[mask]}")
            expect(bool(np.all(np.abs(state.dq[mask]) < 1e-6)), f"after reset the arm moves: {state.dq[mask]} rad/s")
            expect(np.array_equal(state.q_setpoint[mask], state.q[mask]), "after reset the set-point is not the position")
            expect(not state.time[mask].any(), f"after reset time is {state.time[mask]} ns")
            for old, new in zip(get_arrays(before), get_arrays(state), strict=True):
                expect(np.array_equal(old[~mask], new[~mask]), "reset changed an arm outside the mask")


def check_determinism(factory: Factory, arms: int = ARMS) -> None:
    """The same calls give bit-equal states, and an arm of a batch moves as a single one to 1e-9."""
    with open_backend(factory, arms) as one, open_backend(factory, arms) as two, open_backend(factory, 1) as single:
        # Every state is compared, not only the last: differences can vanish again when an arm comes to rest.
        first, second = list(drive_smoothly(one, seed=1)), list(drive_smoothly(two, seed=1))
        for a, b in zip(first, second, strict=True):
            equal = all(np.array_equal(x, y) for x, y in zip(get_arrays(a), get_arrays(b), strict=True))
            expect(equal, "two backends given the same calls differ")
        # The last arm of the batch, replayed alone: an error in the indexing of arms shows there first.
        state, scale = reset_arms(single, first[0].q[-1:]), single.robot.scale
        for batch in first[1:]:
            state = single.step(batch.q_setpoint[-1:])
            difference = (np.abs(state.q - batch.q[-1:]) / scale).max()
            expect(bool(difference <= 1e-9), f"the last arm of a batch differs from a single one by {difference} rad")


def check_fidelity(factory: Factory, arms: int = ARMS) -> None:
    """Free of contact and with smooth actions, the arm stays within 0.02 rad of the fake backend."""
    with open_backend(factory, arms) as backend:
        found = measure_fidelity(backend)
        name = backend.robot.joint_names[found.joint]
        message = f"joint {name!r} of arm {found.arm} is {found.worst:.4f} rad from the fake backend"
        cause = "Its effort limit may be too small for what it moves"
        expect(found.worst <= FAKE_TOLERANCE, f"{message}, at most {FAKE_TOLERANCE} expected. {cause}")
        expect(found.free_share >= FREE_SHARE, f"only {found.free_share:.0%} of the periods around home are free of contact")


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How near a backend is to the fake one, free of contact and with smooth actions.

    Attributes:
        worst: Largest difference of a joint's position [rad; strokes of prismatic joints].
        free_share: Share of the control periods that were free of contact; the others do not count.
        arm: Index of the arm with the largest difference.
        joint: Index of its joint.
    """

    worst: float
    free_share: float
    arm: int = 0
    joint: int = 0


def measure_fidelity(backend: Backend) -> Fidelity:
    """Drive all arms of a backend smoothly around home, and compare them with the fake backend, which has no physics."""
    worst, periods = (0.0, 0, 0), []
    with closing(FakeBackend(backend.robot, backend.num_envs, backend.control_dt)) as fake:
        for state in drive_smoothly(backend, seed=2):
            if not state.time.any():  # the state after the reset
                expected = fake.reset(np.ones(backend.num_envs, dtype=bool), state.q)
                free = ~state.in_collision
                continue
            expected = fake.step(state.q_setpoint)
            free &= ~state.in_collision  # an arm that has touched something may be elsewhere from then on
            periods.append(free.mean())
            differences = np.where(free[:, np.newaxis], np.abs(state.q - expected.q) / backend.robot.scale, 0.0)
            arm, joint = divmod(int(differences.argmax()), backend.robot.dof)
            worst = max(worst, (float(differences[arm, joint]), arm, joint))
    return Fidelity(worst[0], float(np.mean(periods)), *worst[1:])


def check_random_actions(factory: Factory, arms: int = ARMS) -> None:
    """Under uniform random actions, with contacts, states stay finite and inside the limits (with a tolerance of 0.1 rad)."""
    rng = np.random.default_rng(3)
    with open_backend(factory, arms) as backend:
        robot, state = backend.robot, reset_home(backend)
        for _ in range(5 * PERIODS):
            state = backend.step(_move(backend, state, rng.uniform(-1, 1, state.q.shape)))
            tolerance = LIMIT_TOLERANCE * robot.scale
            inside = (state.q >= robot.lower - tolerance) & (state.q <= robot.upper + tolerance)
            inside &= np.isfinite(state.dq)
            expect(bool(inside.all()), f"q is {state.q}, limits are {robot.lower} to {robot.upper}; dq is {state.dq}")


def check_saved_state(factory: Factory, arms: int = ARMS) -> None:
    """A backend continues bit-equally from a saved state, or raises an ``UnsupportedError`` when asked for it."""
    with open_backend(factory, arms) as backend:
        *_, state = drive_smoothly(backend, seed=4)
        try:
            saved = backend.get_state()
        except UnsupportedError:
            return
        robot, travel = backend.robot, get_travel(backend)
        goals = [np.clip(state.q_setpoint + k * 0.1 * travel, robot.lower, robot.upper) for k in range(1, 4)]
        first = [backend.step(goal) for goal in goals]
        # Once on the backend that saved, which has moved on since, and once on a new one, as when a training is resumed.
        with open_backend(factory, arms) as other:
            for restored in (backend, other):
                restored.set_state(saved)
                for expected, goal in zip(first, goals, strict=True):
                    actual = restored.step(goal)
                    equal = all(np.array_equal(x, y) for x, y in zip(get_arrays(expected), get_arrays(actual), strict=True))
                    expect(equal, "a backend continues differently from a restored state")


def check_fingers(factory: Factory, arms: int = ARMS) -> None:
    """Fingers open, close and mirror each other, and a command without them leaves them where they are."""
    with open_backend(factory, arms) as backend:
        robot, gripper, n = backend.robot, backend.robot.gripper, backend.robot.chain_dof
        if gripper is None:
            return
        state = reset_home(backend)
        for opening in (-1.0, 1.0, 0.0):
            target = np.tile(np.concatenate([robot.home[:n], gripper.compute_positions(opening)]), (arms, 1))
            # The time that the speed limit asks for, and some periods for the drive to settle.
            periods = int(np.ceil((np.abs(target - state.q) / get_travel(backend)).max())) + SETTLING
            for _ in range(periods):
                state = backend.step(_aim(backend, state, target))
                openings = np.array([_get_opening(gripper, i, state.q[:, n + i]) for i in range(robot.dof - n)])
                spread = float(np.ptp(openings, axis=0).max())
                expect(spread <= FINGER_TOLERANCE, f"the fingers' openings differ by {spread:.3f} (−1 closed to 1 open)")
            error = float(np.abs(openings - opening).max())
            expect(error <= FINGER_TOLERANCE, f"after {periods} periods the opening is off by {error:.3f} from {opening}")
        before = state
        for _ in range(SETTLING):
            state = backend.step(state.q_setpoint[:, :n])
        kept = np.array_equal(state.q_setpoint, before.q_setpoint)
        expect(kept, f"a command without the fingers moved the set-point from {before.q_setpoint} to {state.q_setpoint}")
        state = backend.reset(np.ones(arms, dtype=bool), np.tile(robot.home[:n], (arms, 1)))
        moved = (np.abs(state.q - before.q) / robot.scale)[:, n:].max()
        expect(bool(moved <= FINGER_TOLERANCE), f"a reset without the fingers moved them by {moved:.3f} strokes")


def check_effort(factory: Factory, arms: int = ARMS) -> None:
    """Efforts move joints in their direction, up to the speed at which the damping balances them; or ``UnsupportedError``."""
    with open_backend(factory, arms) as backend:
        robot, state = backend.robot, reset_home(backend)
        try:
            state = backend.step_effort(np.zeros((arms, robot.dof)))
        except UnsupportedError:
            return
        expect(bool(np.all(np.abs(state.dq) <= 1e-6)), f"an arm without effort moves: {state.dq}")
        # A quarter of the effort, towards the middle of the range, so that no joint arrives at its limit.
        share = 0.25 * _find_inward(backend)
        for _ in range(SETTLING):
            state = backend.step_effort(np.tile(share * robot.effort_limit, (arms, 1)))
        free = ~state.in_collision
        error = (np.abs(state.dq - share * robot.control_speed) / robot.control_speed)[free].max(initial=0.0)
        expect(bool(error <= EFFORT_TOLERANCE), f"speeds are off by {error:.3f} of the control speed")
        inside = np.array_equal(state.q_setpoint, np.clip(state.q, robot.lower, robot.upper))
        expect(inside, "after an effort the set-point is not the measured position")
        expected = (SETTLING + 1) * round(backend.control_dt * NANOSECONDS)
        expect(bool(np.all(state.time == expected) or not backend.lock_step), f"time is {state.time} ns, not {expected}")
        for fault, bad in {"too large": 1.01 * robot.effort_limit, "NaN": np.full(robot.dof, np.nan)}.items():
            call = functools.partial(backend.step_effort, np.tile(bad, (arms, 1)))
            expect_error(InvalidArgumentError, call, f"an effort that is {fault}")
        backend.step(state.q_setpoint)  # the drives take over where the efforts ended


def check_misuse(factory: Factory, arms: int = ARMS) -> None:
    """Calls in an invalid order, or with arrays of another shape, are errors. Closing twice is fine."""
    backend = factory(1)
    q, everyone = backend.robot.home[None], np.ones(1, dtype=bool)
    with closing(backend):
        expect_error(UsageError, lambda: backend.step(q), "a step before the first reset")
        few = q[:, 1:] if backend.robot.gripper is None else q[:, : backend.robot.chain_dof - 1]
        for bad in (few, np.full_like(q, np.nan), backend.robot.upper[None] + 0.01 * backend.robot.scale):
            expect_error(InvalidArgumentError, functools.partial(backend.reset, everyone, bad), f"a reset to {bad}")
        expect_error(InvalidArgumentError, lambda: backend.reset(np.ones(2, dtype=bool), q), "a mask of another length")
        state = reset_arms(backend, q)
        expect(not state.in_collision.any(), "the home pose reports a collision")
    backend.close()
    expect_error(UsageError, lambda: backend.step(q), "a step after close")
    expect_error(UsageError, lambda: backend.reset(everyone, q), "a reset after close")


CHECKS: dict[str, Callable[[Factory, int], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_attributes,
        check_state,
        check_time,
        check_setpoint,
        check_reset,
        check_determinism,
        check_fidelity,
        check_random_actions,
        check_saved_state,
        check_fingers,
        check_effort,
        check_misuse,
    )
}
"""The contract's checks by name, in the order in which they run. ``OBJECT_CHECKS`` are those of backends with objects."""


def drive_smoothly(backend: Backend, seed: int, periods: int = 100) -> Iterator[ArmState]:
    """Reset near home and drive around it with actions that change by at most 0.2 per period.

    Args:
        backend: The backend to drive.
        seed: Seed of start poses and actions.
        periods: Number of steps.

    Yields:
        The state after the reset and after every step.
    """
    rng = np.random.default_rng(seed)
    robot = backend.robot
    noise = rng.uniform(-0.3, 0.3, (backend.num_envs, robot.dof)) * robot.scale
    # An open gripper is at its limits, which engines make more or less soft: fingers move around the middle of their strokes.
    centre = np.concatenate([robot.home[: robot.chain_dof], ((robot.lower + robot.upper) / 2)[robot.chain_dof :]])
    start = np.clip(centre + noise, robot.lower, robot.upper)
    state = reset_arms(backend, start)
    yield state
    action = np.zeros_like(start)
    for _ in range(periods):
        # More than 0.4 rad away from home the actions turn back, so that the arm stays clear of the floor and its own links.
        homewards = np.where(np.abs(state.q_setpoint - centre) > 0.4 * robot.scale, np.sign(centre - state.q_setpoint), 0.0)
        change = SMOOTH_CHANGE * homewards + rng.uniform(-SMOOTH_CHANGE, SMOOTH_CHANGE, action.shape)
        action = np.clip(action + np.clip(change, -SMOOTH_CHANGE, SMOOTH_CHANGE), -1.0, 1.0)
        state = backend.step(_move(backend, state, action))
        yield state


def _move(backend: Backend, state: ArmState, action: Array) -> Array:
    """Return the set-point that the environment would make of an action."""
    return _aim(backend, state, state.q_setpoint + action * get_travel(backend))


def _aim(backend: Backend, state: ArmState, target: Array) -> Array:
    """Return the set-point that the environment would make of joint targets."""
    return compute_setpoint(state.q_setpoint, target, state.q, backend.robot, get_travel(backend))


def _find_inward(backend: Backend) -> Array:
    """Return the directions (dof,) from home towards the middle of the joints' ranges: an open gripper is at its limits."""
    robot = backend.robot
    return np.where(robot.home > (robot.lower + robot.upper) / 2, -1.0, 1.0)


def _get_opening(gripper: Gripper, finger: int, q: Array) -> Array:
    """Return the opening of one finger at positions (n,): −1 closed to 1 open."""
    closed, opened = gripper.closed[finger], gripper.open[finger]
    return 2.0 * (q - closed) / (opened - closed) - 1.0
