"""A training that meets NaN stops, says what and when, and leaves its last checkpoint as it was."""

import dataclasses
import zipfile

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train
from gym_gazebo2.algos.callbacks import RunCallback
from gym_gazebo2.algos.run_folder import RunFolder
from gym_gazebo2.cli import main
from gym_gazebo2.errors import NonFiniteError
from gym_gazebo2.registration import ENVIRONMENTS, EnvRow, register_env
from gym_gazebo2.tasks import TASKS, ReachTask, register_task

ENV, NUM_ENVS = "Faulty-v0", 4
FIRST = 300
"""Steps of the training at which the fault is there."""
ZOO = {"acktr": "{n_steps: 20, n_envs: 4, n_critic_updates: 1}", "ppo": "{n_steps: 20, n_envs: 4, batch_size: 40, n_epochs: 1}",
       "sac": "{n_envs: 4, learning_starts: 40, batch_size: 8, buffer_size: 1000}"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FaultyTask(ReachTask):
    """Reaching, with a fault that tests switch on."""

    fault = {"of": ""}  # noqa: RUF012

    def compute_reward(self, errors, in_collision):
        reward = super().compute_reward(errors, in_collision)
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


def test_nan_in_an_evaluation(faulty):
    run = faulty("", "ppo")
    FaultyTask.fault["of"] = "rewards"
    with pytest.raises(NonFiniteError, match="rewards in an evaluation.* after 1 steps"):
        evaluate(run.path, EvaluateConfig(runs=2))


def test_the_command_line_says_it_in_one_line(faulty, tmp_path, capsys):
    FaultyTask.fault["of"] = "rewards"
    (tmp_path / "zoo.yml").write_text(f"default: {ZOO['ppo']}")
    words = ["--env", ENV, "--zoo", str(tmp_path / "zoo.yml"), "--out", str(tmp_path / "run"), "--steps", "400"]
    assert main(["train", *words, "--progress", "quiet"]) == 1
    assert capsys.readouterr().err.startswith("gym-gazebo2 train: Expected finite rewards")
