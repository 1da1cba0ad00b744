"""Hyperparameters from zoo files, from the command line and from a few numbers; nothing in them is evaluated."""

import contextlib

import pytest
import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

from gym_gazebo2.algos import TrainConfig, make_vec_env, train
from gym_gazebo2.algos.config import read_config_file, resolve
from gym_gazebo2.algos.natural.layers import LayerNormBlock
from gym_gazebo2.algos.networks import NormalizedActivation
from gym_gazebo2.algos.presets import PAPER, PRESETS, Preset
from gym_gazebo2.algos.runs.model_file import read_model_file
from gym_gazebo2.algos.settings.keywords import make_keywords
from gym_gazebo2.algos.settings.values import parse_assignments, parse_value
from gym_gazebo2.algos.settings.zoo import read_zoo
from gym_gazebo2.algos.table import ALGORITHMS, check_hyperparameters, make_model
from gym_gazebo2.cli import main
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError, UnknownNameError

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

FILE = """
SCARA-v0: &scara
  normalize: true
  n_envs: 4
  n_timesteps: !!float 4e2
  policy: 'MlpPolicy'
  n_steps: 50
  batch_size: 100
  n_epochs: 2
  learning_rate: lin_3e-4
  clip_range: lin_0.2
  ent_coef: 1e-3
  policy_kwargs: "dict(log_std_init=-1,
                       ortho_init=False,
                       activation_fn=nn.ReLU,
                       net_arch=[dict(pi=[32, 16], vf=[32])]
                       )"
default:
  <<: *scara
  n_steps: 25
  normalize: "{'norm_obs': True, 'norm_reward': False}"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "zoo.yml"
    path.write_text(FILE)
    return path


def test_an_entry_becomes_a_preset(file):
    preset = Preset(**read_zoo(file, "SCARA-v0"))
    assert (preset.steps, preset.num_envs, preset.normalize, preset.normalize_reward) == (400, 4, True, True)
    values = preset.hyperparameters
    assert values["learning_rate"] == "lin_3e-4" and values["ent_coef"] == 1e-3 and values["n_steps"] == 50
    assert values["policy_kwargs"] == {
        "log_std_init": -1,
        "ortho_init": False,
        "activation_fn": "relu",
        "net_arch": {"pi": [32, 16], "vf": [32]},
    }


def test_the_default_entry_stands_for_other_ids(file):
    preset = Preset(**read_zoo(file, "MARA-v0"))
    assert preset.hyperparameters["n_steps"] == 25 and (preset.normalize, preset.normalize_reward) == (True, False)


def test_every_key_may_be_a_schedule(file):
    keywords = make_keywords(read_zoo(file, "SCARA-v0")["hyperparameters"], 3, "tanh")
    for name, start in (("learning_rate", 3e-4), ("clip_range", 0.2)):
        assert isinstance(keywords[name], LinearSchedule)
        assert keywords[name](1.0) == pytest.approx(start) and keywords[name](0.5) == pytest.approx(start / 2)


def test_zoo_file_on_the_command_line(file, tmp_path):
    words = ["--env", "SCARA-v0", "--zoo", str(file), "--out", str(tmp_path / "run"), "--eval-runs", "2", "--progress", "quiet"]
    assert main(["train", *words, "--hyper", "n_epochs=1", "--hyper.policy-kwargs.log-std-init", "-2"]) == 0
    model = read_model_file(tmp_path / "run" / "model.zip").build()
    assert model.n_epochs == 1 and model.n_envs == 4 and isinstance(model.policy.mlp_extractor.policy_net[1], nn.ReLU)
    assert [layer.out_features for layer in model.policy.mlp_extractor.policy_net[::2]] == [32, 16]
    assert model.policy.log_std_init == -2 and model.policy.ortho_init is False


def test_noise_buffers_and_frequencies_of_the_zoo(tmp_path):
    path = tmp_path / "zoo.yml"
    path.write_text("""
MARAReachGoal-v0:
  policy: 'MultiInputPolicy'
  buffer_size: 2000
  noise_type: 'ornstein-uhlenbeck'
  noise_std: 0.5
  train_freq: [1, "step"]
  replay_buffer_class: HerReplayBuffer
  replay_buffer_kwargs: "dict(goal_selection_strategy='final', n_sampled_goal=2)"
""")
    values = read_zoo(path, "MARAReachGoal-v0")["hyperparameters"]
    with contextlib.closing(make_vec_env("MARAReachGoal-v0", 2, backend="fake")) as env:
        model = make_model("ddpg", env, values, 0)
    assert model.replay_buffer.n_sampled_goal == 2 and model.train_freq.frequency == 1
    assert model.action_noise._sigma == pytest.approx([0.5] * 6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20), ("1e-3", 1e-3), ("-0.5", -0.5), ("True", True), ("false", False), ("None", None), ("null", None),
        ("lin_3e-4", "lin_3e-4"), ("auto_0.1", "auto_0.1"), ("relu", "relu"), ("nn.ReLU", "relu"), ("'20'", "20"),
        ("ornstein-uhlenbeck", "ornstein-uhlenbeck"), ("[64, 64]", [64, 64]), ("(1, 'step')", [1, "step"]),
        ("{'a': 1, b: true}", {"a": 1, "b": True}), ('{"a": [null]}', {"a": [None]}),
        ("dict(a=[1, -2.5], b=dict(c=None), d=(True, 'e'))", {"a": [1, -2.5], "b": {"c": None}, "d": [True, "e"]}),
        ("dict(optimizer_class=th.optim.Adam, activation_fn=nn.ELU)", {"optimizer_class": "Adam", "activation_fn": "elu"}),
    ],
)  # fmt: skip
def test_a_text_is_a_plain_value(text, value):
    found = parse_value(text)
    assert found == value and type(found) is type(value)


def test_optimizers_are_found_by_name():
    kwargs = make_keywords({"policy_kwargs": {"optimizer_class": "RMSpropTFLike"}}, 3, "tanh")["policy_kwargs"]
    assert kwargs["optimizer_class"] is RMSpropTFLike


@pytest.mark.parametrize(
    "text",
    ["dict(a=open('hacked', 'w'))", "[x for x in (1,)]", "[nn.Secret]", "(os.environ)", "[1 +", "[2**9]", "dict([('a', 1)])",
     "[f'{1}']", "[-'a']", "{[1]: 2}", "dict(**dict(a=1))", "{**{'a': 1}}", "[b'a']", "(__import__('os').mkdir('hacked'))",
     pytest.param(f"[{'-' * 5000}1]", id="signs")],
)  # fmt: skip
def test_a_list_or_dictionary_of_anything_but_plain_values_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"^Cannot read policy_kwargs=.*Allowed are literals"):
        parse_value(text, "policy_kwargs")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["__import__('os').mkdir('hacked')", "open('hacked', 'w')", "nn.Secret", "2**9", "1 +", "1if 2"]
)
def test_what_is_neither_is_text_that_nobody_evaluates(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_value(text) == text and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("SCARA-v0: {n_stpes: 5}", UnknownNameError, "Did you mean 'n_steps'.*Available: .*batch_size.*clip_range"),
        (
            "SCARA-v0: {env_wrapper: sb3.Wrapper}",
            InvalidArgumentError,
            "has env_wrapper, which is not supported. Register an id",
        ),
        ("SCARA-v0: {vec_env_wrapper: a.B}", InvalidArgumentError, "has vec_env_wrapper, which is not supported"),
        ("SCARA-v0: {frame_stack: 4}", InvalidArgumentError, "has frame_stack, which is not supported"),
        ("SCARA-v0: {callback: a.B}", InvalidArgumentError, "has callback, which is not supported. Remove the line"),
        ("Ant-v4: {n_steps: 5}", UnknownNameError, "Available: Ant-v4"),
        ("SCARA-v0: 3", InvalidArgumentError, "entry SCARA-v0 of .* is 3, expected a mapping"),
        ("1: {n_steps: 3}\nfoo: {}", UnknownNameError, "Available: 1, foo"),
        ("SCARA-v0: {1: 5}", UnknownNameError, "hyperparameter of ppo"),
        ("SCARA-v0: {n_timesteps: .inf}", InvalidArgumentError, "n_timesteps is inf"),
        ("SCARA-v0: {n_envs: .nan}", InvalidArgumentError, "n_envs is nan"),
        ("SCARA-v0: {gamma: lin_0.9}", InvalidArgumentError, r"gamma cannot be a schedule \('lin_0.9'\). .*: learning_rate"),
        ("SCARA-v0: {n_envs: 0.5}", InvalidArgumentError, "n_envs"),
        ("SCARA-v0: {n_timesteps: many}", InvalidArgumentError, "n_timesteps"),
        ("SCARA-v0: {normalize: '{1: 2}'}", InvalidArgumentError, "normalize"),
        ("SCARA-v0: {normalize: {norm_images: false}}", InvalidArgumentError, "normalize"),
        ("SCARA-v0: {policy_kwargs: '[1]'}", InvalidArgumentError, r"policy_kwargs is \[1\], expected a dictionary"),
        ("SCARA-v0: {policy_kwargs: null}", InvalidArgumentError, "policy_kwargs is None, expected a dictionary"),
        ("SCARA-v0: {policy_kwargs: dict(a=open(1))}", InvalidArgumentError, r"Cannot read policy_kwargs=dict\(a=open"),
        ("SCARA-v0: {normalize_advantage: 1}", InvalidArgumentError, "normalize_advantage is 1, expected true or false"),
        ("SCARA-v0: {learning_rate: lin_fast}", InvalidArgumentError, "lin_"),
        ("SCARA-v0: {policy: CnnPolicy}", InvalidArgumentError, "hyperparameters of ppo"),
        ("- 1", RunError, "expected a mapping"),
        ("a: [", RunError, "Cannot read"),
        ("a: !!python/object/apply:os.system ['true']", RunError, "Cannot read"),
    ],
)
def test_bad_files(tmp_path, content, error, message):
    path = tmp_path / "zoo.yml"
    path.write_text(content)
    with pytest.raises(error, match=message):
        train(TrainConfig("SCARA-v0", zoo=str(path), out=str(tmp_path / "run"), progress=False))
    assert not (tmp_path / "run").exists()


def test_a_file_may_normalise_rewards_alone(tmp_path):
    (tmp_path / "zoo.yml").write_text(FILE.replace("normalize: true", "normalize: {norm_obs: false, norm_reward: true}"))
    assert resolve(TrainConfig("SCARA-v0", zoo=str(tmp_path / "zoo.yml"), normalize=False)).normalize_reward is False
    config = TrainConfig("SCARA-v0", zoo=str(tmp_path / "zoo.yml"), out=str(tmp_path / "run"), eval_runs=2, progress="quiet")
    file = read_model_file(train(config).model)
    assert (file.config.normalize, file.config.normalize_reward) == (False, True)
    assert set(file.normalization) == {"return"} and file.normalization["return"][2] > 400
    with contextlib.closing(make_vec_env("SCARA-v0", 1)) as env:
        assert file.wrap(env) is env, "a policy does not see rewards"


@pytest.mark.parametrize(
    ("algo", "name"), [("ppo", "ent_coef"), ("trpo", "target_kl"), ("acktr", "vf_coef"), ("acktr", "damping")]
)
def test_a_keyword_that_takes_no_schedule(algo, name):
    with pytest.raises(InvalidArgumentError, match=f"{name} cannot be a schedule .*Schedules are allowed for: learning_rate"):
        resolve_model(algo, {name: "lin_0.1"})


def test_regions_of_acktr_may_be_schedules():
    model = resolve_model("acktr", dict.fromkeys(("target_kl", "max_step_size", "critic_target_kl"), "lin_0.1"))
    assert model.target_kl_schedule(0.5) == model.critic_target_kl_schedule(0.5) == pytest.approx(0.05)


def resolve_model(algo, hyperparameters):
    with contextlib.closing(make_vec_env("SCARA-v0", 2, backend="fake")) as env:
        return make_model(algo, env, hyperparameters, 0)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(RunError, match="--zoo"):
        read_zoo(tmp_path / "none.yml", "SCARA-v0")


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_keys_of_every_row_are_known(algo):
    """A subclass that passes keywords on knows its base's too."""
    check_hyperparameters(algo, ["learning_rate", "policy_kwargs", "noise_std", "policy"])
    if ALGORITHMS[algo].learns != "imitation":  # which has no use for rewards
        check_hyperparameters(algo, ["gamma"])
    with pytest.raises(UnknownNameError, match=f"hyperparameter of {algo} 'learning_rat'. Did you mean 'learning_rate'"):
        check_hyperparameters(algo, ["learning_rat"])


def test_words_of_a_command_line():
    words = ["learning-rate=lin_3e-4", "n_steps=20", "use_sde=True", "policy_kwargs.net_arch=[8, 8]", "policy_kwargs.a.b=null"]
    assert parse_assignments(words) == {
        "learning_rate": "lin_3e-4",
        "n_steps": 20,
        "use_sde": True,
        "policy_kwargs": {"net_arch": [8, 8], "a": {"b": None}},
    }
    assert parse_assignments(["a=1", "a=2", "b.c=1", "b.c=2"]) == {"a": 2, "b": {"c": 2}}, "the last one wins"
    for word in ("n_steps", "=3", "n_steps=", "a..b=1"):
        with pytest.raises(InvalidArgumentError, match="KEY=VALUE"):
            parse_assignments([word])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.b=1", "a.b.c=2"], r"^Cannot set a.b.c=2: a.b was already set to 1\.$"),
        (["a.b.c=2", "a.b=1"], r"^Cannot set a.b=1: a.b.c was already set to 2\.$"),
        (["a={'b': 1}", "a.b=2"], "^Cannot set a.b=2: a was already set"),
    ],
)
def test_a_key_and_a_part_of_it_are_refused_in_either_order(words, message):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_assignments(words)
    assert parse_assignments(["ab=1", "a.b=2"]) == {"ab": 1, "a": {"b": 2}}


def test_yaml_numbers_need_no_point(tmp_path):
    """YAML 1.1 reads 1e-3 as text."""
    path = tmp_path / "options.yaml"
    path.write_text(
        "target_error_mm: 1e-3\nhyperparameters: {ent_coef: 1e-3, gamma: '0.5', policy_kwargs: 'dict(net_arch=[8])'}\n"
    )
    config = TrainConfig(**read_config_file(path))
    assert config.target_error_mm == 1e-3
    assert config.hyperparameters == {"ent_coef": 1e-3, "gamma": 0.5, "policy_kwargs": {"net_arch": [8]}}


@pytest.mark.parametrize(
    ("algo", "name", "value"),
    [(algo, "ent_coef", "auto") for algo in ("ppo", "ppo_kl", "recurrent_ppo", "a2c", "acktr")]
    + [("td3", "noise_std", value) for value in (-1, "abc", None)],
)
def test_values_that_would_fail_in_training_are_refused_before(algo, name, value, tmp_path):
    config = TrainConfig("SCARA-v0", algo, hyperparameters={name: value}, out=str(tmp_path / "run"), progress="quiet")
    with pytest.raises(InvalidArgumentError, match=f"^{name} is {value!r}, expected a number of at least 0"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["auto", "auto_0.1", 0.1])
@pytest.mark.parametrize("algo", ["sac", "tqc"])
def test_what_an_algorithm_learns_by_itself_may_be_automatic(algo, value):
    with contextlib.closing(make_vec_env("SCARA-v0", 1, backend="fake")) as env:
        assert make_model(algo, env, {"ent_coef": value, "buffer_size": 100}, 0).ent_coef == value


# --- networks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_few_numbers_make_the_network_of_every_row(algo):
    config = TrainConfig("SCARA-v0", algo, num_layers=3, num_hidden=16, layer_norm=True, activation="elu")
    hyperparameters = resolve(config).hyperparameters
    if "n_steps" in hyperparameters:
        hyperparameters["n_steps"] = 10
    with contextlib.closing(make_vec_env("SCARA-v0", 2, backend="fake", actions=ALGORITHMS[algo].actions)) as env:
        policy = make_model(algo, env, hyperparameters, 0).policy
    layers = [m for m in policy.modules() if isinstance(m, NormalizedActivation)]
    linear = [m for m in policy.modules() if isinstance(m, nn.Linear) and m.out_features == 16]
    assert len(layers) == len(linear) > 0 == len(layers) % 3
    assert all(isinstance(m[1], nn.ELU) and m[0].normalized_shape == (16,) for m in layers)


def test_acktr_trains_the_gains_of_normalised_layers(tmp_path):
    config = TrainConfig("SCARA-v0", "acktr", steps=400, num_envs=4, layer_norm=True, out=str(tmp_path / "run"), eval_runs=2,
                         progress=False, hyperparameters={"n_steps": 50})  # fmt: skip
    model = read_model_file(train(config).model).build()
    gains = [m.weight for m in model.policy.modules() if isinstance(m, nn.LayerNorm)]
    assert len(gains) == 4 and all(not torch.equal(gain, torch.ones_like(gain)) for gain in gains)
    assert sum(isinstance(block, LayerNormBlock) for block in model.policy.optimizer.blocks) == 2


def test_normalised_layers_are_normalised():
    layer = NormalizedActivation(8, nn.Identity)
    out = layer(3 + 5 * torch.randn(32, 8))
    assert out.mean(1).abs().max() < 1e-5 and (out.std(1, correction=0) - 1).abs().max() < 1e-2


def test_one_of_the_two_numbers_is_enough():
    nets = [resolve(TrainConfig("SCARA-v0", **given)).hyperparameters["policy_kwargs"]["net_arch"]
            for given in ({"num_layers": 1}, {"num_hidden": 32})]  # fmt: skip
    assert nets == [[64], [32, 32]]


def test_settings_of_the_papers(tmp_path):
    for algo in PAPER:
        resolved = resolve(TrainConfig("MARA-v0", algo, preset="paper"))
        assert resolved.num_envs == 1 and resolved.normalize and resolved.hyperparameters == PAPER[algo].hyperparameters
    with pytest.raises(UnknownNameError, match="preset 'paper' for the algorithm 'sac'"):
        resolve(TrainConfig("MARA-v0", "sac", preset="paper"))


def test_given_settings_win_over_the_preset():
    preset = PRESETS["SCARA-v0"]["ppo"].hyperparameters
    resolved = resolve(TrainConfig("SCARA-v0", hyperparameters={"gamma": 0.5, "policy_kwargs": {"net_arch": [8]}}))
    assert resolved.hyperparameters["gamma"] == 0.5 and resolved.hyperparameters["n_steps"] == preset["n_steps"]
    assert resolved.hyperparameters["policy_kwargs"] == {**preset["policy_kwargs"], "net_arch": [8]}


@pytest.mark.parametrize(
    "kwargs", [{"num_layers": 0}, {"num_hidden": 0}, {"activation": "than"}, {"preset": "best"}, {"zoo": "/none.yml"}]
)
def test_bad_fields(kwargs):
    with pytest.raises(GymGazebo2Error, match=next(iter(kwargs))):
        resolve(TrainConfig("SCARA-v0", **kwargs))
