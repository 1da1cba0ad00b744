"""The command that examines the file of a robot."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typing_extensions import Self

from gym_gazebo2.algos.images import encode_png
from gym_gazebo2.algos.runs.writing import add_advice, write_atomically
from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.mujoco import PHYSICS_DT
from gym_gazebo2.cli.command import Command
from gym_gazebo2.cli.doctor import show_findings
from gym_gazebo2.cli.env_option import RobotKeywords, join_keywords
from gym_gazebo2.cli.printing import show_paths
from gym_gazebo2.errors import InvalidArgumentError, UnsupportedError
from gym_gazebo2.inspection import Examination, JointFacts, RobotFacts, RobotQuestion, examine_robot
from gym_gazebo2.options import read_robot_keywords
from gym_gazebo2.robots import RobotSpec

__all__ = ["Robot"]

SIZE = (800, 600)
"""Width and height of the picture [px]."""
BESIDE = "beside"
"""Value of ``--picture`` without a file."""
NUMBERS = ("control_speed", "velocity_limit", "effort_limit", "rotor_inertia")
"""Options that are fields of the robot's row."""
UNITS = (
    "Units: rad and N·m; m and N for prismatic joints. Speed: used / allowed. Drive: the natural frequency that the effort "
    "limit allows [rad/s]; 40 is needed."
)


@dataclasses.dataclass(frozen=True)
class Robot(Command):
    """Examine the file of an arm: what it holds, what was assumed, what is wrong, and what to do about it.

    The exit status is 1 if the arm cannot be used.

    Attributes:
        file: Path of a .urdf or .xacro file, the name of a robot, or ros:/robot_description for the topic or parameter of a
            running ROS 2.
        tool_frame: Link whose origin is the tool centre point. The joints on the way to it are driven.
        package_dir: Folder in which packages are looked for first: a package, or a folder of packages. Repeatable.
        xacro_arg: NAME=VALUE, or NAME:=VALUE as in ROS, for an <xacro:arg> of the file. Repeatable.
        mount_height: Height of the base above the floor [m].
        control_speed: Largest speed that the environment commands [rad/s].
        velocity_limit: Velocity limit of the joints for which the file has none [rad/s].
        effort_limit: Torque limit of the joints for which the file has none [N·m].
        rotor_inertia: Rotor inertia as seen at the joints for which the file has none [kg·m²].
        physics_dt: Physics step [s].
        env_kwargs: Any other keyword of the environment that changes the robot, as in --env.home [0,-1.5,1.5] or
            --env.robot_options.held.wheel_joint 0.5.
        picture: Write a picture of the arm at its home pose, as PNG; without a file name: beside FILE.
        json: Print JSON.
    """

    file: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FILE")]
    tool_frame: str | None = None
    package_dir: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")] = ()
    xacro_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    mount_height: float | None = None
    control_speed: float | None = None
    velocity_limit: float | None = None
    effort_limit: float | None = None
    rotor_inertia: float | None = None
    physics_dt: float = PHYSICS_DT
    env_kwargs: RobotKeywords = dataclasses.field(default_factory=dict)
    picture: str | None = None
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    @classmethod
    def parse(cls, args: Sequence[str], program: str) -> Self:
        """Return the command for some arguments; ``--picture`` may stand without a value."""
        words = join_keywords(args)
        for index in reversed([i for i, word in enumerate(words) if word == "--picture"]):
            if index + 1 == len(words) or not words[index + 1].endswith(".png"):
                words.insert(index + 1, BESIDE)
        return super().parse(words, program)

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords of the environment that the options stand for."""
        options: dict[str, Any] = {
            "package_dirs": [str(Path(folder).absolute()) for folder in self.package_dir],
            "xacro_args": dict(map(_split_argument, self.xacro_arg)),
            **{name: getattr(self, name) for name in NUMBERS},
        }
        given: dict[str, Any] = {"tool_frame": self.tool_frame, "mount_height": self.mount_height}
        keywords = read_robot_keywords(self.env_kwargs)
        own = {name: value for name, value in options.items() if value not in (None, [], {})}
        given["robot_options"] = {**keywords.get("robot_options", {}), **own} or None
        return {**keywords, **{name: value for name, value in given.items() if value is not None}}

    def run(self) -> int:
        """Examine, draw, and print."""
        result = examine_robot(RobotQuestion(self.file, self.keywords, self.physics_dt))
        if self.json:
            print(json.dumps(_make_json(result), indent=2))
        else:
            show_examination(result)
        if self.picture is not None and result.robot is not None and result.is_usable:
            path = _choose_path(self.file, result.robot.name) if self.picture == BESIDE else Path(self.picture)
            with add_advice("Or choose another file with --picture."):
                write_atomically(path, draw(result.robot))
            if not self.json:
                show_paths([path])
        return int(not result.is_usable)


def show_examination(result: Examination) -> None:
    """Print the facts, what was assumed, the findings, and the command that trains the arm."""
    console = Console()
    if result.facts is not None:
        _show_facts(result.facts, console)
    show_findings(result.findings)
    if result.command:
        Console(soft_wrap=True).print(f"Train it with: {result.command}", highlight=False, markup=False)


def draw(robot: RobotSpec) -> bytes:
    """Return a picture of a robot at its home pose, as the bytes of a PNG file.

    Raises:
        RenderError: This machine has no off-screen OpenGL.
    """
    with contextlib.closing(make_backend("mujoco", robot)) as backend:
        backend.reset(np.ones(1, dtype=bool), robot.home[None])
        picture = backend.render("rgb_array", *SIZE)
    if picture is None:
        raise UnsupportedError("The backend draws no pictures. Leave --picture out.")
    return encode_png(picture)


def _show_facts(facts: RobotFacts, console: Console) -> None:
    title = f"{facts.name}, from {facts.base_link} to {facts.tool_frame}"
    table = Table(title=escape(title), caption=escape(UNITS), box=None, pad_edge=False, collapse_padding=True)
    for header in ("joint", "kind", "limits", "home", "speed", "effort", "drive"):
        is_text = header in ("joint", "kind")
        table.add_column(header, justify="left" if is_text else "right", overflow="fold", no_wrap=header != "joint")
    for joint in facts.joints:
        table.add_row(*map(escape, _describe_joint(joint)))
    console.print(table)
    x, y, z = facts.home_tool
    lines = {
        "Chain": " → ".join(facts.chain),
        "Masses": f"{sum(facts.masses.values()):.3g} kg: {', '.join(f'{k} {v:.3g}' for k, v in facts.masses.items())}",
        "Tool at home": f"x {x:.3f}, y {y:.3f}, z {z:.3f} m from the base, which is {facts.mount_height:g} m above the floor",
        "Collisions": _describe_collisions(facts),
        "Assumptions": "".join(f"\n- {sentence}" for sentence in facts.assumptions) or "none",
    }
    for name, text in lines.items():
        console.print(f"[bold]{name}[/]: {escape(text)}", highlight=False)


def _describe_collisions(facts: RobotFacts) -> str:
    """Return the number of pairs of links that can collide, and the excluded pairs by reason."""
    reasons: dict[str, list[str]] = {}
    for pair in facts.excluded_pairs:
        reasons.setdefault(pair.reason, []).append(f"{pair.link1} – {pair.link2}")
    lines = [f"{len(facts.checked_pairs)} pairs of links count, {len(facts.excluded_pairs)} do not:"]
    return "\n- ".join([*lines, *(f"{reason}: {', '.join(pairs)}" for reason, pairs in reasons.items())])


def _describe_joint(joint: JointFacts) -> tuple[str, ...]:
    limits = "none" if joint.kind == "continuous" else f"{joint.lower:.3g} … {joint.upper:.3g}"
    speed = f"{joint.control_speed:.3g} / {joint.velocity_limit:.3g}"
    home, effort, frequency = f"{joint.home:.3g}", f"{joint.effort_limit:.3g}", f"{joint.natural_frequency:.0f}"
    return joint.name, joint.kind, limits, home, speed, effort, frequency


def _make_json(result: Examination) -> dict[str, Any]:
    return {
        "is_usable": result.is_usable,
        "findings": [dataclasses.asdict(finding) for finding in result.findings],
        "robot": None if result.facts is None else dataclasses.asdict(result.facts),
        "fidelity": result.worst,
        "command": result.command,
    }


def _choose_path(file: str, name: str) -> Path:
    """Return the path of a picture beside a file: arm.urdf.xacro gives arm.png. Without a file it is in this folder."""
    if not Path(file).is_file():
        return Path(f"{name}.png")
    return Path(file).with_name(Path(file).name.split(".")[0] + ".png")


def _split_argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.removesuffix(":")  # ROS writes NAME:=VALUE
    if not (name and equals):
        raise InvalidArgumentError("xacro_arg", text, "NAME=VALUE")
    return name, value
