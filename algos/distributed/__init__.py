"""Training with many workers: stateless shards of the arms, collected by Ray actors, one learner. See docs/distributed.md."""
