"""The keywords of an environment, with their defaults and their meaning.

They are defined here once, for ``ArmEnv``, ``ArmVectorEnv`` and the commands alike.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from gym_gazebo2.backends import BackendFactory
from gym_gazebo2.checks import read_number
from gym_gazebo2.controls import get_control
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.randomize import Randomize, read_randomize
from gym_gazebo2.robots import ROBOTS, GripperRow, RobotRow, RobotSpec, find_row, is_stored, load_robot, make_robot
from gym_gazebo2.state import CONTROL_DT
from gym_gazebo2.tasks import Task

__all__ = ["ROBOT_KEYWORDS", "EnvOptions", "make_env_robot", "make_options", "read_robot_keywords"]

ROBOT_KEYWORDS = ("tool_frame", "home", "mount_height")
"""Keywords that change a field of the robot's row, besides those in ``robot_options``."""
PATHS = ("package_dirs", "srdf")
"""Fields of the robot's row that hold paths."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnvOptions:
    """Keywords that ``gym.make``, ``gym.make_vec`` and ``ArmEnv`` accept for every id of this package.

    Attributes:
        backend: Name of a row of ``BACKENDS``, or a factory of backends.
        control: Meaning of actions, a row of ``CONTROLS``.
        control_dt: Control period [s]: the simulated time of one step.
        goal: Fixed goal in place of the task's own. Reach tasks: position (3,) [m] in the base frame, or (7,) with a
            quaternion wxyz where the task asks for an orientation.
        start_noise: Half-width of the uniform noise on the start pose [rad].
        goal_box: Lower and upper corner of the box from which goals are drawn [m], in place of the task's own goals. Tasks with
            goals in the workspace draw those that the arm reaches.
        tool_frame: Link whose origin is the tool centre point; None: the robot's own.
        home: Start pose (dof,) [rad or m]; None: the robot's own.
        mount_height: Height of the base above the floor [m]; None: the robot's own.
        robot_options: Further fields of the robot's row (``RobotRow``), such as ``velocity_limit`` or ``package_dirs``;
            "gripper" may be a dictionary of the fields of ``GripperRow`` that change.
        backend_options: Further keywords of the backend, such as ``physics_dt`` or ``on_failure``.
        randomize: What each episode draws from ranges: a ``Randomize``, or a dictionary of its fields. None: nothing.
        blank_images: Whether the pictures in observations are black. It measures how much a policy depends on them.
        task_options: Fields of the task that its ``OPTIONS`` name. ``gym.make`` also takes each of them as a keyword.
    """

    backend: str | BackendFactory = "mujoco"
    control: str = "delta"
    control_dt: float = CONTROL_DT
    goal: ArrayLike | None = None
    start_noise: float = 0.0
    goal_box: ArrayLike | None = None
    tool_frame: str | None = None
    home: ArrayLike | None = None
    mount_height: float | None = None
    robot_options: Mapping[str, Any] | None = None
    backend_options: Mapping[str, Any] | None = None
    randomize: Randomize | Mapping[str, Any] | None = None
    blank_images: bool = False
    task_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the values that the backend and the task do not check themselves.

        Raises:
            UnknownNameError: ``CONTROLS`` has no such row, or ``Randomize`` no such field.
            InvalidArgumentError: ``start_noise``, ``robot_options``, ``backend_options``, ``randomize`` or ``blank_images`` has
                an invalid value; or ``goal`` and ``goal_box`` are both given.
        """
        get_control(self.control)
        if self.goal is not None and self.goal_box is not None:
            sentence = "goal and goal_box are both given. Give a fixed goal, or a box from which goals are drawn."
            raise InvalidArgumentError("goal_box", self.goal_box, sentence=sentence)
        if not isinstance(self.blank_images, bool):
            raise InvalidArgumentError("blank_images", self.blank_images, "true or false")
        noise = read_number("start_noise", self.start_noise, "a finite half-width of at least 0 rad", lambda x: x >= 0)
        object.__setattr__(self, "start_noise", noise)
        object.__setattr__(self, "robot_options", _check_mapping("robot_options", self.robot_options, "fields of RobotRow"))
        object.__setattr__(self, "backend_options", _check_backend_options(self.backend_options))
        object.__setattr__(self, "randomize", read_randomize(self.randomize))
        object.__setattr__(self, "task_options", _check_mapping("task_options", self.task_options, "the task's options"))


def make_options(keywords: Mapping[str, Any], task: Task | None = None) -> EnvOptions:
    """Return the options of a dictionary of keywords.

    Args:
        keywords: Fields of ``EnvOptions``, and options of the task.
        task: The task, whose ``OPTIONS`` are keywords, too; None: only fields of ``EnvOptions``.

    Raises:
        UnknownNameError: There is no such keyword, or no such row of a table.
        InvalidArgumentError: A value is invalid, or an option of the task is given twice.
    """
    names = [field.name for field in dataclasses.fields(EnvOptions)]
    own = () if task is None else task.OPTIONS
    for name in keywords:
        if name not in names and name not in own:
            raise UnknownNameError("keyword of the environment", name, [*names, *own, "render_mode"])
    of_task = {name: value for name, value in keywords.items() if name not in names}
    options = EnvOptions(**{name: value for name, value in keywords.items() if name in names})
    if not of_task:
        return options
    both = dict(options.task_options or {})
    if repeated := sorted(both.keys() & of_task.keys()):
        sentence = f"{', '.join(repeated)} is given as a keyword and in task_options. Give it once."
        raise InvalidArgumentError("task_options", both, sentence=sentence)
    return dataclasses.replace(options, task_options={**both, **of_task})


def make_env_robot(
    robot: str | RobotRow | RobotSpec, keywords: Mapping[str, Any] | EnvOptions, gripper: bool = False
) -> RobotSpec:
    """Return the robot of an environment: a robot, with the fields of its row that the environment's keywords change.

    Args:
        robot: As for ``make_robot``.
        keywords: The environment's keywords; those that do not concern the robot are ignored.
        gripper: Whether the environment drives the fingers.

    Raises:
        UnknownNameError: There is no such robot, or no such field of a row.
        InvalidArgumentError: A specification, which is complete, is given together with fields of a row; or a value is invalid.
        RobotError: The URDF does not describe a serial arm.
    """
    given = vars(keywords) if isinstance(keywords, EnvOptions) else keywords
    changes = {name: given[name] for name in ROBOT_KEYWORDS if given.get(name) is not None}
    changes |= given.get("robot_options") or {}
    if not changes:
        return make_robot(robot, gripper)
    if isinstance(robot, RobotSpec):
        sentence = f"{', '.join(changes)} cannot be given with a RobotSpec, which is complete. Give a RobotRow or a name."
        raise InvalidArgumentError("robot", robot.name, sentence=sentence)
    if isinstance(robot, str) and robot not in ROBOTS and is_stored(robot):
        sentence = f"{', '.join(changes)} cannot be given with the stored robot {robot!r}. Give a file as robot, too."
        raise InvalidArgumentError("robot", robot, sentence=sentence)
    fields = [field.name for field in dataclasses.fields(RobotRow) if field.name != "urdf"]
    for field in changes:
        if field not in fields:
            raise UnknownNameError("field of robot_options", field, fields)
    name, row = find_row(robot)
    if isinstance(changes.get("gripper"), Mapping):
        changes["gripper"] = _change_gripper(row.gripper, changes["gripper"])
    return load_robot(name, dataclasses.replace(row, **{key: _freeze(key, value) for key, value in changes.items()}), gripper)


def _change_gripper(row: GripperRow, changes: Mapping[str, Any]) -> GripperRow:
    """Return a gripper's row with other values of some fields.

    Raises:
        UnknownNameError: There is no such field.
    """
    fields = [field.name for field in dataclasses.fields(GripperRow)]
    for field in changes:
        if field not in fields:
            raise UnknownNameError("field of robot_options['gripper']", field, fields)
    return dataclasses.replace(row, **changes)


def read_robot_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords for ``make_env_robot`` of a command that makes a robot alone, with absolute paths.

    Raises:
        UnknownNameError: A keyword does not concern the robot.
    """
    for name in keywords:
        if name not in (known := (*ROBOT_KEYWORDS, "robot_options")):
            raise UnknownNameError("keyword of the robot", name, known)
    options = keywords.get("robot_options")
    if not isinstance(options, Mapping):
        return dict(keywords)
    return {**keywords, "robot_options": {key: _make_absolute(v) if key in PATHS else v for key, v in options.items()}}


def _make_absolute(value: Any) -> Any:
    """Return a path, or the paths of a list, without dependence on the working directory; "" stands for none."""
    if isinstance(value, list | tuple):
        return [_make_absolute(item) for item in value]
    return os.path.abspath(value) if isinstance(value, str) and value else value  # noqa: PTH100


def _freeze(name: str, value: Any) -> Any:
    """Return a value from JSON or NumPy in the form of a row, which must be hashable: tuples for lists and arrays."""
    if name == "home":
        try:
            return tuple(float(position) for position in value)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError("home", value, "a list of joint positions [rad or m]") from error
    if name == "gripper" and isinstance(value, Mapping):
        fields = [field.name for field in dataclasses.fields(GripperRow)]
        for field in value:
            if field not in fields:
                raise UnknownNameError("field of robot_options.gripper", field, fields)
        return GripperRow(**{field: _freeze(field, item) for field, item in value.items()})
    return tuple(value) if isinstance(value, list) else value


def _check_backend_options(options: Any) -> dict[str, Any]:
    options = _check_mapping("backend_options", options, "the backend's keywords")
    # These two are arguments of the environment. Given twice, the backend and the environment could disagree on them.
    if repeated := sorted({"num_envs", "control_dt"} & set(options)):
        sentence = (
            f"backend_options holds {', '.join(repeated)}, which the environment passes to the backend itself. "
            "Give it to gym.make or gym.make_vec instead."
        )
        raise InvalidArgumentError("backend_options", options, sentence=sentence)
    return options


def _check_mapping(name: str, options: Any, contents: str) -> dict[str, Any]:
    is_mapping = isinstance(options, Mapping) and all(isinstance(key, str) for key in options)
    if options is not None and not is_mapping:
        raise InvalidArgumentError(name, options, f"a dictionary of {contents}, by name")
    return dict(options or {})
