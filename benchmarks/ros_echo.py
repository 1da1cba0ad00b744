"""Answer each JointTrajectory with a JointState: the other end of a bare round trip of rclpy. Runs until it is terminated."""

import sys

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory


def main() -> None:
    """Serve in the domain that the first argument names."""
    context = Context()
    context.init(domain_id=int(sys.argv[1]))
    node, executor = rclpy.create_node("echo", context=context), SingleThreadedExecutor(context=context)
    executor.add_node(node)
    publisher = node.create_publisher(JointState, "/echo/state", QoSProfile(depth=1))

    def answer(message: JointTrajectory) -> None:
        q = message.points[0].positions
        publisher.publish(JointState(header=message.header, name=message.joint_names, position=q, velocity=q, effort=q))

    node.create_subscription(JointTrajectory, "/echo/command", answer, QoSProfile(depth=1))
    executor.spin()


if __name__ == "__main__":
    main()
