"""What happens around the updates of a training: evaluations, checkpoints, progress, the end."""
