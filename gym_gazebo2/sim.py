"""``gym-gazebo2 sim``: serve a simulated robot over ROS 2, from MuJoCo, Gazebo 11 or gz-sim, until Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import tyro

from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.gazebo.client import GazeboClient
from gym_gazebo2.gazebo.serve import start_robot
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.discovery import DISCOVERY, LOCALHOST, make_default, make_local, read_domain
from gym_gazebo2.signals import raise_on_signals

__all__ = ["PROVIDERS", "SimConfig", "describe", "parse", "simulate"]

MODE = tyro.conf.create_mutex_group(required=False)
"""At most one of --lock-step and --real-time."""
ROBOT_FIELDS = ("tool_frame", "mount_height")
"""Fields of the robot's row that a configuration can change."""
EXIT_TIMEOUT_S = 5.0
"""Longest wait for the exit status of a server that has closed its pipe [s]."""


@dataclasses.dataclass(frozen=True)
class SimConfig:
    """Serve a simulated robot over ROS 2, until Ctrl-C.

    Attributes:
        robot: Robot of the table, or the path of a URDF or xacro file, or of the folder robot of a run.
        provider: "mujoco" runs in this process and needs only ROS 2; "gazebo" is a gzserver; "gz_sim" is today's Gazebo.
        real_time: Let time run by itself. Without this option, each command is one step (lock-step).
        factor: Speed of time in real time, as a multiple of the wall clock; 0 means as fast as possible.
        gui: Show the arm in a window.
        namespace: ROS namespace. Default: the robot's name; "" is the root namespace.
        controller: Name of the controller whose commands are taken (mujoco only).
        joint_prefix: Prefix of the joints' names in messages (mujoco only).
        remap: Other names of topics, by the last word of the usual one: "joint_states:=/arm/states" (mujoco only).
        domain: ROS domain. Default: ROS_DOMAIN_ID, or 0.
        control_dt: Control period; in real time also the period of joint states [s].
        physics_dt: Physics step [s]. Default: the provider's.
        gripper: Drive the robot's gripper, as tasks that use it need. Otherwise its fingers are held.
        tool_frame: Link whose origin is the tool centre point. The joints on the way to it are driven. Default: the robot's.
        mount_height: Height of the base above the floor [m]. Default: the robot's.
        robot_only: Replace a real robot (mujoco in real time only): commands and joint states, no placement, no reset.
    """

    robot: tyro.conf.Positional[str] = "mara"
    provider: Literal["mujoco", "gazebo", "gz_sim"] = "mujoco"
    real_time: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False
    factor: float = 1.0
    gui: bool = False
    namespace: str | None = None
    controller: str = "joint_trajectory_controller"
    joint_prefix: str = ""
    remap: str = ""
    domain: int | None = None
    control_dt: float = 0.05
    physics_dt: float | None = None
    gripper: bool = False
    tool_frame: str | None = None
    mount_height: float | None = None
    robot_only: bool = False


def _print(text: str) -> None:
    print(text, flush=True)


@dataclasses.dataclass(frozen=True)
class Arguments(SimConfig):
    """Serve a simulated robot over ROS 2, until Ctrl-C.

    Attributes:
        lock_step: Let time stand still between commands. This is the default.
    """

    lock_step: Annotated[bool, MODE, tyro.conf.FlagCreatePairsOff] = False


def parse(args: Sequence[str]) -> SimConfig:
    """Return the configuration of a command line; invalid arguments end the program with status 2 and a message."""
    given = tyro.cli(Arguments, args=args, prog="gym-gazebo2 sim")
    return SimConfig(**{field.name: getattr(given, field.name) for field in dataclasses.fields(SimConfig)})


def simulate(config: SimConfig, show: Callable[[str], None] = _print) -> None:
    """Serve a robot until SIGINT (Ctrl-C), SIGTERM or SIGHUP; whatever ends it, nothing is left running.

    Discovery is restricted to this machine unless ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is set.

    Args:
        config: The robot, its provider and the mode.
        show: Called once clients can connect, with a text that describes the topics and how to connect.

    Raises:
        KeyboardInterrupt: SIGINT ended it; after SIGTERM or SIGHUP it is the subclass ``Interrupted``.
        InvalidArgumentError: A value is invalid.
        UnknownNameError: There is no such robot or provider.
        RobotError: The URDF does not describe a serial arm.
        GazeboError: Gazebo is missing, or its plug-in cannot be built.
        BackendError: The server does not start, or dies; the message quotes its log.
        RenderError: A window is requested and there is no display.
    """
    if config.provider not in PROVIDERS:
        raise UnknownNameError("provider", config.provider, PROVIDERS)
    if config.factor != 1.0 and not config.real_time:
        raise InvalidArgumentError("factor", config.factor, "1 without --real-time: in lock-step, commands advance time")
    if config.gui:
        check_display("without --gui")
    robot = _make_robot(config)
    config = dataclasses.replace(config, domain=read_domain() if config.domain is None else config.domain)
    os.environ.update(make_default())
    with raise_on_signals():
        PROVIDERS[config.provider](robot, config, lambda: show(describe(robot, config)))


def describe(robot: RobotSpec, config: SimConfig) -> str:
    """Return a text that lists the topics and how to connect."""
    from gym_gazebo2.ros.topics import Topics

    namespace = robot.name if config.namespace is None else config.namespace
    topics = Topics(namespace, config.controller, _read_remap(config.remap))
    reach = os.environ.get(DISCOVERY, LOCALHOST)
    own = {DISCOVERY: reach, **{name: os.environ[name] for name in make_local() if name in os.environ}}
    discovery = " ".join(f"{name}={value}" for name, value in own.items())
    mode = f"in real time, {config.factor:g} ×" if config.real_time else "in lock-step: each command is one step"
    lines = [f"{robot.name}, {config.provider}, {mode}. ROS domain {config.domain}, discovery {reach}."]
    lines += [f"  {row.name:52} {row.kind:32} {row.meaning}" for row in topics.list_info(config.robot_only)]
    lines += ["", "Connect from another terminal:", f"  export ROS_DOMAIN_ID={config.domain} {discovery}"]
    lines += [f"  env = gymnasium.make({_make_arguments(robot, config)})", "", "Ctrl-C ends it."]
    return "\n".join(lines)


def _make_robot(config: SimConfig) -> RobotSpec:
    """Return the robot, with the fields of its row that the configuration changes."""
    return make_env_robot(config.robot, {field: getattr(config, field) for field in ROBOT_FIELDS}, config.gripper)


def _make_arguments(robot: RobotSpec, config: SimConfig) -> str:
    """Return the arguments with which ``gymnasium.make`` connects."""
    ids = [env_id for env_id, row in ENVIRONMENTS.items() if row.robot == config.robot]
    arguments = [f'"{ids[0] if ids else "…"}"', 'backend="ros2"']
    if not ids:
        arguments.insert(1, f'robot="{config.robot}"')
    arguments += [f"{field}={getattr(config, field)!r}" for field in ROBOT_FIELDS if getattr(config, field) is not None]
    if config.control_dt != SimConfig.control_dt:
        arguments.append(f"control_dt={config.control_dt}")
    options: dict[str, Any] = {} if config.namespace in (None, robot.name) else {"namespace": config.namespace}
    options |= _get_robot_names(config)
    if options:
        arguments.append(f"backend_options={json.dumps(options)}")
    return ", ".join(arguments)


def _get_robot_names(config: SimConfig) -> dict[str, Any]:
    """Return the options that name topics and joints as robots do, where they differ from the usual ones."""
    usual = SimConfig()
    names = {
        name: getattr(config, name) for name in ("controller", "joint_prefix") if getattr(config, name) != getattr(usual, name)
    }
    return names | ({"remap": remap} if (remap := _read_remap(config.remap)) else {})


def _read_remap(text: str) -> dict[str, str]:
    """Return names of topics from a text such as "joint_states:=/arm/states place:=/arm/place"."""
    pairs = [word.partition(":=") for word in text.split()]
    for name, sign, other in pairs:
        if not (name and sign and other):
            raise InvalidArgumentError("remap", text, "pairs separated by spaces, such as 'joint_states:=/arm/states'")
    return {name: other for name, _, other in pairs}


def _serve_mujoco(robot: RobotSpec, config: SimConfig, on_ready: Callable[[], None]) -> None:
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
        on_ready=lambda graph: on_ready(),
        **_get_robot_names(config),
        **given,
    )


def _serve_gazebo(robot: RobotSpec, config: SimConfig, on_ready: Callable[[], None]) -> None:
    if config.robot_only:
        raise InvalidArgumentError("robot_only", True, "False with Gazebo: only the provider mujoco can replace a robot")
    other_names = _get_robot_names(config) | ({"namespace": ""} if config.namespace in ("", "/") else {})
    for name, value in other_names.items():
        raise InvalidArgumentError(name, value, "the usual one with Gazebo: only the provider mujoco can change it")
    options: dict[str, Any] = {} if config.physics_dt is None else {"physics_dt": config.physics_dt}
    options |= {"namespace": config.namespace, "control_dt": config.control_dt, "gazebo_topics": config.gui}
    factor = config.factor if config.real_time else None
    options |= {"simulator": config.provider, "real_time_factor": factor}
    with start_robot(robot, int(config.domain or 0), **options) as server:
        server.wait_ready()
        with contextlib.closing(GazeboClient(server)) if config.gui else contextlib.nullcontext():
            on_ready()
            select.select([server], [], [])
            server.process.wait(EXIT_TIMEOUT_S)
            server.check_alive()


PROVIDERS: dict[str, Callable[[RobotSpec, SimConfig, Callable[[], None]], None]] = {
    "mujoco": _serve_mujoco,
    "gazebo": _serve_gazebo,
    "gz_sim": _serve_gazebo,
}
"""Name of a provider → function that serves until it is interrupted; it calls its third argument once clients can connect."""
