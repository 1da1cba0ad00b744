// The arm in gz-sim: its joints, its placement, and its contacts, as components of entities.
#pragma once

#include <gz/sim/EntityComponentManager.hh>
#include <memory>
#include <sdf/Element.hh>
#include <string>
#include <vector>

#include "gz_sim_body.hpp"
#include "gz_sim_objects.hpp"
#include "simulator.hpp"

namespace gym_gazebo2 {

class GzSimArm : public Simulator {
 public:
  /// Throws std::runtime_error if the world has no such model, or the model lacks one of the joints.
  GzSimArm(gz::sim::EntityComponentManager& ecm, std::shared_ptr<const sdf::Element> sdf);

  /// Finds the entities and makes the components that the physics system fills. A reset of the world removes components.
  void Bind();

  void Read() override;
  bool TakesEffort() const override { return true; }
  void Apply(double dt) override;
  bool Place(const std::vector<double>& q) override;

  /// Throws std::runtime_error if gz-sim runs without its physics system.
  void FinishPlace() override;
  void ResetModels() override;
  void ReadObjects() override { objects_.Read(ecm_, objects); }
  void MoveObjects(const std::vector<ObjectMove>& moves) override { objects_.Move(ecm_, moves, objects); }
  double ContactForce() const override;
  void Warn(const std::string& text) const override;

 private:
  void BindJoints(gz::sim::Entity model);
  void BindContacts(gz::sim::Entity model);
  void BindFinger(gz::sim::Entity model, gz::sim::Entity joint, std::vector<gz::sim::Entity>& shapes);
  void FindFreeModels(gz::sim::Entity arm);
  void PutJoints();
  void DriveByForce(size_t i, double dt);
  void DriveBySpeed(size_t i, double dt);
  bool IsTouching(const std::vector<gz::sim::Entity>& shapes) const;

  gz::sim::EntityComponentManager& ecm_;
  const std::shared_ptr<const sdf::Element> sdf_;
  const std::string model_name_;
  GzSimObjects objects_;
  std::vector<gz::sim::Entity> entities_;    // entities_[i] belongs to joints[i]
  std::vector<gz::sim::Entity> collisions_;  // of the arm's moving links, without the firm shapes
  std::vector<std::vector<gz::sim::Entity>> finger_shapes_;  // of the link that joints[i] moves, if it is a finger
  std::vector<GzSimBody> free_models_;       // besides the arm and the objects
  std::vector<double> placed_;               // q of the newest placement
  bool is_placing_{false};                   // the next physics step puts the joints there
  std::vector<double> rotor_speeds_;         // [rad/s or m/s], by joint; differ from dq only in contact
  double dt_{0};                             // physics step [s]
};

}  // namespace gym_gazebo2
