"""Run a job of the manifests in a container as KubeRay does, without Kubernetes: token, certificates, health check, HTTP.

    python try_job.py kubernetes/overlays/embedded/job/training.yaml

The training is shortened to two workers and two iterations. The job runs twice: the second time it must resume the first run.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

DASHBOARD, AGENT = "http://127.0.0.1:8265", "http://127.0.0.1:52365"
TIMEOUT_S = 600.0
SHORT = ((r"--workers \d+", "--workers 2 --num-envs {envs} --hyper n_steps=64"), (r"--steps \d+", "--steps {steps}"))


def main(path: str) -> None:
    """Start the head of a Ray cluster, run the job twice, and print what it logged."""
    folder = tempfile.mkdtemp(prefix="try-job-")
    token = secrets.token_hex(16)
    tls = make_certificates(Path(folder))
    environment = {**os.environ, **tls, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_ADDRESS": "127.0.0.1:6379"}
    command = shorten(yaml.safe_load(Path(path).read_text())["spec"]["entrypoint"], folder)
    options = ["--head", "--num-cpus=2", "--dashboard-host=0.0.0.0", "--block"]
    with Path(folder, "head.log").open("w") as log:
        head = subprocess.Popen(["ray", "start", *options], env=environment, stdout=log, stderr=log)
    try:
        wait_until_healthy(head)
        status, _ = call("/api/jobs/", "")
        check(status in (401, 403), f"a call without the token got status {status}")
        first, second = (run_job(command, name, token) for name in ("first", "second"))
        check("workers at" in first, "the first try did not train with workers")
        check("Run folder:" in second and "workers at" not in second, "the second try did not resume the run")
        print("The job trained, and its second try resumed the run.", flush=True)
    finally:
        head.terminate()
        head.wait(60)


def check(holds: bool, problem: str) -> None:
    """End this program if something does not hold."""
    if not holds:
        sys.exit(f"try_job: {problem}")


def make_certificates(folder: Path) -> dict[str, str]:
    """Make a CA and a certificate of this machine, as cert-manager does, and return Ray's variables."""
    names = {name: str(folder / name) for name in ("ca.key", "ca.crt", "tls.key", "tls.csr", "tls.crt", "names")}
    Path(names["names"]).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:" + find_own_address())
    for words in (
        f"req -x509 -newkey rsa:2048 -nodes -keyout {names['ca.key']} -out {names['ca.crt']} -days 1 -subj /CN=ca",
        f"req -newkey rsa:2048 -nodes -keyout {names['tls.key']} -out {names['tls.csr']} -subj /CN=head",
        f"x509 -req -in {names['tls.csr']} -CA {names['ca.crt']} -CAkey {names['ca.key']} -CAcreateserial"
        f" -out {names['tls.crt']} -days 1 -extfile {names['names']}",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True, timeout=60)
    files = {"RAY_TLS_SERVER_CERT": "tls.crt", "RAY_TLS_SERVER_KEY": "tls.key", "RAY_TLS_CA_CERT": "ca.crt"}
    return {"RAY_USE_TLS": "1", **{variable: names[name] for variable, name in files.items()}}


def find_own_address() -> str:
    """Return the address that Ray takes for this machine; it must be in the certificate."""
    from ray.util import get_node_ip_address

    return get_node_ip_address()


def shorten(command: str, folder: str) -> str:
    """Return the command of a job with a short training, and with its run in a folder."""
    envs, steps = (2, 256) if "--backend gazebo" in command else (8, 1024)
    for pattern, replacement in SHORT:
        command, count = re.subn(pattern, replacement.format(envs=envs, steps=steps), command)
        check(count == 1, f"the command has no {pattern}: {command}")
    return command.replace("/runs/", f"{folder}/")


def call(path: str, token: str, data: object = None, base: str = DASHBOARD) -> tuple[int, str]:
    """Return status and content of a call by HTTP; status 0: no answer."""
    headers = {"Content-Type": "application/json", "x-ray-authorization": f"Bearer {token}"}
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(base + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait_until_healthy(head: subprocess.Popen[bytes]) -> None:
    """Wait for the health check that KubeRay uses."""
    deadline = time.monotonic() + TIMEOUT_S
    while call("/api/healthz", "", base=AGENT)[0] != 200:
        check(head.poll() is None, f"Ray ended with status {head.poll()}")
        check(time.monotonic() < deadline, "Ray did not become healthy")
        time.sleep(1)


def run_job(command: str, name: str, token: str) -> str:
    """Hand in a job, wait for its end, and return what it printed."""
    status, answer = call("/api/jobs/", token, {"entrypoint": command, "submission_id": name})
    check(status == 200, f"the job was refused: {answer}")
    deadline = time.monotonic() + TIMEOUT_S
    while (state := json.loads(call(f"/api/jobs/{name}", token)[1])["status"]) in ("PENDING", "RUNNING"):
        check(time.monotonic() < deadline, f"job {name} did not end")
        time.sleep(1)
    log = json.loads(call(f"/api/jobs/{name}/logs", token)[1])["logs"]
    check(state == "SUCCEEDED", f"job {name} ended as {state}:\n{log}")
    print(log, flush=True)
    return log


if __name__ == "__main__":
    main(*sys.argv[1:])
