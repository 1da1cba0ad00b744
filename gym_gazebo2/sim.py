"""``gym-gazebo2 sim``: serve a robot on the ROS 2 contract, from the embedded physics or from Gazebo, until Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Annotated, Any, Literal

import tyro

from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.gazebo.client import GazeboClient
from gym_gazebo2.gazebo.serve import start_robot
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import RobotSpec, make_robot
from gym_gazebo2.ros.discovery import DISCOVERY, LOCALHOST, make_default, make_local, read_domain

__all__ = ["PROVIDERS", "SimConfig", "describe", "parse", "simulate"]

MODE = tyro.conf.create_mutex_group(required=False)
"""Of --lock-step and --real-time, one at most."""
PATIENCE = 5.0
"""Time that a gzserver has to end by itself [s]."""


@dataclasses.dataclass(frozen=True)
class SimConfig:
    """Serve a robot on the ROS 2 contract, until Ctrl-C.

    Attributes:
        robot: Robot of the table: mara, scara or scara4.
        provider: "mujoco", the embedded physics, needs only ROS 2; "gazebo" is a real gzserver.
        real_time: Let time run by itself; without it, a command is a step (lock-step).
        factor: In real time, how fast time runs; 0 is as fast as it can.
        gui: Show the arm in a window.
        namespace: ROS namespace; None is the robot's name.
        domain: ROS domain; None takes ROS_DOMAIN_ID, or 0.
        control_dt: Control period, in real time also the period of states [s].
        physics_dt: Physics step [s]; None is the provider's own.
        robot_only: Stand in for the robot (mujoco, in real time): commands and joint states, no placement, no reset.
    """

    robot: tyro.conf.Positional[str] = "mara"
    provider: Literal["mujoco", "gazebo"] = "mujoco"
    real_time: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False
    factor: float = 1.0
    gui: bool = False
    namespace: str | None = None
    domain: int | None = None
    control_dt: float = 0.05
    physics_dt: float | None = None
    robot_only: bool = False


def _print(text: str) -> None:
    print(text, flush=True)


@dataclasses.dataclass(frozen=True)
class Arguments(SimConfig):
    """Serve a robot on the ROS 2 contract, until Ctrl-C.

    Attributes:
        lock_step: Let time stand still between commands; so it is without --real-time, too.
    """

    lock_step: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False


def parse(args: Sequence[str]) -> SimConfig:
    """Return what a command line asks for; a wrong one ends the program with status 2 and says why."""
    given = tyro.cli(Arguments, args=args, prog="gym-gazebo2 sim")
    return SimConfig(**{field.name: getattr(given, field.name) for field in dataclasses.fields(SimConfig)})


def simulate(config: SimConfig, show: Callable[[str], None] = _print) -> None:
    """Serve a robot until KeyboardInterrupt; SIGTERM ends it as cleanly, with exit status 143.

    Discovery is restricted to this machine unless ``ROS_AUTOMATIC_DISCOVERY_RANGE`` says otherwise.

    Args:
        config: What to serve, and how.
        show: Called with what is served and how to connect, once it can be.

    Raises:
        InvalidArgumentError: A value cannot work.
        UnknownNameError: There is no such robot or provider.
        GazeboError: Gazebo is missing, or its plug-in cannot be built.
        BackendError: The gzserver does not start, or dies; the message quotes its log.
        RenderError: A window is asked for and there is no display.
    """
    if config.provider not in PROVIDERS:
        raise UnknownNameError("provider", config.provider, PROVIDERS)
    if config.factor != 1.0 and not config.real_time:
        raise InvalidArgumentError("factor", config.factor, "1 without --real-time: in lock-step time runs with the commands")
    if config.gui:
        check_display("without --gui")
    robot = make_robot(config.robot)
    config = dataclasses.replace(config, domain=read_domain() if config.domain is None else config.domain)
    os.environ.update(make_default())
    with _ending_on_sigterm():
        PROVIDERS[config.provider](robot, config, lambda: show(describe(robot, config)))


def describe(robot: RobotSpec, config: SimConfig) -> str:
    """Return what is served and how to connect, for people."""
    from gym_gazebo2.ros.topics import Topics

    topics = Topics(config.namespace or robot.name)
    reach = os.environ.get(DISCOVERY, LOCALHOST)
    own = {DISCOVERY: reach, **{name: os.environ[name] for name in make_local() if name in os.environ}}
    discovery = " ".join(f"{name}={value}" for name, value in own.items())
    mode = f"in real time, {config.factor:g} ×" if config.real_time else "in lock-step: a command is a step"
    lines = [f"{robot.name}, {config.provider}, {mode}. ROS domain {config.domain}, discovery {reach}."]
    lines += [f"  {row.name:52} {row.kind:32} {row.meaning}" for row in topics.list_info(config.robot_only)]
    lines += ["", "Connect from another terminal:", f"  export ROS_DOMAIN_ID={config.domain} {discovery}"]
    lines += [f"  env = gymnasium.make({_make_arguments(robot, config)})", "", "Ctrl-C ends it."]
    return "\n".join(lines)


def _make_arguments(robot: RobotSpec, config: SimConfig) -> str:
    ids = [env_id for env_id, row in ENVIRONMENTS.items() if row.robot == robot.name]
    arguments = [f'"{ids[0] if ids else "…"}"', 'backend="ros2"']
    if config.control_dt != SimConfig.control_dt:
        arguments.append(f"control_dt={config.control_dt}")
    if config.namespace not in (None, robot.name):
        arguments.append(f'backend_options={{"namespace": "{config.namespace}"}}')
    return ", ".join(arguments)


def _serve_mujoco(robot: RobotSpec, config: SimConfig, tell: Callable[[], None]) -> None:
    from gym_gazebo2.provider import serve

    given: dict[str, Any] = {} if config.physics_dt is None else {"physics_dt": config.physics_dt}
    serve(
        robot,
        namespace=config.namespace,
        domain_id=config.domain,
        control_dt=config.control_dt,
        factor=config.factor if config.real_time else None,
        robot_only=config.robot_only,
        gui=config.gui,
        on_ready=lambda graph: tell(),
        **given,
    )


def _serve_gazebo(robot: RobotSpec, config: SimConfig, tell: Callable[[], None]) -> None:
    if config.robot_only:
        raise InvalidArgumentError("robot_only", True, "False with Gazebo; the provider mujoco can stand in for a robot")
    options: dict[str, Any] = {} if config.physics_dt is None else {"physics_dt": config.physics_dt}
    options |= {"namespace": config.namespace, "control_dt": config.control_dt, "gazebo_topics": config.gui}
    factor = config.factor if config.real_time else None
    with start_robot(robot, int(config.domain or 0), real_time_factor=factor, **options) as server:
        server.wait_ready()
        with contextlib.closing(GazeboClient(server)) if config.gui else contextlib.nullcontext():
            tell()
            select.select([server], [], [])
            server.process.wait(PATIENCE)
            server.check_alive()


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise, so that everything is closed on the way out; signals come to the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


PROVIDERS: dict[str, Callable[[RobotSpec, SimConfig, Callable[[], None]], None]] = {
    "mujoco": _serve_mujoco,
    "gazebo": _serve_gazebo,
}
"""Serve until interrupted; the third argument is called once clients can connect."""
