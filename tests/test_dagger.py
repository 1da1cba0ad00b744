"""A policy learns from a teacher that sees the state: flat, from pictures, resumed, and what cannot work."""

import contextlib
import math
import shutil

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, make_vec_env, read_model_file, resume, train
from gym_gazebo2.algos.dagger import DAgger, LabelBuffer
from gym_gazebo2.algos.teacher import Teacher
from gym_gazebo2.algos.training import callbacks
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.errors import GymGazebo2Error, InvalidArgumentError, RunError, UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

QUIET = {"progress": "quiet", "eval_runs": 2, "eval_every": 100_000}
TINY = {**QUIET, "num_envs": 4, "steps": 40, "max_episode_steps": 15}
SMALL = {"n_steps": 10, "batch_size": 20, "n_epochs": 1}
PICTURES = {**TINY, "env": "PandaSortCamera-v0", "algo": "dagger", "num_envs": 2, "steps": 60, "max_episode_steps": 8}


def make(path, env="SCARA-v0", algo="ppo", **kwargs):
    return TrainConfig(**{**TINY, "hyperparameters": SMALL, **kwargs}, env=env, algo=algo, out=str(path))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Runs that are hardly trained, by name: what they do is not good, but it can be imitated."""
    folder = tmp_path_factory.mktemp("teachers")
    return {
        "scara": train(make(folder / "scara", normalize=True)).path,
        "sort": train(make(folder / "sort", "PandaSort-v0")).path,
    }


@pytest.fixture(scope="module")
def good_teacher(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("good") / "run")
    return train(TrainConfig("SCARA-v0", steps=32_000, seed=1, out=out, **QUIET)).path


def learn_from(teacher, **changes):
    return {**SMALL, "buffer_size": 200, "teacher": str(teacher), **changes}


# --- learning -----------------------------------------------------------------------------------------------------------


def test_a_student_learns_what_its_teacher_can(good_teacher, tmp_path):
    run = train(TrainConfig("SCARA-v0", "dagger", steps=16_384, seed=2, out=str(tmp_path / "run"), **QUIET,
                            hyperparameters={"teacher": str(good_teacher)}))  # fmt: skip
    teacher, student = (evaluate(path, EvaluateConfig(runs=10)).accuracy_rms_mm for path in (good_teacher, run.path))
    assert teacher < 20 and student < teacher + 20
    log = run.read_progress()
    shares = [row["train/teacher_share"] for row in log]
    assert shares[0] == 1.0 and shares[len(shares) // 4] == pytest.approx(0.5, abs=0.1) and set(shares[-4:]) == {0.0}
    assert log[-1]["train/imitation_loss"] < 0.5 * log[1]["train/imitation_loss"]


def test_every_label_is_the_teacher_s_action_for_the_state_that_was_observed(teachers):
    """Also across the ends of episodes, whoever acts."""
    with contextlib.closing(make_vec_env("SCARA-v0", 3, seed=0, max_episode_steps=7, start_noise=0.1)) as env:
        model = DAgger("MlpPolicy", env, teacher=teachers["scara"], n_steps=20, buffer_size=1000, seed=0, device="cpu")
        model.learn(120)
        file = read_model_file(teachers["scara"] / "model.zip")
        with contextlib.closing(file.make_idle_env()) as idle:
            seen = file.wrap(idle).normalize_obs(model.replay_buffer.observations[""][:120])
        expected, _ = file.build().predict(seen, deterministic=True)
        assert model.replay_buffer.size() == 120
        assert np.allclose(model.replay_buffer.labels[:120], expected, atol=1e-6)
        assert np.abs(expected).max() > 0


def test_the_share_of_the_teacher_falls_to_0(teachers):
    with contextlib.closing(make_vec_env("SCARA-v0", 2, backend="fake")) as env:
        model = DAgger("MlpPolicy", env, handover=0.5, device="cpu")
        assert [model.compute_teacher_share(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == [1.0, 0.5, 0.0, 0.0]
        assert DAgger("MlpPolicy", env, handover=0, device="cpu").compute_teacher_share(0.0) == 0.0
        taught = DAgger("MlpPolicy", env, teachers["scara"], handover=1.0, n_steps=50, seed=0, device="cpu")
        taught.learn(100)
        # In the first rollout the teacher alone acts, so the arms move as with the teacher.
        first = taught.replay_buffer.observations[""][:100]
    with contextlib.closing(make_vec_env("SCARA-v0", 2, backend="fake", seed=0)) as env:
        teacher, rows = Teacher(read_model_file(teachers["scara"] / "model.zip"), env), [env.reset()]
        for _ in range(49):
            rows.append(env.step(teacher.choose_actions())[0])
    assert np.array_equal(first, np.concatenate(rows))


def test_the_memory_forgets_the_oldest():
    image, state = spaces.Box(0, 255, (3, 4, 4), np.uint8), spaces.Box(-1, 1, (2,), np.float32)
    buffer = LabelBuffer(5, spaces.Dict({"image": image, "state": state}), spaces.Box(-1, 1, (1,)), "cpu")
    for i in range(4):
        rows = {"image": np.full((2, 3, 4, 4), i, np.uint8), "state": np.full((2, 2), i, np.float32)}
        buffer.add(rows, np.full((2, 1), i))
        assert buffer.size() == min(5, 2 * i + 2)
    assert sorted(buffer.labels.ravel()) == [1, 2, 2, 3, 3]
    batch = buffer.sample(50)
    assert batch.observations["image"].dtype.is_floating_point is False and batch.labels.shape == (50, 1)
    for key, axes in (("image", (1, 2, 3)), ("state", (1,))):
        assert np.array_equal(batch.observations[key].float().mean(axes), batch.labels.ravel())
    assert buffer.observations["image"].nbytes == 5 * 48


# --- pictures -----------------------------------------------------------------------------------------------------------


def interrupt_at(patch, steps):
    original = RunCallback._on_step

    def stop(self):
        if self.num_timesteps >= steps:
            raise KeyboardInterrupt
        return original(self)

    patch.setattr(RunCallback, "_on_step", stop)
    patch.setattr(callbacks, "CHECKPOINT_SHARE", math.inf)


def test_pictures_are_learnt_from_resumed_to_the_bit_and_can_be_blank(teachers, tmp_path, monkeypatch):
    """The resumed run has no other folder than its own."""
    teacher = tmp_path / "teacher"
    shutil.copytree(teachers["sort"], teacher)
    settings = {**PICTURES, "hyperparameters": learn_from(teacher, buffer_size=50)}
    whole = train(TrainConfig(**settings, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(patch, 50)
        train(TrainConfig(**settings, out=str(tmp_path / "cut"), checkpoint_seconds=1e-9))
    shutil.rmtree(teacher)
    cut = resume(tmp_path / "cut")
    ours, theirs = (read_model_file(run.model).weights for run in (whole, cut))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    with_pictures = evaluate(cut.path, EvaluateConfig(runs=2))
    blank = evaluate(cut.path, EvaluateConfig(runs=2, env_kwargs={"blank_images": True}, out=str(tmp_path)))
    assert with_pictures.env_kwargs == {} and blank.env_kwargs == {"blank_images": True}
    assert with_pictures.mean_reward != blank.mean_reward


def test_a_dictionary_with_a_picture_is_learnt_from(tmp_path):
    """The teacher was trained on the same arm with a penalty for contact, without pictures."""
    teacher = train(make(tmp_path / "teacher", "MARACollision-v0")).path
    config = make(tmp_path / "run", "MARACamera-v0", "dagger", hyperparameters=learn_from(teacher), num_envs=2, steps=20)
    model = read_model_file(train(config).model).build()
    assert set(model.replay_buffer.observations) == {"image", "proprioception"}


# --- what cannot work ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "hyperparameters", "message"),
    [
        ({}, {"teacher": None}, "dagger needs a teacher. .*--hyper teacher=RUN"),
        ({}, {"teacher": "none"}, "none does not exist"),
        ({"env": "MARA-v0"}, {}, "cannot teach here: its robot is scara, and mara here"),
        ({"env": "PandaSort-v0"}, {}, "its kind of task is ReachTask, and SortTask here"),
        ({"control": "position"}, {}, "its control is delta, and position here"),
        ({"control_dt": 0.1}, {}, "its control_dt is 0.05, and 0.1 here"),
        ({"vec": "dummy"}, {}, "only in batched environments of gym_gazebo2"),
        ({"env": "Pendulum-v1", "num_envs": 1}, {}, "only in batched environments of gym_gazebo2"),
        ({"env": "CartPole-v1"}, {}, "dagger cannot act in Discrete"),
        ({"workers": 2}, {}, "Cannot train dagger with workers: its teacher acts in the process that learns"),
        ({}, {"handover": 1.5}, "handover is 1.5, expected a number from 0 to 1"),
        ({}, {"buffer_size": 3}, "buffer_size is 3, expected at least 4"),
        ({}, {"buffer_size": 10**13}, "buffer_size=10000000000000 needs about .* for the labelled observations"),
        ({}, {"ent_coef": 0.1}, "no hyperparameter of dagger 'ent_coef'"),
    ],
)
def test_trainings_that_cannot_work(teachers, tmp_path, changes, hyperparameters, message):
    values = {**learn_from(teachers["scara"]), **hyperparameters}
    values = {name: value for name, value in values.items() if value is not None}
    with pytest.raises(GymGazebo2Error, match=message):
        train(make(tmp_path / "run", **{"algo": "dagger", "hyperparameters": values, **changes}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("env", "algo", "student", "message"),
    [
        ("SCARA-v0", "dqn", {"env": "SCARA-v0"}, "a policy of dqn chooses among a few actions"),
        ("SCARA-v0", "recurrent_ppo", {"env": "SCARA-v0"}, "a policy of recurrent_ppo has a memory"),
        ("PandaSortCamera-v0", "ppo", {"env": "PandaSort-v0"}, "its own observation is not flat"),
        ("Pendulum-v1", "ppo", {"env": "SCARA-v0"}, "Pendulum-v1 is no batched environment of gym_gazebo2"),
        ("PandaSort-v0", "ppo", {"env": "PandaSort-v0", "env_kwargs": {"num_objects": 2}}, "its size of the flat observation"),
        ("SCARARandomTarget-v0", "ppo", {"env": "SCARA-v0"}, "same size, but other bounds"),
    ],
)
def test_policies_that_cannot_teach(tmp_path, env, algo, student, message):
    hyper = {"learning_starts": 10, "batch_size": 8, "buffer_size": 100} if algo == "dqn" else SMALL
    few = {"num_envs": 1, "steps": 10, "max_episode_steps": 5}
    teacher = train(make(tmp_path / "teacher", env, algo, hyperparameters=hyper, **few)).path
    with pytest.raises(InvalidArgumentError, match=message):
        train(make(tmp_path / "run", algo="dagger", hyperparameters=learn_from(teacher), **{**few, **student}))
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_not_finished_cannot_teach(teachers, tmp_path):
    shutil.copytree(teachers["scara"], tmp_path / "unfinished")
    (tmp_path / "unfinished" / "model.zip").unlink()
    with pytest.raises(RunError, match=r"model.zip does not exist. Name a finished run"):
        train(make(tmp_path / "run", algo="dagger", hyperparameters=learn_from(tmp_path / "unfinished")))


def test_a_training_that_goes_on_reports_the_share_of_the_teacher(teachers, tmp_path, capsys):
    run = train(make(tmp_path / "run", algo="dagger", hyperparameters=learn_from(teachers["scara"], handover=1.0)))
    config = run.read_config()
    assert config.hyperparameters["teacher"] == str(teachers["scara"] / "model.zip")
    values = run.read_json("config.json")
    run.write_json("config.json", {**values, "arguments": {**values["arguments"], "progress": "plain"}})
    resume(run.path, steps=80)
    assert "teacher_share continues at 0.5" in capsys.readouterr().err


# --- environments -------------------------------------------------------------------------------------------------------


def test_the_flat_observation_is_that_of_the_same_task_without_pictures():
    with (
        contextlib.closing(gym.make_vec("PandaSortCamera-v0", num_envs=2, blank_images=True)) as blind,
        contextlib.closing(gym.make_vec("PandaSort-v0", num_envs=2)) as seeing,
    ):
        image, _ = blind.reset(seed=3)
        flat, _ = seeing.reset(seed=3)
        for action in np.random.default_rng(0).uniform(-1, 1, (5, 2, 4)):
            assert image.shape == (2, 96, 96, 3) and image.dtype == np.uint8 and not image.any()
            assert np.array_equal(blind.unwrapped.core.compute_flat_observation(), flat)
            assert blind.unwrapped.core.flat_observation_space == seeing.unwrapped.single_observation_space
            image, flat = blind.step(action)[0], seeing.step(action)[0]


def test_blank_images_need_images():
    with pytest.raises(InvalidArgumentError, match="blank_images=True needs an environment whose observations hold pictures"):
        gym.make("PandaSort-v0", blank_images=True)
    with pytest.raises(InvalidArgumentError, match="blank_images is 1, expected true or false"):
        gym.make("PandaSortCamera-v0", blank_images=1)
    with contextlib.closing(gym.make("PandaSortCamera-v0", backend="fake")) as env, pytest.raises(UnsupportedError):
        env.reset()


@pytest.mark.parametrize("env_id", ["PandaSortCamera-v0", "MARACamera-v0"])
def test_only_arms_that_start_anew_are_drawn_again(env_id):
    """The pictures are those that all arms have, and belong to the caller."""
    with contextlib.closing(gym.make_vec(env_id, num_envs=3, max_episode_steps=3)) as env:
        core = env.unwrapped.core
        view = ("overview" if env_id == "PandaSortCamera-v0" else "wrist", 96, 96)
        env.reset(seed=0)
        env.reset(seed=[1, None, None], options={"reset_mask": np.array([True, False, False])})
        for action in np.random.default_rng(0).uniform(-1, 1, (4, *env.action_space.shape)):
            observation = env.step(action)[0]
            image = observation if isinstance(observation, np.ndarray) else observation["image"]
            assert np.array_equal(image, core.backend.camera(*view))
            assert np.array_equal(image[1:], core.backend.camera(*view, np.array([1, 2])))
            image[:] = 0
