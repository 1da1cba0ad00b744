"""Tasks: observation, measures, reward and goals as pure batched functions, and the table of the tasks that ids name."""

from __future__ import annotations

from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import UnknownNameError
from gym_gazebo2.tasks.base import Advance, Layout, Measures, Memory, Task, TaskState
from gym_gazebo2.tasks.measures import Measure
from gym_gazebo2.tasks.panda_gym import make_panda_gym_tasks
from gym_gazebo2.tasks.reach import ReachTask, compute_reach_reward
from gym_gazebo2.tasks.sort import SortTask

__all__ = [
    "TASKS",
    "Advance",
    "Layout",
    "Measure",
    "Measures",
    "Memory",
    "ReachTask",
    "SortTask",
    "Task",
    "TaskState",
    "compute_reach_reward",
    "make_task",
    "register_task",
]

# Goals of the 2019 gym-gazebo2 [m, base frame]. Its files use two heights for the same point.
_LOW = (-0.40028, 0.095615, 0.25)
_HIGH = (-0.40028, 0.095615, 0.72466)
_TOOL_DOWN = (0.0, 0.5**0.5, 0.5**0.5, 0.0)  # quaternion wxyz: the tool's z axis points down
# Boxes from which the RandomTarget and goal ids draw: lower and upper corner [m, base frame].
_MARA_BOX = ((-0.55, -0.25, 0.15), (-0.30, 0.25, 0.45))
_SCARA_BOX = ((0.2852, -0.1747, 0.3746), (0.3884, 0.1702, 0.3746))
_POSE = ("q", "position_error", "quat_error", "velocity")  # observation of the tasks with an orientation

TASKS: dict[str, Task] = {
    "mara_reach": ReachTask(_LOW, components=("q", "position_error", "velocity", "position", "rotation")),
    "mara_reach_orient": ReachTask(_LOW, quat_goal=_TOOL_DOWN, components=_POSE),
    "mara_reach_collision_orient": ReachTask(_LOW, quat_goal=_TOOL_DOWN, collision_penalty=True, components=_POSE),
    "mara_reach_high": ReachTask(_HIGH),
    "mara_reach_collision": ReachTask(_HIGH, collision_penalty=True),
    "mara_reach_camera": ReachTask(_HIGH, layout="camera"),
    "mara_reach_random": ReachTask(goal_box=_MARA_BOX),
    "mara_reach_goal": ReachTask(goal_box=_MARA_BOX, reward="sparse", components=("q", "dq", "velocity"), layout="goal"),
    "scara_reach": ReachTask((0.3325683, 0.0657366, 0.3746)),
    "scara_reach_random": ReachTask(goal_box=_SCARA_BOX),
    "scara4_reach": ReachTask((0.3325683, 0.0657366, 0.4868)),
    # The joint step leads some arms over their back, where they get stuck on the floor. The penalty teaches them another way:
    # a policy of the UR5 then fails at a contact for 1.4 % of the goals, and not for 4.4 %.
    "reach": ReachTask(in_workspace=True, collision_penalty=True, components=("q", "joint_step", "position_error", "velocity")),
    "reach_goal": ReachTask(in_workspace=True, reward="sparse", components=("q", "dq", "velocity"), layout="goal"),
    **make_panda_gym_tasks(),
    "sort": SortTask(),
    "sort_camera": SortTask(image=True),
    "toss": SortTask(motion="toss", bin_x=0.95),
}


def register_task(name: str, task: Task) -> None:
    """Add a task to the table. Adding an equal task again changes nothing.

    Raises:
        InvalidArgumentError: Another task has this name.
    """
    add_row(TASKS, name, task)


def make_task(task: str | Task) -> Task:
    """Return a task of the table; a task is returned as it is.

    Raises:
        UnknownNameError: The table has no such row.
    """
    if not isinstance(task, str):
        return task
    if task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    return TASKS[task]
