"""Which room of the project may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .conftest import ROOT

ROOTS = ("gym_gazebo2", "algos", "gazebo")
"""The real folders: inside gym_gazebo2, algos and gazebo are symbolic links, into which ``rglob`` does not descend."""

ONE_ROOM = {
    "rclpy": "gym_gazebo2/ros",
    "sensor_msgs": "gym_gazebo2/ros",
    "trajectory_msgs": "gym_gazebo2/ros",
    "ros_gz_interfaces": "gym_gazebo2/ros",
}
"""The only folder that may import each of these packages."""

UNKNOWN = {
    "gym_gazebo2/ros": ("gym_gazebo2.gazebo", "gym_gazebo2.robots", "gym_gazebo2.backends", "gym_gazebo2.tasks"),
}
"""What the modules of a folder must not import."""


def find_imports(path: Path) -> list[str]:
    """Return the modules that a file imports, also inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # "from gym_gazebo2 import contract" imports gym_gazebo2.contract, too.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def list_sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path, module: str) -> bool:
    return any(f"{name}.".startswith(f"{module}.") for name in find_imports(path))


@pytest.mark.parametrize("package", ONE_ROOM)
def test_a_package_is_imported_in_one_room(package: str) -> None:
    importers = [path for root in ROOTS for path in list_sources(root) if imports(path, package)]
    assert {path.parent.relative_to(ROOT).as_posix() for path in importers} == {ONE_ROOM[package]}


@pytest.mark.parametrize("room", UNKNOWN)
def test_a_room_does_not_know_others(room: str) -> None:
    found = [(path.name, module) for path in list_sources(room) for module in UNKNOWN[room] if imports(path, module)]
    assert list_sources(room) and not found
