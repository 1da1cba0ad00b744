// Names that Fortress (ign-gazebo 6) lacks. gz_sim.cmake includes this header before all others, in Fortress alone.
#pragma once

#include <gz/sim/System.hh>
#include <ignition/common/Console.hh>

#define gzerr ignerr
#define gzwarn ignwarn
#define GZ_ADD_PLUGIN IGNITION_ADD_PLUGIN

namespace ignition::gazebo {

/// Fortress never calls it: when its world is reset, only time goes back to zero.
class ISystemReset {
 public:
  virtual ~ISystemReset() = default;
  virtual void Reset(const UpdateInfo& info, EntityComponentManager& ecm) = 0;
};

}  // namespace ignition::gazebo
