// What the server of an arm needs from a simulator. One adapter per simulator implements it; the server knows no other
// type of a simulator.
#pragma once

#include <string>
#include <vector>

#include "drive.hpp"
#include "objects.hpp"

namespace gym_gazebo2 {

class Simulator {
 public:
  virtual ~Simulator() = default;

  /// Measures q and dq of every joint.
  virtual void Read() = 0;

  /// Returns whether Apply() damps the joints as torque control needs. Otherwise commands of efforts are refused.
  virtual bool TakesEffort() const { return false; }

  /// Applies every joint's effort and damping in the next physics step of `dt` seconds.
  virtual void Apply(double dt) = 0;

  /// Puts the joints at `q`, at rest, with set-point and ramp there; q and dq are measured again. Returns false if this
  /// takes a physics step: the server then runs one without effort, and calls FinishPlace() at its end.
  virtual bool Place(const std::vector<double>& q) = 0;

  /// Ends a placement that took a physics step. Contacts of that step may have pushed the joints: they are put at `q` again.
  virtual void FinishPlace() {}

  /// Puts every model of the world back to where it started. Objects are parked there.
  virtual void ResetModels() = 0;

  /// Measures the objects that are not parked. A simulator without movable objects need not implement it.
  virtual void ReadObjects() {}

  /// Moves objects[i] as moves[i] says. Place() follows if the arm is placed, too; it finds the contacts of both.
  virtual void MoveObjects(const std::vector<ObjectMove>& moves) { static_cast<void>(moves); }

  /// Returns the largest force of a contact of the arm [N]: kTouchForce for a contact without force, zero without contact.
  virtual double ContactForce() const = 0;

  /// Writes a warning to the simulator's log.
  virtual void Warn(const std::string& text) const = 0;

  std::vector<Joint> joints;
  std::vector<Object> objects;  // members of the scene's pool; empty without movable objects
};

}  // namespace gym_gazebo2
