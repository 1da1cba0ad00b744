#include "gz_sim_objects.hpp"

#include <algorithm>
#include <gz/math/Vector3.hh>
#include <gz/sim/components/AngularVelocity.hh>
#include <gz/sim/components/ExternalWorldWrenchCmd.hh>
#include <gz/sim/components/LinearVelocity.hh>
#include <gz/sim/components/Model.hh>
#include <gz/sim/components/Name.hh>
#include <gz/sim/components/Pose.hh>
#include <stdexcept>

namespace gym_gazebo2 {

namespace sim = gz::sim;
namespace components = gz::sim::components;
using gz::math::Pose3d;
using gz::math::Vector3d;

void GzSimObjects::Bind(sim::EntityComponentManager& ecm, const sdf::Element& sdf) {
  members_.clear();
  for (auto row = sdf.FindElement("object"); row; row = row->GetNextElement("object")) {
    const auto name = row->Get<std::string>("model");
    const auto model = ecm.EntityByComponents(components::Model(), components::Name(name));
    if (model == sim::kNullEntity) throw std::runtime_error("the world has no model '" + name + "'");
    const GzSimBody body(ecm, model);
    // The physics system fills these in, where they exist.
    ecm.SetComponentData<components::WorldPose>(body.RootLink(), body.Start());
    ecm.SetComponentData<components::WorldLinearVelocity>(body.RootLink(), Vector3d::Zero);
    ecm.SetComponentData<components::WorldAngularVelocity>(body.RootLink(), Vector3d::Zero);
    ecm.SetComponentData<components::ExternalWorldWrenchCmd>(body.RootLink(), {});
    members_.push_back({body, row->Get<double>("weight"), row->Get<double>("angular_damping")});
  }
}

void GzSimObjects::Read(const sim::EntityComponentManager& ecm, std::vector<Object>& objects) const {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (objects[i].is_parked) continue;
    const auto& body = members_[i].body;
    const auto link = body.RootLink();
    const Pose3d pose = body.IsPut() ? body.Wanted() : ecm.Component<components::WorldPose>(link)->Data();
    const Vector3d v = body.IsPut() ? Vector3d::Zero : ecm.Component<components::WorldLinearVelocity>(link)->Data();
    const Vector3d w = body.IsPut() ? Vector3d::Zero : ecm.Component<components::WorldAngularVelocity>(link)->Data();
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
    body.Put(ecm, objects[i].is_parked ? body.Start() : Pose3d(x, y, z, qw, qx, qy, qz));
  }
}

void GzSimObjects::FinishMove(sim::EntityComponentManager& ecm) {
  for (auto& member : members_) member.body.PutAgain(ecm);
}

void GzSimObjects::Apply(sim::EntityComponentManager& ecm, const std::vector<Object>& objects) {
  for (size_t i = 0; i < members_.size(); ++i) {
    auto& [body, weight, angular_damping] = members_[i];
    const bool is_at_rest = body.IsPut();
    body.BeginStep(ecm);
    if (objects[i].is_parked) continue;  // it rests in the air, without its weight
    // gz-sim clears the wrench after each physics step.
    auto& wrench = ecm.Component<components::ExternalWorldWrenchCmd>(body.RootLink())->Data();
    const auto measured = ecm.Component<components::WorldAngularVelocity>(body.RootLink())->Data();
    const Vector3d w = is_at_rest ? Vector3d::Zero : measured;
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
