"""The commands of a cluster on this machine, its credentials, and what a training does while machines are missing."""

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from gym_gazebo2.algos.config import TrainConfig
from gym_gazebo2.algos.distributed.ask import KEY, NAMESPACE
from gym_gazebo2.algos.distributed.cluster import ask_cluster, check_cluster, describe_package
from gym_gazebo2.algos.distributed.fleet import Fleet
from gym_gazebo2.algos.distributed.machine import LEAST_DISK_BYTES, check_disk, find_free_port
from gym_gazebo2.algos.distributed.node import start_head, start_node
from gym_gazebo2.algos.distributed.places import Limits
from gym_gazebo2.algos.distributed.session import RaySession
from gym_gazebo2.algos.security.admission import find_credentials
from gym_gazebo2.algos.security.credentials import Credentials, read_invite, write_invite
from gym_gazebo2.algos.security.head_folder import HeadFolder
from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError, RunError, UnknownNameError, WorkerError

from .conftest import ROOT
from .processes import IN_BACKGROUND, read_until, run_process
from .shards import assert_equal, configure, describe, learn
from .test_fleet import SHARDS, Between

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning")
REMOTE = "10.0.0.1:6379"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep the user's own heads and tokens out of the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A head with one CPU, at 127.0.0.1: a token, and no TLS."""
    address = f"127.0.0.1:{find_free_port()}"
    credentials = HeadFolder(tmp_path_factory.mktemp("head")).prepare(address, insecure=False, has_tls=False)
    with start_head(address, credentials, cpus=1) as node:
        yield node, credentials


@pytest.fixture
def invite(head, tmp_path):
    write_invite(tmp_path / "invite.json", head[1])
    return tmp_path / "invite.json"


def test_the_head_s_folder_is_private_and_keeps_ca_and_token(home):
    folder = HeadFolder(home / "head")
    first, second = (folder.prepare(REMOTE, insecure=False, has_tls=True) for _ in range(2))
    assert (first.token, first.authority) == (second.token, second.authority)
    assert first.certificate != second.certificate
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    assert folder.read() == second
    assert first.token not in repr(first) and first.key not in repr(first)


def test_an_invite_has_all_but_the_key_of_the_ca(home, capsys):
    folder, out = HeadFolder(home / "state" / "gym_gazebo2" / "cluster"), home / "invite.json"
    assert main(["cluster", "invite", "10.0.0.2"]) == 1
    assert "No head was started" in capsys.readouterr().err
    folder.prepare(REMOTE, insecure=False, has_tls=True)
    assert main(["cluster", "invite", "10.0.0.2", "--out", str(out)]) == 0
    assert f"gym-gazebo2 cluster join {REMOTE} --invite invite.json" in capsys.readouterr().out
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (folder.path / "ca.key").read_text() not in json.loads(out.read_text()).values()
    invite = read_invite(out)
    assert find_credentials(REMOTE, out) == invite
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text"], input=invite.certificate, capture_output=True, text=True, check=True
    )
    assert "IP Address:10.0.0.2, IP Address:127.0.0.1" in text.stdout
    assert main(["cluster", "invite", "0.0.0.0"]) == 2
    folder.prepare("127.0.0.1:6379", insecure=False, has_tls=False)
    assert main(["cluster", "invite", "10.0.0.2"]) == 2
    assert "serves this machine alone" in capsys.readouterr().err


def test_an_invite_that_others_can_read_or_that_is_none_is_refused(home):
    path = home / "invite.json"
    write_invite(path, Credentials(REMOTE, "token"))
    path.chmod(0o644)
    with pytest.raises(RunError, match=f"chmod 600 {path}"):
        read_invite(path)
    for content in ("", "{}", "[1]", json.dumps({"format": "gym_gazebo2 cluster invite 1", "token": 1})):
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(RunError, match="invite"):
            read_invite(path)
    with pytest.raises(RunError, match="Cannot read the invite"):
        read_invite(home / "none.json")


def test_off_loopback_token_and_tls_are_required_unless_a_vpn_encrypts(home, monkeypatch):
    with pytest.raises(WorkerError, match=r"There is no token .*cluster invite"):
        find_credentials(REMOTE)
    write_invite(home / "i.json", Credentials(REMOTE, "token"))
    with pytest.raises(WorkerError, match="no certificate.*--insecure"):
        find_credentials(REMOTE, home / "i.json")
    assert find_credentials(REMOTE, home / "i.json", insecure=True).token == "token"
    HeadFolder(home / "state" / "gym_gazebo2" / "cluster").prepare(REMOTE, insecure=True, has_tls=False)
    assert find_credentials(REMOTE).insecure  # the head of this machine, whose user has decided
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from a container")
    assert find_credentials(REMOTE, insecure=True).token == "from a container"
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(home / "none.pem"))
    with pytest.raises(RunError, match="RAY_TLS_CA_CERT"):
        find_credentials(REMOTE)


def test_status_lists_the_machines(head, invite, capsys):
    node, _ = head
    assert main(["cluster", "status", "--address", node.address, "--invite", str(invite)]) == 0
    shown = capsys.readouterr().out
    assert "head" in shown and "CPUs" in shown
    assert main(["cluster", "status"]) == 1
    assert "No head was started" in capsys.readouterr().err


def test_without_or_with_a_wrong_token_nobody_enters(head, home):
    node, credentials = head
    for token in ("", "0" * 64):
        write_invite(home / "wrong.json", dataclasses.replace(credentials, token=token))
        started = time.monotonic()
        with pytest.raises(WorkerError, match="refuses this token"):
            check_cluster(node.address, home / "wrong.json")
        assert time.monotonic() - started < 15


PUT = """
import sys
from ray import _raylet
_raylet.GcsClient(address=sys.argv[1]).internal_kv_put(*(word.encode() for word in sys.argv[2:4]), True, sys.argv[4].encode())
"""


@pytest.mark.parametrize("name", ["ray", "python", "gym_gazebo2"])
def test_another_version_is_refused_with_both(head, invite, name):
    node, _ = head
    own = describe_package()
    real = json.dumps({f"{key}_version": own[key] for key in ("ray", "python")} | {"ray_init_cluster": False})
    entries = {name: ("CLUSTER_METADATA", "cluster", real) for name in ("ray", "python")}
    entries["gym_gazebo2"] = (KEY.decode(), NAMESPACE.decode(), json.dumps(own))

    def put(content):
        key, namespace, _ = entries[name]
        variables = {key: value for key, value in node.environment.items() if value is not None}
        command = [sys.executable, "-c", PUT, node.address, key, content, namespace]
        subprocess.run(command, env={**os.environ, **variables}, check=True, timeout=60, capture_output=True)

    real = entries[name][2]
    put(real.replace(own[name], "0.0.7"))
    try:
        # The package's own entry repeats the versions of Ray and Python, as the head wrote them.
        state = ask_cluster(node.address, node.environment)
        assert "0.0.7" in state.versions.values()
        with pytest.raises(WorkerError, match=rf"0\.0\.7, this machine has {own[name]}. Install the same version on both"):
            check_cluster(node.address, invite)
    finally:
        put(real)


@contextmanager
def start(node, invite, policy, num_workers=2, **limits):
    config = dataclasses.replace(configure(normalize=True), missing_workers=policy)
    size = config.num_envs // SHARDS
    with (
        closing(RaySession(node.address, invite=invite)),
        closing(Fleet(config, size, num_workers, limits=Limits(**limits))) as fleet,
    ):
        yield config, fleet


def test_a_training_goes_on_with_the_workers_that_have_a_machine_until_another_joins(head, invite, capsys):
    (node, credentials), expected = head, describe(learn(configure(normalize=True), SHARDS, iterations=6))
    with start(node, invite, "go-on") as (config, fleet):
        fleet.wait_ready(1)
        with start_node(node.address, credentials, "127.0.0.1", cpus=1):
            model = learn(config, SHARDS, iterations=6, collector=fleet, callback=Between(2, fleet.wait_ready))
            workers = fleet.workers
    assert_equal(expected, describe(model))
    assert all(worker.num_tasks for worker in workers)


def test_a_training_waits_or_gives_up_where_it_is_asked_to(head, invite, capsys):
    node, _ = head
    message = r"1 of 2 workers have no machine: the cluster has 1 CPUs"
    for policy, limits in (("wait", {"missing_s": 3.0}), ("give-up", {"give_up_s": 3.0})):
        with (
            start(node, invite, policy, **limits) as (config, fleet),
            pytest.raises(WorkerError, match=f"For 3 s: {message}"),
        ):
            learn(config, SHARDS, iterations=100_000, collector=fleet)  # with one worker it goes on until it gives up
        assert "Waiting for machines to join." in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="policy for missing workers"):
        TrainConfig(missing_workers="sleep")


def test_more_workers_than_the_cluster_has_cpus_are_reported_at_once(head, invite, home):
    out = home / "run"
    words = ["--env", "SCARA-v0", "--num-envs", "16", "--out", str(out), "--address", head[0].address, "--invite", str(invite)]
    command = [sys.executable, "-m", "gym_gazebo2.cli", "train", "--workers", "3", *words]
    with run_process(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "3 workers with 1 CPU each do not fit: the cluster has 1." in errors
    assert "--missing-workers wait" in errors


def test_a_signal_ends_the_wait_for_machines(head, invite, home):
    """Without waiting for the iteration, which cannot begin."""
    out = home / "run"
    words = ["--env", "SCARA-v0", "--num-envs", "16", "--out", str(out), "--address", head[0].address, "--invite", str(invite)]
    command = [sys.executable, "-m", "gym_gazebo2.cli", "train", "--workers", "2", "--missing-workers", "wait", *words]
    with run_process(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert "1 of 2 workers have no machine" in read_until(process, process.stderr, "Waiting for machines to join.", 120)
        while not (out / "progress.csv").exists():  # the training has begun, so it handles signals
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        assert f"gym-gazebo2 resume {out}" in process.stderr.read()


@contextmanager
def make_disk(megabytes, place=None):
    """A small disk, at a place, or below a short path: those of sockets are limited."""
    with nullcontext(place) if place else tempfile.TemporaryDirectory(dir="/tmp") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk cannot be mounted here; run as root")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_machine_with_a_full_disk_does_not_join():
    with make_disk(1) as folder:
        with pytest.raises(WorkerError, match=rf"The disk of \S+ is full: {folder} has 1 MB left.*Free disk space there"):
            start_node(REMOTE, Credentials(), "10.0.0.2", parent=str(folder))
        assert not list(folder.iterdir())
    with pytest.raises(WorkerError, match="Choose another folder"):
        check_disk("/nowhere")


def test_a_disk_that_is_full_when_a_worker_starts_ends_the_training(head, invite):
    node, credentials = head
    with (
        make_disk(2 * LEAST_DISK_BYTES // 2**20) as folder,
        start_node(node.address, credentials, "127.0.0.1", cpus=1, parent=str(folder)),
    ):
        (folder / "filler").write_bytes(bytes(LEAST_DISK_BYTES + 2**20))
        with start(node, invite, None) as (_, fleet), pytest.raises(WorkerError, match=rf"is full: {folder}/\S+ has \d+ MB"):
            fleet.wait_ready()


@pytest.mark.parametrize("words", [["head", "--address", "0.0.0.0"], ["head", "--cpus", "-1"], ["join", "nowhere"]])
def test_invalid_arguments_are_refused(words, capsys):
    assert main(["cluster", *words]) == 2
    assert "expected" in capsys.readouterr().err
    with pytest.raises(InvalidArgumentError):
        find_credentials("host:99999")


def test_a_head_in_the_background_ends_by_sigint(home):
    port = find_free_port()
    command = [*IN_BACKGROUND, sys.executable, "-m", "gym_gazebo2.cli", "cluster", "head", "--port", str(port), "--cpus", "0"]
    with run_process(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        shown = read_until(process, process.stdout, "Train with", 120)
        assert f"gym-gazebo2 train --workers N --address 127.0.0.1:{port}" in shown, process.stderr.read()
        assert check_cluster(f"127.0.0.1:{port}")[1].alive  # the same user needs no invite on this machine
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    with pytest.raises(WorkerError, match="No Ray cluster answers"):
        check_cluster(f"127.0.0.1:{port}")
