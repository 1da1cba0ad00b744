"""Watch, record or steer an arm."""

from gym_gazebo2.algos.play.player import PlayConfig, Played, play

__all__ = ["PlayConfig", "Played", "play"]
