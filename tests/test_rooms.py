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
    "mujoco": "gym_gazebo2/backends/mujoco",
    "ray": "algos/distributed",
}
"""The only folder that may import each of these packages."""

LAYERS = (
    "errors",
    "ownership",
    "checks cache contract state display signals output scheduling real_time",
    "robots registration memory kubernetes scene",
    "gym_gazebo2 kinematics setpoint ros legacy",
    "inverse_kinematics randomize",
    "tasks controls backends.objects",
    "backends.base",
    "backends.fake backends.mujoco backends.restart backends.ros2 gazebo",
    "backends.gazebo",
    "backends testing provider doctor",
    "options",
    "sim_scene",
    "core inspection sim",
    "env",
    "vector_env",
    "algos.choices algos.env_id algos.processes algos.finite algos.networks algos.noise algos.discrete algos.images",
    "algos.settings algos.natural algos.memory",
    "algos.measures algos.table algos.vec_env algos.acktr algos.ppo_kl algos.kfac",
    "algos.presets algos.worker_plan",
    "algos.config",
    "algos.runs",
    "algos.evaluation algos.export algos.model_file algos.model_env algos.teacher",
    "algos.environments algos.security algos.dagger",
    "algos.distributed algos.evaluate algos.rollout",
    "algos.training",
    "algos.train algos.play algos.report",
    "algos.sweep algos.curriculum",
    "algos",
    "cli urdf launch",
)
"""The order of the rooms: a module may import its own room and rooms of the lines above, also inside functions."""
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms.split()}
SPLIT = ("algos", "backends")
"""Folders whose entries are rooms of their own."""

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


def find_room(parts: tuple[str, ...]) -> str:
    """Return the room of a module below gym_gazebo2, given the parts of its name."""
    if not parts:
        return "gym_gazebo2"
    return ".".join(parts[:2]) if parts[0] in SPLIT else parts[0]


def list_modules() -> dict[str, Path]:
    """Return the name of every module of the project, and its file."""
    modules = {}
    for root in ROOTS:
        for path in list_sources(root):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            modules[".".join(parts if root == "gym_gazebo2" else ("gym_gazebo2", *parts))] = path
    return modules


MODULES = list_modules()


@pytest.mark.parametrize("module", MODULES)
def test_no_import_goes_against_the_order_of_the_rooms(module: str) -> None:
    room = find_room(tuple(module.split(".")[1:]))
    names = find_imports(MODULES[module])
    known = [name for name in names if name in MODULES]
    # "from package import module" yields the package, too: it counts only where nothing inside it is named.
    meant = {name for name in known if not any(other.startswith(f"{name}.") for other in known)}
    others = {find_room(tuple(name.split(".")[1:])) for name in meant} - {room}
    against = {other for other in others if LAYER_OF[other] >= LAYER_OF[room]}
    assert not against, f"{module} must not import {sorted(against)}"


def test_modules_import_each_other_in_no_circle() -> None:
    left = {module: {name for name in find_imports(path) if name in MODULES} - {module} for module, path in MODULES.items()}
    # A package's __init__ re-exports its modules, which import their neighbours by full path: such pairs are no circle.
    left = {module: {n for n in names if not module.startswith(f"{n}.")} for module, names in left.items()}
    while ready := [module for module, names in left.items() if not names & left.keys()]:
        for module in ready:
            del left[module]
    assert not left
