"""The environment on a real gzserver over real ROS 2: the contract, its agreement with the embedded physics, its faults."""

import os
import signal
from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, train
from gym_gazebo2.backends import make_backend
from gym_gazebo2.errors import BackendError, InvalidArgumentError
from gym_gazebo2.gazebo import GazeboError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.testing import CHECKS, drive_smoothly

ONE = np.ones(1, dtype=bool)
RMS_TOLERANCE = 0.01
FAKE_TOLERANCE = 0.02


@pytest.fixture
def backend():
    with closing(make_backend("gazebo", make_robot("mara"), timeout=10.0)) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS)
def test_gazebo_keeps_the_contract(check):
    CHECKS[check](lambda num_envs: make_backend("gazebo", make_robot("mara"), num_envs=num_envs), 1)


@pytest.mark.parametrize("name", ["mara", "scara"])
def test_gazebo_is_near_the_embedded_physics_and_the_fake_servo(name):
    robot, options = make_robot(name), {"physics_dt": 0.001}
    with closing(make_backend("gazebo", robot)) as real, closing(make_backend("mujoco", robot, **options)) as embedded:
        fake, differences = make_backend("fake", robot), []
        for state in drive_smoothly(real, seed=5):
            others = [b.step(state.q_setpoint) if state.time[0] else b.reset(ONE, state.q) for b in (embedded, fake)]
            differences.append([state.q[0] - other.q[0] for other in others])
    from_embedded, from_fake = np.moveaxis(np.array(differences), 1, 0)
    assert np.sqrt(np.mean(np.square(from_embedded))) < RMS_TOLERANCE
    assert np.abs(from_fake).max() < FAKE_TOLERANCE


def test_a_thousand_stamps_are_exact():
    env = gym.make("MARA-v0", backend="gazebo", max_episode_steps=-1)
    env.reset(seed=0)
    arm = env.unwrapped.core
    for k in range(1, 1001):
        env.step(env.action_space.sample())
        assert arm.arm.time[0] == k * 50_000_000
    env.close()


def test_a_policy_trained_embedded_works_in_gazebo(tmp_path):
    config = TrainConfig(env="SCARA-v0", steps=100_000, out=str(tmp_path / "run"), progress=False)
    run = train(config)
    real = evaluate(run.path, EvaluateConfig(runs=5, backend="gazebo"))
    assert real.backend == "gazebo" and real.success_rate == 1.0 and real.accuracy_rms_mm < 5.0


def test_several_gazebos_side_by_side():
    env = make_vec_env("SCARA-v0", 2, vec="subproc", seed=3, backend="gazebo", start_noise=0.1)
    other = make_vec_env("SCARA-v0", 2, seed=3, start_noise=0.1)
    np.testing.assert_allclose(env.reset(), other.reset(), atol=1e-6)
    actions = 0.2 * np.ones((2, 3), dtype=np.float32)
    for _ in range(5):
        observation, other_observation = env.step(actions)[0], other.step(actions)[0]
    np.testing.assert_allclose(observation, other_observation, atol=0.02)
    env.close()


def test_several_arms_in_one_process_are_refused():
    with pytest.raises(InvalidArgumentError, match="vec='subproc'"):
        make_backend("gazebo", make_robot("mara"), num_envs=2)


@pytest.mark.parametrize("during", ["step", "reset"])
def test_a_server_that_dies_is_an_error_that_quotes_its_log(backend, during):
    state = backend.reset(ONE, backend.robot.home[None])
    os.kill(backend._server.process.pid, signal.SIGKILL)
    with pytest.raises(BackendError, match=r"(?s)by signal SIGKILL.*end of its log"):
        backend.step(state.q_setpoint) if during == "step" else backend.reset(ONE, state.q)


def test_a_server_that_hangs_is_an_error_after_the_deadline():
    with closing(make_backend("gazebo", make_robot("scara"), timeout=1.5)) as backend:
        state = backend.reset(ONE, backend.robot.home[None])
        os.kill(backend._server.process.pid, signal.SIGSTOP)
        with pytest.raises(BackendError, match=r"no answer within 1\.5 s"):
            backend.step(state.q_setpoint)


def test_nothing_is_left_running_after_close(backend):
    process = backend._server.process
    backend.reset(ONE, backend.robot.home[None])
    backend.close()
    backend.close()
    assert process.returncode == 0


def test_missing_gazebo_names_the_command(monkeypatch):
    monkeypatch.setattr("gym_gazebo2.gazebo.serve.find_gazebo", lambda: None)
    with pytest.raises(GazeboError, match="gym-gazebo2 install-gazebo"):
        make_backend("gazebo", make_robot("mara"))


def test_a_period_of_no_whole_number_of_steps():
    with pytest.raises(InvalidArgumentError, match="control_dt"):
        make_backend("gazebo", make_robot("mara"), control_dt=0.0505)


def test_no_provider_is_an_error_after_the_deadline(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with pytest.raises(BackendError, match=r"within 0\.5 s there was nobody on .*ROS_DOMAIN_ID"):
        make_backend("ros2", make_robot("mara"), domain_id=99, namespace="nobody", timeout=0.5)


@pytest.mark.parametrize("domain", ["102", "-1", "here"])
def test_domains_that_cannot_be(monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    with pytest.raises(InvalidArgumentError, match="101"):
        make_backend("ros2", make_robot("mara"))
