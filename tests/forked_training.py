"""Train or resume in processes of their own that cost no import: a line "OUT" in, the process's number out.

Each leads a process group, as a shell's job does, so that it can be killed with all that it started. An empty line waits for
the last one and prints its exit status.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from gym_gazebo2.algos import TrainConfig, resume, train


def run(path: Path, config: TrainConfig) -> None:
    """Train, or go on where there is a configuration."""
    if (path / "config.json").is_file():
        resume(path)
    else:
        train(config)


def main() -> None:
    """Serve until the input ends."""
    given = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), TrainConfig(**{**given, "steps": given["num_envs"]}, out=folder))  # imports all that is imported late
    process = 0
    for line in map(str.strip, sys.stdin):
        if not line:
            print(os.waitpid(process, 0)[1], flush=True)
            continue
        process = os.fork()
        os.setpgid(process, process)
        if process == 0:
            try:
                run(Path(line), TrainConfig(**given, out=line))
                os._exit(0)
            finally:
                os._exit(1)
        print(process, flush=True)


if __name__ == "__main__":
    main()
