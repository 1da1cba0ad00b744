"""Find out what is on the other side: a provider of the contract, Gazebo Sim, or a robot."""

from __future__ import annotations

from gym_gazebo2.backends.base import NANOSECONDS, count_substeps
from gym_gazebo2.backends.ros2.control_world import CONTROL_WORLD, ControlWorld, import_control_world
from gym_gazebo2.backends.ros2.free_running import FreeRunning
from gym_gazebo2.backends.ros2.link import Link, Pacing, Provider, Settings
from gym_gazebo2.backends.ros2.lock_step import LockStep
from gym_gazebo2.errors import BackendError

__all__ = ["choose_pacing"]

GRACE = 1.0
"""Time that a provider has to tell what it is, after its first state and its ear for commands were found [s]."""


def choose_pacing(link: Link, settings: Settings, lock_step: bool | None, world: str | None = None) -> Pacing:
    """Return how an arm is paced.

    Args:
        link: The arm's topics.
        settings: What the ways of pacing need to know.
        lock_step: What is demanded; None takes what is found.
        world: Gazebo Sim's world, where there are several.

    Raises:
        BackendError: There is nothing, not in the way demanded, or its joints are not the robot's.
        InvalidArgumentError: The control period is no whole number of a lock-step provider's physics steps.
    """
    provider = _find_provider(link, settings.timeout)
    if provider is not None:
        if sorted(provider.joints) != sorted(link.robot.joint_names):
            raise BackendError(f"The provider has the joints {provider.joints}, expected {link.robot.joint_names}.")
        _check_demand(lock_step, provider.lock_step, f"the provider {provider}")
        if provider.lock_step and provider.physics_dt is not None:
            count_substeps(settings.control_dt_ns / NANOSECONDS, provider.physics_dt)
        return LockStep(link, settings) if provider.lock_step else FreeRunning(link, settings)
    worlds = link.graph.find_services(CONTROL_WORLD)
    can_step = bool(worlds) and import_control_world() is not None
    if lock_step is not False and can_step:
        return ControlWorld(link, settings, _choose_world(worlds, world))
    _check_demand(lock_step, False, f"no provider; {_explain(worlds)}")
    return FreeRunning(link, settings)


def _check_demand(demanded: bool | None, found: bool, what: str) -> None:
    if demanded not in (None, found):
        raise BackendError(
            f"lock_step={demanded} is demanded, and there is {what}. Start a provider that {'is' if demanded else 'is not'} "
            "in lock-step (gym-gazebo2 sim), or leave the option out."
        )


def _explain(worlds: list[str]) -> str:
    """Return why Gazebo Sim cannot be stepped."""
    if not worlds:
        return f"a robot, or a Gazebo Sim without a bridge of its {CONTROL_WORLD}"
    return (
        f"{', '.join(worlds)} could step Gazebo Sim, but the Python package ros_gz_interfaces is not there (source its ROS 2)"
    )


def _choose_world(worlds: list[str], world: str | None) -> str:
    wanted = worlds if world is None else [name for name in worlds if name == f"/world/{world}/control"]
    if len(wanted) != 1:
        raise BackendError(
            f"The worlds' services are {', '.join(worlds)}; option world is {world!r}, expected the name of one."
        )
    return wanted[0]


def _find_provider(link: Link, timeout: float) -> Provider | None:
    """Return what the provider says of itself; None where states come and commands are taken without one."""
    graph, topics = link.graph, link.topics
    if not graph.wait(lambda: link.provider is not None or _moves_without(link), timeout):
        found = {topics.provider: False, topics.state: link.is_speaking, topics.command: link.is_heard}
        missing = ", ".join(topic for topic, is_there in found.items() if not is_there)
        raise BackendError(
            f"Nothing moves {link.robot.name!r} in domain {graph.domain_id}: within {timeout:g} s there was nobody on "
            f"{missing}. "
            "Start a provider (gym-gazebo2 sim) or the robot's controllers, or check ROS_DOMAIN_ID and the namespace."
        )
    graph.wait(lambda: link.provider is not None, GRACE)
    return link.provider


def _moves_without(link: Link) -> bool:
    """Tell whether there is what a robot has, or Gazebo Sim, which may be paused."""
    return link.is_heard and (link.is_speaking or bool(link.graph.find_services(CONTROL_WORLD)))
