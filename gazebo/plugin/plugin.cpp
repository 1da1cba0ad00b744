// Serves one arm of a Gazebo world on the ROS 2 contract of gym_gazebo2. In lock-step the physics thread itself waits for
// the next command between two control periods: no thread, no polling, no pausing.
#include <algorithm>
#include <array>
#include <cmath>
#include <gazebo/common/Console.hh>
#include <gazebo/common/Events.hh>
#include <gazebo/common/Plugin.hh>
#include <gazebo/physics/PhysicsEngine.hh>
#include <gazebo/physics/World.hh>
#include <gazebo/transport/ConnectionManager.hh>
#include <iomanip>
#include <memory>
#include <optional>
#include <sstream>
#include <string_view>

#include "arm.hpp"
#include "life.hpp"
#include "ros.hpp"

#ifndef GYM_GAZEBO2_VERSION
#define GYM_GAZEBO2_VERSION "unknown"
#endif

namespace gym_gazebo2 {

/// Names a private member of Gazebo's, as an explicit instantiation may.
template <auto Member>
struct Reveal {
  friend boost::mutex& UpdateMutex(gazebo::transport::ConnectionManager& manager) { return manager.*Member; }
};
boost::mutex& UpdateMutex(gazebo::transport::ConnectionManager& manager);
template struct Reveal<&gazebo::transport::ConnectionManager::updateMutex>;

class Plugin : public gazebo::WorldPlugin {
 public:
  ~Plugin() override { LeaveLife(SIG_DFL); }
  void Load(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf) override;

 private:
  void OnBegin();
  void OnEnd();
  [[noreturn]] void End();
  void Serve();
  void Step();
  void Place();
  void ResetWorld();
  void Publish();
  bool IsRepeated(const rosidl_runtime_c__String& token);
  std::optional<int64_t> CountSteps(const builtin_interfaces__msg__Duration& duration);
  bool ReadJoints(const char* what, const rosidl_runtime_c__String__Sequence& names,
                  const rosidl_runtime_c__double__Sequence& values);
  bool Refuse(const std::string& what);
  std::string Describe() const;

  gazebo::physics::WorldPtr world_;
  std::unique_ptr<Arm> arm_;
  std::unique_ptr<Ros> ros_;
  gazebo::event::ConnectionPtr begin_, end_;
  bool lock_step_{true}, is_private_{true}, is_watched_{false};
  int64_t physics_dt_{0}, report_every_{0};   // [ns], [physics steps]
  int64_t now_{0};                            // simulated time at the end of the last physics step [ns]
  int64_t steps_{0}, ramp_steps_{0}, ramp_done_{0};
  double contact_force_{0};
  std::vector<double> wanted_, ramp_speed_;   // [rad], [rad/s]; by joint of the arm
  std::vector<std::string> refused_;          // what was logged already
  std::string token_;
  std::array<size_t, 4096> old_tokens_{};     // some seconds of stepping as fast as it goes
  size_t newest_token_{0};
};

void Plugin::Load(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf) try {
  world_ = world;
  arm_ = std::make_unique<Arm>(world, sdf);
  wanted_.resize(arm_->joints.size());
  ramp_speed_.resize(arm_->joints.size());
  token_.reserve(256);
  lock_step_ = sdf->Get<bool>("lock_step");
  is_private_ = !sdf->Get<bool>("gazebo_topics");
  physics_dt_ = std::llround(world->Physics()->GetMaxStepSize() * kSecond);
  report_every_ = std::max(1L, std::lround(sdf->Get<double>("control_dt") * kSecond / physics_dt_));
  std::vector<std::string> names;
  for (const auto& joint : arm_->joints) names.push_back(joint.name);
  SetDeaf(true);
  ros_ = std::make_unique<Ros>("/" + sdf->Get<std::string>("namespace"), names);
  SetDeaf(false);
  ros_->PublishProvider(Describe());
  begin_ = gazebo::event::Events::ConnectWorldUpdateBegin([this](const gazebo::common::UpdateInfo&) { OnBegin(); });
  end_ = gazebo::event::Events::ConnectWorldUpdateEnd([this] { OnEnd(); });
} catch (const std::exception& error) {
  gzerr << std::string("gym_gazebo2: the plug-in cannot serve this world: ") + error.what() + "\n";
  std::_Exit(3);
}

void Plugin::OnBegin() {
  if (!is_watched_) {
    is_watched_ = true;
    SetDeaf(true);
    // Gazebo wakes its transport's thread at every physics step, which costs as much as the step. Without this mutex it
    // cannot wake. Its Stop() is no way: what it closes is still being read, and one start in a hundred crashes.
    if (is_private_) UpdateMutex(*gazebo::transport::ConnectionManager::Instance()).lock();
    WatchLife([this] { ros_->Wake(); });
    for (size_t i = 0; i < arm_->joints.size(); ++i) wanted_[i] = arm_->joints[i].home;
    arm_->Place(wanted_);
    TellReady();
  }
  if (!lock_step_) Serve();
  while (lock_step_ && ramp_done_ == ramp_steps_ && !IsEnding()) {
    ros_->Wait();
    Serve();
  }
  if (IsEnding()) End();
  const double fraction = ramp_steps_ ? static_cast<double>(ramp_done_) / ramp_steps_ : 1.0;
  const bool is_ramping = ramp_done_ < ramp_steps_;
  for (size_t i = 0; i < arm_->joints.size(); ++i) {
    auto& joint = arm_->joints[i];
    joint.setpoint = joint.ramp_start + fraction * (joint.ramp_end - joint.ramp_start);
    ramp_speed_[i] = is_ramping ? (joint.ramp_end - joint.ramp_start) / (1e-9 * ramp_steps_ * physics_dt_) : 0.0;
  }
  arm_->Drive(1e-9 * physics_dt_, ramp_speed_);
}

/// Leaves the ROS graph and ends the process; Gazebo's own teardown has races, and nothing to save.
void Plugin::End() {
  LeaveLife(SIG_IGN);
  ros_.reset();
  std::_Exit(0);
}

void Plugin::OnEnd() {
  const auto time = world_->SimTime();
  now_ = time.sec * kSecond + time.nsec;
  ++steps_;
  contact_force_ = std::max(contact_force_, arm_->ContactForce());
  arm_->Read();
  if (ramp_done_ < ramp_steps_) ++ramp_done_;
  if (ramp_done_ == ramp_steps_) {
    for (auto& joint : arm_->joints) joint.setpoint = joint.ramp_end;
  }
  if (lock_step_ ? ramp_done_ == ramp_steps_ : steps_ % report_every_ == 0) Publish();
}

void Plugin::Serve() {
  if (ros_->TakeReset()) ResetWorld();
  if (ros_->TakePlace() && !IsRepeated(ros_->place.value.header.frame_id)) Place();
  if (ros_->TakeCommand() && !IsRepeated(ros_->command.value.header.frame_id)) Step();
}

void Plugin::Step() {
  const auto& message = ros_->command.value;
  if (message.points.size != 1 && Refuse("a command without exactly one point")) return;
  const auto& point = message.points.data[0];
  if (!ReadJoints("command", message.joint_names, point.positions)) return;
  const auto steps = CountSteps(point.time_from_start);
  if (!steps) return;
  const double seconds = 1e-9 * *steps * physics_dt_;
  for (size_t i = 0; i < arm_->joints.size(); ++i) {
    const auto& joint = arm_->joints[i];
    const double reach = joint.velocity_limit * seconds * (1 + 1e-6) + 1e-6;
    // A client that has just come, or holds the arm, starts from what it measured.
    const bool is_near = std::abs(wanted_[i] - joint.setpoint) <= reach || std::abs(wanted_[i] - joint.q) <= reach;
    if (!is_near && Refuse("a command that moves '" + joint.name + "' faster than its velocity limit")) return;
  }
  for (size_t i = 0; i < arm_->joints.size(); ++i) {
    auto& joint = arm_->joints[i];
    const bool from_setpoint = std::abs(wanted_[i] - joint.setpoint) <= joint.velocity_limit * seconds * (1 + 1e-6) + 1e-6;
    joint.ramp_start = from_setpoint ? joint.setpoint : joint.q;
    joint.ramp_end = wanted_[i];
  }
  ramp_steps_ = *steps;
  ramp_done_ = 0;
  token_.assign(message.header.frame_id.data, message.header.frame_id.size);
}

void Plugin::Place() {
  const auto& message = ros_->place.value;
  if (!ReadJoints("placement", message.name, message.position)) return;
  token_.assign(message.header.frame_id.data, message.header.frame_id.size);
  arm_->Place(wanted_);
  ramp_steps_ = ramp_done_ = 0;
  contact_force_ = arm_->ContactForce();
  Publish();
}

void Plugin::ResetWorld() {
  world_->ResetEntities(gazebo::physics::Base::MODEL);
  for (size_t i = 0; i < arm_->joints.size(); ++i) wanted_[i] = arm_->joints[i].home;
  arm_->Place(wanted_);
  ramp_steps_ = ramp_done_ = 0;
  ros_->AnswerReset();
}

void Plugin::Publish() {
  auto& state = ros_->state.value;
  for (size_t i = 0; i < arm_->joints.size(); ++i) {
    state.position.data[i] = arm_->joints[i].q;
    state.velocity.data[i] = arm_->joints[i].dq;
    state.effort.data[i] = arm_->joints[i].effort;
  }
  Ros::Stamp(state.header.stamp, now_);
  // A placement has the stamp of the step before it: only the token tells their contacts apart.
  for (auto* header : {&state.header, &ros_->contact.value.header}) Ros::Assign(header->frame_id, token_);
  ros_->contact.value.header.stamp = ros_->clock.value.clock = state.header.stamp;
  ros_->contact.value.wrench.force.x = contact_force_;
  ros_->Publish();
  contact_force_ = 0;
}

/// Whether a message came before: the newest is answered again, an older one that comes late is dropped.
bool Plugin::IsRepeated(const rosidl_runtime_c__String& token) {
  if (token.size == 0 || !lock_step_) return false;  // in real time it may be a frame's name, the same for all
  const std::string_view text(token.data, token.size);
  if (text == token_) {
    ros_->Publish();
    return true;
  }
  const size_t hash = std::hash<std::string_view>{}(text);
  if (std::find(old_tokens_.begin(), old_tokens_.end(), hash) != old_tokens_.end()) return true;
  old_tokens_[newest_token_++ % old_tokens_.size()] = hash;
  return false;
}

/// The physics steps of a command: in lock-step its time is a whole number of them, in real time it is rounded up.
std::optional<int64_t> Plugin::CountSteps(const builtin_interfaces__msg__Duration& duration) {
  const int64_t length = duration.sec * kSecond + duration.nanosec;
  if (!(length > 0 && length <= 60 * kSecond)) {
    Refuse("a command whose time_from_start is not between 0 and 60 s");
  } else if (lock_step_ && length % physics_dt_ != 0) {
    Refuse("a command whose time_from_start is no whole number of physics steps of " + std::to_string(physics_dt_) + " ns");
  } else {
    return (length + physics_dt_ - 1) / physics_dt_;
  }
  return std::nullopt;
}

bool Plugin::ReadJoints(const char* what, const rosidl_runtime_c__String__Sequence& names,
                        const rosidl_runtime_c__double__Sequence& values) {
  auto& joints = arm_->joints;
  const std::string kind = what;
  if (names.size != joints.size() || values.size != joints.size()) {
    return !Refuse("a " + kind + " of " + std::to_string(names.size) + " names and " + std::to_string(values.size) +
                   " positions, expected " + std::to_string(joints.size()) + " of each");
  }
  std::fill(wanted_.begin(), wanted_.end(), NAN);
  for (size_t k = 0; k < names.size; ++k) {
    const auto joint = std::find_if(joints.begin(), joints.end(),
                                    [&](const Joint& j) { return j.name == names.data[k].data; });
    if (joint == joints.end()) return !Refuse("a " + kind + " for the unknown joint '" + names.data[k].data + "'");
    const double q = values.data[k];
    if (!(q >= joint->lower - 1e-6 && q <= joint->upper + 1e-6)) {
      return !Refuse("a " + kind + " that puts '" + joint->name + "' outside its limits, or nowhere (NaN)");
    }
    wanted_[joint - joints.begin()] = q;
  }
  const auto missing = std::find_if(wanted_.begin(), wanted_.end(), [](double q) { return std::isnan(q); });
  return missing == wanted_.end() || !Refuse("a " + kind + " that names a joint twice");
}

/// Logs a message that was ignored, each kind once; returns true.
bool Plugin::Refuse(const std::string& what) {
  if (std::find(refused_.begin(), refused_.end(), what) == refused_.end() && refused_.size() < 100) {
    refused_.push_back(what);
    gzwarn << "gym_gazebo2: ignored " + what + ". This is said once.\n";
  }
  return true;
}

std::string Plugin::Describe() const {
  std::ostringstream json;
  json << std::setprecision(17) << R"({"kind": "gazebo", "version": ")" << GYM_GAZEBO2_VERSION << R"(", "lock_step": )"
       << (lock_step_ ? "true" : "false") << R"(, "physics_dt": )" << 1e-9 * physics_dt_ << R"(, "joints": [)";
  for (size_t i = 0; i < arm_->joints.size(); ++i) json << (i ? ", \"" : "\"") << arm_->joints[i].name << '"';
  json << "]}";
  return json.str();
}

GZ_REGISTER_WORLD_PLUGIN(Plugin)

}  // namespace gym_gazebo2
