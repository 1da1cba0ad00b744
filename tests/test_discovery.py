"""Discovery of this machine only, in the words of each ROS 2."""

from __future__ import annotations

import os

import pytest

from gym_gazebo2.ros.discovery import local_discovery, make_default

NAMES = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY")


@pytest.mark.parametrize("before", [(None, None), ("SUBNET", "0")])
@pytest.mark.parametrize(("distribution", "within"), [("humble", ("LOCALHOST", "1")), ("jazzy", ("LOCALHOST", None))])
def test_only_this_machine_meanwhile(
    distribution: str, within: tuple[str | None, ...], before: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    for name, value in zip(NAMES, before, strict=True):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with local_discovery():
        now = tuple(map(os.environ.get, NAMES))
        assert now[0] == within[0] and now[1] == (within[1] or before[1])
    assert tuple(map(os.environ.get, NAMES)) == before, "the user's discovery is the user's"


def test_what_the_user_says_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "humble")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert make_default() == dict(zip(NAMES, ("LOCALHOST", "1"), strict=True))
    monkeypatch.setenv("ROS_LOCALHOST_ONLY", "0")
    assert make_default()["ROS_LOCALHOST_ONLY"] == "0"
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert make_default() == {}
