"""``gym-gazebo2 doctor`` on this machine as it is, and on machines where something is missing, broken, or hangs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gym_gazebo2.cli import main
from gym_gazebo2.doctor import CHECKS, Finding, examine, has_failed

NEEDED = ("Python", "packages", "physics", "rendering", "training", "ROS 2", "middleware", "ROS domain", "Gazebo", "plug-in")


def put_module(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package of that name come before the installed one, in processes started from here."""
    (folder / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")


def test_everything_works_on_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(["doctor", "--json"]) == 0
    findings = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(findings) == list(CHECKS)
    assert {name: findings[name]["state"] for name in NEEDED} == dict.fromkeys(NEEDED, "ok"), findings
    assert "a message went through" in findings["middleware"]["found"]
    assert findings["display"]["state"] == "optional" and findings["display"]["remedy"]


def test_the_table_shows_the_fault_and_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        "gym_gazebo2.cli.doctor.examine", lambda: [Finding("ROS domain", "broken", "200", "export ROS_DOMAIN_ID=0")]
    )
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "broken" in shown and "export ROS_DOMAIN_ID=0" in shown


def test_an_invalid_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "200")
    [finding] = examine(["ROS domain"])
    assert finding.state == "broken" and "200" in finding.found and "export ROS_DOMAIN_ID=" in finding.remedy


def test_others_on_the_domain_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_gazebo2.gazebo import Domain
    from gym_gazebo2.ros import Graph

    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    domain = Domain()
    graph = Graph(domain.id)
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain.id))
    [finding] = examine(["ROS domain"])
    assert finding.state == "ok" and graph.node.get_name() in finding.found
    graph.close()
    domain.release()


@pytest.mark.parametrize(
    ("check", "module", "code", "state", "found"),
    [
        ("physics", "mujoco", "raise ImportError('no')", "missing", "mujoco"),
        ("ROS 2", "rclpy", "raise ImportError('librcl.so: no such file')", "broken", "librcl.so"),
        ("training", "torch", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "broken", "SIGSEGV"),
        ("rendering", "mujoco", "raise RuntimeError('half a driver')", "broken", "half a driver"),
    ],
)
def test_a_missing_or_broken_part_is_a_finding(
    check: str, module: str, code: str, state: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_module(tmp_path, module, code, monkeypatch)
    [finding] = examine([check])
    assert (finding.name, finding.state) == (check, state) and found in finding.found
    assert "install" in finding.remedy and has_failed([finding])


def test_a_check_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_module(tmp_path, "torch", "import threading; threading.Event().wait()", monkeypatch)
    [finding] = examine(["training"], deadline=1.0)
    assert finding.state == "broken" and "did not end within 1 s" in finding.found


def test_no_picture_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent.json")
    [finding] = examine(["rendering"])
    assert finding.state == "optional" and "libegl1" in finding.remedy and not has_failed([finding])


def test_no_gazebo_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")
    gazebo, plugin = examine(["Gazebo", "plug-in"])
    assert gazebo.state == plugin.state == "optional"
    assert gazebo.remedy == plugin.remedy == "gym-gazebo2 install-gazebo"


def test_a_missing_compiler_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_gazebo2.gazebo import find_gazebo
    from gym_gazebo2.gazebo.locate import find_cached_prefix

    if (gazebo := find_gazebo()) is None or gazebo.prefix is None:
        pytest.skip("Gazebo is the system's: its programs are on the PATH")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    find_cached_prefix().parent.mkdir(parents=True)
    find_cached_prefix().symlink_to(gazebo.prefix)
    monkeypatch.setenv("PATH", "/nonexistent")
    [plugin] = examine(["plug-in"])
    assert (
        plugin.state == "broken" and "cmake is not on the PATH" in plugin.found and "apt-get install cmake g++" in plugin.remedy
    )


def test_missing_headers_name_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_gazebo2.gazebo.locate import find_cached_prefix, find_system_gazebo

    if find_system_gazebo() is not None:
        pytest.skip("Gazebo is the system's")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (find_cached_prefix() / "usr/bin").mkdir(parents=True)
    (find_cached_prefix() / "usr/bin/gzserver-11.1.0").touch()
    [plugin] = examine(["plug-in"])
    assert plugin.state == "broken" and "header <gazebo/gazebo.hh> is missing" in " ".join(plugin.found.split())
    assert plugin.remedy == "Install Gazebo's headers (libgazebo-dev)"


def test_a_python_without_its_library_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os, sysconfig; get = sysconfig.get_config_var\n"
    code += "sysconfig.get_config_var = lambda name: 'libnowhere.so' if name == 'INSTSONAME' else get(name)\n"
    put_module(tmp_path, "sitecustomize", code, monkeypatch)
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    [plugin] = examine(["plug-in"])
    assert plugin.state == "broken" and "libnowhere.so was not found" in plugin.found
    assert plugin.remedy.startswith("Install it (on Debian and Ubuntu: libpython3.")


@pytest.mark.parametrize("check", ["middleware", "ROS domain"])
def test_a_middleware_that_is_not_installed_is_unset(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_of_nobody_cpp")
    [finding] = examine([check])
    assert finding.state == "broken" and "rmw_of_nobody_cpp" in finding.found
    assert finding.remedy == "unset RMW_IMPLEMENTATION"


def test_a_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":93")
    [finding] = examine(["display"])
    assert finding.state == "broken" and ":93" in finding.found


def test_a_display_that_answers(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    [finding] = examine(["display"])
    assert finding.state == "ok"
