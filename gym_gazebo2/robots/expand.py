"""Turn a URDF as its maker ships it into one that every engine reads alike, and keep that in the cache.

The result is a folder with robot.urdf and its meshes, which can be moved: the meshes have relative paths. A URDF that needs no
change is used as it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from gym_gazebo2.cache import find_cache
from gym_gazebo2.robots.fingers import prepare_fingers
from gym_gazebo2.robots.fuse import fuse_links, has_improper_inertia
from gym_gazebo2.robots.held import hold_joints
from gym_gazebo2.robots.limits import complete_limits
from gym_gazebo2.robots.meshes import MeshPart, convert_mesh, link_once, write_once
from gym_gazebo2.robots.packages import Packages
from gym_gazebo2.robots.rows import RobotRow, is_built_in
from gym_gazebo2.robots.srdf import Srdf
from gym_gazebo2.robots.transforms import format_numbers, read_numbers

__all__ = ["HELD", "Expanded", "expand_urdf"]

HELD = "Held joints: "
"""Beginning of the sentence that lists the joints that are held."""
USED = ("link", "joint", "transmission", "material")
"""Elements below <robot> that are read. The others are for one engine each, such as <gazebo> and <mujoco>."""


@dataclasses.dataclass(frozen=True)
class Expanded:
    """A URDF that every engine reads alike.

    Attributes:
        path: The file.
        continuous: Names of the joints that had no limits.
        assumptions: What was assumed or changed, one sentence each.
    """

    path: Path
    continuous: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


def expand_urdf(
    root: ET.Element,
    chain: Sequence[ET.Element],
    row: RobotRow,
    srdf: Srdf,
    packages: Packages,
    fingers: Sequence[ET.Element] = (),
) -> Expanded:
    """Return a URDF in which only the driven joints move, all of them have limits, and all meshes are STL files.

    Args:
        root: The URDF, checked. It is changed in place.
        chain: Its joints from the root to the tool, fixed ones included.
        row: The robot's row.
        srdf: The SRDF, for the positions of held joints.
        packages: Where the meshes are.
        fingers: Joints of the gripper, where the environment drives them.

    Raises:
        RobotError: A file is missing, a joint mimics a driven one, a limit is missing, or a moving link has no inertia.
        InvalidArgumentError: The row names a joint that does not exist, or a position outside its limits.
        WriteError: The cache cannot be written.
    """
    path, assumptions = packages.urdf, []
    driven = [joint.get("name", "") for joint in chain if joint.get("type") != "fixed"]
    homes = srdf.list_homes(driven)
    is_changed = _remove_unused(root) or path.suffix != ".urdf"
    is_changed |= prepare_fingers(fingers, row.gripper, path)
    finger_names = [joint.get("name", "") for joint in fingers]
    chosen = {name: position for name, position in dict(row.held).items() if name not in finger_names}
    held = hold_joints(root, [*driven, *finger_names], chosen, dict(homes[0][1]) if homes else {}, path)
    if held:
        assumptions.append(f"{HELD}{', '.join(held)}.")
    continuous = tuple(joint.get("name", "") for joint in chain if joint.get("type") == "continuous")
    is_changed |= complete_limits([joint for joint in chain if joint.get("type") != "fixed"], row, path) or bool(held)
    has_meshes = root.find("link/*/geometry/mesh") is not None
    if is_changed or has_meshes or has_improper_inertia(root):
        kept = {_get_link(joint, end) for joint in (*chain, *fingers) for end in ("parent", "child")}
        # The package's own URDFs need no fusing, and sums of inertias would change the last bits of their results.
        improper = [] if is_built_in(row) else fuse_links(root, kept, path)
        if improper:
            names = ", ".join(improper)
            assumptions.append(
                f"The inertia of these links is not that of a body, so they are treated as point masses: {names}."
            )
        path = _write(root, _convert_meshes(root, packages))
    return Expanded(path, continuous, tuple(assumptions))


def _get_link(joint: ET.Element, end: str) -> str:
    element = joint.find(end)
    return "" if element is None else element.get("link", "")


def _remove_unused(root: ET.Element) -> bool:
    """Remove the elements that are not read, and return whether an engine would have read one of them."""
    unused = [element for element in root if element.tag not in USED]
    for element in unused:
        root.remove(element)
    return any(element.tag == "mujoco" for element in unused)


def _convert_meshes(root: ET.Element, packages: Packages) -> list[Path]:
    """Replace every mesh by STL files named relative to the URDF, and return the files."""
    files = []
    for link in root.findall("link"):
        for shape in [child for child in link if child.tag in ("visual", "collision")]:
            mesh = shape.find("geometry/mesh")
            if mesh is None:
                continue
            subject = f"The {shape.tag} mesh of link {link.get('name')!r} of {str(packages.urdf)!r}"
            source = packages.resolve(mesh.get("filename", ""), subject)
            parts = convert_mesh(source, read_numbers(mesh, "scale", "1 1 1"), shape.tag == "collision", subject)
            _replace(link, shape, parts)
            files += [part.path for part in parts]
    return files


def _replace(link: ET.Element, shape: ET.Element, parts: Sequence[MeshPart]) -> None:
    """Replace a shape with a mesh by one shape per part."""
    index = list(link).index(shape)
    link.remove(shape)
    for part in reversed(parts):
        new = ET.Element(shape.tag)
        new.extend([child for child in shape if child.tag in ("origin", "material")])
        ET.SubElement(ET.SubElement(new, "geometry"), "mesh", filename=part.path.name)
        if shape.tag == "visual" and part.rgba is not None and new.find("material") is None:
            material = ET.SubElement(new, "material", name="rgba " + format_numbers(part.rgba))
            ET.SubElement(material, "color", rgba=format_numbers(part.rgba))
        link.insert(index, new)


def _write(root: ET.Element, files: Sequence[Path]) -> Path:
    """Write the URDF and its meshes into a folder of the cache named after their content, and return the URDF's path."""
    ET.indent(root)
    text = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    folder = find_cache() / "robots" / hashlib.sha256(text).hexdigest()[:16]
    # The names of the meshes contain the hash of their content, so an equal text means equal meshes.
    for file in dict.fromkeys(files):
        if not (folder / file.name).is_file():
            link_once(folder / file.name, file)
    if not (folder / "robot.urdf").is_file():
        write_once(folder / "robot.urdf", text)
    return folder / "robot.urdf"
