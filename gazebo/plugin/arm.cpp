#include "arm.hpp"

#include <algorithm>
#include <cmath>
#include <gazebo/physics/Collision.hh>
#include <gazebo/physics/Contact.hh>
#include <gazebo/physics/ContactManager.hh>
#include <gazebo/physics/Joint.hh>
#include <gazebo/physics/Link.hh>
#include <gazebo/physics/Model.hh>
#include <gazebo/physics/PhysicsEngine.hh>
#include <gazebo/physics/World.hh>
#include <gazebo/physics/ode/ODELink.hh>
#include <gazebo/physics/ode/ODEPhysics.hh>
#include <stdexcept>

namespace gym_gazebo2 {
namespace {

namespace physics = gazebo::physics;
using ignition::math::Pose3d;
using ignition::math::Quaterniond;
using ignition::math::Vector3d;

Quaterniond Rotation(dBodyID body) {
  const dReal* q = dBodyGetQuaternion(body);
  return {q[0], q[1], q[2], q[3]};
}

dBodyID FindBody(const physics::LinkPtr& link) {
  auto ode = boost::dynamic_pointer_cast<physics::ODELink>(link);
  if (!ode || !ode->GetODEId()) throw std::runtime_error("the physics engine is not ODE, expected <physics type='ode'>");
  return ode->GetODEId();
}

}  // namespace

Arm::Arm(physics::WorldPtr world, sdf::ElementPtr sdf) : world_(world) {
  const auto name = sdf->Get<std::string>("model");
  model_ = world->ModelByName(name);
  if (!model_) throw std::runtime_error("the world has no model '" + name + "'");
  for (auto row = sdf->HasElement("joint") ? sdf->GetElement("joint") : nullptr; row; row = row->GetNextElement("joint")) {
    auto number = [&row](const char* key) { return row->Get<double>(key); };
    Joint joint{row->Get<std::string>("name"), number("lower"), number("upper"), number("velocity"),
                number("effort"), number("drive_inertia"), number("rotor_inertia"), number("home")};
    auto hinge = model_->GetJoint(joint.name);
    if (!hinge) throw std::runtime_error("the model '" + name + "' has no joint '" + joint.name + "'");
    Bind(joint, hinge);
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  base_ = joints.front().parent;
  base_pose_ = base_->WorldPose();
  Hang(base_);
  world->Physics()->GetContactManager()->SetNeverDropContacts(true);
  Read();
}

void Arm::Bind(Joint& joint, physics::JointPtr hinge) {
  joint.parent = hinge->GetParent();
  joint.child = hinge->GetChild();
  if (!joint.parent || !joint.child) throw std::runtime_error("the joint '" + joint.name + "' does not join two links");
  joint.parent_body = FindBody(joint.parent);
  joint.child_body = FindBody(joint.child);
  joint.pose_at_zero = joint.child->WorldPose() - joint.parent->WorldPose();
  joint.axis = joint.child->WorldPose().Rot().RotateVectorReverse(hinge->GlobalAxis(0)).Normalized();
  if (joint.rotor_inertia <= 0) return;
  // A motor row of ODE obeys v⁺ + (cfm)·τ = v; with cfm = h/A and v = v⁻ + (h/A)·τ_drive it yields
  // τ = τ_drive − A(v⁺ − v⁻)/h, the rotor's inertia, solved together with every other constraint. It needs a joint of its
  // own: the hinge would take the same cfm for its five rigid rows too.
  auto ode = boost::dynamic_pointer_cast<physics::ODEPhysics>(world_->Physics());
  joint.rotor = dJointCreateAMotor(ode->GetWorldId(), nullptr);
  dJointAttach(joint.rotor, joint.child_body, joint.parent_body);
  dJointSetAMotorNumAxes(joint.rotor, 1);
  const Vector3d axis = hinge->GlobalAxis(0);
  dJointSetAMotorAxis(joint.rotor, 0, 1, axis.X(), axis.Y(), axis.Z());
  dJointSetAMotorParam(joint.rotor, dParamFMax, dInfinity);
}

void Arm::Hang(const physics::LinkPtr& parent) {
  for (const auto& hinge : parent->GetChildJoints()) {
    const auto child = hinge->GetChild();
    const auto joint = std::find_if(joints.begin(), joints.end(), [&](const Joint& j) { return j.child == child; });
    const int index = joint == joints.end() ? -1 : static_cast<int>(joint - joints.begin());
    hanging_.push_back({parent, child, child->WorldPose() - parent->WorldPose(), index});
    Hang(child);
  }
}

void Arm::Read() {
  for (auto& joint : joints) {
    const Quaterniond child = Rotation(joint.child_body);
    const Quaterniond turn = (Rotation(joint.parent_body) * joint.pose_at_zero.Rot()).Inverse() * child;
    const double angle = 2 * std::atan2(joint.axis.Dot({turn.X(), turn.Y(), turn.Z()}), turn.W());
    joint.q += std::remainder(angle - joint.q, 2 * M_PI);
    const Vector3d axis = child * joint.axis;
    const dReal *outer = dBodyGetAngularVel(joint.child_body), *inner = dBodyGetAngularVel(joint.parent_body);
    joint.dq = axis.Dot({outer[0] - inner[0], outer[1] - inner[1], outer[2] - inner[2]});
  }
}

void Arm::Drive(double dt, const std::vector<double>& ramp_speed) {
  for (size_t i = 0; i < joints.size(); ++i) {
    auto& j = joints[i];
    const double wanted = kOmega * kOmega * (j.setpoint - j.q) + 2 * kOmega * (ramp_speed[i] - j.dq);
    j.effort = std::clamp(j.drive_inertia * wanted, -j.effort_limit, j.effort_limit);
    const double beyond = j.q - std::clamp(j.q, j.lower, j.upper);
    if (beyond != 0) j.effort -= j.drive_inertia * (kStop * kStop * beyond + 2 * kStop * j.dq);
    if (j.rotor) {
      dJointSetAMotorParam(j.rotor, dParamCFM, dt / j.rotor_inertia);
      dJointSetAMotorParam(j.rotor, dParamVel, j.dq + dt / j.rotor_inertia * j.effort);
    } else {
      const Vector3d torque = Rotation(j.child_body) * j.axis * j.effort;
      dBodyAddTorque(j.child_body, torque.X(), torque.Y(), torque.Z());
      dBodyAddTorque(j.parent_body, -torque.X(), -torque.Y(), -torque.Z());
    }
  }
}

void Arm::Place(const std::vector<double>& q) {
  base_->SetWorldPose(base_pose_);
  for (const auto& link : hanging_) {
    const auto turn = link.joint < 0 ? Quaterniond::Identity : Quaterniond(joints[link.joint].axis, q[link.joint]);
    link.child->SetWorldPose(Pose3d(Vector3d::Zero, turn) + link.pose_at_zero + link.parent->WorldPose());
  }
  for (size_t i = 0; i < joints.size(); ++i) {
    joints[i].q = joints[i].setpoint = joints[i].ramp_start = joints[i].ramp_end = q[i];
  }
  for (const auto& link : model_->GetLinks()) {
    link->ResetPhysicsStates();
  }
  world_->Physics()->UpdateCollision();
  Read();
}

double Arm::ContactForce() const {
  const auto* manager = world_->Physics()->GetContactManager();
  const auto& contacts = manager->GetContacts();
  double largest = 0;
  for (unsigned int i = 0; i < manager->GetContactCount(); ++i) {
    const auto& contact = *contacts[i];
    const auto one = contact.collision1->GetLink(), two = contact.collision2->GetLink();
    const bool with_base = one == base_ || two == base_;
    if (one->GetModel() != model_ && two->GetModel() != model_) continue;
    if (with_base && (one->IsStatic() || two->IsStatic())) continue;
    Vector3d force;
    for (int k = 0; k < contact.count; ++k) force += contact.wrench[k].body1Force;
    largest = std::max({largest, force.Length(), kTouch});
  }
  return largest;
}

}  // namespace gym_gazebo2
