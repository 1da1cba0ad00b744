"""Robots by a name of ``robot_descriptions``: its real loader and git, with the maker's repository on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.cli import main
from gym_gazebo2.errors import RobotError
from gym_gazebo2.robots import find_urdf, load_robot, make_robot

from .arms import ARMS, find_robots, make_arm

cache = pytest.importorskip("robot_descriptions._cache", reason="pip install 'gym_gazebo2[robots]'")
if shutil.which("git") is None:
    pytest.skip("git is not installed", allow_module_level=True)

MACRO = """<robot xmlns:xacro="http://www.ros.org/wiki/xacro" name="$(arg name)">
  <xacro:arg name="name" default="ur"/><xacro:arg name="ur_type" default="ur3"/>
  <xacro:property name="limits" value="${xacro.load_yaml('$(find ur_description)/config/$(arg ur_type)/limits.yaml')}"/>
"""
URL = "https://github.com/UniversalRobots/Universal_Robots_ROS2_Description.git"


def write_ur_description(folder: Path) -> None:
    """Write a package in the form of Universal Robots': a macro, limits as YAML, and a mesh by package://."""
    text = find_urdf("ur5e.urdf").read_text().partition("<link")
    body = "".join(text[1:]).replace('effort="28"', "effort=\"${limits['wrist']}\"")
    mesh = '<visual><geometry><mesh filename="package://ur_description/meshes/arm.stl"/></geometry></visual>'
    body = body.replace('<link name="upper_arm_link">', f'<link name="upper_arm_link">{mesh}')
    for name, content in {"urdf/ur.urdf.xacro": MACRO + body, "config/ur5e/limits.yaml": "wrist: 21.0\n"}.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(content)
    (folder / "meshes").mkdir()
    shutil.copy(next((find_robots() / "ur_description/meshes/ur5/collision").glob("*.stl")), folder / "meshes/arm.stl")


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "the description")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Caches of the test's own, a git that reaches no network, and no module that was imported before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ROBOT_DESCRIPTIONS_CACHE", str(tmp_path / "descriptions"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    forget()
    yield
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("robot_descriptions.") and name.endswith("_description")]:
        del sys.modules[name]
    load_robot.cache_clear()


def use_repository(monkeypatch, tmp_path) -> Path:
    """Let git take a repository on this machine in place of the maker's, and return it."""
    maker = tmp_path / "maker"
    write_ur_description(maker)
    (tmp_path / "gitconfig").write_text(f'[url "file://{maker}"]\n\tinsteadOf = {URL}\n')
    # The package's own commit exists in the maker's repository alone.
    monkeypatch.setenv("ROBOT_DESCRIPTION_COMMIT", commit(maker))
    return maker


def test_the_repository_is_cloned_once_and_the_arm_moves(tmp_path, monkeypatch):
    assert cache.REPOSITORIES["Universal_Robots_ROS2_Description"].url == URL
    maker = use_repository(monkeypatch, tmp_path)
    robot = make_robot("ur5e_description")
    assert robot.name == "ur5e_description" and robot.dof == 6 and robot.effort_limit[-1] == 21.0
    np.testing.assert_allclose(robot.T_tcp_to_last, make_robot("ur5e").T_tcp_to_last, atol=1e-12)
    assert list(Path(robot.urdf).parent.glob("*.stl"))
    shutil.rmtree(maker)  # from here on nothing can be fetched
    forget()
    env = gym.make("Reach-v0", robot="ur5e_description")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.unwrapped.core.robot.urdf == robot.urdf
    env.close()


def test_a_command_prints_json_alone_while_it_clones(tmp_path, monkeypatch, capsys):
    use_repository(monkeypatch, tmp_path)
    assert main(["robot", "ur5e_description", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["robot"]["name"] == "ur5e_description" and f"Cloning {URL}" in err


def test_a_urdf_of_a_repository_of_many_robots(tmp_path, monkeypatch):
    """The Panda of example-robot-data: the file that its maker ships, with meshes, from a clone in the cache."""
    clone = tmp_path / "descriptions" / "example-robot-data"
    shutil.copytree(find_robots() / "panda_description", clone / "robots" / "panda_description")
    sha = commit(clone)
    monkeypatch.setenv("ROBOT_DESCRIPTION_COMMIT", sha)
    (clone.parent / f"example-robot-data-{sha}").mkdir()
    clone.rename(clone.parent / f"example-robot-data-{sha}" / "example-robot-data")
    robot, file = make_robot("panda_description"), make_arm("panda")
    assert robot.joint_names == file.joint_names and robot.tool_frame == ARMS["panda"][1]
    assert robot.excluded_pairs == file.excluded_pairs  # with the SRDF of the repository


def test_a_repository_that_lacks_the_file(tmp_path, monkeypatch):
    maker = use_repository(monkeypatch, tmp_path)
    (maker / "urdf" / "ur.urdf.xacro").unlink()
    monkeypatch.setenv("ROBOT_DESCRIPTION_COMMIT", commit(maker))
    with pytest.raises(RobotError, match=r"ur.urdf.xacro' does not exist"):
        make_robot("ur5e_description")
    monkeypatch.setenv("ROBOT_DESCRIPTION_COMMIT", "0" * 40)
    forget()
    with pytest.raises(RobotError, match="The files of 'ur5e_description' cannot be fetched: .*Check the network and git"):
        make_robot("ur5e_description")
