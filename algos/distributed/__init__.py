"""Training with workers: actors of Ray step shards of the arms, and one learner updates the policy. See docs/distributed.md."""
