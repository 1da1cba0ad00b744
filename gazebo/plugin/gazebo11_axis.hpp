// A joint of the arm in Gazebo 11 with ODE: measured, driven, and with its rotor's inertia.
#pragma once

#include <gazebo/ode/ode.h>

#include <gazebo/physics/PhysicsTypes.hh>
#include <ignition/math/Pose3.hh>

#include "drive.hpp"

namespace gym_gazebo2 {

/// Returns a link's body in ODE. Throws std::runtime_error if the physics engine is another.
dBodyID FindBody(const gazebo::physics::LinkPtr& link);

class Gazebo11Axis {
 public:
  /// Throws std::runtime_error if the joint does not join two links.
  Gazebo11Axis(const Joint& joint, const gazebo::physics::JointPtr& hinge, dWorldID world);

  /// Measures q and dq.
  void Read(Joint& joint) const;

  /// Applies the joint's effort in the next physics step of `dt` seconds.
  void Apply(const Joint& joint, double dt) const;

  /// Returns the pose of the child at `q` in its own frame at zero.
  ignition::math::Pose3d Move(double q) const;

  const gazebo::physics::LinkPtr& Parent() const { return parent_; }
  const gazebo::physics::LinkPtr& Child() const { return child_; }

 private:
  void AddRotor(dWorldID world, const ignition::math::Vector3d& axis_in_world);
  void ReadTurn(Joint& joint) const;
  void ReadSlide(Joint& joint) const;
  void ApplyTorque(double effort) const;
  void ApplyForce(double effort) const;

  gazebo::physics::LinkPtr parent_, child_;
  dBodyID parent_body_{nullptr}, child_body_{nullptr};
  bool is_prismatic_;
  ignition::math::Quaterniond turn_at_zero_;  // of the child in its parent's frame
  ignition::math::Vector3d com_at_zero_;      // of the child in its parent's frame, from the parent's centre of mass
  ignition::math::Vector3d axis_;             // in the child's frame
  dJointID rotor_{nullptr};
};

}  // namespace gym_gazebo2
