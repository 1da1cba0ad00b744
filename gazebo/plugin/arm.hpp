// The arm in ODE: reads joints, drives them, puts them somewhere, and says how hard it is touched.
#pragma once

#include <gazebo/ode/ode.h>

#include <gazebo/physics/PhysicsTypes.hh>
#include <ignition/math/Pose3.hh>
#include <sdf/sdf.hh>
#include <string>
#include <vector>

namespace gym_gazebo2 {

/// One revolute joint with its drive; its numbers come from the plug-in's SDF. Units: rad, rad/s, N·m, kg·m².
struct Joint {
  std::string name;
  double lower, upper, velocity_limit, effort_limit, drive_inertia, rotor_inertia, home;
  double q{0}, dq{0}, effort{0};
  double setpoint{0}, ramp_start{0}, ramp_end{0};

  gazebo::physics::LinkPtr parent{}, child{};
  ignition::math::Pose3d pose_at_zero{};  // of the child in its parent's frame; the joint turns about the child's origin
  ignition::math::Vector3d axis{};        // in the child's frame
  dBodyID parent_body{nullptr}, child_body{nullptr};
  dJointID rotor{nullptr};
};

class Arm {
 public:
  /// Throws std::runtime_error where the world lacks the model or one of its joints.
  Arm(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf);

  /// Measures q and dq of every joint.
  void Read();

  /// Sets the torques of one physics step of `dt` seconds, for a set-point that moves at ramp_speed[i] rad/s.
  void Drive(double dt, const std::vector<double>& ramp_speed);

  /// Puts the joints at `q`, at rest, with the set-point there.
  void Place(const std::vector<double>& q);

  /// Largest force of a contact of the arm [N]; touching without force counts as kTouch, being free as zero.
  double ContactForce() const;

  std::vector<Joint> joints;

 private:
  static constexpr double kOmega = 40.0;  // natural frequency of every drive [rad/s]
  static constexpr double kStop = 150.0;  // the same of the soft stop beyond each limit [rad/s]
  static constexpr double kTouch = 1e-6;

  /// A link that hangs on another, by a joint of the arm or, where `joint` is -1, rigidly.
  struct Hanging {
    gazebo::physics::LinkPtr parent, child;
    ignition::math::Pose3d pose_at_zero;
    int joint;
  };

  void Bind(Joint& joint, gazebo::physics::JointPtr hinge);
  void Hang(const gazebo::physics::LinkPtr& parent);

  gazebo::physics::WorldPtr world_;
  gazebo::physics::ModelPtr model_;
  gazebo::physics::LinkPtr base_;
  ignition::math::Pose3d base_pose_;
  std::vector<Hanging> hanging_;  // from base to tool
};

}  // namespace gym_gazebo2
