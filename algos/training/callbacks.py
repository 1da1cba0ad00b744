"""What happens around the iterations of a training: checkpoints, evaluations, stopping, progress."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from gym_gazebo2.algos.config import ResolvedConfig
from gym_gazebo2.algos.distributed.env import ShardedVecEnv
from gym_gazebo2.algos.distributed.history import WorkerHistory
from gym_gazebo2.algos.distributed.places import WorkerStatus, describe_workers
from gym_gazebo2.algos.evaluation.metrics import compute_results
from gym_gazebo2.algos.evaluation.rollout import ModelPolicy, run_episodes
from gym_gazebo2.algos.finite import find_fault, find_parameter, is_finite
from gym_gazebo2.algos.measures import describe_condition, get_measures, show_measure, to_si
from gym_gazebo2.algos.runs.checkpoint import find_checkpoint, save_checkpoint
from gym_gazebo2.algos.runs.episodes import EpisodeLog
from gym_gazebo2.algos.runs.folder import RunFolder
from gym_gazebo2.algos.runs.model_file import save_model
from gym_gazebo2.algos.settings.conditions import REWARD, Condition
from gym_gazebo2.algos.settings.env_keywords import find_env_keywords
from gym_gazebo2.algos.training.interrupt import Interrupt
from gym_gazebo2.algos.training.progress import Meter, Status, make_progress
from gym_gazebo2.errors import NonFiniteError
from gym_gazebo2.robots import make_robot
from gym_gazebo2.tasks import Measure

__all__ = ["EVAL_SEED", "RunCallback", "TrainingState", "get_action_meaning"]

EVAL_SEED = 1_000_000
"""Evaluations during training start from the same poses each time, away from the training's seeds."""


LOOK_SECONDS = 0.2
"""Least time between two updates of what is shown; off policy, an iteration may be one step."""

CHECKPOINT_SHARE = 0.02
"""Most of the wall time that checkpoints may take, as far as ``MOST_INTERVALS`` of ``checkpoint_seconds`` allow."""
MOST_INTERVALS = 20


@dataclasses.dataclass
class TrainingState:
    """What the runner itself must remember over an interruption.

    Attributes:
        wall_s: Wall time spent training, evaluations included [s].
        next_eval: Steps at which the next evaluation is due.
        best: Best value so far of the first measure, or of the mean reward if the environment measures nothing.
        time_to_target_s: Wall time at which the target was first met [s].
        steps_to_target: Steps at that time.
        curve: Evaluations: steps, wall_s [s], reward (mean), the task's measures [SI units], success_rate where known.
        stopped_by: Why training ended before its steps, if it did.
    """

    wall_s: float = 0.0
    next_eval: int = 0
    best: float | None = None
    time_to_target_s: float | None = None
    steps_to_target: int | None = None
    curve: list[dict[str, float]] = dataclasses.field(default_factory=list)
    stopped_by: str | None = None

    @classmethod
    def read(cls, **values: Any) -> TrainingState:
        """Return a state that was stored, by this version or the first one, whose only measure was the tool error in mm."""
        values["curve"] = [to_si(row) for row in values["curve"]]
        if "best_error_mm" in values:
            error_mm = values.pop("best_error_mm")
            values["best"] = None if error_mm is None else error_mm / 1e3
        return cls(**values)


class RunCallback(BaseCallback):
    """Evaluates, keeps the best model, writes checkpoints, stops where asked, and shows how far it is."""

    def __init__(
        self,
        run: RunFolder,
        config: ResolvedConfig,
        state: TrainingState,
        eval_env: Any,
        num_eval_steps: int,
        episodes: EpisodeLog,
        interrupt: Interrupt,
    ) -> None:
        """Store the parts.

        Args:
            run: Where files go.
            config: The resolved configuration.
            state: The runner's memory, updated in place.
            eval_env: Environments for evaluations, wrapped like the training's.
            num_eval_steps: Steps of an evaluation's episodes.
            episodes: Where the training's episodes go.
            interrupt: Whether a signal asked the training to end.
        """
        super().__init__()
        self.run, self.config, self.state = run, config, state
        self.eval_env, self.num_eval_steps, self._episodes = eval_env, num_eval_steps, episodes
        self._interrupt = interrupt
        self._measures, self._target = get_measures(config.env), config.target_condition
        self._started = time.monotonic()
        self._next_checkpoint = self._started + config.checkpoint_seconds
        self._wall_before = state.wall_s
        self._worker_history = WorkerHistory(run)
        self._progress, self._meter, self._next_look = make_progress(config.progress), Meter(), 0.0

    def _on_training_start(self) -> None:
        self._progress.start()

    def _on_step(self) -> bool:
        for what, name in (("rewards", "rewards"), ("observations", "new_obs")):
            self._check_finite(what, self.locals[name])
        dones = self.locals["dones"]
        if dones.any():
            for info in self.locals["infos"]:
                if info.get("simulator_restarted"):
                    info.pop("episode", None)  # cut short, its sum of rewards says nothing of the policy
            self.update_wall()
            self._episodes.collect(dones, self.locals["infos"], self.num_timesteps, self.state.wall_s)
        return self.state.stopped_by is None

    def _on_rollout_start(self) -> None:
        """Between two iterations: evaluate, then write the checkpoint, so that a resumed run does not repeat it.

        Raises:
            KeyboardInterrupt: SIGINT, SIGTERM or SIGHUP came; the checkpoint is written.
        """
        self.update_wall()
        if isinstance(self.model, OnPolicyAlgorithm):
            self._check_parameters()
        if self._interrupt.is_requested:
            self.write_checkpoint()
            self._interrupt.raise_if_requested()
        if self.num_timesteps >= self.state.next_eval:
            self.evaluate()
            self.state.next_eval = self.num_timesteps + self.config.eval_every
        if time.monotonic() >= self._next_checkpoint:
            self.write_checkpoint()

    def _on_rollout_end(self) -> None:
        self._episodes.flush()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self.update_wall()
            self._progress.update(self._get_status())
        self._check_conditions({REWARD: self._get_mean_reward()})

    def _on_training_end(self) -> None:
        self._progress.stop()

    def update_wall(self) -> None:
        """Bring the wall time up to date."""
        self.state.wall_s = self._wall_before + time.monotonic() - self._started

    def write_checkpoint(self) -> None:
        """Write a checkpoint, of a policy that can act; a slow one delays the next, as buffers can be large."""
        if fault := find_fault(self.model):
            raise self._make_error(fault)
        started = time.monotonic()
        save_checkpoint(self.run.checkpoints, self.model, dataclasses.asdict(self.state))
        ended = time.monotonic()
        interval = self.config.checkpoint_seconds
        slow = min((ended - started) / CHECKPOINT_SHARE, MOST_INTERVALS * interval)
        self._next_checkpoint = ended + max(interval, slow)

    def evaluate(self) -> None:
        """Evaluate the deterministic policy from perturbed starts, keep the best model, and check target and stopping rules."""
        self._copy_statistics()
        episodes = run_episodes(
            self.eval_env, lambda: ModelPolicy(self.model), self.num_eval_steps, EVAL_SEED, self.config.eval_runs
        )
        results, reward = compute_results(episodes, self._measures), float(episodes.reward.mean())
        self.update_wall()
        row = {"steps": self.num_timesteps, "wall_s": self.state.wall_s, "reward": reward, **results}
        self.state.curve.append(row)
        self._check_conditions(results)
        target = {"time_to_target_s": self.state.time_to_target_s, "steps_to_target": self.state.steps_to_target}
        self.run.write_json("curve.json", {"evaluations": self.state.curve, **target})
        self._worker_history.write(self._get_workers())
        for key in ("reward", *results):
            self.logger.record(f"eval/{key}", row[key])
        if self._is_best(row):
            action = get_action_meaning(self.config)
            save_model(self.run.best_model, self.model, self.config, action)
        self._progress.update(self._get_status(), is_milestone=True)

    @contextlib.contextmanager
    def naming_divergence(self) -> Iterator[None]:
        """Tell an error that comes of numbers that are not finite, as after too large a step, in these terms.

        Raises:
            NonFiniteError: In place of such an error; others pass as they are.
        """
        try:
            yield
        except NonFiniteError:
            raise
        except FloatingPointError as error:  # K-FAC's own, which says what it was but not when
            raise self._make_error(find_fault(self.model) or "numbers in an update", f"{error} ") from error
        except (ValueError, ArithmeticError) as error:
            if fault := find_fault(self.model):
                raise self._make_error(fault) from error
            raise

    def _check_parameters(self) -> None:
        if fault := find_parameter(self.model):
            raise self._make_error(fault)

    def _check_finite(self, what: str, values: Any) -> None:
        if not is_finite(values):
            raise self._make_error(what)

    def _make_error(self, what: str, detail: str = "") -> NonFiniteError:
        checkpoint = find_checkpoint(self.run.checkpoints)
        kept = f"The last checkpoint, {checkpoint}, is from before." if checkpoint else "There is no checkpoint yet."
        advice = f"{detail}{kept} Its cause is the environment, or too large a step."
        return NonFiniteError(what, self.num_timesteps, advice)

    def _is_best(self, row: Mapping[str, float]) -> bool:
        """Return whether an evaluation is the best so far, and note its value: of the first measure, or else the reward."""
        name, measure = next(iter(self._measures.items()), (REWARD, Measure(REWARD, better="more")))
        if self.state.best is not None and not measure.is_better(row[name], self.state.best):
            return False
        self.state.best = row[name]
        return True

    def _check_conditions(self, figures: Mapping[str, float]) -> None:
        """Note when the target is first met, and stop if a stopping rule is."""
        if self._target is not None and self._is_met(self._target, figures) and self.state.time_to_target_s is None:
            self.update_wall()
            self.state.time_to_target_s, self.state.steps_to_target = self.state.wall_s, self.num_timesteps
        for stop in self.config.stops:
            if self._is_met(stop, figures):
                reached = dataclasses.replace(stop, value=float(f"{figures[stop.name]:.5g}"))
                self.state.stopped_by = f"{describe_condition(reached, self._measures)} met {stop}"

    def _is_met(self, condition: Condition, figures: Mapping[str, float]) -> bool:
        return condition.name in figures and condition.is_met(figures[condition.name])

    def _copy_statistics(self) -> None:
        source, target = self.model.get_vec_normalize_env(), self.eval_env
        if source is not None:
            target.obs_rms, target.ret_rms = source.obs_rms, source.ret_rms

    def _get_workers(self) -> list[WorkerStatus]:
        """Return the state of each worker; empty where this process steps the environments."""
        env = self.training_env.unwrapped
        return env.workers if isinstance(env, ShardedVecEnv) else []

    def _get_mean_reward(self) -> float:
        infos = self.model.ep_info_buffer
        return float(np.mean([info["r"] for info in infos])) if infos else -math.inf

    def _get_status(self) -> Status:
        config, last = self.config, self.state.curve[-1] if self.state.curve else {}
        steps = min(self.num_timesteps, config.steps)
        return Status(
            title=f"{config.env} {config.algo} seed {config.seed}",
            steps=steps,
            total=config.steps,
            wall_s=self.state.wall_s,
            speed=self._meter.measure(self.state.wall_s, steps),
            reward=self._get_mean_reward() if self.model.ep_info_buffer else None,
            results=tuple(f"{m.label} {show_measure(m, last[name])}" for name, m in self._measures.items() if name in last),
            success_rate=last.get("success_rate"),
            workers=describe_workers(self._get_workers()),
        )


def get_action_meaning(config: ResolvedConfig) -> dict[str, Any]:
    """Return what a deployment must know of an arm's actions; nothing for environments of other packages."""
    keywords = {**find_env_keywords(config.env).defaults, **config.make_kwargs}
    if config.control is None or "robot" not in keywords:
        return {}
    robot = make_robot(keywords["robot"])
    return {
        "control": config.control,
        "control_dt": config.control_dt,
        "control_speed": robot.control_speed.tolist(),
        "joint_names": list(robot.joint_names),
        "robot": robot.name,
    }
