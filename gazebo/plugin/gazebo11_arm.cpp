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
#include <gazebo/physics/ode/ODELink.hh>
#include <gazebo/physics/ode/ODEPhysics.hh>
#include <stdexcept>

#include "contract.hpp"

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

Gazebo11Arm::Gazebo11Arm(physics::WorldPtr world, sdf::ElementPtr sdf) : world_(world) {
  const auto name = sdf->Get<std::string>("model");
  model_ = world->ModelByName(name);
  if (!model_) throw std::runtime_error("the world has no model '" + name + "'");
  for (auto row = sdf->HasElement("joint") ? sdf->GetElement("joint") : nullptr; row; row = row->GetNextElement("joint")) {
    auto number = [&row](const char* key) { return row->Get<double>(key); };
    Joint joint{row->Get<std::string>("name"), number("lower"), number("upper"), number("velocity"),
                number("effort"), number("drive_inertia"), number("rotor_inertia"), number("home")};
    auto hinge = model_->GetJoint(joint.name);
    if (!hinge) throw std::runtime_error("the model '" + name + "' has no joint '" + joint.name + "'");
    axes_.push_back(Bind(joint, hinge));
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  base_ = axes_.front().parent;
  base_pose_ = base_->WorldPose();
  Hang(base_);
  // By default Gazebo drops contacts to which nobody on its own transport subscribes.
  world->Physics()->GetContactManager()->SetNeverDropContacts(true);
  Read();
}

Gazebo11Arm::Axis Gazebo11Arm::Bind(const Joint& joint, physics::JointPtr hinge) {
  Axis bound;
  bound.parent = hinge->GetParent();
  bound.child = hinge->GetChild();
  if (!bound.parent || !bound.child) throw std::runtime_error("the joint '" + joint.name + "' does not join two links");
  bound.parent_body = FindBody(bound.parent);
  bound.child_body = FindBody(bound.child);
  bound.pose_at_zero = bound.child->WorldPose() - bound.parent->WorldPose();
  bound.axis = bound.child->WorldPose().Rot().RotateVectorReverse(hinge->GlobalAxis(0)).Normalized();
  if (joint.rotor_inertia <= 0) return bound;
  // ODE has no rotor inertia A, so an angular motor stands in for it. ODE solves v⁺ + cfm·τ = v for the motor, where v⁺ is
  // the joint's velocity after the step. Apply() sets cfm = h/A and v = v⁻ + (h/A)·τ_drive, with h the physics step. Then
  // τ = τ_drive − A(v⁺ − v⁻)/h: the drive's torque less what accelerates the rotor, solved together with all constraints.
  // The motor is a joint of its own, because the hinge would apply the same cfm to its five rigid constraints.
  auto ode = boost::dynamic_pointer_cast<physics::ODEPhysics>(world_->Physics());
  bound.rotor = dJointCreateAMotor(ode->GetWorldId(), nullptr);
  dJointAttach(bound.rotor, bound.child_body, bound.parent_body);
  dJointSetAMotorNumAxes(bound.rotor, 1);
  const Vector3d axis = hinge->GlobalAxis(0);
  dJointSetAMotorAxis(bound.rotor, 0, 1, axis.X(), axis.Y(), axis.Z());
  dJointSetAMotorParam(bound.rotor, dParamFMax, dInfinity);
  return bound;
}

void Gazebo11Arm::Hang(const physics::LinkPtr& parent) {
  for (const auto& hinge : parent->GetChildJoints()) {
    const auto child = hinge->GetChild();
    const auto axis = std::find_if(axes_.begin(), axes_.end(), [&](const Axis& a) { return a.child == child; });
    const int index = axis == axes_.end() ? -1 : static_cast<int>(axis - axes_.begin());
    hanging_.push_back({parent, child, child->WorldPose() - parent->WorldPose(), index});
    Hang(child);
  }
}

void Gazebo11Arm::Read() {
  // From the bodies' poses, because ODE's own hinge angle wraps at ±π.
  for (size_t i = 0; i < joints.size(); ++i) {
    auto& joint = joints[i];
    const auto& bound = axes_[i];
    const Quaterniond child = Rotation(bound.child_body);
    const Quaterniond turn = (Rotation(bound.parent_body) * bound.pose_at_zero.Rot()).Inverse() * child;
    const double angle = 2 * std::atan2(bound.axis.Dot({turn.X(), turn.Y(), turn.Z()}), turn.W());
    joint.q += std::remainder(angle - joint.q, 2 * M_PI);  // adds a multiple of 2π, so that the angle is the one nearest to the previous angle
    const Vector3d axis = child * bound.axis;
    const dReal *outer = dBodyGetAngularVel(bound.child_body), *inner = dBodyGetAngularVel(bound.parent_body);
    joint.dq = axis.Dot({outer[0] - inner[0], outer[1] - inner[1], outer[2] - inner[2]});
  }
}

void Gazebo11Arm::Apply(double dt) {
  for (size_t i = 0; i < joints.size(); ++i) {
    const auto& joint = joints[i];
    const auto& bound = axes_[i];
    if (bound.rotor) {
      dJointSetAMotorParam(bound.rotor, dParamCFM, dt / joint.rotor_inertia);
      dJointSetAMotorParam(bound.rotor, dParamVel, joint.dq + dt / joint.rotor_inertia * joint.effort);
    } else {
      const Vector3d torque = Rotation(bound.child_body) * bound.axis * joint.effort;
      dBodyAddTorque(bound.child_body, torque.X(), torque.Y(), torque.Z());
      dBodyAddTorque(bound.parent_body, -torque.X(), -torque.Y(), -torque.Z());
    }
  }
}

void Gazebo11Arm::Place(const std::vector<double>& q) {
  base_->SetWorldPose(base_pose_);
  for (const auto& link : hanging_) {
    const auto turn = link.joint < 0 ? Quaterniond::Identity : Quaterniond(axes_[link.joint].axis, q[link.joint]);
    link.child->SetWorldPose(Pose3d(Vector3d::Zero, turn) + link.pose_at_zero + link.parent->WorldPose());
  }
  for (size_t i = 0; i < joints.size(); ++i) {
    joints[i].q = joints[i].setpoint = joints[i].ramp_start = joints[i].ramp_end = q[i];
  }
  for (const auto& link : model_->GetLinks()) {
    link->ResetPhysicsStates();
  }
  world_->Physics()->UpdateCollision();  // contacts of this very pose, without a physics step
  Read();
}

void Gazebo11Arm::ResetModels() { world_->ResetEntities(physics::Base::MODEL); }

double Gazebo11Arm::ContactForce() const {
  const auto* manager = world_->Physics()->GetContactManager();
  const auto& contacts = manager->GetContacts();
  double largest = 0;
  for (unsigned int i = 0; i < manager->GetContactCount(); ++i) {
    const auto& contact = *contacts[i];
    const auto one = contact.collision1->GetLink(), two = contact.collision2->GetLink();
    const bool with_base = one == base_ || two == base_;
    if (one->GetModel() != model_ && two->GetModel() != model_) continue;
    if (with_base && (one->IsStatic() || two->IsStatic())) continue;  // the base stands on the floor
    Vector3d force;
    for (int k = 0; k < contact.count; ++k) force += contact.wrench[k].body1Force;
    largest = std::max({largest, force.Length(), kTouchForce});
  }
  return largest;
}

void Gazebo11Arm::Warn(const std::string& text) const { gzwarn << text + "\n"; }  // one piece: threads do not mix lines

}  // namespace gym_gazebo2
