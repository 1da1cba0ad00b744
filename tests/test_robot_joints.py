"""Joints as they come: prismatic, continuous, held, followers; limits and inertias that the row or a fixed joint provides."""

from __future__ import annotations

import re

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.backends.mujoco.scene import make_physics_model
from gym_gazebo2.controls import CONTROLS
from gym_gazebo2.errors import InvalidArgumentError, RobotError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotRow, RobotSpec, find_urdf, load_robot
from gym_gazebo2.robots.motion import JointMotion
from gym_gazebo2.testing import check_backend

INERTIAL = '<inertial><mass value="{0}"/><inertia ixx="{1}" ixy="0" ixz="0" iyy="{1}" iyz="0" izz="{1}"/></inertial>'
LINK = INERTIAL.format(1, 0.01)
URDF = f"""<robot name="lab">
  <link name="base"/><link name="carriage">{LINK}</link><link name="upper">{LINK}</link><link name="wrist"/>
  <link name="hand">{LINK}<collision><geometry><box size="0.04 0.04 0.04"/></geometry></collision></link>
  <link name="tool"/>
  <link name="left">{INERTIAL.format(0.1, 1e-5)}<collision><geometry><sphere radius="0.01"/></geometry></collision></link>
  <link name="right">{INERTIAL.format(0.1, 1e-5)}<collision><geometry><sphere radius="0.01"/></geometry></collision></link>
  <joint name="lift" type="prismatic"><parent link="base"/><child link="carriage"/><axis xyz="0 0 2"/>
    <limit lower="0.4" upper="0.9" velocity="0.3" effort="300"/></joint>
  <joint name="turn" type="continuous"><parent link="carriage"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit velocity="2" effort="50"/></joint>
  <joint name="bend" type="revolute"><parent link="upper"/><child link="wrist"/><origin xyz="0.3 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="2" velocity="2" effort="50"/></joint>
  <joint name="flange" type="fixed"><parent link="wrist"/><child link="hand"/>
    <origin xyz="0.1 0 0" rpy="0 1.5707963 0"/></joint>
  <joint name="tip" type="fixed"><parent link="hand"/><child link="tool"/><origin xyz="0 0 0.2"/></joint>
  <joint name="finger" type="prismatic"><parent link="hand"/><child link="left"/><origin xyz="0 0.02 0.1"/><axis xyz="0 1 0"/>
    <limit lower="0.005" upper="0.04" velocity="0.1" effort="10"/></joint>
  <joint name="follower" type="prismatic"><parent link="hand"/><child link="right"/><origin xyz="0 -0.02 0.1"/>
    <axis xyz="0 1 0"/>
    <limit lower="-0.04" upper="0" velocity="0.1" effort="10"/><mimic joint="finger" multiplier="-1" offset="-0.002"/></joint>
</robot>
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a text with the values of a row."""

    def load(text: str = URDF, srdf: str | None = None, **row) -> RobotSpec:
        (tmp_path / "lab.urdf").write_text(text)
        if srdf is not None:
            (tmp_path / "lab.srdf").write_text(srdf)
        load_robot.cache_clear()  # rows are equal, but the file behind them has changed
        return load_robot("lab", RobotRow(str(tmp_path / "lab.urdf"), tool_frame="tool", **row))

    return load


def change(name: str, pattern: str, replacement: str) -> str:
    """Return the URDF with the first match of a pattern behind a name replaced."""
    start = URDF.index(f'name="{name}"')
    text = URDF[:start] + re.sub(pattern, replacement, URDF[start:], count=1)
    assert text != URDF
    return text


def find_shape(robot: RobotSpec, link: str) -> np.ndarray:
    """Return where the shape of a link is at the home pose, in the tool's frame [m]."""
    model = make_physics_model(robot, 0.005)
    data = mujoco.MjData(model)
    data.qpos[:] = robot.home
    mujoco.mj_kinematics(model, data)
    tool, body = model.body("tool").id, model.body(link).id
    return data.xmat[tool].reshape(3, 3).T @ (data.geom_xpos[model.body_geomadr[body]] - data.xpos[tool])


def test_joints_of_every_kind(load):
    robot = load()
    assert robot.joint_names == ("lift", "turn", "bend")
    np.testing.assert_array_equal(robot.is_prismatic, [True, False, False])
    np.testing.assert_array_equal(robot.is_continuous, [False, True, False])
    np.testing.assert_allclose(robot.scale, [0.5, 1, 1])
    np.testing.assert_allclose(robot.upper, [0.9, 8 * np.pi, 2])
    np.testing.assert_allclose(robot.range_upper, [0.9, np.pi, 2])
    np.testing.assert_allclose(robot.axis[0], [0, 0, 1])


@pytest.mark.parametrize("backend", ["fake", "mujoco"])
def test_keeps_the_contract(load, backend):
    robot = load()
    check_backend(lambda num_envs: make_backend(backend, robot, num_envs=num_envs))


def test_jacobian_of_a_prismatic_joint(load):
    J = Kinematics(load()).compute_jacobian([[0.5, 0.3, 0.2]])[0]
    np.testing.assert_allclose(J[:, 0], [0, 0, 1, 0, 0, 0], atol=1e-12)


def test_a_goal_in_reach_of_a_prismatic_joint_is_found(load):
    kinematics = Kinematics(load())
    p = kinematics.compute_tcp_pose([[0.85, 2.0, 1.5]])[0, :3, 3]
    assert kinematics.compute_distance_to_reach(p) < 1e-4
    assert np.linalg.norm(p) < kinematics.compute_reach()


def test_a_continuous_joint_turns_on_and_the_observation_wraps(load):
    robot = load(home=(0.5, 3.0, 0.5))
    env = gym.make("SCARA-v0", robot=robot, max_episode_steps=1000)
    env.reset(seed=0)
    for _ in range(60):
        observation, *_ = env.step(np.array([0.0, 1.0, 0.0], dtype=np.float32))
    core = env.unwrapped.core
    q = core.arm.q[0, 1]
    assert q > 3 * np.pi / 2
    assert observation[1] == pytest.approx((q + np.pi) % (2 * np.pi) - np.pi, abs=1e-5)
    assert env.observation_space.contains(observation) and env.observation_space.high[1] < 4
    env.close()


def test_position_control_spans_one_turn_of_a_continuous_joint(load):
    robot = load()
    ends = [CONTROLS["position"].compute_target(np.full((1, 3), a), None, None, Kinematics(robot), None)[0] for a in (-1, 1)]
    np.testing.assert_allclose(ends, [[0.4, -np.pi, -1], [0.9, np.pi, 2]])


def test_start_noise_is_a_share_of_the_stroke(load):
    robot = load(home=(0.65, 0.0, 0.5))
    env = gym.make("SCARA-v0", robot=robot, start_noise=0.1)
    starts = []
    for seed in range(200):
        env.reset(seed=seed)
        starts.append(env.unwrapped.core.arm.q[0] - robot.home)
    env.close()
    np.testing.assert_allclose(np.abs(starts).max(axis=0), [0.05, 0.1, 0.1], rtol=0.1)


HELD = {
    "zero, clipped": ({}, None, 0.005),
    "the row's": ({"held": {"finger": 0.03}}, None, 0.03),
    "the SRDF's": ({}, 0.02, 0.02),
    "the row's before the SRDF's": ({"held": {"finger": 0.03}}, 0.02, 0.03),
}


@pytest.mark.parametrize("case", HELD)
def test_fingers_are_held_and_followers_follow(load, case):
    row, in_srdf, position = HELD[case]
    joints = "".join(
        f'<joint name="{n}" value="{q}"/>' for n, q in {"lift": 0.6, "turn": 0, "bend": 0.5, "finger": in_srdf}.items()
    )
    srdf = f'<robot name="lab"><group_state name="home">{joints}</group_state></robot>'
    robot = load(srdf=None if in_srdf is None else srdf, **row)
    assert any(f"finger at {position:g} m" in assumption for assumption in robot.assumptions)
    # The tool is 0.2 m above the hand's origin, the fingers 0.1 m; both move along the hand's y.
    np.testing.assert_allclose(find_shape(robot, "left"), [0, 0.02 + position, -0.1], atol=1e-6)
    np.testing.assert_allclose(find_shape(robot, "right"), [0, -0.02 - position - 0.002, -0.1], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (change("follower", 'mimic joint="finger"', 'mimic joint="bend"'), "'follower'.*mimics 'bend'.*driven or missing"),
        (change("follower", 'mimic joint="finger"', 'mimic joint="nothing"'), "'follower'.*mimics 'nothing'"),
        (change("finger", "<axis", '<mimic joint="follower"/><axis'), "mimics.*follows it in turn"),
    ],
)
def test_a_follower_without_a_held_master(load, text, message):
    with pytest.raises(RobotError, match=message):
        load(text)


@pytest.mark.parametrize("held", [{"turn": 0.0}, {"nothing": 0.0}, {"finger": 0.5}])
def test_only_joints_beside_the_chain_are_held_within_their_limits(load, held):
    with pytest.raises(InvalidArgumentError, match="held"):
        load(held=held)


@pytest.mark.parametrize("option", ["velocity_limit", "effort_limit"])
@pytest.mark.parametrize("given", ["0", None])
def test_a_missing_limit_comes_from_the_row(load, option, given):
    key = option.removesuffix("_limit")
    text = change("bend", f'{key}="[0-9]*"', "" if given is None else f'{key}="{given}"')
    with pytest.raises(RobotError, match=f"Joint 'bend' .* {key} limit.*{option}"):
        load(text)
    np.testing.assert_allclose(getattr(load(text, **{option: 1.5}), option)[1:], [getattr(load(), option)[1], 1.5])
    np.testing.assert_allclose(getattr(load(**{option: {"turn": 1.5}}), option)[1], 1.5)
    with pytest.raises(InvalidArgumentError, match=option):
        load(text, **{option: -1.0})
    with pytest.raises(InvalidArgumentError, match=f"{option} is 'elbow'"):
        load(text, **{option: {"elbow": 1.0}})


def test_rotors_come_from_the_row_the_urdf_or_the_links(load):
    assumed = load()
    assert np.all(assumed.rotor_inertia > 0) and any("rotor" in assumption for assumption in assumed.assumptions)
    motor = "<mechanicalReduction>10</mechanicalReduction><rotorInertia>0.002</rotorInertia>"
    urdf = URDF.replace(
        "</robot>", f'<transmission><joint name="turn"/><actuator name="a">{motor}</actuator></transmission></robot>'
    )
    assert load(urdf).rotor_inertia[1] == pytest.approx(0.2)
    np.testing.assert_allclose(load(urdf, rotor_inertia=0.3).rotor_inertia, [0.3, 0.2, 0.3])
    np.testing.assert_allclose(load(urdf, rotor_inertia={"turn": 0.4}).rotor_inertia[1], 0.4)
    given = load(urdf, rotor_inertia=0.3)
    assert not any("rotor" in assumption for assumption in given.assumptions)


def test_speed_is_what_the_drives_can_follow(load):
    weak = load(change("bend", 'effort="50"', 'effort="0.3"'))
    assert weak.control_speed[2] < 0.5 < load().control_speed[2]
    np.testing.assert_allclose(load(control_speed=1.0).control_speed, [0.3, 1.0, 1.0])


def test_links_without_a_proper_inertia_are_fused(load):
    """The wrist has none and moves, but the hand that is fixed to it has one; a sensor's inertia of zero counts as a point."""
    sensor = f'<link name="sensor">{INERTIAL.format(0.5, 0)}</link>'
    bracket = '<joint name="s" type="fixed"><parent link="hand"/><child link="sensor"/><origin xyz="0.1 0 0"/></joint>'
    robot = load(URDF.replace("</robot>", f"{sensor}{bracket}</robot>"))
    model = make_physics_model(robot, 0.005)
    assert model.body("wrist").mass == pytest.approx(1 + 0.5 + 2 * 0.1)
    assert sum(model.body_mass) == pytest.approx(3 + 0.5 + 0.2)
    with pytest.raises(RobotError, match="Link 'upper' .*joint 'turn' moves it"):
        load(change("upper", 'ixx="0.01"', 'ixx="0"'))
    with pytest.raises(RobotError, match="Link 'wrist' .*no mass.*joint 'bend' moves it"):
        load(strip_hand())


def strip_hand() -> str:
    start = URDF.index('name="hand"')
    return URDF[:start] + re.sub("<inertial>.*?</inertial>", "", URDF[start:])


def test_friction_is_left_to_the_drive(load):
    robot = load(change("turn", "<axis", '<dynamics damping="5" friction="3"/><axis'))
    model = make_physics_model(robot, 0.005)
    assert not model.dof_damping.any() and not model.dof_frictionloss.any()


def test_mount_height_lowers_the_floor(load):
    text = change("lift", 'lower="0.4"', 'lower="-0.4"')
    low, high = load(text, home=(0.3, 0.0, 0.0)), load(text, home=(0.3, 0.0, 0.0), mount_height=1.0)
    q = np.array([[-0.4, 0.0, 1.5]])
    for robot, touches in ((low, True), (high, False)):
        state = make_backend("mujoco", robot).reset(np.ones(1, dtype=bool), q)
        assert state.in_collision[0] == touches
    with pytest.raises(InvalidArgumentError, match="mount_height"):
        load(mount_height=-1.0)


SRDF = """<robot name="lab">
  <group_state name="zero">
    <joint name="lift" value="0.5"/><joint name="turn" value="0"/><joint name="bend" value="0"/>
  </group_state>
  <group_state name="home">
    <joint name="lift" value="0.6"/><joint name="turn" value="1"/><joint name="bend" value="0.5"/>
  </group_state>
  <group_state name="part"><joint name="lift" value="0.7"/></group_state>
  <disable_collisions link1="left" link2="carriage" reason="Never"/><disable_collisions link1="gone" link2="left"/>
</robot>"""


def test_home_and_pairs_come_from_the_srdf(load):
    robot = load(srdf=SRDF)
    np.testing.assert_allclose(robot.home, [0.6, 1.0, 0.5])
    reasons = {(pair.link1, pair.link2): pair.reason for pair in robot.excluded_pairs}
    assert reasons["left", "carriage"] == "disabled in the SRDF (Never)" and not any("gone" in pair for pair in reasons)
    assert load(srdf=SRDF.replace('value="1"', 'value="nan"')).home[1] == 0.0  # the pose "home" is invalid, "zero" is next
    assert not np.allclose(load(srdf=SRDF, home=(0.5, 0.1, 0.2)).home, [0.6, 1.0, 0.5])


def test_a_malformed_srdf_is_named(load, tmp_path):
    with pytest.raises(RobotError, match=r"lab\.srdf"):
        load(srdf="<robot")
    assert (tmp_path / "lab.srdf").is_file()
    assert load_robot("without", RobotRow(str(tmp_path / "lab.urdf"), tool_frame="tool", srdf="")).dof == 3


def test_pairs_that_touch_at_home_are_excluded(load):
    block = '<collision><origin xyz="0.3 0 0"/><geometry><box size="0.2 0.2 0.2"/></geometry></collision>'
    text = URDF.replace(f'<link name="carriage">{LINK}', f'<link name="carriage">{LINK}{block}')
    touching, free = load(text, home=(0.5, 0.0, 0.0)), load(text, home=(0.5, 2.0, 0.0))
    pairs = {frozenset((pair.link1, pair.link2)): pair.reason for pair in touching.excluded_pairs}
    assert pairs[frozenset(("carriage", "hand"))] == "in touch at home"
    assert frozenset(("carriage", "hand")) not in {frozenset((p.link1, p.link2)) for p in free.excluded_pairs}
    for robot, expected in ((touching, False), (free, True)):
        state = make_backend("mujoco", robot).reset(np.ones(1, dtype=bool), np.array([[0.5, 0.0, 0.0]]))
        assert state.in_collision[0] == expected


def test_pairs_that_nearly_always_touch_are_excluded(load):
    ball = '<collision><geometry><sphere radius="0.39"/></geometry></collision>'
    robot = load(URDF.replace(f'<link name="carriage">{LINK}', f'<link name="carriage">{LINK}{ball}'))
    reasons = [p.reason for p in robot.excluded_pairs if {p.link1, p.link2} == {"carriage", "hand"}]
    assert len(reasons) == 1 and re.fullmatch(r"in touch in \d+ % of random poses", reasons[0])


def test_built_in_arms_exclude_neighbours_only(robot):
    assert {pair.reason for pair in robot.excluded_pairs} == {"neighbours"}
    if robot.name == "panda":  # its fingers are held, in a copy of the URDF
        assert robot.assumptions == ("Held joints: panda_finger_joint1 at 0.02 m, panda_finger_joint2 at 0.02 m.",)
        return
    assert not robot.assumptions and robot.urdf == str(find_urdf(f"{robot.name}.urdf"))


@pytest.mark.parametrize("tool_frame", [None, "missing"])
def test_the_tool_frame(load, tmp_path, tool_frame):
    (tmp_path / "other.urdf").write_text(URDF)
    with pytest.raises(RobotError, match="tool, left, right|no joint that leads to the tool frame 'missing'.*hand"):
        load_robot("other", RobotRow(str(tmp_path / "other.urdf"), tool_frame=tool_frame))
    (tmp_path / "other.urdf").write_text(URDF.replace('"tool"', '"tool0"'))
    assert load_robot("usual", RobotRow(str(tmp_path / "other.urdf"))).tool_frame == "tool0"


def test_joint_poses_equal_those_of_single_joints(load):
    """The pose of each joint is the product of the offsets and motions before it."""
    robot = load()
    q = np.array([0.55, 2.5, -0.4])
    T = np.eye(4)
    for i, pose in enumerate(JointMotion(robot).compute_joint_poses(q[None])):
        motion = np.eye(4)
        if robot.is_prismatic[i]:
            motion[:3, 3] = q[i] * robot.axis[i]
        else:
            x, y, z = robot.axis[i]
            K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            motion[:3, :3] += np.sin(q[i]) * K + (1 - np.cos(q[i])) * K @ K
        T = T @ robot.T_joint_to_parent[i] @ motion
        np.testing.assert_allclose(pose[0], T, atol=1e-14)
