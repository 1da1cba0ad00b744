"""Find out what moves the arm (a provider of the contract, Gazebo Sim, or a robot), and choose the pacing for it."""

from __future__ import annotations

import json

from gym_gazebo2.backends.base import NANOSECONDS, count_substeps
from gym_gazebo2.backends.ros2.control_world import ControlWorld
from gym_gazebo2.backends.ros2.free_running import FreeRunning
from gym_gazebo2.backends.ros2.link import Link, Provider
from gym_gazebo2.backends.ros2.lock_step import LockStep
from gym_gazebo2.backends.ros2.pacing import Pacing, Settings
from gym_gazebo2.errors import BackendError
from gym_gazebo2.ros.middleware import list_settings
from gym_gazebo2.ros.topics import CONTROL_WORLD, import_control_world
from gym_gazebo2.scene import describe_scene, find_difference

__all__ = ["choose_pacing"]

DESCRIPTION_TIMEOUT_S = 1.0
"""Time to wait for a provider's description once states come and commands are subscribed to [s].

DDS discovers each topic on its own, so the description of a provider may come after its states. After this time without one,
the arm is taken for a robot."""


def choose_pacing(link: Link, settings: Settings, lock_step: bool | None, world: str | None = None) -> Pacing:
    """Return the pacing for what moves the arm.

    Args:
        link: The arm's topics.
        settings: The settings of the pacing.
        lock_step: Whether lock-step is required (True) or forbidden (False); None accepts both.
        world: Name of Gazebo Sim's world, needed if there are several.

    Raises:
        BackendError: No simulator or robot was found; or it has other joints, or not the required lock-step.
        InvalidArgumentError: The control period is not a whole number of a lock-step provider's physics steps.
    """
    provider = _find_provider(link, settings.timeout)
    if provider is not None:
        arm = sorted(set(provider.joints) - set(provider.fingers))
        if sorted(link.joint_names) not in (sorted(provider.joints), arm):
            fingers = "" if link.robot.gripper is None else " with its gripper"
            raise BackendError(
                f"The provider has the joints {provider.joints}, expected {link.joint_names}. "
                f"Start a provider of this robot{fingers}, or give another namespace or joint_prefix."
            )
        _check_scene(link, provider)
        _check_required(lock_step, provider.lock_step, f"the provider found is {provider}")
        if provider.lock_step and link.topics.gripper_command is not None:
            raise BackendError(
                f"The provider found takes all joints in one command, and nothing from {link.topics.gripper_command}. Leave "
                "gripper_topic and gripper_controller out: they are for robots."
            )
        if provider.lock_step and provider.physics_dt is not None:
            count_substeps(settings.control_dt_ns / NANOSECONDS, provider.physics_dt)
        return LockStep(link, settings) if provider.lock_step else FreeRunning(link, settings)
    services = link.graph.find_services(CONTROL_WORLD)
    can_step = bool(services) and import_control_world() is not None
    if lock_step is not False and can_step:
        return ControlWorld(link, settings, _choose_world(services, world))
    _check_required(lock_step, False, f"no provider was found. What answers is {_explain(services)}")
    return FreeRunning(link, settings)


def _check_scene(link: Link, provider: Provider) -> None:
    """Raise a BackendError if the provider has built another scene than the task's."""
    if link.scene is None:
        return
    if provider.scene is None:
        raise BackendError(
            f"The task has a scene, but the provider of /{link.topics.namespace} has none. Start it with the task's scene: "
            "gym-gazebo2 sim --scene."
        )
    own = json.loads(describe_scene(link.scene, link.scene.num_objects))
    if (difference := find_difference(own, provider.scene)) is not None:
        raise BackendError(
            f"The provider of /{link.topics.namespace} has another scene than the task. {difference} "
            "Start it with the task's scene."
        )


def _check_required(required: bool | None, found: bool, finding: str) -> None:
    if required not in (None, found):
        raise BackendError(
            f"lock_step={required} is required, but {finding}. Start a provider that {'is' if required else 'is not'} "
            "in lock-step (gym-gazebo2 sim), or leave the option out."
        )


def _explain(services: list[str]) -> str:
    """Return why Gazebo Sim cannot be stepped."""
    if not services:
        return f"a robot, or a Gazebo Sim without a bridge of its {CONTROL_WORLD}"
    return (
        f"a Gazebo Sim with {', '.join(services)}, and the Python package ros_gz_interfaces is not installed (source its ROS 2)"
    )


def _choose_world(services: list[str], world: str | None) -> str:
    matching = services if world is None else [name for name in services if name == f"/world/{world}/control"]
    if len(matching) != 1:
        raise BackendError(
            f"The option world is {world!r}, expected the name of one world. The services found: {', '.join(services)}."
        )
    return matching[0]


def _find_provider(link: Link, timeout: float) -> Provider | None:
    """Return the provider's description; None if states come and commands are subscribed to, but there is no description."""
    graph, topics = link.graph, link.topics
    if not graph.wait(lambda: link.provider is not None or _is_moved_by_other(link), timeout):
        if link.foreign_joints and not link.has_state:
            raise BackendError(
                f"{topics.state} brings the joints {link.foreign_joints}, and none of {link.joint_names}. "
                "Give the prefix of their names (joint_prefix), or another robot or namespace."
            )
        found = {topics.provider: False, topics.state: link.has_state, topics.command: link.num_command_subscribers > 0}
        missing = ", ".join(topic for topic, is_there in found.items() if not is_there)
        raise BackendError(
            f"No simulator or robot was found for {link.robot.name!r} in domain {graph.domain_id}: no node on {missing} within "
            f"{timeout:g} s. "
            "Start a provider (gym-gazebo2 sim) or the robot's controllers, or check ROS_DOMAIN_ID, namespace and controller. "
            f"Settings of the middleware here: {list_settings()}."
        )
    graph.wait(lambda: link.provider is not None, DESCRIPTION_TIMEOUT_S)
    return link.provider


def _is_moved_by_other(link: Link) -> bool:
    """Return whether a robot or Gazebo Sim is there. A paused Gazebo Sim sends no states, so its service is enough."""
    return link.num_command_subscribers > 0 and (link.has_state or bool(link.graph.find_services(CONTROL_WORLD)))
