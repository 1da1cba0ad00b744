"""What the training loop remembers, besides the model and its environments. It is part of every checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from gym_gazebo2.algos.measures import describe_condition, to_si
from gym_gazebo2.algos.settings.conditions import REWARD, Condition
from gym_gazebo2.tasks import Measure

__all__ = ["TrainingState"]


@dataclasses.dataclass
class TrainingState:
    """Wall time, evaluations and milestones of a training. A resumed training continues from them.

    Attributes:
        wall_s: Wall time spent training, evaluations included [s].
        next_eval: Steps at which the next evaluation is due.
        best: Best value so far of the first measure [SI units], or of the mean reward if the task has no measures.
        time_to_target_s: Wall time at which the target was first met [s]; None until then.
        steps_to_target: Environment steps at that time; None until then.
        curve: One row per evaluation: steps, wall_s [s], mean reward, the task's measures [SI units], and success_rate where
            the environment reports success.
        stopped_by: Description of the stopping rule that ended the training; None if none did.
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
        """Return a state that a checkpoint holds, written by this version or by the first one.

        Versions before 0.1.0 had one measure, the tool error, and stored it in millimetres.
        """
        values["curve"] = [to_si(row) for row in values["curve"]]
        if "best_error_mm" in values:
            error_mm = values.pop("best_error_mm")
            values["best"] = None if error_mm is None else error_mm / 1e3
        return cls(**values)

    def get_evaluated_steps(self) -> int | None:
        """Return the environment steps of the newest evaluation; None before the first."""
        return int(self.curve[-1]["steps"]) if self.curve else None

    def is_new_best(self, row: Mapping[str, float], measures: Mapping[str, Measure]) -> bool:
        """Return whether an evaluation is the best so far, and remember its value if it is.

        Args:
            row: Results of the evaluation, by name.
            measures: The task's measures. The first one decides; without any, the mean reward does.
        """
        name, measure = next(iter(measures.items()), (REWARD, Measure(REWARD, better="more")))
        if self.best is not None and not measure.is_better(row[name], self.best):
            return False
        self.best = row[name]
        return True

    def note_target(self, target: Condition | None, results: Mapping[str, float], steps: int) -> None:
        """Remember when the target was first met.

        Args:
            target: The target; None: the training has none.
            results: Results by name. A target whose name is missing is not met.
            steps: Environment steps so far.
        """
        if self.time_to_target_s is None and target is not None and _is_met(target, results):
            self.time_to_target_s, self.steps_to_target = self.wall_s, steps

    def note_stop(self, rules: Iterable[Condition], results: Mapping[str, float], measures: Mapping[str, Measure]) -> None:
        """Remember which stopping rule an evaluation meets, if any. If it meets several, the last of them is remembered.

        Args:
            rules: The stopping rules.
            results: Results by name. A rule whose name is missing is not met.
            measures: The task's measures, for the description.
        """
        for rule in rules:
            if _is_met(rule, results):
                reached = dataclasses.replace(rule, value=float(f"{results[rule.name]:.5g}"))
                self.stopped_by = f"{describe_condition(reached, measures)} met {rule}"


def _is_met(condition: Condition, results: Mapping[str, float]) -> bool:
    return condition.name in results and condition.is_met(results[condition.name])
