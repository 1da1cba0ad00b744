"""``gym-gazebo2 sim``: serve a simulated robot over ROS 2, from MuJoCo, Gazebo 11 or gz-sim, until Ctrl-C."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from gym_gazebo2.display import check_display
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.gazebo.client import GazeboClient
from gym_gazebo2.gazebo.serve import start_robot
from gym_gazebo2.options import make_env_robot, read_robot_keywords
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros.discovery import DISCOVERY, LOCALHOST, make_default, make_local, read_domain
from gym_gazebo2.scene import Scene
from gym_gazebo2.signals import raise_on_signals
from gym_gazebo2.sim_scene import find_environment, get_defaults, make_scene, split_keywords
from gym_gazebo2.tasks import make_task

__all__ = ["PROVIDERS", "SimConfig", "describe", "simulate"]

WITH_FIELDS = ("tool_frame", "mount_height")
"""Keywords that configurations have fields for, as short forms of ``env_kwargs``."""
DEFAULT_ROBOT = "mara"
"""The robot that is served if none is named."""
OTHER_ID = "Reach-v0"
"""The id that takes any robot."""
EXIT_TIMEOUT_S = 5.0
"""Longest wait for the exit status of a server that has closed its pipe [s]."""


@dataclasses.dataclass(frozen=True)
class SimConfig:
    """Serve a simulated robot over ROS 2, until Ctrl-C.

    Attributes:
        robot: Name, such as mara; path of a URDF or xacro file, or of the folder "robot" in a run; or ros:/robot_description.
            Default: mara, or the robot of the scene's environment.
        provider: "mujoco" runs in this process and needs only ROS 2; "gazebo" is a gzserver; "gz_sim" is today's Gazebo.
        real_time: Let time run by itself. Without this option, each command is one step (lock-step).
        factor: Speed of time in real time, as a multiple of the wall clock; 0 means as fast as possible.
        gui: Show the arm in a window.
        namespace: ROS namespace. Default: the robot's name; "" is the root namespace.
        controller: Name of the controller whose commands are taken (mujoco only).
        joint_prefix: Prefix of the joints' names in messages (mujoco only).
        remap: Other names of topics. The key is the last part of the usual name: "joint_states:=/arm/states" (mujoco only).
        domain: ROS domain. Default: ROS_DOMAIN_ID, or 0.
        control_dt: Control period; in real time also the period of joint states [s].
        physics_dt: Physics step [s]. Default: the provider's.
        scene: Name of a task with a scene, such as sort: its objects, boxes and zones are around the arm. The
            task's options are given like keywords, as in --env.num_objects 2. The gripper is driven if the task uses it.
        gripper: Drive the robot's gripper, as tasks that use it need. Otherwise its fingers are held.
        tool_frame: Link whose origin is the tool centre point. The joints on the way to it are driven. Default: the robot's.
        mount_height: Height of the base above the floor [m]. Default: the robot's.
        env_kwargs: Any other keyword of the environment that changes the robot, ``home`` and ``robot_options``. Its name
            follows the point, as in --env.home [0,-1.5,1.5] or --env.robot_options.held.wheel_joint 0.5.
        robot_only: Replace a real robot (mujoco in real time only): commands and joint states, no placement, no reset.
    """

    robot: str | None = None
    provider: Literal["mujoco", "gazebo", "gz_sim"] = "mujoco"
    real_time: bool = False
    factor: float = 1.0
    gui: bool = False
    namespace: str | None = None
    controller: str = "joint_trajectory_controller"
    joint_prefix: str = ""
    remap: str = ""
    domain: int | None = None
    control_dt: float = 0.05
    physics_dt: float | None = None
    scene: str | None = None
    gripper: bool = False
    tool_frame: str | None = None
    mount_height: float | None = None
    env_kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    robot_only: bool = False


def _print(text: str) -> None:
    print(text, flush=True)


def simulate(config: SimConfig, show: Callable[[str], None] = _print) -> None:
    """Serve a robot until SIGINT (Ctrl-C), SIGTERM or SIGHUP; whatever ends it, nothing is left running.

    Discovery is restricted to this machine unless ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is set.

    Args:
        config: The robot, its provider and the mode.
        show: Called once clients can connect, with a text that describes the topics and how to connect.

    Raises:
        KeyboardInterrupt: SIGINT ended it; after SIGTERM or SIGHUP it is the subclass ``Interrupted``.
        InvalidArgumentError: A value is invalid.
        UnknownNameError: There is no such robot, provider, or keyword of the robot or the scene's task.
        RobotError: The URDF does not describe a serial arm.
        UnsupportedError: A scene is given, and the provider has none.
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
    config = _complete(config)
    robot = _make_robot(config)
    config = dataclasses.replace(config, domain=read_domain() if config.domain is None else config.domain)
    os.environ.update(make_default())
    with raise_on_signals():
        PROVIDERS[config.provider](robot, config, lambda: show(describe(robot, config)))


def describe(robot: RobotSpec, config: SimConfig) -> str:
    """Return a text that lists the topics and how to connect."""
    from gym_gazebo2.ros.topics import Topics

    config = _complete(config)
    namespace = robot.name if config.namespace is None else config.namespace
    topics = Topics(namespace, config.controller, _read_remap(config.remap))
    reach = os.environ.get(DISCOVERY, LOCALHOST)
    own = {DISCOVERY: reach, **{name: os.environ[name] for name in make_local() if name in os.environ}}
    discovery = " ".join(f"{name}={value}" for name, value in own.items())
    mode = f"in real time, {config.factor:g} ×" if config.real_time else "in lock-step: each command is one step"
    lines = [f"{robot.name}, {config.provider}, {mode}. ROS domain {config.domain}, discovery {reach}."]
    lines += [
        f"  {row.name:52} {row.kind:32} {row.meaning}"
        for row in topics.list_info(config.robot_only, _has_objects(robot, config))
    ]
    lines += ["", "Connect from another terminal:", f"  export ROS_DOMAIN_ID={config.domain} {discovery}"]
    env_id, keywords = _find_client(robot, config)
    given = "".join(f", {name}={json.dumps(value) if isinstance(value, str) else value}" for name, value in keywords.items())
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in keywords.items()}
    words = [word for name, text in texts.items() for word in (f"--env.{name}", text)]
    lines += [f'  env = gymnasium.make("{env_id}"{given})', "or, to see it move at random:"]
    lines += [f"  gym-gazebo2 play {shlex.join([env_id, *words])}", "", "Ctrl-C ends it."]
    return "\n".join(lines)


def _make_robot(config: SimConfig) -> RobotSpec:
    """Return the robot that environments make from the same keywords."""
    return make_env_robot(_get_robot(config), _gather_keywords(config), config.gripper)


def _complete(config: SimConfig) -> SimConfig:
    """Return a configuration in which the robot is named, and whose gripper is driven where the scene's task uses it."""
    if config.scene is None:
        return dataclasses.replace(config, robot=config.robot or DEFAULT_ROBOT)
    if config.robot_only:
        raise InvalidArgumentError("scene", config.scene, "none with --robot-only: a robot does not place objects")
    env_id = find_environment(config.scene)
    uses_gripper = make_task(ENVIRONMENTS[env_id].task).uses_gripper
    robot = config.robot or get_defaults(env_id)[0]
    return dataclasses.replace(config, robot=robot, gripper=config.gripper or uses_gripper)


def _get_robot(config: SimConfig) -> str:
    return config.robot or DEFAULT_ROBOT


def _make_scene(robot: RobotSpec, config: SimConfig) -> Scene | None:
    """Return the scene of the configuration; None without one."""
    if config.scene is None:
        return None
    env_id = find_environment(config.scene)
    return make_scene(env_id, robot, split_keywords(env_id, config.env_kwargs)[0])


def _has_objects(robot: RobotSpec, config: SimConfig) -> bool:
    scene = _make_scene(robot, config)
    return scene is not None and scene.num_objects > 0


def _gather_keywords(config: SimConfig) -> dict[str, Any]:
    """Return the keywords of the environment that change the robot, as they are printed, too."""
    given = {name: value for name in WITH_FIELDS if (value := getattr(config, name)) is not None}
    keywords, defaults = dict(config.env_kwargs), dict[str, Any]()
    if config.scene is not None:
        env_id = find_environment(config.scene)
        keywords, defaults = split_keywords(env_id, keywords)[1], get_defaults(env_id)[1]
    return read_robot_keywords({**defaults, **keywords, **given})


def _find_client(robot: RobotSpec, config: SimConfig) -> tuple[str, dict[str, Any]]:
    """Return the id of an environment that connects, and its keywords."""
    name, keywords = _get_robot(config), dict[str, Any]()
    ids = [env_id for env_id, row in ENVIRONMENTS.items() if row.robot == name]
    if config.scene is not None:
        ids = [find_environment(config.scene)]
    if not ids or (config.scene is not None and ENVIRONMENTS[ids[0]].robot != name):
        keywords["robot"] = str(Path(name).absolute()) if Path(name).exists() else name
    keywords |= {"backend": "ros2", **_gather_keywords(config)}
    if config.scene is not None:
        same = get_defaults(ids[0])[1]
        keywords = {key: value for key, value in keywords.items() if key not in same or same[key] != value}
        keywords |= split_keywords(ids[0], config.env_kwargs)[0]
    if config.control_dt != SimConfig.control_dt:
        keywords["control_dt"] = config.control_dt
    options: dict[str, Any] = {} if config.namespace in (None, robot.name) else {"namespace": config.namespace}
    options |= _get_robot_names(config)
    return ids[0] if ids else OTHER_ID, keywords | ({"backend_options": options} if options else {})


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
        scene=_make_scene(robot, config),
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
    options["scene"] = _make_scene(robot, config)
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
