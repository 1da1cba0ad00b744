"""Registers the ids with ``gym`` 0.26, the predecessor of Gymnasium that is no longer maintained.

``gym`` itself calls ``register_legacy_envs`` through its entry point ``gym.envs``; otherwise this module is not imported.
New code should use Gymnasium.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium import spaces

from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["make_legacy_env", "register_legacy_envs"]


def register_legacy_envs() -> None:
    """Register every id with ``gym``."""
    from gym.envs.registration import register, registry

    for env_id, row in ENVIRONMENTS.items():
        if env_id not in registry:
            register(
                id=env_id,
                entry_point="gym_gazebo2.legacy:make_legacy_env",
                kwargs={"gymnasium_id": env_id},
                max_episode_steps=row.max_episode_steps,
                disable_env_checker=True,  # gym's checker uses np.bool8, which NumPy 2 removed
                order_enforce=False,  # the environment itself refuses a step before the first reset
            )


def make_legacy_env(gymnasium_id: str, **kwargs: Any) -> Any:
    """Return a ``gym.Env`` that forwards to the Gymnasium environment of an id.

    Args:
        gymnasium_id: The id.
        **kwargs: Keywords of ``gymnasium.make``.
    """
    import gym

    # No time limit of Gymnasium's: gym's own TimeLimit is around this environment already.
    env = gymnasium.make(gymnasium_id, max_episode_steps=-1, **kwargs).unwrapped

    class LegacyEnv(gym.Env):
        """Forwards to the Gymnasium environment. The two interfaces differ only in the classes of their spaces."""

        metadata = env.metadata
        render_mode = env.render_mode
        observation_space = _convert(env.observation_space)
        action_space = _convert(env.action_space)
        reset, step, render, close = env.reset, env.step, env.render, env.close

        @property
        def unwrapped(self) -> gymnasium.Env[Any, Any]:
            """The wrapped Gymnasium environment."""
            return env

    return LegacyEnv()


def _convert(space: spaces.Space[Any]) -> Any:
    """Return the ``gym`` space of a Gymnasium space.

    Raises:
        TypeError: The space is neither a Box nor a Dict. No environment of this package has another one.
    """
    from gym import spaces as legacy

    if isinstance(space, spaces.Dict):
        return legacy.Dict({key: _convert(value) for key, value in space.items()})
    if not isinstance(space, spaces.Box):
        raise TypeError(f"space is a {type(space).__name__}, expected a Box or a Dict of these")
    return legacy.Box(space.low, space.high, dtype=space.dtype)
