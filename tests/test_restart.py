"""A simulator that fails is an error by default; with on_failure="restart" it is restarted, which truncates the episode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.algos.evaluation.rollout import make_eval_env, run_episodes
from gym_gazebo2.algos.runs.episodes import read_episodes
from gym_gazebo2.algos.vec_env import BatchedVecEnv
from gym_gazebo2.backends import BACKENDS, make_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.backends.restart import MOST_RESTARTS
from gym_gazebo2.env import ArmEnv
from gym_gazebo2.errors import BackendError, UnknownNameError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.testing import CHECKS
from gym_gazebo2.vector_env import ArmVectorEnv

RESTART = {"on_failure": "restart"}


class Fragile(FakeBackend):
    """A simulator that fails at the calls that ``dies`` names."""

    dies: Callable[[int, str], bool]
    is_restartable = True
    made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        type(self).made += 1
        self.number, self.calls = type(self).made, 0
        if type(self).dies(self.number, "start"):
            raise BackendError("it does not start")
        super().__init__(*args, **kwargs)

    def step(self, q_setpoint: Any) -> Any:
        self.calls += 1
        if type(self).dies(self.number, f"step {self.calls}"):
            raise BackendError("it died in a step")
        return super().step(q_setpoint)

    def reset(self, mask: Any, q: Any) -> Any:
        if type(self).dies(self.number, "reset"):
            raise BackendError("it died in a reset")
        return super().reset(mask, q)


def fragile(dies: Callable[[int, str], bool]) -> type[Fragile]:
    return type("Fragile", (Fragile,), {"dies": staticmethod(dies)})


@pytest.fixture
def once() -> type[Fragile]:
    return fragile(lambda number, call: (number, call) == (1, "step 3"))


@pytest.mark.parametrize("check", CHECKS)
def test_keeps_the_contract(check: str) -> None:
    CHECKS[check](lambda n: make_backend("fake", make_robot("scara"), num_envs=n, on_failure="restart"), 3)


def test_a_failure_is_raised_by_default(once: type[Fragile]) -> None:
    env = ArmEnv("scara", "scara_reach", backend=once)
    env.reset(seed=0)
    with pytest.raises(BackendError, match="died in a step"):
        for _ in range(3):
            env.step(env.action_space.sample())


def test_an_episode_ends_truncated_and_the_next_runs_anew(once: type[Fragile], caplog: pytest.LogCaptureFixture) -> None:
    env = gym.wrappers.TimeLimit(ArmEnv("scara", "scara_reach", backend=once, backend_options=RESTART), 100)
    env.reset(seed=0)
    for _ in range(2):
        before, _, _, truncated, info = env.step(np.ones(3))
        assert not truncated and info["simulator_restarted"] is False
    with caplog.at_level(logging.WARNING):
        after, reward, terminated, truncated, info = env.step(np.ones(3))
    assert truncated and not terminated and info["simulator_restarted"] is True and np.isfinite(reward)
    assert np.array_equal(before, after), "the last state that was known"
    assert "it died in a step" in caplog.text
    _, info = env.reset()
    assert info["simulator_restarted"] is False
    for k in range(1, 6):
        *_, truncated, info = env.step(np.ones(3))
        assert not truncated and info["time"] == pytest.approx(0.05 * k)


def test_a_batch_ends_whole_and_starts_anew(once: type[Fragile]) -> None:
    env = ArmVectorEnv("scara", "scara_reach", num_envs=3, backend=once, backend_options=RESTART, max_episode_steps=50)
    env.reset(seed=0)
    for _ in range(2):
        assert not env.step(np.ones((3, 3)))[3].any()
    _, _, terminated, truncated, infos = env.step(np.ones((3, 3)))
    assert truncated.all() and not terminated.any()
    assert infos["final_info"]["simulator_restarted"].all() and not infos["simulator_restarted"].any()
    assert not env.get_steps().any() and not infos["time"].any()
    assert not env.step(np.ones((3, 3)))[3].any()


@pytest.mark.parametrize("vec", ["batched", "dummy"])
def test_stable_baselines_sees_a_time_limit(vec: str, once: type[Fragile]) -> None:
    kwargs: dict[str, Any] = {"backend": once, "backend_options": RESTART}
    if vec == "batched":
        env: Any = BatchedVecEnv(ArmVectorEnv("scara", "scara_reach", num_envs=1, **kwargs))
    else:
        env = DummyVecEnv([lambda: gym.wrappers.TimeLimit(ArmEnv("scara", "scara_reach", **kwargs), 100)])
    env.reset()
    for _ in range(2):
        _, _, done, infos = env.step(np.ones((1, 3)))
        assert not done[0] and infos[0]["simulator_restarted"] is False
    _, _, done, infos = env.step(np.ones((1, 3)))
    assert done[0] and infos[0]["simulator_restarted"] is True
    assert infos[0]["TimeLimit.truncated"] and "terminal_observation" in infos[0], "its value is bootstrapped"


def test_a_reset_that_fails_is_tried_again() -> None:
    kind = fragile(lambda number, call: (number, call) == (1, "reset"))
    env = ArmEnv("scara", "scara_reach", backend=kind, backend_options=RESTART)
    _, info = env.reset(seed=0)
    assert info["simulator_restarted"] is True and kind.made == 2
    *_, truncated, info = env.step(np.zeros(3))
    assert not truncated and not info["simulator_restarted"]


@pytest.mark.parametrize("autoreset", ["SAME_STEP", "DISABLED"])
def test_a_reset_of_some_that_fails_ends_the_episodes_of_the_others(autoreset: str) -> None:
    deaths = iter([False, True])  # the second reset
    kind = fragile(lambda number, call: call == "reset" and next(deaths, False))
    options: dict[str, Any] = {"backend": kind, "backend_options": RESTART, "autoreset_mode": autoreset}
    env = ArmVectorEnv("scara", "scara_reach", num_envs=3, **options)
    env.reset(seed=0)
    env.step(np.ones((3, 3)))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    *_, truncated, infos = env.step(np.ones((3, 3)))
    reported = infos if autoreset == "DISABLED" else infos["final_info"]
    assert truncated.all() and reported["simulator_restarted"].all()
    env.reset()
    *_, truncated, infos = env.step(np.ones((3, 3)))
    assert not truncated.any() and not infos["simulator_restarted"].any()


def test_infos_are_the_callers_own() -> None:
    env = ArmVectorEnv("scara", "scara_reach", num_envs=2, backend="fake")
    _, infos = env.reset(seed=0)
    infos["simulator_restarted"][:] = True
    assert not env.step(np.ones((2, 3)))[3].any()


def test_a_simulator_that_keeps_failing_raises_after_some_restarts() -> None:
    kind = fragile(lambda number, call: call == "step 1")
    env = ArmEnv("scara", "scara_reach", backend=kind, backend_options=RESTART)
    for _ in range(MOST_RESTARTS):
        env.reset()
        assert env.step(np.zeros(3))[3]
    env.reset()
    with pytest.raises(BackendError, match=f"{MOST_RESTARTS} times without a successful step and failed again.*: it died"):
        env.step(np.zeros(3))


def test_a_simulator_that_does_not_start_again_raises() -> None:
    kind = fragile(lambda number, call: call == "step 1" if number == 1 else call == "start")
    env = ArmEnv("scara", "scara_reach", backend=kind, backend_options=RESTART)
    env.reset()
    with pytest.raises(BackendError, match="failed again. Its error: it does not start"):
        env.step(np.zeros(3))
    assert kind.made == 1 + MOST_RESTARTS


def test_an_evaluation_runs_episodes_that_were_cut_short_again(once: type[Fragile]) -> None:
    def evaluate(kind: Any) -> Any:
        env = make_eval_env("SCARA-v0", 2, backend=kind, backend_options=RESTART, start_noise=0.1)
        return run_episodes(env, lambda: lambda observation: np.full((env.num_envs, 3), 0.3), 10, 5, 2)

    whole, cut = evaluate("fake"), evaluate(once)
    assert once.made == 2 and np.array_equal(whole.offset, cut.offset) and np.array_equal(whole.reward, cut.reward)


@pytest.mark.parametrize(("algo", "vec"), [("ppo", "batched"), ("ppo", "dummy"), ("sac", "batched")])
def test_an_episode_cut_short_neither_counts_nor_stops(
    algo: str, vec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: type[Fragile]
) -> None:
    monkeypatch.setitem(BACKENDS, "gazebo", once)
    sizes: dict[str, Any] = {"ppo": {"n_steps": 25, "batch_size": 25}, "sac": {"learning_starts": 400}}
    common: dict[str, Any] = {"num_envs": 1, "steps": 400, "max_episode_steps": 100, "eval_runs": 1, "progress": "quiet"}
    settings = {**common, "vec": vec, "backend": "gazebo", "hyperparameters": sizes[algo]}
    run = train(TrainConfig("SCARA-v0", algo, stop_reward=-5.0, out=str(tmp_path / "run"), **settings))
    episodes = read_episodes(run.path)
    assert episodes.length.tolist() == [100, 100, 100] and episodes.reward.max() < -5.0
    assert run.read_json("training.json")["stopped_by"] is None


def test_an_unknown_on_failure_lists_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="Available: raise, restart"):
        make_backend("fake", make_robot("scara"), on_failure="retry")  # type: ignore[arg-type]
