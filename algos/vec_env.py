"""Environments for stable-baselines3: the batched environment as a ``VecEnv``, or one environment per process."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from gym_gazebo2.algos.choices import Actions, Vectorization
from gym_gazebo2.algos.discrete import DiscreteVecEnv
from gym_gazebo2.algos.env_id import check_env_id, get_spec
from gym_gazebo2.algos.settings.env_keywords import find_env_keywords, naming_env_kwargs
from gym_gazebo2.checks import read_whole
from gym_gazebo2.core import RESET_OPTIONS, ArmCore
from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError, UnsupportedError
from gym_gazebo2.memory import check_memory
from gym_gazebo2.scheduling import keep_to_processor, work_in_batches
from gym_gazebo2.signals import leave_signals_to_parent
from gym_gazebo2.vector_env import ArmVectorEnv, select

__all__ = ["BatchedVecEnv", "get_observation_moments", "has_batched_form", "make_vec_env", "normalize"]

GOAL_POINTS = ("achieved_goal", "desired_goal")
"""Parts of a goal environment's observation that must stay comparable with each other."""
BATCHED = "gym_gazebo2.vector_env:ArmVectorEnv"
"""Vector entry point of the ids that this package can step as a batch."""


def make_vec_env(
    env_id: str,
    num_envs: int = 1,
    *,
    vec: Vectorization = "batched",
    seed: int | None = None,
    actions: Actions = "box",
    **env_kwargs: Any,
) -> VecEnv:
    """Make n environments of an id for stable-baselines3.

    Args:
        env_id: An id that ``gymnasium.make`` knows, or "module:Id".
        num_envs: Number of environments n.
        vec: "batched": one backend moves all arms (the fast path). "dummy": one environment after the other in this process.
            "subproc": one process per environment. "pinned": as "subproc", with process i and its simulator bound to processor
            i; faster with as many Gazebo servers as processors, slower if other programs need the processors.
        seed: Environment i is seeded seed + i.
        actions: "box": the arm's own actions. "discrete": a choice among a few of them (``discrete.make_action_table``).
        **env_kwargs: Keywords of ``gymnasium.make``.

    Raises:
        UnknownNameError: There is no such id, vectorization, kind of actions, or keyword.
        InvalidArgumentError: ``num_envs`` or ``seed`` is invalid, or the id has no batched form.
    """
    check_env_id(env_id)
    if vec not in get_args(Vectorization):
        raise UnknownNameError("vectorization", vec, get_args(Vectorization))
    if actions not in get_args(Actions):
        raise UnknownNameError("kind of actions", actions, get_args(Actions))
    num_envs = read_whole("num_envs", num_envs)
    if seed is not None:
        seed = read_whole("seed", seed, least=0)
    env = _make_batch(env_id, num_envs, env_kwargs) if vec == "batched" else _make_each(env_id, num_envs, vec, seed, env_kwargs)
    env.seed(seed)
    return DiscreteVecEnv(env) if actions == "discrete" else env


def has_batched_form(env_id: str) -> bool:
    """Return whether an id can be made with ``vec="batched"``: ids of this package and of ``register_env`` can."""
    return get_spec(env_id).vector_entry_point == BATCHED


def _make_batch(env_id: str, num_envs: int, env_kwargs: dict[str, Any]) -> VecEnv:
    if not has_batched_form(env_id):
        sentence = f"{env_id} has no batched form, so vec='batched' is impossible. Use vec='dummy' or vec='subproc'."
        raise InvalidArgumentError("vec", "batched", sentence=sentence)
    return BatchedVecEnv(gymnasium.make_vec(env_id, num_envs=num_envs, **env_kwargs))


BYTES_PER_ENV = {"dummy": 2e6, "subproc": 1e8, "pinned": 1e8}
"""Memory of one environment of its own [bytes]: a model of the engine, or a process that imports engine and torch."""


def _make_each(env_id: str, num_envs: int, vec: Vectorization, seed: int | None, env_kwargs: dict[str, Any]) -> VecEnv:
    check_memory("num_envs", num_envs, BYTES_PER_ENV[vec], f"environments with vec={vec!r}")
    can_render = "render_mode" in find_env_keywords(env_id).defaults  # an environment of the user's own may not take it
    given = {"render_mode": "rgb_array", **env_kwargs} if can_render else env_kwargs
    make = functools.partial(_make_one, id=env_id, **given)
    seeds = [None if seed is None else seed + i for i in range(num_envs)]
    # Functions of module level with partial arguments, since the makers are pickled on their way to the workers.
    makers = [functools.partial(make, vec, i, seeds[i]) for i in range(num_envs)]
    with naming_env_kwargs(env_id, env_kwargs):
        return DummyVecEnv(makers) if vec == "dummy" else SubprocVecEnv(makers)


def _make_one(vec: Vectorization, index: int, seed: int | None, **kwargs: Any) -> Monitor[Any, Any]:
    """Make environment ``index``. Unless "dummy", this runs in a worker process, which leaves signals to the training."""
    if vec != "dummy":
        leave_signals_to_parent()
        work_in_batches()
    if vec == "pinned":
        keep_to_processor(index)
    env = gymnasium.make(**kwargs)
    # The space has a generator of its own, which the environment's seed does not reach; SB3's make_vec_env does the same.
    env.action_space.seed(seed)
    return Monitor(env)


def normalize(env: VecEnv, **options: Any) -> VecNormalize:
    """Return the environments with observations and rewards normalised by running statistics.

    Images are not normalised. Neither are achieved and desired goals: normalised with different statistics, two equal points
    would no longer be equal.

    Args:
        env: The environments.
        **options: Further keywords of ``VecNormalize``.
    """
    space = env.observation_space
    if isinstance(space, spaces.Dict):
        options["norm_obs_keys"] = [name for name, part in space.items() if not (is_image_space(part) or name in GOAL_POINTS)]
    return VecNormalize(env, **options)


class ScaledRewards(VecEnvWrapper):
    """Multiplies rewards by a factor, for the algorithm alone: logs and evaluations show the environment's own rewards."""

    def __init__(self, env: VecEnv, scale: float) -> None:
        """Wrap environments.

        Args:
            env: The environments.
            scale: The factor.
        """
        super().__init__(env)
        self.scale = scale

    def reset(self) -> VecEnvObs:
        """Start an episode of every arm."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Advance every arm by one control period."""
        observation, rewards, dones, infos = self.venv.step_wait()
        return observation, self.scale * rewards, dones, infos


def get_observation_moments(normalizer: VecNormalize) -> dict[str, RunningMeanStd]:
    """Return the running moments of observations by key, "" for flat ones; empty if only rewards are normalised."""
    if not normalizer.norm_obs:
        return {}  # the attribute obs_rms does not exist then
    moments = normalizer.obs_rms
    return dict(moments) if isinstance(moments, dict) else {"": moments}


PURE_METHODS = ("compute_reward", "get_wrapper_attr", "has_wrapper_attr")
"""Methods that change nothing and have the same result for every arm."""
PER_ARM: dict[str, Callable[[ArmVectorEnv], Sequence[Any]]] = {
    "action_space": lambda env: [env.single_action_space] * env.num_envs,
    "observation_space": lambda env: [env.single_observation_space] * env.num_envs,
    "np_random": lambda env: env.np_random,
    "np_random_seed": lambda env: env.np_random_seed,
}
"""Attribute of a single environment → its values in a batch, one per arm."""


class BatchedVecEnv(VecEnv):
    """The batched environment as a ``VecEnv``. It counts rewards and steps of episodes itself, so it needs no ``Monitor``.

    Attributes:
        last_info: The info of the last step as arrays (n,). Where an episode ended, it is the info of its last state.
        returns: (n,) sum of rewards of each arm's episode so far.
        lengths: (n,) number of steps of each arm's episode so far.
        splits_infos: Setting: whether a step returns the info of every arm. False: infos are empty where no episode ended, and
            so are all ``reset_infos``. That saves 1 % of the time of workers.
    """

    env: ArmVectorEnv

    def __init__(self, env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> None:
        """Wrap a batched environment.

        Args:
            env: An ``ArmVectorEnv`` with the autoreset mode SAME_STEP.

        Raises:
            InvalidArgumentError: The environment has another class or autoreset mode.
        """
        if not isinstance(env, ArmVectorEnv) or env.autoreset_mode != AutoresetMode.SAME_STEP:
            raise InvalidArgumentError("env", env, "an ArmVectorEnv with AutoresetMode.SAME_STEP")
        self.env = env
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = env.metadata
        self.returns, self.lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=np.int64)
        self.last_info: dict[str, NDArray[Any]] = {}
        self.splits_infos = True
        self._start = time.monotonic()

    @property
    def arms(self) -> ArmCore:
        """The core of the environment: robot, task, backend and newest state of the arms."""
        return self.env.core

    def reset(self) -> VecEnvObs:
        """Start an episode of every arm, with the seeds of ``seed`` and the options of ``set_options``, if they were called.

        Raises:
            InvalidArgumentError: The options are neither one dictionary for all arms nor one per arm with the same names.
        """
        # SB3 keeps seeds and options until the next reset, which uses them once.
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observation, infos = self.env.reset(seed=seeds, options=_stack_options(self._options, self.num_envs))
        self.reset_infos = _split(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        self.returns[:], self.lengths[:] = 0.0, 0
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Store the actions, (n, size)."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Advance every arm by one control period.

        Returns:
            Observation, rewards (n,) float32, dones (n,), and one info per arm in SB3's form: where an episode ended, it holds
            "terminal_observation", "TimeLimit.truncated" and "episode".
        """
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        done = terminated | truncated
        self.returns += reward
        self.lengths += 1
        rows = _split(infos, self.num_envs) if self.splits_infos else [{} for _ in range(self.num_envs)]
        # "final_info" holds rows for all arms, from before the automatic resets, so it serves whichever arms ended.
        ended_info = infos.get("final_info", infos)
        self.last_info = {name: value for name, value in ended_info.items() if not name.startswith(("_", "final_"))}
        if done.any():
            self._end_episodes(np.flatnonzero(done), terminated, infos, rows)
        return observation, reward.astype(np.float32), done, rows

    def _end_episodes(
        self, ended: NDArray[np.int64], terminated: NDArray[np.bool_], infos: dict[str, Any], rows: list[dict[str, Any]]
    ) -> None:
        """Replace the infos of ended arms by those of their last state, with the keys that SB3 expects at an episode's end.

        The infos of the new episodes go to ``reset_infos``, as in SB3's own vectorized environments.
        """
        final = _split(infos["final_info"], self.num_envs)
        elapsed = round(time.monotonic() - self._start, 6)
        for i in ended:
            self.reset_infos[i], rows[i] = rows[i], final[i]
            rows[i]["terminal_observation"] = infos["final_obs"][i]
            # SB3 bootstraps the value of the last observation where an episode was truncated, also by a restart.
            rows[i]["TimeLimit.truncated"] = not terminated[i]
            rows[i]["episode"] = {"r": round(float(self.returns[i]), 6), "l": int(self.lengths[i]), "t": elapsed}
        self.returns[ended], self.lengths[ended] = 0.0, 0

    def get_state(self) -> tuple[dict[str, NDArray[Any]], list[Any]]:
        """Return the state with which ``set_state`` continues bit-equally: arrays by name, and each arm's generator state.

        Raises:
            UnsupportedError: The backend cannot save its state.
        """
        # Steps, returns and lengths are those of episodes in progress; without them a resumed episode would be too long.
        arrays = {f"env.{key}": value for key, value in self.arms.get_state().items()}
        arrays |= {"steps": self.env.get_steps(), "returns": self.returns, "lengths": self.lengths}
        return arrays, [rng.bit_generator.state for rng in self.env.np_random]

    def set_state(self, arrays: Mapping[str, NDArray[Any]], generators: Sequence[Any]) -> None:
        """Continue from a state that ``get_state`` returned.

        Args:
            arrays: Arrays by name.
            generators: State of each arm's random generator.

        Raises:
            UnsupportedError: The backend cannot restore a state.
        """
        prefix = "env."
        self.arms.set_state({k.removeprefix(prefix): value for k, value in arrays.items() if k.startswith(prefix)})
        self.env.set_steps(arrays["steps"])
        self.returns[:], self.lengths[:] = arrays["returns"], arrays["lengths"]
        for rng, state in zip(self.env.np_random, generators, strict=True):
            rng.bit_generator.state = state

    def close(self) -> None:
        """Release the backend. Closing twice is fine."""
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return the picture of the first arm."""
        frames = self.env.render()
        return [] if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of each arm in ``indices``: spaces and random generators are those of a single environment."""
        if attr_name in PER_ARM:
            values = PER_ARM[attr_name](self.env)
            return [values[i] for i in self._get_indices(indices)]
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the batched environment, for all arms at once.

        Raises:
            UnsupportedError: ``indices`` leaves out an arm.
        """
        self._check_all(f"set_attr({attr_name!r})", indices)
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method, and return one result per arm in ``indices``.

        "reset" starts an episode of these arms alone. Any other method is called once, with its result for every arm.

        Raises:
            UnsupportedError: ``indices`` leaves out an arm, and the method concerns all of them.
        """
        if method_name == "reset":
            return self._reset_some(self._get_indices(indices), *method_args, **method_kwargs)
        if method_name not in PURE_METHODS:
            self._check_all(f"env_method({method_name!r})", indices)
        method: Callable[..., Any] = getattr(self.env, method_name)
        result = method(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def _reset_some(
        self, indices: Iterable[int], *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> list[Any]:
        """Start an episode of some arms, each with the same seed and options, as a single environment would."""
        chosen = list(indices)
        mask = np.isin(np.arange(self.num_envs), chosen)
        seeds = None if seed is None else [seed if hit else None for hit in mask]
        observation, infos = self.env.reset(seed=seeds, options={**(options or {}), "reset_mask": mask})
        self.returns[mask], self.lengths[mask] = 0.0, 0
        rows = _split(infos, self.num_envs)
        return [(select(observation, i), rows[i]) for i in chosen]

    def _check_all(self, call: str, indices: Any) -> None:
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise UnsupportedError(
                f"{call} concerns all {self.num_envs} arms of a batch, and not only {indices}. Leave out indices, or make "
                "separate environments with vec='dummy'."
            )

    def env_is_wrapped(self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """Return True for ``Monitor``, whose work this class does, and False for every other wrapper."""
        return [issubclass(wrapper_class, Monitor) for _ in self._get_indices(indices)]


def _stack_options(options: list[dict[str, Any]], num_envs: int) -> dict[str, NDArray[np.float64]]:
    """Return arrays (n, …) by name from one dictionary per arm."""
    if len(options) != num_envs:
        raise InvalidArgumentError("number of options", len(options), f"{num_envs}, one dictionary per arm")
    for i, own in enumerate(options):
        if set(own) != set(options[0]):
            expected = f"{sorted(options[0])}, the same as for arm 0"
            raise InvalidArgumentError(f"options of arm {i}", sorted(own), expected)
        for name in own:
            if name not in RESET_OPTIONS:
                raise UnknownNameError("reset option", name, RESET_OPTIONS)
    try:
        return {name: np.array([own[name] for own in options], dtype=float) for name in options[0]}
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError("options", options, "arrays of numbers, of one shape for all arms") from error


def _split(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Return one dictionary per arm from a dictionary of arrays, without Gymnasium's masks and final entries."""
    # tolist() makes Python numbers of a whole array at once: 0.7 µs for 64 arms, against 22 µs one by one.
    names = [name for name in infos if not name.startswith(("_", "final_"))]
    columns: Iterable[list[Any]] = (np.asarray(infos[name]).tolist() for name in names)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] or [{} for _ in range(num_envs)]
