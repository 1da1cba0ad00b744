"""The part of the contract about objects, for backends with a scene that has some."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.backends.base import Backend
from gym_gazebo2.backends.objects import PARK_POSE
from gym_gazebo2.errors import InvalidArgumentError, UnsupportedError, UsageError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.state import ArmState, ObjectState, Placement
from gym_gazebo2.testing.tools import (
    Factory,
    expect,
    expect_error,
    get_arrays,
    get_travel,
    open_backend,
    place_beside,
    reset_home,
)

__all__ = ["OBJECT_CHECKS"]

Array = NDArray[np.float64]

REST_DISTANCE, REST_SPEED = 2e-3, 0.02
"""An object that was placed on something moves by less than this [m], and is slower than this in the end [m/s]."""
DROP = 0.2
"""Height from which objects fall in the checks [m]."""
PERIODS = 10


def check_placement(factory: Factory, arms: int) -> None:
    """Objects are placed where asked, at rest, and stay there. A reset of other arms, or without objects, leaves them."""
    with open_backend(factory, arms) as backend:
        everyone, q = np.ones(arms, dtype=bool), np.tile(backend.robot.home, (arms, 1))
        expect_error(UsageError, lambda: backend.reset(everyone, q), "a first reset without objects")
        placement = place_beside(backend)
        state = backend.reset(everyone, q, placement)
        objects = _get(state)
        expect(np.array_equal(objects.index, placement.index), f"objects show the members {objects.index}")
        _expect_near(objects.pose, placement.pose, 1e-6, "after reset an object is at")
        expect(not objects.twist.any() and not objects.is_parked.any(), "after reset an object moves, or is parked")
        for _ in range(PERIODS):
            state = backend.step(state.q_setpoint)
        _expect_near(_get(state).pose[..., :3], placement.pose[..., :3], REST_DISTANCE, "an object at rest went to")
        speed = np.abs(_get(state).twist[..., :3]).max()
        expect(bool(speed < REST_SPEED), f"an object at rest has a speed of {speed} m/s")
        expect(not state.in_collision.any(), "an object that lies on something counts as a collision")
        # Other members of the pool for the first arm only; then the arms alone.
        mask, before = np.arange(arms) == 0, _get(state)
        after = _get(backend.reset(mask, q, _invalidate(place_beside(backend, first=1), ~mask)))
        for name in ("index", "pose", "twist", "is_parked"):
            old, new = getattr(before, name)[~mask], getattr(after, name)[~mask]
            expect(np.array_equal(old, new), f"a reset changed {name} of objects outside the mask")
        kept = _get(backend.reset(everyone, q))
        expect(np.array_equal(kept.pose, after.pose), "a reset without objects moved them")


def check_bad_placement(factory: Factory, arms: int) -> None:
    """Invalid placements are refused: another shape, NaN, a quaternion of length zero, no member, the same member twice."""
    with open_backend(factory, arms) as backend:
        reset_home(backend)
        everyone, q, good = np.ones(arms, dtype=bool), np.tile(backend.robot.home, (arms, 1)), place_beside(backend)
        bad = {
            "of another shape": Placement(good.index, good.pose[..., :6]),
            "with NaN": Placement(good.index, np.full_like(good.pose, np.nan)),
            "with quaternions of length zero": Placement(good.index, np.zeros_like(good.pose)),
            "of a member that does not exist": Placement(good.index + 10_000, good.pose),
        }
        if backend.num_objects > 1:
            bad["with a member twice"] = Placement(np.zeros_like(good.index), good.pose)
        for fault, placement in bad.items():
            expect_error(InvalidArgumentError, functools.partial(backend.reset, everyone, q, placement), f"a placement {fault}")
        park = np.zeros((arms, backend.num_objects + 1), dtype=bool)
        expect_error(InvalidArgumentError, lambda: backend.step(q, park), "park of another shape")


def check_park(factory: Factory, arms: int) -> None:
    """A parked object is out of reach at once, at rest, until it is placed again. Other objects are not affected."""
    with open_backend(factory, arms) as backend:
        state = reset_home(backend)
        park = np.zeros((arms, backend.num_objects), dtype=bool)
        park[-1, 0] = True
        for i in range(PERIODS):
            inward = np.where(backend.robot.home > (backend.robot.lower + backend.robot.upper) / 2, -1.0, 1.0)
            goal = state.q_setpoint + 0.2 * inward * get_travel(backend)  # the arm moves meanwhile
            state = backend.step(goal, park if i < 2 else None)  # parking twice is fine
            objects = _get(state)
            expect(np.array_equal(objects.is_parked, park), f"is_parked is {objects.is_parked}, not {park}")
            expect(bool((objects.pose[park] == PARK_POSE).all()), f"a parked object is at {objects.pose[park]}")
            expect(not objects.twist[park].any(), "a parked object moves")
        subject = "while another object was parked, an object went to"
        _expect_near(objects.pose[~park], place_beside(backend).pose[~park], REST_DISTANCE, subject)
        kept = _get(backend.reset(np.ones(arms, dtype=bool), state.q))
        expect(np.array_equal(kept.is_parked, park), "a reset without objects changed which are parked")
        again = _get(reset_home(backend))
        expect(not again.is_parked.any(), "an object that was placed again is still parked")
        _expect_near(again.pose, place_beside(backend).pose, 1e-6, "after parking, an object was placed at")


def check_objects_determinism(factory: Factory, arms: int) -> None:
    """The same calls give bit-equal objects, and those of an arm in a batch move as those of a single one, to 1e-9."""
    with open_backend(factory, arms) as one, open_backend(factory, arms) as two, open_backend(factory, 1) as single:
        states = [_drop(backend, arms) for backend in (one, two)]
        for a, b in zip(*states, strict=True):
            equal = all(np.array_equal(x, y) for x, y in zip(get_arrays(a), get_arrays(b), strict=True))
            expect(equal, "two backends given the same calls differ")
        # The last arm alone. The objects of every arm of a batch are other members, at other heights.
        for a, b in zip(states[0], _drop(single, arms, arms - 1), strict=True):
            difference = np.abs(_get(a).pose[-1] - _get(b).pose[0]).max()
            expect(bool(difference <= 1e-9), f"objects of a batch's last arm differ from a single one's by {difference}")


def check_saved_objects(factory: Factory, arms: int) -> None:
    """Objects continue bit-equally from a saved state, shapes and parked ones included; or ``UnsupportedError``."""
    with open_backend(factory, arms) as backend, open_backend(factory, arms) as other:
        state, park = _drop(backend, arms)[3], np.zeros((arms, backend.num_objects), dtype=bool)
        park[0, -1] = True
        state = backend.step(state.q_setpoint, park)
        try:
            saved = backend.get_state()
        except UnsupportedError:
            return
        expected = [backend.step(state.q_setpoint) for _ in range(PERIODS)]
        _drop(other, arms)
        for restored in (backend, other):
            first = restored.set_state(saved)
            same = all(np.array_equal(x, y) for x, y in zip(get_arrays(first), get_arrays(state), strict=True))
            expect(same, "set_state returns another state than the one that was saved")
            for before in expected:
                now = restored.step(state.q_setpoint)
                equal = all(np.array_equal(x, y) for x, y in zip(get_arrays(before), get_arrays(now), strict=True))
                expect(equal, "objects continue differently from a restored state")


def check_object_contacts(factory: Factory, arms: int) -> None:
    """An object that touches the arm is no collision."""
    with open_backend(factory, arms) as backend:
        placement = place_beside(backend)
        placement.pose[:, 0, :3] = Kinematics(backend.robot).compute_tcp_pose(backend.robot.home[None])[0, :3, 3]
        q = np.tile(backend.robot.home, (arms, 1))
        state = backend.reset(np.ones(arms, dtype=bool), q, placement)
        for _ in range(3):
            expect(not state.in_collision.any(), "contact of arm and object counts as a collision")
            state = backend.step(state.q_setpoint)


def check_object_factors(factory: Factory, arms: int) -> None:
    """Factors that ``object_factors`` names are taken: 1 changes nothing, little friction does. Others are refused."""
    with open_backend(factory, arms) as backend:
        everyone, q, placement = np.ones(arms, dtype=bool), np.tile(backend.robot.home, (arms, 1)), place_beside(backend)

        def reset(name: str, value: float) -> ArmState:
            factors = {name: np.full(placement.index.shape, value)}
            return backend.reset(everyone, q, dataclasses.replace(placement, factors=factors))

        names = [name for name in ("friction", "mass") if name in backend.object_factors]
        for name in ("friction", "mass"):
            if name not in backend.object_factors:
                expect_error(UnsupportedError, functools.partial(reset, name, 1.0), f"a factor on {name}")
                continue
            for bad in (0.0, -1.0, np.nan):
                expect_error(InvalidArgumentError, functools.partial(reset, name, bad), f"a factor of {bad} on {name}")
    for name in names:
        same = np.array_equal(_tumble(factory, arms, {name: 1.0}), _tumble(factory, arms, {}))
        expect(same, f"objects with a factor of 1 on {name} move differently")
    if "friction" in names:
        same = np.array_equal(_tumble(factory, arms, {"friction": 0.2}), _tumble(factory, arms, {}))
        expect(not same, "objects with a fifth of the friction move as before")


OBJECT_CHECKS: dict[str, Callable[[Factory, int], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_placement,
        check_bad_placement,
        check_park,
        check_objects_determinism,
        check_saved_objects,
        check_object_contacts,
        check_object_factors,
    )
}
"""The checks of objects, by name, in the order in which they run."""


def _drop(backend: Backend, arms: int, arm: int | None = None, factors: dict[str, float] | None = None) -> list[ArmState]:
    """Let objects fall, other members at other heights for every arm, and return all states.

    Args:
        backend: The backend.
        arms: Number of arms of the whole experiment.
        arm: Index of the arm that a backend with a single arm stands for; None: all arms.
        factors: Factors on the properties of all objects; None: none.
    """
    rows = [place_beside(backend, first=i) for i in range(arms)]
    for i, row in enumerate(rows):
        row.pose[..., 2] += DROP * (1.0 + 0.1 * i)
        row.pose[..., 3:] = [0.9, 0.3, 0.1, 0.3]  # on a corner, so that it tumbles; quaternions are made unit
    chosen = [(i, i) for i in range(arms)] if arm is None else [(arm, 0)]
    placement = Placement(np.stack([rows[i].index[j] for i, j in chosen]), np.stack([rows[i].pose[j] for i, j in chosen]))
    n = backend.num_envs
    if factors:
        placement = dataclasses.replace(placement, factors={k: np.full(placement.index.shape, v) for k, v in factors.items()})
    states = [backend.reset(np.ones(n, dtype=bool), np.tile(backend.robot.home, (n, 1)), placement)]
    for _ in range(PERIODS):
        states.append(backend.step(states[-1].q_setpoint))
    return states


def _tumble(factory: Factory, arms: int, factors: dict[str, float]) -> Array:
    """Return the poses (n, k, 7) of objects with factors that have fallen on a corner, in a backend of their own."""
    with open_backend(factory, arms) as backend:
        return _get(_drop(backend, arms, factors=factors)[-1]).pose


def _invalidate(placement: Placement, rows: NDArray[np.bool_]) -> Placement:
    """Return the placement with some rows (n,) that no backend may read."""
    index, pose = placement.index.copy(), placement.pose.copy()
    index[rows], pose[rows] = -1, np.nan
    return dataclasses.replace(placement, index=index, pose=pose)


def _get(state: ArmState) -> ObjectState:
    if state.objects is None:
        raise AssertionError("the state has no objects, though the scene has")
    return state.objects


def _expect_near(actual: Array, wanted: Array, tolerance: float, subject: str) -> None:
    difference = np.abs(actual - wanted)
    worst = np.unravel_index(int(difference.argmax()), difference.shape)[:-1]
    expect(bool((difference <= tolerance).all()), f"{subject} {actual[worst]}, not {wanted[worst]}")
