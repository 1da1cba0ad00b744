// The arm in Gazebo 11 with ODE: measures joints, applies torques, places the arm, and finds contacts.
#pragma once

#include <gazebo/ode/ode.h>

#include <gazebo/physics/PhysicsTypes.hh>
#include <ignition/math/Pose3.hh>
#include <sdf/sdf.hh>
#include <vector>

#include "simulator.hpp"

namespace gym_gazebo2 {

class Gazebo11Arm : public Simulator {
 public:
  /// Throws std::runtime_error if the world has no such model, or the model lacks one of the joints.
  Gazebo11Arm(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf);

  void Read() override;
  void Apply(double dt) override;
  void Place(const std::vector<double>& q) override;
  void ResetModels() override;
  double ContactForce() const override;
  void Warn(const std::string& text) const override;

 private:
  /// A joint of the arm in ODE; axes_[i] belongs to joints[i].
  struct Axis {
    gazebo::physics::LinkPtr parent{}, child{};
    ignition::math::Pose3d pose_at_zero{};  // of the child in its parent's frame; the joint turns about the child's origin
    ignition::math::Vector3d com_at_zero{};  // of the child in its parent's frame, from the parent's centre of mass
    ignition::math::Vector3d axis{};        // in the child's frame
    dBodyID parent_body{nullptr}, child_body{nullptr};
    dJointID rotor{nullptr};
  };

  /// A link that hangs on another, by a joint of the arm or, if `joint` is -1, rigidly.
  struct Hanging {
    gazebo::physics::LinkPtr parent, child;
    ignition::math::Pose3d pose_at_zero;
    int joint;
  };

  Axis Bind(const Joint& joint, gazebo::physics::JointPtr hinge);
  dJointID AddRotor(const Axis& bound, bool is_prismatic, const ignition::math::Vector3d& axis);
  void Hang(const gazebo::physics::LinkPtr& parent);
  void Exclude(const gazebo::physics::LinkPtr& one, const gazebo::physics::LinkPtr& two);
  gazebo::physics::LinkPtr FindLink(const std::string& name) const;
  void ReadTurn(Joint& joint, const Axis& bound) const;
  void ReadSlide(Joint& joint, const Axis& bound) const;

  gazebo::physics::WorldPtr world_;
  gazebo::physics::ModelPtr model_;
  gazebo::physics::LinkPtr base_;  // carries the first joint
  ignition::math::Pose3d base_pose_;
  std::vector<Axis> axes_;
  std::vector<Hanging> hanging_;  // from base to tool
};

}  // namespace gym_gazebo2
