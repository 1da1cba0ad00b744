"""The callback of the training loop: checkpoints, evaluations, stopping rules and progress around each iteration."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.env import ShardedVecEnv
from gym_gazebo2.algos.distributed.history import WorkerHistory
from gym_gazebo2.algos.distributed.node_types import find_machines
from gym_gazebo2.algos.distributed.places import WorkerStatus, describe_workers
from gym_gazebo2.algos.evaluation.metrics import compute_results
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, run_episodes
from gym_gazebo2.algos.finite import find_fault, find_parameter, is_finite
from gym_gazebo2.algos.measures import get_measures, show_measure
from gym_gazebo2.algos.runs.action_meaning import get_action_meaning
from gym_gazebo2.algos.runs.checkpoint import find_checkpoint, save_checkpoint
from gym_gazebo2.algos.runs.episodes import EpisodeLog
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.machines import MachineLog
from gym_gazebo2.algos.runs.model_file import save_model
from gym_gazebo2.algos.settings.conditions import REWARD
from gym_gazebo2.algos.training.interrupt import Interrupt
from gym_gazebo2.algos.training.progress import SpeedMeter, Status, make_progress
from gym_gazebo2.algos.training.state import TrainingState
from gym_gazebo2.errors import NonFiniteError

__all__ = ["EVAL_SEED", "RunCallback"]

EVAL_SEED = 1_000_000
"""First seed of every evaluation during training: the same starts each time, which the training's own seeds do not reach."""
UPDATE_SECONDS = 0.2
"""Shortest time between two updates of the progress display [s]. Off policy an iteration can be a single step."""
CHECKPOINT_SHARE = 0.02
"""Largest share of the wall time that checkpoints may take. A slower checkpoint, as with a large buffer, delays the next."""
LARGEST_DELAY = 20
"""Limit of that delay, in multiples of ``checkpoint_seconds``: a crash must not cost hours of training."""


class RunCallback(BaseCallback):
    """Evaluates, keeps the best model, writes checkpoints, applies stopping rules, and reports progress.

    An iteration is a rollout and the updates after it. Evaluations and checkpoints happen between iterations, where the model
    and the buffers are consistent and a resumed training continues to the bit.
    """

    def __init__(
        self,
        run: RunFolder,
        config: ResolvedConfig,
        state: TrainingState,
        eval_env: Any,
        num_eval_steps: int,
        episodes: EpisodeLog,
        interrupt: Interrupt,
        machines: MachineLog,
    ) -> None:
        """Store the parts.

        Args:
            run: The run's folder.
            config: The resolved configuration.
            state: What the training loop remembers, updated in place.
            eval_env: Environments for evaluations, with the same wrappers as the training's.
            num_eval_steps: Step limit of an evaluation's episodes.
            episodes: Log of the training's episodes.
            interrupt: Reports whether a signal asked the training to end.
            machines: Log of the machines that the training holds.
        """
        super().__init__()
        self.run, self.config, self.state = run, config, state
        self.eval_env, self.num_eval_steps, self._episodes = eval_env, num_eval_steps, episodes
        self.is_started = False  # before the first episodes began there is nothing to save
        self._interrupt, self._machines, self._held = interrupt, machines, find_machines([])
        self._measures, self._target = get_measures(config.env), config.target_condition
        # Wall time is that of the monotonic clock, plus the time before an interruption: changes of the system's clock, and
        # the time between interruption and resumption, do not count.
        self._started = time.monotonic()
        self._next_checkpoint = self._started + config.checkpoint_seconds
        self._wall_before = state.wall_s
        self._worker_history, self._num_losses = WorkerHistory(run), 0
        self._progress, self._speed, self._next_update = make_progress(config.progress), SpeedMeter(), 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether a stopping rule is met, so that the training ends after its next step."""
        return self.state.stopped_by is not None

    def _on_training_start(self) -> None:
        self.is_started = True
        self._progress.start()

    def _on_step(self) -> bool:
        """After each step of all arms: check the numbers, and log the episodes that ended.

        Returns:
            False if a stopping rule is met; SB3 then ends the training.

        Raises:
            NonFiniteError: The environment returned NaN or infinity.
        """
        # SB3 passes the local variables of its rollout loop; on-policy and off-policy loops share these names.
        for quantity, name in (("rewards", "rewards"), ("observations", "new_obs")):
            self._check_finite(quantity, self.locals[name])
        dones = self.locals["dones"]
        if dones.any():
            for info in self.locals["infos"]:
                # A restart of the simulator cuts the episode short, so its sum of rewards does not measure the policy.
                # Without "episode" in the info, neither the log nor SB3's mean reward counts it.
                if info.get("simulator_restarted"):
                    info.pop("episode", None)
            self.update_wall()
            self._episodes.collect(dones, self.locals["infos"], self.num_timesteps, self.state.wall_s)
        return not self.is_stopping

    def _on_rollout_start(self) -> None:
        """Between two iterations: evaluate if it is time, then write a checkpoint if it is time.

        The evaluation comes first, so that the checkpoint holds its result and a resumed run does not repeat it.

        Raises:
            NonFiniteError: A parameter of the model is NaN or infinite.
            KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; the checkpoint is written.
        """
        self.update_wall()
        # Off policy, an iteration can be a single step, and testing all parameters in each would be slow. There checkpoints
        # test them, and a diverged policy returns actions of NaN, which the environment refuses (see explain_divergence).
        if isinstance(self.model, OnPolicyAlgorithm):
            self._check_parameters()
        self.end_if_requested()
        if self.num_timesteps >= self.state.next_eval:
            self.evaluate()
            self.state.next_eval = self.num_timesteps + self.config.eval_every
        if time.monotonic() >= self._next_checkpoint:
            self.write_checkpoint()

    def end_if_requested(self) -> None:
        """Write a checkpoint and end the training where a signal asked for it; only before a rollout.

        Raises:
            KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came.
        """
        if self._interrupt.is_requested and self.is_started:
            self.write_checkpoint()
        self._interrupt.raise_if_requested()

    def _on_rollout_end(self) -> None:
        """After each rollout: write its episodes, update the progress display, apply rules on the mean reward."""
        self._episodes.flush()
        before, self._num_losses = self._num_losses, sum(worker.restarts for worker in self._get_workers())
        is_lost = self._num_losses > before  # a log gets a line at once
        if is_lost or time.monotonic() >= self._next_update:
            self._next_update = time.monotonic() + UPDATE_SECONDS
            self.update_wall()
            self._progress.update(self._get_status(), is_milestone=is_lost)
        self._check_conditions({REWARD: self._get_mean_reward()})

    def _on_training_end(self) -> None:
        self._progress.stop()

    def update_wall(self) -> None:
        """Update the wall time of the training."""
        self.state.wall_s = self._wall_before + time.monotonic() - self._started

    def write_checkpoint(self) -> None:
        """Write a checkpoint, and choose the time of the next one.

        Raises:
            NonFiniteError: The model has diverged; the checkpoints before stay as they are.
            RunError: The file cannot be written.
        """
        # A checkpoint of a diverged model would replace a good one. This asks for actions, too: finite parameters can be so
        # large that the actions are not finite.
        if fault := find_fault(self.model):
            raise self._make_error(fault)
        started = time.monotonic()
        save_checkpoint(self.run.checkpoints, self.model, dataclasses.asdict(self.state))
        ended = time.monotonic()
        interval = self.config.checkpoint_seconds
        delay = min((ended - started) / CHECKPOINT_SHARE, LARGEST_DELAY * interval)
        self._next_checkpoint = ended + max(interval, delay)

    def evaluate(self) -> None:
        """Evaluate the deterministic policy from perturbed starts, keep the best model, and check target and stopping rules.

        Raises:
            NonFiniteError: A reward or observation is NaN or infinite.
            RunError: A file cannot be written.
        """
        self._copy_statistics()
        episodes = run_episodes(
            self.eval_env, lambda: ModelPolicy(self.model), self.num_eval_steps, EVAL_SEED, self.config.eval_runs
        )
        results, reward = compute_results(episodes, self._measures), float(episodes.reward.mean())
        self.update_wall()
        # The target is checked before curve.json is written, which holds the time at which it was met.
        row = {"steps": self.num_timesteps, "wall_s": self.state.wall_s, "reward": reward, **results}
        self.state.curve.append(row)
        self._check_conditions(results)
        target = {"time_to_target_s": self.state.time_to_target_s, "steps_to_target": self.state.steps_to_target}
        self.run.write_json("curve.json", {"evaluations": self.state.curve, **target})
        self._worker_history.write(self._get_workers())
        self._held = find_machines(self._get_workers())
        self.write_machines()
        for key in ("reward", *results):
            self.logger.record(f"eval/{key}", row[key])
        if self.state.is_new_best(row, self._measures):
            action = get_action_meaning(self.config)
            save_model(self.run.best_model, self.model, self.config, action)
        self._progress.update(self._get_status(), is_milestone=True)

    def write_machines(self) -> None:
        """Write which machines the training has held so far.

        Raises:
            WriteError: The file cannot be written.
        """
        self._machines.note(self._held)  # as of the last evaluation: at the end, a cluster may be gone
        self._machines.write(self.config.price_per_hour)

    @contextlib.contextmanager
    def explain_divergence(self) -> Iterator[None]:
        """Replace errors whose cause is NaN or infinity, as after too large an update step, by one that names the cause.

        torch reports a diverged policy as a ValueError about the parameters of a distribution, some updates after its cause. On
        workers, which do not check them, drawing a discrete action fails with a RuntimeError.

        Raises:
            NonFiniteError: In place of an error whose cause is NaN or infinity. Other errors pass unchanged.
        """
        try:
            yield
        except NonFiniteError:
            raise
        except FloatingPointError as error:  # from K-FAC, which knows the quantity but not the step of the training
            raise self._make_error(self._find_fault() or "numbers in an update", f"{error} ") from error
        except (ValueError, ArithmeticError, RuntimeError) as error:
            if fault := self._find_fault():
                raise self._make_error(fault) from error
            raise

    def _find_fault(self) -> str | None:
        """Return what is not finite in the model; None before the training begins: the environments are reset first."""
        return find_fault(self.model) if hasattr(self, "model") else None

    def _check_parameters(self) -> None:
        if fault := find_parameter(self.model):
            raise self._make_error(fault)

    def _check_finite(self, quantity: str, values: Any) -> None:
        if not is_finite(values):
            raise self._make_error(quantity)

    def _make_error(self, quantity: str, detail: str = "") -> NonFiniteError:
        checkpoint = find_checkpoint(self.run.checkpoints)
        return NonFiniteError(quantity, self.num_timesteps, f"{detail}{_describe_causes(checkpoint)}")

    def _check_conditions(self, results: Mapping[str, float]) -> None:
        """Note when the target is first met, and stop the training if a stopping rule is met."""
        self.update_wall()
        self.state.note_target(self._target, results, self.num_timesteps)
        self.state.note_stop(self.config.stops, results, self._measures)

    def _copy_statistics(self) -> None:
        """Let evaluations normalise with the training's statistics. The objects are shared, so nothing drifts apart."""
        source, target = self.model.get_vec_normalize_env(), self.eval_env
        if source is not None and source.norm_obs:  # rewards of evaluations are never normalised
            target.obs_rms, target.ret_rms = source.obs_rms, source.ret_rms

    def _get_workers(self) -> list[WorkerStatus]:
        """Return the state of each worker; empty where this process steps the environments."""
        env = self.training_env.unwrapped
        return env.workers if isinstance(env, ShardedVecEnv) else []

    def _get_mean_reward(self) -> float:
        """Return the mean sum of rewards of SB3's last 100 episodes; −∞ before the first has ended."""
        infos = self.model.ep_info_buffer
        return float(np.mean([info["r"] for info in infos])) if infos else -math.inf

    def _get_status(self) -> Status:
        config, last = self.config, self.state.curve[-1] if self.state.curve else {}
        # The last rollout is collected as a whole, so a training can make a few steps more than it was asked for.
        steps = min(self.num_timesteps, config.steps)
        return Status(
            title=f"{config.env} {config.algo} seed {config.seed}",
            steps=steps,
            total=config.steps,
            wall_s=self.state.wall_s,
            speed=self._speed.measure(self.state.wall_s, steps),
            reward=self._get_mean_reward() if self.model.ep_info_buffer else None,
            results=tuple(f"{m.label} {show_measure(m, last[name])}" for name, m in self._measures.items() if name in last),
            success_rate=last.get("success_rate"),
            workers=describe_workers(self._get_workers()),
        )


def _describe_causes(checkpoint: Path | None) -> str:
    """Return the likely causes of numbers that are not finite, and the checkpoint to go back to."""
    causes = "Likely causes: the environment returned NaN, or the update step was too large."
    return f"{causes} {f'The last checkpoint before it: {checkpoint}.' if checkpoint else 'There is no checkpoint yet.'}"
