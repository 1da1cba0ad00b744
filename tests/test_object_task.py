"""The task with an object of docs/custom_task.md: pushed by a scripted hand, and trained."""

import os
import re
import sys

import gymnasium as gym
import numpy as np
import pytest

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train

from .conftest import ROOT

ENV = "push_of_the_docs:Push-v0"


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory):
    """Write the module of the page where Python finds it, and register its id."""
    page = (ROOT / "docs" / "custom_task.md").read_text()
    [code] = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "class PushTask" in block]
    folder = tmp_path_factory.mktemp("module")
    (folder / "push_of_the_docs.py").write_text(code)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    yield
    sys.path.remove(str(folder))


def push(env):
    """Go behind the cube, down, and forward."""
    core = env.unwrapped.core
    cube, tool = core.arm.objects.pose[0, 0, :3], core.tcp.position[0]
    goal = np.array([cube[0] - 0.06, cube[1], 0.02])
    if abs(tool[1] - cube[1]) < 0.01 and tool[2] < 0.03:
        goal = cube + [0.05, 0.0, 0.0]
    elif np.hypot(*(tool[:2] - goal[:2])) > 0.02:
        goal[2] = 0.1
    return np.clip((goal - tool) / 0.03, -1.0, 1.0)


@pytest.mark.parametrize("line", [0.55, 0.65])
def test_a_pushed_cube_ends_the_episode(line):
    env = gym.make(ENV, line=line)
    for seed in range(4):
        _, info = env.reset(seed=seed)
        assert info["to_go"] == pytest.approx(line - 0.45)
        terminated = truncated = False
        while not (terminated or truncated):
            *_, terminated, truncated, info = env.step(push(env))
        assert terminated and info["is_success"] and info["to_go"] == 0.0
    assert env.unwrapped.core.task.scene.zones[0].center[0] == line
    env.close()


def test_it_trains_and_its_options_are_in_the_run(tmp_path):
    run = train(
        TrainConfig(env=ENV, out=str(tmp_path / "run"), steps=4_096, eval_runs=4, env_kwargs={"line": 0.55}, progress="quiet")
    )
    assert run.read_config().env_kwargs == {"line": 0.55}
    result = evaluate(run.path, EvaluateConfig(runs=4))
    assert 0.0 <= result.measures["to_go"] <= 0.2
