"""A training that meets NaN stops, names the quantity and the step, and leaves its last checkpoint as it was."""

import dataclasses
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train
from gym_gazebo2.algos.finite import find_fault
from gym_gazebo2.algos.runs.checkpoint import load_checkpoint
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.table import make_model
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.training.state import TrainingState
from gym_gazebo2.algos.vec_env import make_vec_env, normalize
from gym_gazebo2.cli import main
from gym_gazebo2.errors import NonFiniteError
from gym_gazebo2.registration import ENVIRONMENTS, EnvRow, register_env
from gym_gazebo2.tasks import TASKS, ReachTask, register_task

ENV, NUM_ENVS = "Faulty-v0", 4
FIRST = 300
"""Environment steps from which on the fault occurs."""
ZOO = {"acktr": "{n_steps: 20, n_envs: 4, n_critic_updates: 1}", "ppo": "{n_steps: 20, n_envs: 4, batch_size: 40, n_epochs: 1}",
       "sac": "{n_envs: 4, learning_starts: 40, batch_size: 8, buffer_size: 1000}"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FaultyTask(ReachTask):
    """Reaching, with a fault that tests switch on."""

    fault = {"of": ""}  # noqa: RUF012

    def compute_reward(self, measures, state):
        reward = super().compute_reward(measures, state)
        return reward * np.nan if self.fault["of"] == "rewards" else reward

    def compute_observation(self, state, goal):
        observation = super().compute_observation(state, goal)
        return observation * np.nan if self.fault["of"] == "observations" else observation


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """An id whose task can break, and how to train on it."""
    FaultyTask.fault["of"] = ""
    register_task("faulty", FaultyTask((0.3325683, 0.0657366, 0.3746)))
    register_env(ENV, EnvRow("scara", "faulty"))

    def train_until(fault, algo, **kwargs):
        original = RunCallback._on_step

        def break_at(self):
            FaultyTask.fault["of"] = fault if self.num_timesteps >= FIRST else ""
            return original(self)

        monkeypatch.setattr(RunCallback, "_on_step", break_at)
        (tmp_path / "zoo.yml").write_text(f"default: {ZOO[algo]}")
        values = {"steps": 800, "eval_every": 10_000, "eval_runs": 2, "progress": False, "checkpoint_seconds": 1e-9, **kwargs}
        return train(TrainConfig(ENV, algo, zoo=str(tmp_path / "zoo.yml"), out=str(tmp_path / "run"), **values))

    yield train_until
    FaultyTask.fault["of"] = ""
    del TASKS["faulty"], ENVIRONMENTS[ENV], gym.registry[ENV]


def test_an_error_of_the_first_reset_reaches_the_user(faulty, monkeypatch):
    def fail(self, rng):
        raise ValueError("no goal was found")

    monkeypatch.setattr(FaultyTask, "sample_goal", fail)
    with pytest.raises(ValueError, match="^no goal was found$"):
        faulty("", "ppo")


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("fault", ["rewards", "observations"])
@pytest.mark.parametrize("algo", ZOO)
def test_nan_stops_a_training(faulty, tmp_path, algo, fault, normalize):
    with pytest.raises(NonFiniteError, match=rf"finite {fault}.* after {FIRST + NUM_ENVS} steps.*checkpoint") as caught:
        faulty(fault, algo, normalize=normalize)
    assert (caught.value.what, caught.value.steps) == (fault, FIRST + NUM_ENVS)
    run = RunFolder.open(tmp_path / "run")
    assert not run.model.exists()
    newest = max(run.checkpoints.glob("*.zip"))
    assert int(newest.stem) < FIRST + NUM_ENVS and newest.name in str(caught.value)
    with zipfile.ZipFile(newest) as archive, np.load(archive.open("environments.npz")) as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


def test_parameters_that_are_nan_stop_a_training(faulty, tmp_path, monkeypatch):
    original = RunCallback._on_rollout_start

    def spoil(self):
        if self.num_timesteps > FIRST:
            self.model.policy.log_std.data.fill_(np.nan)
        original(self)

    monkeypatch.setattr(RunCallback, "_on_rollout_start", spoil)
    with pytest.raises(NonFiniteError, match="finite parameters log_std"):
        faulty("", "acktr")
    assert max(int(path.stem) for path in (tmp_path / "run" / "checkpoints").glob("*.zip")) <= FIRST + 20 * NUM_ENVS


BATCH = {"n_steps": 20, "batch_size": 40}
DIVERGING = {
    "ppo": ("ppo", {"learning_rate": 10.0, **BATCH}),
    "ppo, too large to act": ("ppo", {"learning_rate": 1e12, **BATCH}),
    "ppo_kl": ("ppo_kl", {"learning_rate": 1e12, **BATCH}),
    "recurrent_ppo": ("recurrent_ppo", {"learning_rate": 1e12, **BATCH}),
    "trpo": ("trpo", {"learning_rate": 1e30, "target_kl": 1e30, **BATCH}),
    "acktr": ("acktr", {"policy_kwargs": {"log_std_init": -50}, "n_steps": 20}),
    "sac": ("sac", {"learning_rate": 1e12, "learning_starts": 100}),
    "td3": ("td3", {"learning_rate": 1e30, "learning_starts": 100}),
}  # fmt: skip


@pytest.mark.parametrize("case", DIVERGING)
def test_an_error_after_too_large_a_step_names_that_cause(tmp_path, case):
    algo, hyperparameters = DIVERGING[case]
    given = {
        "num_envs": 4,
        "steps": 2000,
        "eval_runs": 2,
        "eval_every": 10_000,
        "progress": "quiet",
        "checkpoint_seconds": 1e-9,
    }
    config = TrainConfig("SCARA-v0", algo, hyperparameters=hyperparameters, out=str(tmp_path), **given)
    message = r"finite (parameters|actions|numbers in an update).* after \d+ steps\..*update step was too large.*checkpoint"
    with pytest.raises(NonFiniteError, match=message) as caught:
        train(config)
    newest = max(RunFolder.open(tmp_path).checkpoints.glob("*.zip"), key=lambda path: int(path.stem))
    assert caught.value.steps > int(newest.stem) and str(newest) in str(caught.value)
    hyperparameters = RunFolder.open(tmp_path).read_config().hyperparameters
    model = make_model(algo, normalize(make_vec_env("SCARA-v0", 4)), hyperparameters, 0)
    model.set_logger(Logger(None, []))
    model._last_obs = np.zeros((4, *model.observation_space.shape), np.float32)
    load_checkpoint(newest, model, TrainingState)
    assert find_fault(model) is None, "the saved model must be able to act"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_an_error_of_another_kind_passes(faulty, monkeypatch, kind):
    def fail(self):
        raise kind("of another kind")

    monkeypatch.setattr(RunCallback, "_on_rollout_end", fail)
    with pytest.raises(kind, match="^of another kind$"):
        faulty("", "ppo")


def test_a_worker_that_cannot_draw_actions_is_an_error_of_the_policy(faulty, monkeypatch):
    """Workers do not check distributions: torch then fails to draw discrete actions."""

    def fail(self):
        self.model.policy.log_std.data.fill_(np.nan)
        torch.multinomial(torch.tensor([np.nan, 1.0]), 1)

    monkeypatch.setattr(RunCallback, "_on_rollout_end", fail)
    with pytest.raises(NonFiniteError, match="finite parameters log_std"):
        faulty("", "ppo")


def test_nan_in_an_evaluation(faulty):
    run = faulty("", "ppo")
    FaultyTask.fault["of"] = "rewards"
    with pytest.raises(NonFiniteError, match="rewards in an evaluation.* after 1 steps"):
        evaluate(run.path, EvaluateConfig(runs=2))


def test_the_command_line_reports_nan_in_one_line(faulty, tmp_path, capsys):
    FaultyTask.fault["of"] = "rewards"
    (tmp_path / "zoo.yml").write_text(f"default: {ZOO['ppo']}")
    words = ["--env", ENV, "--zoo", str(tmp_path / "zoo.yml"), "--out", str(tmp_path / "run"), "--steps", "400"]
    assert main(["train", *words, "--progress", "quiet"]) == 1
    assert capsys.readouterr().err.startswith("gym-gazebo2 train: Expected finite rewards")


def test_the_command_line_names_the_likely_causes(tmp_path, capsys):
    words = ["--env", "SCARA-v0", "--steps", "20000", "--out", str(tmp_path / "run"), "--hyper", "learning_rate=1e12"]
    assert main(["train", *words, "--progress", "quiet"]) == 1
    error = capsys.readouterr().err
    assert "gym-gazebo2 train: Expected finite" in error and "step was too large" in error and "tensor" not in error
