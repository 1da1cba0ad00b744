#include "ros.hpp"

#include <geometry_msgs/msg/transform.h>
#include <geometry_msgs/msg/twist.h>
#include <rcl/error_handling.h>
#include <rosidl_runtime_c/primitives_sequence_functions.h>
#include <rosidl_runtime_c/string_functions.h>

#include <stdexcept>

namespace gym_gazebo2 {
namespace {

void Check(rcl_ret_t code, const char* what) {
  if (code == RCL_RET_OK) return;
  const std::string reason = rcl_get_error_string().str;
  rcl_reset_error();
  throw std::runtime_error(std::string("ROS cannot ") + what + ": " + reason);
}

void Ignore(rcl_ret_t) {}

bool Took(rcl_ret_t code, const char* what) {
  if (code == RCL_RET_SUBSCRIPTION_TAKE_FAILED || code == RCL_RET_SERVICE_TAKE_FAILED) {
    rcl_reset_error();
    return false;
  }
  Check(code, what);
  return true;
}

rmw_qos_profile_t Reliable(rmw_qos_durability_policy_t durability) {
  auto qos = rmw_qos_profile_default;
  qos.depth = 1;
  qos.durability = durability;
  return qos;
}

}  // namespace

Ros::Ros(const std::string& ns, const std::vector<std::string>& joints, size_t num_objects) : has_objects_(num_objects > 0) {
  auto init = rcl_get_zero_initialized_init_options();
  Check(rcl_init_options_init(&init, rcl_get_default_allocator()), "take its options");
  const auto code = rcl_init(0, nullptr, &init, &context_);
  Check(rcl_init_options_fini(&init), "free its options");
  Check(code, "start");
  const auto node_options = rcl_node_get_default_options();
  Check(rcl_node_init(&node_, "gazebo", ns.c_str(), &context_, &node_options), "make a node");

  const auto live = Reliable(RMW_QOS_POLICY_DURABILITY_VOLATILE);
  const auto kept = Reliable(RMW_QOS_POLICY_DURABILITY_TRANSIENT_LOCAL);
  const auto advertise = [this](rcl_publisher_t& publisher, const auto* type, const char* topic, const auto& qos) {
    auto options = rcl_publisher_get_default_options();
    options.qos = qos;
    Check(rcl_publisher_init(&publisher, &node_, type, topic, &options), (std::string("publish ") + topic).c_str());
  };
  const auto subscribe = [&, this](rcl_subscription_t& subscription, const auto* type, const char* topic) {
    auto options = rcl_subscription_get_default_options();
    options.qos = live;
    Check(rcl_subscription_init(&subscription, &node_, type, topic, &options), (std::string("subscribe to ") + topic).c_str());
  };
  advertise(state_pub_, ROSIDL_GET_MSG_TYPE_SUPPORT(sensor_msgs, msg, JointState), kStateTopic, live);
  advertise(contact_pub_, ROSIDL_GET_MSG_TYPE_SUPPORT(geometry_msgs, msg, WrenchStamped), kContactsTopic, live);
  advertise(clock_pub_, ROSIDL_GET_MSG_TYPE_SUPPORT(rosgraph_msgs, msg, Clock), kClockTopic, live);
  advertise(provider_pub_, ROSIDL_GET_MSG_TYPE_SUPPORT(std_msgs, msg, String), kProviderTopic, kept);
  subscribe(command_sub_, ROSIDL_GET_MSG_TYPE_SUPPORT(trajectory_msgs, msg, JointTrajectory), kCommandTopic);
  subscribe(place_sub_, ROSIDL_GET_MSG_TYPE_SUPPORT(sensor_msgs, msg, JointState), kPlaceTopic);
  if (has_objects_) {
    const auto* type = ROSIDL_GET_MSG_TYPE_SUPPORT(sensor_msgs, msg, MultiDOFJointState);
    advertise(objects_pub_, type, kObjectsTopic, live);
    subscribe(place_objects_sub_, type, kPlaceObjectsTopic);
    auto& o = objects.value;
    rosidl_runtime_c__String__Sequence__init(&o.joint_names, num_objects);
    geometry_msgs__msg__Transform__Sequence__init(&o.transforms, num_objects);
    geometry_msgs__msg__Twist__Sequence__init(&o.twist, num_objects);
  }
  const auto service_options = rcl_service_get_default_options();
  Check(rcl_service_init(&reset_, &node_, ROSIDL_GET_SRV_TYPE_SUPPORT(std_srvs, srv, Empty), kResetWorldService,
                         &service_options),
        "offer /reset_world");
  Check(rcl_guard_condition_init(&guard_, &context_, rcl_guard_condition_get_default_options()), "make a guard");
  Check(rcl_wait_set_init(&wait_set_, has_objects_ ? 3 : 2, 1, 0, 0, 1, 0, &context_, rcl_get_default_allocator()), "make a wait set");

  auto& s = state.value;
  rosidl_runtime_c__String__Sequence__init(&s.name, joints.size());
  rosidl_runtime_c__double__Sequence__init(&s.position, joints.size());
  rosidl_runtime_c__double__Sequence__init(&s.velocity, joints.size());
  rosidl_runtime_c__double__Sequence__init(&s.effort, joints.size());
  for (size_t i = 0; i < joints.size(); ++i) Assign(s.name.data[i], joints[i]);
}

Ros::~Ros() {
  // What was never made returns an error here. It is ignored, because the process ends anyway.
  Ignore(rcl_wait_set_fini(&wait_set_));
  Ignore(rcl_guard_condition_fini(&guard_));
  Ignore(rcl_service_fini(&reset_, &node_));
  for (auto* subscription : {&place_objects_sub_, &place_sub_, &command_sub_}) {
    Ignore(rcl_subscription_fini(subscription, &node_));
  }
  for (auto* publisher : {&state_pub_, &contact_pub_, &clock_pub_, &provider_pub_, &objects_pub_}) {
    Ignore(rcl_publisher_fini(publisher, &node_));
  }
  Ignore(rcl_node_fini(&node_));
  if (rcl_context_is_valid(&context_)) Ignore(rcl_shutdown(&context_));
  Ignore(rcl_context_fini(&context_));
  rcl_reset_error();
}

void Ros::Wait() {
  Check(rcl_wait_set_clear(&wait_set_), "clear its wait set");
  Check(rcl_wait_set_add_subscription(&wait_set_, &command_sub_, nullptr), "wait for commands");
  Check(rcl_wait_set_add_subscription(&wait_set_, &place_sub_, nullptr), "wait for placements");
  if (has_objects_) {
    Check(rcl_wait_set_add_subscription(&wait_set_, &place_objects_sub_, nullptr), "wait for placements of objects");
  }
  Check(rcl_wait_set_add_service(&wait_set_, &reset_, nullptr), "wait for resets");
  Check(rcl_wait_set_add_guard_condition(&wait_set_, &guard_, nullptr), "wait for signals");
  Check(rcl_wait(&wait_set_, -1), "wait");
}

void Ros::Wake() { Ignore(rcl_trigger_guard_condition(&guard_)); }

bool Ros::TakeCommand() {
  return Took(rcl_take(&command_sub_, &command.value, nullptr, nullptr), "take a command");
}

bool Ros::TakePlace() { return Took(rcl_take(&place_sub_, &place.value, nullptr, nullptr), "take a placement"); }

bool Ros::TakePlaceObjects() {
  return has_objects_ && Took(rcl_take(&place_objects_sub_, &place_objects.value, nullptr, nullptr), "take a placement");
}

bool Ros::TakeReset() { return Took(rcl_take_request(&reset_, &reset_id_, &request_.value), "take a reset"); }

void Ros::AnswerReset() {
  const rcl_ret_t sent = rcl_send_response(&reset_, &reset_id_, &response_.value);
  // A client that has gone does not take its answer.
  if (sent == RCL_RET_TIMEOUT) rcl_reset_error();
  else Check(sent, "answer a reset");
}

void Ros::FillObjects(const std::vector<Object>& all) {
  auto& message = objects.value;
  size_t count = 0;
  for (const auto& object : all) {
    if (object.is_parked) continue;
    Assign(message.joint_names.data[count], object.name);
    const auto& [x, y, z, qw, qx, qy, qz] = object.pose;
    message.transforms.data[count] = {{x, y, z}, {qx, qy, qz, qw}};
    const auto& [vx, vy, vz, wx, wy, wz] = object.twist;
    message.twist.data[count++] = {{vx, vy, vz}, {wx, wy, wz}};
  }
  // The sequences keep their capacity, so nothing is allocated.
  message.joint_names.size = message.transforms.size = message.twist.size = count;
}

void Ros::Publish() {
  // A client waits for the state. So what belongs to the state goes before it, and the clock goes after it.
  Check(rcl_publish(&contact_pub_, &contact.value, nullptr), "publish contacts");
  if (has_objects_) Check(rcl_publish(&objects_pub_, &objects.value, nullptr), "publish objects");
  Check(rcl_publish(&state_pub_, &state.value, nullptr), "publish the state");
  Check(rcl_publish(&clock_pub_, &clock.value, nullptr), "publish the clock");
}

void Ros::PublishProvider(const std::string& json) {
  Assign(provider_.value.data, json);
  Check(rcl_publish(&provider_pub_, &provider_.value, nullptr), "publish what it provides");
}

void Ros::Stamp(builtin_interfaces__msg__Time& time, int64_t ns) {
  time.sec = static_cast<int32_t>(ns / kNanoseconds);
  time.nanosec = static_cast<uint32_t>(ns % kNanoseconds);
}

void Ros::Assign(rosidl_runtime_c__String& text, const std::string& value) {
  if (!rosidl_runtime_c__String__assignn(&text, value.data(), value.size())) throw std::runtime_error("no memory is left");
}

}  // namespace gym_gazebo2
