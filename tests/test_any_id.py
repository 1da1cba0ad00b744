"""Ids of other packages, and of the user's own, train without a preset, and every command knows their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from gym_gazebo2.algos import EvaluateConfig, RunFolder, TrainConfig, evaluate, resume, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.cli import main
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, UnknownNameError

pytestmark = pytest.mark.filterwarnings("ignore:.*mini-batch size", "ignore:.*No render modes", "ignore:.*'rgb_array'")

CARTPOLE = ["train", "--env", "CartPole-v1", "--steps", "512", "--eval-runs", "2", "--hyper", "n_steps=128"]


class Sized(gymnasium.Env[Any, Any]):
    """An environment of any spaces, whose episodes end after ``length`` steps."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], length: int = 3) -> None:
        self.observation_space, self.action_space, self.length = observation_space, action_space, length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.observation_space.sample(), 1.0, self.steps == self.length, False, {}


def make_sized(**kwargs: Any) -> Sized:
    """Its signature does not show its keywords."""
    return Sized(**kwargs)


OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "Flat-v0": spaces.Box(-1, 1, (3,)),
    "Image-v0": spaces.Box(0, 255, (40, 40, 3), np.uint8),
    "Dict-v0": spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)}),
    "Count-v0": spaces.Discrete(4),
    "Tuple-v0": spaces.Tuple([spaces.Discrete(4)]),
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of other packages."""
    for name, space in OBSERVATIONS.items():
        kwargs = {"observation_space": space, "action_space": spaces.Box(-1, 1, (2,))}
        spec = gymnasium.envs.registration.EnvSpec(name, Sized, max_episode_steps=5, kwargs=kwargs)
        monkeypatch.setitem(gymnasium.registry, name, spec)
    kwargs = {"observation_space": spaces.Discrete(2), "action_space": spaces.Discrete(2)}
    spec = gymnasium.envs.registration.EnvSpec("Open-v0", make_sized, max_episode_steps=5, kwargs=kwargs)
    monkeypatch.setitem(gymnasium.registry, "Open-v0", spec)


def make_config(path: Path, env: str, algo: str = "ppo", **kwargs: Any) -> TrainConfig:
    sizes = {"steps": 64, "eval_runs": 2, "progress": "quiet"}
    small = {"n_steps": 16, "batch_size": 16} if algo == "ppo" else {"learning_starts": 16, "buffer_size": 100}
    return TrainConfig(env, algo, out=path, **{**sizes, "hyperparameters": small, **kwargs})


def test_cartpole_trains_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main([*CARTPOLE, "--env.sutton-barto-reward", "true", "--out", run]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("There is no preset for CartPole-v1 with ppo: training for 512 steps with the algorithm's") == 1
    config = RunFolder.open(run).read_config()
    assert config.preset == "default" and config.vec == "dummy" and config.hyperparameters == {"n_steps": 128}
    assert config.make_kwargs == {"sutton_barto_reward": True} and config.backend is config.control is None
    assert main(["evaluate", run, "--runs", "3", "--env.sutton_barto_reward", "false"]) == 0
    assert "mean reward" in capsys.readouterr().out
    result = RunFolder.open(run).read_json("evaluation.json")
    assert result["mean_reward"] == result["mean_length"] > 5, "one per step under the keyword that evaluate was given"
    assert main(["report", run]) == 0 and main(["compare", run, "--out", str(tmp_path / "page.html")]) == 0
    assert main(["resume", run]) == 0
    assert main(["export", run]) == 1 and "Cannot export a policy of CartPole-v1" in capsys.readouterr().err


def test_pendulum_trains_with_sac(tmp_path: Path) -> None:
    run = train(make_config(tmp_path / "run", "Pendulum-v1", "sac", steps=300, env_kwargs={"g": 9.0}))
    result = evaluate(run.path, EvaluateConfig(runs=2))
    assert result.mean_length == 200 and result.mean_reward < 0 and result.success_rate is None
    assert read_model_file(run.model).build().action_space == spaces.Box(-2.0, 2.0, (1,))


@pytest.mark.parametrize(
    ("env", "policy"),
    [("Flat-v0", "ActorCriticPolicy"), ("Image-v0", "ActorCriticCnnPolicy"), ("Dict-v0", "MultiInputActorCriticPolicy"),
     ("Count-v0", "ActorCriticPolicy")],
)  # fmt: skip
def test_observations_choose_the_policy(tmp_path: Path, env: str, policy: str) -> None:
    run = train(make_config(tmp_path / "run", env))
    assert type(read_model_file(run.model).build().policy).__name__ == policy
    assert evaluate(run.path, EvaluateConfig(runs=2)).mean_length == 3


@pytest.mark.parametrize(
    ("env", "algo", "message"),
    [
        ("CartPole-v1", "sac", r"^sac cannot act in Discrete\(2\). Algorithms that can: ppo, .*, a2c, dqn\.$"),
        ("Pendulum-v1", "dqn", r"^dqn cannot act in Box.*Algorithms that can: ppo, .*, tqc, dagger\.$"),
        ("Tuple-v0", "ppo", "^No algorithm can observe Tuple"),
    ],
)
def test_an_algorithm_that_does_not_fit_names_those_that_do(tmp_path: Path, env: str, algo: str, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        train(make_config(tmp_path / "run", env, algo, hyperparameters={}))
    assert not (tmp_path / "run").exists()


def test_an_arms_actions_become_choices_for_an_algorithm_that_chooses(tmp_path: Path) -> None:
    run = train(make_config(tmp_path / "run", "Flat-v0", "dqn"))
    assert read_model_file(run.model).build().action_space == spaces.Discrete(13)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        (
            {"backend": "gazebo"},
            InvalidArgumentError,
            "^CartPole-v1 does not take backend. Only environments of gym_gazebo2",
        ),
        ({"control_dt": 0.1}, InvalidArgumentError, "^CartPole-v1 does not take control_dt"),
        ({"env_kwargs": {"goal": [1]}}, InvalidArgumentError, "^CartPole-v1 does not take goal"),
        (
            {"env_kwargs": {"reward": 1}},
            UnknownNameError,
            "^There is no keyword of CartPole-v1 'reward'.*: sutton_barto",
        ),
        ({"vec": "batched"}, InvalidArgumentError, "CartPole-v1 has no batched form"),
    ],
)
def test_keywords_that_another_packages_id_does_not_take(
    tmp_path: Path, kwargs: dict[str, Any], error: type[GymGazebo2Error], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(make_config(tmp_path / "run", "CartPole-v1", **kwargs))
    assert not (tmp_path / "run").exists()


def test_a_constructor_that_hides_its_keywords_rejects_them_itself(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Open-v0 rejects a keyword of \['colour'\]: .*unexpected keyword"):
        train(make_config(tmp_path / "run", "Open-v0", env_kwargs={"colour": 1}))
    run = train(make_config(tmp_path / "run", "Open-v0", env_kwargs={"length": 2}))
    assert evaluate(run.path, EvaluateConfig(runs=2)).mean_length == 2
    with pytest.raises(InvalidArgumentError, match="^Open-v0 rejects a keyword"):
        evaluate(run.path, EvaluateConfig(runs=2, env_kwargs={"colour": 1}))


def test_an_id_without_a_time_limit_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.registry["Flat-v0"], "max_episode_steps", None)
    with pytest.raises(InvalidArgumentError, match="^Flat-v0 has no time limit. Give one with --max-episode-steps"):
        resolve(TrainConfig("Flat-v0"))
    assert resolve(TrainConfig("Flat-v0", max_episode_steps=7)).make_kwargs == {"max_episode_steps": 7}


def test_a_module_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.registry["Flat-v0"], "entry_point", "no_such_module:Env")
    with pytest.raises(InvalidArgumentError, match="^Cannot import the environment Flat-v0 .*no_such_module"):
        resolve(TrainConfig("Flat-v0"))


def test_a_run_of_another_packages_id_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(make_config(tmp_path / "run", "CartPole-v1", steps=128))
    run.model.unlink()
    with pytest.warns(UserWarning, match="cannot be saved"):
        assert resume(run.path).model.is_file()
