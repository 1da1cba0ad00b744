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

Vector3d Vector(const dReal* v) { return {v[0], v[1], v[2]}; }

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
    joint.is_prismatic = hinge->HasType(physics::Base::SLIDER_JOINT);
    axes_.push_back(Bind(joint, hinge));
    joints.push_back(joint);
  }
  if (joints.empty()) throw std::runtime_error("the plug-in's SDF names no joint");
  base_ = axes_.front().parent;
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

Gazebo11Arm::Axis Gazebo11Arm::Bind(const Joint& joint, physics::JointPtr hinge) {
  Axis bound;
  bound.parent = hinge->GetParent();
  bound.child = hinge->GetChild();
  if (!bound.parent || !bound.child) throw std::runtime_error("the joint '" + joint.name + "' does not join two links");
  bound.parent_body = FindBody(bound.parent);
  bound.child_body = FindBody(bound.child);
  bound.pose_at_zero = bound.child->WorldPose() - bound.parent->WorldPose();
  bound.com_at_zero = Rotation(bound.parent_body)
                          .RotateVectorReverse(Vector(dBodyGetPosition(bound.child_body)) -
                                               Vector(dBodyGetPosition(bound.parent_body)));
  bound.axis = bound.child->WorldPose().Rot().RotateVectorReverse(hinge->GlobalAxis(0)).Normalized();
  if (joint.rotor_inertia > 0) bound.rotor = AddRotor(bound, joint.is_prismatic, hinge->GlobalAxis(0));
  return bound;
}

dJointID Gazebo11Arm::AddRotor(const Axis& bound, bool is_prismatic, const Vector3d& axis) {
  // A motor row of ODE obeys v⁺ + (cfm)·τ = v; with cfm = h/A and v = v⁻ + (h/A)·τ_drive it yields
  // τ = τ_drive − A(v⁺ − v⁻)/h, the rotor's inertia, solved together with every other constraint. It needs a joint of its
  // own: the hinge would take the same cfm for its five rigid rows too.
  const auto world = boost::dynamic_pointer_cast<physics::ODEPhysics>(world_->Physics())->GetWorldId();
  const auto rotor = is_prismatic ? dJointCreateLMotor(world, nullptr) : dJointCreateAMotor(world, nullptr);
  dJointAttach(rotor, bound.child_body, bound.parent_body);
  if (is_prismatic) {
    dJointSetLMotorNumAxes(rotor, 1);
    dJointSetLMotorAxis(rotor, 0, 1, axis.X(), axis.Y(), axis.Z());
    dJointSetLMotorParam(rotor, dParamFMax, dInfinity);
  } else {
    dJointSetAMotorNumAxes(rotor, 1);
    dJointSetAMotorAxis(rotor, 0, 1, axis.X(), axis.Y(), axis.Z());
    dJointSetAMotorParam(rotor, dParamFMax, dInfinity);
  }
  return rotor;
}

physics::LinkPtr Gazebo11Arm::FindLink(const std::string& name) const {
  const auto link = model_->GetLink(name);
  if (!link) throw std::runtime_error("the model '" + model_->GetName() + "' has no link '" + name + "'");
  return link;
}

/// Gazebo has no list of pairs that do not collide, but it leaves out two bodies that a joint connects. So it gets a joint
/// of ODE that holds nothing. Both the push and the report are gone, and the shapes are not even compared.
void Gazebo11Arm::Exclude(const physics::LinkPtr& one, const physics::LinkPtr& two) {
  const auto ode = boost::dynamic_pointer_cast<physics::ODEPhysics>(world_->Physics());
  dJointAttach(dJointCreateNull(ode->GetWorldId(), nullptr), FindBody(one), FindBody(two));
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
  for (size_t i = 0; i < joints.size(); ++i) {
    if (joints[i].is_prismatic) {
      ReadSlide(joints[i], axes_[i]);
    } else {
      ReadTurn(joints[i], axes_[i]);
    }
  }
}

void Gazebo11Arm::ReadTurn(Joint& joint, const Axis& bound) const {
  // From the bodies' poses, because ODE's own hinge angle wraps at ±π.
  const Quaterniond child = Rotation(bound.child_body);
  const Quaterniond turn = (Rotation(bound.parent_body) * bound.pose_at_zero.Rot()).Inverse() * child;
  const double angle = 2 * std::atan2(bound.axis.Dot({turn.X(), turn.Y(), turn.Z()}), turn.W());
  joint.q += std::remainder(angle - joint.q, 2 * M_PI);  // the turn of 2π nearest to the angle before
  const Vector3d axis = child * bound.axis;
  const dReal *outer = dBodyGetAngularVel(bound.child_body), *inner = dBodyGetAngularVel(bound.parent_body);
  joint.dq = axis.Dot({outer[0] - inner[0], outer[1] - inner[1], outer[2] - inner[2]});
}

void Gazebo11Arm::ReadSlide(Joint& joint, const Axis& bound) const {
  // ODE's positions and velocities are those of the centres of mass. The child's moves along the axis exactly as the joint.
  const Quaterniond parent = Rotation(bound.parent_body);
  const Vector3d axis = Rotation(bound.child_body) * bound.axis;
  const Vector3d apart = Vector(dBodyGetPosition(bound.child_body)) - Vector(dBodyGetPosition(bound.parent_body));
  joint.q = axis.Dot(apart - parent * bound.com_at_zero);
  const Vector3d carried = Vector(dBodyGetLinearVel(bound.parent_body)) +
                           Vector(dBodyGetAngularVel(bound.parent_body)).Cross(apart);
  joint.dq = axis.Dot(Vector(dBodyGetLinearVel(bound.child_body)) - carried);
}

void Gazebo11Arm::Apply(double dt) {
  for (size_t i = 0; i < joints.size(); ++i) {
    const auto& joint = joints[i];
    const auto& bound = axes_[i];
    if (bound.rotor) {
      const auto set = joint.is_prismatic ? dJointSetLMotorParam : dJointSetAMotorParam;
      set(bound.rotor, dParamCFM, dt / joint.rotor_inertia);
      set(bound.rotor, dParamVel, joint.dq + dt / joint.rotor_inertia * joint.effort);
    } else if (joint.is_prismatic) {
      // Both forces act at the same point, or they would also turn the arm.
      const Vector3d force = Rotation(bound.child_body) * bound.axis * joint.effort;
      const dReal* at = dBodyGetPosition(bound.child_body);
      dBodyAddForceAtPos(bound.child_body, force.X(), force.Y(), force.Z(), at[0], at[1], at[2]);
      dBodyAddForceAtPos(bound.parent_body, -force.X(), -force.Y(), -force.Z(), at[0], at[1], at[2]);
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
    Pose3d motion;
    if (link.joint >= 0) {
      const Vector3d& axis = axes_[link.joint].axis;
      if (joints[link.joint].is_prismatic) motion.Pos() = axis * q[link.joint];
      else motion.Rot() = Quaterniond(axis, q[link.joint]);
    }
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
}

void Gazebo11Arm::ResetModels() { world_->ResetEntities(physics::Base::MODEL); }

double Gazebo11Arm::ContactForce() const {
  const auto* manager = world_->Physics()->GetContactManager();
  const auto& contacts = manager->GetContacts();
  double largest = 0;
  for (unsigned int i = 0; i < manager->GetContactCount(); ++i) {
    const auto& contact = *contacts[i];
    const auto one = contact.collision1->GetLink(), two = contact.collision2->GetLink();
    if (one->GetModel() != model_ && two->GetModel() != model_) continue;
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
