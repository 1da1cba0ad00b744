#include "gz_sim_objects.hpp"

#include <algorithm>
#include <gz/math/Vector3.hh>
#include <gz/sim/components/AngularVelocity.hh>
#include <gz/sim/components/Collision.hh>
#include <gz/sim/components/ExternalWorldWrenchCmd.hh>
#include <gz/sim/components/LinearVelocity.hh>
#include <gz/sim/components/Link.hh>
#include <gz/sim/components/Model.hh>
#include <gz/sim/components/Name.hh>
#include <gz/sim/components/Pose.hh>
#include <stdexcept>

namespace gym_gazebo2 {

namespace sim = gz::sim;
namespace components = gz::sim::components;
using gz::math::Pose3d;
using gz::math::Vector3d;

namespace {

/// Returns the angular velocity of a shape along the axes of the world [rad/s].
Vector3d MeasureSpin(const sim::EntityComponentManager& ecm, sim::Entity shape) {
  const auto& turn = ecm.Component<components::WorldPose>(shape)->Data().Rot();
  return turn * ecm.Component<components::AngularVelocity>(shape)->Data();
}

}  // namespace

void GzSimObjects::Bind(sim::EntityComponentManager& ecm, const sdf::Element& sdf) {
  members_.clear();
  for (auto row = sdf.FindElement("object"); row; row = row->GetNextElement("object")) {
    const auto name = row->Get<std::string>("model");
    const auto model = ecm.EntityByComponents(components::Model(), components::Name(name));
    if (model == sim::kNullEntity) throw std::runtime_error("the world has no model '" + name + "'");
    const GzSimBody body(ecm, model);
    const auto links = ecm.ChildrenByComponents(model, components::Link());
    const auto shapes = ecm.ChildrenByComponents(body.RootLink(), components::Collision());
    if (links.size() != 1 || shapes.size() != 1) throw std::runtime_error("'" + name + "' is not a model of one shape");
    // The physics system fills these in, where they exist: for a shape in every step, for a link only after it has moved by
    // 1e-6 m.
    ecm.SetComponentData<components::WorldPose>(shapes.front(), body.Start());
    ecm.SetComponentData<components::WorldLinearVelocity>(shapes.front(), Vector3d::Zero);
    ecm.SetComponentData<components::AngularVelocity>(shapes.front(), Vector3d::Zero);  // along the axes of the shape
    ecm.SetComponentData<components::ExternalWorldWrenchCmd>(body.RootLink(), {});
    members_.push_back({body, shapes.front(), row->Get<double>("weight"), row->Get<double>("angular_damping")});
  }
}

void GzSimObjects::Read(const sim::EntityComponentManager& ecm, std::vector<Object>& objects) const {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (objects[i].is_parked) continue;
    const auto& [body, shape, weight, angular_damping] = members_[i];
    const bool is_measured = !body.IsMovePending();
    const Pose3d pose = is_measured ? ecm.Component<components::WorldPose>(shape)->Data() : body.Wanted();
    const Vector3d v = is_measured ? ecm.Component<components::WorldLinearVelocity>(shape)->Data() : Vector3d::Zero;
    const Vector3d w = is_measured ? MeasureSpin(ecm, shape) : Vector3d::Zero;
    const auto& p = pose.Pos();
    const auto& r = pose.Rot();
    objects[i].pose = {p.X(), p.Y(), p.Z(), r.W(), r.X(), r.Y(), r.Z()};
    objects[i].twist = {v.X(), v.Y(), v.Z(), w.X(), w.Y(), w.Z()};
  }
}

void GzSimObjects::Move(sim::EntityComponentManager& ecm, const std::vector<ObjectMove>& moves, std::vector<Object>& objects) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (moves[i].kind == ObjectMove::Kind::kStay) continue;
    objects[i].is_parked = moves[i].kind == ObjectMove::Kind::kPark;
    const auto& [x, y, z, qw, qx, qy, qz] = moves[i].pose;
    auto& body = members_[i].body;
    body.Move(ecm, objects[i].is_parked ? body.Start() : Pose3d(x, y, z, qw, qx, qy, qz));
  }
}

void GzSimObjects::RepeatMoves(sim::EntityComponentManager& ecm) {
  for (auto& member : members_) member.body.RepeatMove(ecm);
}

void GzSimObjects::Apply(sim::EntityComponentManager& ecm, const std::vector<Object>& objects) {
  for (size_t i = 0; i < members_.size(); ++i) {
    auto& [body, shape, weight, angular_damping] = members_[i];
    const bool is_moved = body.IsMovePending();
    body.BeginStep(ecm);
    // A parked object rests in the air, without its weight. So does one in the physics step that moves it: gz-sim applies forces
    // before it moves a model, and DART turns them along.
    if (objects[i].is_parked || is_moved) continue;
    // gz-sim clears the wrench after each physics step.
    auto& wrench = ecm.Component<components::ExternalWorldWrenchCmd>(body.RootLink())->Data();
    const Vector3d w = MeasureSpin(ecm, shape);
    wrench.mutable_force()->set_z(-weight);
    wrench.mutable_torque()->set_x(-angular_damping * w.X());
    wrench.mutable_torque()->set_y(-angular_damping * w.Y());
    wrench.mutable_torque()->set_z(-angular_damping * w.Z());
  }
}

bool GzSimObjects::Has(sim::Entity model) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& one) { return one.body.Model() == model; });
}

}  // namespace gym_gazebo2
