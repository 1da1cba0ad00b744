"""The commands of a Ray cluster: ``gym-gazebo2 cluster …``, one dataclass per module, and one row each in ``cli.COMMANDS``."""
