"""Constants that every engine, server and client must share, each written once in Python (docs/gazebo.md, docs/semantics.md).

``gazebo/plugin/contract.hpp`` holds the same constants for C++; ``tests/test_contract.py`` compares the two files. This module
is pure data: it imports nothing, so that everything may import it.
"""

from __future__ import annotations

__all__ = [
    "CLOCK_TOPIC",
    "COMMAND_TOPIC",
    "CONTACTS_TOPIC",
    "LIMIT_TOLERANCE",
    "MAX_COMMAND_NS",
    "MAX_OLD_TOKENS",
    "MAX_REFUSALS",
    "NANOSECONDS",
    "OBJECTS_MARK",
    "OBJECTS_TOPIC",
    "OMEGA",
    "PLACE_OBJECTS_TOPIC",
    "PLACE_TOPIC",
    "PROVIDER_TOPIC",
    "RESET_WORLD_SERVICE",
    "SPEED_TOLERANCE",
    "STATE_TOPIC",
    "TOUCH_FORCE",
]

NANOSECONDS = 1_000_000_000
"""Nanoseconds per second: all simulated times are integer nanoseconds."""

OMEGA = 40.0
"""Natural frequency of every drive [rad/s]: τ = clip(M̂(ω²(s − q) + 2ω(ṡ − q̇)), ±effort limit).

s is the set-point, q the position, and M̂ the drive's inertia (``drive_inertia``)."""

TOUCH_FORCE = 1e-6
"""Force that is reported for a contact that transmits no force [N].

A client reads a force above zero as "in collision", but an engine can find a contact whose force is zero, for example just
after a placement. 1e-6 N is far below every real contact (one gram weighs 1e-2 N), and unlike a smaller value it is still above
zero in tools that print six decimals."""

LIMIT_TOLERANCE = 1e-6
"""How far outside its limits a commanded position may be, because clients round [rad, or strokes of a prismatic joint]."""

SPEED_TOLERANCE = 1e-6
"""How much farther than velocity limit × time a command may go, because clients round.

Added twice: as a share of that distance, and as a distance [rad, or strokes of a prismatic joint]."""

MAX_COMMAND_NS = 60_000_000_000
"""Longest ``time_from_start`` of a command [ns]."""

MAX_OLD_TOKENS = 4096
"""How many older tokens a server remembers, so that it can ignore late copies: some seconds of stepping at full speed."""

MAX_REFUSALS = 100
"""How many different refusals a server logs, so that a broken client cannot fill its memory or its log."""

OBJECTS_MARK = "+objects"
"""End of the token of a command or placement that is carried out together with a placement of objects.

The two messages come on two topics, so either may come first. The first one then waits for the other one."""

COMMAND_TOPIC = "joint_trajectory_controller/joint_trajectory"
STATE_TOPIC = "joint_states"
CONTACTS_TOPIC = "contacts"
PLACE_TOPIC = "place"
OBJECTS_TOPIC = "objects"
PLACE_OBJECTS_TOPIC = "place_objects"
PROVIDER_TOPIC = "provider"
"""Topics below the robot's namespace."""

CLOCK_TOPIC = "/clock"
RESET_WORLD_SERVICE = "/reset_world"
"""Names of the whole ROS domain, outside any namespace."""
