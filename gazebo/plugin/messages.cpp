#include "messages.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

namespace gym_gazebo2 {

void ReadJoints(const std::string& kind, const rosidl_runtime_c__String__Sequence& names,
                const rosidl_runtime_c__double__Sequence& values, const std::vector<Joint>& joints, std::vector<double>& q) {
  const size_t num_fingers = std::count_if(joints.begin(), joints.end(), [](const Joint& j) { return j.is_finger; });
  const bool is_arm_alone = num_fingers && names.size == joints.size() - num_fingers;
  if ((names.size != joints.size() && !is_arm_alone) || values.size != names.size) {
    throw RefusedError("a " + kind + " of " + std::to_string(names.size) + " names and " + std::to_string(values.size) +
                       " positions, expected " + std::to_string(joints.size()) + " of each" +
                       (num_fingers ? ", or " + std::to_string(joints.size() - num_fingers) + " without the fingers" : ""));
  }
  for (size_t i = 0; i < joints.size(); ++i) {
    if (!(is_arm_alone && joints[i].is_finger)) q[i] = NAN;  // NaN marks joints that were not named yet
  }
  for (size_t k = 0; k < names.size; ++k) {
    const std::string_view name(names.data[k].data, names.data[k].size);
    const auto joint = std::find_if(joints.begin(), joints.end(), [&](const Joint& j) { return j.name == name; });
    if (joint == joints.end()) throw RefusedError("a " + kind + " for the unknown joint '" + std::string(name) + "'");
    const double value = values.data[k];
    const double tolerance = kLimitTolerance * joint->Scale();
    // Written so that NaN fails.
    if (!(value >= joint->lower - tolerance && value <= joint->upper + tolerance)) {
      throw RefusedError("a " + kind + ": '" + joint->name + "' is NaN or outside its limits");
    }
    double& place = q[joint - joints.begin()];
    if (!std::isnan(place) && !(is_arm_alone && joint->is_finger)) {
      throw RefusedError("a " + kind + " that names a joint twice");
    }
    place = value;
  }
  // None is unknown and none is doubled, so one that is missing means that a finger was named in its place.
  for (size_t i = 0; i < joints.size(); ++i) {
    if (std::isnan(q[i])) throw RefusedError("a " + kind + " without the joint '" + joints[i].name + "'");
  }
}

int64_t CountSteps(const builtin_interfaces__msg__Duration& duration, int64_t physics_dt, bool exact) {
  const int64_t length = duration.sec * kNanoseconds + duration.nanosec;
  if (!(length > 0 && length <= kMaxCommandNs)) throw RefusedError("a command: time_from_start is not between 0 and 60 s");
  if (exact && length % physics_dt != 0) {
    throw RefusedError("a command: time_from_start is not a whole number of physics steps of " + std::to_string(physics_dt) +
                       " ns");
  }
  return (length + physics_dt - 1) / physics_dt;
}

std::string QuoteJson(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {  // control characters; bytes of UTF-8 are 0x80 and more
      char escaped[7];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
      quoted += escaped;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

bool TokenMemory::CameBefore(std::string_view token) {
  const size_t hash = std::hash<std::string_view>{}(token);
  if (std::find(hashes_.begin(), hashes_.end(), hash) != hashes_.end()) return true;
  hashes_[count_++ % hashes_.size()] = hash;
  return false;
}

}  // namespace gym_gazebo2
