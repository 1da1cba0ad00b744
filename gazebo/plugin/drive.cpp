#include "drive.hpp"

#include <algorithm>
#include <cmath>

#include "contract.hpp"

namespace gym_gazebo2 {
namespace {

constexpr double kStopOmega = 150.0;  // natural frequency of the soft stop beyond each limit [rad/s]

}  // namespace

double ComputeEffort(const Joint& j, double ramp_speed) {
  // τ = clip(M̂(ω²(s − q) + 2ω(ṡ − q̇)), ±effort limit): a critically damped servo.
  const double acceleration = kOmega * kOmega * (j.setpoint - j.q) + 2 * kOmega * (ramp_speed - j.dq);
  return std::clamp(j.drive_inertia * acceleration, -j.effort_limit, j.effort_limit) + ComputeStop(j);
}

double ComputeStop(const Joint& j) {
  const double beyond = j.q - std::clamp(j.q, j.lower, j.upper);
  return beyond == 0 ? 0.0 : -j.drive_inertia * (kStopOmega * kStopOmega * beyond + 2 * kStopOmega * j.dq);
}

double PredictSpeed(const Joint& j, double dt) {
  const double step = dt / j.drive_inertia;
  return (j.dq + step * j.effort) / (1 + step * j.damping);
}

double Ramp::Reach(const Joint& joint, int64_t steps) const {
  const double seconds = 1e-9 * steps * physics_dt_;
  return joint.velocity_limit * seconds * (1 + kSpeedTolerance) + kSpeedTolerance * joint.Scale();
}

int Ramp::FindTooFast(const std::vector<Joint>& joints, const std::vector<double>& goal, int64_t steps) const {
  for (size_t i = 0; i < joints.size(); ++i) {
    // A client that has just connected, or that holds the arm, starts from the measured position. The set-point may be up
    // to three periods ahead of it.
    const double nearest = std::min(std::abs(goal[i] - joints[i].setpoint), std::abs(goal[i] - joints[i].q));
    if (!(nearest <= Reach(joints[i], steps))) return static_cast<int>(i);
  }
  return -1;
}

void Ramp::Start(std::vector<Joint>& joints, const std::vector<double>& goal, int64_t steps) {
  for (size_t i = 0; i < joints.size(); ++i) {
    const bool from_setpoint = std::abs(goal[i] - joints[i].setpoint) <= Reach(joints[i], steps);
    joints[i].ramp_start = from_setpoint ? joints[i].setpoint : joints[i].q;
    joints[i].ramp_end = goal[i];
  }
  steps_ = steps;
  done_ = 0;
  is_effort_ = false;
}

void Ramp::StartEffort(int64_t steps) {
  steps_ = steps;
  done_ = 0;
  is_effort_ = true;
}

void Ramp::Drive(std::vector<Joint>& joints) const {
  // Without a command (steps_ is 0) the set-point stays at the end of the last ramp.
  const double fraction = steps_ ? static_cast<double>(done_) / steps_ : 1.0;
  for (auto& joint : joints) {
    joint.damping = is_effort_ ? joint.effort_damping : 0.0;
    if (is_effort_) {
      joint.effort = joint.applied + ComputeStop(joint);
      continue;
    }
    joint.setpoint = joint.ramp_start + fraction * (joint.ramp_end - joint.ramp_start);
    const double speed = IsOver() ? 0.0 : (joint.ramp_end - joint.ramp_start) / (1e-9 * steps_ * physics_dt_);
    joint.effort = ComputeEffort(joint, speed);
  }
}

void Ramp::Advance(std::vector<Joint>& joints) {
  if (!IsOver()) ++done_;
  if (is_effort_) {
    // The drives are off: their set-points follow the joints, so that a command of positions can come next.
    for (auto& joint : joints) {
      joint.setpoint = joint.ramp_start = joint.ramp_end = std::clamp(joint.q, joint.lower, joint.upper);
    }
    is_effort_ = !IsOver();
  }
  if (!IsOver()) return;
  for (auto& joint : joints) joint.setpoint = joint.ramp_end;
}

}  // namespace gym_gazebo2
