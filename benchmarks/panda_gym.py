"""Compare the ids of panda-gym's tasks with panda-gym itself: spaces, start states, rewards, scripted policies, speed.

``make peers`` installs panda-gym into an environment of its own. Then ``python -m benchmarks.panda_gym --peers
.venv-peers/bin/python`` prints a table, and exits with 1 where the two differ. Without ``--peers`` it prints the side of this
package.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

import gym_gazebo2  # noqa: F401
from benchmarks import panda_cases
from benchmarks.panda_cases import TASKS, VARIANTS

ROOT = Path(__file__).parent.parent
SPEED_IDS, SPEED_ENVS = ("PandaGymPickAndPlace-v0", "PandaSort-v0"), 64
NUM_ACTIONS = 100
"""Different random actions per arm, as for panda-gym. With fewer, an episode repeats them, and arms drift onto the table."""
ROUNDS = 3
"""Turns that the ids and panda-gym take in the measurement of speed; the best one counts."""
LEAST_SUCCESS = 0.6
"""Success rate of a scripted policy below which the comparison fails."""
EQUAL = 1e-5
"""Largest difference of goals and rewards [m]."""
TOOL_OFFSET = 2.5e-3
"""Largest difference of first observations [m]: the two packages' tool points are 1.6 mm apart."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Compare with panda-gym.

    Attributes:
        peers: Python of the environment that ``make peers`` installs.
        episodes: Episodes per scripted policy.
        seconds: CPU-seconds per measurement of speed; 0: none.
        write: Also write panda-gym's side to this file, for the tests.
    """

    peers: str | None = None
    episodes: int = 50
    seconds: float = 3.0
    write: str | None = None


def set_goal(env: gym.Env[Any, Any], seed: int, goal: Any) -> dict[str, Any]:
    """Start an episode with a goal."""
    observation: dict[str, Any] = env.reset(seed=seed, options={"goal": goal})[0]
    return observation


def make_steps(env_id: str) -> Callable[[], int]:
    """Return a function that makes some steps of a batch with random actions on one thread, and returns their number."""
    env = gym.make_vec(env_id, num_envs=SPEED_ENVS, backend_options={"num_threads": 1})
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (NUM_ACTIONS, *env.action_space.shape)).astype(np.float32)

    def run() -> int:
        for action in actions:
            env.step(action)
        return len(actions) * SPEED_ENVS

    return run


def ask_peer(python: str, what: str, amount: float, limit_s: float) -> dict[str, Any]:
    """Return the answer of ``peer_panda_gym``."""
    command = [python, "-m", "benchmarks.peer_panda_gym", what, str(amount)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare_case(env: gym.Env[Any, Any], peer: dict[str, Any]) -> list[str]:
    """Return what differs between an id and panda-gym's."""
    own = panda_cases.describe(env)
    different = [key for key in ("spaces", "max_episode_steps") if own[key] != peer[key]]
    if not np.allclose(own["rewards"], peer["rewards"], atol=EQUAL):
        different.append("rewards")
    starts = panda_cases.list_starts(env, range(len(peer["starts"])))
    # panda-gym draws Flip's goals from NumPy's global generator, so only the arm's start is the same there.
    is_flip = own["spaces"]["desired_goal"][0] == [4]
    size = {"observation": 7 if is_flip else None, "desired_goal": 0 if is_flip else None}
    for key, tolerance in (("observation", TOOL_OFFSET), ("desired_goal", EQUAL)):
        pairs = [(a[key][: size[key]], b[key][: size[key]]) for a, b in zip(starts, peer["starts"], strict=True)]
        if not all(np.allclose(mine, other, rtol=0.0, atol=tolerance) for mine, other in pairs):
            different.append(f"first {key}")
    return different


def compare(peers: str | None, episodes: int, write: str | None) -> bool:
    """Print the comparison of all ids, and return whether they agree and the policies succeed."""
    peer = ask_peer(peers, "cases", episodes, 1200.0) if peers else None
    if peer and write:
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in peer["cases"].items())
        Path(write).write_text(f'{{"source": {json.dumps(peer["source"])}, "cases": {{\n{rows}\n}}}}\n')
    print(f"{'id':32} {'scripted policy':>24}   {peer['source'] if peer else ''}")
    good = True
    for task in TASKS:
        for variant in VARIANTS:
            env = gym.make(f"PandaGym{task}{variant}-v0")
            other = peer["cases"][f"{task}{variant}"] if peer else {}
            different = compare_case(env, other) if peer else []
            text = "" if not peer else f"differs: {', '.join(different)}" if different else "equal"
            rates = []
            if not variant:
                own = panda_cases.measure_success(task, env, episodes, set_goal)
                rates = [row for row in (own, other) if row]
            env.close()
            figures = " / ".join(f"{100 * row['success_rate']:.0f} % ({row['mean_steps']:.0f})" for row in rates)
            print(f"{f'PandaGym{task}{variant}-v0':32} {figures:>24}   {text}")
            good &= not different and all(row["success_rate"] >= LEAST_SUCCESS for row in rates)
    return good


def compare_speed(peers: str | None, seconds: float) -> None:
    """Print the control steps per CPU-second of this package's ids and of panda-gym, measured in turns."""
    runs, best, other = {env_id: make_steps(env_id) for env_id in SPEED_IDS}, dict.fromkeys(SPEED_IDS, 0.0), 0.0
    for _ in range(ROUNDS):
        for env_id, run in runs.items():
            best[env_id] = max(best[env_id], panda_cases.measure_speed(run, seconds))
        if peers:
            other = max(other, ask_peer(peers, "speed", seconds, 120.0 + 10 * seconds)["panda-gym"])
    for env_id, speed in best.items():
        ratio = f", {speed / other:.1f} times as fast as panda-gym" if peers else ""
        print(f"{env_id}, batch of {SPEED_ENVS}: {speed:,.0f} control steps per CPU-second{ratio}")
    if peers:
        print(f"panda-gym's PandaPickAndPlace-v3: {other:,.0f} control steps per CPU-second")


def main() -> None:
    """Compare, and exit with 1 where something differs."""
    args = tyro.cli(Arguments)
    good = compare(args.peers, args.episodes, args.write)
    if args.seconds > 0.0:
        compare_speed(args.peers, args.seconds)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
