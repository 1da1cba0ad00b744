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
    np.testing.assert_allclose(robot.drive_inertia, np.mean(diagonals, axis=0), rtol=0.15)


def test_unknown_robot_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no robot 'mra'\. Did you mean 'mara'\? Available: mara, scara, scara4"):
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
        with pytest.raises(ValueError, match="not yet in use"):
            register_robot("test_arm", RobotRow("mara.urdf"))
    finally:
        del ROBOTS["test_arm"]


BAD = {
    "missing": (None, "does not exist.*mara.urdf"),
    "no XML": ("<robot", "malformed"),
    "number that is none": (MARA.replace('radius="0.05"', 'radius="wide"'), "malformed"),
    "no tool frame": (MARA.replace("ee_link", "hand"), "no tool frame 'ee_link'.*hand"),
    "no limits": (re.sub(r'<limit lower="-2.35"[^>]*/>', "", MARA), "Joint 'motor2'.*expected.*<limit"),
    "limits without effort": (MARA.replace('effort="69"', ""), "Joint 'motor3'"),
    "limits upside down": (MARA.replace('lower="-2.35" upper="2.35"', 'lower="2.35" upper="-2.35"'), "Joint 'motor2'"),
    "continuous joint": (
        MARA.replace('name="motor1" type="revolute"', 'name="motor1" type="continuous"'),
        "'continuous'.*'revolute'",
    ),
    "sliding joint": (
        MARA.replace('name="motor1" type="revolute"', 'name="motor1" type="prismatic"'),
        "'prismatic'.*'revolute'",
    ),
    "nothing that moves": (MARA.replace('type="revolute"', 'type="fixed"'), "no moving joint"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_urdf_says_what_is_wrong(what, tmp_path):
    text, message = BAD[what]
    path = tmp_path / "arm.urdf"
    if text is not None:
        assert text != MARA
        path.write_text(text)
    with pytest.raises(RobotError, match=message):
        load_robot("bad", RobotRow(str(path)))


@pytest.mark.parametrize(
    "row",
    [RobotRow("mara.urdf", home=(0.0,)), RobotRow("mara.urdf", home=(9.0,) * 6), RobotRow("mara.urdf", control_speed=9.0)],
)
def test_row_that_does_not_fit_its_urdf(row):
    with pytest.raises(ValueError, match="expected"):
        load_robot("bad", row)
