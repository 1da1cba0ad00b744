"""A cluster with Ray's own autoscaler, which starts machines when workers wait for them. Its machines are processes here."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from gym_gazebo2.algos.distributed import watchdog
from gym_gazebo2.algos.distributed.cluster import ask_cluster
from gym_gazebo2.algos.distributed.history import read_sessions
from gym_gazebo2.algos.distributed.machine import SETTINGS, find_free_port
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.errors import WorkerError

from .conftest import ROOT
from .processes import run_process

TINY = {"env": "MARA-v0", "num_envs": 16, "max_episode_steps": 10, "steps": 800, "eval_every": 800, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 80, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}},
        "normalize": False, "progress": "quiet"}  # fmt: skip
HEAD = "f" * 51 + "00000"
"""Ray's id of the head, by which its stand-in for a cloud knows it."""


def write_config(folder, address):
    """Write what Ray's autoscaler needs: a head without CPUs, and up to four machines with one."""
    types = {"ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}}
    types["small"] = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 4}
    provider = {"type": "fake_multinode", "gcs_address": address, "head_node_id": HEAD, "launch_multiple": True}
    provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
    config = {"cluster_name": "test", "max_workers": 4, "upscaling_speed": 10, "idle_timeout_minutes": 5, "provider": provider,
              "available_node_types": types, "head_node_type": "ray.head.default", "auth": {"ssh_user": "nobody"},
              "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False}  # fmt: skip
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    path = folder / "autoscaler.json"
    path.write_text(json.dumps({**config, **{f"{name}_commands": [] for name in commands}}))
    return path


@contextlib.contextmanager
def start_cluster(environment, address):
    """A cluster that has no CPU until somebody needs one."""
    folder, mark = Path(tempfile.mkdtemp(prefix="gg-", dir="/tmp")), uuid.uuid4().hex
    arguments = ["--head", "--node-ip-address", "127.0.0.1", "--port", address.rpartition(":")[2], "--num-cpus", "0"]
    arguments += ["--include-dashboard", "false", "--include-log-monitor", "false"]
    arguments += ["--ray-client-server-port", str(find_free_port()), "--temp-dir", str(folder / "ray")]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments]
    command += [f"--autoscaling-config={write_config(folder, address)}"]
    variables = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", watchdog.MARK: mark}
    try:
        with (
            (folder / "log").open("w+") as log,
            run_process(command, env={**environment, **variables}, stdout=log, stderr=subprocess.STDOUT) as process,
        ):
            wait_until_it_answers(address, environment, process, folder / "log")
            yield
    finally:
        watchdog.end_marked(mark)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_it_answers(address, environment, process, log):
    deadline = time.monotonic() + 120
    while True:
        try:
            state = ask_cluster(address, environment)
        except WorkerError as error:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"{error}\n{log.read_text()}"
            time.sleep(0.2)
        else:
            assert sum(node.cpus for node in state.alive) == 0
            return


@pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
def test_more_workers_than_cpus_wait_for_an_autoscaler(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # without a token of Ray's own
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    environment = {**SETTINGS, **os.environ, **token, "PYTHONPATH": str(ROOT)}
    address, out, file = f"127.0.0.1:{find_free_port()}", tmp_path / "run", tmp_path / "tiny.json"
    file.write_text(json.dumps(TINY))
    words = ["train", "--config", str(file), "--out", str(out), "--workers", "2", "--address", address]
    words += ["--missing-workers", "wait"]
    command = [sys.executable, "-m", "gym_gazebo2.cli", *words]
    with start_cluster(environment, address):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 workers have no machine: the cluster has 0 CPUs. Waiting for machines to join." in done.stderr
    (session,) = read_sessions(RunFolder(out))
    assert [worker["steps"] > 0 for worker in session["workers"]] == [True, True]
