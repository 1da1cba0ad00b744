"""A cluster of several machines in network namespaces, with token and TLS: joined, used, cut, refused and ended."""

import contextlib
import json
import pickle
import signal
import time
import zipfile

import numpy as np
import pytest

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.algos.distributed.history import read_sessions
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.security.certificates import issue, make_authority

from .cluster_driver import ITERATIONS, SHARDS, make_config
from .cluster_machines import READY, Cluster
from .long_cable import Cable
from .namespaces import find_obstacle, make_network
from .packets import capture
from .processes import read_until
from .shards import assert_equal, describe, learn
from .test_workers import assert_same_run

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning:ray.*", "ignore::DeprecationWarning"),
    pytest.mark.skipif(bool(obstacle := find_obstacle()), reason=obstacle),
]
DELAY_S = 0.025
"""Of the driver's cable, each way [s]: 50 ms to the cluster and back."""
TINY = {"env": "MARA-v0", "num_envs": 16, "max_episode_steps": 10, "steps": 1_600, "eval_every": 800, "eval_runs": 2,
        "hyperparameters": {"n_steps": 10, "batch_size": 80, "n_epochs": 1, "policy_kwargs": {"net_arch": [8]}},
        "normalize": False, "checkpoint_seconds": 1e-9, "progress": "quiet"}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(make_network(5, {4: Cable(DELAY_S)}))
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), machines, stack)
        cluster.start_head()
        for wait in [cluster.join(node) for node in cluster.nodes[:2]]:
            wait()
        yield cluster


@pytest.fixture(scope="module")
def expected():
    return describe(learn(make_config(), SHARDS, iterations=ITERATIONS))


REFUSED = """
import json, sys, time
from gym_gazebo2.algos.distributed.cluster import check_cluster
from gym_gazebo2.errors import GymGazebo2Error
for invite in sys.argv[2:]:
    started = time.monotonic()
    try:
        _, state = check_cluster(sys.argv[1], invite or None)
        answer = f"{len(state.alive)} machines"
    except GymGazebo2Error as error:
        answer = str(error)
    print(json.dumps([answer, time.monotonic() - started]), flush=True)
"""


def test_who_has_no_valid_invite_is_refused_within_15_s(cluster):
    distant = cluster.distant
    other = make_authority()
    stranger = issue(other, distant.address)
    old = issue(cluster.secrets._read_authority(), distant.address, days=-2)
    keys = {"certificate": stranger.certificate, "key": stranger.key}
    cases = {
        cluster.invite(distant): "3 machines",
        "": "There is no token for the cluster",
        cluster.invite(distant, token="0" * 64): "refuses this token",
        cluster.invite(distant, token=""): "There is no token",
        cluster.invite(distant, authority="", certificate="", key=""): "There is no certificate for the cluster",
        cluster.invite(distant, insecure=True, authority="", certificate=""): "closes connections without a certificate",
        cluster.invite(distant, **keys): "refuses the certificate of",
        cluster.invite(distant, authority=other.certificate, **keys): "is not valid for the CA of",
        cluster.invite(distant, certificate=old.certificate, key=old.key): "expired on",
    }
    process = cluster.run(distant, "-c", REFUSED, cluster.address, *cases)
    for invite, wanted in cases.items():
        line = read_until(process, process.stdout, "]", READY)
        assert line, process.stderr.read()
        answer, seconds = json.loads(line)
        assert wanted in answer, invite
        assert seconds < 15
    process.wait(10)


READABLE = b"whoever listens can read this"


def send(cluster, content):
    """Send bytes from the distant machine to another one, without encryption."""
    listen = "import socket; s = socket.create_server(('', 5001)); print('ready', flush=True); print(s.accept()[0].recv(99))"
    server = cluster.run(cluster.nodes[0], "-c", listen)
    assert "ready" in read_until(server, server.stdout, "ready")
    say = f"import socket, sys; socket.create_connection((sys.argv[1], 5001)).sendall({content})"
    cluster.run(cluster.distant, "-c", say, cluster.nodes[0].address)
    assert content.decode() in read_until(server, server.stdout, "\n")


def assert_nothing_is_readable(packets, cluster, out):
    """Check that captured packets hold neither the token, nor names of classes, observations or weights of a training."""
    assert packets.count(READABLE) == 1
    assert len(packets) > 100_000  # the training was captured: a run of it sends about 1 MB
    token = cluster.secrets.read().token
    newest = max((out / "checkpoints").glob("[!.]*.zip"))
    with zipfile.ZipFile(newest) as file:
        arrays = dict(np.load(file.open("model.npz")))
    rows = [array[0].tobytes() for name, array in arrays.items() if name.startswith("_last_obs")]
    secrets = [token.encode(), bytes.fromhex(token), b"gym_gazebo2", b"CollectTask", *rows]
    assert len(rows) == 1 and len(rows[0]) == 24 * 4
    assert not [secret for secret in secrets if secret in packets]


def test_two_machines_train_to_the_bits_of_plain_training(cluster, tmp_path):
    plain, out, file = train(TrainConfig(**TINY, out=str(tmp_path / "plain"))), tmp_path / "run", tmp_path / "tiny.json"
    file.write_text(json.dumps(TINY))
    options = ["--workers", 2, "--address", cluster.address, "--invite", cluster.invite(cluster.distant)]
    with capture(cluster.distant.port, packets := tmp_path / "packets"):
        process = cluster.run(cluster.distant, "-m", "gym_gazebo2.cli", "train", "--config", file, "--out", out, *options)
        _, errors = process.communicate(timeout=READY)
        send(cluster, READABLE)
    assert process.returncode == 0, errors
    assert_nothing_is_readable(packets.read_bytes(), cluster, out)
    assert_same_run(plain, RunFolder(out))
    (session,) = read_sessions(RunFolder(out))
    assert [worker["steps"] > 0 for worker in session["workers"]] == [True, True]
    cluster.check_empty(cluster.distant)  # the node without CPUs that the driver needed has gone with it


def test_a_machine_is_killed_another_one_joins_and_one_is_cut_off(cluster, expected, tmp_path):
    first, second, third = cluster.nodes
    result, stops = tmp_path / "result", (2, 5, 8)
    words = [cluster.address, cluster.invite(cluster.distant), result, *stops]
    process = cluster.run(cluster.distant, "-m", "tests.cluster_driver", *words)

    def read_workers():
        line = read_until(process, process.stdout, "]", READY)
        assert line, process.stderr.read()
        return json.loads(line)

    def go_on(word="go"):
        process.stdin.write(f"{word}\n")
        process.stdin.flush()

    read_workers()
    assert cluster.end(second, signal.SIGKILL) == -signal.SIGKILL
    go_on("lost")  # the tasks of the lost worker are done by the other one
    lost = next(worker for worker in read_workers() if worker["restarts"])
    assert "died" in lost["last_loss"]
    cluster.join(third)()
    go_on("all")
    joined = read_workers()[lost["index"]]
    assert joined["num_tasks"] > lost["num_tasks"]
    assert joined["state"] == "idle"
    first.pull_cable()
    started = time.monotonic()
    go_on()
    read_workers()
    assert time.monotonic() - started < 30  # Ray itself reports a pulled cable only after about a minute
    go_on()
    assert "done" in read_until(process, process.stdout, "done", READY), process.stderr.read()
    assert_equal(expected, pickle.loads(result.read_bytes()))


def test_every_signal_ends_all_processes_of_a_machine(cluster):
    """The commands were started with SIGINT ignored, as a script starts its background jobs. One is killed above."""
    first, _, third = cluster.nodes
    assert cluster.end(third, signal.SIGHUP) == 0
    assert cluster.end(first, signal.SIGINT) == 0
    assert cluster.end(cluster.head, signal.SIGTERM) == 0


def test_the_cable_of_the_driver_is_long(cluster):
    listen = "import socket; s = socket.create_server(('', 5000)); print('ready', flush=True); s.accept(); input()"
    server = cluster.run(cluster.nodes[1], "-c", listen)
    assert "ready" in read_until(server, server.stdout, "ready")
    connect = "t = time.monotonic(); socket.create_connection((sys.argv[1], 5000)); print(time.monotonic() - t)"
    call = f"import socket, sys, time; {connect}"
    caller = cluster.run(cluster.distant, "-c", call, cluster.nodes[1].address)
    assert float(read_until(caller, caller.stdout, ".")) >= 2 * DELAY_S


def test_machines_with_ipv6_addresses_make_a_cluster(tmp_path):
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(make_network(2))
        for machine in machines:
            machine.address = machine.address_6
        cluster = Cluster(tmp_path, machines, stack)
        cluster.start_head()
        cluster.join(node := machines[1])()
        words = ["--address", cluster.address, "--invite", cluster.invite(node)]
        shown, errors = cluster.run(node, "-m", "gym_gazebo2.cli", "cluster", "status", *words).communicate(timeout=READY)
        assert cluster.address == "[fd00:213:77::1]:6379" and cluster.address in shown, errors
        assert machines[0].address in shown and node.address in shown
        assert cluster.end(node, signal.SIGTERM) == 0
        assert cluster.end(cluster.head, signal.SIGTERM) == 0
