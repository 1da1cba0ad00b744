#include "gazebo11_objects.hpp"

#include <algorithm>
#include <gazebo/physics/Link.hh>
#include <gazebo/physics/Model.hh>
#include <gazebo/physics/World.hh>
#include <gazebo/physics/ode/ODELink.hh>
#include <stdexcept>

#include "gazebo11_axis.hpp"

namespace gym_gazebo2 {

namespace physics = gazebo::physics;
using ignition::math::Pose3d;

Gazebo11Objects::Gazebo11Objects(const physics::WorldPtr& world, const sdf::ElementPtr& sdf, std::vector<Object>& objects) {
  for (auto row = sdf->HasElement("object") ? sdf->GetElement("object") : nullptr; row; row = row->GetNextElement("object")) {
    const auto name = row->Get<std::string>("name");
    const auto model = world->ModelByName(row->Get<std::string>("model"));
    if (!model || model->GetLinks().size() != 1) throw std::runtime_error("the world has no object '" + name + "' of one link");
    const auto link = model->GetLinks().front();
    const auto space = boost::dynamic_pointer_cast<physics::ODELink>(link)->GetSpaceId();
    bodies_.push_back({model, link, FindBody(link), reinterpret_cast<dGeomID>(space), model->WorldPose(),
                       row->Get<double>("angular_damping")});
    objects.push_back({name});
  }
  Park(objects);
}

void Gazebo11Objects::Read(std::vector<Object>& objects) const {
  for (size_t i = 0; i < bodies_.size(); ++i) {
    if (objects[i].is_parked) continue;
    const auto body = bodies_[i].body;
    const dReal *p = dBodyGetPosition(body), *r = dBodyGetQuaternion(body);
    const dReal *v = dBodyGetLinearVel(body), *w = dBodyGetAngularVel(body);
    objects[i].pose = {p[0], p[1], p[2], r[0], r[1], r[2], r[3]};
    objects[i].twist = {v[0], v[1], v[2], w[0], w[1], w[2]};
  }
}

void Gazebo11Objects::Move(const std::vector<ObjectMove>& moves, std::vector<Object>& objects) const {
  for (size_t i = 0; i < bodies_.size(); ++i) {
    if (moves[i].kind == ObjectMove::Kind::kStay) continue;
    objects[i].is_parked = moves[i].kind == ObjectMove::Kind::kPark;
    const auto& [x, y, z, qw, qx, qy, qz] = moves[i].pose;
    Put(bodies_[i], objects[i].is_parked ? bodies_[i].shelf : Pose3d(x, y, z, qw, qx, qy, qz), objects[i].is_parked);
  }
}

void Gazebo11Objects::Park(std::vector<Object>& objects) const {
  Move(std::vector<ObjectMove>(bodies_.size(), {ObjectMove::Kind::kPark}), objects);
}

void Gazebo11Objects::Put(const Body& body, const Pose3d& pose, bool is_parked) const {
  body.model->SetWorldPose(pose);
  body.link->ResetPhysicsStates();
  // Uses ODE's own functions, which are exact. Gazebo's functions compute the pose from those of model and link, with rounding.
  const dQuaternion rotation = {pose.Rot().W(), pose.Rot().X(), pose.Rot().Y(), pose.Rot().Z()};
  dBodySetPosition(body.body, pose.Pos().X(), pose.Pos().Y(), pose.Pos().Z());
  dBodySetQuaternion(body.body, rotation);
  // The solver skips a body that is disabled, and the search for contacts skips its shapes. Without the second a parked
  // object costs about as much as one in the scene.
  if (is_parked) {
    dBodyDisable(body.body);
    dGeomDisable(body.space);
  } else {
    dBodyEnable(body.body);
    dGeomEnable(body.space);
  }
}

void Gazebo11Objects::Apply(const std::vector<Object>& objects) const {
  for (size_t i = 0; i < bodies_.size(); ++i) {
    if (objects[i].is_parked) continue;
    const dReal* w = dBodyGetAngularVel(bodies_[i].body);
    const double factor = -bodies_[i].angular_damping;
    dBodyAddTorque(bodies_[i].body, factor * w[0], factor * w[1], factor * w[2]);
  }
}

bool Gazebo11Objects::Has(const physics::ModelPtr& model) const {
  return std::any_of(bodies_.begin(), bodies_.end(), [&](const Body& body) { return body.model == model; });
}

}  // namespace gym_gazebo2
