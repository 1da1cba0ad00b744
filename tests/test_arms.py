"""Real arms, as their makers ship them: they load, keep the backend contract, and move in every part as their URDF says."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest
import yourdfpy

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.mujoco.scene import make_physics_model
from gym_gazebo2.errors import RobotError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import make_robot
from gym_gazebo2.robots.collisions import CollisionModel
from gym_gazebo2.robots.spec import FLOOR
from gym_gazebo2.testing import CHECKS, drive_smoothly

from .arms import ARMS, find_robots, make_arm, make_row

DOFS = {"panda": 7, "xarm7": 7, "so100": 5, "so101": 5, "baxter": 7, "tiago": 8}
"""Joints between root and tool of the arms that do not have six."""


@pytest.fixture(params=ARMS)
def arm(request):
    return make_arm(request.param)


def draw_poses(robot, n, seed=0):
    return np.random.default_rng(seed).uniform(robot.range_lower, robot.range_upper, (n, robot.dof))


def pose(model, data, q):
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)


@pytest.mark.parametrize("name", ARMS)
def test_has_its_joints(name):
    assert make_arm(name).dof == DOFS.get(name, 6)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", ["fake", "mujoco"])
def test_keeps_the_contract(arm, backend, check):
    CHECKS[check](lambda num_envs: make_backend(backend, arm, num_envs=num_envs), 3)


def test_default_step_is_within_2_mrad_of_1_ms(arm):
    def run(physics_dt):
        positions, has_collided = [], np.zeros(16, dtype=bool)
        for state in drive_smoothly(make_backend("mujoco", arm, num_envs=16, physics_dt=physics_dt), seed=5):
            has_collided = has_collided | state.in_collision
            positions.append(np.where(has_collided[:, None], np.nan, state.q))
        return np.array(positions)

    differences = np.abs(run(0.005) - run(0.001)) / arm.scale
    assert np.isfinite(differences).mean() > 0.1
    assert np.nanmax(differences) < 0.002


def test_touches_nothing_at_home(arm):
    model = make_physics_model(arm, 0.005)
    data = mujoco.MjData(model)
    pose(model, data, arm.home)
    assert data.ncon == 0


def test_kinematics_equal_mujocos(arm):
    model, kinematics = make_physics_model(arm, 0.005), Kinematics(arm)
    data, tool = mujoco.MjData(model), model.body(arm.tool_frame).id
    for q in draw_poses(arm, 50):
        pose(model, data, q)
        jacobian = np.zeros((6, arm.dof))
        mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], tool)
        T = kinematics.compute_tcp_pose(q[None])[0]
        np.testing.assert_allclose(T[:3, 3], data.xpos[tool], atol=1e-9)
        np.testing.assert_allclose(T[:3, :3], data.xmat[tool].reshape(3, 3), atol=1e-9)
        np.testing.assert_allclose(kinematics.compute_jacobian(q[None])[0], jacobian, atol=1e-9)


def test_tool_velocity_is_jacobian_times_joint_velocity(arm):
    kinematics, q, dq = Kinematics(arm), draw_poses(arm, 20), draw_poses(arm, 20, seed=1)
    velocity = np.einsum("nij,nj->ni", kinematics.compute_jacobian(q)[:, :3], dq)
    np.testing.assert_allclose(kinematics.compute_tcp_state(q, dq).velocity, velocity, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARMS)
def test_kinematics_are_those_of_the_makers_file(name):
    """The tool moves as in the unchanged URDF: nothing was lost when links were fused and joints held."""
    arm = make_arm(name)
    original = yourdfpy.URDF.load(make_row(name).urdf, load_meshes=False)
    original.update_cfg(dict.fromkeys(original.actuated_joint_names, 0.0))
    for q in draw_poses(arm, 5):
        original.update_cfg(dict(zip(arm.joint_names, q, strict=True)))
        T = original.get_transform(arm.tool_frame, arm.base_link)
        np.testing.assert_allclose(Kinematics(arm).compute_tcp_pose(q[None])[0], T, atol=1e-9)


@pytest.mark.parametrize("name", ARMS)
def test_no_mass_is_lost(name):
    """The bodies that move have the mass of all links beyond the first joint."""
    arm, root = make_arm(name), ET.parse(make_row(name).urdf).getroot()
    parents = {j.find("child").get("link"): j for j in root.findall("joint")}

    def moves(link):
        while link in parents:
            if parents[link].get("name") in arm.joint_names:
                return True
            link = parents[link].find("parent").get("link")
        return False

    masses = {link.get("name"): link.find("inertial/mass") for link in root.findall("link")}
    total = sum(float(mass.get("value")) for link, mass in masses.items() if mass is not None and moves(link))
    model = make_physics_model(arm, 0.005)
    moving = [i for i in range(model.nbody) if model.body_weldid[i]]
    assert model.body_mass[moving].sum() == pytest.approx(total, rel=1e-9)


def test_drive_inertia_is_the_mass_matrix_averaged_over_the_workspace(arm):
    model = make_physics_model(arm, 0.005)
    data, diagonals = mujoco.MjData(model), []
    for q in draw_poses(arm, 500, seed=1):
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        mass = np.zeros((arm.dof, arm.dof))
        mujoco.mj_fullM(model, data, mass)
        diagonals.append(np.diag(mass))
    np.testing.assert_allclose(arm.drive_inertia, np.mean(diagonals, axis=0), rtol=0.15)


def test_contacts_without_a_simulator_equal_mujocos(arm):
    """At most one pair in 200 differs: a cylinder is a prism of 32 sides here."""
    model = make_physics_model(arm, 0.005)
    data, contacts = mujoco.MjData(model), CollisionModel(arm)
    q = draw_poses(arm, 200, seed=7)
    differences = total = 0
    for row, ours in zip(q, contacts.find_contacts(q), strict=True):
        pose(model, data, row)
        theirs = {frozenset(name_geom(model, geom) for geom in contact.geom) for contact in data.contact[: data.ncon]}
        differences += len(theirs ^ {frozenset(pair) for pair, hit in zip(contacts.pairs, ours, strict=True) if hit})
        total += len(theirs)
    assert differences <= total / 200


def name_geom(model, geom):
    return FLOOR if model.geom(geom).name == "floor" else model.body(model.geom_bodyid[geom]).name


def test_a_pair_is_excluded_once_and_for_a_reason(arm):
    pairs = [frozenset((pair.link1, pair.link2)) for pair in arm.excluded_pairs]
    assert len(set(pairs)) == len(pairs) and all(len(pair) == 2 for pair in pairs)
    assert all(pair.reason for pair in arm.excluded_pairs)


@pytest.mark.parametrize("name", ["panda", "z1", "talos"])
def test_home_is_the_srdfs(name):
    arm = make_arm(name)
    path = next(find_robots().joinpath(ARMS[name][0]).parents[1].glob(f"srdf/{name}.srdf"))
    states = [
        {joint.get("name"): float(joint.get("value").split()[0]) for joint in state.findall("joint")}
        for state in ET.parse(path).getroot().iter("group_state")
    ]
    assert any(all(state.get(n) == q for n, q in zip(arm.joint_names, arm.home, strict=True)) for state in states)


def test_a_folded_home_of_an_srdf_is_replaced():
    """In xArm 7's pose "home" the arm is folded: within 0.2 rad of it, a fifth of all poses are collisions in the engine."""
    arm = make_arm("xarm7")
    assert "The pose 'home' of the SRDF is not used as home: motions of 0.2 rad make links touch." in arm.assumptions
    assert arm.assumptions[-1].startswith("Home is the best-conditioned of random poses")
    backend, noise = make_backend("mujoco", arm, num_envs=100), np.random.default_rng(5).uniform(-0.2, 0.2, (100, arm.dof))
    everyone = np.ones(100, dtype=bool)
    assert backend.reset(everyone, np.clip(noise, arm.lower, arm.upper)).in_collision.mean() > 0.1  # the SRDF's is zero
    assert not backend.reset(everyone, arm.home + noise).in_collision.any()
    backend.close()


@pytest.mark.parametrize("how", ["home", "always"])
def test_a_link_in_the_floor_is_refused(how):
    """A row's home in the floor, and TALOS's shoulder without its body: on a pedestal, both load."""
    if how == "home":
        row, height = dataclasses.replace(make_row("ur5"), home=(0.0, 0.5, 0.0, 0.0, 0.0, 0.0)), 1.5
    else:
        row, height = dataclasses.replace(make_row("talos"), mount_height=0.0), 1.0
    with pytest.raises(RobotError, match=r"are in the floor .*, with the base 0 m above it: '.*mount_height") as caught:
        make_robot(row)
    assert "base_link'" not in str(caught.value)
    pairs = make_robot(dataclasses.replace(row, mount_height=height)).excluded_pairs
    assert not any(FLOOR in (pair.link1, pair.link2) for pair in pairs)


def test_a_sampled_home_is_well_conditioned():
    arm = make_arm("ur5")
    kinematics = Kinematics(arm)
    home, random = (
        np.linalg.svd(kinematics.compute_jacobian(q), compute_uv=False) for q in (arm.home[None], draw_poses(arm, 1000))
    )
    assert home[0, -1] / home[0, 0] > np.quantile(random[:, -1] / random[:, 0], 0.75)


@pytest.mark.parametrize("name", ["ur5", "so100", "so101", "xarm7"])
def test_a_sampled_home_faces_the_middle_of_the_workspace(name):
    """The first joint does not change the condition of the Jacobian, so it is in the middle of its range."""
    arm = make_arm(name)
    assert arm.home[0] == pytest.approx(0.5 * (arm.range_lower[0] + arm.range_upper[0]))
    assert CollisionModel(arm).is_free(arm.home, 5e-3)[0]


def test_a_sampled_home_is_the_same_in_every_process():
    row = make_row("ur5")
    program = (
        "from gym_gazebo2.robots import RobotRow, make_robot\n"
        f"print(make_robot(RobotRow({row.urdf!r}, tool_frame={row.tool_frame!r})).home.tobytes().hex())"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.strip() == make_arm("ur5").home.tobytes().hex()


def test_pictures_show_the_meshes():
    """The picture of a Panda is mostly white where the arm is, and differs from the floor's."""
    panda = make_arm("panda")
    backend = make_backend("mujoco", panda)
    backend.reset(np.ones(1, dtype=bool), panda.home[None])
    picture = backend.render("rgb_array", 320, 240)
    backend.close()
    assert (picture.min(axis=2) > 235).sum() > 500
