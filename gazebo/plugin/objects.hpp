// Movable objects and their placement. Knows no simulator and no ROS. Lengths in m, in the base frame of the arm.
#pragma once

#include <array>
#include <string>

namespace gym_gazebo2 {

using Pose = std::array<double, 7>;   // position, quaternion wxyz
using Twist = std::array<double, 6>;  // linear and angular velocity along the axes of the base frame [m/s], [rad/s]

/// A member of the scene's pool. A parked one is out of reach and at rest.
struct Object {
  std::string name;
  bool is_parked{true};
  Pose pose{0, 0, 0, 1, 0, 0, 0};  // measured; written by the simulator's adapter
  Twist twist{};
};

/// What a placement asks of one object.
struct ObjectMove {
  enum class Kind { kStay, kPark, kPlace };
  Kind kind{Kind::kStay};
  Pose pose{0, 0, 0, 1, 0, 0, 0};  // where to put it, at rest
};

}  // namespace gym_gazebo2
