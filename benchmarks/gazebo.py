"""Measure Gazebo in lock-step: speed compared with its free-running rate, fidelity compared with MuJoCo, exactness.

``python -m benchmarks.gazebo`` prints every figure with its goal. ``--simulator gz_sim`` measures today's Gazebo instead of
Gazebo 11. ``--only speed fidelity`` chooses figures. ``--run RUN`` adds
the transfer of a trained policy (with ``--runs 100`` for random goals). ``--json FILE`` also writes the figures. It needs
Gazebo and ROS 2: see ``gym-gazebo2 doctor``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import operator
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import rclpy
import tyro
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, train
from gym_gazebo2.algos.vec_env import Vectorization
from gym_gazebo2.backends import Backend, make_backend
from gym_gazebo2.gazebo import Domain, start_robot
from gym_gazebo2.robots import RobotSpec, make_robot
from gym_gazebo2.ros import Duration, Graph, Topics, to_ns
from gym_gazebo2.scene import Scene
from gym_gazebo2.setpoint import compute_setpoint
from gym_gazebo2.state import Placement
from gym_gazebo2.tasks import make_task
from gym_gazebo2.testing import drive_smoothly

PHYSICS_DT, CONTROL_DT = 0.001, 0.05
ONE = np.ones(1, dtype=bool)
WARM_UP = 100
TIMEOUT = 30.0
Figures = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure Gazebo.

    Attributes:
        simulator: "gazebo" is Gazebo 11, "gz_sim" is today's Gazebo.
        only: Which parts; none: all of them.
        rounds: Repetitions of each speed, in turn; the best counts, as the machine may be shared.
        stamps: Consecutive steps whose stamps are checked.
        placements: Placements free of contact that are checked, besides those in contact.
        starts: Servers that are started, and ended by SIGINT.
        run: Folder of a training; its policy is evaluated embedded and in Gazebo.
        runs: Evaluation runs of a policy.
        seed: Seed of the training in Gazebo.
        json: Also write the figures to this file.
    """

    simulator: Literal["gazebo", "gz_sim"] = "gazebo"
    only: tuple[str, ...] = ()
    rounds: int = 3
    stamps: int = 10_000
    placements: int = 1000
    starts: int = 100
    run: str | None = None
    runs: int = 30
    seed: int = 20
    json: str | None = None


@dataclasses.dataclass(frozen=True)
class Goal:
    """The bound that a figure should meet."""

    compare: Callable[[float, float], bool]
    value: float

    def __str__(self) -> str:
        """Return it as text."""
        sign = {operator.le: "<=", operator.ge: ">=", operator.eq: "="}[self.compare]  # type: ignore[index]
        return f"{sign} {self.value:g}"


GOALS = {
    "step / (free-running + 1.2 round trips)": Goal(operator.le, 1.0),
    "mara: RMS from embedded [rad]": Goal(operator.le, 0.01),
    "scara: RMS from embedded [rad]": Goal(operator.le, 0.01),
    "mara: largest from fake [rad]": Goal(operator.le, 0.02),
    "scara: largest from fake [rad]": Goal(operator.le, 0.02),
    "stamps that are not exact": Goal(operator.eq, 0),
    "largest placement error [rad]": Goal(operator.le, 1e-6),
    "fastest joint on the next step / its limit": Goal(operator.le, 1.0),
    "processes left": Goal(operator.eq, 0),
    "ends with another status than 0": Goal(operator.eq, 0),
    "processes left after ends": Goal(operator.eq, 0),
    "folders left after ends": Goal(operator.eq, 0),
    "subproc: two Gazebos / one": Goal(operator.ge, 1.6),
    "pinned: two Gazebos / one": Goal(operator.ge, 1.6),
    "learned in Gazebo: RMS [mm]": Goal(operator.le, 5.0),
    "transfer: RMS in Gazebo / embedded": Goal(operator.le, 1.5),
    "transfer: RMS in Gazebo [mm]": Goal(operator.le, 1.0),
    "transfer: runs farther than 5 mm in Gazebo": Goal(operator.eq, 0),
}


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of one control period [s].

    Attributes:
        wall: Time on the wall clock.
        cpu: Processor time of the server; NaN where there is none.
    """

    wall: float
    cpu: float = math.nan


GZ_SIM_GOALS = {name: goal for name, goal in GOALS.items() if name != "step / (free-running + 1.2 round trips)"} | {
    "part of the free-running rate": Goal(operator.ge, 0.8),
    "server CPU, lock-step / free-running": Goal(operator.le, 1.2),
}


def measure_speed(args: Arguments) -> Figures:
    """Time a lock-step of 50 physics steps, the same physics steps free-running without clients, and a bare round trip."""
    robot, physics_steps = make_robot("mara"), round(CONTROL_DT / PHYSICS_DT)
    rows: dict[str, Callable[[RobotSpec, str], Timing]] = {
        "50 physics steps, free-running [ms]": time_free_running,
        "bare rclpy round trip [ms]": time_round_trip,
        "lock-step of 50 physics steps [ms]": time_lock_step,
    }
    times: dict[str, list[Timing]] = {name: [] for name in rows}
    for _ in range(args.rounds):
        for name, measure in rows.items():
            times[name].append(measure(robot, args.simulator))
    free, trip, step = (min(timing.wall for timing in timings) for timings in times.values())
    free_cpu, _, step_cpu = (1e6 * min(timing.cpu for timing in timings) / physics_steps for timings in times.values())
    return dict(zip(rows, (1e3 * free, 1e3 * trip, 1e3 * step), strict=True)) | {
        "lock-steps per second": 1 / step,
        "step / (free-running + 1.2 round trips)": step / (free + 1.2 * trip),
        "part of the free-running rate": free / step,
        "server CPU per physics step, free-running [us]": free_cpu,
        "server CPU per physics step, lock-step [us]": step_cpu,
        "server CPU, lock-step / free-running": step_cpu / free_cpu,
    }


def time_free_running(robot: RobotSpec, simulator: str) -> Timing:
    """Return the times of a control period of physics in a server that reports once per simulated second.

    The arm moves slowly all the while, on one command: an arm at rest costs Gazebo a quarter less than a moving one.
    """
    stamps: list[tuple[int, float]] = []
    with (
        take_domain() as domain,
        start_robot(robot, domain, simulator=simulator, real_time_factor=0.0, control_dt=1.0) as server,
    ):
        server.wait_ready()
        with contextlib.closing(Graph(domain, server.check_alive)) as graph:
            topic = Topics(robot.name).state
            graph.subscribe(JointState, topic, lambda m: stamps.append((to_ns(m.header.stamp), time.perf_counter())))
            commands = graph.publish(JointTrajectory, Topics(robot.name).command)
            graph.wait(lambda: bool(commands.get_subscription_count()), TIMEOUT)
            far = JointTrajectoryPoint(positions=(robot.home + 0.4).tolist(), time_from_start=Duration(sec=60))
            commands.publish(JointTrajectory(joint_names=robot.joint_names, points=[far]))
            sent = len(stamps)
            graph.wait(lambda: len(stamps) > sent + 5, TIMEOUT)
            (first, begin), cpu = stamps[-1], read_cpu(server.process.pid)
            graph.wait(lambda: len(stamps) > sent + 45, TIMEOUT)
            (last, end), cpu = stamps[-1], read_cpu(server.process.pid) - cpu
    periods = 1e-9 * (last - first) / CONTROL_DT
    return Timing((end - begin) / periods, cpu / periods)


def read_cpu(pid: int) -> float:
    """Return the processor time that a process has used [s]."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def time_round_trip(robot: RobotSpec, simulator: str, trips: int = 1000) -> Timing:
    """Return the median time of a round trip between two processes with rclpy on both sides."""
    with take_domain() as domain:
        echo = subprocess.Popen([sys.executable, str(Path(__file__).with_name("ros_echo.py")), str(domain)])
        context, came = Context(), list[JointState]()
        context.init(domain_id=domain)
        node, executor = rclpy.create_node("probe", context=context), SingleThreadedExecutor(context=context)
        executor.add_node(node)
        node.create_subscription(JointState, "/echo/state", came.append, QoSProfile(depth=1))
        publisher = node.create_publisher(JointTrajectory, "/echo/command", QoSProfile(depth=1))
        point = JointTrajectoryPoint(positions=[0.0] * robot.dof)
        message = JointTrajectory(joint_names=robot.joint_names, points=[point])
        message.header.frame_id = "0123456789abcdef0123456789abcdef:1000"

        def ask(patience: float) -> bool:
            came.clear()
            publisher.publish(message)
            end = time.monotonic() + patience
            while not came and time.monotonic() < end:
                executor.spin_once(timeout_sec=patience)
            return bool(came)

        try:
            if not any(ask(0.5) for _ in range(60)):
                raise TimeoutError("the echo does not answer")
            times = []
            for _ in range(trips):
                start = time.perf_counter()
                if ask(TIMEOUT):
                    times.append(time.perf_counter() - start)
        finally:
            echo.terminate()
            echo.wait(TIMEOUT)
            executor.shutdown()
            node.destroy_node()
            context.shutdown()
    return Timing(statistics.median(times[WARM_UP:]))


def time_lock_step(robot: RobotSpec, simulator: str, steps: int = 1000) -> Timing:
    """Return the median time of a step of the backend with smoothly moving set-points, and the mean time of the processor."""
    with open_gazebo(robot, simulator) as backend:
        backend.reset(ONE, robot.home[None])
        times, pid = [], backend.server.process.pid  # type: ignore[attr-defined]
        cpu = read_cpu(pid)
        for k in range(steps):
            goal = np.full((1, robot.dof), 0.2 * np.sin(0.02 * (k + 1)))
            start = time.perf_counter()
            backend.step(goal)
            times.append(time.perf_counter() - start)
        cpu = read_cpu(pid) - cpu
    return Timing(statistics.median(times[WARM_UP:]), cpu / steps)


def measure_fidelity(args: Arguments) -> Figures:
    """Compare Gazebo with MuJoCo at 1 ms and with the fake backend, on smooth actions free of contact."""
    figures: Figures = {}
    for name in ("mara", "scara"):
        robot = make_robot(name)
        embedded, fake = make_backend("mujoco", robot, physics_dt=PHYSICS_DT), make_backend("fake", robot)
        errors: list[list[NDArray[np.float64]]] = []
        with open_gazebo(robot, args.simulator) as gazebo:
            for seed in range(8):
                for state in drive_smoothly(gazebo, seed):
                    started = bool(state.time[0])
                    others = [b.step(state.q_setpoint) if started else b.reset(ONE, state.q) for b in (embedded, fake)]
                    if state.in_collision[0] or others[0].in_collision[0]:
                        break
                    errors.append([state.q[0] - other.q[0] for other in others])
        from_embedded, from_fake = np.moveaxis(np.array(errors), 1, 0)
        figures[f"{name}: states compared"] = len(errors)
        figures[f"{name}: RMS from embedded [rad]"] = float(np.sqrt(np.mean(from_embedded**2)))
        figures[f"{name}: largest from embedded [rad]"] = float(np.abs(from_embedded).max())
        figures[f"{name}: largest from fake [rad]"] = float(np.abs(from_fake).max())
    return figures


def measure_stamps(args: Arguments) -> Figures:
    """Count stamps of consecutive steps under random actions that are not start + k · control_dt, to the nanosecond."""
    robot, rng, wrong = make_robot("mara"), np.random.default_rng(0), 0
    with open_gazebo(robot, args.simulator) as backend:
        state = backend.reset(ONE, robot.home[None])
        for k in range(1, args.stamps + 1):
            state = backend.step(wander(robot, rng, state.q_setpoint, state.q))
            wrong += int(state.time[0] != k * round(CONTROL_DT * 1e9))
    return {"consecutive steps": args.stamps, "stamps that are not exact": wrong}


def measure_placements(args: Arguments) -> Figures:
    """Place an arm in random motion at random poses, every third time near ±π, and measure the next step.

    A pose inside the floor or the arm itself is placed exactly, too. The arm leaves it no faster than its velocity limits.
    """
    robot, rng = make_robot("mara"), np.random.default_rng(0)
    errors, speeds, touching = [], [], []
    with open_gazebo(robot, args.simulator) as backend:
        process = psutil.Process(backend.server.process.pid)  # type: ignore[attr-defined]
        state, memory = backend.reset(ONE, robot.home[None]), 0
        for k in range(args.placements):
            q = draw_pose(robot, rng, near_pi=k % 3 == 0)
            state = backend.reset(ONE, q[None])
            errors.append(np.abs(state.q[0] - q).max())
            touching.append(state.in_collision[0])
            state = backend.step(q[None])
            speeds.append((np.abs(state.dq[0]) / robot.velocity_limit).max())
            for _ in range(2):
                state = backend.step(wander(robot, rng, state.q_setpoint, state.q))
            memory = memory or process.memory_info().rss * (k > WARM_UP)
        grown = process.memory_info().rss - memory
    left = [child for child in psutil.Process().children(recursive=True) if child.is_running()]
    return {
        "placements": len(errors),
        "of them in contact": sum(touching),
        "largest placement error [rad]": max(errors),
        "fastest joint on the next step / its limit": max(speeds),
        "joints too fast on the next step": sum(speed > 1 for speed in speeds),
        "server's memory grew by [MB]": grown / 1e6,
        "processes left": len(left),
    }


def measure_ends(args: Arguments) -> Figures:
    """Start servers, end each by SIGINT, every second one while it runs freely, and count what is left."""
    robot, failed, folders, times = make_robot("mara"), 0, 0, []
    for k in range(args.starts):
        with take_domain() as domain:
            factor = 0.0 if k % 2 else None
            with start_robot(robot, domain, simulator=args.simulator, real_time_factor=factor) as server:
                server.wait_ready()
                started = time.perf_counter()
                server.process.send_signal(signal.SIGINT)
                failed += int(server.process.wait(TIMEOUT) != 0)
                times.append(time.perf_counter() - started)
            folders += int(server.log.parent.exists())
    return {
        "ends by SIGINT": args.starts,
        "ends with another status than 0": failed,
        "longest end [s]": max(times),
        "processes left after ends": len(psutil.Process().children(recursive=True)),
        "folders left after ends": folders,
    }


def draw_pose(robot: RobotSpec, rng: np.random.Generator, near_pi: bool) -> NDArray[np.float64]:
    """Return a random pose inside the limits (dof,), or one within 0.05 rad of ±π where the limits allow [rad]."""
    q = rng.uniform(robot.lower, robot.upper)
    if near_pi:
        q = np.where(q > 0, 1, -1) * (np.pi - rng.uniform(0, 0.05, robot.dof))
    clipped: NDArray[np.float64] = np.clip(q, robot.lower, robot.upper)
    return clipped


def measure_parallel(args: Arguments) -> Figures:
    """Compare two Gazebos in SubprocVecEnv with one: processes left to the scheduler, or one processor for each."""
    kinds: tuple[Vectorization, ...] = ("subproc", "pinned")
    rates: dict[tuple[Vectorization, int], list[float]] = {(vec, count): [] for vec in kinds for count in (1, 2)}
    for _ in range(args.rounds):
        for (vec, count), values in rates.items():
            values.append(time_vec_env(vec, count, args.simulator))
    figures = {f"{vec}: steps per second with {count}": max(values) for (vec, count), values in rates.items()}
    return figures | {f"{vec}: two Gazebos / one": max(rates[vec, 2]) / max(rates[vec, 1]) for vec in kinds}


def time_vec_env(vec: Vectorization, num_envs: int, simulator: str, steps: int = 1000) -> float:
    """Return environment steps per second of wall time."""
    env = make_vec_env("MARA-v0", num_envs, vec=vec, seed=0, backend=simulator)
    env.reset()
    actions = np.zeros((num_envs, 6), dtype=np.float32)
    for _ in range(WARM_UP):
        env.step(actions)
    start = time.perf_counter()
    for _ in range(steps):
        env.step(actions)
    rate = steps * num_envs / (time.perf_counter() - start)
    env.close()
    return rate


def measure_learning(args: Arguments) -> Figures:
    """Train SCARA-v0 with PPO's preset in Gazebo from the first step, and evaluate it there."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run = train(
            TrainConfig("SCARA-v0", seed=args.seed, out=out, target_error_mm=5.0, progress="quiet", backend=args.simulator)
        )
        result, target = evaluate(run.path, EvaluateConfig(runs=args.runs)), run.read_target()
    return {
        "learned in Gazebo: RMS [mm]": result.accuracy_rms_mm,
        "learned in Gazebo: steps": result.train_steps,
        "learned in Gazebo: steps to 5 mm": math.inf if target is None else target[1],
        "learned in Gazebo: whole training [s]": result.train_wall_s,
    }


def measure_transfer(args: Arguments) -> Figures:
    """Evaluate a policy that was trained in MuJoCo, there and in Gazebo. The run's own evaluation is not changed."""
    if args.run is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(args.run, Path(folder) / "run"))
        embedded, gazebo = (evaluate(copy, EvaluateConfig(runs=args.runs, backend=name)) for name in ("mujoco", args.simulator))
    return {
        "transfer: RMS embedded [mm]": embedded.accuracy_rms_mm,
        "transfer: RMS in Gazebo [mm]": gazebo.accuracy_rms_mm,
        "transfer: RMS in Gazebo / embedded": gazebo.accuracy_rms_mm / embedded.accuracy_rms_mm,
        "transfer: farthest in Gazebo [mm]": max(map(math.hypot, *zip(*gazebo.errors_mm, strict=True))),
        "transfer: runs in Gazebo": gazebo.runs,
        "transfer: runs farther than 5 mm in Gazebo": round((1.0 - gazebo.success_rate) * gazebo.runs),
    }


def measure_objects(args: Arguments) -> Figures:
    """Measure the processor time of the server per physics step with the scene of PandaSort-v0: parked and lying objects."""
    robot, name = make_robot("panda", gripper=True), "objects: {} [us of processor time per physics step]"
    figures = {name.format("no scene"): time_objects(robot, None, args.simulator)[0]}
    for count in (1, 2, 5):
        scene = make_task("sort").with_options({"num_objects": count}).scene
        lying, parked = time_objects(robot, scene, args.simulator)
        figures |= {name.format(f"{count} on the table"): lying, name.format("pool parked"): parked}
    return figures


def time_objects(robot: RobotSpec, scene: Scene | None, simulator: str, steps: int = 100) -> tuple[float, float]:
    """Return the processor time of a physics step with objects that lie on the table, and with all of them parked [µs]."""
    with contextlib.closing(make_backend(simulator, robot, scene=scene)) as backend:
        placement = None if scene is None else lay_out(scene)
        state, times = backend.reset(ONE, robot.home[None], placement), list[float]()
        process = psutil.Process(backend.server.process.pid)
        for park in (None, None if scene is None else np.ones((1, scene.num_objects), dtype=bool)):
            for _ in range(10):
                state = backend.step(state.q_setpoint, park)
            before = process.cpu_times()
            for _ in range(steps):
                state = backend.step(state.q_setpoint)
            after = process.cpu_times()
            spent = after.user + after.system - before.user - before.system
            times.append(1e6 * spent / (steps * round(CONTROL_DT / PHYSICS_DT)))
    return times[0], times[1]


def lay_out(scene: Scene) -> Placement:
    """Return a placement of objects in a row on the table, a kind after the other."""
    first = np.unique(scene.pool.kind, return_index=True)[1]
    slots = np.arange(scene.num_objects)
    index = first[slots % len(first)] + slots // len(first)
    pose = np.zeros((1, scene.num_objects, 7))
    pose[0, :, 0], pose[0, :, 1], pose[0, :, 3] = 0.55, -0.2 + 0.1 * slots, 1.0
    pose[0, :, 2] = scene.pool.half_size[index, 2]
    return Placement(index[None], pose)


PARTS: dict[str, Callable[[Arguments], Figures]] = {
    "speed": measure_speed,
    "fidelity": measure_fidelity,
    "stamps": measure_stamps,
    "placements": measure_placements,
    "ends": measure_ends,
    "objects": measure_objects,
    "parallel": measure_parallel,
    "learning": measure_learning,
    "transfer": measure_transfer,
}


def wander(
    robot: RobotSpec, rng: np.random.Generator, setpoint: NDArray[np.float64], q: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the set-point of a uniform random action."""
    travel = robot.control_speed * CONTROL_DT
    return compute_setpoint(setpoint, setpoint + rng.uniform(-1, 1, setpoint.shape) * travel, q, robot, travel)


@contextlib.contextmanager
def open_gazebo(robot: RobotSpec, simulator: str) -> Iterator[Backend]:
    """Yield a new Gazebo, with the control period and the physics step of the figures."""
    with contextlib.closing(make_backend(simulator, robot, control_dt=CONTROL_DT, physics_dt=PHYSICS_DT)) as backend:
        yield backend


@contextlib.contextmanager
def take_domain() -> Iterator[int]:
    """Yield a free ROS domain."""
    domain = Domain()
    try:
        yield domain.id
    finally:
        domain.release()


def show(figures: Figures, goals: dict[str, Goal]) -> None:
    """Print figures, each with its goal."""
    for name, value in figures.items():
        goal = goals.get(name)
        verdict = "" if goal is None else f"   {goal}: {'reached' if goal.compare(value, goal.value) else 'NOT reached'}"
        print(f"  {name:44} {value:12.5g}{verdict}", flush=True)


def main() -> None:
    """Measure and print."""
    args = tyro.cli(Arguments)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    figures: Figures = {}
    for name in args.only or PARTS:
        print(name, flush=True)
        part = PARTS[name](args)
        show(part, GZ_SIM_GOALS if args.simulator == "gz_sim" else GOALS)
        figures |= part
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
