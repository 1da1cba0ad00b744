"""What a reader needs to repeat a run besides its arguments: versions, commit, processor."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["collect_provenance", "collect_versions"]


def collect_provenance() -> dict[str, Any]:
    """Return what a reader needs to repeat a run besides its arguments: versions, commit, processor."""
    return {
        "versions": collect_versions(),
        "git_commit": _get_commit(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _get_processor(),
        "processor_count": os.cpu_count(),
    }


def collect_versions() -> dict[str, str | None]:
    """Return name → version of Python and of the packages that decide on results; None where one is not installed."""
    names = ("gym_gazebo2", "gymnasium", "mujoco", "numpy", "stable_baselines3", "torch")
    return {"python": platform.python_version(), **{name: _get_version(name) for name in names}}


def _get_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _get_commit() -> str | None:
    """Return the commit of the checkout that this file belongs to, if it belongs to one."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _get_processor() -> str:
    """Return the processor's name as Linux knows it, or what Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
