"""Run a trained policy on the robot: move home slowly, run one episode, hold the arm, and print the tool error.

THIS MOVES THE ROBOT. Read docs/robot.md first. Ctrl-C holds the arm where it is.

Run it with ``python examples/deploy_to_robot.py RUN``. It needs the extras ``train`` and ``ros2`` and, in this ROS
domain, the robot's joint_trajectory_controller and joint states. To practise, start a stand-in instead of the robot:
``gym-gazebo2 sim mara --real-time --robot-only``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys

import tyro

from gym_gazebo2.algos import ModelPolicy, RunFolder, make_eval_env, read_model_file
from gym_gazebo2.checks import read_whole
from gym_gazebo2.errors import GymGazebo2Error


@dataclasses.dataclass(frozen=True)
class Deployment:
    """Run the policy of a run folder on the robot.

    Attributes:
        run: The run's folder.
        namespace: ROS namespace of the robot; None: its name; "": the root namespace.
        controller: Name of the controller that takes the commands.
        joint_prefix: Prefix of the joints' names in messages.
        reset_speed: Speed on the way home, as a share of the velocity limits.
        steps: Control periods to run.
        stale_after: The arm is held if the newest state is older than this [s]; None: three control periods.
    """

    run: tyro.conf.Positional[str]
    namespace: str | None = None
    controller: str = "joint_trajectory_controller"
    joint_prefix: str = ""
    reset_speed: float = 0.1
    steps: int = 100
    stale_after: float | None = None


def deploy(deployment: Deployment) -> None:
    """Run one episode. Closing the environment holds the arm, also after an error."""
    steps = read_whole("steps", deployment.steps)
    file = read_model_file(RunFolder.open(deployment.run).model)
    names = ("namespace", "controller", "joint_prefix", "reset_speed", "stale_after")
    options = {name: getattr(deployment, name) for name in names}
    kwargs = {**file.config.make_kwargs, "backend": "ros2", "start_noise": 0.0, "randomize": None, "backend_options": options}
    policy = ModelPolicy(file.build())
    with contextlib.closing(file.wrap(make_eval_env(file.config.env, 1, **kwargs))) as env:
        print("Going home...", flush=True)
        observation = env.reset()
        print("Running the policy. Ctrl-C holds the arm.", flush=True)
        for _ in range(steps):
            observation, _, _, infos = env.step(policy(observation))
        print(
            f"Tool error: {1e3 * infos[0]['position_error']:.2f} mm after {infos[0]['time']:.2f} s. Holding there.", flush=True
        )


if __name__ == "__main__":
    try:
        deploy(tyro.cli(Deployment))
    except GymGazebo2Error as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted: the arm holds where it was.")
