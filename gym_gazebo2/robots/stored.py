"""Keep a robot in a folder that can be moved: its specification, the URDF that every engine reads, and the meshes.

A training stores its robot in this way, so that it stays the same where the maker's file changes, or does not exist.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gym_gazebo2.cache import find_cache
from gym_gazebo2.errors import RobotError, WriteError
from gym_gazebo2.robots.source import read_xml
from gym_gazebo2.robots.spec import ExcludedPair, Gripper, RobotSpec

__all__ = ["PackedRobot", "is_stored", "load_stored", "pack_robot", "store_robot", "unpack_robot"]

ABOUT, URDF = "robot.json", "robot.urdf"
"""Names of the files that every stored robot has."""
FORMAT = 1
"""Version of ``robot.json``."""


@dataclasses.dataclass(frozen=True)
class PackedRobot:
    """A stored robot as data, to be sent to another machine.

    Attributes:
        sha256: Hash of its specification and its files.
        files: Name → content of the files of the folder that ``store_robot`` writes.
    """

    sha256: str
    files: Mapping[str, bytes]


def is_stored(robot: object) -> bool:
    """Return whether a value is the path of a folder that ``store_robot`` wrote."""
    return isinstance(robot, str | os.PathLike) and (Path(robot) / ABOUT).is_file()


def store_robot(robot: RobotSpec, folder: Path) -> None:
    """Write a robot into a new folder, in one step: a reader sees the whole folder or none.

    Args:
        robot: The robot.
        folder: The folder to make, with ``robot.json``, ``robot.urdf`` and the meshes.

    Raises:
        RobotError: The robot's URDF or a mesh is missing.
        WriteError: The folder cannot be written.
    """
    _write_folder(pack_robot(robot).files, folder)


def pack_robot(robot: RobotSpec) -> PackedRobot:
    """Return the files that ``store_robot`` writes.

    Raises:
        RobotError: The robot's URDF or a mesh is missing.
    """
    contents = _read_files(Path(robot.urdf))
    hashes = {name: _hash(content) for name, content in contents.items()}
    spec = {field.name: _to_json(getattr(robot, field.name)) for field in dataclasses.fields(robot) if field.name != "urdf"}
    sha256 = _hash_all(spec, hashes)
    about = {"format": FORMAT, "sha256": sha256, "files": hashes, "spec": spec}
    return PackedRobot(sha256, {**contents, ABOUT: json.dumps(about, indent=1).encode()})


def unpack_robot(packed: PackedRobot) -> Path:
    """Return a folder of the cache with a robot from another machine; it is written unless it is there, and checked.

    Raises:
        RobotError: The files are not those of a stored robot with this hash, or name files outside of the folder.
        WriteError: The cache cannot be written.
    """
    # Names come from another machine: no name may lead out of the folder.
    if not packed.sha256.isalnum() or any(Path(name).name != name for name in packed.files):
        raise RobotError(f"A robot with the hash {packed.sha256!r} has the files {sorted(packed.files)}. Send it again.")
    folder = find_cache() / "received" / packed.sha256
    if _read_hash(folder) != packed.sha256:
        shutil.rmtree(folder, ignore_errors=True)  # a part of it, or one that was changed
        try:
            _write_folder(packed.files, folder)
        except WriteError:
            if _read_hash(folder) != packed.sha256:  # else another process of this machine was faster
                raise
    if (found := _read_hash(folder)) != packed.sha256:
        raise RobotError(f"A robot was sent with the hash {packed.sha256}, but its files have {found}. Send it again.")
    return folder


def _read_hash(folder: Path) -> str:
    """Return the hash of a stored robot, checked against its files; empty where there is none, or it is damaged."""
    try:
        load_stored(folder)
        return str(json.loads((folder / ABOUT).read_text())["sha256"])
    except (RobotError, OSError):
        return ""


def _write_folder(contents: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a new folder in one step, or raise a WriteError."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        for name, content in contents.items():
            _write(temporary / name, content)
        temporary.rename(folder)
    except OSError as error:
        raise WriteError(folder, error.strerror or str(error), "Make its folder writable, and free disk space.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # it is gone where the renaming succeeded


def load_stored(folder: str | os.PathLike[str], gripper: bool = False) -> RobotSpec:
    """Return a robot that ``store_robot`` wrote, equal to the bit. It is read once per process.

    Args:
        folder: The folder.
        gripper: Whether the environment drives the fingers.

    Raises:
        RobotError: A file is missing, was changed, or names a file outside of the folder; or the robot has no gripper, and
            ``gripper`` asks for one.
    """
    path = Path(folder).resolve()
    try:
        robot = _load(path, (path / ABOUT).stat().st_mtime_ns)
    except OSError as error:
        raise _make_corrupt(path, f"{error.filename} cannot be read ({error.strerror})") from error
    if gripper and robot.gripper is None:
        raise RobotError(f"The robot in {str(path)!r} was stored without a gripper. Give the original file as robot.")
    return robot


@functools.lru_cache(maxsize=16)
def _load(folder: Path, mtime_ns: int) -> RobotSpec:
    """Read a stored robot. The time of its last change is part of the cache's key."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        spec, hashes, sha256 = about["spec"], about["files"], about["sha256"]
        robot = _from_json(spec, str(folder / URDF))
    except (ValueError, TypeError, KeyError) as error:
        raise _make_corrupt(folder, f"{ABOUT} is no description of a robot ({type(error).__name__}: {error})") from error
    if sha256 != _hash_all(spec, hashes):
        raise _make_corrupt(folder, f"{ABOUT} was changed")
    if URDF not in hashes or any(Path(name).name != name for name in hashes):
        raise _make_corrupt(folder, f"{ABOUT} lists the files {sorted(hashes)}")
    for name, expected in hashes.items():
        if _hash((folder / name).read_bytes()) != expected:
            raise _make_corrupt(folder, f"{name} was changed")
    # A run may come from somebody else: its URDF must not make an engine read files from elsewhere.
    if others := set(_list_meshes(folder / URDF)) - hashes.keys():
        raise _make_corrupt(folder, f"{URDF} names the files {sorted(others)}, which are not part of it")
    return robot


def _read_files(urdf: Path) -> dict[str, bytes]:
    """Return the contents of a URDF and of its meshes, by the names that they get in the stored folder."""
    try:
        meshes = {name: (urdf.parent / name).read_bytes() for name in dict.fromkeys(_list_meshes(urdf))}
        return {URDF: urdf.read_bytes(), **meshes}
    except OSError as error:
        raise RobotError(
            f"{error.filename!r} cannot be read: {error.strerror}. It was removed from the cache: run the command again."
        ) from error


def _list_meshes(urdf: Path) -> list[str]:
    """Return the file names of the meshes that a URDF names."""
    return [mesh.get("filename", "") for mesh in read_xml(urdf).iter("mesh")]


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())  # before the renaming, or a power cut could leave an empty file


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return dataclasses.asdict(value) if isinstance(value, Gripper | ExcludedPair) else value


def _from_json(spec: Mapping[str, Any], urdf: str) -> RobotSpec:
    """Return a specification. JSON holds the shortest decimals that give the same floats again."""
    values = dict(spec)
    for field in dataclasses.fields(RobotSpec):
        if "Array" in str(field.type):
            values[field.name] = np.array(values[field.name], dtype=bool if "bool" in str(field.type) else float)
        elif str(field.type).startswith("tuple"):
            values[field.name] = tuple(values[field.name])
    values["excluded_pairs"] = tuple(ExcludedPair(**pair) for pair in values["excluded_pairs"])
    if values["gripper"] is not None:
        values["gripper"] = Gripper(**{name: tuple(items) for name, items in values["gripper"].items()})
    return RobotSpec(**values, urdf=urdf)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_all(spec: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    """Return one hash of a specification and of all files."""
    return _hash(json.dumps([spec, hashes], sort_keys=True).encode())


def _make_corrupt(folder: Path, problem: str) -> RobotError:
    return RobotError(f"The robot in {str(folder)!r} is damaged: {problem}. Copy the folder again, or remove it.")
