"""A client of the ROS 2 contract: one arm, in a simulator or the robot itself.

``backend`` is the ``Backend``, and ``link`` holds the arm's topics. What answers on them decides the pacing, that is how the
arm's time advances (``choose``):

- ``lock_step``: a provider of the contract that steps once per command;
- ``control_world``: Gazebo Sim, stepped through the service of ros_gz;
- ``free_running``: a robot, or a simulator whose time runs by itself. ``state_stream`` checks its states.

``return_motion`` moves an arm to a start pose where it cannot simply be placed there.
"""

from __future__ import annotations

from gym_gazebo2.backends.ros2.backend import Ros2Backend

__all__ = ["Ros2Backend"]
