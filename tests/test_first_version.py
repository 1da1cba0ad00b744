"""A run made by the first version of this package: every command still opens it.

``tests/data/run_of_first_version`` is SCARA-v0 with PPO, 4000 steps, a network of 8 units, evaluated with 6 runs, and one
checkpoint at 2200 steps. The package has moved modules, columns and fields since.
"""

import json
import shutil

import pytest
from stable_baselines3 import PPO

from gym_gazebo2.algos import EvaluateConfig, RunFolder, evaluate, resume
from gym_gazebo2.algos.export import ExportConfig, export
from gym_gazebo2.algos.play import PlayConfig, play
from gym_gazebo2.algos.report import CompareConfig, ReportConfig, compare, write_report
from gym_gazebo2.algos.runs.episodes import read_episodes

from .conftest import ROOT

SOURCE = ROOT / "tests" / "data" / "run_of_first_version"


@pytest.fixture
def old_run(tmp_path):
    return shutil.copytree(SOURCE, tmp_path / "old")


def test_it_is_evaluated_to_the_same_figures(old_run):
    stored = json.loads((SOURCE / "evaluation.json").read_text())
    result = evaluate(old_run, EvaluateConfig(runs=6))
    for name in ("accuracy_rms_mm", "repeatability_rms_mm", "iso9283_ap_mm", "iso9283_rp_mm", "mean_reward"):
        assert getattr(result, name) == pytest.approx(stored[name], rel=1e-3), name
    assert result.measures["position_error"] == pytest.approx(1e-3 * result.accuracy_rms_mm)
    assert result.train_steps == 4_000 and result.time_to_target_s is None and result.backend == "mujoco"


def test_it_is_reported_and_compared_from_its_stored_evaluation(old_run, tmp_path):
    write_report(old_run, ReportConfig(video=False))
    page = (old_run / "report.html").read_text()
    assert "Tool error at the end [mm]" in page and "28.066" in page and "to tool error 1 mm" in page
    table = compare([old_run], CompareConfig(out=str(tmp_path / "page.html"))).read_text()
    assert "28.066" in table and "11.829" in table


def test_it_resumes_from_its_checkpoint(old_run):
    (old_run / "model.zip").unlink()
    run = resume(old_run)
    assert run.read_json("training.json")["train_steps"] == 4_000
    assert [row["steps"] for row in run.read_json("curve.json")["evaluations"]] == [0, 2_000, 4_000]
    episodes = read_episodes(run.path)
    assert len(episodes) == 40 and episodes.measures["position_error"].max() < 1.0


def test_it_is_played_and_exported(old_run, tmp_path):
    [played] = play(old_run, PlayConfig(record=str(tmp_path / "arm.gif"), steps=3))
    assert played.steps == 3 and 0.0 < played.measures["position_error"] < 1.0
    assert export(old_run, ExportConfig())[0].is_file()


def test_its_zip_opens_with_stable_baselines3(old_run):
    assert PPO.load(old_run / "model.zip").num_timesteps == 4_000


def test_its_configuration_means_the_same(old_run):
    config = RunFolder.open(old_run).read_config()
    assert (config.backend, config.control, config.control_dt, config.start_noise) == ("mujoco", "delta", 0.05, 0.1)
    assert config.normalize and config.normalize_reward and str(config.target_condition) == "position_error<=0.001"


@pytest.mark.parametrize(
    "path",
    [
        "gym_gazebo2.algos.kfac:KFAC",
        "gym_gazebo2.algos.acktr:ACKTR",
        "gym_gazebo2.algos.ppo_kl:PPOKL",
        "gym_gazebo2.algos.networks:GoalExtractor",
        "gym_gazebo2.algos.networks:NormalizedActivation",
        "gym_gazebo2.algos.noise:OrnsteinUhlenbeckNoise",
        "gym_gazebo2.algos.model_file:read_model_file",
        "gym_gazebo2.algos.rollout:ModelPolicy",
        "gym_gazebo2.algos.rollout:make_eval_env",
        "gym_gazebo2.algos.sweep:sweep",
        "gym_gazebo2.algos.play:play",
        "gym_gazebo2.algos.export:export",
        "gym_gazebo2.algos.config:TrainConfig",
        "gym_gazebo2.algos.presets:PRESETS",
        "gym_gazebo2.algos.vec_env:make_vec_env",
        "gym_gazebo2.algos.report:write_report",
    ],
)
def test_paths_that_documents_and_saved_models_name_can_be_imported(path):
    import importlib

    module, name = path.split(":")
    assert hasattr(importlib.import_module(module), name)
