#include "gz_sim_body.hpp"

#include <gz/math/Vector3.hh>
#include <gz/sim/Model.hh>
#include <gz/sim/components/AngularVelocityCmd.hh>
#include <gz/sim/components/LinearVelocityCmd.hh>
#include <gz/sim/components/Pose.hh>
#include <gz/sim/components/PoseCmd.hh>

namespace gym_gazebo2 {

namespace sim = gz::sim;
namespace components = gz::sim::components;
using gz::math::Vector3d;

GzSimBody::GzSimBody(sim::EntityComponentManager& ecm, sim::Entity model)
    : model_(model), root_link_(sim::Model(model).CanonicalLink(ecm)),
      start_(ecm.Component<components::Pose>(model)->Data()), wanted_(start_) {}

void GzSimBody::Move(sim::EntityComponentManager& ecm, const gz::math::Pose3d& pose) {
  wanted_ = pose;
  command_ = Command::kPending;
  ecm.SetComponentData<components::WorldPoseCmd>(model_, pose);
  ecm.SetComponentData<components::LinearVelocityCmd>(model_, Vector3d::Zero);  // a pose alone keeps the velocity
  ecm.SetComponentData<components::AngularVelocityCmd>(model_, Vector3d::Zero);
}

void GzSimBody::RepeatMove(sim::EntityComponentManager& ecm) {
  if (command_ == Command::kApplied) Move(ecm, wanted_);
}

void GzSimBody::BeginStep(sim::EntityComponentManager& ecm) {
  if (command_ == Command::kApplied) {
    ecm.RemoveComponent<components::WorldPoseCmd>(model_);
    ecm.RemoveComponent<components::LinearVelocityCmd>(model_);
    ecm.RemoveComponent<components::AngularVelocityCmd>(model_);
  }
  command_ = command_ == Command::kPending ? Command::kApplied : Command::kNone;
}

}  // namespace gym_gazebo2
