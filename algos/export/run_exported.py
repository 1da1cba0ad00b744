"""Run an exported policy with NumPy and onnxruntime alone.

python run_exported.py policy.onnx state.npz   # prints the action and the next set-point [rad]

state.npz holds the parts of the observation by name (an observation of one part is named "observation"), the current
"setpoint" and the measured joint positions "q" [rad].
"""

import json
import sys
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

__all__ = ["Policy"]

Array = NDArray[np.float64]


class Policy:
    """An exported policy. Call ``reset`` at the start of an episode: a recurrent policy has a memory."""

    def __init__(self, path: str) -> None:
        """Read the file."""
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["gym_gazebo2"])
        self.reset()

    def reset(self) -> None:
        """Clear the memory."""
        sizes = self.about["memory"].items()
        self.memory = {name: np.zeros((layers, 1, width), np.float32) for name, (layers, width) in sizes}

    def act(self, observation: Mapping[str, Array]) -> Array:
        """Return the action (size,) between -1 and 1 for an observation, given as arrays by name, and update the memory."""
        names = [given.name for given in self.session.get_inputs() if given.name not in self.memory]
        batch = {name: observation[name][None] for name in names}
        action, *memory = self.session.run(None, {**batch, **self.memory})
        self.memory = dict(zip(self.memory, memory, strict=True))
        return action[0]

    def move(self, action: Array, setpoint: Array, q: Array) -> Array:
        """Return the set-point [rad] one control period later. ``q`` are the measured joint positions [rad]."""
        lower, upper = np.array(self.about["lower"]), np.array(self.about["upper"])
        travel = np.array(self.about["control_speed"]) * self.about["control_dt"]
        if self.about["control"] not in ("delta", "position"):
            raise ValueError(
                f"control is {self.about['control']!r}, but move() computes the set-points of 'delta' and 'position'."
            )
        gripper = self.about.get("gripper")
        if gripper:
            action, opening = action[:-1], (action[-1] + 1) / 2
        n = len(action)
        target = lower[:n] + (action + 1) / 2 * (upper - lower)[:n]
        if self.about["control"] == "delta":
            target = setpoint[:n] + action * travel[:n]
        if gripper:
            closed, opened = np.array(gripper["closed"]), np.array(gripper["open"])
            target = np.concatenate([target, closed + opening * (opened - closed)])
        # At most three periods ahead of the arm: an arm that an obstacle holds must not store up a long way to go.
        near = np.clip(target, q - 3 * travel, q + 3 * travel)
        return np.clip(setpoint + np.clip(near - setpoint, -travel, travel), lower, upper)


if __name__ == "__main__":
    policy, state = Policy(sys.argv[1]), np.load(sys.argv[2])
    action = policy.act(state)
    print(json.dumps({"action": action.tolist(), "setpoint": policy.move(action, state["setpoint"], state["q"]).tolist()}))
