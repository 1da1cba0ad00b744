"""Checks of the environment variables with which a user's shell chooses ROS 2's middleware. Does not import rclpy."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

from gym_gazebo2.errors import InvalidArgumentError, MiddlewareError

__all__ = ["SETTINGS", "check_discovery_range", "check_middleware", "check_profiles", "list_settings"]

RMW = "RMW_IMPLEMENTATION"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Variables that name the file of Fast DDS's settings. The first is that of older versions."""
SETTINGS = (
    *(RMW, "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", "ROS_DISCOVERY_SERVER"),
    *(*PROFILES, "CYCLONEDDS_URI"),
    *("ROS_SECURITY_ENABLE", "ROS_SECURITY_STRATEGY", "ROS_SECURITY_KEYSTORE"),
)
"""Variables that change the middleware, or whom it discovers."""
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
"""Values of ROS_AUTOMATIC_DISCOVERY_RANGE. ROS 2 takes any other for LOCALHOST, so that a robot is never found."""
PROBE_TIMEOUT_S = 30.0
"""Longest time for a process that imports rclpy [s]; it takes about half a second."""
PROBE = "import rclpy; rclpy.get_rmw_implementation_identifier()"
PROBE_PROFILES = "import rclpy; rclpy.init(args=[]); rclpy.create_node('probe')"
"""Makes a participant, with which Fast DDS reads its profiles."""
COMPLAINT = re.compile(r"XMLPARSER\W+Error\W+(.+?)( -> Function.*)?$", re.MULTILINE)
"""How Fast DDS logs that it cannot read a profile. It then goes on with other settings than the user's."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


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


def check_profiles() -> None:
    """Check that Fast DDS can read the profiles that the shell names. Without such a variable, nothing is done.

    Raises:
        MiddlewareError: The file is missing, is no XML, or has an element that Fast DDS does not know.
    """
    given = tuple((name, os.environ[name]) for name in PROFILES if os.environ.get(name))
    complaint = _find_complaint(given) if given else ""
    if complaint:
        names = " ".join(name for name, _ in given)
        settings = ", ".join(f"{name}={value}" for name, value in given)
        raise MiddlewareError(
            f"Fast DDS cannot read its profiles ({settings}): {complaint}. Correct the file, or: unset {names}"
        )


@functools.cache
def _find_complaint(given: tuple[tuple[str, str], ...]) -> str:
    """Return what Fast DDS logs about the profiles in these variables; empty if it reads them, or another middleware is used.

    Fast DDS only logs it, so a process of its own does it first: it takes 2 s, once per process and set of files.
    """
    command = [sys.executable, "-c", PROBE_PROFILES]
    # LOCALHOST: the participant is not announced in the user's network.
    environment = {**os.environ, **dict(given), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"a participant was not made within {PROBE_TIMEOUT_S:g} s"
    found = COMPLAINT.search(COLOURS.sub("", done.stderr + done.stdout))
    return found[1].strip() if found else ""


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
