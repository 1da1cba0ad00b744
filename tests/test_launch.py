"""Launch files without ROS 2's launch: what they import, declare and run; and the package as colcon builds it."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gym_gazebo2.backends import make_backend
from gym_gazebo2.cli import COMMANDS
from gym_gazebo2.cli.simulating import Arguments, parse
from gym_gazebo2.options import make_env_robot
from gym_gazebo2.sim import SimConfig

from .arms import make_row
from .conftest import ROOT

FILES = sorted((ROOT / "launch").glob("*.launch.py"))
OPTIONAL = {"rviz2", "ros_gz_sim", "ros_gz_bridge", "controller_manager", "ros_gz_interfaces"}
"""Nodes of what a user may have: RViz, and Gazebo Sim instead of the Gazebo that is tested here."""
ALLOWED = {"launch", "launch_ros", "shutil"}


def get_calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name]


def get_keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {str(keyword.arg): keyword.value for keyword in call.keywords}


def read_arguments(path: Path) -> dict[str, dict[str, ast.expr]]:
    calls = get_calls(ast.parse(path.read_text()), "DeclareLaunchArgument")
    return {ast.literal_eval(call.args[0]): get_keywords(call) for call in calls}


def evaluate(node: ast.expr, values: dict[str, str]) -> str:
    """Return what a launch substitution becomes, for arguments of these values."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.List():
            return "".join(evaluate(part, values) for part in node.elts)
        case ast.Call(func=ast.Name(id="LaunchConfiguration")):
            return values[evaluate(node.args[0], values)]
        case ast.Call(func=ast.Name(id="PythonExpression")):
            return str(eval(evaluate(node.args[0], values)))
        case ast.Call(func=ast.Name(id="Command")):
            return run_command(evaluate(node.args[0], values))
        case ast.Call(func=ast.Name(id="EnvironmentVariable")):
            return evaluate(get_keywords(node)["default_value"], values)
    raise NotImplementedError(ast.dump(node))


@functools.cache
def run_command(command: str) -> str:
    """Return what a command prints, as the launch substitution does. Output on standard error makes that one fail."""
    program, *args = shlex.split(command)
    assert program == "gym-gazebo2"
    words = [sys.executable, "-m", "gym_gazebo2.cli", *args]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout  # unchanged: the end of a line would become a part of a namespace


def read_description(**given: str) -> ET.Element:
    """Return the robot's description that robot.launch.py hands to robot_state_publisher, for some arguments."""
    path = ROOT / "launch" / "robot.launch.py"
    values: dict[str, str] = {}
    for name, keywords in read_arguments(path).items():
        default = keywords["default_value"]
        # RViz may be installed or not; the state publisher does not depend on it.
        values[name] = given.get(name) or ("" if isinstance(default, ast.IfExp) else evaluate(default, values))
    [text] = [call for call in get_calls(ast.parse(path.read_text()), "ParameterValue")]
    return ET.fromstring(evaluate(text.args[0], values))


def read_choices(path: Path) -> dict[str, list[str]]:
    """Return every argument's possible values; of a free one, its default."""
    choices: dict[str, list[str]] = {}
    for name, keywords in read_arguments(path).items():
        given = keywords.get("choices")
        if isinstance(given, ast.Name):
            choices[name] = ["true", "false"]
        elif given is not None:
            choices[name] = list(ast.literal_eval(given))
        else:
            choices[name] = [evaluate(keywords["default_value"], {key: value[0] for key, value in choices.items()})]
    return choices


def list_commands(path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield the command line for every combination of arguments that have choices."""
    choices = read_choices(path)
    for combination in itertools.product(*choices.values()):
        values = dict(zip(choices, combination, strict=True))
        for process in get_calls(ast.parse(path.read_text()), "ExecuteProcess"):
            command = get_keywords(process)["cmd"]
            assert isinstance(command, ast.List)
            yield values, [evaluate(part, values) for part in command.elts]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_is_thin(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name if isinstance(node, ast.Import) else str(node.module) for node in imports for alias in node.names}
    assert {module.split(".")[0] for module in modules} <= ALLOWED
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == "generate_launch_description"
    _, single = function.body
    assert isinstance(single, ast.Return) and ast.unparse(single.value).startswith("LaunchDescription(")
    usage = ast.get_docstring(tree) or ""
    assert f"ros2 launch gym_gazebo2 {path.name}" in usage
    assert set(re.findall(r"(\w+):=", usage)) <= set(read_arguments(path)), "the usage names an argument that is not declared"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_argument_is_described_and_used(path: Path) -> None:
    arguments = read_arguments(path)
    used = {ast.literal_eval(call.args[0]) for call in get_calls(ast.parse(path.read_text()), "LaunchConfiguration")}
    assert used == set(arguments)
    assert all({"default_value", "description"} <= set(keywords) for keywords in arguments.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_runs_the_tested_command(path: Path) -> None:
    for values, (program, name, *args) in list_commands(path):
        assert program == "gym-gazebo2" and name in COMMANDS
        config = parse(args)
        assert (str(config.robot), str(config.namespace)) == (values["robot"], values["namespace"])


def test_sim_arguments_are_those_of_the_command() -> None:
    path = ROOT / "launch" / "sim.launch.py"
    fields = {field.name for field in dataclasses.fields(Arguments)} - {"real_time", "env_kwargs"}
    assert set(read_arguments(path)) == fields | {"env"}
    for values, (_, _, *args) in list_commands(path):
        config = parse(args)
        expected = SimConfig(
            robot=None,
            provider=values["provider"],  # type: ignore[arg-type]
            real_time=values["lock_step"] == "false",
            gui=values["gui"] == "true",
            namespace=None,
            domain=None,
            gripper=values["gripper"] == "true",
            robot_only=values["robot_only"] == "true",
        )
        assert config == expected, "a default of the launch file is not the command's"


ARM = make_row("so101")
SHOWN = {
    "another robot of the table": ("scara4", "", ""),
    "joints with a prefix": ("panda", "left_", ""),
    "a maker's file": (ARM.urdf, "", f"tool_frame={ARM.tool_frame} mount_height=0.2"),
    "a maker's file, with a prefix": (ARM.urdf, "left_", f"tool_frame={ARM.tool_frame}"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_the_description_fits_the_joint_states(case: str) -> None:
    """The description has the joints of the states, and every mesh. It is the arm that sim serves."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    from .sim_process import run_sim

    robot, prefix, env = SHOWN[case]
    root = read_description(robot=robot, joint_prefix=prefix, env=env)
    moving = {joint.get("name") for joint in root.findall("joint") if joint.get("type") != "fixed"}
    assert moving and all(Path(unquote(urlsplit(mesh.get("filename", "")).path)).is_file() for mesh in root.iter("mesh"))
    with run_sim(robot, "--joint-prefix", prefix, "--env", env) as sim:
        spec = make_env_robot(robot, parse(["--env", env]).env_kwargs)
        assert f"/{run_command(f'gym-gazebo2 describe {robot!r} --only name')}/joint_states" in sim.shown
        with contextlib.closing(make_backend("ros2", spec, domain_id=sim.domain, joint_prefix=prefix)) as backend:
            assert set(backend.link.provider.joints) == moving
    bodies = {link.get("name") for link in root.findall("link")}
    assert {spec.base_link, spec.tool_frame} <= bodies and run_command(
        f"gym-gazebo2 describe {robot!r} --only base_link --env {env!r}"
    ) == spec.base_link


def test_package_xml_names_what_the_code_imports() -> None:
    root = ET.parse(ROOT / "package.xml").getroot()
    declared = {element.text for element in root.iter("exec_depend")}
    text = "".join(path.read_text() for path in (*(ROOT / "gym_gazebo2" / "ros").glob("*.py"), *FILES))
    imported = {name for name in re.findall(r"^\s*(?:from|import) (\w+)", text, flags=re.MULTILINE)}
    ros = {
        name
        for name in imported
        if name.endswith(("_msgs", "_srvs", "_interfaces")) or name in ("rclpy", "launch", "launch_ros")
    }
    nodes = set(re.findall(r'package="(\w+)"', text)) - OPTIONAL
    assert len(ros) > 6 and (ros - OPTIONAL) | nodes <= declared
    assert root.findtext("export/build_type") == "ament_python" and root.get("format") == "3"


@pytest.mark.parametrize("options", [(), ("--symlink-install",)], ids=["plain", "symlink"])
def test_colcon_builds_and_installs_the_package(options: tuple[str, ...], tmp_path: Path) -> None:
    source = copy_source(tmp_path / "src" / "gym_gazebo2")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(Path(sys.executable).parent / "colcon"), "build", "--base-paths", str(source.parent), *options]
    built = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    prefix = tmp_path / "install" / "gym_gazebo2"
    share = prefix / "share" / "gym_gazebo2"
    assert {path.name for path in (share / "launch").iterdir()} >= {path.name for path in FILES} | {"robot.rviz"}
    assert {path.name for path in (share / "urdf").iterdir()} == {
        f"{name}.urdf" for name in ("mara", "scara", "scara4", "panda", "ur5e")
    }
    assert (prefix / "share/ament_index/resource_index/packages/gym_gazebo2").is_file()
    code = (
        "import gym_gazebo2 as g; from gym_gazebo2 import cli, sim, algos, gazebo; print(g.__file__, g.make_robot('mara').urdf)"
    )
    script = f'. {tmp_path}/install/setup.bash && cd / && gym-gazebo2 sim --help && python -c "{code}"'
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    run = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    module, urdf = run.stdout.splitlines()[-1].split()
    home = source if options else prefix
    assert Path(module).resolve().is_relative_to(home), module
    assert Path(urdf).resolve().is_relative_to(home), urdf


def copy_source(target: Path) -> Path:
    """Copy what git tracks, symbolic links as such: a build must not write into the working tree."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target
