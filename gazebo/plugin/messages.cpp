#include "messages.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

namespace gym_gazebo2 {
namespace {

/// Reads values by joint name into all[i], in the order of `joints`. On entry `all` holds the values of joints that the message
/// may leave out, the fingers. `check` throws RefusedError if a value is invalid.
template <typename Check>
void Arrange(const std::string& kind, const std::string& unit, const rosidl_runtime_c__String__Sequence& names,
             const rosidl_runtime_c__double__Sequence& values, const std::vector<Joint>& joints, std::vector<double>& all,
             const Check& check) {
  const size_t num_fingers = std::count_if(joints.begin(), joints.end(), [](const Joint& j) { return j.is_finger; });
  const bool is_arm_alone = num_fingers && names.size == joints.size() - num_fingers;
  if ((names.size != joints.size() && !is_arm_alone) || values.size != names.size) {
    throw RefusedError("a " + kind + " of " + std::to_string(names.size) + " names and " + std::to_string(values.size) + " " +
                       unit + ", expected " + std::to_string(joints.size()) + " of each" +
                       (num_fingers ? ", or " + std::to_string(joints.size() - num_fingers) + " without the fingers" : ""));
  }
  for (size_t i = 0; i < joints.size(); ++i) {
    if (!(is_arm_alone && joints[i].is_finger)) all[i] = NAN;  // NaN marks joints that were not named yet
  }
  for (size_t k = 0; k < names.size; ++k) {
    const std::string_view name(names.data[k].data, names.data[k].size);
    const auto joint = std::find_if(joints.begin(), joints.end(), [&](const Joint& j) { return j.name == name; });
    if (joint == joints.end()) throw RefusedError("a " + kind + " for the unknown joint '" + std::string(name) + "'");
    check(*joint, values.data[k]);
    double& place = all[joint - joints.begin()];
    if (!std::isnan(place) && !(is_arm_alone && joint->is_finger)) {
      throw RefusedError("a " + kind + " that names a joint twice");
    }
    place = values.data[k];
  }
  // Every name is known and different. So if a joint is missing, a finger was named in its place.
  for (size_t i = 0; i < joints.size(); ++i) {
    if (std::isnan(all[i])) throw RefusedError("a " + kind + " without the joint '" + joints[i].name + "'");
  }
}

/// Returns the placement of an object at a transform. Throws RefusedError if it is not finite, or if its
/// quaternion has length zero.
ObjectMove ReadPose(const geometry_msgs__msg__Transform& transform, const std::string& name) {
  const auto& p = transform.translation;
  const auto& r = transform.rotation;
  const double length = std::sqrt(r.w * r.w + r.x * r.x + r.y * r.y + r.z * r.z);
  if (!(std::isfinite(p.x) && std::isfinite(p.y) && std::isfinite(p.z) && std::isfinite(length) && length > 1e-6)) {
    throw RefusedError("a placement: the pose of '" + name + "' is not finite, or its quaternion has no length");
  }
  return {ObjectMove::Kind::kPlace, {p.x, p.y, p.z, r.w / length, r.x / length, r.y / length, r.z / length}};
}

}  // namespace


void ReadJoints(const std::string& kind, const rosidl_runtime_c__String__Sequence& names,
                const rosidl_runtime_c__double__Sequence& values, const std::vector<Joint>& joints, std::vector<double>& q) {
  Arrange(kind, "positions", names, values, joints, q, [&](const Joint& joint, double value) {
    const double tolerance = kLimitTolerance * joint.Scale();
    // Written so that NaN fails.
    if (!(value >= joint.lower - tolerance && value <= joint.upper + tolerance)) {
      throw RefusedError("a " + kind + ": '" + joint.name + "' is NaN or outside its limits");
    }
  });
}

void ReadEfforts(const rosidl_runtime_c__String__Sequence& names, const rosidl_runtime_c__double__Sequence& values,
                 const std::vector<Joint>& joints, std::vector<double>& effort) {
  std::fill(effort.begin(), effort.end(), 0.0);
  Arrange("command", "efforts", names, values, joints, effort, [](const Joint& joint, double value) {
    if (!(std::abs(value) <= joint.effort_limit * (1 + kLimitTolerance))) {
      throw RefusedError("a command: the effort of '" + joint.name + "' is NaN or beyond its limit");
    }
  });
}

void ReadObjects(const sensor_msgs__msg__MultiDOFJointState& message, const std::vector<Object>& objects,
                 std::vector<ObjectMove>& moves) {
  const auto& names = message.joint_names;
  const auto& transforms = message.transforms;
  if (transforms.size != 0 && transforms.size != names.size) {
    throw RefusedError("a placement of " + std::to_string(names.size) + " objects and " + std::to_string(transforms.size) +
                       " transforms, expected one for each object, or none");
  }
  std::fill(moves.begin(), moves.end(), ObjectMove{ObjectMove::Kind::kPark});
  for (size_t k = 0; k < names.size; ++k) {
    const std::string_view name(names.data[k].data, names.data[k].size);
    const auto object = std::find_if(objects.begin(), objects.end(), [&](const Object& o) { return o.name == name; });
    if (object == objects.end()) throw RefusedError("a placement of the unknown object '" + std::string(name) + "'");
    auto& move = moves[object - objects.begin()];
    if (move.kind != ObjectMove::Kind::kPark) throw RefusedError("a placement that names an object twice");
    if (transforms.size == 0 && object->is_parked) {
      throw RefusedError("a placement without a transform for '" + object->name + "', which is parked");
    }
    move = transforms.size == 0 ? ObjectMove{ObjectMove::Kind::kStay} : ReadPose(transforms.data[k], object->name);
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
