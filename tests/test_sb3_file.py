"""Files that stable-baselines3's own save wrote are evaluated, played and exported, and nothing in them is unpickled."""

import base64
import json
import pickle
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import VecNormalize

from gym_gazebo2.algos import EvaluateConfig, evaluate, make_vec_env, save_normalization
from gym_gazebo2.algos.export.network import ExportConfig, export
from gym_gazebo2.algos.play.player import PlayConfig, play
from gym_gazebo2.algos.runs.any_model import open_model
from gym_gazebo2.cli import main
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError, UnsupportedError

SCARA, CARTPOLE = "SCARA-v0", "CartPole-v1"
CLASSES = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "recurrent_ppo": RecurrentPPO, "sac": SAC, "td3": TD3, "ddpg": DDPG,
           "tqc": TQC, "dqn": DQN}  # fmt: skip


def save(path, algo="ppo", normalized=False, **kwargs):
    """An untrained model, saved by stable-baselines3. Its policy is random, which is enough to compare actions."""
    env = make_vec_env(CARTPOLE, 1, vec="dummy") if algo == "dqn" else make_vec_env(SCARA, 1)
    env = VecNormalize(env) if normalized else env
    cls = CLASSES[algo]
    kwargs = {"policy_kwargs": {"net_arch": [7], "activation_fn": torch.nn.ELU}, **kwargs}
    model = cls("MlpLstmPolicy" if algo == "recurrent_ppo" else "MlpPolicy", env, device="cpu", seed=3, **kwargs)
    if normalized:
        model.learn(64)
        save_normalization(env, path.with_suffix(".npz"))
    model.save(path)
    env.close()
    return model, env


@pytest.mark.parametrize("algo", CLASSES)
def test_every_algorithm_is_recognised_and_acts_as_before(tmp_path, algo):
    model, _ = save(tmp_path / "sb3.zip", algo)
    file = open_model(tmp_path / "sb3.zip", env=CARTPOLE if algo == "dqn" else SCARA)
    assert file.config.algo == ("td3" if algo == "ddpg" else algo)
    again = file.build()
    for _ in range(5):
        observation = model.observation_space.sample()
        expected, _ = model.predict(observation, deterministic=True)
        assert np.array_equal(again.predict(observation, deterministic=True)[0], expected)


def test_it_is_evaluated_played_and_exported_with_its_normalisation(tmp_path, capsys):
    path = tmp_path / "sb3.zip"
    model, env = save(path, normalized=True, n_steps=64)
    assert main(["evaluate", str(path), "--env", SCARA, "--runs", "2", "--json", str(tmp_path / "result.json")]) == 0
    assert "sb3.zip" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["env"] == SCARA and result["train_steps"] is None and np.isfinite(result["mean_reward"])
    assert result == json.loads(json.dumps(vars(evaluate(path, EvaluateConfig(runs=2, env=SCARA)))))
    assert len(play(path, PlayConfig(env=SCARA, steps=3, record=str(tmp_path / "arm.gif")))) == 1
    export(path, ExportConfig(env=SCARA, out=str(tmp_path)))
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    observation = model.observation_space.sample()
    expected, _ = model.predict(env.normalize_obs(observation), deterministic=True)
    (action,) = session.run(None, {"observation": observation[None]})
    assert np.allclose(action[0], expected, atol=1e-5)
    (tmp_path / "sb3.npz").unlink()
    with pytest.raises(RunError, match="VecNormalize, but .*sb3.npz with its statistics does not exist"):
        evaluate(path, EvaluateConfig(env=SCARA))


def test_what_is_missing_or_cannot_be_known_is_named(tmp_path):
    path = tmp_path / "sb3.zip"
    save(path)
    with pytest.raises(InvalidArgumentError, match="does not hold its environment.* Name it with --env ID"):
        evaluate(path)
    with pytest.raises(RunError, match="does not fit MARA-v0"):
        evaluate(path, EvaluateConfig(env="MARA-v0"))
    with pytest.raises(GymGazebo2Error, match="does not fit SCARA-v0|rejects"):
        evaluate(path, EvaluateConfig(env=SCARA, algo="sac"))
    save(path, policy_kwargs={"activation_fn": torch.nn.Hardtanh})
    with pytest.raises(UnsupportedError, match="activation_fn=.*Hardtanh.*pickles are not opened"):
        evaluate(path, EvaluateConfig(env=SCARA))
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="corrupt, or not a model file"):
        evaluate(path, EvaluateConfig(env=SCARA))


class Trap:
    def __reduce__(self):
        return exec, ("raise AssertionError('unpickled')",)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "sb3.zip"
    save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(entries["data"])
    for value in settings.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = base64.b64encode(pickle.dumps(Trap())).decode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**entries, "data": json.dumps(settings)}.items():
            archive.writestr(name, content)
    assert evaluate(path, EvaluateConfig(runs=2, env=SCARA)).runs == 2
