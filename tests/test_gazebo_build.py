"""Building the plug-in: once, again when anything changes, and clearly said when something is missing."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import pytest

from gym_gazebo2.gazebo import build
from gym_gazebo2.gazebo.build import build_plugin, compute_key
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.locate import Gazebo, find_gazebo
from gym_gazebo2.gazebo.ros import Ros, find_ros


@pytest.fixture
def gazebo() -> Gazebo:
    found = find_gazebo()
    if found is None:
        pytest.skip("Gazebo 11 is not installed: gym-gazebo2 install-gazebo")
    return found


@pytest.fixture
def ros() -> Ros:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    return find_ros()


def test_is_built_once(gazebo: Gazebo, ros: Ros) -> None:
    library = build_plugin(gazebo, ros)
    built = library.stat().st_mtime_ns
    assert build_plugin(gazebo, ros) == library and library.stat().st_mtime_ns == built


def test_key_changes_with_source_gazebo_and_ros(
    gazebo: Gazebo, ros: Ros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    gazebo: Gazebo, ros: Ros, lacking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in {"cmake", "c++"} - {lacking}:
        (tmp_path / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is not installed"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(GazeboError, match=rf"{lacking.replace('+', '.')} is not on the PATH"):
        build_plugin(gazebo, ros)


def test_missing_headers_are_said(ros: Ros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "gzserver").touch()
    with pytest.raises(GazeboError, match=r"header <gazebo/gazebo.hh> is missing"):
        build_plugin(Gazebo(tmp_path / "gzserver", "11.1.0", tmp_path), ros)
    assert not list((tmp_path / "cache/gym_gazebo2/plugins").iterdir())


def test_compiler_errors_are_quoted(gazebo: Gazebo, ros: Ros, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCE", shutil.copytree(build.SOURCE, tmp_path / "plugin"))
    for name in ("arm.cpp", "ros.cpp", "life.cpp", "plugin.cpp"):
        (tmp_path / "plugin" / name).write_text("int f() { return undeclared; }\n")
    with pytest.raises(GazeboError, match="undeclared"):
        build_plugin(gazebo, ros)


def test_wheels_ros_has_what_its_programs_need(ros: Ros) -> None:
    if ros.libpython is None:
        pytest.skip("this ROS 2 is a full installation")
    assert ros.prefixes == (Path(sys.prefix),) and ros.libpython.is_file() and ros.bundled
    assert ros.make_environment()["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"


def test_sourced_ros_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include/rcl").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    found = find_ros()
    assert found == Ros((tmp_path,)) and "RMW_IMPLEMENTATION" not in found.make_environment()


def test_no_ros_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(GazeboError, match=r"pip install 'gym_gazebo2\[ros2\]'"):
        find_ros()
