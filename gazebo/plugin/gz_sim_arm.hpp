// The arm in gz-sim: its joints, its placement, and its contacts, as components of entities.
#pragma once

#include <gz/math/Pose3.hh>
#include <gz/sim/EntityComponentManager.hh>
#include <sdf/Element.hh>
#include <string>
#include <vector>

#include "simulator.hpp"

namespace gym_gazebo2 {

class GzSimArm : public Simulator {
 public:
  /// Throws std::runtime_error if the world has no such model, or the model lacks one of the joints.
  GzSimArm(gz::sim::EntityComponentManager& ecm, const sdf::Element& sdf);

  /// Finds the entities and makes the components that the physics system fills. A reset of the world removes components.
  void Bind();

  void Read() override;
  void Apply(double dt) override;
  bool Place(const std::vector<double>& q) override;
  void FinishPlace() override;
  void ResetModels() override;
  double ContactForce() const override;
  void Warn(const std::string& text) const override;

 private:
  /// A model of the world besides the arm, which can move.
  struct FreeModel {
    gz::sim::Entity model, root_link;
    gz::math::Pose3d start;
  };

  void BindJoints(gz::sim::Entity model);
  void BindContacts(gz::sim::Entity model);
  void FindFreeModels(gz::sim::Entity arm);

  gz::sim::EntityComponentManager& ecm_;
  const std::string model_name_;
  std::vector<gz::sim::Entity> entities_;    // entities_[i] belongs to joints[i]
  std::vector<gz::sim::Entity> collisions_;  // of the arm's moving links
  std::vector<FreeModel> free_models_;
  std::vector<double> placed_;        // q of the newest placement
  std::vector<double> rotor_speeds_;  // [rad/s or m/s], by joint; differ from dq only in contact
  double dt_{0};                      // physics step [s]
};

}  // namespace gym_gazebo2
