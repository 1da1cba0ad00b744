"""A path that earlier examples named; import ``read_model_file`` from ``gym_gazebo2.algos``."""

from gym_gazebo2.algos.runs.model_file import ModelFile, read_model_file, save_model

__all__ = ["ModelFile", "read_model_file", "save_model"]
