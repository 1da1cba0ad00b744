"""How the workers of a machine share its processors, and its addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import gym_gazebo2  # noqa: F401
from gym_gazebo2.algos import TrainConfig
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.distributed.processors import Share
from gym_gazebo2.algos.security.addresses import join_address, split_address
from gym_gazebo2.errors import InvalidArgumentError

from .processes import read_until, run_process

CLAIM = """
import os
from gym_gazebo2.scheduling import keep_to_free_processor
print(keep_to_free_processor({most}), sorted(os.sched_getaffinity(0)), flush=True)
input()
"""


COUNT = """
from gym_gazebo2.backends import make_backend
from gym_gazebo2.robots import make_robot
from gym_gazebo2.scheduling import limit_processors
limit_processors(1)
print(make_backend("mujoco", make_robot("mara"), num_envs=64).num_threads)
"""


@pytest.mark.parametrize(
    ("workers", "worker_cpus", "processors", "cpus", "wanted"),
    [
        (1, 1.0, 8, 8.0, 8),  # one worker has the machine for itself
        (2, 1.0, 2, 2.0, 1),
        (2, 1.0, 8, 8.0, 4),
        (3, 1.0, 8, 8.0, 2),
        (16, 1.0, 8, 8.0, 1),  # on two machines or more
        (4, 0.25, 2, 2.0, 1),
        (4, 1.0, 64, 4.0, 1),  # a container that may use 4 of 64
        (2, 2.0, 4, 4.0, 2),
        (1, 0.5, 4, 0.5, 1),
    ],
)
def test_the_workers_of_a_machine_share_its_processors(workers, worker_cpus, processors, cpus, wanted):
    assert Share(workers, worker_cpus).count(processors, cpus) == wanted


def test_an_engine_starts_no_more_threads_than_its_process_has_processors():
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("most", [1, 2])
def test_processes_keep_to_a_processor_each_until_none_is_free(tmp_path: Path, most: int):
    own = sorted(os.sched_getaffinity(0))
    wanted = [f"True [{processor}]" for processor in own * most]
    command = [sys.executable, "-c", CLAIM.format(most=most)]
    options = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "text": True,
        "env": {**os.environ, "TMPDIR": str(tmp_path)},
    }
    with ExitStack() as stack:
        processes = []
        for line in [*wanted, f"False {own}"]:
            processes.append(stack.enter_context(run_process(command, **options)))
            assert read_until(processes[-1], processes[-1].stdout, "]").strip() == line
        processes[0].kill()
        processes[0].wait(10)
        again = stack.enter_context(run_process(command, **options))
        assert read_until(again, again.stdout, "]").strip() == wanted[0]


def test_workers_with_a_simulator_keep_to_a_processor_each():
    assert resolve(TrainConfig(env="SCARA-v0", backend="gazebo", workers=2, num_envs=2)).vec == "pinned"
    assert resolve(TrainConfig(env="SCARA-v0", backend="gazebo", workers=2, num_envs=2, vec="dummy")).vec == "dummy"
    assert resolve(TrainConfig(env="SCARA-v0", workers=2)).vec == "batched"


@pytest.mark.parametrize("host", ["10.0.0.1", "head", "::1", "fd00::1"])
def test_an_address_is_split_as_it_was_joined(host):
    assert split_address(join_address(host, 6379)) == (host, 6379)


@pytest.mark.parametrize("address", ["::1:6379", "fd00::1:6379", "[]:6379", "[::1]", "[::1]:0"])
def test_an_ipv6_address_needs_brackets_and_a_port(address):
    with pytest.raises(InvalidArgumentError, match=r"\[fd00::1\]:6379"):
        split_address(address)
