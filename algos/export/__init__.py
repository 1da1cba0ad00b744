"""Export of a policy to files that run without this package."""

from gym_gazebo2.algos.export.network import FORMATS, ExportConfig, export

__all__ = ["FORMATS", "ExportConfig", "export"]
