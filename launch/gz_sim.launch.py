"""Serve a robot from Gazebo Sim through ros_gz and gz_ros2_control, for clients with ``backend="ros2"``; docs/modern_gazebo.md.

ros2 launch gym_gazebo2 gz_sim.launch.py
ros2 launch gym_gazebo2 gz_sim.launch.py robot:=scara namespace:=left gui:=true
ros2 launch gym_gazebo2 gz_sim.launch.py real_time_factor:=1
ros2 launch gym_gazebo2 gz_sim.launch.py --show-args
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.substitutions import Command, EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the robot's description, the simulator, the bridge and the controllers."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("robot", default_value="mara", description="Robot: mara, scara or scara4."),
            DeclareLaunchArgument(
                "namespace",
                default_value=LaunchConfiguration("robot"),
                description="ROS namespace; by default the robot's name.",
            ),
            DeclareLaunchArgument(
                "gui", default_value="false", choices=("true", "false"), description="Whether a window shows the world."
            ),
            DeclareLaunchArgument(
                "real_time_factor",
                default_value="0",
                description="Speed of simulated time; 0 is as fast as possible. It is also a limit in lock-step.",
            ),
            DeclareLaunchArgument(
                "folder",
                default_value=[EnvironmentVariable("HOME", default_value="/tmp"), "/.cache/gym_gazebo2/gz_sim"],
                description="Where description, controllers and world are written.",
            ),
            Node(
                package="robot_state_publisher",
                executable="robot_state_publisher",
                namespace=LaunchConfiguration("namespace"),
                parameters=[
                    {
                        "use_sim_time": True,
                        # It also writes the files that the actions below read, and prints the description.
                        "robot_description": ParameterValue(
                            Command(
                                [
                                    "gym-gazebo2 gz-sim ",
                                    LaunchConfiguration("robot"),
                                    " --namespace ",
                                    LaunchConfiguration("namespace"),
                                    " --folder ",
                                    LaunchConfiguration("folder"),
                                    " --real-time-factor ",
                                    LaunchConfiguration("real_time_factor"),
                                ],
                                on_stderr="warn",  # a line about what was assumed is no failure
                            ),
                            value_type=str,
                        ),
                    }
                ],
            ),
            IncludeLaunchDescription(
                PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"]),
                # The world starts running (-r), because controllers do not become active in a paused world. A client in
                # lock-step pauses it.
                launch_arguments={
                    "gz_args": [
                        PythonExpression(["'-r ' if '", LaunchConfiguration("gui"), "' == 'true' else '-r -s '"]),
                        LaunchConfiguration("folder"),
                        "/world.sdf",
                    ]
                }.items(),
            ),
            Node(
                package="ros_gz_sim",
                executable="create",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-topic", "robot_description", "-name", LaunchConfiguration("robot")],
            ),
            Node(
                package="ros_gz_bridge",
                executable="parameter_bridge",
                arguments=[
                    "/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock",
                    "/world/lab/control@ros_gz_interfaces/srv/ControlWorld",
                ],
            ),
            Node(
                package="controller_manager",
                executable="spawner",
                namespace=LaunchConfiguration("namespace"),
                arguments=[
                    "joint_state_broadcaster",
                    "joint_trajectory_controller",
                    "--controller-manager",
                    ["/", LaunchConfiguration("namespace"), "/controller_manager"],
                    "--param-file",
                    [LaunchConfiguration("folder"), "/controllers.yaml"],
                ],
            ),
        ]
    )
