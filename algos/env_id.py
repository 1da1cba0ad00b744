"""Environment ids: those that Gymnasium knows, and "module:Id", Gymnasium's own form for one that a module registers."""

from __future__ import annotations

import importlib

import gymnasium
from gymnasium.envs.registration import EnvSpec

from gym_gazebo2.errors import UnknownEnvError, UnknownNameError
from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["check_env_id", "drop_module", "get_spec"]

KIND = "environment id"
OWN = "One of your own is named with the module that registers it, as in my_module:Id, or that module is imported before."
ON_PATH = "Where it is a file of yours, put its folder on PYTHONPATH."


def check_env_id(env_id: str) -> None:
    """Import the module of "module:Id", and see that Gymnasium knows the id.

    Raises:
        UnknownNameError: There is no such id, or its module cannot be imported.
    """
    if not isinstance(env_id, str):
        raise UnknownNameError(KIND, env_id, ENVIRONMENTS)
    module, colon, _ = env_id.rpartition(":")
    if colon:
        _import(module, env_id)
    if drop_module(env_id) not in gymnasium.registry:
        raise UnknownEnvError(KIND, env_id, ENVIRONMENTS, OWN)


def drop_module(env_id: str) -> str:
    """Return the id alone, as tables and folders know it."""
    return env_id.rpartition(":")[2]


def get_spec(env_id: str) -> EnvSpec:
    """Return what Gymnasium knows of an id that ``check_env_id`` took."""
    return gymnasium.spec(drop_module(env_id))


def _import(module: str, env_id: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a module of the user's own raises is told with the id that asks for it
        told = f"Its module {module!r} cannot be imported ({type(error).__name__}: {error}). {ON_PATH}"
        raise UnknownEnvError(KIND, env_id, ENVIRONMENTS, told) from error
