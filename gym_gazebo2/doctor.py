"""``gym-gazebo2 doctor``: what is here, what is missing, and the command that mends it.

Every check is a small function that tries the real thing, in a process of its own with a deadline: what crashes or hangs
is a finding, not the end of the examination.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Literal

from gym_gazebo2.errors import GymGazebo2Error, MissingDependencyError

__all__ = ["CHECKS", "Finding", "examine", "has_failed"]

State = Literal["ok", "optional", "missing", "broken"]
"""There and works; not there, and only needed for some things; not there and needed; there and does not work."""
DEADLINE = 60.0
PARALLEL = 4
OLDEST = (3, 10)
NO_ROS = "pip install 'gym_gazebo2[ros2]', or source a ROS 2: . /opt/ros/<distribution>/setup.sh"
NO_DRIVER = "sudo apt-get install libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: Name of the check.
        state: "ok", "optional", "missing" or "broken".
        found: What is there.
        mend: The command that mends it, or what to do; empty where nothing is to be done.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def check_python() -> Finding:
    """Python is one that this package runs on."""
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST:
        return Finding("Python", "broken", found, "Use Python 3.10 or newer, 3.11 or newer for ROS 2 from wheels")
    return Finding("Python", "ok", found)


def check_versions() -> Finding:
    """What this package stands on is installed."""
    names = ("gym_gazebo2", "gymnasium", "numpy", "yourdfpy", "tyro", "rich")
    versions = {name: _get_version(name) for name in names}
    found = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
    if not all(versions.values()):
        return Finding("packages", "missing", found, "pip install gym_gazebo2")
    return Finding("packages", "ok", found)


def check_physics() -> Finding:
    """An arm in the embedded physics makes one step."""
    import gymnasium as gym

    env = gym.make("gym_gazebo2:MARA-v0")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    return Finding("physics", "ok", f"MuJoCo {_get_version('mujoco')}, one step of MARA-v0 done")


def check_rendering() -> Finding:
    """One picture is drawn off screen."""
    import gymnasium as gym

    from gym_gazebo2.errors import RenderError

    env = gym.make("gym_gazebo2:MARA-v0", render_mode="rgb_array")
    env.reset(seed=0)
    try:
        picture = env.render()
    except RenderError as error:
        return Finding("rendering", "optional", f"Pictures, and nothing else, cannot be drawn. {error}", NO_DRIVER)
    finally:
        env.close()
    if getattr(picture, "std", lambda: 0.0)() < 1.0:
        return Finding("rendering", "broken", "The picture is of one colour", NO_DRIVER)
    return Finding("rendering", "ok", f"one picture drawn, MUJOCO_GL {os.environ.get('MUJOCO_GL', 'not set')}")


def check_training() -> Finding:
    """The learning libraries can be imported."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("stable_baselines3") is None:
        return Finding(
            "training", "optional", "torch or stable-baselines3 is not installed", "pip install 'gym_gazebo2[train]'"
        )
    import stable_baselines3
    import torch

    device = f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "CPU"
    return Finding(
        "training", "ok", f"torch {torch.__version__} on {device}, stable-baselines3 {stable_baselines3.__version__}"
    )


def check_ros() -> Finding:
    """ROS 2 for Python and the messages of the contract can be imported."""
    try:
        import gym_gazebo2.ros.graph  # noqa: F401
    except MissingDependencyError as error:
        half = importlib.util.find_spec("rclpy") is not None
        found = f"rclpy is here, but: {error.__cause__}" if half else "rclpy is not installed"
        return Finding("ROS 2", "broken" if half else "optional", found, NO_ROS)
    sourced = os.environ.get("ROS_DISTRO")
    return Finding("ROS 2", "ok", f"sourced, {sourced}" if sourced else f"from wheels, rclpy {_get_version('ros-rclpy')}")


def check_middleware() -> Finding:
    """A message goes from one participant to another over DDS."""
    if importlib.util.find_spec("rclpy") is None:
        return Finding("middleware", "optional", "needs ROS 2", NO_ROS)
    from gym_gazebo2.ros import Domain, Graph, String, get_middleware, make_local

    os.environ.update(make_local())
    domain, came = Domain(), list[str]()
    with contextlib.closing(Graph(domain.id)) as sender, contextlib.closing(Graph(domain.id)) as receiver:
        publisher = sender.publish(String, "/doctor", keep=True)
        receiver.subscribe(String, "/doctor", lambda message: came.append(message.data), keep=True)
        publisher.publish(String(data="hello"))
        arrived = receiver.wait(lambda: bool(came), 10.0)
    domain.release()
    if arrived:
        return Finding("middleware", "ok", f"{get_middleware()}, a message went through")
    mend = "Unset RMW_IMPLEMENTATION and FASTRTPS_DEFAULT_PROFILES_FILE; allow UDP on the loopback interface"
    return Finding("middleware", "broken", f"{get_middleware()}: a message did not arrive within 10 s", mend)


def check_domain() -> Finding:
    """ROS_DOMAIN_ID can be used, and who else is there."""
    if importlib.util.find_spec("rclpy") is None:
        return Finding("ROS domain", "optional", "needs ROS 2", NO_ROS)
    from gym_gazebo2.ros import Graph, read_domain

    try:
        domain = read_domain()
    except GymGazebo2Error as error:
        return Finding("ROS domain", "broken", f"ROS_DOMAIN_ID: {error}", "export ROS_DOMAIN_ID=0, or another from 0 to 101")
    with contextlib.closing(Graph(domain)) as graph:
        graph.wait(lambda: len(graph.node.get_node_names()) > 1, 1.5)
        others = sorted(set(graph.node.get_node_names()) - {graph.node.get_name()})
    company = f"with {', '.join(others)}" if others else "nobody else is on it"
    return Finding("ROS domain", "ok", f"{domain}, {company}")


def check_gazebo() -> Finding:
    """A gzserver starts, its time advances, and it ends."""
    from gym_gazebo2.gazebo import GazeboError, find_gazebo
    from gym_gazebo2.gazebo.install import find_apt_version
    from gym_gazebo2.gazebo.server import check_gazebo as try_gazebo

    gazebo = find_gazebo()
    if gazebo is None:
        mend = "sudo apt-get install gazebo libgazebo-dev" if find_apt_version() else "gym-gazebo2 install-gazebo"
        return Finding("Gazebo", "optional", "Gazebo 11 is not installed", mend)
    found = f"{gazebo.version}, {gazebo.gzserver}"
    try:
        try_gazebo(gazebo, DEADLINE / 2)
    except GazeboError as error:
        return Finding("Gazebo", "broken", f"{found}: {error}", _name_reinstall(gazebo.prefix is None))
    return Finding("Gazebo", "ok", f"{found}, started and ended")


def _name_reinstall(is_system: bool) -> str:
    from gym_gazebo2.gazebo.locate import find_cached_prefix

    if is_system:
        return "sudo apt-get install --reinstall gazebo"
    return f"rm -r {find_cached_prefix()} && gym-gazebo2 install-gazebo"


def check_plugin() -> Finding:
    """The plug-in is built and serves an arm, or can be built."""
    from gym_gazebo2.gazebo import Domain, find_gazebo, find_ros, start_robot
    from gym_gazebo2.gazebo.build import find_plugin, is_built, try_build
    from gym_gazebo2.robots import make_robot

    gazebo = find_gazebo()
    if gazebo is None or importlib.util.find_spec("rclpy") is None:
        return Finding(
            "plug-in", "optional", "needs Gazebo and ROS 2", "gym-gazebo2 install-gazebo" if gazebo is None else NO_ROS
        )
    ros = find_ros()
    library = find_plugin(gazebo, ros)
    if not is_built(library):
        try_build(gazebo, ros)
        return Finding("plug-in", "ok", "not built yet; the first use builds it, in about half a minute")
    domain = Domain()
    with contextlib.closing(start_robot(make_robot("scara"), domain.id)) as server:
        server.wait_ready(DEADLINE / 2)
    domain.release()
    return Finding("plug-in", "ok", f"serves an arm, {library}")


def check_display() -> Finding:
    """A window can be opened."""
    where = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if not where:
        mend = "Start from a desktop session, or set DISPLAY; Xvfb is a virtual one"
        return Finding("display", "optional", "DISPLAY is not set: no windows, pictures are not concerned", mend)
    if importlib.util.find_spec("glfw") is None:
        return Finding("display", "optional", f"{where}; windows need the physics", "pip install 'gym_gazebo2[mujoco]'")
    import glfw

    if not glfw.init():
        return Finding("display", "broken", f"{where} does not answer", "Check DISPLAY, or unset it")
    glfw.terminate()
    return Finding("display", "ok", where)


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "packages": check_versions,
    "physics": check_physics,
    "rendering": check_rendering,
    "training": check_training,
    "ROS 2": check_ros,
    "middleware": check_middleware,
    "ROS domain": check_domain,
    "Gazebo": check_gazebo,
    "plug-in": check_plugin,
    "display": check_display,
}
"""The checks by name, in the order in which they are shown."""


def examine(names: Sequence[str] = tuple(CHECKS), deadline: float = DEADLINE) -> list[Finding]:
    """Run checks side by side, each in a process of its own.

    Args:
        names: Which of ``CHECKS``.
        deadline: Longest time of a check [s].
    """
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda name: _examine_one(name, deadline), names))


def has_failed(findings: Sequence[Finding]) -> bool:
    """Tell whether something is broken, or missing that everything needs."""
    return any(finding.state in ("missing", "broken") for finding in findings)


def _examine_one(name: str, deadline: float) -> Finding:
    command = [sys.executable, "-m", "gym_gazebo2.doctor", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            out, error = child.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return Finding(
                name, "broken", f"the check did not end within {deadline:g} s", "Try it alone; see what it waits for"
            )
    if child.returncode < 0:
        return Finding(
            name, "broken", f"the check was ended by signal {signal.Signals(-child.returncode).name}", MENDS.get(name, "")
        )
    if child.returncode == NO_MIDDLEWARE:
        missing = f"RMW_IMPLEMENTATION is {os.environ.get('RMW_IMPLEMENTATION', '')!r}, which is not installed"
        return Finding(name, "broken", missing, "unset RMW_IMPLEMENTATION")
    try:
        return Finding(**json.loads(out.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = (error.strip().splitlines() or ["it said nothing"])[-1]
        return Finding(name, "broken", f"the check failed: {last}", MENDS.get(name, ""))


MENDS = {
    "physics": "pip install 'gym_gazebo2[mujoco]'; unset MUJOCO_GL",
    "rendering": f"unset MUJOCO_GL; {NO_DRIVER}",
    "training": "pip install 'gym_gazebo2[train]'",
    "ROS 2": NO_ROS,
    "middleware": NO_ROS,
}
"""What to do where a check crashed; the plug-in's errors say it themselves."""
NO_MIDDLEWARE = 102
"""Status with which rcl ends the process where RMW_IMPLEMENTATION names a middleware that is not installed."""


def _run(name: str) -> Finding:
    """Run a check here; what it lacks is a finding."""
    try:
        return CHECKS[name]()
    except MissingDependencyError as error:
        needed: State = "missing" if name == "physics" else "optional"
        return Finding(name, needed, f"{error.package} is not installed", f"pip install 'gym_gazebo2[{error.extra}]'")
    except GymGazebo2Error as error:
        return Finding(name, "broken", str(error), MENDS.get(name) or _find_remedy(str(error)))


def _find_remedy(text: str) -> str:
    """Return the sentence of an error that says what to do, or nothing; CMake breaks it into lines."""
    found = re.search(r"\b(Install|Make|Source|Use) .+?\.(?= |$)", " ".join(text.split()))
    return found.group().rstrip(".") if found else ""


def _get_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(_run(sys.argv[1]))))
