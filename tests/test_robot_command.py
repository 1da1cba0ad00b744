"""gym-gazebo2 robot: what an arm's file holds, and what to do where it cannot be used."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import trimesh
from PIL import Image

from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.settings.env_keywords import find_env_robot
from gym_gazebo2.cli import load_command, main
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.robots import find_urdf, load_robot, make_robot, store_robot

from .arms import ARMS, find_robots, make_row
from .pincer import URDF as PINCER
from .test_urdf_fuzz import SMALL, mutate

UR5E = find_urdf("ur5e.urdf").read_text()
MESH = '<geometry><mesh filename="package://my_arm/meshes/link.stl"/></geometry>'


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """A cache of the test's own, no ROS around it, and a small terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("AMENT_PREFIX_PATH", "ROS_PACKAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    load_robot.cache_clear()
    yield
    load_robot.cache_clear()


def examine(capsys, *words):
    """Return the exit status, and what the command says as JSON."""
    status = main(["robot", *map(str, words), "--json"])
    return status, json.loads(capsys.readouterr().out)


def get_finding(result, name):
    return next(finding for finding in result["findings"] if finding["name"] == name)


@pytest.mark.parametrize(
    ("name", "dof", "mass_kg", "fingers"),
    # Masses of all moving links, in the makers' files.
    [("ur5", 6, 17.0, 0), ("panda", 7, 17.5, 2), ("so101", 5, None, 1), ("tiago", 8, None, 0)],
)
def test_an_arm_as_its_maker_ships_it(capsys, name, dof, mass_kg, fingers):
    file, tool_frame, _ = ARMS[name]
    status, result = examine(capsys, find_robots() / file, "--tool-frame", tool_frame)
    facts, row = result["robot"], make_row(name)
    assert status == 0 and result["is_usable"] and {finding["state"] for finding in result["findings"]} == {"ok"}, result
    assert len(facts["joints"]) == dof + fingers and (facts["gripper"] is not None) == (fingers > 0)
    assert facts["chain"][-1] == facts["tool_frame"] == tool_frame and facts["chain"][0] == facts["base_link"]
    assert mass_kg is None or sum(facts["masses"].values()) == pytest.approx(mass_kg, rel=0.02)
    assert 0.0 < result["fidelity"] < 0.02 and 0.2 < facts["reach"] < 2.0
    assert np.linalg.norm(facts["home_tool"]) < facts["reach"] + 0.1 and 0.0 < facts["free_share"] <= 1.0
    pairs = {frozenset((pair["link1"], pair["link2"])) for pair in facts["excluded_pairs"]}
    assert pairs and pairs.isdisjoint(map(frozenset, facts["checked_pairs"]))
    # The command that is printed trains the same arm.
    words = shlex.split(result["command"])
    config = resolve(load_command("train").parse(words[2:], "train").settings)
    robot = find_env_robot(config.env, config.make_kwargs)
    assert robot.home.tolist() == [joint["home"] for joint in facts["joints"]][:dof]
    assert robot.tool_frame == row.tool_frame and list(robot.assumptions)[-1] in facts["assumptions"]


def test_kinds_and_limits_are_those_of_the_file(capsys):
    path = find_robots() / ARMS["jaco2"][0]
    _, result = examine(capsys, path, "--tool-frame", ARMS["jaco2"][1])
    joints = {joint.get("name"): joint for joint in ET.parse(path).getroot().findall("joint")}
    for joint in result["robot"]["joints"]:
        element = joints[joint["name"]]
        assert joint["kind"] == element.get("type")
        if joint["kind"] != "continuous":
            assert joint["lower"] == pytest.approx(float(element.find("limit").get("lower")))
        assert joint["control_speed"] <= joint["velocity_limit"]


@pytest.mark.parametrize(("name", "joint"), [("so100", "gripper"), ("z1", "jointGripper")])
def test_a_jaw_at_the_end_of_the_only_chain_is_no_joint_of_the_arm(capsys, name, joint):
    path = find_robots() / ARMS[name][0]
    status, result = examine(capsys, path)
    finding = get_finding(result, "gripper")
    assert status == 0 and finding["state"] == "poor" and joint in finding["found"]
    assert finding["remedy"].endswith(f"--tool-frame {ARMS[name][1]}")
    status, result = examine(capsys, path, "--tool-frame", ARMS[name][1])
    assert status == 0 and result["robot"]["gripper"]["joint_names"] == [joint]


def test_the_command_is_written_for_people(capsys, tmp_path):
    (tmp_path / "arm.urdf.xacro").write_text(write_xacro(tmp_path))
    words = ["--xacro-arg", "effort:=150.0", "--package-dir", str(tmp_path), "--env.home", "[0,-1.5,1.5,0,0,0]"]
    words += ["--physics-dt", "0.0025"]
    _, result = examine(capsys, tmp_path / "arm.urdf.xacro", *words)
    assert "--env.robot_options.xacro_args.effort 150.0 " in result["command"]
    config = resolve(load_command("train").parse(shlex.split(result["command"])[2:], "train").settings)
    options = config.make_kwargs["robot_options"]
    assert config.make_kwargs["home"] == [0, -1.5, 1.5, 0, 0, 0] and options["package_dirs"] == [str(tmp_path)]
    assert config.make_kwargs["backend_options"] == {"physics_dt": 0.0025}


@pytest.mark.parametrize(("words", "state"), [([], "poor"), (["--env.robot_options.gripper.joints", "['no_joint']"], "broken")])
def test_an_arm_can_be_used_without_its_invalid_gripper(capsys, words, state):
    """A finger of the PR2 cannot move. The arm can reach nevertheless, unless the user names wrong fingers."""
    path = find_robots() / "pr2_description/urdf/pr2.urdf"
    status, result = examine(capsys, path, "--tool-frame", "l_gripper_tool_frame", *words)
    assert status == (state == "broken") and get_finding(result, "gripper")["state"] == state


def test_what_people_read(capsys):
    assert main(["robot", str(find_robots() / ARMS["panda"][0]), "--tool-frame", "panda_hand_tcp"]) == 0
    out = capsys.readouterr().out
    for text in ("panda_joint1", "prismatic", "Masses: 17.5 kg", "neighbours: panda_link0", "SRDF", "Assumptions", "[rad/s]"):
        assert text in out, text
    assert "Train it with: gym-gazebo2 train --env Reach-v0 --robot" in out
    assert max(map(len, out.partition("Train it with")[0].splitlines())) <= 80


def test_any_keyword_that_changes_the_robot(capsys):
    """Home, the fingers by name and a limit of one joint. The command that is printed has them, too."""
    words = ["--env.home", "[0,0.5,1.0]", "--env.robot_options.gripper.joints", "['left_finger']"]
    words += ["--env.robot_options.gripper.force=20", "--env.robot_options.velocity_limit.yaw", "1.25", "--tool-frame", "tcp"]
    status, result = examine(capsys, PINCER, *words)
    joints = {joint["name"]: joint for joint in result["robot"]["joints"]}
    assert status == 0 and [joint["home"] for joint in joints.values()][:3] == [0.0, 0.5, 1.0]
    assert joints["yaw"]["velocity_limit"] == 1.25 and joints["left_finger"]["effort_limit"] == 20.0
    config = resolve(load_command("train").parse(shlex.split(result["command"])[2:], "train").settings)
    robot = make_env_robot(config.robot, config.make_kwargs, gripper=True)
    assert robot.home[:3].tolist() == [0.0, 0.5, 1.0] and robot.velocity_limit[0] == 1.25
    assert set(robot.gripper.force) == {20.0}
    status, result = examine(capsys, PINCER, "--env.robot_options.gripper.jonts", "[]")
    assert (
        status == 1 and "no field of robot_options['gripper'] 'jonts'. Did you mean 'joints'?" in result["findings"][0]["found"]
    )


def write_low(tmp_path):
    """An arm whose shoulder is in the floor, which some 99 % of its poses touch."""
    return UR5E.replace('xyz="0 0 0.1625"', 'xyz="0 0 -0.33"')


def write_with_mesh(tmp_path):
    (tmp_path / "elsewhere" / "my_arm" / "meshes").mkdir(parents=True)
    mesh = next((find_robots() / "ur_description/meshes/ur5/collision").glob("*.stl"))
    shutil.copy(mesh, tmp_path / "elsewhere/my_arm/meshes/link.stl")
    root = ET.fromstring(UR5E)
    link = next(link for link in root.iter("link") if link.get("name") == "upper_arm_link")
    ET.SubElement(link, "visual").append(ET.fromstring(MESH))
    return ET.tostring(root, encoding="unicode")


def write_two_tools(tmp_path):
    text = UR5E.replace("tool0", "point")
    extra = '<link name="camera"/><joint name="c" type="fixed"><parent link="wrist_3_link"/><child link="camera"/></joint>'
    return text.replace("</robot>", extra + "</robot>")


def write_xacro(tmp_path):
    text = UR5E.replace("<robot ", '<robot xmlns:xacro="http://www.ros.org/wiki/xacro" ', 1)
    return text.replace('effort="150"', 'effort="$(arg effort)"')


# Kind of fault → how to write the file, what the command finds, what it advises, and options that follow the advice.
FAULTS = {
    "no_velocity": (
        lambda _: UR5E.replace('velocity="3.141592653589793"', 'velocity="0"'),
        ("file", "Joint 'shoulder_pan_joint'", "--velocity-limit"),
        ["--velocity-limit", "3.14"],
    ),
    "no_effort": (
        lambda _: UR5E.replace('effort="28"', ""),
        ("file", "Joint 'wrist_1_joint'.*has no effort limit", "--effort-limit"),
        ["--effort-limit", "28"],
    ),
    "two_tools": (
        write_two_tools,
        ("file", "several links at the end of a chain", "--tool-frame LINK"),
        ["--tool-frame", "point"],
    ),
    "mesh": (
        write_with_mesh,
        ("file", "package://my_arm.*was not found", "--package-dir FOLDER"),
        ["--package-dir", "elsewhere"],
    ),
    "xacro": (write_xacro, ("file", "xacro cannot expand", "--xacro-arg NAME=VALUE"), ["--xacro-arg", "effort=150"]),
    "low": (write_low, ("file", "of 'arm' are in the floor", "--mount-height METRES"), ["--mount-height", "1.5"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_comes_with_the_option_that_mends_it(capsys, tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    write, (name, found, remedy), options = FAULTS[fault]
    path = tmp_path / ("arm.urdf.xacro" if fault == "xacro" else "arm.urdf")
    path.write_text(write(tmp_path))
    status, result = examine(capsys, path)
    finding = get_finding(result, name)
    assert status == 1 and not result["is_usable"] and result["command"] == "" and finding["state"] == "broken"
    assert re.search(found, finding["found"]) and remedy in finding["remedy"], finding
    load_robot.cache_clear()
    status, result = examine(capsys, path, *options)
    assert status == 0, result["findings"]
    config = resolve(load_command("train").parse(shlex.split(result["command"])[2:], "train").settings)
    assert find_env_robot(config.env, config.make_kwargs).dof == 6


BROKEN = {
    "missing": (None, "does not exist", "Give a path"),
    "malformed": (UR5E[:500], "is malformed", "Check it"),
    "entity": (
        '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + UR5E[UR5E.index("<robot") :],
        "entity 'e'",
        "Remove it",
    ),
    "mass": (UR5E.replace('<mass value="3.761"/>', '<mass value="-1"/>'), "mass of -1", "at least 0"),
    "loop": (UR5E.replace('<parent link="forearm_link"/>', '<parent link="wrist_3_link"/>'), "loop", "tree"),
    "axis": (UR5E.replace('<axis xyz="0 0 1"/>', '<axis xyz="0 0 0"/>'), "axis", "three numbers"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_cannot_be_used(capsys, tmp_path, fault):
    text, found, remedy = BROKEN[fault]
    if text is not None:
        (tmp_path / "arm.urdf").write_text(text)
    status, result = examine(capsys, tmp_path / "arm.urdf")
    finding = get_finding(result, "file")
    assert status == 1 and result["robot"] is None and finding["state"] == "broken"
    assert found in finding["found"] and remedy in finding["remedy"], finding
    assert main(["robot", str(tmp_path / "arm.urdf")]) == 1
    out, err = capsys.readouterr()
    assert "broken" in out and "Traceback" not in out + err


def test_a_drive_that_is_too_weak_is_reported(capsys):
    """It is usable, but the arm lags behind: the simulation shows it, too."""
    path, tool_frame = find_robots() / ARMS["ur5"][0], ARMS["ur5"][1]
    _, good = examine(capsys, path, "--tool-frame", tool_frame)
    status, weak = examine(capsys, path, "--tool-frame", tool_frame, "--control-speed", "3.1")
    finding = get_finding(weak, "drives")
    assert status == 0 and finding["state"] == "poor" and "--control-speed" in finding["remedy"]
    assert "shoulder_lift_joint" in finding["found"].partition("too little torque")[2]
    assert min(joint["natural_frequency"] for joint in weak["robot"]["joints"]) < 40.0 and weak["fidelity"] > good["fidelity"]


def test_an_arm_that_stands_in_the_floor(capsys, tmp_path):
    (tmp_path / "arm.urdf").write_text(UR5E.replace('xyz="0 0 0.1625"', 'xyz="0 0 -1.2"'))
    status, result = examine(capsys, tmp_path / "arm.urdf")
    finding = get_finding(result, "file")
    assert status == 1 and finding["state"] == "broken" and "--mount-height METRES" in finding["remedy"]
    assert "Links of 'arm' are in the floor" in finding["found"] and "'shoulder_link'" in finding["found"]
    status, result = examine(capsys, tmp_path / "arm.urdf", "--mount-height", "1.5")
    assert status == 0 and get_finding(result, "workspace")["state"] == "ok"


def test_the_physics_step_counts(capsys):
    fidelity = [examine(capsys, "ur5e", "--physics-dt", step)[1]["fidelity"] for step in ("0.001", "0.005", "0.025")]
    assert fidelity == sorted(fidelity) and fidelity[-1] > fidelity[0]
    status, result = examine(capsys, "ur5e", "--physics-dt", "0.003")
    assert status == 1 and get_finding(result, "physics")["state"] == "broken"


def test_a_picture(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "arm.urdf").write_text(UR5E)
    assert main(["robot", "files/arm.urdf", "--picture", "home.png"]) == 0
    assert main(["robot", "files/arm.urdf", "--picture"]) == 0
    assert "files/arm.png" in capsys.readouterr().out
    named, beside = (np.asarray(Image.open(path)) for path in ("home.png", "files/arm.png"))
    assert named.shape == (600, 800, 3) and named.std() > 10 and np.array_equal(named, beside)


def test_a_picture_that_cannot_be_written_says_so(capsys, tmp_path):
    (tmp_path / "taken").write_text("")
    assert main(["robot", "ur5e", "--picture", str(tmp_path / "taken" / "home.png")]) == 1
    assert "choose another file with --picture" in capsys.readouterr().err


def test_the_robot_of_a_run_can_be_examined(capsys, tmp_path):
    store_robot(make_robot(make_row("ur5")), tmp_path / "robot")
    status, result = examine(capsys, tmp_path / "robot")
    assert status == 0 and result["robot"]["name"] == "ur5_robot" and result["robot"]["gripper"] is None


def test_invalid_words(capsys):
    assert main(["robot", "ur5e", "--xacro-arg", "length"]) == 2
    assert "xacro_arg is 'length', expected NAME=VALUE" in capsys.readouterr().err
    status, result = examine(capsys, "ur6e")
    assert status == 1 and "Did you mean 'ur5e'?" in result["findings"][0]["found"]


def test_mutated_files_give_findings(capsys, tmp_path):
    """Each is a usable arm, or has a fault with a remedy; never a traceback."""
    trimesh.creation.box((0.15, 0.1, 0.1)).export(tmp_path / "part.stl")
    statuses = set()
    for seed in range(60):
        path = tmp_path / f"arm{seed}.urdf"
        path.write_bytes(mutate(SMALL, random.Random(seed)))
        status, result = examine(capsys, path, "--tool-frame", "tool")
        statuses.add(status)
        assert status == int(not result["is_usable"])
        assert all(f["remedy"] for f in result["findings"] if f["state"] in ("poor", "broken")), result["findings"]
    assert statuses == {0, 1}
