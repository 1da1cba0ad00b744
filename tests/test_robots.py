import re

import numpy as np
import pytest

from gym_gazebo2.errors import RobotError, UnknownNameError
from gym_gazebo2.robots import ROBOTS, RobotRow, find_urdf, load_robot, make_robot, register_robot

MARA = find_urdf("mara.urdf").read_text()


def test_mara_has_the_makers_numbers():
    robot = make_robot("mara")
    assert robot.joint_names == tuple(f"motor{i}" for i in range(1, 7))
    assert robot.base_link == "base_robot" and robot.tool_frame == "ee_link"
    np.testing.assert_allclose(robot.upper, [3.1416, 2.35, 2.61, 3.14, 2.56, 3.14])
    np.testing.assert_allclose(robot.effort_limit, [104, 104, 69, 69, 34, 34])
    np.testing.assert_allclose(robot.velocity_limit, 1.57)
    np.testing.assert_array_equal(robot.home, 0.0)


def test_scara_trains_slower_than_its_joints_can():
    robot = make_robot("scara")
    np.testing.assert_allclose(robot.velocity_limit, 10.0)
    np.testing.assert_allclose(robot.control_speed, 1.57)


def test_spec_is_read_only(robot):
    with pytest.raises(ValueError, match="read-only"):
        robot.home[0] = 1.0


def test_drive_inertia_exceeds_the_rotors(robot):
    assert np.all(robot.rotor_inertia > 0) and np.all(robot.drive_inertia > robot.rotor_inertia)


def test_drive_inertia_is_the_mass_matrix_averaged_over_the_workspace(robot):
    import mujoco

    from gym_gazebo2.backends.mujoco.scene import make_physics_model

    model = make_physics_model(robot, 0.005)
    data, diagonals = mujoco.MjData(model), []
    for q in np.random.default_rng(1).uniform(robot.lower, robot.upper, (500, robot.dof)):
        data.qpos[:] = q
        mujoco.mj_forward(model, data)
        mass = np.zeros((robot.dof, robot.dof))
        mujoco.mj_fullM(model, data, mass)
        diagonals.append(np.diag(mass))
    # drive_inertia averages 32 poses. The inertia about Panda's third joint depends most on the pose.
    np.testing.assert_allclose(robot.drive_inertia, np.mean(diagonals, axis=0), rtol=0.3 if robot.name == "panda" else 0.15)


def test_unknown_robot_names_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"no robot 'mra'\. Did you mean 'mara'\? Available: mara, panda, .*scara, scara4, ur5e"
    ):
        make_robot("mra")


def test_a_robot_is_one_urdf_and_one_row(tmp_path):
    path = tmp_path / "arm.urdf"
    path.write_text(MARA)
    row = RobotRow(str(path), home=(0.0, 0.5, 0.0, 0.0, 0.0, 0.0), control_speed=1.0)
    register_robot("test_arm", row)
    try:
        robot = make_robot("test_arm")
        assert robot.name == "test_arm" and robot.home[1] == 0.5 and np.all(robot.control_speed == 1.0)
        register_robot("test_arm", row)
        register_robot("mara", ROBOTS["mara"])
        with pytest.raises(ValueError, match="not yet in use"):
            register_robot("test_arm", RobotRow("mara.urdf"))
    finally:
        del ROBOTS["test_arm"]


def test_a_relative_path_is_that_of_the_registration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.urdf").write_text(MARA)
    register_robot("own_arm", RobotRow("own.urdf"))
    try:
        monkeypatch.chdir("/")
        assert make_robot("own_arm").urdf == str(tmp_path / "own.urdf")
    finally:
        del ROBOTS["own_arm"]


@pytest.mark.parametrize("urdf", ["own.urdf", "folder/own.urdf"])
def test_a_path_that_does_not_exist_is_named_as_it_was_given(urdf):
    with pytest.raises(RobotError, match=f"^The URDF '{urdf}' does not exist"):
        register_robot("own_arm", RobotRow(urdf))
    assert "own_arm" not in ROBOTS


JOINT = '<joint name="{}" type="fixed"><parent link="{}"/><child link="{}"/></joint></robot>'


def add_joint(name, parent, child):
    return MARA.replace("</robot>", JOINT.format(name, parent, child))


def change_joint(name, pattern, replacement):
    """Return MARA with the first match of a pattern inside a joint replaced."""
    start = MARA.index(f'<joint name="{name}" type=')
    return MARA[:start] + re.sub(pattern, replacement, MARA[start:], count=1)


BAD = {
    "missing": (None, "does not exist.*mara.urdf"),
    "not XML": ("<robot", "malformed"),
    "a word in place of a number": (MARA.replace('radius="0.05"', 'radius="wide"'), "malformed"),
    "no limits": (re.sub(r'<limit lower="-2.35"[^>]*/>', "", MARA), "Joint 'motor2'.*expected.*<limit"),
    "limits without effort": (MARA.replace('effort="69"', ""), "Joint 'motor3'"),
    "lower limit above the upper": (MARA.replace('lower="-2.35" upper="2.35"', 'lower="2.35" upper="-2.35"'), "Joint 'motor2'"),
    "floating joint": (
        MARA.replace('name="motor1" type="revolute"', 'name="motor1" type="floating"'),
        "Joint 'motor1'.*'floating'.*'revolute'",
    ),
    "joint of an unknown type": (
        MARA.replace('name="motor1" type="revolute"', 'name="motor1" type="screw"'),
        "Joint 'motor1'.*'screw'.*revolute",
    ),
    "coupled joint": (
        change_joint("motor3", r"<axis ", '<mimic joint="motor2"/><axis '),
        "Joint 'motor3'.*mimics 'motor2'.*not supported",
    ),
    "missing parent link": (
        MARA.replace('<parent link="motor1_link"/>', '<parent link="arm"/>'),
        "Joint 'motor2'.*'arm'.*base_robot",
    ),
    "missing child link": (MARA.replace('<child link="motor3_link"/>', '<child link="arm"/>'), "Joint 'motor3'.*'arm'"),
    "loop": (
        MARA.replace('<parent link="base_robot"/>', '<parent link="motor3_link"/>'),
        "arm.urdf.*loop of the links .*motor1_link - motor2_link - motor3_link",
    ),
    "two parents": (
        add_joint("other", "base_robot", "motor3_link"),
        "'motor3_link' .*child of two joints, 'motor3' and 'other'",
    ),
    "two roots": (MARA.replace("</robot>", '<link name="alone"/></robot>'), "root links base_robot, alone, expected one"),
    "joints of one name": (
        MARA.replace("</robot>", '<link name="more"/></robot>').replace(
            "</robot>", JOINT.format("motor2", "base_robot", "more")
        ),
        "several joints of the name motor2",
    ),
    "links of one name": (
        MARA.replace("</robot>", '<link name="motor2_link"/></robot>'),
        "several links of the name motor2_link",
    ),
    "axis zero": (change_joint("motor2", r"<axis [^>]*>", '<axis xyz="0 0 0"/>'), r"Joint 'motor2' .*axis \[0.0, 0.0, 0.0\]"),
    "axis of two numbers": (change_joint("motor2", r"<axis [^>]*>", '<axis xyz="0 1"/>'), "Joint 'motor2' .*axis"),
    "axis of NaN": (change_joint("motor2", r"<axis [^>]*>", '<axis xyz="0 nan 1"/>'), "Joint 'motor2' .*axis"),
    "limits equal": (MARA.replace('lower="-2.35"', 'lower="2.35"'), "Joint 'motor2'.*lower < upper"),
    "limits infinite": (MARA.replace('lower="-2.35"', 'lower="-inf"'), "Joint 'motor2'.*all finite"),
    "speed zero": (change_joint("motor2", r'velocity="[^"]*"', 'velocity="0"'), "Joint 'motor2'.*velocity_limit"),
    "speed negative": (change_joint("motor2", r'velocity="[^"]*"', 'velocity="-1"'), "Joint 'motor2'.*others positive"),
    "speed infinite": (change_joint("motor2", r'velocity="[^"]*"', 'velocity="inf"'), "Joint 'motor2'.*all finite"),
    "effort zero": (change_joint("motor2", r'effort="[^"]*"', 'effort="0"'), "Joint 'motor2'.*effort_limit"),
    "effort negative": (change_joint("motor2", r'effort="[^"]*"', 'effort="-5"'), "Joint 'motor2'.*others positive"),
    "effort of NaN": (change_joint("motor2", r'effort="[^"]*"', 'effort="nan"'), "Joint 'motor2'.*all finite"),
    "origin of NaN": (
        change_joint("motor2", r'<origin xyz="[^"]*"', '<origin xyz="0 0 nan"'),
        "Joint 'motor2' .*<origin> with xyz='0 0 nan'",
    ),
    "negative mass": (MARA.replace('mass value="1.24"', 'mass value="-1.24"'), "Link 'motor2_link' .*mass of -1.24 kg"),
    "mass of NaN": (MARA.replace('mass value="1.24"', 'mass value="nan"'), "Link 'motor2_link' .*mass of nan"),
    "negative inertia": (MARA.replace('ixx="0.00796148"', 'ixx="-0.00796148"'), "Link 'motor2_link' .*positive definite"),
    "inertia not positive definite": (
        MARA.replace('ixz="0.0003203"', 'ixz="0.3"'),
        "Link 'motor2_link' .*positive definite",
    ),
    "mass without inertia": (
        re.sub(r'<inertia ixx="0.00796148"[^>]*/>', "", MARA),
        "Link 'motor2_link' .*mass of 1.24 kg .*positive definite",
    ),
    "negative rotor": (
        MARA.replace("<rotorInertia>", "<rotorInertia>-", 1),
        "transmission of 'motor1'.*rotor inertia of -",
    ),
    "no moving joint": (MARA.replace('type="revolute"', 'type="fixed"'), "no moving joint"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_urdf_is_refused_with_its_fault(fault, tmp_path):
    text, message = BAD[fault]
    path = tmp_path / "arm.urdf"
    if text is not None:
        assert text != MARA
        path.write_text(text)
    with pytest.raises(RobotError, match=message) as caught:
        load_robot("bad", RobotRow(str(path)))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [RobotRow("mara.urdf", home=(0.0,)), RobotRow("mara.urdf", home=(9.0,) * 6), RobotRow("mara.urdf", control_speed=9.0)],
)
def test_row_that_does_not_fit_its_urdf(row):
    with pytest.raises(ValueError, match="expected"):
        load_robot("bad", row)
