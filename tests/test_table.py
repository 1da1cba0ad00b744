"""Every row of the table trains, resumes to the same bits, is evaluated, and opens with stable-baselines3's own load."""

import contextlib
import dataclasses
import io
import math
import re
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import VecNormalize

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, presets, register_preset, resume, train
from gym_gazebo2.algos.config import resolve
from gym_gazebo2.algos.discrete import DiscreteActions, make_action_table
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy
from gym_gazebo2.algos.networks import CenteredCNN, GoalExtractor
from gym_gazebo2.algos.presets import PRESETS, Preset, get_preset
from gym_gazebo2.algos.report.run_data import read_run
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.settings.paper_names import PAPER_NAMES
from gym_gazebo2.algos.table import ALGORITHMS, check_hyperparameters, get_algorithm, make_model
from gym_gazebo2.algos.training import callbacks
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.vec_env import normalize
from gym_gazebo2.backends import BACKENDS, register_backend
from gym_gazebo2.backends.fake import FakeBackend
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError, UnknownNameError
from gym_gazebo2.registration import ENVIRONMENTS, EnvRow, register_env

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

ON_POLICY = [name for name, row in ALGORITHMS.items() if row.learns == "on_policy"]
OFF_POLICY = [name for name, row in ALGORITHMS.items() if row.learns == "off_policy"]
SMALL = {
    **{key: {"n_steps": 20} for key in ON_POLICY},
    "dagger": {"n_steps": 20, "batch_size": 40, "n_epochs": 2, "buffer_size": 200},
    **{key: {"learning_starts": 200, "batch_size": 16, "gradient_steps": 1, "buffer_size": 2000} for key in OFF_POLICY},
}
SMALL |= {name: {**SMALL[name], "batch_size": 40, "n_epochs": 2} for name in ("ppo", "ppo_kl", "recurrent_ppo")}
SMALL["td3"] = {**SMALL["td3"], "noise_type": "ornstein-uhlenbeck"}
STEPS = 480


def make_config(algo, path, **kwargs):
    sizes = {"steps": STEPS, "num_envs": 4, "eval_runs": 2, "eval_every": 240, "max_episode_steps": 25, "progress": False}
    return TrainConfig(
        **{
            "env": "SCARA-v0",
            "algo": algo,
            "out": str(path),
            "hyperparameters": SMALL[algo],
            "normalize": True,
            **sizes,
            **kwargs,
        }
    )


def interrupt_at(patch, steps):
    """Stop a training as Ctrl-C would, in the middle of a rollout."""
    original = RunCallback._on_step

    def stop(self):
        if self.num_timesteps >= steps:
            raise KeyboardInterrupt
        return original(self)

    patch.setattr(RunCallback, "_on_step", stop)
    patch.setattr(callbacks, "CHECKPOINT_SHARE", math.inf)  # every checkpoint that falls due, however slow the disk


def read_tensors(path):
    """Return every tensor of a model file, optimisers' included."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if name.endswith(".pth")}
    return {name: torch.load(io.BytesIO(content), weights_only=True) for name, content in entries.items()}


def assert_equal(a, b, where=""):
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}.{i}")
    else:
        assert a == b, where


def check_row(algo, tmp_path, monkeypatch, **kwargs):
    """Train whole, and train again with an interruption; the two must end alike, and act."""
    whole = train(make_config(algo, tmp_path / "whole", **kwargs))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, 0.7 * STEPS)
        train(make_config(algo, tmp_path / "cut", checkpoint_seconds=1e-9, **kwargs))
    np.random.seed(1)
    torch.manual_seed(1)
    checkpoints = [int(path.stem) for path in (tmp_path / "cut" / "checkpoints").glob("*.zip")]
    assert 0 < max(checkpoints) < STEPS
    cut = resume(tmp_path / "cut")
    assert_equal(read_tensors(whole.model), read_tensors(cut.model))
    assert read_run(whole.path).curve["position_error"][-1] == read_run(cut.path).curve["position_error"][-1]
    return whole


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_row_trains_resumes_and_is_evaluated(algo, tmp_path, monkeypatch):
    given = {}
    if get_algorithm(algo).learns == "imitation":
        teacher = train(make_config("a2c", tmp_path / "teacher"))
        given = {"hyperparameters": {**SMALL[algo], "teacher": str(teacher.path)}}
    run = check_row(algo, tmp_path, monkeypatch, **given)
    result = evaluate(run.path, EvaluateConfig(runs=2))
    assert result.algo == algo and 0 < result.accuracy_rms_mm < 2000
    loaded, built = get_algorithm(algo).load_class().load(run.model), read_model_file(run.model).build()
    assert_equal(loaded.policy.state_dict(), built.policy.state_dict())


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_goals_are_learnt_by_hindsight(algo, tmp_path, monkeypatch):
    run = check_row(algo, tmp_path, monkeypatch, env="MARAReachGoal-v0")
    model = read_model_file(run.model).build()
    assert isinstance(model.replay_buffer, HerReplayBuffer)


def test_a_network_sees_the_way_to_the_goal():
    with contextlib.closing(make_vec_env("MARAReachGoal-v0", 2, backend="fake")) as env:
        extractor = GoalExtractor(env.observation_space)
        achieved, desired = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[0.12, 0.2, -0.3]])
        observation = torch.arange(15.0)[None]
        features = extractor({"observation": observation, "achieved_goal": achieved, "desired_goal": desired})
        near = [math.tanh(1.0), 0.0, math.tanh(-30.0)]
        expected = torch.cat([observation, desired, torch.tensor([[0.1, 0.0, -3.0]]), torch.tensor([near])], dim=1)
        torch.testing.assert_close(features, expected)
        assert features.shape[1] == extractor.features_dim
        assert set(normalize(env).obs_rms) == {"observation"}  # points stay in metres
        with pytest.raises(UnknownNameError, match="Available: centered_image, goal"):
            make_model("sac", env, {"policy_kwargs": {"features_extractor_class": "gaol"}}, 0)
    env = make_vec_env("MARA-v0", 1, backend="fake")
    with contextlib.closing(env), pytest.raises(InvalidArgumentError, match="achieved_goal"):
        make_model("sac", env, {"policy_kwargs": {"features_extractor_class": "goal"}}, 0)


def test_a_network_of_images_sees_what_differs_from_their_mean():
    images = torch.rand(40, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    space = spaces.Box(0, 255, (3, 64, 64), np.uint8)
    extractor, plain = CenteredCNN(space), NatureCNN(space)
    plain.load_state_dict({name: value for name, value in extractor.state_dict().items() if not name.startswith("running_")})
    torch.testing.assert_close(extractor(images), plain(4.0 * images))  # nobody asked it to learn the mean
    extractor.is_tracking = True
    for batch in images.split(10):
        extractor(batch)
    extractor.eval()
    torch.testing.assert_close(extractor(images), plain(4.0 * (images - images.mean(dim=0))))
    torch.testing.assert_close(extractor.running_mean, images.mean(dim=0))  # acting changes nothing
    env = make_vec_env("MARA-v0", 1, backend="fake")
    with contextlib.closing(env), pytest.raises(InvalidArgumentError, match="a single image"):
        make_model("ppo", env, {"policy_kwargs": {"features_extractor_class": "centered_image"}}, 0)


def test_only_off_policy_rows_have_hindsight():
    with contextlib.closing(make_vec_env("MARAReachGoal-v0", 2, backend="fake")) as env:
        assert isinstance(make_model("ppo", env, {"n_steps": 10, "batch_size": 20}, 0).get_env(), type(env))
        plain = make_model("sac", env, {"replay_buffer_class": "default", "buffer_size": 100}, 0)
        assert not isinstance(plain.replay_buffer, HerReplayBuffer)


def test_the_table_and_the_presets_are_whole():
    assert set(ALGORITHMS) == {
        "ppo", "ppo_kl", "recurrent_ppo", "trpo", "acktr", "a2c", "sac", "td3", "ddpg", "tqc", "dqn", "dagger",
    }  # fmt: skip
    assert all(set(rows) == set(ALGORITHMS) for rows in PRESETS.values())


def test_presets_for_an_unknown_id_or_algorithm():
    """An id without tuned settings gets the algorithm's own defaults."""
    assert get_preset("CartPole-v1", "ppo") == get_preset("MARA-v0", "ppo", "default")
    assert get_preset("CartPole-v1", "ppo").hyperparameters == {} and get_preset("CartPole-v1", "ppo").steps == 100_000
    with pytest.raises(UnknownNameError, match="no preset 'best'.*Available: default, paper, tuned"):
        get_preset("MARA-v0", "ppo", "best")
    with pytest.raises(UnknownNameError, match="Did you mean 'acktr'.*Available: a2c, acktr, dagger, ddpg, dqn, ppo, ppo_kl"):
        TrainConfig(algo="actkr")


def test_a_preset_of_ones_own(monkeypatch):
    monkeypatch.setattr(presets, "PRESETS", dict(PRESETS))
    mine = Preset(1_000, {"gamma": 0.5}, num_envs=2)
    for _ in range(2):
        register_preset("gymnasium:CartPole-v1", "ppo", mine)
    resolved = resolve(TrainConfig("CartPole-v1"))
    assert (resolved.preset, resolved.steps, resolved.num_envs, resolved.hyperparameters) == ("tuned", 1_000, 2, {"gamma": 0.5})
    with pytest.raises(InvalidArgumentError, match="name is 'ppo', expected a name not yet in use"):
        register_preset("CartPole-v1", "ppo", Preset(2_000, {}))
    with pytest.raises(UnknownNameError, match="hyperparameter of ppo 'gama'"):
        register_preset("CartPole-v1", "ppo", Preset(2_000, {"gama": 0.5}))


class Robot(FakeBackend):
    """A third party's robot: a second instance would command the same arm."""

    is_shared = True


def test_a_shared_arm_is_not_trained_on_whoever_wrote_its_backend(monkeypatch):
    monkeypatch.setattr("gym_gazebo2.backends.BACKENDS", dict(BACKENDS))
    register_backend("my_robot", Robot)
    for given in ({"backend": "my_robot"}, {"env_kwargs": {"backend": "my_robot"}}):
        with pytest.raises(InvalidArgumentError, match="^Cannot train on backend 'my_robot': .*evaluate --backend my_robot`"):
            resolve(TrainConfig("SCARA-v0", **given))


def test_what_an_id_has_of_its_own_is_used_where_nothing_is_given(monkeypatch):
    monkeypatch.setattr("gym_gazebo2.registration.ENVIRONMENTS", dict(ENVIRONMENTS))
    own = {"control": "position", "control_dt": 0.1, "start_noise": 0.3, "backend": "fake"}
    register_env("Own-v0", EnvRow("scara", "scara_reach", own))
    try:
        resolved = resolve(TrainConfig("Own-v0"))
        assert {name: getattr(resolved, name) for name in own} == own and resolved.make_kwargs == own
        given = {"control": "delta", "control_dt": 0.05, "start_noise": 0.0, "backend": "mujoco"}
        assert resolve(TrainConfig("Own-v0", **given)).make_kwargs == given
        assert resolve(TrainConfig("Own-v0", env_kwargs=given)).make_kwargs == given
    finally:
        gym.registry.pop("Own-v0")


class FewArms(FakeBackend):
    """A simulator that moves two arms at most."""

    max_envs = 2


def test_presets_fit_a_simulator_with_few_arms(monkeypatch):
    """The batch stays, from longer rollouts; what is asked for is kept; a zoo file is taken as it is."""
    monkeypatch.setitem(BACKENDS, "few", FewArms)
    many = get_preset("MARA-v0", "trpo")
    for given, arms in ((None, 2), (1, 1), (4, 4)):
        few = resolve(TrainConfig("MARA-v0", "trpo", backend="few", num_envs=given))
        assert few.num_envs == arms and few.hyperparameters["n_steps"] * arms == 100 * many.num_envs
        assert (few.steps, few.normalize, few.eval_runs) == (many.steps, many.normalize, 5)
    assert resolve(TrainConfig("MARA-v0", "trpo", num_envs=1)).hyperparameters["n_steps"] == 100
    assert resolve(TrainConfig("SCARA-v0", backend="few")).steps < resolve(TrainConfig("SCARA-v0")).steps
    assert resolve(TrainConfig("SCARA-v0", backend="few", preset="paper")).hyperparameters["n_steps"] == 1024


def test_training_on_a_simulator_with_one_arm_needs_no_options(monkeypatch, tmp_path):
    monkeypatch.setitem(BACKENDS, "few", FewArms)
    run = train(TrainConfig("SCARA-v0", backend="few", steps=400, out=tmp_path / "run", progress="quiet"))
    assert run.read_config().num_envs == 2 and run.model.is_file()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_preset_makes_a_model(algo):
    for env_id, rows in PRESETS.items():
        preset = rows[algo]
        actions = get_algorithm(algo).actions
        kwargs = {"backend": "mujoco" if "Camera" in env_id else "fake", "actions": actions}
        with contextlib.closing(make_vec_env(env_id, preset.num_envs, **kwargs)) as env:
            model = make_model(algo, VecNormalize(env) if preset.normalize else env, preset.hyperparameters, 0)
            assert preset.steps >= 10 * preset.num_envs and model.n_envs == preset.num_envs


def test_a_recurrent_policy_remembers():
    with contextlib.closing(make_vec_env("SCARA-v0", 2, backend="fake")) as env:
        model = make_model("recurrent_ppo", env, {"n_steps": 10, "batch_size": 20}, 0)
        observation = env.reset()
        policy, other = ModelPolicy(model), ModelPolicy(model)
        first, second = policy(observation), policy(observation)
        assert not np.array_equal(first, second)
        assert np.array_equal(first, other(observation))


def test_a_model_of_another_algorithm_is_refused(tmp_path):
    runs = [train(make_config(algo, tmp_path / algo)) for algo in ("trpo", "a2c")]
    runs[0].model.write_bytes(runs[1].model.read_bytes())
    with pytest.raises(RunError, match="trained on SCARA-v0 with a2c, but .* names SCARA-v0 with trpo"):
        evaluate(runs[0].path)


def test_a_checkpoint_of_another_algorithm_says_so(tmp_path, monkeypatch):
    for algo in ("trpo", "a2c"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            interrupt_at(patch, 300)
            train(make_config(algo, tmp_path / algo, checkpoint_seconds=1e-9))
    target = tmp_path / "trpo" / "checkpoints"
    for path in target.glob("*.zip"):
        path.unlink()
    for path in (tmp_path / "a2c" / "checkpoints").glob("*.zip"):
        (target / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RunError, match=r"^The checkpoint \S+ is of A2C, but config.json says TRPO"):
        resume(tmp_path / "trpo")


def test_checkpoints_hold_nothing_pickled(tmp_path, monkeypatch):
    """Every entry of an off-policy checkpoint is JSON, arrays, or tensors that weights_only reads."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, 300)
        train(make_config("sac", tmp_path / "run", env="MARAReachGoal-v0", checkpoint_seconds=1e-9))
    with zipfile.ZipFile(max((tmp_path / "run" / "checkpoints").glob("*.zip"))) as archive:
        assert {name.split(".")[-1] for name in archive.namelist()} == {"json", "npz", "pth"}
        for name in archive.namelist():
            content = io.BytesIO(archive.read(name))
            if name.endswith("npz"):
                with np.load(content, allow_pickle=False) as arrays:
                    assert all(arrays[key].dtype != object for key in arrays.files)
            elif name.endswith("pth"):
                torch.load(content, weights_only=True)


# --- discrete actions ---------------------------------------------------------------------------------------------------


def test_the_table_of_actions_holds_and_moves_one_joint():
    table = make_action_table(spaces.Box(-1, 1, (3,)), speeds=(1.0, 0.5))
    assert table.shape == (13, 3) and not table[0].any()
    assert (np.count_nonzero(table[1:], axis=1) == 1).all() and len(np.unique(table, axis=0)) == 13
    assert set(np.abs(table[1:]).max(axis=1)) == {1.0, 0.5}


@pytest.mark.parametrize("vec", ["batched", "dummy", "subproc"])
def test_a_choice_is_the_action_of_its_row(vec):
    table = make_action_table(spaces.Box(-1, 1, (3,)))
    kwargs = {"vec": vec, "seed": 0, "backend": "fake", "start_noise": 0.1}
    with (
        contextlib.closing(make_vec_env("SCARA-v0", 2, actions="discrete", **kwargs)) as choosing,
        contextlib.closing(make_vec_env("SCARA-v0", 2, **kwargs)) as acting,
    ):
        assert choosing.action_space == spaces.Discrete(len(table))
        assert np.array_equal(choosing.reset(), acting.reset())
        for choices in np.random.default_rng(0).integers(len(table), size=(5, 2)):
            a, b = choosing.step(choices), acting.step(table[choices])
            assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])


def test_one_environment_whose_actions_are_choices():
    with contextlib.closing(DiscreteActions(gym.make("SCARA-v0", backend="fake"), speeds=(1.0,))) as env:
        assert env.action_space == spaces.Discrete(7)
        before, _ = env.reset(seed=0)
        held, *_ = env.step(0)
        moved, *_ = env.step(1)
        assert np.allclose(before[:3], held[:3], atol=1e-6) and np.argmax(np.abs(moved - held)[:3]) == 0


@pytest.mark.parametrize(
    ("space", "speeds", "message"),
    [
        (spaces.Discrete(3), (1.0,), "action space"),
        (spaces.Box(-2, 2, (3,)), (1.0,), "from -1 to 1"),
        (spaces.Box(-1, 1, (3,)), (), "speeds"),
        (spaces.Box(-1, 1, (3,)), (0.0,), "speeds"),
        (spaces.Box(-1, 1, (3,)), (1.5,), "speeds"),
    ],
)
def test_bad_discrete_actions(space, speeds, message):
    with pytest.raises(ValueError, match=message):
        make_action_table(space, speeds)


@pytest.mark.parametrize(
    ("algo", "hyperparameters", "message"),
    [
        ("sac", {"noise_type": "normall"}, "Did you mean 'normal'"),
        ("sac", {"replay_buffer_class": "HerBuffer"}, "Available: HerReplayBuffer, default"),
        ("ppo", {"policy_kwargs": {"activation_fn": "than"}}, "Did you mean 'tanh'"),
        ("ppo", {"policy_kwargs": {"layer_norm": True, "net_arch": [64, 32]}}, "one width"),
        ("dqn", {"learning_rate": "lin_"}, "lin_"),
        ("acktr", {"target_kl": -1.0}, "target_kl"),
        ("trpo", {"clip_range": 0.2}, "clip_range"),
    ],
)
def test_bad_hyperparameters(tmp_path, algo, hyperparameters, message):
    with pytest.raises(GymGazebo2Error, match=message):
        train(make_config(algo, tmp_path / "run", hyperparameters=hyperparameters))
    assert not RunFolder(tmp_path / "run").path.exists()


@pytest.mark.parametrize(("given", "expected"), [({}, 320), ({"learning_starts": 50}, 320), ({"learning_starts": 900}, 900)])
def test_hindsight_begins_when_it_has_whole_episodes(given, expected):
    """stable-baselines3 would raise when it first samples, minutes later."""
    env = make_vec_env("MARAReachGoal-v0", 4, max_episode_steps=80)
    model = make_model("sac", env, {**given, "buffer_size": 1000, "batch_size": 8}, 0, episode_steps=80)
    assert model.learning_starts == expected
    model.learn(expected + 40)
    env.close()


def test_a_replay_buffer_without_room_for_whole_episodes_is_refused():
    env = make_vec_env("MARAReachGoal-v0", 4, max_episode_steps=80)
    with pytest.raises(InvalidArgumentError, match="Use at least 324"):
        make_model("sac", env, {"buffer_size": 323}, 0, episode_steps=80)
    env.close()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("num_sgd_iter", "num_sgd_iter is called n_epochs here. Use --hyper n_epochs=VALUE."),
        ("num_workers", "num_workers is called --workers here. Use --workers VALUE."),
        ("kl_coeff", "kl_coeff is called kl_coef here. Use --algo ppo_kl --hyper kl_coef=VALUE."),
        ("timesteps_per_batch", "is called n_steps here. It is n_steps times --num-envs. Use --hyper n_steps=VALUE."),
        ("min_steps_per_task", "is called --shards here. A task has n_steps times --num-envs steps, divided by the number"),
    ],
)
def test_the_words_of_the_paper_name_the_options_here(word, message, tmp_path):
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        train(TrainConfig(env="SCARA-v0", hyperparameters={word: 10}, out=str(tmp_path / "run"), progress="quiet"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("algo", ["ppo", "ppo_kl"])
def test_the_options_that_stand_for_the_paper_s_words_exist(algo):
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    for option in PAPER_NAMES.values():
        *_, last = option.split()
        if last.startswith("--"):
            assert last[2:].replace("-", "_") in fields
        elif algo == "ppo_kl" or "ppo_kl" not in option:
            check_hyperparameters(algo, [last])
