"""Names that several modules accept for the same choice. This module imports nothing of the project, so all can import it."""

from __future__ import annotations

from typing import Literal

__all__ = ["MODELS", "Actions", "MissingWorkers", "ProgressMode", "Vectorization"]

Vectorization = Literal["batched", "dummy", "subproc", "pinned"]
"""How environments run side by side; see ``vec_env.make_vec_env``."""
Actions = Literal["box", "discrete"]
"""The form of an action: the arm's own continuous box, or an index into a table of actions."""
ProgressMode = Literal["auto", "rich", "plain", "quiet"]
"""How progress is shown; see ``training.progress.make_progress``."""
MissingWorkers = Literal["go-on", "wait", "give-up"]
"""What a training does while there are fewer workers than asked for; see ``TrainConfig.missing_workers``."""
MODELS = ("model", "best_model")
"""Names of a run's models: the one at the end of training, and the one that evaluated best."""
