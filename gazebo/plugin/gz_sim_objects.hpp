// The movable objects of a scene in gz-sim: one model per member of the pool, read, placed and parked.
#pragma once

#include <gz/sim/EntityComponentManager.hh>
#include <sdf/Element.hh>
#include <vector>

#include "gz_sim_body.hpp"
#include "objects.hpp"

namespace gym_gazebo2 {

class GzSimObjects {
 public:
  /// Finds the models that the plug-in's SDF names, and makes the components that the physics system fills. A reset of the
  /// world removes components.
  /// Throws std::runtime_error if the world has no such model, or its model has more than one shape.
  void Bind(gz::sim::EntityComponentManager& ecm, const sdf::Element& sdf);

  /// Measures the objects that are not parked. One whose move is pending is at its target pose, at rest.
  void Read(const gz::sim::EntityComponentManager& ecm, std::vector<Object>& objects) const;

  /// Moves objects[i] as moves[i] says, in the next physics step.
  void Move(gz::sim::EntityComponentManager& ecm, const std::vector<ObjectMove>& moves, std::vector<Object>& objects);

  /// Repeats the moves that the last physics step carried out.
  void RepeatMoves(gz::sim::EntityComponentManager& ecm);

  /// Sets the forces of the next physics step: the weight of the objects that are not parked, and what slows their turning.
  void Apply(gz::sim::EntityComponentManager& ecm, const std::vector<Object>& objects);

  /// Returns whether a model is one of the objects.
  bool Has(gz::sim::Entity model) const;

 private:
  struct Member {
    GzSimBody body;
    gz::sim::Entity shape;   // its only one, at the origin of model and link, where the centre of mass is, too
    double weight;           // [N]
    double angular_damping;  // [N·m·s/rad]
  };

  std::vector<Member> members_;  // in the order of the objects
};

}  // namespace gym_gazebo2
