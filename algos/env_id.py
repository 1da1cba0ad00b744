"""Environment ids: those registered with Gymnasium, and "module:Id", its form for an id that a module registers."""

from __future__ import annotations

import importlib

import gymnasium
from gymnasium.envs.registration import EnvSpec

from gym_gazebo2.errors import UnknownEnvError, UnknownNameError
from gym_gazebo2.registration import ENVIRONMENTS

__all__ = ["check_env_id", "drop_module", "get_spec"]

KIND = "environment id"
HINT = "An id of your own needs the module that registers it: write my_module:Id, or import the module first."
PATH_HINT = "If the module is a file of yours, put its folder on PYTHONPATH."


def check_env_id(env_id: str) -> None:
    """Import the module of "module:Id", and check that the id is registered with Gymnasium.

    Raises:
        UnknownNameError: There is no such id, or its module cannot be imported.
    """
    if not isinstance(env_id, str):
        raise UnknownNameError(KIND, env_id, ENVIRONMENTS)
    module, colon, _ = env_id.rpartition(":")
    if colon:
        _import(module, env_id)
    if drop_module(env_id) not in gymnasium.registry:
        raise UnknownEnvError(KIND, env_id, ENVIRONMENTS, HINT)


def drop_module(env_id: str) -> str:
    """Return the id without its module, as tables and folders use it."""
    return env_id.rpartition(":")[2]


def get_spec(env_id: str) -> EnvSpec:
    """Return Gymnasium's registration of an id that passed ``check_env_id``."""
    return gymnasium.spec(drop_module(env_id))


def _import(module: str, env_id: str) -> None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a user's module may raise anything; the message names the id that needs the module
        advice = f"Its module {module!r} cannot be imported ({type(error).__name__}: {error}). {PATH_HINT}"
        raise UnknownEnvError(KIND, env_id, ENVIRONMENTS, advice) from error
