"""Reports of tasks with objects show one episode that succeeded and one that failed."""

import numpy as np
import pytest
from PIL import Image

from gym_gazebo2.algos import EvaluateConfig, TrainConfig, evaluate, train
from gym_gazebo2.algos.evaluate import _find_examples
from gym_gazebo2.algos.evaluation.rollout import Episodes
from gym_gazebo2.algos.report import ReportConfig, write_report
from gym_gazebo2.algos.report.strip import make_strip
from gym_gazebo2.algos.report.video import FilmedEpisode, _make_captioned


def test_a_strip_has_pictures_at_equal_distances_in_time():
    frames = [np.full((30, 40, 3), 10 * i, dtype=np.uint8) for i in range(21)]
    strip = make_strip(FilmedEpisode(frames, [0.05 * i for i in range(21)], [""] * 21), width=416)
    assert strip.shape == (60, 416, 3)
    assert [strip[30, 84 * i + 40, 0] for i in range(5)] == [0, 50, 100, 150, 200]
    assert make_strip(FilmedEpisode(frames[:1], [0.0], [""]), width=100).shape == (75, 100, 3)


def test_the_first_success_and_the_first_failure_are_the_examples():
    nothing = np.zeros(4)
    episodes = Episodes(nothing, nothing, np.array([0.0, 0.0, 1.0, 1.0]), None, nothing, {}, None)
    assert _find_examples(episodes, 100) == {"failure": 100, "success": 102}
    unknown = Episodes(nothing, nothing, np.full(4, np.nan), None, nothing, {}, None)
    assert _find_examples(unknown, 100) == {}
    placing = Episodes(nothing, nothing, np.ones(4), None, nothing, {}, np.zeros((4, 3)))
    assert _find_examples(placing, 100) == {}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    hyper = {"n_steps": 10, "batch_size": 40, "n_epochs": 1}
    config = TrainConfig(env="PandaSort-v0", steps=40, num_envs=4, eval_runs=2, hyperparameters=hyper, max_episode_steps=10,
                         progress="quiet", out=str(tmp_path_factory.mktemp("strip") / "run"))  # fmt: skip
    return train(config)


def test_the_report_shows_what_the_evaluation_saw(run):
    result = evaluate(run.path, EvaluateConfig(runs=3, seed=50, env_kwargs={"num_objects": 2, "slots": 1}))
    assert result.examples == {"failure": 50}
    files = write_report(run.path)
    assert run.path / "failure.png" in files and run.path / "success.png" not in files
    page = (run.path / "report.html").read_text()
    assert "An episode that failed, seed 50" in page
    for label in ("sorted right", "sorted wrong", "on the floor", "left over", "steps per object", "score"):
        assert label in page
    # The film has the evaluation's two objects, and not the training's one: red, green and blue things beside the bins.
    strip = np.asarray(Image.open(run.path / "failure.png"))
    assert strip.shape[1] == 1200 and np.ptp(strip) > 100


def test_without_a_film_there_are_no_strips(run, tmp_path):
    assert not any("failure" in path.name for path in write_report(run.path, ReportConfig(video=False, out=str(tmp_path))))


def test_a_long_caption_of_the_film_stays_inside():
    frame = np.zeros((360, 480, 3), dtype=np.uint8)
    short, long = (
        np.asarray(_make_captioned(frame, text))
        for text in ("1.00 s     one 1", "1.00 s     " + ", ".join(["one 100.0 %"] * 9))
    )
    assert short[:, -8:].max() == long[:, -8:].max() == 0
    assert (long > 0).any(axis=(0, 2)).sum() > (short > 0).any(axis=(0, 2)).sum()
