"""The plug-in's core on joints that move by themselves: an installation that the supervisor starts like a simulator."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gym_gazebo2.gazebo.build import build_plugin, find_plugin
from gym_gazebo2.gazebo.server import GazeboServer
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.ros import find_ros
from gym_gazebo2.scene import Scene, describe_scene

from .gazebo_client import start_world

PLUGIN = Path(__file__).with_name("plugin")


@dataclasses.dataclass(frozen=True)
class Servo:
    """The program ``gym_gazebo2_servo``, built on first use."""

    adapter: str = str(PLUGIN / "servo.cmake")
    product: str = "gym_gazebo2_servo"
    program: Path = PLUGIN / "servo.cpp"
    server_name: str = "servo"
    version: str = "1"

    def make_environment(self) -> dict[str, str]:
        return {}

    def make_server_environment(self, name: str) -> dict[str, str]:
        return {}

    def make_command(self, world: Path) -> list[str]:
        return [str(find_plugin(self, find_ros())), str(world)]

    def make_client(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError("the servo has no window")

    def make_build_options(self) -> dict[str, str]:
        return {}


def make_servo_world(
    robot: RobotSpec,
    *,
    namespace: str | None = None,
    real_time_factor: float | None = None,
    control_dt: float = 0.05,
    physics_dt: float = 0.001,
    places_at_once: bool = False,
    takes_effort: bool = False,
    wall: float | None = None,
    scene: Scene | None = None,
) -> str:
    """Return the servo's world; ``wall`` is a position of the first joint [rad]."""
    rows = [f"namespace /{namespace or robot.name}", f"lock_step {int(real_time_factor is None)}", f"physics_dt {physics_dt!r}"]
    rows += [f"report_every {round(control_dt / physics_dt)}", f"places_at_once {int(places_at_once)}"]
    rows += [f"factor {real_time_factor or 0.0}", *([] if wall is None else [f"wall {wall!r}"])]
    rows += [f"takes_effort {int(takes_effort)}"]
    if scene is not None:
        rows += [f"scene {describe_scene(scene, scene.num_objects)}", *(f"object {name}" for name in scene.pool.names)]
    fields = ("lower", "upper", "velocity_limit", "effort_limit", "drive_inertia", "rotor_inertia", "home", "effort_damping")
    for index, name in enumerate(robot.joint_names):
        numbers = " ".join(repr(float(getattr(robot, field)[index])) for field in fields)
        rows.append(f"joint {name} {numbers} {int(index >= robot.chain_dof)}")
    return "\n".join(rows) + "\n"


def start_servo(robot: RobotSpec, domain: int, **options: Any) -> GazeboServer:
    """Start a servo, and wait until it is ready."""
    servo = Servo()
    build_plugin(servo, find_ros())
    return start_world(servo, make_servo_world(robot, **options), domain)
