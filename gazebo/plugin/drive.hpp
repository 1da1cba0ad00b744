// Joints, their drives and their ramps. Knows no simulator and no ROS. Units: rad, rad/s, N·m, kg·m²; of a prismatic
// joint m, m/s, N, kg.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gym_gazebo2 {

/// One joint with its drive.
struct Joint {
  std::string name;
  double lower, upper, velocity_limit, effort_limit, drive_inertia, rotor_inertia, home;
  double effort_damping{0};                          // in torque control [N·m·s/rad]
  bool is_prismatic{false};
  bool is_finger{false};                             // a command that names the other joints alone leaves it where it is
  double q{0}, dq{0};                                // measured; written by the simulator's adapter
  double setpoint{0}, ramp_start{0}, ramp_end{0};    // written by the ramp
  double effort{0};                                  // torque of the drive in the next physics step
  double applied{0};                                 // torque control: torque of the command
  double damping{0};                                 // of the joint in the next physics step; zero while the drive is on

  /// Tolerances are written in rad; multiplied by this, they are those of the joint. A prismatic joint's is its stroke.
  double Scale() const { return is_prismatic ? upper - lower : 1.0; }
};

/// Returns the torque of a drive whose set-point moves at `ramp_speed` (see docs/semantics.md), and of the soft stop beyond
/// the joint's limits.
double ComputeEffort(const Joint& joint, double ramp_speed);

/// Returns the torque of the soft stop beyond the joint's limits. It is a part of the arm's body, not of the drive.
double ComputeStop(const Joint& joint);

/// Returns the joint's speed after a physics step of `dt` seconds without contacts, by the inertia M̂ that the drive assumes:
/// v⁺ = v⁻ + (h/M̂)(τ_effort − D·v⁺). The damping D acts on the speed after the step, so it is stable however large it is.
double PredictSpeed(const Joint& joint, double dt);

/// Leads the set-points of all joints in a straight line, or applies efforts, over a whole number of physics steps.
class Ramp {
 public:
  /// `physics_dt` is the physics step [ns].
  explicit Ramp(int64_t physics_dt) : physics_dt_(physics_dt) {}

  /// Returns the index of a joint that would exceed its velocity limit if it went to goal[i] in `steps`; -1 if none.
  int FindTooFast(const std::vector<Joint>& joints, const std::vector<double>& goal, int64_t steps) const;

  /// Begins a ramp to `goal`. The caller has checked that no joint is too fast.
  void Start(std::vector<Joint>& joints, const std::vector<double>& goal, int64_t steps);

  /// Begins to apply joint.applied, with the drives off and the joints damped. Afterwards the drives hold the joints.
  void StartEffort(int64_t steps);

  /// Ends the ramp where the joints are, for a placement.
  void Cancel() {
    steps_ = done_ = 0;
    is_effort_ = false;
  }

  bool IsOver() const { return done_ == steps_; }

  /// Sets each set-point to its value at the beginning of the next physics step, and each effort to that step's torque.
  void Drive(std::vector<Joint>& joints) const;

  /// Counts one physics step; at the end of the ramp the set-points are exactly its goal.
  void Advance(std::vector<Joint>& joints);

 private:
  double Reach(const Joint& joint, int64_t steps) const;

  int64_t physics_dt_;
  int64_t steps_{0}, done_{0};
  bool is_effort_{false};
};

}  // namespace gym_gazebo2
