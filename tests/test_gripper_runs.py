"""A policy that uses a gripper trains, exports, and acts outside this package as in its environment."""

from __future__ import annotations

import runpy
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import registry

pytest.importorskip("onnxruntime", reason="pip install 'gym_gazebo2[export]'")

from gym_gazebo2.algos import TrainConfig, train
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.registration import ENVIRONMENTS
from gym_gazebo2.robots import ROBOTS
from gym_gazebo2.tasks import TASKS

ENV = "tests.squeeze:Squeeze-v0"


@pytest.fixture(autouse=True)
def restored_tables():
    """Remove what importing ``tests.squeeze`` registers: other tests go through the tables."""
    yield
    sys.modules.pop("tests.squeeze", None)
    for table, name in ((ROBOTS, "pincer"), (TASKS, "squeeze"), (ENVIRONMENTS, "Squeeze-v0"), (registry, "Squeeze-v0")):
        table.pop(name, None)


@pytest.mark.parametrize("control", ["delta", "position", "torque"])
def test_a_run_with_a_gripper(control, tmp_path):
    small = {"n_steps": 10, "batch_size": 40}
    few = {"steps": 80, "num_envs": 4, "max_episode_steps": 10, "eval_runs": 2, "eval_every": 1000, "progress": False}
    run = train(TrainConfig(env=ENV, control=control, hyperparameters=small, out=str(tmp_path / "run"), **few))
    path, script = export(run.path, ExportConfig(out=str(tmp_path)))
    policy = runpy.run_path(str(script))["Policy"](str(path))
    assert policy.about["joint_names"] == ["yaw", "pitch", "elbow", "left_finger", "right_finger"]
    assert policy.about["gripper"]["open"] == [0.04, 0.04]
    env = gym.make(ENV, control=control)
    observation, _ = env.reset(seed=1)
    core = env.unwrapped.core
    for _ in range(5):
        action, arm = policy.act({"observation": observation}), core.arm
        assert action.shape == (4,)
        observation, *_ = env.step(action)
        if control == "torque":
            with pytest.raises(ValueError, match="control is 'torque'"):
                policy.move(action, arm.q_setpoint[0], arm.q[0])
        else:
            setpoint = policy.move(action, arm.q_setpoint[0], arm.q[0])
            np.testing.assert_allclose(setpoint, core.arm.q_setpoint[0], atol=1e-6)


def test_sliders_have_one_for_the_gripper():
    from gym_gazebo2.algos.play.player import _name_components

    core = gym.make(ENV).unwrapped.core
    assert _name_components(core) == ("yaw", "pitch", "elbow", "gripper")
