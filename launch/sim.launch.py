"""Serve a simulated robot over ROS 2, from MuJoCo, Gazebo 11 or gz-sim: ``gym-gazebo2 sim`` with launch arguments.

ros2 launch gym_gazebo2 sim.launch.py
ros2 launch gym_gazebo2 sim.launch.py robot:=mara provider:=gazebo gui:=false
ros2 launch gym_gazebo2 sim.launch.py robot:=mara provider:=gz_sim
ros2 launch gym_gazebo2 sim.launch.py robot:=scara lock_step:=false factor:=0.5 namespace:=left
ros2 launch gym_gazebo2 sim.launch.py robot:=scara controller:=scaled_joint_trajectory_controller joint_prefix:=left_
ros2 launch gym_gazebo2 sim.launch.py robot:=/path/arm.urdf tool_frame:=tool0 env:='home=[0,-1.5,1.5,0,0,0]'
ros2 launch gym_gazebo2 sim.launch.py scene:=sort env:='num_objects=2 blocker=0.05'
ros2 launch gym_gazebo2 sim.launch.py --show-args
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration, PythonExpression

BOOLEAN = ("true", "false")


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the one process."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "robot",
                default_value="None",
                description="Name of a robot, or the path of a URDF or xacro file; None: mara, or the scene's robot.",
            ),
            DeclareLaunchArgument(
                "provider",
                default_value="mujoco",
                choices=("mujoco", "gazebo", "gz_sim"),
                description="mujoco; gazebo: a gzserver of Gazebo 11 (gym-gazebo2 install-gazebo); gz_sim: today's Gazebo.",
            ),
            DeclareLaunchArgument(
                "lock_step",
                default_value="true",
                choices=BOOLEAN,
                description="Whether time stands still between commands; else it runs by itself.",
            ),
            DeclareLaunchArgument(
                "factor", default_value="1.0", description="Without lock-step, how fast time runs; 0 is as fast as it can."
            ),
            DeclareLaunchArgument("gui", default_value="false", choices=BOOLEAN, description="Whether a window shows the arm."),
            DeclareLaunchArgument(
                "namespace",
                default_value="None",
                description="ROS namespace; None: the robot's name; '' is the root namespace.",
            ),
            DeclareLaunchArgument(
                "gripper",
                default_value="false",
                choices=BOOLEAN,
                description="Whether the fingers are driven, as tasks that use them need; else they are held.",
            ),
            DeclareLaunchArgument(
                "scene",
                default_value="None",
                description="Task whose objects and boxes are around the arm, such as sort; its options go into env.",
            ),
            DeclareLaunchArgument(
                "tool_frame", default_value="None", description="Link whose origin is the tool centre point; None: the robot's."
            ),
            DeclareLaunchArgument(
                "mount_height", default_value="None", description="Height of the base above the floor [m]; None: the robot's."
            ),
            DeclareLaunchArgument(
                "env",
                default_value="",
                description="Other keywords of the environment that change the robot: 'home=[0,-1.5,1.5] robot_options.…=…'.",
            ),
            DeclareLaunchArgument(
                "controller",
                default_value="joint_trajectory_controller",
                description="Name of the controller whose commands are taken (mujoco only).",
            ),
            DeclareLaunchArgument(
                "joint_prefix", default_value="", description="Prefix of the joints' names in messages (mujoco only)."
            ),
            DeclareLaunchArgument(
                "remap",
                default_value="",
                description="Other names of topics (mujoco only), such as 'joint_states:=/arm/joint_states'.",
            ),
            DeclareLaunchArgument(
                "domain", default_value="None", description="ROS domain, from 0 to 101; None takes ROS_DOMAIN_ID, or 0."
            ),
            DeclareLaunchArgument(
                "control_dt", default_value="0.05", description="Control period, in real time also the period of states [s]."
            ),
            DeclareLaunchArgument(
                "physics_dt", default_value="None", description="Physics step [s]; None is the provider's own."
            ),
            DeclareLaunchArgument(
                "robot_only",
                default_value="false",
                choices=BOOLEAN,
                description="Whether to stand in for the robot (mujoco without lock-step): no placement, no reset.",
            ),
            ExecuteProcess(
                name="gym_gazebo2_sim",
                output="screen",
                cmd=[
                    "gym-gazebo2",
                    "sim",
                    LaunchConfiguration("robot"),
                    "--provider",
                    LaunchConfiguration("provider"),
                    PythonExpression(
                        ["'--lock-step' if '", LaunchConfiguration("lock_step"), "' == 'true' else '--real-time'"]
                    ),
                    "--factor",
                    LaunchConfiguration("factor"),
                    PythonExpression(["'--gui' if '", LaunchConfiguration("gui"), "' == 'true' else '--no-gui'"]),
                    "--namespace",
                    LaunchConfiguration("namespace"),
                    PythonExpression(["'--gripper' if '", LaunchConfiguration("gripper"), "' == 'true' else '--no-gripper'"]),
                    "--scene",
                    LaunchConfiguration("scene"),
                    "--tool-frame",
                    LaunchConfiguration("tool_frame"),
                    "--mount-height",
                    LaunchConfiguration("mount_height"),
                    "--env",
                    LaunchConfiguration("env"),
                    "--controller",
                    LaunchConfiguration("controller"),
                    "--joint-prefix",
                    LaunchConfiguration("joint_prefix"),
                    "--remap",
                    LaunchConfiguration("remap"),
                    "--domain",
                    LaunchConfiguration("domain"),
                    "--control-dt",
                    LaunchConfiguration("control_dt"),
                    "--physics-dt",
                    LaunchConfiguration("physics_dt"),
                    PythonExpression(
                        ["'--robot-only' if '", LaunchConfiguration("robot_only"), "' == 'true' else '--no-robot-only'"]
                    ),
                ],
            ),
        ]
    )
