"""The embedded physics: accuracy of its step, correctness of its collisions, its pictures, its batch."""

import itertools
import os
import subprocess
import sys
import time
from contextlib import closing

import mujoco
import numpy as np
import pytest
import yourdfpy

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.mujoco import PHYSICS_DT, rendering
from gym_gazebo2.backends.mujoco.clock import stop_clock
from gym_gazebo2.backends.mujoco.scene import list_collision_pairs, make_visual_model
from gym_gazebo2.errors import BackendError, MissingDependencyError, RenderError, UnknownNameError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot
from gym_gazebo2.setpoint import compute_setpoint
from gym_gazebo2.testing import FAKE_TOLERANCE, drive_smoothly

REFERENCE_DT = 0.001
OWN_TOLERANCE = 0.002
FAST = 2.0
"""A joint that runs into its limit faster than this goes up to 6 mrad farther with steps of 5 ms than with 1 ms [rad/s]."""


def measure_step():
    """Return the time that the engine says one physics step of an empty model took [s]."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data)
    return data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration


def test_the_clock_of_the_engine_stands_still_and_can_be_started():
    assert measure_step() == 0.0
    try:
        mujoco.set_mjcb_time(None)
        assert measure_step() > 0.0
        mujoco.set_mjcb_time(time.perf_counter)
        stop_clock()
        assert measure_step() > 0.0  # a clock of the program's own is left alone
    finally:
        mujoco.set_mjcb_time(None)
        stop_clock()
    assert measure_step() == 0.0


def make(robot, num_envs=1, **options):
    return make_backend("mujoco", robot, num_envs=num_envs, **options)


def everyone(n=1):
    return np.ones(n, dtype=bool)


def drive_to_the_limits(backend, seed=0, periods=100):
    """Random walk of the actions over the whole range of the joints; positions are NaN from an arm's first contact on."""
    robot, rng, n = backend.robot, np.random.default_rng(seed), backend.num_envs
    state, action, positions = backend.reset(everyone(n), np.tile(robot.home, (n, 1))), np.zeros((n, robot.dof)), []
    has_collided, travel = np.zeros(n, dtype=bool), robot.control_speed * backend.control_dt
    for _ in range(periods):
        action = np.clip(action + rng.uniform(-0.2, 0.2, action.shape), -1, 1)
        target = state.q_setpoint + action * travel
        state = backend.step(compute_setpoint(state.q_setpoint, target, state.q, robot, travel))
        has_collided |= state.in_collision
        positions.append(np.where(has_collided[:, None], np.nan, state.q))
    return np.array(positions)


def test_default_step_is_within_2_mrad_of_1_ms(robot):
    def run(physics_dt):
        states = list(drive_smoothly(make(robot, 16, physics_dt=physics_dt), seed=5))
        has_collided = np.logical_or.accumulate([state.in_collision for state in states])
        return np.where(has_collided[..., None], np.nan, [state.q for state in states])

    differences = np.abs(run(PHYSICS_DT) - run(REFERENCE_DT))
    assert np.isfinite(differences).mean() > 0.5
    assert np.nanmax(differences) < OWN_TOLERANCE


def measure_drift(robot, physics_dt):
    reference = drive_to_the_limits(make(robot, 64, physics_dt=REFERENCE_DT))
    return np.nanmax(np.abs(drive_to_the_limits(make(robot, 64, physics_dt=physics_dt)) - reference))


def test_default_step_is_within_2_mrad_where_joints_stop_at_their_limits_too(robot):
    assert measure_drift(robot, PHYSICS_DT) < OWN_TOLERANCE * (3 if robot.control_speed.max() >= FAST else 1)


def test_twice_the_default_step_is_not():
    assert max(measure_drift(make_robot(name), 2 * PHYSICS_DT) for name in ("mara", "scara", "scara4")) > OWN_TOLERANCE


def test_physics_stays_near_the_fake_backend(robot):
    fake, free, differences = make_backend("fake", robot, num_envs=16), everyone(16), []
    for state in drive_smoothly(make(robot, 16), seed=5):
        free = free & ~state.in_collision
        expected = fake.step(state.q_setpoint) if state.time.any() else fake.reset(everyone(16), state.q)
        differences.append(np.where(free[:, None], np.abs(state.q - expected.q), np.nan))
    # Panda's home is folded: its hand comes near its own links there.
    assert np.isfinite(differences).mean() > (0.5 if robot.name == "panda" else 0.9)
    assert np.nanmax(differences) < FAKE_TOLERANCE


def test_links_and_shapes_are_those_of_the_urdf(robot):
    urdf = yourdfpy.URDF.load(robot.urdf, load_meshes=False, build_scene_graph=False)
    model = make(robot).model
    assert model.nbody - 1 == len(urdf.robot.links)
    assert model.ngeom - 1 == sum(len(link.collisions) for link in urdf.robot.links)
    visual = make_visual_model(robot, 64, 64)
    assert visual.ngeom == model.ngeom + 1  # the goal
    colours = {tuple(rgba) for rgba in visual.geom_rgba[visual.geom_bodyid == visual.body(robot.base_link).id]}
    assert len(colours) == 2


def test_neighbours_never_collide_and_the_others_may(robot):
    pairs = list_collision_pairs(make(robot).model)
    links = (robot.base_link, *robot.link_names)
    assert not set(itertools.pairwise(links)) & set(pairs)
    assert {(a, b) for (i, a), (j, b) in itertools.combinations(enumerate(links[:-1]), 2) if j > i + 1} <= set(pairs)


def _read_shapes(robot):
    """Return the collision shapes by link as (pose in link, half sizes or (radius, half length))."""
    urdf = yourdfpy.URDF.load(robot.urdf, load_meshes=False, build_scene_graph=False)
    shapes = {}
    for link in urdf.robot.links:
        for c in link.collisions:
            g = c.geometry
            size = ("box", np.array(g.box.size) / 2) if g.box else ("cylinder", (g.cylinder.radius, g.cylinder.length / 2))
            shapes.setdefault(link.name, []).append((c.origin, *size))
    return shapes


def _project(points, T, kind, size):
    """Return the nearest points of n solids in poses T (n, 4, 4)."""
    R, p = T[:, :3, :3], T[:, :3, 3]
    local = np.einsum("nji,nj->ni", R, points - p)
    if kind == "box":
        local = np.clip(local, -size, size)
    else:
        radius, half = size
        scale = np.minimum(1.0, radius / np.maximum(np.linalg.norm(local[:, :2], axis=1), 1e-12))
        local = np.column_stack([local[:, :2] * scale[:, None], np.clip(local[:, 2], -half, half)])
    return np.einsum("nij,nj->ni", R, local) + p


def _measure_distance(T_a, a, T_b, b):
    """Return the distance of two convex solids by alternating projections (von Neumann), an upper bound that converges."""
    points = T_a[:, :3, 3].copy()
    for _ in range(300):
        on_b = _project(points, T_b, *b)
        points = _project(on_b, T_a, *a)
    return np.linalg.norm(points - on_b, axis=1)


def _find_lowest(T, kind, size):
    """Return the height of the lowest point of n solids."""
    down = np.abs(T[:, 2, :3])
    extent = down @ size if kind == "box" else size[0] * np.hypot(down[:, 0], down[:, 1]) + size[1] * down[:, 2]
    return T[:, 2, 3] - extent


def _find_poses(robot, q):
    """Return by link its poses (n, 4, 4), and the index of the moving link that carries it; links behind fixed joints too."""
    joints = yourdfpy.URDF.load(robot.urdf, load_meshes=False, build_scene_graph=False).robot.joints
    moving = (robot.base_link, *robot.link_names)
    poses = dict(zip(moving, [np.tile(np.eye(4), (len(q), 1, 1)), *Kinematics(robot).compute_joint_poses(q)], strict=True))
    carriers = {link: index for index, link in enumerate(moving)}
    fixed = [joint for joint in joints if joint.type == "fixed"]
    while fixed:
        joint = next(joint for joint in fixed if joint.parent in poses)
        fixed.remove(joint)
        poses[joint.child] = poses[joint.parent] @ joint.origin
        carriers[joint.child] = carriers[joint.parent]
    return poses, carriers


def test_collision_is_reported_where_bodies_overlap_and_only_there(robot):
    n = 10_000
    q = np.random.default_rng(0).uniform(robot.lower, robot.upper, (n, robot.dof))
    reported = make(robot, n).reset(everyone(n), q).in_collision
    (poses, carriers), shapes = _find_poses(robot, q), _read_shapes(robot)
    clearance = np.full(n, np.inf)
    for link in set(shapes) - {robot.base_link}:
        for origin, *solid in shapes[link]:
            clearance = np.minimum(clearance, _find_lowest(poses[link] @ origin, *solid))
    for first, second in itertools.combinations(shapes, 2):
        if abs(carriers[first] - carriers[second]) <= 1:
            continue
        for (origin_a, *a), (origin_b, *b) in itertools.product(shapes[first], shapes[second]):
            T_a, T_b = poses[first] @ origin_a, poses[second] @ origin_b
            reach = sum(np.linalg.norm(s[1]) for s in (a, b))
            near = (np.linalg.norm(T_a[:, :3, 3] - T_b[:, :3, 3], axis=1) < reach) & (clearance > 0)
            if near.any():
                clearance[near] = np.minimum(clearance[near], _measure_distance(T_a[near], a, T_b[near], b))
    unclear = (clearance > 0) & (clearance < 1e-3)  # projections of touching solids converge slowly
    overlaps = clearance <= 1e-3
    assert unclear.mean() < 0.05
    np.testing.assert_array_equal(reported[~unclear], overlaps[~unclear])
    assert reported.any() or robot.name.startswith("scara")


def test_home_is_free_of_contact(robot):
    assert not make(robot).reset(everyone(), robot.home[None]).in_collision.any()


def test_an_arm_that_presses_on_the_floor_is_held_and_reports_it():
    robot = make_robot("mara")
    backend = make(robot)
    state = backend.reset(everyone(), np.array([[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]]))
    contacts = []
    for _ in range(40):
        target = state.q_setpoint + np.array([0, 1.57 * 0.05, 0, 0, 0, 0])
        state = backend.step(compute_setpoint(state.q_setpoint, target, state.q, robot, robot.control_speed * 0.05))
        contacts.append(state.in_collision[0])
    assert not contacts[0] and all(contacts[-5:])
    lead = (state.q_setpoint - state.q)[0, 1]
    assert 0.02 < lead <= 3 * 1.57 * 0.05 + 0.01
    assert np.abs(state.dq).max() < 0.05


def test_a_contact_between_two_states_is_reported():
    """The collision flag looks at every physics step of the period, not at its end alone."""
    robot = make_robot("mara")
    backend = make(robot, control_dt=1.0)
    q = np.array([[0.0, 1.7, 0.0, 0.0, 0.0, 0.0]])
    state = backend.reset(everyone(), q)
    assert not state.in_collision[0]
    down, free = q + [[0, 0.3, 0, 0, 0, 0]], q
    assert backend.step(down).in_collision[0]
    assert backend.step(free).in_collision[0], "the period began in contact"
    assert not backend.step(free).in_collision[0]


def test_any_number_of_threads_gives_the_same_bits():
    robot = make_robot("mara")
    runs = [np.array([s.q for s in drive_smoothly(make(robot, 33, num_threads=k), seed=1)]) for k in (1, 2, 3)]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, True])
def test_invalid_thread_counts(num_threads):
    with pytest.raises(ValueError, match="num_threads"):
        make(make_robot("mara"), num_threads=num_threads)


def test_an_impossible_state_is_an_error_that_names_the_joint():
    robot = make_robot("mara")
    backend = make(robot, 2)
    state = backend.reset(everyone(2), np.tile(robot.home, (2, 1)))
    broken = backend.get_state()
    broken["dq"][1, 2] = np.nan
    backend.set_state(broken)
    with pytest.raises(BackendError, match=r"Arm 1, joint 'motor\d'.*The simulation is unstable"):
        backend.step(state.q_setpoint)


def test_pictures_show_the_arm_and_its_goal():
    robot = make_robot("mara")
    backend = make(robot)
    backend.reset(everyone(), robot.home[None])
    hidden = backend.render("rgb_array", 160, 120)
    backend.show_goal(np.array([[-0.4, 0.1, 0.3, 1, 0, 0, 0]]))
    shown = backend.render("rgb_array", 160, 120)
    assert shown.shape == (120, 160, 3) and shown.dtype == np.uint8 and shown.std() > 10
    reddish = (shown[..., 0].astype(int) - shown[..., 1] > 60).sum()
    assert reddish > 20 and (hidden[..., 0].astype(int) - hidden[..., 1] > 60).sum() == 0
    backend.reset(everyone(), robot.home[None] + 0.5)
    assert not np.array_equal(shown, backend.render("rgb_array", 160, 120))


def test_wrist_camera_of_every_arm_moves_with_it():
    robot = make_robot("mara")
    backend = make(robot, 2)
    backend.reset(everyone(2), np.array([[0, 0, 0, 0, 0, 0], [0, 1.2, 0.5, 0, 0, 0]]))
    images = backend.camera("wrist", 96, 96)
    assert images.shape == (2, 96, 96, 3) and not np.array_equal(*images)


def test_unknown_camera_and_render_mode():
    backend = make(make_robot("mara"))
    with pytest.raises(UnknownNameError, match="overview, wrist"):
        backend.camera("side", 96, 96)
    with pytest.raises(UnknownNameError, match="human, rgb_array"):
        backend.render("ansi", 96, 96)


def test_no_driver_names_the_package(monkeypatch):
    def refuse(width, height):
        raise ImportError("Cannot initialize a EGL device display")

    monkeypatch.setattr(rendering, "_make_gl_context", refuse)
    backend = make(make_robot("mara"))
    backend.reset(everyone(), backend.robot.home[None])
    with pytest.raises(RenderError, match="apt-get install libegl1"):
        backend.render("rgb_array", 64, 64)


def test_without_a_display_a_window_is_an_error(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    backend = make(make_robot("mara"))
    backend.reset(everyone(), backend.robot.home[None])
    with pytest.warns(Warning), pytest.raises(RenderError, match="rgb_array.*without --gui"):
        backend.render("human", 64, 64)


@pytest.mark.parametrize("ending", ["env.close(); env.close()", "pass"])
def test_a_window_opens_keeps_real_time_and_lets_the_process_end(display, ending):
    code = (
        "import time, gymnasium\n"
        "env = gymnasium.make('MARA-v0', render_mode='human')\n"
        "env.reset(seed=0)\n"
        "start = time.monotonic()\n"
        "for _ in range(20): env.step(env.action_space.sample())\n"
        "assert 0.9 < time.monotonic() - start < 30\n"
        f"{ending}\n"
        "print('done')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | {"DISPLAY": display}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr


def test_missing_window_library_names_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "glfw", None)
    with closing(make(make_robot("mara"))) as backend, pytest.raises(MissingDependencyError, match=r"'glfw'.*\[mujoco\]"):
        backend.render("human", 640, 480)


def test_missing_engine_names_the_install_command(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gym_gazebo2.backends.mujoco")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco.batch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gym_gazebo2\[mujoco\]'"):
        make(make_robot("mara"))
