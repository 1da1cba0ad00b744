"""Serialised messages are read and written as if objects were made of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")

from rclpy.serialization import serialize_message

from gym_gazebo2.backends.ros2 import wire
from gym_gazebo2.backends.ros2.wire import CommandWriter, JointReading, StateReader, read_force
from gym_gazebo2.ros import JointState, JointTrajectory, WrenchStamped, deserialize_message, to_ns


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def make_state(rng: np.random.Generator, names: list[str], **fields: list[float]) -> JointState:
    numbers = {name: rng.normal(size=len(names)).tolist() for name in ("position", "velocity", "effort")} | fields
    state = JointState(name=names, **numbers)
    state.header.frame_id = "t" * int(rng.integers(0, 40))
    state.header.stamp.sec, state.header.stamp.nanosec = int(rng.integers(-5, 2**31)), int(rng.integers(0, 10**9))
    return state


def check(reading: JointReading, state: JointState) -> None:
    assert (reading.stamp, reading.token, reading.names) == (to_ns(state.header.stamp), state.header.frame_id, list(state.name))
    np.testing.assert_array_equal(reading.position, state.position)
    np.testing.assert_array_equal(reading.velocity, state.velocity)


def test_states_of_any_layout_are_read_one_after_the_other(rng: np.random.Generator) -> None:
    reader = StateReader()
    pool = ["a", "ab", "motor1", "shoulder_pan_joint", "Gelenk_ä", "a.b(c)", ""]
    for _ in range(300):
        state = make_state(rng, rng.choice(pool, int(rng.integers(0, len(pool) + 1)), replace=False).tolist())
        for _ in range(2):
            check(reader.read(serialize_message(state)), state)


@pytest.mark.parametrize("fields", [{"effort": []}, {"velocity": []}, {"velocity": [], "effort": []}, {"position": [1.0] * 5}])
def test_a_state_that_lacks_numbers_is_not_taken_for_the_last_ones_kind(
    rng: np.random.Generator, fields: dict[str, list[float]]
) -> None:
    reader, names = StateReader(), ["a", "b", "c"]
    for state in (make_state(rng, names), make_state(rng, names, **fields), make_state(rng, names)):
        check(reader.read(serialize_message(state)), state)


def test_a_repeated_layout_needs_no_object(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(wire, "deserialize_message", lambda *args: made.append(args) or deserialize_message(*args))
    reader, names = StateReader(), [f"motor{k}" for k in range(6)]
    for _ in range(50):
        state = make_state(rng, names)
        check(reader.read(serialize_message(state)), state)
    assert len(made) == 1


@pytest.mark.parametrize("names", [["motor1"], [f"motor{k}" for k in range(6)], ["shoulder_pan_joint", "Gelenk_ä", "a"]])
def test_commands_of_any_token_are_written_one_after_the_other(rng: np.random.Generator, names: list[str]) -> None:
    writer = CommandWriter(names)
    for _ in range(300):
        goal, period = rng.choice([0.0, 1.0, 2.0, rng.normal()], len(names)), int(rng.integers(0, 2**31) * 10**6)
        token = "t" * int(rng.integers(0, 12)) + "ä1"[: int(rng.integers(0, 3))]
        command = deserialize_message(writer.write(goal, period, token), JointTrajectory)
        (point,) = command.points
        assert (command.header.frame_id, command.joint_names, point.positions.tolist()) == (token, names, goal.tolist())
        assert (to_ns(point.time_from_start), to_ns(command.header.stamp)) == (period, 0)
        assert not (point.velocities or point.accelerations or point.effort)


def test_the_force_of_a_contact(rng: np.random.Generator) -> None:
    contact = WrenchStamped()
    assert read_force(serialize_message(contact)) == 0.0
    contact.header.frame_id = "token"
    contact.wrench.force.x = 3.5
    assert read_force(serialize_message(contact)) == 3.5
