#include "gz_sim_arm.hpp"

#include <algorithm>
#include <gz/common/Console.hh>
#include <gz/math/Vector3.hh>
#include <gz/sim/Model.hh>
#include <gz/sim/components/Collision.hh>
#include <gz/sim/components/ContactSensorData.hh>
#include <gz/sim/components/Joint.hh>
#include <gz/sim/components/JointForceCmd.hh>
#include <gz/sim/components/JointPosition.hh>
#include <gz/sim/components/JointPositionReset.hh>
#include <gz/sim/components/JointType.hh>
#include <gz/sim/components/JointVelocity.hh>
#include <gz/sim/components/JointVelocityReset.hh>
#include <gz/sim/components/Link.hh>
#include <gz/sim/components/Model.hh>
#include <gz/sim/components/Name.hh>
#include <gz/sim/components/ParentEntity.hh>
#include <gz/sim/components/ParentLinkName.hh>
#include <gz/sim/components/ChildLinkName.hh>
#include <gz/sim/components/Pose.hh>
#include <gz/sim/components/PoseCmd.hh>
#include <gz/sim/components/Static.hh>
#if __has_include(<gz/sim/components/LinearVelocityReset.hh>)  // from Ionic on
#include <gz/sim/components/AngularVelocityReset.hh>
#include <gz/sim/components/LinearVelocityReset.hh>
#define GYM_GAZEBO2_CAN_STOP_MODELS
#endif
#include <stdexcept>

#include "contract.hpp"

namespace gym_gazebo2 {
namespace {

namespace sim = gz::sim;
namespace components = gz::sim::components;
using gz::math::Vector3d;

}  // namespace

GzSimArm::GzSimArm(sim::EntityComponentManager& ecm, const sdf::Element& sdf)
    : ecm_(ecm), model_name_(sdf.Get<std::string>("model")) {
  for (auto row = sdf.FindElement("joint"); row; row = row->GetNextElement("joint")) {
    const auto number = [&row](const char* key) { return row->Get<double>(key); };
    Joint joint{row->Get<std::string>("name"), number("lower"), number("upper"), number("velocity"),
                number("effort"), number("drive_inertia"), number("rotor_inertia"), number("home")};
    joint.is_finger = row->HasElement("finger") && row->Get<bool>("finger");
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  Bind();
}

void GzSimArm::Bind() {
  const auto model = ecm_.EntityByComponents(components::Model(), components::Name(model_name_));
  if (model == sim::kNullEntity) throw std::runtime_error("the world has no model '" + model_name_ + "'");
  BindJoints(model);
  BindContacts(model);
  FindFreeModels(model);
}

void GzSimArm::BindJoints(sim::Entity model) {
  entities_.clear();
  rotor_speeds_.assign(joints.size(), 0.0);
  for (auto& joint : joints) {
    const auto entity = sim::Model(model).JointByName(ecm_, joint.name);
    if (entity == sim::kNullEntity) {
      throw std::runtime_error("the model '" + model_name_ + "' has no joint '" + joint.name + "'");
    }
    joint.is_prismatic = ecm_.Component<components::JointType>(entity)->Data() == sdf::JointType::PRISMATIC;
    // The physics system fills these in, where they exist.
    ecm_.SetComponentData<components::JointPosition>(entity, {joint.q});
    ecm_.SetComponentData<components::JointVelocity>(entity, {joint.dq});
    ecm_.SetComponentData<components::JointForceCmd>(entity, {0.0});
    entities_.push_back(entity);
  }
}

void GzSimArm::BindContacts(sim::Entity model) {
  collisions_.clear();
  for (const auto link : ecm_.ChildrenByComponents(model, components::Link())) {
    const auto& name = ecm_.Component<components::Name>(link)->Data();
    // The base stands on the floor, and so may other links that are fixed to the ground: their contacts do not count. A
    // moving link that touches one of them reports the contact itself.
    const auto fixed = ecm_.ChildrenByComponents(model, components::Joint(), components::ParentLinkName("world"),
                                                 components::ChildLinkName(name));
    if (!fixed.empty()) continue;
    for (const auto collision : ecm_.ChildrenByComponents(link, components::Collision())) {
      ecm_.SetComponentData<components::ContactSensorData>(collision, {});
      collisions_.push_back(collision);
    }
  }
}

void GzSimArm::FindFreeModels(sim::Entity arm) {
  free_models_.clear();
  ecm_.Each<components::Model, components::Pose, components::Static>(
      [&](sim::Entity model, components::Model*, components::Pose* pose, components::Static* is_static) {
        if (model != arm && !is_static->Data()) {
          free_models_.push_back({model, sim::Model(model).CanonicalLink(ecm_), pose->Data()});
        }
        return true;
      });
}

void GzSimArm::Read() {
  const bool is_touching = ContactForce() > 0;
  for (size_t i = 0; i < joints.size(); ++i) {
    joints[i].q = ecm_.Component<components::JointPosition>(entities_[i])->Data().at(0);
    joints[i].dq = ecm_.Component<components::JointVelocity>(entities_[i])->Data().at(0);
    // DART's contacts push links without their rotors. If a contact moves a light link, its heavy rotor would get the same
    // speed without any force, and then throw the arm with the momentum of both (40 times a joint's speed limit was measured).
    // So a contact may stop a rotor, but not speed it up: its speed stays between zero and the speed that the drive's effort
    // gives it.
    const double driven = rotor_speeds_[i] + dt_ * joints[i].effort / joints[i].drive_inertia;
    rotor_speeds_[i] =
        is_touching ? std::clamp(joints[i].dq, std::min(0.0, driven), std::max(0.0, driven)) : joints[i].dq;
  }
}

void GzSimArm::Apply(double dt) {
  dt_ = dt;
  for (size_t i = 0; i < joints.size(); ++i) {
    // The world's SDF gives the joint its rotor's inertia A as the damping A/dt, which DART takes at the end of the step. The
    // rotor's momentum at the beginning of the step is added here, and only A times the acceleration is left.
    const double damping = joints[i].rotor_inertia / dt;
    ecm_.Component<components::JointForceCmd>(entities_[i])->Data()[0] = joints[i].effort + damping * rotor_speeds_[i];
  }
}

bool GzSimArm::Place(const std::vector<double>& q) {
  placed_ = q;
  for (size_t i = 0; i < joints.size(); ++i) {
    ecm_.SetComponentData<components::JointPositionReset>(entities_[i], {q[i]});
    ecm_.SetComponentData<components::JointVelocityReset>(entities_[i], {0.0});
    joints[i].q = joints[i].setpoint = joints[i].ramp_start = joints[i].ramp_end = q[i];
    joints[i].dq = joints[i].effort = rotor_speeds_[i] = 0;
  }
  return false;  // the physics system carries it out in its next step
}

void GzSimArm::FinishPlace() { Place(placed_); }

void GzSimArm::ResetModels() {
  for (const auto& free : free_models_) {
    ecm_.SetComponentData<components::WorldPoseCmd>(free.model, free.start);
#ifdef GYM_GAZEBO2_CAN_STOP_MODELS  // a pose alone keeps the velocity
    ecm_.SetComponentData<components::WorldLinearVelocityReset>(free.root_link, Vector3d::Zero);
    ecm_.SetComponentData<components::WorldAngularVelocityReset>(free.root_link, Vector3d::Zero);
#endif
  }
}

double GzSimArm::ContactForce() const {
  double largest = 0;
  for (const auto collision : collisions_) {
    for (const auto& contact : ecm_.Component<components::ContactSensorData>(collision)->Data().contact()) {
      Vector3d force;
      for (const auto& wrench : contact.wrench()) {
        const auto& f = wrench.body_1_wrench().force();
        force += Vector3d(f.x(), f.y(), f.z());
      }
      largest = std::max({largest, force.Length(), kTouchForce});
    }
  }
  return largest;
}

void GzSimArm::Warn(const std::string& text) const { gzwarn << text + "\n"; }  // one piece: threads do not mix lines

}  // namespace gym_gazebo2
