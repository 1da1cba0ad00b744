"""Workers on Ray: the same bits as in one process, whatever happens to them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import gymnasium
import pytest
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from gym_gazebo2.algos.distributed import fleet as fleet_module
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.places import Limits, describe_workers
from gym_gazebo2.algos.distributed.session import RaySession, check_capacity, import_ray
from gym_gazebo2.algos.distributed.watchdog import find_marked
from gym_gazebo2.errors import BackendError, InvalidArgumentError, MissingDependencyError, UnknownEnvError, WorkerError

from .processes import read_until, run_process
from .shards import assert_equal, configure, describe, learn

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
SHARDS = 4


@pytest.fixture(scope="module")
def session():
    """One Ray for this module, with room for more workers than processors."""
    with closing(RaySession(num_cpus=6)) as session:
        yield session
    assert not find_marked(session.mark)


@pytest.fixture
def config():
    """With normalisation, so that the bits depend on the shards and their order."""
    return configure(normalize=True)


@pytest.fixture(scope="module")
def expected():
    return describe(learn(configure(normalize=True), SHARDS, iterations=6))


@contextmanager
def start(config, num_workers, **limits):
    with closing(Fleet(config, config.num_envs // SHARDS, num_workers, limits=Limits(**limits))) as fleet:
        fleet.wait_ready()
        yield fleet


class Between(BaseCallback):
    """Calls a function between two iterations."""

    def __init__(self, iteration, function):
        super().__init__()
        self.left, self.function = iteration, function

    def _on_rollout_start(self):
        if self.left == 0:
            self.function()
        self.left -= 1

    def _on_step(self):
        return True


def stop(worker):
    os.kill(worker.pid, signal.SIGSTOP)


def kill(worker):
    os.kill(worker.pid, signal.SIGKILL)


def test_workers_give_the_bits_of_one_process(session, config, expected):
    with start(config, 3) as fleet:
        assert_equal(expected, describe(learn(config, SHARDS, iterations=6, collector=fleet)))
        workers = fleet.workers
    assert len({worker.pid for worker in workers}) == 3
    assert sum(worker.steps for worker in workers) == expected["steps"]
    assert all(worker.speed > 0 and worker.num_bytes > 0 and worker.restarts == 0 for worker in workers)


def test_killed_workers_are_replaced(session, config, expected):
    with start(config, 2) as fleet:

        def kill_one_now_and_all_soon():
            kill(fleet.workers[0])
            pids = [worker.pid for worker in fleet.workers]
            timer.function = lambda: [os.kill(pid, signal.SIGKILL) for pid in pids[1:]]
            timer.start()

        timer, described = threading.Timer(0.05, lambda: None), list[str]()
        look = CallbackList([Between(k, lambda: described.extend(describe_workers(fleet.workers))) for k in (3, 4, 5)])
        callback = CallbackList([Between(2, kill_one_now_and_all_soon), look])
        model = learn(config, SHARDS, iterations=6, collector=fleet, callback=callback)
        timer.join()
        workers = fleet.workers
    assert_equal(expected, describe(model))
    assert workers[0].restarts == 1
    assert "died" in workers[0].last_loss
    assert any("worker 0" in part and "it died" in part for part in described)  # lost, or replaced by now


def test_a_stopped_worker_is_replaced_after_its_deadline(session, config, expected):
    with start(config, 1, task_floor_s=1.0) as fleet:
        model = learn(config, SHARDS, iterations=6, collector=fleet, callback=Between(2, lambda: stop(fleet.workers[0])))
        worker = fleet.workers[0]
    assert_equal(expected, describe(model))
    assert worker.restarts == 1
    assert "no answer within 1 s" in worker.last_loss


def test_a_slow_worker_s_task_is_done_by_another_one(session, config, expected):
    with start(config, 2) as fleet:
        slow = fleet.workers[1]
        started, described = time.monotonic(), list[str]()
        look = Between(3, lambda: described.extend(describe_workers(fleet.workers)))
        callback = CallbackList([Between(2, lambda: stop(slow)), look])
        model = learn(config, SHARDS, iterations=6, collector=fleet, callback=callback)
        took = time.monotonic() - started
        workers = fleet.workers
    assert_equal(expected, describe(model))
    assert took < 10  # 2.5 times the median of some milliseconds, or the floor of half a second
    assert [worker.restarts for worker in workers] == [0, 0]
    assert workers[1].num_tasks < workers[0].num_tasks
    assert f"worker 1 on {workers[1].host} is late" in described


def test_a_worker_joins_later(session, config, expected):
    with start(config, 1) as fleet:
        fleet.add_workers(1)
        assert fleet.workers[1].state == "starting"  # training begins with the workers that are ready
        model = learn(config, SHARDS, iterations=6, collector=fleet, callback=Between(2, fleet.wait_ready))
        workers = fleet.workers
    assert_equal(expected, describe(model))
    assert workers[1].num_tasks > 0


def test_an_id_that_a_worker_does_not_know_ends_training_at_once(session):
    gymnasium.register("OnlyHere-v0", "tests.test_distributed:Choices", max_episode_steps=9)
    here = configure(env="OnlyHere-v0", max_episode_steps=None, start_noise=None)
    with closing(Fleet(here, 4, 1)) as fleet, pytest.raises(UnknownEnvError, match="OnlyHere-v0"):
        fleet.wait_ready()


def test_a_worker_with_other_versions_ends_training_at_once(session, config, monkeypatch):
    monkeypatch.setattr(fleet_module, "collect_versions", lambda: {"gym_gazebo2": "0.0.7"})
    message = "has gym_gazebo2 .*, this machine has 0.0.7. Install the same version on both."
    with closing(Fleet(config, 4, 1)) as fleet, pytest.raises(WorkerError, match=message):
        fleet.wait_ready()


def test_a_simulator_that_fails_again_and_again_ends_training_with_its_error(session):
    failing = configure(env="tests.failing_arm:Failing-v0")
    with start(failing, 1, attempts=2) as fleet:
        with pytest.raises(BackendError, match="stands still"):
            learn(failing, SHARDS, collector=fleet)
        assert fleet.workers[0].restarts == 2
        assert "stands still" in fleet.workers[0].last_loss


def test_workers_that_never_start_end_training(session, config):
    limits = Limits(start_s=0.01, attempts=2)
    with closing(Fleet(config, 4, 1, limits=limits)) as fleet, pytest.raises(WorkerError, match=r"No worker starts.*0\.01 s"):
        fleet.wait_ready()


def test_more_workers_than_processors_are_refused_at_once():
    with pytest.raises(InvalidArgumentError, match=r"3 workers .* do not fit: this machine has 2\. Use --workers 2"):
        check_capacity(3, 1.0, 2.0, "this machine")
    check_capacity(8, 0.25, 2.0, "this machine")


@pytest.mark.parametrize("address", ["nowhere", ":6379", "host:port"])
def test_an_address_has_a_host_and_a_port(address):
    with pytest.raises(InvalidArgumentError, match="HOST:PORT"):
        RaySession(address)


def test_an_address_where_nothing_or_something_else_answers_is_refused_within_15_s():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(WorkerError, match=f"No .*Ray cluster.* at 127.0.0.1:{port}"):
            RaySession(f"127.0.0.1:{port}")
        assert time.monotonic() - started < 15
    with pytest.raises(WorkerError, match="refused.*gym-gazebo2 cluster head"):
        RaySession(f"127.0.0.1:{port}")


def test_without_ray_the_install_command_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="gym_gazebo2\\[cluster\\]"):
        RaySession()


DRIVER = """
from gym_gazebo2.algos.distributed import fleet as fleet_module
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.session import RaySession
from tests.shards import configure
session = RaySession(num_cpus=1)
fleet = Fleet(configure(), 8, 1)
fleet.wait_ready()
print(session.mark, flush=True)
input()
"""


def test_only_who_has_the_token_reaches_a_local_ray(session, tmp_path):
    """Ray listens on all interfaces."""
    address = import_ray().get_runtime_context().gcs_address
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    for home, works in ((Path.home(), True), (tmp_path, False)):
        environment = {**os.environ, "HOME": str(home)}
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
        assert (done.returncode == 0) == works
    assert not (Path.home() / ".ray" / "auth_token").stat().st_mode & 0o077


def test_nothing_is_left_10_s_after_the_sigkill_of_the_driver():
    with run_process([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        mark = read_until(driver, driver.stdout, "\n", 120).strip()
        assert len(find_marked(mark)) >= 4  # the server of the cluster, its node, agents, the worker
        driver.kill()
        driver.wait(10)
        deadline = time.monotonic() + 10
        while (left := find_marked(mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left
