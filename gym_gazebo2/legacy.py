"""The ids for the abandoned ``gym`` package (0.26), where a user still has it installed.

``gym`` itself calls ``register_legacy_envs`` through its entry point ``gym.envs``; nothing here is imported otherwise.
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
                disable_env_checker=True,  # gym's checker does not run on NumPy 2
                order_enforce=False,
            )


def make_legacy_env(gymnasium_id: str, **kwargs: Any) -> Any:
    """Return a ``gym.Env`` that forwards to the Gymnasium environment of the id, without its time limit."""
    import gym

    env = gymnasium.make(gymnasium_id, max_episode_steps=-1, **kwargs).unwrapped

    class LegacyEnv(gym.Env):
        """Forwards to the Gymnasium environment; the two interfaces differ in their spaces' classes alone."""

        metadata = env.metadata
        render_mode = env.render_mode
        observation_space = _convert(env.observation_space)
        action_space = _convert(env.action_space)
        reset, step, render, close = env.reset, env.step, env.render, env.close

        @property
        def unwrapped(self) -> gymnasium.Env[Any, Any]:
            """The Gymnasium environment itself."""
            return env

    return LegacyEnv()


def _convert(space: spaces.Space[Any]) -> Any:
    """Return the ``gym`` space of a Gymnasium space."""
    from gym import spaces as legacy

    if isinstance(space, spaces.Dict):
        return legacy.Dict({key: _convert(value) for key, value in space.items()})
    if not isinstance(space, spaces.Box):
        raise TypeError(f"space is a {type(space).__name__}, expected a Box or a Dict of these")
    return legacy.Box(space.low, space.high, dtype=space.dtype)
