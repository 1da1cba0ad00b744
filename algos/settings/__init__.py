"""Where settings come from: the command line, files, rl-baselines3-zoo; and how they are checked."""
