// The ROS 2 side, over rcl alone: messages are made once, and nothing here allocates while the simulation runs.
#pragma once

#include <geometry_msgs/msg/wrench_stamped.h>
#include <rcl/rcl.h>
#include <rosgraph_msgs/msg/clock.h>
#include <sensor_msgs/msg/joint_state.h>
#include <sensor_msgs/msg/multi_dof_joint_state.h>
#include <std_msgs/msg/string.h>
#include <std_srvs/srv/empty.h>
#include <trajectory_msgs/msg/joint_trajectory.h>

#include <cstdint>
#include <string>
#include <vector>

#include "contract.hpp"
#include "objects.hpp"

namespace gym_gazebo2 {

/// A C message, initialised once and kept.
template <typename Message, bool (*Init)(Message*), void (*Fini)(Message*)>
struct Kept {
  Kept() { Init(&value); }
  ~Kept() { Fini(&value); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  Message value{};
};
#define GYM_GAZEBO2_KEPT(type) Kept<type, type##__init, type##__fini>

class Ros {
 public:
  /// The topics of objects are there only if `num_objects` is not zero. Throws std::runtime_error where ROS refuses.
  Ros(const std::string& ns, const std::vector<std::string>& joints, size_t num_objects);
  ~Ros();
  Ros(const Ros&) = delete;
  Ros& operator=(const Ros&) = delete;

  /// Blocks until something arrives or Wake() is called; ROS's own failures end the wait too.
  void Wait();
  /// Ends a wait from a signal handler or another thread.
  void Wake();

  /// Take the next message into the member of that name; false where there is none.
  bool TakeCommand();
  bool TakePlace();
  bool TakePlaceObjects();
  bool TakeReset();
  void AnswerReset();

  /// Fills the message of objects with those that are not parked.
  void FillObjects(const std::vector<Object>& all);

  /// Publishes contact, objects, state and clock as they stand.
  void Publish();
  void PublishProvider(const std::string& json);

  static void Stamp(builtin_interfaces__msg__Time& time, int64_t ns);
  static void Assign(rosidl_runtime_c__String& text, const std::string& value);

  GYM_GAZEBO2_KEPT(sensor_msgs__msg__JointState) state, place;
  GYM_GAZEBO2_KEPT(sensor_msgs__msg__MultiDOFJointState) objects, place_objects;
  GYM_GAZEBO2_KEPT(trajectory_msgs__msg__JointTrajectory) command;
  GYM_GAZEBO2_KEPT(geometry_msgs__msg__WrenchStamped) contact;
  GYM_GAZEBO2_KEPT(rosgraph_msgs__msg__Clock) clock;

 private:
  rcl_context_t context_{rcl_get_zero_initialized_context()};
  rcl_node_t node_{rcl_get_zero_initialized_node()};
  rcl_publisher_t state_pub_{rcl_get_zero_initialized_publisher()}, contact_pub_{rcl_get_zero_initialized_publisher()},
      clock_pub_{rcl_get_zero_initialized_publisher()}, provider_pub_{rcl_get_zero_initialized_publisher()},
      objects_pub_{rcl_get_zero_initialized_publisher()};
  rcl_subscription_t command_sub_{rcl_get_zero_initialized_subscription()},
      place_sub_{rcl_get_zero_initialized_subscription()}, place_objects_sub_{rcl_get_zero_initialized_subscription()};
  rcl_service_t reset_{rcl_get_zero_initialized_service()};
  rcl_guard_condition_t guard_{rcl_get_zero_initialized_guard_condition()};
  rcl_wait_set_t wait_set_{rcl_get_zero_initialized_wait_set()};
  rmw_request_id_t reset_id_{};
  bool has_objects_;
  GYM_GAZEBO2_KEPT(std_msgs__msg__String) provider_;
  GYM_GAZEBO2_KEPT(std_srvs__srv__Empty_Request) request_;
  GYM_GAZEBO2_KEPT(std_srvs__srv__Empty_Response) response_;
};

}  // namespace gym_gazebo2
