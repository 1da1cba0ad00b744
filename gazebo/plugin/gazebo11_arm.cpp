#include "gazebo11_arm.hpp"

#include <algorithm>
#include <cmath>
#include <gazebo/common/Console.hh>
#include <gazebo/physics/Collision.hh>
#include <gazebo/physics/Contact.hh>
#include <gazebo/physics/ContactManager.hh>
#include <gazebo/physics/Joint.hh>
#include <gazebo/physics/Link.hh>
#include <gazebo/physics/Model.hh>
#include <gazebo/physics/PhysicsEngine.hh>
#include <gazebo/physics/World.hh>
#include <gazebo/physics/ode/ODEPhysics.hh>
#include <stdexcept>

#include "contract.hpp"

namespace gym_gazebo2 {
namespace {

namespace physics = gazebo::physics;
using ignition::math::Pose3d;
using ignition::math::Vector3d;

constexpr double kRounding = 1e-12;  // of a placed joint [rad, or strokes]; 1e-15 was measured

}  // namespace

Gazebo11Arm::Gazebo11Arm(physics::WorldPtr world, sdf::ElementPtr sdf) : world_(world), objects_(world, sdf, objects) {
  const auto ode = boost::dynamic_pointer_cast<physics::ODEPhysics>(world->Physics());
  if (!ode) throw std::runtime_error("the physics engine is not ODE, expected <physics type='ode'>");
  const auto name = sdf->Get<std::string>("model");
  model_ = world->ModelByName(name);
  if (!model_) throw std::runtime_error("the world has no model '" + name + "'");
  for (auto row = sdf->HasElement("joint") ? sdf->GetElement("joint") : nullptr; row; row = row->GetNextElement("joint")) {
    auto number = [&row](const char* key) { return row->Get<double>(key); };
    Joint joint{row->Get<std::string>("name"), number("lower"), number("upper"), number("velocity"),
                number("effort"), number("drive_inertia"), number("rotor_inertia"), number("home")};
    auto hinge = model_->GetJoint(joint.name);
    if (!hinge) throw std::runtime_error("the model '" + name + "' has no joint '" + joint.name + "'");
    joint.effort_damping = number("effort_damping");
    joint.is_prismatic = hinge->HasType(physics::Base::SLIDER_JOINT);
    joint.is_finger = row->HasElement("finger") && row->Get<bool>("finger");
    axes_.emplace_back(joint, hinge, ode->GetWorldId());
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  base_ = axes_.front().Parent();
  base_pose_ = base_->WorldPose();
  Hang(base_);
  for (auto row = sdf->HasElement("excluded") ? sdf->GetElement("excluded") : nullptr; row;
       row = row->GetNextElement("excluded")) {
    Exclude(FindLink(row->Get<std::string>("link1")), FindLink(row->Get<std::string>("link2")));
  }
  // By default Gazebo drops contacts to which nobody on its own transport subscribes.
  world->Physics()->GetContactManager()->SetNeverDropContacts(true);
  Read();
}

physics::LinkPtr Gazebo11Arm::FindLink(const std::string& name) const {
  const auto link = model_->GetLink(name);
  if (!link) throw std::runtime_error("the model '" + model_->GetName() + "' has no link '" + name + "'");
  return link;
}

/// Gazebo has no list of pairs that do not collide, but it leaves out two bodies that a joint connects. So each excluded pair
/// gets a joint of ODE that constrains nothing. The two then neither push each other nor report contacts, and Gazebo does not
/// even compare their shapes.
void Gazebo11Arm::Exclude(const physics::LinkPtr& one, const physics::LinkPtr& two) {
  const auto ode = boost::dynamic_pointer_cast<physics::ODEPhysics>(world_->Physics());
  dJointAttach(dJointCreateNull(ode->GetWorldId(), nullptr), FindBody(one), FindBody(two));
}

void Gazebo11Arm::Hang(const physics::LinkPtr& parent) {
  for (const auto& hinge : parent->GetChildJoints()) {
    const auto child = hinge->GetChild();
    const auto axis = std::find_if(axes_.begin(), axes_.end(), [&](const Gazebo11Axis& a) { return a.Child() == child; });
    const int index = axis == axes_.end() ? -1 : static_cast<int>(axis - axes_.begin());
    hanging_.push_back({parent, child, child->WorldPose() - parent->WorldPose(), index});
    Hang(child);
  }
}

void Gazebo11Arm::Read() {
  for (size_t i = 0; i < joints.size(); ++i) axes_[i].Read(joints[i]);
}

void Gazebo11Arm::Apply(double dt) {
  for (size_t i = 0; i < joints.size(); ++i) axes_[i].Apply(joints[i], dt);
  objects_.Apply(objects);
}

bool Gazebo11Arm::Place(const std::vector<double>& q) {
  base_->SetWorldPose(base_pose_);
  for (const auto& link : hanging_) {
    const Pose3d motion = link.joint < 0 ? Pose3d::Zero : axes_[link.joint].Move(q[link.joint]);
    link.child->SetWorldPose(motion + link.pose_at_zero + link.parent->WorldPose());
  }
  for (size_t i = 0; i < joints.size(); ++i) {
    joints[i].q = joints[i].setpoint = joints[i].ramp_start = joints[i].ramp_end = q[i];
  }
  for (const auto& link : model_->GetLinks()) {
    link->ResetPhysicsStates();
  }
  world_->Physics()->UpdateCollision();  // contacts of this very pose, without a physics step
  Read();
  // The bodies' poses are rounded. A joint that is off by no more than that is reported where it was placed, so that a run
  // that starts again from a reported state starts from the same bits.
  for (size_t i = 0; i < joints.size(); ++i) {
    if (std::abs(joints[i].q - q[i]) < kRounding * joints[i].Scale()) joints[i].q = q[i];
  }
  return true;
}

void Gazebo11Arm::ResetModels() {
  world_->ResetEntities(physics::Base::MODEL);
  objects_.Park(objects);
}

double Gazebo11Arm::ContactForce() const {
  const auto* manager = world_->Physics()->GetContactManager();
  const auto& contacts = manager->GetContacts();
  double largest = 0;
  for (unsigned int i = 0; i < manager->GetContactCount(); ++i) {
    const auto& contact = *contacts[i];
    const auto one = contact.collision1->GetLink(), two = contact.collision2->GetLink();
    if (one->GetModel() != model_ && two->GetModel() != model_) continue;
    if (objects_.Has(one->GetModel()) || objects_.Has(two->GetModel())) continue;  // fingers may touch them
    // The base stands on the floor, and so may other links that are fixed to the ground.
    if ((one->GetKinematic() && two->IsStatic()) || (two->GetKinematic() && one->IsStatic())) continue;
    Vector3d force;
    for (int k = 0; k < contact.count; ++k) force += contact.wrench[k].body1Force;
    largest = std::max({largest, force.Length(), kTouchForce});
  }
  return largest;
}

void Gazebo11Arm::Warn(const std::string& text) const { gzwarn << text + "\n"; }  // one piece: threads do not mix lines

}  // namespace gym_gazebo2
