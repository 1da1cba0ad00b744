// The arm in Gazebo 11 with ODE: its joints, its placement, its contacts, and the pairs of links that do not collide.
#pragma once

#include <gazebo/physics/PhysicsTypes.hh>
#include <ignition/math/Pose3.hh>
#include <sdf/sdf.hh>
#include <vector>

#include "gazebo11_axis.hpp"
#include "gazebo11_objects.hpp"
#include "simulator.hpp"

namespace gym_gazebo2 {

class Gazebo11Arm : public Simulator {
 public:
  /// Throws std::runtime_error if the world has no such model, or the model lacks one of the joints.
  Gazebo11Arm(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf);

  void Read() override;
  void Apply(double dt) override;
  bool TakesEffort() const override { return true; }
  bool Place(const std::vector<double>& q) override;
  void ResetModels() override;
  void ReadObjects() override { objects_.Read(objects); }
  void MoveObjects(const std::vector<ObjectMove>& moves) override { objects_.Move(moves, objects); }
  double ContactForce() const override;
  void Warn(const std::string& text) const override;

 private:
  /// A link that hangs on another, by a joint of the arm or, if `joint` is -1, rigidly.
  struct Hanging {
    gazebo::physics::LinkPtr parent, child;
    ignition::math::Pose3d pose_at_zero;
    int joint;
  };

  void Hang(const gazebo::physics::LinkPtr& parent);
  void Exclude(const gazebo::physics::LinkPtr& one, const gazebo::physics::LinkPtr& two);
  gazebo::physics::LinkPtr FindLink(const std::string& name) const;

  gazebo::physics::WorldPtr world_;
  gazebo::physics::ModelPtr model_;
  Gazebo11Objects objects_;
  gazebo::physics::LinkPtr base_;  // carries the first joint
  ignition::math::Pose3d base_pose_;
  std::vector<Gazebo11Axis> axes_;  // axes_[i] belongs to joints[i]
  std::vector<Hanging> hanging_;    // from base to tool
};

}  // namespace gym_gazebo2
