"""Show a robot: its description, its joint states as the robot or a provider publishes them, and RViz where it is installed.

ros2 launch gym_gazebo2 robot.launch.py
ros2 launch gym_gazebo2 robot.launch.py robot:=scara rviz:=false
ros2 launch gym_gazebo2 robot.launch.py robot:=/path/arm.urdf env:='tool_frame=tool0' joint_prefix:=left_
ros2 launch gym_gazebo2 robot.launch.py namespace:='' joint_states:=/arm/joint_states
ros2 launch gym_gazebo2 robot.launch.py stand_in:=true     # without a robot: MuJoCo in its place
ros2 launch gym_gazebo2 robot.launch.py use_sim_time:=true # beside sim.launch.py
ros2 launch gym_gazebo2 robot.launch.py --show-args
"""

import shutil

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.conditions import IfCondition
from launch.substitutions import Command, LaunchConfiguration, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

BOOLEAN = ("true", "false")


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, the robot's description and frames, its stand-in and its picture."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robot", default_value="mara", description="Name of a robot, such as mara, or the path of a URDF or xacro file."
            ),
            DeclareLaunchArgument(
                "env",
                default_value="",
                description="Keywords of the environment that change the robot: 'tool_frame=tool0 home=[0,-1.5,1.5] …'.",
            ),
            DeclareLaunchArgument(
                "namespace",
                default_value=Command(
                    [
                        "gym-gazebo2 describe '",
                        LaunchConfiguration("robot"),
                        "' --only name --env '",
                        LaunchConfiguration("env"),
                        "'",
                    ],
                    on_stderr="warn",
                ),
                description="ROS namespace; by default the robot's name.",
            ),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", choices=BOOLEAN, description="Whether time is that of /clock."
            ),
            DeclareLaunchArgument(
                "stand_in",
                default_value="false",
                choices=BOOLEAN,
                description="Whether MuJoCo stands in for the robot, in real time.",
            ),
            DeclareLaunchArgument(
                "rviz",
                default_value="true" if shutil.which("rviz2") else "false",
                choices=BOOLEAN,
                description="Whether RViz shows the robot; by default where it is installed.",
            ),
            DeclareLaunchArgument(
                "base_link",
                default_value=Command(
                    [
                        "gym-gazebo2 describe '",
                        LaunchConfiguration("robot"),
                        "' --only base_link --env '",
                        LaunchConfiguration("env"),
                        "'",
                    ],
                    on_stderr="warn",
                ),
                description="RViz's fixed frame; by default the robot's root link.",
            ),
            DeclareLaunchArgument(
                "controller",
                default_value="joint_trajectory_controller",
                description="Name of the controller whose commands the stand-in takes.",
            ),
            DeclareLaunchArgument(
                "joint_prefix",
                default_value="",
                description="Prefix of the joints' names in joint states and in the description.",
            ),
            DeclareLaunchArgument(
                "joint_states", default_value="joint_states", description="Name of the topic of joint states."
            ),
            ExecuteProcess(
                name="gym_gazebo2_sim",
                output="screen",
                condition=IfCondition(LaunchConfiguration("stand_in")),
                cmd=[
                    "gym-gazebo2",
                    "sim",
                    LaunchConfiguration("robot"),
                    "--real-time",
                    "--robot-only",
                    "--namespace",
                    LaunchConfiguration("namespace"),
                    "--controller",
                    LaunchConfiguration("controller"),
                    "--joint-prefix",
                    LaunchConfiguration("joint_prefix"),
                    "--env",
                    LaunchConfiguration("env"),
                    "--remap",
                    ["joint_states:=", LaunchConfiguration("joint_states")],
                ],
            ),
            Node(
                package="robot_state_publisher",
                executable="robot_state_publisher",
                namespace=LaunchConfiguration("namespace"),
                remappings=[("joint_states", LaunchConfiguration("joint_states"))],
                output="screen",
                parameters=[
                    {
                        "use_sim_time": LaunchConfiguration("use_sim_time"),
                        "robot_description": ParameterValue(
                            Command(
                                [
                                    "gym-gazebo2 describe '",
                                    LaunchConfiguration("robot"),
                                    "' --joint-prefix '",
                                    LaunchConfiguration("joint_prefix"),
                                    "' --env '",
                                    LaunchConfiguration("env"),
                                    "'",
                                ],
                                on_stderr="warn",
                            ),
                            value_type=str,
                        ),
                    }
                ],
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                condition=IfCondition(LaunchConfiguration("rviz")),
                parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
                arguments=["-d", [ThisLaunchFileDir(), "/robot.rviz"], "-f", LaunchConfiguration("base_link")],
            ),
        ]
    )
