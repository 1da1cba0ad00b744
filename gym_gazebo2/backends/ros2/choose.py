"""Find out what is on the other side: a provider of the contract, Gazebo Sim, or a robot."""

from __future__ import annotations

from gym_gazebo2.backends.ros2.free_running import FreeRunning
from gym_gazebo2.backends.ros2.link import Link, Pacing, Provider, Settings
from gym_gazebo2.backends.ros2.lock_step import LockStep
from gym_gazebo2.errors import BackendError

__all__ = ["choose_pacing"]

GRACE = 1.0
"""Time that a provider has to tell what it is, after its first state and its ear for commands were found [s]."""


def choose_pacing(link: Link, settings: Settings, lock_step: bool | None) -> Pacing:
    """Return how an arm is paced.

    Args:
        link: The arm's topics.
        settings: What the ways of pacing need to know.
        lock_step: What is demanded; None takes what is found.

    Raises:
        BackendError: There is nothing, not in the way demanded, or its joints are not the robot's.
    """
    provider = _find_provider(link, settings.timeout)
    if provider is not None and sorted(provider.joints) != sorted(link.robot.joint_names):
        raise BackendError(f"The provider has the joints {provider.joints}, expected {link.robot.joint_names}.")
    is_lock_step = provider is not None and provider.lock_step
    if lock_step not in (None, is_lock_step):
        found = "no provider of lock-step, as with a robot" if provider is None else f"the provider {provider}"
        raise BackendError(
            f"lock_step={lock_step} is demanded, and there is {found} on {link.topics.provider}. "
            f"Start one that {'is' if lock_step else 'is not'} in lock-step (gym-gazebo2 sim), or leave the option out."
        )
    return LockStep(link, settings) if is_lock_step else FreeRunning(link, settings)


def _find_provider(link: Link, timeout: float) -> Provider | None:
    """Return what the provider says of itself; None where states come and commands are taken without one."""
    graph, topics = link.graph, link.topics
    if not graph.wait(lambda: link.provider is not None or (link.is_speaking and link.is_heard), timeout):
        found = {topics.provider: False, topics.state: link.is_speaking, topics.command: link.is_heard}
        missing = ", ".join(topic for topic, is_there in found.items() if not is_there)
        raise BackendError(
            f"Nothing moves {link.robot.name!r} in domain {graph.domain_id}: within {timeout:g} s there was nobody on "
            f"{missing}. "
            "Start a provider (gym-gazebo2 sim) or the robot's controllers, or check ROS_DOMAIN_ID and the namespace."
        )
    graph.wait(lambda: link.provider is not None, GRACE)
    return link.provider
