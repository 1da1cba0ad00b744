"""The environment on a real Gazebo over real ROS 2: the contract, its agreement with the embedded physics, its faults."""

import dataclasses
import os
import signal
import socket
import threading
import time
from contextlib import closing

import gymnasium as gym
import numpy as np
import psutil
import pytest
import rclpy
from std_msgs.msg import String

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, train
from gym_gazebo2.backends import gazebo, make_backend
from gym_gazebo2.errors import BackendError, InvalidArgumentError, RenderError, UnsupportedError
from gym_gazebo2.gazebo import GazeboError, locate, serve
from gym_gazebo2.robots import make_robot
from gym_gazebo2.testing import CHECKS, drive_smoothly

from .simulator import SIMULATOR

ONE = np.ones(1, dtype=bool)
RMS_TOLERANCE = 0.01
FAKE_TOLERANCE = 0.02


@pytest.fixture
def backend():
    with closing(make_backend(SIMULATOR, make_robot("mara"), timeout=10.0)) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS)
def test_gazebo_keeps_the_contract(check):
    CHECKS[check](lambda num_envs: make_backend(SIMULATOR, make_robot("mara"), num_envs=num_envs), 1)


@pytest.mark.parametrize("name", ["mara", "scara", "panda", "ur5e"])
def test_gazebo_is_near_the_embedded_physics_and_the_fake_servo(name):
    robot, options = make_robot(name), {"physics_dt": 0.001}
    with closing(make_backend(SIMULATOR, robot)) as real, closing(make_backend("mujoco", robot, **options)) as embedded:
        fake, differences = make_backend("fake", robot), []
        for state in drive_smoothly(real, seed=5):
            others = [b.step(state.q_setpoint) if state.time[0] else b.reset(ONE, state.q) for b in (embedded, fake)]
            if state.in_collision[0] or others[0].in_collision[0]:
                break  # from the first contact on, nothing is promised
            differences.append([state.q[0] - other.q[0] for other in others])
    assert len(differences) > 40
    from_embedded, from_fake = np.moveaxis(np.array(differences), 1, 0)
    assert np.sqrt(np.mean(np.square(from_embedded))) < RMS_TOLERANCE
    assert np.abs(from_fake).max() < FAKE_TOLERANCE


def test_a_thousand_stamps_are_exact():
    env = gym.make("MARA-v0", backend=SIMULATOR, max_episode_steps=-1)
    env.reset(seed=0)
    arm = env.unwrapped.core
    for k in range(1, 1001):
        env.step(env.action_space.sample())
        assert arm.arm.time[0] == k * 50_000_000
    env.close()


def test_a_policy_trained_embedded_works_in_gazebo(tmp_path):
    config = TrainConfig(env="SCARA-v0", steps=100_000, out=str(tmp_path / "run"), progress=False)
    run = train(config)
    real = evaluate(run.path, EvaluateConfig(runs=5, backend=SIMULATOR))
    assert real.backend == SIMULATOR and real.success_rate == 1.0 and real.accuracy_rms_mm < 5.0


def test_several_gazebos_side_by_side():
    env = make_vec_env("SCARA-v0", 2, vec="subproc", seed=3, backend=SIMULATOR, start_noise=0.1)
    other = make_vec_env("SCARA-v0", 2, seed=3, start_noise=0.1)
    np.testing.assert_allclose(env.reset(), other.reset(), atol=1e-6)
    actions = 0.2 * np.ones((2, 3), dtype=np.float32)
    for _ in range(5):
        observation, other_observation = env.step(actions)[0], other.step(actions)[0]
    np.testing.assert_allclose(observation, other_observation, atol=0.02)
    env.close()


def test_several_arms_in_one_process_are_refused():
    with pytest.raises(InvalidArgumentError, match="vec='subproc'"):
        make_backend(SIMULATOR, make_robot("mara"), num_envs=2)


@pytest.mark.parametrize("during", ["step", "reset"])
def test_a_server_that_dies_is_an_error_that_quotes_its_log(backend, during):
    state = backend.reset(ONE, backend.robot.home[None])
    os.kill(backend.server.process.pid, signal.SIGKILL)
    with pytest.raises(BackendError, match=r"(?s)by signal SIGKILL.*end of its log"):
        backend.step(state.q_setpoint) if during == "step" else backend.reset(ONE, state.q)


def stop(pid):
    """Stop a process, and return once none of its threads can answer any more."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10.0
    while any(psutil.Process(thread.id).status() != psutil.STATUS_STOPPED for thread in psutil.Process(pid).threads()):
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.001)


def test_a_server_that_hangs_is_an_error_after_the_deadline():
    with closing(make_backend(SIMULATOR, make_robot("scara"))) as backend:
        backend.pacing.timeout = 1.5  # to connect may take longer
        state = backend.reset(ONE, backend.robot.home[None])
        stop(backend.server.process.pid)
        with pytest.raises(BackendError, match=r"no answer on /scara/joint_states within 1\.5 s"):
            backend.step(state.q_setpoint)


@pytest.mark.parametrize("during", ["step", "reset"])
def test_a_server_killed_while_it_is_waited_for_is_noticed_at_once(backend, during):
    state = backend.reset(ONE, backend.robot.home[None])
    pid = backend.server.process.pid
    stop(pid)
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"(?s)by signal SIGKILL.*end of its log"):
        backend.step(state.q_setpoint) if during == "step" else backend.reset(ONE, state.q)
    assert time.monotonic() - started < 5.0
    killer.join(10)


def test_another_version_of_the_plug_in_is_refused(monkeypatch):
    monkeypatch.setattr(gazebo, "compute_key", lambda *installations: "of-tomorrow")
    with pytest.raises(BackendError, match=r"version='[0-9a-f]{16}'.*expected version 'of-tomorrow'"):
        make_backend(SIMULATOR, make_robot("scara"))


@pytest.mark.gazebo11
def test_a_port_that_is_taken_is_an_error_that_quotes_the_log(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(locate, "find_port", lambda: taken.getsockname()[1])
        with pytest.raises(BackendError, match=r"(?s)gzserver ended .*end of its log.*[Aa]ddress already in use"):
            make_backend(SIMULATOR, make_robot("scara"))


def test_two_in_one_process_beside_the_users_own_node(monkeypatch):
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    rclpy.init(args=[], domain_id=77)
    own = rclpy.create_node("own")
    with (
        closing(make_backend(SIMULATOR, make_robot("mara"))) as one,
        closing(make_backend(SIMULATOR, make_robot("scara"))) as two,
    ):
        assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in os.environ, "the user's discovery is the user's"
        for arm in (one, two):
            arm.reset(ONE, arm.robot.home[None])
        for k in range(1, 21):
            for arm in (one, two):
                assert arm.step(arm.robot.home[None]).time[0] == k * 50_000_000
        own.destroy_node()
        rclpy.shutdown()
        assert one.step(one.robot.home[None]).time[0] == 21 * 50_000_000, "the user's shutdown is not ours"
        rclpy.init(args=[], domain_id=77)
        later = rclpy.create_node("later")
        heard = []
        later.create_subscription(String, "said", heard.append, 1)
        publisher = later.create_publisher(String, "said", 1)
        deadline = time.monotonic() + 20
        while not heard and time.monotonic() < deadline:
            publisher.publish(String(data="hello"))
            rclpy.spin_once(later, timeout_sec=0.1)
        assert heard, "the user's own node works"
        two.step(two.robot.home[None])
        later.destroy_node()
        rclpy.shutdown()


def test_where_asked_for_a_dead_server_is_replaced_and_the_episode_ends():
    env = gym.make("SCARA-v0", backend=SIMULATOR, backend_options={"on_failure": "restart", "timeout": 10.0})
    env.reset(seed=0)
    env.step(np.zeros(3))
    backend = env.unwrapped.core.backend
    dead = backend.inner.server.process
    dead.kill()
    *_, truncated, info = env.step(np.zeros(3))
    assert truncated and info["simulator_restarted"] and dead.returncode == -signal.SIGKILL
    env.reset()
    for k in range(1, 4):
        *_, truncated, info = env.step(np.full(3, 0.2))
        assert info["time"] == pytest.approx(0.05 * k) and not truncated and not info["simulator_restarted"]
    backend.inner.server.process.kill()
    assert env.reset()[1]["simulator_restarted"]
    last = backend.inner.server.process
    env.close()
    assert last.returncode == 0


def test_training_survives_the_death_of_its_simulator(tmp_path, monkeypatch):
    servers, steps = [], []
    start, step = gazebo.start_robot, gazebo.GazeboBackend.step
    monkeypatch.setattr(gazebo, "start_robot", lambda *args, **world: servers.append(start(*args, **world)) or servers[-1])

    def step_and_kill(backend, q_setpoint):
        steps.append(backend)
        if len(steps) == 250:
            backend.server.process.kill()
        return step(backend, q_setpoint)

    monkeypatch.setattr(gazebo.GazeboBackend, "step", step_and_kill)
    sizes = {"n_steps": 100, "batch_size": 100, "n_epochs": 2}
    few = {"num_envs": 1, "steps": 800, "eval_every": 800, "eval_runs": 1, "hyperparameters": sizes, "checkpoint_seconds": 0.1}
    config = TrainConfig(env="SCARA-v0", backend=SIMULATOR, out=str(tmp_path / "run"), progress=False, **few)
    run = train(config)
    assert run.model.is_file() and steps[249].server.process.returncode == -signal.SIGKILL
    assert len(servers) == 3, "one for training, one for evaluation, and one in place of the dead"
    assert all(server.process.returncode is not None for server in servers), "none is left"


def test_nothing_is_left_running_after_close(backend):
    process = backend.server.process
    backend.reset(ONE, backend.robot.home[None])
    backend.close()
    backend.close()
    assert process.returncode == 0


def test_missing_gazebo_names_the_command(monkeypatch):
    monkeypatch.setitem(serve.SIMULATORS, SIMULATOR, dataclasses.replace(serve.SIMULATORS[SIMULATOR], find=lambda: None))
    with pytest.raises(GazeboError, match="is not installed.*Install it"):
        make_backend(SIMULATOR, make_robot("mara"))


def test_a_period_of_no_whole_number_of_steps():
    with pytest.raises(InvalidArgumentError, match="control_dt"):
        make_backend(SIMULATOR, make_robot("mara"), control_dt=0.0505)


def test_no_provider_is_an_error_after_the_deadline(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with pytest.raises(BackendError, match=r"No simulator or robot was found .* no node on .* within 0\.5 s.*ROS_DOMAIN_ID"):
        make_backend("ros2", make_robot("mara"), domain_id=99, namespace="nobody", timeout=0.5)


@pytest.mark.parametrize("domain", ["102", "-1", "here"])
def test_domains_that_cannot_be(monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    with pytest.raises(InvalidArgumentError, match="101"):
        make_backend("ros2", make_robot("mara"))


def wait_for_programs(names: set[str], seconds: float = 10.0) -> list[psutil.Process]:
    """Return this process's descendants of those names, once all are there: a wrapper comes before the program itself."""
    deadline = time.monotonic() + seconds
    while True:
        found = {child: child.name().partition("-")[0] for child in psutil.Process().children(recursive=True)}
        if names <= set(found.values()):
            return [child for child, name in found.items() if name in names]
        assert time.monotonic() < deadline, f"only {set(found.values())} run after {seconds} s, expected {names}"


@pytest.mark.gazebo11
def test_its_window_keeps_real_time_and_ends_with_it(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    with closing(make_backend(SIMULATOR, make_robot("scara"), gui=True)) as backend:
        state = backend.reset(np.ones(1, dtype=bool), backend.robot.home[None])
        left = wait_for_programs({"gzserver", "gzclient"})
        start = time.monotonic()
        for _ in range(10):
            state = backend.step(state.q_setpoint)
            backend.render("human", 640, 480)
        assert time.monotonic() - start > 0.4
        with pytest.raises(UnsupportedError, match="cannot draw pictures. The 'mujoco' backend can"):
            backend.render("rgb_array", 640, 480)
        backend.client.process.kill()
        backend.client.process.wait(5)
        with pytest.raises(RenderError, match=r"gzclient\S* ended by signal SIGKILL"):
            backend.render("human", 640, 480)
    assert not any(child.is_running() for child in left)


@pytest.mark.gazebo11
def test_a_window_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RenderError, match=r"DISPLAY is not set.*play --record FILE"):
        make_backend(SIMULATOR, make_robot("scara"), gui=True)
    with closing(make_backend(SIMULATOR, make_robot("scara"))) as backend, pytest.raises(UnsupportedError, match="'gui': True"):
        backend.render("human", 640, 480)
