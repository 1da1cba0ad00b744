"""Train an algorithm on an environment id, into a run folder that can be resumed, evaluated and deployed."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from gym_gazebo2.algos.choices import MissingWorkers
from gym_gazebo2.algos.config import ResolvedConfig, TrainConfig, resolve
from gym_gazebo2.algos.distributed.rollouts import distribute
from gym_gazebo2.algos.distributed.training import call_on_hold, change_workers, open_training_env
from gym_gazebo2.algos.environments import make_evaluation_env
from gym_gazebo2.algos.evaluation.rollout import get_episode_steps
from gym_gazebo2.algos.measures import get_measures
from gym_gazebo2.algos.runs.action_meaning import get_action_meaning
from gym_gazebo2.algos.runs.checkpoint import load_newest
from gym_gazebo2.algos.runs.episodes import EpisodeLog
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.log import make_logger
from gym_gazebo2.algos.runs.machines import MachineLog
from gym_gazebo2.algos.runs.model_file import save_model
from gym_gazebo2.algos.runs.robot import keep_robot
from gym_gazebo2.algos.runs.writing import writing_at_end
from gym_gazebo2.algos.table import get_algorithm, make_model
from gym_gazebo2.algos.training.callbacks import RunCallback
from gym_gazebo2.algos.training.extension import extend, report_schedules
from gym_gazebo2.algos.training.interrupt import Interrupt, report_resume_command
from gym_gazebo2.algos.training.start import adopt_network, keep_start, load_start
from gym_gazebo2.algos.training.state import TrainingState
from gym_gazebo2.algos.training.teach import call_teacher, keep_teacher, locate_teacher

__all__ = ["resume", "train"]


def train(config: TrainConfig) -> RunFolder:
    """Train from the beginning.

    Args:
        config: The configuration; None values are filled from the preset.

    Returns:
        The run's folder, with ``model.zip``, ``best_model.zip``, ``training.json``, ``curve.json``,
        ``progress.csv`` and ``episodes.csv``.

    Raises:
        UnknownNameError: There is no such id, algorithm, preset, hyperparameter or environment keyword.
        InvalidArgumentError: A hyperparameter or environment keyword has an invalid value.
        RunError: The folder exists already, or cannot be written to; or the model to start from is missing or does not fit; or
            the teacher's is missing.
        NonFiniteError: The training met NaN or infinity; the checkpoints from before it are kept.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; a checkpoint is written first.
    """
    started = time.monotonic()
    requested, config = config.preset, resolve(adopt_network(locate_teacher(config)))
    if config.preset == "default" and requested == "tuned" and config.progress != "quiet":
        defaults = f"training for {config.steps:,} steps with the algorithm's default hyperparameters"
        print(f"There is no preset for {config.env} with {config.algo}: {defaults}.", file=sys.stderr)
    RunFolder.check_new(config)  # before the environments are made: a Gazebo takes seconds to start
    with open_training_env(config) as env, _torch_threads(config.torch_threads):
        model = _make_model(config, env)
        call_teacher(config, model)
        run = RunFolder.create(config)
        with report_resume_command(run.path), run.hold():
            keep_teacher(run, config)
            keep_start(run, config)
            load_start(run, config, model)
            return _learn(run, config, model, started)


def resume(
    path: str | os.PathLike[str],
    workers: int | None = None,
    address: str | None = None,
    invite: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    missing_workers: MissingWorkers | None = None,
    steps: int | None = None,
    worker_cpus: float | None = None,
) -> RunFolder:
    """Continue a run from its newest readable checkpoint. A finished run is returned as it is, unless ``steps`` is given.

    With ``steps`` a run is trained further than it was asked for at first. The result has the bits of an uninterrupted
    training of as many steps, unless a setting depends on the share of the training that is done, such as a learning rate
    "lin_1e-3". Then the value with which it continues is printed.

    Some environments cannot save the state of their arms: those that are not batched, and Gazebo. There the networks, the
    optimiser, counters and statistics continue, and the arms start new episodes, with a warning.

    Args:
        path: The run's folder.
        workers: Number of workers from now on, with the same result to the bit; None: as before.
        address: HOST:PORT of a Ray cluster, "local" for this machine; None: as before.
        invite: File of ``gym-gazebo2 cluster invite``; None: as before.
        insecure: Accept a cluster without TLS from now on, because a VPN encrypts its traffic.
        missing_workers: What to do while workers are missing; see ``TrainConfig``. None: as before.
        steps: New total of environment steps, including those that are already done; None: as before.
        worker_cpus: CPUs that Ray reserves for a worker from now on; None: as before.

    Returns:
        The run's folder.

    Raises:
        RunError: There is no run, or none of its checkpoints can be read.
        NonFiniteError: The training met NaN or infinity; the checkpoints from before it are kept.
        KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; a checkpoint is written first.
        InvalidArgumentError: With this number of workers the result would be a different one; or the run has made ``steps``
            steps already.
    """
    started = time.monotonic()
    run = RunFolder.open(path)
    if steps is not None:
        extend(run, steps)
    config = run.read_config()
    if run.model.is_file():
        return run
    config = change_workers(config, workers, address, invite, insecure, missing_workers, worker_cpus)
    with (
        report_resume_command(run.path),
        run.hold(),
        open_training_env(config) as env,
        _torch_threads(config.torch_threads),
    ):
        model = _make_model(config, env)
        call_teacher(config, model, run)
        # The checkpoint holds values that the logger has not written yet, so the model needs a logger before it is loaded.
        model.set_logger(Logger(str(run.path), []))
        state = load_newest(run.checkpoints, model, TrainingState.read)
        if state is None:
            load_start(run, config, model)
        elif steps is not None:
            report_schedules(config, model)
        return _learn(run, config, model, started, state)


def _learn(
    run: RunFolder, config: ResolvedConfig, model: BaseAlgorithm, started: float, resumed: TrainingState | None = None
) -> RunFolder:
    """Learn until all steps are done or a stopping rule is met, then write the model and the training's summary.

    Args:
        run: The run's folder.
        config: The resolved configuration.
        model: The model, new or loaded from a checkpoint.
        started: When the command began to hold its machines, of ``time.monotonic`` [s].
        resumed: What the training loop remembers, from the checkpoint; None for a new training.
    """
    keep_robot(run.path, config)
    state = TrainingState() if resumed is None else resumed
    if not config.stops:
        state.stopped_by = None  # a run that a rule had ended was extended, without its rules
    interrupt = Interrupt(run.path)
    with contextlib.closing(make_evaluation_env(config)) as eval_env:
        num_eval_steps = get_episode_steps(config.env, config.max_episode_steps)
        pending = dict(model.logger.name_to_value) if hasattr(model, "_logger") else {}
        # The order matters: on the way out, the error is explained first. Then the former signal handlers are restored,
        # the progress display closes, and the last episodes and log rows are written.
        with contextlib.ExitStack() as stack:
            logger = stack.enter_context(contextlib.closing(make_logger(run, model.num_timesteps, pending)))
            episodes = stack.enter_context(
                contextlib.closing(EpisodeLog(run, model.num_timesteps, tuple(get_measures(config.env))))
            )
            machines = MachineLog(run.path, held_s=time.monotonic() - started)
            callback = RunCallback(run, config, state, eval_env, num_eval_steps, episodes, interrupt, machines)
            stack.enter_context(writing_at_end(callback.write_machines))
            stack.callback(callback.on_training_end)
            stack.enter_context(interrupt.noting_signals())
            stack.enter_context(callback.explain_divergence())
            model.set_logger(logger)
            call_on_hold(model.get_env(), callback.end_if_requested)
            # With reset_num_timesteps=False, SB3 adds the steps already done to the number given.
            remaining = config.steps - model.num_timesteps
            model.learn(remaining, callback, _choose_log_interval(config), reset_num_timesteps=resumed is None)
        if state.get_evaluated_steps() != model.num_timesteps:  # equal in a run that was killed after this evaluation
            with callback.explain_divergence():
                callback.evaluate()  # of the final model, so that the curve ends where the training does
        callback.write_checkpoint()  # of the last step, from which resume can train further
        callback.write_machines()
    summary = {"train_wall_s": state.wall_s, "train_steps": model.num_timesteps, "stopped_by": state.stopped_by}
    run.write_json("training.json", summary)
    action = get_action_meaning(config)
    save_model(run.model, model, config, action)  # last: a run with this file counts as finished
    interrupt.raise_if_requested()
    return run


def _make_model(config: ResolvedConfig, env: VecEnv) -> BaseAlgorithm:
    """Return an untrained model. With workers, they fill its rollout buffer; it learns in the same way."""
    adapt = (lambda cls: cls) if config.workers is None else distribute
    episode_steps = get_episode_steps(config.env, config.max_episode_steps)
    return make_model(config.algo, env, config.hyperparameters, config.seed, adapt, episode_steps)


def _choose_log_interval(config: ResolvedConfig) -> int:
    """Return the interval between two rows of the log: one episode per arm off-policy, otherwise one iteration."""
    return max(4, config.num_envs) if get_algorithm(config.algo).learns == "off_policy" else 1


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Set the number of torch's threads in this context. Results are bit-equal only for equal numbers of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
