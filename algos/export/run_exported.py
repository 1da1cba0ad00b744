"""Run an exported policy with NumPy and onnxruntime alone.

python run_exported.py policy.onnx state.npz   # prints the action and the next set-point [rad]

state.npz holds the observation by its names ("observation" where it has one part), "setpoint" and "q" [rad].
"""

import json
import sys
from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Policy:
    """An exported policy: observations in, set-points out; one that remembers begins an episode with ``reset``."""

    def __init__(self, path: str) -> None:
        """Read the file."""
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["gym_gazebo2"])
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        sizes = self.about["memory"].items()
        self.memory = {name: np.zeros((layers, 1, width), np.float32) for name, (layers, width) in sizes}

    def act(self, observation: Mapping[str, Array]) -> Array:
        """Return the action (dof,) between -1 and 1 for an observation, arrays by name, and remember."""
        names = [given.name for given in self.session.get_inputs() if given.name not in self.memory]
        seen = {name: observation[name][None] for name in names}
        action, *memory = self.session.run(None, {**seen, **self.memory})
        self.memory = dict(zip(self.memory, memory, strict=True))
        return action[0]

    def move(self, action: Array, setpoint: Array, q: Array) -> Array:
        """Return the set-point [rad] one control period later, q being the measured joint positions [rad]."""
        lower, upper = np.array(self.about["lower"]), np.array(self.about["upper"])
        travel = np.array(self.about["control_speed"]) * self.about["control_dt"]
        target = setpoint + action * travel if self.about["control"] == "delta" else lower + (action + 1) / 2 * (upper - lower)
        near = np.clip(target, q - 3 * travel, q + 3 * travel)
        return np.clip(setpoint + np.clip(near - setpoint, -travel, travel), lower, upper)


if __name__ == "__main__":
    policy, state = Policy(sys.argv[1]), np.load(sys.argv[2])
    action = policy.act(state)
    print(json.dumps({"action": action.tolist(), "setpoint": policy.move(action, state["setpoint"], state["q"]).tolist()}))
