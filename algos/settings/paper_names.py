"""The words of the 2019 paper, which are those of Ray RLlib 0.3 to 0.5, and the options that they are here.

The table in docs/distributed.md has the same rows; a test compares the two.
"""

from __future__ import annotations

__all__ = ["PAPER_NAMES", "explain_paper_name"]

PAPER_NAMES: dict[str, str] = {
    "num_workers": "--workers",
    "horizon": "--max-episode-steps",
    "rollout_batchsize": "--num-envs",
    "timesteps_per_batch": "--hyper n_steps",
    "min_steps_per_task": "--shards",
    "num_sgd_iter": "--hyper n_epochs",
    "sgd_batchsize": "--hyper batch_size",
    "sgd_stepsize": "--hyper learning_rate",
    "kl_coeff": "--algo ppo_kl --hyper kl_coef",
    "kl_target": "--hyper target_kl",
    "vf_loss_coeff": "--hyper vf_coef",
    "entropy_coeff": "--hyper ent_coef",
    "clip_param": "--hyper clip_range",
    "lambda": "--hyper gae_lambda",
}
"""Word of the paper → option here. Where several options together have its meaning, the one that is changed for it."""

NOTES = {
    "timesteps_per_batch": "It is n_steps times --num-envs.",
    "min_steps_per_task": "A task has n_steps times --num-envs steps, divided by the number of shards.",
}
"""Word → a further sentence, where the values differ."""


def explain_paper_name(name: str) -> str | None:
    """Return sentences that name the option for a word of the paper; None for other words."""
    option = PAPER_NAMES.get(name)
    if option is None:
        return None
    words = option.split()
    use = f"{option}=VALUE" if "--hyper" in words else f"{option} VALUE"
    called = words[-1] if "--hyper" in words else option
    return " ".join(filter(None, (f"{name} is called {called} here.", NOTES.get(name, ""), f"Use {use}.")))
