"""Building the plug-in: once, again when anything changes, and clearly said when something is missing."""

from __future__ import annotations

import dataclasses
import os
import select
import shutil
import sys
import time
from pathlib import Path

import pytest

from gym_gazebo2.errors import RosError
from gym_gazebo2.gazebo import build
from gym_gazebo2.gazebo.build import build_plugin, compute_key, find_plugin, is_built, try_build
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import Gazebo, find_gazebo
from gym_gazebo2.ros import RosInstallation, find_ros

from .processes import run_process


@pytest.fixture
def gazebo() -> Gazebo:
    found = find_gazebo()
    if found is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    return found


@pytest.fixture
def ros() -> RosInstallation:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    return find_ros()


def test_is_built_once(gazebo: Gazebo, ros: RosInstallation) -> None:
    library = build_plugin(gazebo, ros)
    built = library.stat().st_mtime_ns
    assert build_plugin(gazebo, ros) == library and library.stat().st_mtime_ns == built


def test_key_changes_with_source_gazebo_and_ros(
    gazebo: Gazebo, ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {compute_key(gazebo, ros), compute_key(dataclasses.replace(gazebo, version="11.2.0"), ros)}
    keys.add(compute_key(gazebo, dataclasses.replace(ros, prefixes=(tmp_path,))))
    source = shutil.copytree(build.SOURCE, tmp_path / "plugin")
    monkeypatch.setattr(build, "SOURCE", source)
    assert compute_key(gazebo, ros) in keys
    (source / "arm.cpp").write_text("// changed\n")
    keys.add(compute_key(gazebo, ros))
    assert len(keys) == 4


@pytest.mark.parametrize("lacking", ["cmake", "c++"])
def test_missing_tools_are_said(
    gazebo: Gazebo, ros: RosInstallation, lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in {"cmake", "c++"} - {lacking}:
        (tmp_path / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is not installed"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(GazeboError, match=rf"{lacking.replace('+', '.')} is not on the PATH"):
        build_plugin(gazebo, ros)


def test_missing_headers_are_said(ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "gzserver").touch()
    with pytest.raises(GazeboError, match=r"header <gazebo/gazebo.hh> is missing"):
        build_plugin(Gazebo(tmp_path / "gzserver", "11.1.0", tmp_path), ros)
    assert not list((tmp_path / "cache/gym_gazebo2/plugins").iterdir())


@pytest.mark.parametrize("version", ["9.2", "9.10"])
def test_any_sdformat_9_will_do(
    gazebo: Gazebo, ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    include = tmp_path / "usr/include"
    include.mkdir(parents=True)
    for folder in ((gazebo.prefix or Path("/")) / "usr/include").iterdir():
        is_sdformat = folder.name.startswith("sdformat-9.")
        (include / (f"sdformat-{version}" if is_sdformat else folder.name)).symlink_to(folder)
    (include / "sdformat-9.1").mkdir()
    try_build(dataclasses.replace(gazebo, prefix=tmp_path), ros)  # raises where CMake takes the folder without headers


@pytest.mark.parametrize("compiler", ["ccache g++", "g++ -m64", ""])
def test_the_compiler_may_be_a_command_with_arguments(
    gazebo: Gazebo, ros: RosInstallation, compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ccache").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "ccache").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", compiler)
    try_build(gazebo, ros)


def test_a_cache_that_cannot_be_written_is_said(gazebo: Gazebo, ros: RosInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_cache", lambda: Path("/sys/gym_gazebo2"))
    with pytest.raises(GazeboError, match="Make the folder writable"):
        build_plugin(gazebo, ros)


def put_quick_build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let building take a moment, with another source, in a cache of its own."""
    monkeypatch.setattr(build, "find_cache", lambda: folder / "cache")
    (folder / "plugin").mkdir()
    (folder / "plugin/f.cpp").write_text("int f() { return 1; }\n")
    lines = "cmake_minimum_required(VERSION 3.16)\nproject(f CXX)\nadd_library(gym_gazebo2_plugin SHARED f.cpp)\n"
    (folder / "plugin/CMakeLists.txt").write_text(lines)
    monkeypatch.setattr(build, "SOURCE", folder / "plugin")


def test_a_library_that_is_not_whole_is_built_again(
    gazebo: Gazebo, ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_quick_build(tmp_path, monkeypatch)
    library = build_plugin(gazebo, ros)
    whole = library.read_bytes()
    for part in (b"", whole[:40], whole[: len(whole) // 2], whole[:-1], b"x" * len(whole)):
        library.write_bytes(part)
        assert not is_built(library) and is_built(build_plugin(gazebo, ros))
    assert [path.name for path in library.parent.parent.iterdir()] == [library.parent.name]


BUILD = """
import sys
import time
from pathlib import Path
from gym_gazebo2.gazebo import build, find_gazebo, find_ros
build.SOURCE, build.find_cache = Path(sys.argv[1], "plugin"), lambda: Path(sys.argv[1], "cache")
build.build_plugin(find_gazebo(), find_ros())
"""


def test_a_killed_build_ends_and_the_next_removes_what_it_left(
    gazebo: Gazebo, ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_quick_build(tmp_path, monkeypatch)
    source = tmp_path / "plugin/CMakeLists.txt"
    quick, started = source.read_text(), tmp_path / "started"
    (tmp_path / "wait").write_text(f"echo $$ > {started}.new && mv {started}.new {started} && exec sleep 60\n")
    source.write_text(f"{quick}add_custom_command(TARGET gym_gazebo2_plugin PRE_BUILD COMMAND sh {tmp_path}/wait)\n")
    with run_process([sys.executable, "-c", BUILD, str(tmp_path)]) as builder:
        deadline = time.monotonic() + 30.0
        while not started.exists():
            assert builder.poll() is None and time.monotonic() < deadline
        handle = os.pidfd_open(int(started.read_text()))
        plugins = find_plugin(gazebo, ros).parent.parent
        [left] = plugins.iterdir()
        builder.kill()
        builder.wait(5)
    assert select.select([handle], [], [], 5)[0], "what the build started goes on"
    os.close(handle)
    source.write_text(quick)
    build_plugin(gazebo, ros)
    assert not left.exists()


def test_compiler_errors_are_quoted(
    gazebo: Gazebo, ros: RosInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCE", shutil.copytree(build.SOURCE, tmp_path / "plugin"))
    for name in ("server.cpp", "ros.cpp", "process_end.cpp", "drive.cpp"):
        (tmp_path / "plugin" / name).write_text("int f() { return undeclared; }\n")
    with pytest.raises(GazeboError, match="undeclared"):
        build_plugin(gazebo, ros)


def test_wheels_ros_has_what_its_programs_need(ros: RosInstallation) -> None:
    if ros.libpython is None:
        pytest.skip("this ROS 2 is a full installation")
    assert ros.prefixes == (Path(sys.prefix),) and ros.libpython.is_file() and ros.bundled
    assert ros.make_environment()["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"


def test_sourced_ros_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include/rcl").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    found = find_ros()
    assert found == RosInstallation((tmp_path,)) and "RMW_IMPLEMENTATION" not in found.make_environment()


def test_no_ros_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(RosError, match=r"pip install 'gym_gazebo2\[ros2\]'"):
        find_ros()
