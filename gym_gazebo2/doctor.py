"""``gym-gazebo2 doctor``: checks what is installed and what works, and names the command that repairs the rest.

Every check is a small function that tries the real thing: it makes a step of physics, draws a picture, sends a message over
DDS, starts a Gazebo. It runs in a process of its own with a deadline, so that a crash in a C library or an endless wait is a
finding of that check alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from gym_gazebo2.errors import GymGazebo2Error, MiddlewareError, MissingDependencyError

if TYPE_CHECKING:
    from gym_gazebo2.gazebo.installation import Installation

__all__ = ["CHECKS", "Finding", "examine", "has_failed"]

State = Literal["ok", "poor", "optional", "missing", "broken"]
"""ok: installed, and works. poor: works, but not well. optional: not installed; only some features need it. missing: not
installed; everything needs it. broken: installed, but does not work."""
DEADLINE_S = 60.0
"""Longest time of a check [s]. The slowest one starts a Gazebo server, in 3 s on an idle machine of two cores."""
SERVER_DEADLINE_S = DEADLINE_S / 2
"""Longest wait for a Gazebo server inside a check [s]: shorter than the check's own deadline, so that its error is reported."""
MESSAGE_DEADLINE_S = 10.0
"""Longest wait for a message between two participants of this machine [s]."""
DISCOVERY_S = 5.0
"""Time in which other nodes of the ROS domain are discovered [s]; without others it passes in full."""
PARALLEL_CHECKS = 4
"""Checks that run at the same time."""
OLDEST_PYTHON = (3, 10)
INSTALL_ROS = "pip install 'gym_gazebo2[ros2]', or source a ROS 2: . /opt/ros/<distribution>/setup.sh"
INSTALL_DRIVER = "sudo apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: Name of the check.
        state: "ok", "poor", "optional", "missing" or "broken".
        found: The versions found, or the fault.
        remedy: The command that repairs it, or the next step in words; empty if nothing needs to be done.
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def check_python() -> Finding:
    """Python has a version that this package supports."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", "broken", found, "Use Python 3.10 or newer, 3.11 or newer for ROS 2 from wheels")
    return Finding("Python", "ok", found)


def check_versions() -> Finding:
    """The packages that everything needs are installed."""
    names = ("gym_gazebo2", "gymnasium", "numpy", "yourdfpy", "tyro", "rich")
    versions = {name: _get_version(name) for name in names}
    found = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    if not all(versions.values()):
        return Finding("packages", "missing", found, "pip install gym_gazebo2")
    return Finding("packages", "ok", found)


def check_physics() -> Finding:
    """An arm in the embedded physics makes one step."""
    # "module:Id" works without the registration at import, which the check must not depend on.
    import gymnasium as gym

    env = gym.make("gym_gazebo2:MARA-v0")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    return Finding("physics", "ok", f"MuJoCo {_get_version('mujoco')}, one step of MARA-v0 done")


def check_rendering() -> Finding:
    """One picture is drawn off-screen."""
    import gymnasium as gym

    from gym_gazebo2.errors import RenderError

    env = gym.make("gym_gazebo2:MARA-v0", render_mode="rgb_array")
    env.reset(seed=0)
    try:
        picture = env.render()
    except RenderError as error:
        return Finding("rendering", "optional", f"only pictures and films are affected. {error}", INSTALL_DRIVER)
    finally:
        env.close()
    # A broken driver may draw without an error, but nothing: the standard deviation of this picture is 37 of 255 levels.
    if getattr(picture, "std", lambda: 0.0)() < 1.0:
        return Finding("rendering", "broken", "the picture has a single colour", INSTALL_DRIVER)
    return Finding("rendering", "ok", f"one picture drawn, MUJOCO_GL {os.environ.get('MUJOCO_GL', 'not set')}")


def check_training() -> Finding:
    """The learning libraries can be imported."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("stable_baselines3") is None:
        return Finding(
            "training", "optional", "torch or stable-baselines3 is not installed", "pip install 'gym_gazebo2[train]'"
        )
    import stable_baselines3
    import torch

    # A CUDA driver that does not fit torch makes this call warn and return False, so the finding names the device in use.
    device = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "CPU"
    return Finding(
        "training", "ok", f"torch {torch.__version__} on {device}, stable-baselines3 {stable_baselines3.__version__}"
    )


def check_ros() -> Finding:
    """ROS 2 for Python and the messages of the contract can be imported."""
    try:
        import gym_gazebo2.ros.graph  # noqa: F401
    except MissingDependencyError as error:
        is_partial = importlib.util.find_spec("rclpy") is not None
        found = f"rclpy is installed, but: {error.__cause__}" if is_partial else "rclpy is not installed"
        return Finding("ROS 2", "broken" if is_partial else "optional", found, INSTALL_ROS)
    sourced = os.environ.get("ROS_DISTRO")
    return Finding("ROS 2", "ok", f"sourced, {sourced}" if sourced else f"from wheels, rclpy {_get_version('ros-rclpy')}")


def check_middleware() -> Finding:
    """A message goes from one participant to another over DDS, on a free domain of this machine."""
    if importlib.util.find_spec("rclpy") is None:
        return Finding("middleware", "optional", "needs ROS 2", INSTALL_ROS)
    from gym_gazebo2.ros import Domain, Graph, String, get_middleware, make_local

    # Restricted to this machine: the check must not depend on, or disturb, the ROS network of a laboratory.
    os.environ.update(make_local())
    domain, received = Domain(), list[str]()
    with contextlib.closing(Graph(domain.id)) as sender, contextlib.closing(Graph(domain.id)) as receiver:
        publisher = sender.publish(String, "/doctor", keep=True)
        receiver.subscribe(String, "/doctor", lambda message: received.append(message.data), keep=True)
        publisher.publish(String(data="hello"))
        arrived = receiver.wait(lambda: bool(received), MESSAGE_DEADLINE_S)
    domain.release()
    if arrived:
        return Finding("middleware", "ok", f"{get_middleware()}, a message went through")
    remedy = "Unset RMW_IMPLEMENTATION and FASTRTPS_DEFAULT_PROFILES_FILE; allow UDP on the loopback interface"
    found = f"{get_middleware()}: a message did not arrive within {MESSAGE_DEADLINE_S:g} s"
    return Finding("middleware", "broken", found, remedy)


def check_domain() -> Finding:
    """ROS_DOMAIN_ID is valid; the finding names the other nodes on the domain."""
    if importlib.util.find_spec("rclpy") is None:
        return Finding("ROS domain", "optional", "needs ROS 2", INSTALL_ROS)
    from gym_gazebo2.ros import Graph, read_domain

    try:
        domain = read_domain()
    except GymGazebo2Error as error:
        return Finding("ROS domain", "broken", f"ROS_DOMAIN_ID: {error}", "export ROS_DOMAIN_ID=0, or another from 0 to 101")
    with contextlib.closing(Graph(domain)) as graph:
        graph.wait(lambda: len(graph.node.get_node_names()) > 1, DISCOVERY_S)
        others = sorted(set(graph.node.get_node_names()) - {graph.node.get_name()})
    nodes = f"with {', '.join(others)}" if others else "no other node found"
    return Finding("ROS domain", "ok", f"{domain}, {nodes}")


def check_gazebo() -> Finding:
    """A Gazebo server starts, its time advances, and it ends."""
    from gym_gazebo2.gazebo import GazeboError, find_gazebo
    from gym_gazebo2.gazebo.install import find_apt_version
    from gym_gazebo2.gazebo.server import check_gazebo as try_gazebo

    gazebo = find_gazebo()
    if gazebo is None:
        remedy = "sudo apt-get install gazebo libgazebo-dev" if find_apt_version() else "gym-gazebo2 install-gazebo"
        return Finding("Gazebo", "optional", "Gazebo 11 is not installed", remedy)
    found = f"{gazebo.version}, {gazebo.gzserver}"
    try:
        try_gazebo(gazebo, SERVER_DEADLINE_S)
    except GazeboError as error:
        return Finding("Gazebo", "broken", f"{found}: {error}", _make_reinstall_command(gazebo.prefix is None))
    return Finding("Gazebo", "ok", f"{found}, started and ended")


def _make_reinstall_command(is_system: bool) -> str:
    """Return the command that installs Gazebo again: the system's package, or the copy in the user's cache."""
    from gym_gazebo2.gazebo.locate import find_cached_prefix

    if is_system:
        return "sudo apt-get install --reinstall gazebo"
    return f"rm -r {find_cached_prefix()} && gym-gazebo2 install-gazebo"


def check_plugin() -> Finding:
    """The plug-in for Gazebo 11 is built and serves an arm, or can be built."""
    from gym_gazebo2.gazebo import find_gazebo

    # Without Gazebo or ROS 2 there is nothing to build against, and their own checks name the remedy.
    gazebo = find_gazebo()
    if gazebo is None or importlib.util.find_spec("rclpy") is None:
        return Finding(
            "plug-in", "optional", "needs Gazebo and ROS 2", "gym-gazebo2 install-gazebo" if gazebo is None else INSTALL_ROS
        )
    return Finding("plug-in", "ok", _try_plugin("gazebo", gazebo))


def check_gz_sim() -> Finding:
    """gz-sim is installed, and its plug-in is built and serves an arm, or can be built."""
    from gym_gazebo2.gazebo.gz_locate import INSTALL_GZ_SIM, find_gz_sim

    gz_sim = find_gz_sim()
    if gz_sim is None:
        return Finding("gz-sim", "optional", "no supported gz-sim on the PATH", INSTALL_GZ_SIM)
    found = f"{gz_sim.description}, {gz_sim.program}"
    if importlib.util.find_spec("rclpy") is None:
        return Finding("gz-sim", "optional", f"{found}; its plug-in needs ROS 2", INSTALL_ROS)
    return Finding("gz-sim", "ok", f"{found}; plug-in {_try_plugin('gz_sim', gz_sim)}")


def _try_plugin(simulator: str, installation: Installation) -> str:
    """Let a plug-in serve an arm if it is built, else check that it can be built; return what was found."""
    from gym_gazebo2.gazebo import Domain, find_ros, start_robot
    from gym_gazebo2.gazebo.build import find_plugin, is_built, try_build
    from gym_gazebo2.robots import make_robot

    ros = find_ros()
    library = find_plugin(installation, ros)
    # Compiling takes half a minute, longer than a user expects of a check: only compiler, CMake and headers are tried.
    if not is_built(library):
        try_build(installation, ros)
        return "not built yet; the first use builds it, in about half a minute"
    domain = Domain()
    with contextlib.closing(start_robot(make_robot("scara"), domain.id, simulator=simulator)) as server:
        server.wait_ready(SERVER_DEADLINE_S)
    domain.release()
    return f"serves an arm, {library}"


def check_display() -> Finding:
    """A window can be opened."""
    where = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if not where:
        remedy = "Start from a desktop session, or set DISPLAY. Xvfb is a virtual display"
        return Finding("display", "optional", "DISPLAY is not set: no windows; pictures and films work without", remedy)
    if importlib.util.find_spec("glfw") is None:
        return Finding("display", "optional", f"{where}; windows need glfw", "pip install 'gym_gazebo2[mujoco]'")
    import glfw

    # The library that MuJoCo's viewer uses: it opens a connection to the display, but no window.
    if not glfw.init():
        return Finding("display", "broken", f"{where} does not answer", "Check DISPLAY, or unset it")
    glfw.terminate()
    return Finding("display", "ok", where)


@dataclasses.dataclass(frozen=True)
class Check:
    """A row of ``CHECKS``.

    Attributes:
        run: Tries the real thing, and returns the finding.
        remedy: The remedy where the check itself crashes; empty: the remedy that its error names, if it names one.
    """

    run: Callable[[], Finding]
    remedy: str = ""


CHECKS: dict[str, Check] = {
    "Python": Check(check_python),
    "packages": Check(check_versions),
    "physics": Check(check_physics, "pip install 'gym_gazebo2[mujoco]'; unset MUJOCO_GL"),
    "rendering": Check(check_rendering, f"unset MUJOCO_GL; {INSTALL_DRIVER}"),
    "training": Check(check_training, "pip install 'gym_gazebo2[train]'"),
    "ROS 2": Check(check_ros, INSTALL_ROS),
    "middleware": Check(check_middleware, INSTALL_ROS),
    "ROS domain": Check(check_domain),
    "Gazebo": Check(check_gazebo),
    "plug-in": Check(check_plugin),
    "gz-sim": Check(check_gz_sim),
    "display": Check(check_display),
}
"""The checks by name, in the order of the table that is printed."""


def examine(names: Sequence[str] = tuple(CHECKS), deadline: float = DEADLINE_S) -> list[Finding]:
    """Run checks side by side, each in a process of its own.

    Args:
        names: Names of checks, keys of ``CHECKS``.
        deadline: Longest time of a check [s].

    Returns:
        One finding per name.
    """
    with ThreadPoolExecutor(PARALLEL_CHECKS) as pool:
        return list(pool.map(lambda name: _examine_one(name, deadline), names))


def has_failed(findings: Sequence[Finding]) -> bool:
    """Return whether an installed part does not work, or a part that everything needs is missing."""
    return any(finding.state in ("missing", "broken") for finding in findings)


def _examine_one(name: str, deadline: float) -> Finding:
    """Run one check in a process of its own, and return its finding, or how the process failed."""
    remedy = CHECKS[name].remedy
    command = [sys.executable, "-m", "gym_gazebo2.doctor", name]
    # start_new_session makes a process group: a check that is ended at its deadline takes the servers that it started along.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            out, error = child.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            hint = f"Run it alone to see where it hangs: {shlex.join(command)}"
            return Finding(name, "broken", f"the check did not end within {deadline:g} s", hint)
    if child.returncode < 0:
        signal_name = signal.Signals(-child.returncode).name
        return Finding(name, "broken", f"the check was ended by the signal {signal_name}", remedy)
    # The finding is the last line of the output; libraries may print before it. Without one, the check crashed, and the last
    # line of standard error is the exception.
    try:
        return Finding(**json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = (error.strip().splitlines() or ["it printed no error"])[-1]
        return Finding(name, "broken", f"the check failed: {last}", remedy)


def _run(name: str) -> Finding:
    """Run a check in this process. An error of this package becomes a finding; others end the process with a traceback."""
    try:
        return CHECKS[name].run()
    except MissingDependencyError as error:
        state: State = "missing" if name == "physics" else "optional"
        return Finding(name, state, f"{error.package} is not installed", f"pip install 'gym_gazebo2[{error.extra}]'")
    except MiddlewareError as error:
        found, _, remedy = str(error).rpartition(", or: ")
        return Finding(name, "broken", found, remedy)
    except GymGazebo2Error as error:
        return Finding(name, "broken", str(error), CHECKS[name].remedy or _find_remedy(str(error)))


def _find_remedy(text: str) -> str:
    """Return the first sentence of an error that begins with a remedy's verb, without its full stop; empty if there is none.

    The text may be CMake's output around a message of the plug-in's CMakeLists.txt, broken into lines, so no attribute of an
    exception holds the remedy.
    """
    found = re.search(r"\b(Install|Make|Source|Use) .+?\.(?= |$)", " ".join(text.split()))
    return found.group().rstrip(".") if found else ""


def _get_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_run(sys.argv[1]))))
