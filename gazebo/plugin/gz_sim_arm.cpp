#include "gz_sim_arm.hpp"

#include <algorithm>
#include <gz/common/Console.hh>
#include <gz/math/Vector3.hh>
#include <gz/sim/Model.hh>
#include <gz/sim/components/Collision.hh>
#include <gz/sim/components/ContactSensorData.hh>
#include <gz/sim/components/Joint.hh>
#include <gz/sim/components/JointEffortLimitsCmd.hh>
#include <gz/sim/components/JointForceCmd.hh>
#include <gz/sim/components/JointPosition.hh>
#include <gz/sim/components/JointPositionReset.hh>
#include <gz/sim/components/JointType.hh>
#include <gz/sim/components/JointVelocity.hh>
#include <gz/sim/components/JointVelocityCmd.hh>
#include <gz/sim/components/JointVelocityReset.hh>
#include <gz/sim/components/Link.hh>
#include <gz/sim/components/Model.hh>
#include <gz/sim/components/Name.hh>
#include <gz/sim/components/ParentEntity.hh>
#include <gz/sim/components/ParentLinkName.hh>
#include <gz/sim/components/ChildLinkName.hh>
#include <gz/sim/components/Pose.hh>
#include <gz/sim/components/Static.hh>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "contract.hpp"

namespace gym_gazebo2 {
namespace {

namespace sim = gz::sim;
namespace components = gz::sim::components;
using gz::math::Vector2d;
using gz::math::Vector3d;

constexpr char kFirm[] = "_firm";      // end of the names of shapes that only objects feel
constexpr double kTouchingMargin = 0.05;  // of a finger's effort limit

bool IsFirm(const std::string& name) {
  const std::string_view end(kFirm);
  return name.size() >= end.size() && std::string_view(name).substr(name.size() - end.size()) == end;
}

}  // namespace

GzSimArm::GzSimArm(sim::EntityComponentManager& ecm, std::shared_ptr<const sdf::Element> sdf)
    : ecm_(ecm), sdf_(std::move(sdf)), model_name_(sdf_->Get<std::string>("model")) {
  for (auto row = sdf_->FindElement("joint"); row; row = row->GetNextElement("joint")) {
    const auto number = [&row](const char* key) { return row->Get<double>(key); };
    Joint joint{row->Get<std::string>("name"), number("lower"), number("upper"), number("velocity"),
                number("effort"), number("drive_inertia"), number("rotor_inertia"), number("home")};
    joint.effort_damping = number("effort_damping");
    joint.is_finger = row->HasElement("finger") && row->Get<bool>("finger");
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  for (auto row = sdf_->FindElement("object"); row; row = row->GetNextElement("object")) {
    objects.push_back({row->Get<std::string>("name")});
  }
  Bind();
}

void GzSimArm::Bind() {
  const auto model = ecm_.EntityByComponents(components::Model(), components::Name(model_name_));
  if (model == sim::kNullEntity) throw std::runtime_error("the world has no model '" + model_name_ + "'");
  BindJoints(model);
  BindContacts(model);
  objects_.Bind(ecm_, *sdf_);
  for (auto& object : objects) object.is_parked = true;
  FindFreeModels(model);
}

void GzSimArm::BindJoints(sim::Entity model) {
  entities_.clear();
  rotor_speeds_.assign(joints.size(), 0.0);
  finger_shapes_.assign(joints.size(), {});
  for (auto& joint : joints) {
    const auto entity = sim::Model(model).JointByName(ecm_, joint.name);
    if (entity == sim::kNullEntity) {
      throw std::runtime_error("the model '" + model_name_ + "' has no joint '" + joint.name + "'");
    }
    joint.is_prismatic = ecm_.Component<components::JointType>(entity)->Data() == sdf::JointType::PRISMATIC;
    // The physics system fills these in, where they exist.
    ecm_.SetComponentData<components::JointPosition>(entity, {joint.q});
    ecm_.SetComponentData<components::JointVelocity>(entity, {joint.dq});
    if (!joint.is_finger) ecm_.SetComponentData<components::JointForceCmd>(entity, {0.0});
    if (joint.is_finger) BindFinger(model, entity, finger_shapes_[entities_.size()]);
    entities_.push_back(entity);
  }
}

void GzSimArm::BindFinger(sim::Entity model, sim::Entity joint, std::vector<sim::Entity>& shapes) {
  const auto& name = ecm_.Component<components::ChildLinkName>(joint)->Data();
  for (const auto collision : ecm_.ChildrenByComponents(sim::Model(model).LinkByName(ecm_, name), components::Collision())) {
    ecm_.SetComponentData<components::ContactSensorData>(collision, {});
    shapes.push_back(collision);
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
      if (IsFirm(ecm_.Component<components::Name>(collision)->Data())) continue;  // fingers may touch objects
      ecm_.SetComponentData<components::ContactSensorData>(collision, {});
      collisions_.push_back(collision);
    }
  }
}

void GzSimArm::FindFreeModels(sim::Entity arm) {
  free_models_.clear();
  ecm_.Each<components::Model, components::Static>([&](sim::Entity model, components::Model*, components::Static* is_static) {
    if (model != arm && !is_static->Data() && !objects_.Has(model)) free_models_.emplace_back(ecm_, model);
    return true;
  });
}

void GzSimArm::Read() {
  const bool is_touching = IsTouching(collisions_);
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
    if (!joints[i].is_finger) {
      DriveByForce(i, dt);
    } else if (!is_placing_) {
      DriveBySpeed(i, dt);
    }
  }
  for (auto& body : free_models_) body.BeginStep(ecm_);
  objects_.Apply(ecm_, objects);
}

/// Drives a joint of the arm by its torque.
void GzSimArm::DriveByForce(size_t i, double dt) {
  // The world's SDF gives the joint its rotor's inertia A as the damping A/dt, which DART takes at the end of the step. The
  // rotor's momentum at the beginning of the step is added here, and only A times the acceleration is left.
  const auto& joint = joints[i];
  const double effort = joint.effort - joint.damping * PredictSpeed(joint, dt);
  ecm_.Component<components::JointForceCmd>(entities_[i])->Data()[0] = effort + joint.rotor_inertia / dt * rotor_speeds_[i];
}

/// Drives a finger by its speed, with a limited force. A finger is light and its rotor is heavy: a contact, which does not feel
/// the rotor, would get no more than the share of the link's mass in the drive's force (1.5 % with a Panda's fingers). DART
/// finds the force of this speed together with those of the contacts. So a free finger moves as its drive and its rotor say.
/// Where it hits something, the rotor's momentum pushes: the force may be large. While it touches something, it presses with
/// the drive's force.
void GzSimArm::DriveBySpeed(size_t i, double dt) {
  const auto& joint = joints[i];
  const double speed = PredictSpeed(joint, dt), effort = joint.effort - joint.damping * speed;
  const double margin = joint.effort_limit * (IsTouching(finger_shapes_[i]) ? kTouchingMargin : 1.0);
  const Vector2d limits(std::min(0.0, effort) - margin, std::max(0.0, effort) + margin);
  ecm_.SetComponentData<components::JointVelocityCmd>(entities_[i], {speed});
  ecm_.SetComponentData<components::JointEffortLimitsCmd>(entities_[i], {limits});
}

bool GzSimArm::IsTouching(const std::vector<sim::Entity>& shapes) const {
  return std::any_of(shapes.begin(), shapes.end(), [this](sim::Entity shape) {
    return ecm_.Component<components::ContactSensorData>(shape)->Data().contact_size() > 0;
  });
}

bool GzSimArm::Place(const std::vector<double>& q) {
  placed_ = q;
  is_placing_ = true;
  PutJoints();
  return false;  // the physics system carries it out in its next step
}

void GzSimArm::FinishPlace() {
  // The physics system removes what it has carried out. gz-sim goes on without it where it cannot load it.
  if (ecm_.Component<components::JointPositionReset>(entities_.front()) != nullptr) {
    throw std::runtime_error("gz-sim did not load its physics system. See the errors above.");
  }
  is_placing_ = false;
  PutJoints();
  objects_.RepeatMoves(ecm_);
}

void GzSimArm::PutJoints() {
  for (size_t i = 0; i < joints.size(); ++i) {
    auto& joint = joints[i];
    ecm_.SetComponentData<components::JointPositionReset>(entities_[i], {placed_[i]});
    // gz-sim ignores a finger's command in a step that resets its speed, with a warning. In the first step of a placement it
    // gets none. In the step after that, its command sets the speed.
    if (joint.is_finger) ecm_.RemoveComponent<components::JointVelocityCmd>(entities_[i]);
    if (is_placing_ || !joint.is_finger) ecm_.SetComponentData<components::JointVelocityReset>(entities_[i], {0.0});
    joint.q = joint.setpoint = joint.ramp_start = joint.ramp_end = placed_[i];
    joint.dq = joint.effort = rotor_speeds_[i] = 0;
  }
}

void GzSimArm::ResetModels() {
  for (auto& body : free_models_) body.Move(ecm_, body.Start());
  objects_.Move(ecm_, std::vector<ObjectMove>(objects.size(), {ObjectMove::Kind::kPark}), objects);
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
