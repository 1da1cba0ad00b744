"""Read an SRDF, MoveIt's file beside a URDF: named poses, and pairs of links whose collisions do not count."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots.source import read_xml

__all__ = ["NO_SRDF", "Srdf", "find_srdf", "read_srdf"]

USUAL_HOMES = ("home", "ready", "default", "neutral", "up", "arm_up")
"""Names of states that are tried first as the home pose, in this order."""


@dataclasses.dataclass(frozen=True)
class Srdf:
    """What an SRDF says about an arm.

    Attributes:
        path: The file; None where there is none.
        states: Name and joint positions of each named pose [rad or m].
        disabled: Pairs of links whose collisions do not count, with the file's reason.
    """

    path: Path | None = None
    states: tuple[tuple[str, Mapping[str, float]], ...] = ()
    disabled: tuple[tuple[str, str, str], ...] = ()

    def list_homes(self, joints: Sequence[str]) -> list[tuple[str, Mapping[str, float]]]:
        """Return the poses that have a position for each of the joints; poses with a usual name come first."""
        whole = [state for state in self.states if all(joint in state[1] for joint in joints)]
        return sorted(whole, key=lambda state: _rank(state[0]))  # sorted() keeps the file's order among equals


NO_SRDF = Srdf()


def find_srdf(urdf: Path, robot_name: str) -> Path | None:
    """Return the SRDF of a URDF, or None: a file of the same name, else the only one for a robot of the same name.

    It is looked for in the URDF's folder, and in the folders srdf/ and config/ of its package.
    """
    stem = urdf.name.split(".")[0]
    folders = [urdf.parent, urdf.parent.parent / "srdf", urdf.parent.parent / "config"]
    for folder in folders:
        if (folder / f"{stem}.srdf").is_file():
            return folder / f"{stem}.srdf"
    others = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.srdf"))]
    same = [path for path in others if _read_name(path) == robot_name]
    return same[0] if len(same) == 1 else None


def read_srdf(path: Path) -> Srdf:
    """Read an SRDF. Elements that it does not need are ignored.

    Raises:
        RobotError: The file is malformed.
    """
    root = read_xml(path)
    try:
        states = tuple((state.get("name", ""), _read_state(state)) for state in root.iter("group_state"))
    except (ValueError, KeyError) as error:
        raise RobotError(f"A <group_state> of {str(path)!r} is malformed: {error}. Correct it, or give srdf=''.") from error
    disabled = tuple(
        (pair.get("link1", ""), pair.get("link2", ""), pair.get("reason", "")) for pair in root.iter("disable_collisions")
    )
    return Srdf(path, states, disabled)


def _read_name(path: Path) -> str | None:
    """Return the name of an SRDF's robot; None if the file is malformed: it may belong to another robot of the folder."""
    try:
        return read_xml(path).get("name")
    except RobotError:
        return None


def _read_state(state: ET.Element) -> dict[str, float]:
    # A joint of several degrees of freedom has several values. No joint of an arm is one, so the first is enough.
    return {
        joint.attrib["name"]: float(joint.attrib["value"].split()[0]) for joint in state.findall("joint") if joint.get("value")
    }


def _rank(name: str) -> int:
    return USUAL_HOMES.index(name) if name in USUAL_HOMES else len(USUAL_HOMES)
