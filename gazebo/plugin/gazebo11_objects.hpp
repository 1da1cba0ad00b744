// The movable objects of a scene in Gazebo 11 with ODE: one model per member of the pool, read, placed and parked.
#pragma once

#include <gazebo/ode/ode.h>

#include <gazebo/physics/PhysicsTypes.hh>
#include <ignition/math/Pose3.hh>
#include <sdf/sdf.hh>
#include <vector>

#include "objects.hpp"

namespace gym_gazebo2 {

class Gazebo11Objects {
 public:
  /// Finds the models that the plug-in's SDF names, and adds them to `objects`, parked where the world has them.
  /// Throws std::runtime_error if the world has no such model.
  Gazebo11Objects(const gazebo::physics::WorldPtr& world, const sdf::ElementPtr& sdf, std::vector<Object>& objects);

  /// Measures the objects that are not parked.
  void Read(std::vector<Object>& objects) const;

  /// Moves objects[i] as moves[i] says.
  void Move(const std::vector<ObjectMove>& moves, std::vector<Object>& objects) const;

  /// Parks all objects.
  void Park(std::vector<Object>& objects) const;

  /// Slows the turning of the objects that are not parked, in the next physics step.
  void Apply(const std::vector<Object>& objects) const;

  /// Returns whether a model is one of the objects.
  bool Has(const gazebo::physics::ModelPtr& model) const;

 private:
  /// An object's body. Its only link is at the model's origin, and so is its centre of mass.
  struct Body {
    gazebo::physics::ModelPtr model;
    gazebo::physics::LinkPtr link;
    dBodyID body;
    dGeomID space;                     // holds the link's shapes
    ignition::math::Pose3d shelf;      // where it is parked
    double angular_damping;            // [N·m·s/rad]
  };

  void Put(const Body& body, const ignition::math::Pose3d& pose, bool is_parked) const;

  std::vector<Body> bodies_;  // in the order of the objects
};

}  // namespace gym_gazebo2
