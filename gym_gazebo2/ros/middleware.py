"""Checks of the environment variables with which a user's shell chooses ROS 2's middleware. Does not import rclpy."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from gym_gazebo2.errors import InvalidArgumentError, MiddlewareError

__all__ = ["SETTINGS", "check_discovery_range", "check_middleware", "list_settings"]

RMW = "RMW_IMPLEMENTATION"
SETTINGS = (
    *(RMW, "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", "ROS_DISCOVERY_SERVER"),
    *("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE", "CYCLONEDDS_URI"),
    *("ROS_SECURITY_ENABLE", "ROS_SECURITY_STRATEGY", "ROS_SECURITY_KEYSTORE"),
)
"""Variables that change the middleware, or whom it discovers."""
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
"""Values of ROS_AUTOMATIC_DISCOVERY_RANGE. ROS 2 takes any other for LOCALHOST, so that a robot is never found."""
PROBE_TIMEOUT_S = 30.0
"""Longest time for a process that imports rclpy [s]; it takes about half a second."""
PROBE = "import rclpy; rclpy.get_rmw_implementation_identifier()"


def check_middleware() -> None:
    """Check that the chosen middleware can be loaded. Called before rclpy is imported.

    Raises:
        MiddlewareError: RMW_IMPLEMENTATION names a middleware that is not installed.
    """
    name = os.environ.get(RMW)
    if name and "rclpy" not in sys.modules and not _can_load(name):
        raise MiddlewareError(f"{RMW} is {name!r}, which is not installed. Install that middleware, or: unset {RMW}")


@functools.cache
def _can_load(name: str) -> bool:
    # rcl ends the process with exit() if the middleware is not there. So another process tries it.
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env=os.environ | {RMW: name}, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    # Without rclpy there is no middleware to blame; its import error names the package.
    return done.returncode == 0 or b"ModuleNotFoundError" in done.stderr


def check_discovery_range() -> None:
    """Check ROS_AUTOMATIC_DISCOVERY_RANGE.

    Raises:
        InvalidArgumentError: ROS 2 does not know its value.
    """
    given = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE")
    if given and given not in RANGES:
        raise InvalidArgumentError("ROS_AUTOMATIC_DISCOVERY_RANGE", given, f"one of {', '.join(RANGES)}")


def list_settings() -> str:
    """Return the variables of the middleware that are set, with their values, for error messages; "none" if none is."""
    return ", ".join(f"{name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)) or "none"
