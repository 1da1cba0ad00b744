"""Examine a robot's file: whether it can be used, how well it can be simulated, and what to do about each fault."""

from __future__ import annotations

import ast
import dataclasses
import json
import logging
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.mujoco import PHYSICS_DT
from gym_gazebo2.doctor import Finding
from gym_gazebo2.errors import GymGazebo2Error, MissingDependencyError, RobotError, UnknownNameError
from gym_gazebo2.inspection.facts import RobotFacts, collect_facts, is_slow
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.tasks.workspace import Workspace
from gym_gazebo2.testing import FAKE_TOLERANCE, measure_fidelity

__all__ = ["Examination", "RobotQuestion", "examine_robot"]

ARMS = 4
"""Arms that are driven to measure the fidelity."""
OPTIONS = {
    "package_dirs": "--package-dir FOLDER",
    "xacro_args": "--xacro-arg NAME=VALUE",
    "tool_frame": "--tool-frame LINK",
    "mount_height": "--mount-height METRES",
    "control_speed": "--control-speed SPEED",
    "velocity_limit": "--velocity-limit SPEED",
    "effort_limit": "--effort-limit TORQUE",
    "rotor_inertia": "--rotor-inertia INERTIA",
}
"""Field of a robot's row → the option of the command that sets it."""
FINGER = re.compile("finger|gripper|jaw|claw", re.IGNORECASE)
"""Words in the names of joints and links that belong to a gripper."""
NO_GRIPPER = ("has no gripper", "without a gripper")
"""Words of the errors which say that a robot has no gripper, as opposed to an invalid one."""


@dataclasses.dataclass(frozen=True)
class RobotQuestion:
    """A robot to examine, with the fields of its row that the user sets.

    Attributes:
        robot: Path of a .urdf or .xacro file, or a name.
        keywords: Keywords of the environment: ``tool_frame``, ``mount_height`` and ``robot_options``.
        physics_dt: Physics step [s].
    """

    robot: str
    keywords: Mapping[str, Any]
    physics_dt: float

    def make_command(self, name: str) -> str:
        """Return the command that trains this robot."""
        words = ["gym-gazebo2", "train", "--env", "Reach-v0", "--robot", self.robot]
        keywords = dict(self.keywords)
        tool_frame, options = keywords.pop("tool_frame", None), keywords.pop("robot_options", {})
        words += [] if tool_frame is None else ["--tool-frame", tool_frame]
        keywords |= {"robot_options": options} if options else {}
        keywords |= {"backend_options": {"physics_dt": self.physics_dt}} if self.physics_dt != PHYSICS_DT else {}
        words += _list_options(keywords)
        return shlex.join([*words, "--out", f"runs/{name}"])


def _list_options(keywords: Mapping[str, Any], prefix: str = "--env.") -> list[str]:
    """Return keywords of the environment as options, --env.NAME VALUE; those of nested dictionaries with dotted names."""
    words: list[str] = []
    for name, value in keywords.items():
        # The option reads "-" as "_", and a point separates names. A dictionary with such names is written as a whole.
        if isinstance(value, Mapping) and all(key.isidentifier() for key in value):
            words += _list_options(value, f"{prefix}{name}.")
        else:
            words += [f"{prefix}{name}", value if _is_plain(value) else json.dumps(value)]
    return words


def _is_plain(value: Any) -> bool:
    """Return whether the option reads a text as itself: text such as 1.50 is read as a number, and would become 1.5."""
    if not isinstance(value, str) or value in ("", "null", "True", "False"):
        return False
    try:
        return str(ast.literal_eval(value)) == value
    except (ValueError, SyntaxError):
        return True


@dataclasses.dataclass(frozen=True)
class Examination:
    """The result.

    Attributes:
        findings: The checks. The robot cannot be used if one of them is "broken".
        facts: What the file holds; None where it cannot be read.
        robot: The robot with its gripper; None where it cannot be read.
        worst: Largest difference between the simulated and the ideal arm in smooth motion [rad or strokes]; None: not measured.
        command: The command that trains it; empty where it cannot be used.
    """

    findings: tuple[Finding, ...]
    facts: RobotFacts | None = None
    robot: RobotSpec | None = None
    worst: float | None = None
    command: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether a training can start."""
        return all(finding.state != "broken" for finding in self.findings)


def examine_robot(question: RobotQuestion) -> Examination:
    """Load a robot, and check whether and how well it can be used. Errors of this package become findings."""
    with _quiet():
        try:
            arm = make_env_robot(question.robot, question.keywords)
        except GymGazebo2Error as error:
            return Examination((_make_broken("file", error),))
        robot, gripper = _find_gripper(arm, question)
        facts = collect_facts(robot)
        file = _describe_file(arm, question)
        drives, room = _check_drives(facts), _try("workspace", lambda: _check_room(arm, facts))
        physics, worst = _check_physics(arm, question.physics_dt)
    result = Examination((file, gripper, room, drives, physics), facts, robot, worst)
    return dataclasses.replace(result, command=question.make_command(arm.name)) if result.is_usable else result


def _describe_file(arm: RobotSpec, question: RobotQuestion) -> Finding:
    found = f"{arm.dof} joints from {arm.base_link} to {arm.tool_frame}"
    if "tool_frame" in question.keywords:
        return Finding("file", "ok", found)
    return Finding("file", "ok", f"{found}, the tool; --tool-frame LINK chooses another")


def _find_gripper(arm: RobotSpec, question: RobotQuestion) -> tuple[RobotSpec, Finding]:
    """Return the robot with its gripper, if it has a valid one, and the finding."""
    try:
        robot = make_env_robot(question.robot, question.keywords, gripper=True)
    except GymGazebo2Error as error:
        if isinstance(error, RobotError) and any(words in str(error) for words in NO_GRIPPER):
            return arm, _describe_no_gripper(arm, question)
        # Without a gripper the arm can still reach. But what the user says about fingers must be right.
        is_named = "gripper" in question.keywords.get("robot_options", {})
        return arm, dataclasses.replace(_make_broken("gripper", error), state="broken" if is_named else "poor")
    return robot, Finding("gripper", "ok", f"{', '.join(robot.joint_names[arm.dof :])}; driven where the task uses it")


def _describe_no_gripper(arm: RobotSpec, question: RobotQuestion) -> Finding:
    """Without a named tool frame, a jaw at the end of the only chain of links would be taken as the arm's last joint."""
    joint, link = arm.joint_names[-1], arm.link_names[-1]
    if "tool_frame" not in question.keywords and arm.dof > 1 and FINGER.search(f"{joint} {link}"):
        found = f"none: {joint}, which moves {link}, counts as a joint of the arm, but its name is that of a gripper"
        return Finding("gripper", "poor", found, f"If it is a finger, use --tool-frame {arm.link_names[-2]}")
    return Finding("gripper", "ok", "none: the last joint carries no further moving joint")


def _check_room(arm: RobotSpec, facts: RobotFacts) -> Finding:
    """Goals are drawn from poses that are free of collision, with the tool above the floor, so there must be enough of them."""
    Workspace.make(Kinematics(arm))
    found = f"reaches {facts.reach:.2f} m, {facts.free_share:.0%} of random poses are free of collision"
    return Finding("workspace", "ok", found)


def _check_drives(facts: RobotFacts) -> Finding:
    """The effort limits allow the natural frequency of the drives at the control speed."""
    weakest = min(facts.joints, key=lambda joint: joint.natural_frequency)
    allowed = f"its limits allow a natural frequency of {weakest.natural_frequency:.0f} rad/s"
    found = f"{weakest.name} is the weakest: {allowed}, 40 rad/s are needed"
    if not is_slow(weakest):
        return Finding("drives", "ok", found)
    slow = ", ".join(joint.name for joint in facts.joints if is_slow(joint))
    return Finding("drives", "poor", f"{found}; too little torque: {slow}", "Use a smaller --control-speed")


def _check_physics(arm: RobotSpec, physics_dt: float) -> tuple[Finding, float | None]:
    """The physics engine takes the arm, and its motion is near the ideal one at this physics step."""
    try:
        with closing(make_backend("mujoco", arm, num_envs=ARMS, physics_dt=physics_dt)) as backend:
            fidelity = measure_fidelity(backend)
    except MissingDependencyError as error:
        return Finding("physics", "missing", f"{error.package} is not installed", "pip install 'gym_gazebo2[mujoco]'"), None
    except GymGazebo2Error as error:
        return _make_broken("physics", error), None
    found = f"{1000 * fidelity.worst:.1f} mrad from the ideal arm at most, with steps of {1000 * physics_dt:g} ms"
    if fidelity.worst <= FAKE_TOLERANCE:
        return Finding("physics", "ok", found), fidelity.worst
    remedy = "Use a smaller --physics-dt or --control-speed, or give the real rotor inertias in the URDF"
    return Finding("physics", "poor", f"{found}; {1000 * FAKE_TOLERANCE:g} mrad are wanted", remedy), fidelity.worst


def _try(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except GymGazebo2Error as error:
        return _make_broken(name, error)


def _make_broken(name: str, error: GymGazebo2Error) -> Finding:
    """Return an error as a finding: its last sentence is the remedy, with options of the command for fields of the row."""
    if isinstance(error, MissingDependencyError):
        return Finding(name, "broken", f"{error.package} is not installed", f"pip install 'gym_gazebo2[{error.extra}]'")
    found, remedy = _split(str(error))
    if isinstance(error, UnknownNameError):  # its remedy is a list of names, not of options
        return Finding(name, "broken", found, remedy.removesuffix("."))
    for field, option in OPTIONS.items():
        remedy = re.sub(rf"(?<!\.)\b{field}\b(=…)?", option, remedy)
    return Finding(name, "broken", found, remedy.removesuffix("."))


def _split(message: str) -> tuple[str, str]:
    """Return a message without its last sentence, and that sentence. Of a single sentence, what was expected is the remedy."""
    # A sentence ends with a full stop and a space; a name of a file or of a link seldom has both.
    *first, last = re.split(r"(?<=[.?]) (?=[A-Z])", message)
    if first:
        return " ".join(first), last
    found, _, expected = last.partition(", expected ")
    return found, f"Use {expected}" if expected else "Correct the file"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the log's line about what was assumed: it is part of the result."""
    log = logging.getLogger("gym_gazebo2.robots")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
