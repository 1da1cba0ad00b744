#include "gazebo11_axis.hpp"

#include <cmath>
#include <gazebo/physics/Joint.hh>
#include <gazebo/physics/Link.hh>
#include <gazebo/physics/ode/ODELink.hh>
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

Vector3d Vector(const dReal* v) { return {v[0], v[1], v[2]}; }

/// Returns the way from one centre of mass to another. ODE's positions and velocities are those of the centres of mass.
Vector3d Apart(dBodyID from, dBodyID to) { return Vector(dBodyGetPosition(to)) - Vector(dBodyGetPosition(from)); }

}  // namespace

dBodyID FindBody(const physics::LinkPtr& link) {
  auto ode = boost::dynamic_pointer_cast<physics::ODELink>(link);
  if (!ode || !ode->GetODEId()) throw std::runtime_error("the physics engine is not ODE, expected <physics type='ode'>");
  return ode->GetODEId();
}

Gazebo11Axis::Gazebo11Axis(const Joint& joint, const physics::JointPtr& hinge, dWorldID world)
    : parent_(hinge->GetParent()), child_(hinge->GetChild()), is_prismatic_(joint.is_prismatic) {
  if (!parent_ || !child_) throw std::runtime_error("the joint '" + joint.name + "' does not join two links");
  parent_body_ = FindBody(parent_);
  child_body_ = FindBody(child_);
  turn_at_zero_ = (child_->WorldPose() - parent_->WorldPose()).Rot();
  com_at_zero_ = Rotation(parent_body_).RotateVectorReverse(Apart(parent_body_, child_body_));
  const Vector3d axis_in_world = hinge->GlobalAxis(0);
  axis_ = child_->WorldPose().Rot().RotateVectorReverse(axis_in_world).Normalized();
  if (joint.rotor_inertia > 0) AddRotor(world, axis_in_world);
}

void Gazebo11Axis::AddRotor(dWorldID world, const Vector3d& axis) {
  // ODE has no rotor inertia A, so a motor stands in for it. ODE solves v⁺ + cfm·τ = v for the motor, where v⁺ is the
  // joint's velocity after the step. Apply() sets cfm = h/A and v = v⁻ + (h/A)·τ_drive, with h the physics step. Then
  // τ = τ_drive − A(v⁺ − v⁻)/h: the drive's torque less what accelerates the rotor, solved together with all constraints.
  // The motor is a joint of its own, because the hinge would apply the same cfm to its five rigid constraints.
  rotor_ = is_prismatic_ ? dJointCreateLMotor(world, nullptr) : dJointCreateAMotor(world, nullptr);
  dJointAttach(rotor_, child_body_, parent_body_);
  if (is_prismatic_) {
    dJointSetLMotorNumAxes(rotor_, 1);
    dJointSetLMotorAxis(rotor_, 0, 1, axis.X(), axis.Y(), axis.Z());
    dJointSetLMotorParam(rotor_, dParamFMax, dInfinity);
  } else {
    dJointSetAMotorNumAxes(rotor_, 1);
    dJointSetAMotorAxis(rotor_, 0, 1, axis.X(), axis.Y(), axis.Z());
    dJointSetAMotorParam(rotor_, dParamFMax, dInfinity);
  }
}

void Gazebo11Axis::Read(Joint& joint) const {
  if (is_prismatic_) {
    ReadSlide(joint);
  } else {
    ReadTurn(joint);
  }
}

void Gazebo11Axis::ReadTurn(Joint& joint) const {
  // From the bodies' poses, because ODE's own hinge angle wraps at ±π.
  const Quaterniond child = Rotation(child_body_);
  const Quaterniond turn = (Rotation(parent_body_) * turn_at_zero_).Inverse() * child;
  const double angle = 2 * std::atan2(axis_.Dot({turn.X(), turn.Y(), turn.Z()}), turn.W());
  joint.q += std::remainder(angle - joint.q, 2 * M_PI);  // adds a multiple of 2π: the angle nearest to the previous one
  const Vector3d axis = child * axis_;
  const dReal *outer = dBodyGetAngularVel(child_body_), *inner = dBodyGetAngularVel(parent_body_);
  joint.dq = axis.Dot({outer[0] - inner[0], outer[1] - inner[1], outer[2] - inner[2]});
}

void Gazebo11Axis::ReadSlide(Joint& joint) const {
  const Vector3d axis = Rotation(child_body_) * axis_, apart = Apart(parent_body_, child_body_);
  joint.q = axis.Dot(apart - Rotation(parent_body_) * com_at_zero_);
  // The parent carries the child along. `carried` is the velocity of the parent's body at the child's centre of mass; it is
  // subtracted.
  const Vector3d carried =
      Vector(dBodyGetLinearVel(parent_body_)) + Vector(dBodyGetAngularVel(parent_body_)).Cross(apart);
  joint.dq = axis.Dot(Vector(dBodyGetLinearVel(child_body_)) - carried);
}

void Gazebo11Axis::Apply(const Joint& joint, double dt) const {
  if (rotor_) {
    const auto set = is_prismatic_ ? dJointSetLMotorParam : dJointSetAMotorParam;
    if (joint.damping == 0) {
      set(rotor_, dParamCFM, dt / joint.rotor_inertia);
      set(rotor_, dParamVel, joint.dq + dt / joint.rotor_inertia * joint.effort);
      return;
    }
    // The damping D acts on the speed v⁺ after the step, so that it is stable however large it is:
    // τ = τ_effort − A(v⁺ − v⁻)/h − D·v⁺, which is v⁺ + cfm·τ = v with cfm = 1/(A/h + D) and v = cfm·(A/h·v⁻ + τ_effort).
    const double inertia = joint.rotor_inertia / dt, cfm = 1 / (inertia + joint.damping);
    set(rotor_, dParamCFM, cfm);
    set(rotor_, dParamVel, cfm * (inertia * joint.dq + joint.effort));
    return;
  }
  const double effort = joint.effort - joint.damping * PredictSpeed(joint, dt);
  if (is_prismatic_) {
    ApplyForce(effort);
  } else {
    ApplyTorque(effort);
  }
}

void Gazebo11Axis::ApplyTorque(double effort) const {
  const Vector3d torque = Rotation(child_body_) * axis_ * effort;
  dBodyAddTorque(child_body_, torque.X(), torque.Y(), torque.Z());
  dBodyAddTorque(parent_body_, -torque.X(), -torque.Y(), -torque.Z());
}

void Gazebo11Axis::ApplyForce(double effort) const {
  // Both forces act at the same point, or they would also turn the arm.
  const Vector3d force = Rotation(child_body_) * axis_ * effort;
  const dReal* at = dBodyGetPosition(child_body_);
  dBodyAddForceAtPos(child_body_, force.X(), force.Y(), force.Z(), at[0], at[1], at[2]);
  dBodyAddForceAtPos(parent_body_, -force.X(), -force.Y(), -force.Z(), at[0], at[1], at[2]);
}

Pose3d Gazebo11Axis::Move(double q) const {
  return is_prismatic_ ? Pose3d(axis_ * q, Quaterniond::Identity) : Pose3d(Vector3d::Zero, Quaterniond(axis_, q));
}

}  // namespace gym_gazebo2
