"""Convert the meshes of a URDF into binary STL files, which every engine reads, and keep them in the cache.

A mesh for collisions becomes its convex hull. MuJoCo collides hulls in any case; with the same hull in every engine, contacts
begin in the same place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.cache import find_cache
from gym_gazebo2.errors import RobotError, WriteError
from gym_gazebo2.robots.source import refuse_entities
from gym_gazebo2.signals import hold_signals

if TYPE_CHECKING:
    import trimesh

__all__ = ["MeshPart", "convert_mesh", "link_once", "read_stl_vertices", "write_once"]

Array = NDArray[np.float64]

VERSION = 1
"""Part of the cache's keys. Raise it when a conversion changes."""
FORMATS = ("stl", "obj", "dae", "ply")
LARGEST_FILE = 256_000_000
"""Largest mesh that is read [bytes]."""
MOST_FACES = 200_000
"""MuJoCo's limit for the faces of an STL file."""
HULL_DIRECTIONS = 128
"""A hull with more vertices keeps those that are furthest in this many directions: within 0.6 mm for a tube of radius 5 cm."""
THINNEST = 1e-3
"""Thickness that a flat collision mesh is given [m]: it has no hull."""
MOST_PARTS = 24
"""A visual mesh of more colours than this is drawn in one colour."""


@dataclasses.dataclass(frozen=True)
class MeshPart:
    """One STL file of a converted mesh.

    Attributes:
        path: The file in the cache.
        rgba: Its colour; None if the mesh has none.
    """

    path: Path
    rgba: tuple[float, float, float, float] | None


def convert_mesh(path: Path, scale: Array, is_collision: bool, subject: str) -> tuple[MeshPart, ...]:
    """Return a mesh as STL files with the scale applied: the hull for collisions, else one file per colour.

    Args:
        path: The mesh.
        scale: (3,) factors; a negative one mirrors.
        is_collision: Whether the convex hull is wanted.
        subject: The element with the mesh, for errors.

    Raises:
        RobotError: The mesh cannot be read, or has no surface.
        WriteError: The cache cannot be written.
    """
    data = _read(path, subject)
    key = hashlib.sha256(data)
    key.update(repr((VERSION, path.suffix.lower(), scale.tolist(), is_collision)).encode())
    folder = find_cache() / "meshes"
    index = folder / f"{key.hexdigest()[:32]}.json"
    if not index.is_file():
        with hold_signals():  # trimesh catches every exception, also an interrupt
            meshes = _load(data, path, subject)
            for mesh in meshes:
                mesh.apply_scale(scale)
            parts = [_make_hull(meshes, subject)] if is_collision else _split_by_colour(meshes)
            rows = [_write_part(folder, f"{index.stem}-{i}", mesh, rgba) for i, (mesh, rgba) in enumerate(parts)]
        write_once(index, json.dumps(rows).encode())  # last, so that an index never names a file that is missing
    rows = json.loads(index.read_text())
    return tuple(MeshPart(folder / name, None if rgba is None else tuple(rgba)) for name, rgba in rows)


def read_stl_vertices(path: Path) -> Array:
    """Return the different vertices of a binary STL file, (n, 3) [m]."""
    data = path.read_bytes()
    record = np.dtype([("normal", "<f4", 3), ("vertices", "<f4", (3, 3)), ("attribute", "<u2")])
    vertices = np.frombuffer(data, record, offset=84)["vertices"].reshape(-1, 3)
    return np.unique(vertices, axis=0).astype(float)


def write_once(path: Path, data: bytes) -> None:
    """Write a file of the cache in one step: another process sees the whole file or none.

    Raises:
        WriteError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except OSError as error:
        advice = "Make the folder writable and free disk space, or set XDG_CACHE_HOME to another folder."
        raise WriteError(path, error.strerror or str(error), advice) from error


def link_once(path: Path, source: Path) -> None:
    """Make a file of the cache the same as another one, without using space for it where the file system allows that.

    Raises:
        WriteError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(source)
    except FileExistsError:
        return  # another process was faster
    except OSError:
        write_once(path, source.read_bytes())


def _read(path: Path, subject: str) -> bytes:
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise RobotError(f"{subject} is {str(path)!r}, expected one of the formats {', '.join(FORMATS)}. Convert the mesh.")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise RobotError(f"{subject} is {str(path)!r} of {size} bytes, at most {LARGEST_FILE} are read. Simplify the mesh.")
        return path.read_bytes()
    except OSError as error:
        raise RobotError(
            f"{subject} is {str(path)!r}, which cannot be read: {error.strerror}. Check its permissions."
        ) from error


def _load(data: bytes, path: Path, subject: str) -> list[trimesh.Trimesh]:
    """Return the surfaces of a mesh file, in metres and in the file's frame."""
    import trimesh

    suffix = path.suffix.lower().removeprefix(".")
    if suffix == "dae":
        refuse_entities(data, path)
    try:
        # Given as a stream without a resolver, a mesh cannot make trimesh read other files, such as textures.
        scene = trimesh.load_scene(io.BytesIO(data), file_type=suffix)
        # COLLADA has a unit. Its up_axis is ignored, as RViz and Gazebo do.
        meshes = [mesh for mesh in scene.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
        for mesh in meshes:
            mesh.apply_scale(_read_unit(mesh.metadata.get("units")))
            if not np.isfinite(mesh.vertices).all():
                raise ValueError("a vertex is NaN or infinite")
    # The readers raise nearly anything for a broken file.
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise RobotError(f"{subject} is {str(path)!r}, which cannot be read: {message}. Open it with a mesh editor.") from error
    if not meshes:
        raise RobotError(f"{subject} is {str(path)!r}, which has no triangles. Remove it, or export it again.")
    return meshes


def _read_unit(units: Any) -> float:
    """Return metres per unit. For COLLADA trimesh gives texts such as "0.001 * meters"."""
    if not isinstance(units, str) or "*" not in units:
        return 1.0
    return float(units.partition("*")[0])


def _make_hull(meshes: list[trimesh.Trimesh], subject: str) -> tuple[trimesh.Trimesh, None]:
    import trimesh

    points = np.concatenate([mesh.vertices for mesh in meshes])
    size = np.ptp(points, axis=0)
    try:
        with np.errstate(all="ignore"):  # trimesh divides by the volume, which is zero for a flat mesh
            hull = trimesh.convex.convex_hull(points)
            if len(hull.vertices) > HULL_DIRECTIONS:
                extreme = np.unique(np.argmax(_make_directions(HULL_DIRECTIONS) @ hull.vertices.T, axis=1))
                hull = trimesh.convex.convex_hull(hull.vertices[extreme])
            if hull.volume > size.max() ** 3 * 1e-9:
                return hull, None
    # scipy's QhullError is a RuntimeError; trimesh raises a ValueError for too few points. Both mean a flat mesh.
    except (RuntimeError, ValueError, IndexError):
        pass
    if not size.max() > 0:
        raise RobotError(f"{subject} is a mesh of one point. Remove it from the collisions.")
    box = trimesh.creation.box(np.maximum(size, THINNEST))
    box.apply_translation((points.min(axis=0) + points.max(axis=0)) / 2)
    return box, None


def _make_directions(count: int) -> Array:
    """Return unit vectors (count, 3) that cover the sphere evenly: the Fibonacci lattice."""
    k = np.arange(count)
    z = 1.0 - (2.0 * k + 1.0) / count
    angle = k * np.pi * (3.0 - np.sqrt(5.0))
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _split_by_colour(meshes: list[trimesh.Trimesh]) -> list[tuple[trimesh.Trimesh, Any]]:
    """Return one mesh per colour, and its colour."""
    import trimesh

    groups: dict[tuple[float, ...] | None, list[trimesh.Trimesh]] = {}
    for mesh in meshes:
        groups.setdefault(_read_colour(mesh), []).append(mesh)
    if len(groups) > MOST_PARTS:
        groups = {None: meshes}
    return [
        (part, colour)
        for colour, group in groups.items()
        for part in _split_by_size(trimesh.util.concatenate([trimesh.Trimesh(m.vertices, m.faces) for m in group]))
    ]


def _split_by_size(mesh: trimesh.Trimesh) -> list[trimesh.Trimesh]:
    import trimesh

    count = -(-len(mesh.faces) // MOST_FACES)
    return [trimesh.Trimesh(mesh.vertices, faces) for faces in np.array_split(mesh.faces, count)] if count > 1 else [mesh]


def _read_colour(mesh: trimesh.Trimesh) -> tuple[float, ...] | None:
    """Return the colour of a mesh as rgba from 0 to 1; None if it has none."""
    material = getattr(mesh.visual, "material", None)
    colour = getattr(material, "main_color", None) if material is not None else None
    if colour is None and getattr(mesh.visual, "kind", None) in ("face", "vertex"):
        colour = mesh.visual.main_color
    return None if colour is None else tuple(round(float(value) / 255, 3) for value in colour)


def _write_part(folder: Path, stem: str, mesh: trimesh.Trimesh, rgba: Any) -> tuple[str, Any]:
    name = f"{stem}.stl"
    write_once(folder / name, mesh.export(file_type="stl"))
    return name, rgba
