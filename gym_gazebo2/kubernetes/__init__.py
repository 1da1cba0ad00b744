"""Manifests of a Ray cluster, and of a training on it, for Kubernetes with the operator KubeRay 1.7.

Nothing here needs Ray or Kubernetes: the manifests are made from one configuration, and written as YAML.
"""

from __future__ import annotations

from gym_gazebo2.kubernetes.config import ManifestConfig
from gym_gazebo2.kubernetes.files import make_files, write_files

__all__ = ["ManifestConfig", "make_files", "write_files"]
