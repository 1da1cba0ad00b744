// Reads messages of clients: joints by name, every number checked. The same checks and texts as provider/messages.py.
#pragma once

#include <builtin_interfaces/msg/duration.h>
#include <rosidl_runtime_c/primitives_sequence.h>
#include <rosidl_runtime_c/string.h>
#include <sensor_msgs/msg/multi_dof_joint_state.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "contract.hpp"
#include "drive.hpp"
#include "objects.hpp"

namespace gym_gazebo2 {

/// A message is invalid; the text names the reason. The server logs it once and ignores the message.
struct RefusedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads positions by joint name into q[i], in the order of `joints` [rad or m]. `kind` names the message: "command".
/// On entry q holds the present positions: those of the fingers stay if the message names the other joints alone.
/// Throws RefusedError if a joint is unknown, missing or doubled, or a position is NaN or outside the limits. The
/// contents of q are then undefined.
void ReadJoints(const std::string& kind, const rosidl_runtime_c__String__Sequence& names,
                const rosidl_runtime_c__double__Sequence& values, const std::vector<Joint>& joints, std::vector<double>& q);

/// Reads efforts by joint name in the same way [N·m or N]. Fingers that are not named get none.
/// Throws RefusedError as ReadJoints does, or if an effort is NaN or beyond its limit.
void ReadEfforts(const rosidl_runtime_c__String__Sequence& names, const rosidl_runtime_c__double__Sequence& values,
                 const std::vector<Joint>& joints, std::vector<double>& effort);

/// Reads which objects are in the scene from now on, into moves[i], in the order of `objects`. The message names all of them:
/// an object that it does not name is parked. With a transform for each name, the objects are put there, at rest; without
/// any transform, they stay where they are.
/// Throws RefusedError if an object is unknown, doubled, or stays although it is parked; or if a pose is invalid.
void ReadObjects(const sensor_msgs__msg__MultiDOFJointState& message, const std::vector<Object>& objects,
                 std::vector<ObjectMove>& moves);

/// Returns the physics steps of a command: its duration must be a whole number of them if `exact`, else it is rounded up.
/// Throws RefusedError if it is not, or if the duration is not between 0 and 60 s. `physics_dt` in ns.
int64_t CountSteps(const builtin_interfaces__msg__Duration& duration, int64_t physics_dt, bool exact);

/// Returns a text as a JSON string, with its quotation marks.
std::string QuoteJson(std::string_view text);

/// Remembers the tokens of messages that came, so that a copy is recognised.
class TokenMemory {
 public:
  /// Returns whether a token came before, and remembers it. Only hashes are kept, of the newest kMaxOldTokens tokens.
  bool CameBefore(std::string_view token);

 private:
  std::array<size_t, kMaxOldTokens> hashes_{};
  size_t count_{0};
};

}  // namespace gym_gazebo2
