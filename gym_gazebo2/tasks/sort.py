"""Sort shapes into bins, by carrying or by tossing them.

A bin is a transparent zone. An object that touches a bin is taken away: into the right one if the bin is that of its shape.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from gym_gazebo2.errors import UnknownNameError, UsageError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.scene import SHAPES, Scene, Shape
from gym_gazebo2.tasks.base import Advance, Measures, Memory, Task, TaskState
from gym_gazebo2.tasks.measures import Measure
from gym_gazebo2.tasks.objects import overlaps_box
from gym_gazebo2.tasks.placement import place_apart
from gym_gazebo2.tasks.sort_observations import OBSERVATIONS, arrange
from gym_gazebo2.tasks.sort_options import check_layout, read_options
from gym_gazebo2.tasks.sort_reach import check_reach, find_pose_above
from gym_gazebo2.tasks.sort_shaping import EDGE, MOTIONS, compute_worth
from gym_gazebo2.tasks.sort_table import AREA, BIN_HALF_SIZE, Table, make_bins, make_sort_scene
from gym_gazebo2.tasks.sort_view import LatestView, SortView, make_view

__all__ = ["REWARDS", "EventRewards", "SortTask"]

Array = NDArray[np.float64]

LEFT, RIGHT, WRONG, FLOOR = range(4)
"""Values of the memory "status": an object that remains, is in the right bin, in a wrong bin, or lost."""
FALLEN = -0.05
"""An object below this height is on the floor [m]; the table's top is at 0."""
FARTHEST = 3.0
"""An object farther away than this has left the world [m]."""
JOINT_MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class EventRewards:
    """Rewards of one step, and of one object each.

    Attributes:
        step: Every step.
        floor: An object on the floor.
        wrong: An object in a wrong bin.
        right: An object in the right bin.
    """

    step: float
    floor: float
    wrong: float
    right: float


REWARDS: dict[str, EventRewards] = {
    "early": EventRewards(step=-1.0, floor=-10.0, wrong=25.0, right=100.0),
    "late": EventRewards(step=-1.0, floor=-50.0, wrong=200.0, right=500.0),
}
"""The two reward tables of the project from which this task was taken: its early one and its late one."""


@dataclasses.dataclass(frozen=True)
class SortTask(Task):
    """Sort objects on a table into the bins of their shapes.

    Lengths below are in the table's frame: metres for a Panda, and multiples of ``table.scale`` for other robots.

    Attributes:
        motion: "carry", or "toss" for bins out of reach.
        num_objects: Number of objects.
        shapes: Shapes of the objects.
        half_size: Smallest and largest half size of the objects [m].
        yaw: Half-width of the uniform angle about the vertical at the start [rad].
        blocker: Height of the bar in front of the bins [m]; 0: no bar.
        bin_x: x of the centres of the bins [m].
        rewards: Row of ``REWARDS``.
        shaping: Whether progress is rewarded as well, see ``sort_shaping``.
        observation: "relative", or "source" for the 18 values per object of the original project; see ``sort_observations``.
        slots: Objects in the observation, the first of those that remain; None: ``num_objects``.
        joints: Whether positions and velocities of the arm's joints are in the observation. Torque control needs them.
        image: Whether the observation is the picture of the scene's camera alone.
        table: The table, or its fields by name.
        kinematics: The arm; None before ``bind``.
    """

    motion: Literal["carry", "toss"] = "carry"
    num_objects: int = 1
    shapes: tuple[Shape, ...] = SHAPES
    half_size: tuple[float, float] = (0.015, 0.03)
    yaw: float = 0.0
    blocker: float = 0.0
    bin_x: float = 0.35
    rewards: str = "early"
    shaping: bool = True
    observation: str = "relative"
    slots: int | None = None
    joints: bool = False
    image: bool = False
    table: Table | Mapping[str, Any] = dataclasses.field(default_factory=Table)
    kinematics: Kinematics | None = dataclasses.field(default=None, compare=False, repr=False)

    uses_gripper: ClassVar[bool] = True  # type: ignore[misc]
    OPTIONS: ClassVar[tuple[str, ...]] = (
        "num_objects", "shapes", "half_size", "yaw", "blocker", "bin_x", "rewards", "shaping", "observation", "slots",
        "joints", "table",
    )  # fmt: skip
    MEASURES: ClassVar[Mapping[str, Measure]] = {  # type: ignore[misc]
        "sorted_right": Measure("sorted right", "%", 100.0, better="more", threshold=1.0, target=0.95),
        "sorted_wrong": Measure("sorted wrong", "%", 100.0),
        "on_floor": Measure("on the floor", "%", 100.0),
        "left_over": Measure("left over", "%", 100.0),
        "steps_per_object": Measure("steps per object"),
        "score": Measure("score", better="more"),
    }

    def __post_init__(self) -> None:
        """Check the options, and store plain values.

        Raises:
            UnknownNameError: There is no such shape, table of rewards, observation, or field of ``table``.
            InvalidArgumentError: A value is invalid.
        """
        for name, table in (("rewards", REWARDS), ("observation", OBSERVATIONS), ("motion", MOTIONS)):
            if getattr(self, name) not in table:
                raise UnknownNameError(name, getattr(self, name), table)
        for name, value in read_options(vars(self)).items():
            object.__setattr__(self, name, value)
        check_layout(self.num_objects, self.half_size[1], self.bin_x)

    @property
    def layout(self) -> Literal["vector", "image"]:  # type: ignore[override]
        """Form of the observation."""
        return "image" if self.image else "vector"

    @functools.cached_property
    def frame(self) -> Table:
        """The table."""
        return self.table if isinstance(self.table, Table) else Table(**self.table)

    @functools.cached_property
    def scene(self) -> Scene:  # type: ignore[override]
        """Objects, table, bins and bar."""
        return make_sort_scene(self.frame, self.shapes, self.half_size, self.num_objects, self.bin_x, self.blocker)

    @functools.cached_property
    def bins(self) -> Array:
        """(3, 3) centres of the bins in the table's frame [m], in the order of ``SHAPES``."""
        return make_bins(self.bin_x)

    def bind(self, kinematics: Kinematics) -> SortTask:
        """Return the task for one arm.

        Raises:
            InvalidArgumentError: The arm cannot reach the table.
        """
        if message := check_reach(kinematics, self.frame, self.half_size[1], self.bin_x if self.motion == "carry" else None):
            warnings.warn(message, stacklevel=5)  # the caller of gym.make
        return dataclasses.replace(self, kinematics=kinematics)

    def compute_start_pose(self, kinematics: Kinematics) -> Array | None:
        """Return the pose with the tool above the objects, in the orientation of the home pose; None if there is none."""
        return find_pose_above(kinematics, self.frame)

    def start(self, rng: np.random.Generator) -> Memory:
        """Return the memory of one arm: the status of its objects, and what the rewards compare with."""
        k = self.num_objects
        numbers = {name: np.zeros(()) for name in ("steps", "score", "potential", "kept", "reward")}
        return {"status": np.zeros(k, dtype=np.int64), "last": np.zeros((k, 3)), **numbers}

    def place(self, rng: np.random.Generator, goal: Array) -> tuple[NDArray[np.int64], Array]:
        """Return different members of the pool, upright on the table at random places."""
        pool, scale = self.scene.pool, self.frame.scale
        index = rng.choice(len(pool), self.num_objects, replace=False)
        half = pool.half_size[index] / scale
        xy = place_apart(rng, np.linalg.norm(half[:, :2], axis=1), *AREA)
        angle = 0.5 * rng.uniform(-self.yaw, self.yaw, self.num_objects)
        zero = np.zeros(self.num_objects)
        position = self.frame.origin + scale * np.column_stack([xy, half[:, 2]])
        return index, np.column_stack([position, np.cos(angle), zero, zero, np.sin(angle)])

    def begin(self, state: TaskState, goal: Array) -> Memory:
        """Return the memory with the first positions and the first potential."""
        view = self.make_view(state, state.memory["status"] == LEFT)
        return {**state.memory, "last": view.position, "potential": self._compute_potential(view, state.memory)}

    def advance(self, state: TaskState, goal: Array) -> Advance:
        """Return the result of a control period: objects in bins or on the floor are taken away."""
        before = state.memory
        view = self.make_view(state, before["status"] == LEFT)
        status = self._judge(view, before["last"], before["status"])
        events = self._reward_events(before["status"], status)
        kept = before["kept"] + self._compute_kept(view, status)
        view = dataclasses.replace(view, remains=status == LEFT)
        memory = {**before, "status": status, "last": view.position, "kept": kept, "steps": before["steps"] + 1.0}
        potential = self._compute_potential(view, memory)
        reward = events + (potential - before["potential"] if self.shaping else 0.0)
        memory |= {"potential": potential, "score": before["score"] + events, "reward": reward}
        done = state._replace(memory=memory)
        measures = self.measure(done, goal)
        is_over = np.logical_not(view.remains.any(axis=1))
        return Advance(memory, measures, self.compute_reward(measures, done), is_over, ~view.remains)

    def compute_reward(self, measures: Measures, state: TaskState) -> Array:
        """Return the rewards (n,) of the last period: events, and progress with ``shaping``."""
        reward: Array = state.memory["reward"]
        return reward

    def measure(self, state: TaskState, goal: Array) -> Measures:
        """Return the shares of objects by what became of them, the steps for each of them, and the sum of event rewards."""
        status, steps = state.memory["status"], state.memory["steps"]
        share = [np.add.reduce(status == kind, axis=1) / self.num_objects for kind in range(4)]
        return {
            "sorted_right": share[RIGHT],
            "sorted_wrong": share[WRONG],
            "on_floor": share[FLOOR],
            "left_over": share[LEFT],
            "steps_per_object": steps / np.maximum((status != LEFT).sum(axis=1), 1),
            "score": state.memory["score"],
        }

    def compute_bounds(self, kinematics: Kinematics) -> tuple[Array, Array]:
        """Return bounds of the flat observation, (size,) each."""
        form, chain = OBSERVATIONS[self.observation], kinematics.robot.chain
        tool, slots = np.array(form.tool_bounds), np.tile(form.object_bounds, self.num_slots)
        if not self.joints:
            high = np.concatenate([tool, slots])
            return -high, high
        margin, speed = JOINT_MARGIN * chain.scale, 1.5 * chain.control_speed
        low = np.concatenate([-tool, chain.range_lower - margin, -speed, -slots])
        return low, np.concatenate([tool, chain.range_upper + margin, speed, slots])

    def compute_observation(self, state: TaskState, goal: Array) -> Array:
        """Return the flat observations, (n, size): tool, joints where asked for, objects."""
        view, form = self.make_view(state, state.memory["status"] == LEFT), OBSERVATIONS[self.observation]
        parts = [form.compute_tool(view)]
        if self.joints and self.kinematics is not None:
            n = self.kinematics.robot.chain_dof
            parts += [state.arm.q[:, :n], state.arm.dq[:, :n]]
        return np.concatenate([*parts, arrange(form.compute_object(view, self.bins), view.remains, self.num_slots)], axis=1)

    @property
    def num_slots(self) -> int:
        """Number of objects in the observation."""
        return self.num_objects if self.slots is None else self.slots

    def describe(self) -> dict[str, str]:
        """Return short descriptions of reward and goal."""
        return {"reward": f"events{' and progress' if self.shaping else ''}", "goal": f"{self.motion} to the bin of its shape"}

    def make_view(self, state: TaskState, remains: NDArray[np.bool_]) -> SortView:
        """Return the state in the table's frame.

        Raises:
            UsageError: The task was not bound to an arm with a gripper, or the state has no objects.
        """
        arguments = self.frame, self.scene.pool, self._require_arm(), self._R_home
        return self._latest.get(state, remains, lambda: make_view(state, remains, *arguments))

    @functools.cached_property
    def _latest(self) -> LatestView:
        return LatestView()

    @functools.cached_property
    def _R_home(self) -> Array:
        kinematics = self._require_arm()
        rotation: Array = kinematics.compute_tcp_pose(kinematics.robot.home[None])[0, :3, :3]
        return rotation

    def _require_arm(self) -> Kinematics:
        if self.kinematics is None:
            raise UsageError("Sorting needs an arm. Call bind(kinematics) of the task first.")
        return self.kinematics

    def _judge(self, view: SortView, last: Array, status: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the status (n, k) of the objects at the end of a period."""
        last, position, extent = (value[:, :, None] for value in (last, view.position, view.extent))
        touches = overlaps_box(last, position, extent, self.bins, BIN_HALF_SIZE)  # (n, k, bins)
        # An object at the border of two bins goes to the nearer one.
        away = np.where(touches, np.abs(view.position[..., 1:2] - self.bins[:, 1]), np.inf)
        is_right = np.argmin(away, axis=-1) == view.shape
        x, y, z = np.moveaxis(view.position, -1, 0)
        is_lost = (z < FALLEN) | (np.maximum(np.maximum(np.abs(x), np.abs(y)), z) > FARTHEST) | ~view.is_finite
        judged = np.where(is_lost, FLOOR, LEFT)
        judged = np.where(touches.any(axis=-1) & view.is_finite, np.where(is_right, RIGHT, WRONG), judged)
        return np.where(view.remains, judged, status)

    def _reward_events(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> Array:
        """Return the rewards (n,) of what happened to the objects, and of the step."""
        row = REWARDS[self.rewards]
        worth = np.array([0.0, row.right, row.wrong, row.floor])
        return row.step + np.where(after != before, worth[after], 0.0).sum(axis=1)

    def _compute_potential(self, view: SortView, memory: Memory) -> Array:
        """Return Φ (n,): the worth of the remaining objects, of those in the right bin, and of misses that keep theirs."""
        motion = MOTIONS[self.motion]
        worth = compute_worth(view, motion, self.bins, self.blocker)
        arrived = motion.arrived * (memory["status"] == RIGHT).sum(axis=1)
        total: Array = np.where(view.remains, worth, 0.0).sum(axis=1) + arrived + memory["kept"]
        return total

    def _compute_kept(self, view: SortView, status: NDArray[np.int64]) -> Array:
        """Return the worth (n,) that the objects lost in this period keep."""
        motion = MOTIONS[self.motion]
        if not motion.keeps_misses:
            return np.zeros(len(status))
        missed = view.remains & (status == FLOOR) & view.is_finite & (view.position[..., 0] > EDGE)
        kept: Array = np.where(missed, compute_worth(view, motion, self.bins, self.blocker), 0.0).sum(axis=1)
        return kept
