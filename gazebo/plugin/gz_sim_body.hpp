// A model of a gz-sim world that can move: put somewhere, at rest.
#pragma once

#include <gz/math/Pose3.hh>
#include <gz/sim/EntityComponentManager.hh>

namespace gym_gazebo2 {

class GzSimBody {
 public:
  /// A model, which starts at its present pose.
  GzSimBody(gz::sim::EntityComponentManager& ecm, gz::sim::Entity model);

  /// Puts the model at a pose in the world, at rest, in the next physics step.
  void Move(gz::sim::EntityComponentManager& ecm, const gz::math::Pose3d& pose);

  /// Repeats a move that the last physics step carried out: contacts acted in that step.
  void RepeatMove(gz::sim::EntityComponentManager& ecm);

  /// Is called before each physics step, after Move().
  void BeginStep(gz::sim::EntityComponentManager& ecm);

  /// Returns whether the next physics step moves the model to Wanted().
  bool IsMovePending() const { return command_ == Command::kPending; }

  gz::sim::Entity Model() const { return model_; }
  gz::sim::Entity RootLink() const { return root_link_; }
  const gz::math::Pose3d& Start() const { return start_; }
  const gz::math::Pose3d& Wanted() const { return wanted_; }

 private:
  /// gz-sim carries out commands for pose and speed in more than one physics step, unless they are withdrawn after the first.
  enum class Command { kNone, kPending, kApplied };

  gz::sim::Entity model_, root_link_;
  gz::math::Pose3d start_, wanted_;
  Command command_{Command::kNone};
};

}  // namespace gym_gazebo2
