#include "server.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <utility>

#include "process_end.hpp"

namespace gym_gazebo2 {
namespace {

std::vector<std::string> ListNames(const std::vector<Joint>& joints) {
  std::vector<std::string> names;
  for (const auto& joint : joints) names.push_back(joint.name);
  return names;
}

}  // namespace

Server::Server(Simulator& simulator, Settings settings)
    : simulator_(simulator), settings_(std::move(settings)),
      ros_(settings_.ns, ListNames(simulator.joints), simulator.objects.size()), ramp_(settings_.physics_dt),
      moves_(simulator.objects.size()), q_(simulator.joints.size()) {
  for (auto* token : {&token_, &staged_token_}) token->reserve(256);  // nothing allocates while the simulation runs
  ros_.PublishProvider(Describe());
}

void Server::Start() { PlaceHome(); }

bool Server::BeginStep() {
  if (!settings_.lock_step) Serve();
  // A message may be refused, or be a placement: then the server waits for the next one.
  while (settings_.lock_step && ramp_.IsOver() && !is_placing_ && !IsEnding()) {
    if (!CanServe()) ros_.Wait();
    Serve();
  }
  if (IsEnding()) return false;
  if (is_placing_) {
    for (auto& joint : simulator_.joints) joint.effort = 0;
  } else {
    ramp_.Drive(simulator_.joints);
  }
  simulator_.Apply(1e-9 * settings_.physics_dt);
  return true;
}

void Server::EndStep(int64_t now) {
  now_ = now;
  ++num_steps_;
  // The contract reports contact at any physics step of the period.
  contact_force_ = std::max(contact_force_, simulator_.ContactForce());
  simulator_.Read();
  if (is_placing_) {
    simulator_.FinishPlace();
    EndPlacement();
    return;
  }
  ramp_.Advance(simulator_.joints);
  if (settings_.lock_step ? ramp_.IsOver() : num_steps_ % settings_.report_every == 0) Publish();
}

void Server::Serve() {
  // In this order, so that a command which a client sent after a placement is not carried out before it.
  if (ros_.TakeReset()) ResetWorld();
  Try([this] {
    if (ros_.TakePlaceObjects()) Stage();
  });
  const auto& place = ros_.place.value.header.frame_id;
  place_waits_ = ros_.TakePlace() || place_waits_;
  if (place_waits_ && IsStaged(place)) {
    place_waits_ = false;
    Try([&] {
      if (!IsRepeated(place)) Place();
    });
  }
  if (is_placing_) return;  // a command waits in its subscription until the placement is done
  const auto& command = ros_.command.value.header.frame_id;
  command_waits_ = ros_.TakeCommand() || command_waits_;
  if (command_waits_ && IsStaged(command)) {
    command_waits_ = false;
    Try([&] {
      if (!IsRepeated(command)) Command();
    });
  }
}

template <typename Work>
void Server::Try(const Work& work) {
  try {
    work();
  } catch (const RefusedError& error) {
    Refuse(error.what());
  }
}

void Server::Command() {
  const auto& message = ros_.command.value;
  if (message.points.size != 1) throw RefusedError("a command without exactly one point");
  const auto& point = message.points.data[0];
  if (point.positions.size == 0 && point.effort.size != 0) return Apply(message);
  for (size_t i = 0; i < q_.size(); ++i) q_[i] = simulator_.joints[i].setpoint;
  ReadJoints("command", message.joint_names, point.positions, simulator_.joints, q_);
  const int64_t steps = CountSteps(point.time_from_start, settings_.physics_dt, settings_.lock_step);
  const int too_fast = ramp_.FindTooFast(simulator_.joints, q_, steps);
  if (too_fast >= 0) {
    throw RefusedError("a command that moves '" + simulator_.joints[too_fast].name + "' faster than its velocity limit");
  }
  ramp_.Start(simulator_.joints, q_, steps);
  MoveObjects(message.header.frame_id);
  Accept(message.header.frame_id);
}

void Server::Apply(const trajectory_msgs__msg__JointTrajectory& message) {
  if (!simulator_.TakesEffort()) throw RefusedError("a command of efforts, which this simulator does not take");
  const auto& point = message.points.data[0];
  ReadEfforts(message.joint_names, point.effort, simulator_.joints, q_);
  ramp_.StartEffort(CountSteps(point.time_from_start, settings_.physics_dt, settings_.lock_step));
  for (size_t i = 0; i < q_.size(); ++i) simulator_.joints[i].applied = q_[i];
  MoveObjects(message.header.frame_id);
  Accept(message.header.frame_id);
}

void Server::Place() {
  const auto& message = ros_.place.value;
  for (size_t i = 0; i < q_.size(); ++i) {
    const auto& joint = simulator_.joints[i];
    q_[i] = std::clamp(joint.q, joint.lower, joint.upper);
  }
  ReadJoints("placement", message.name, message.position, simulator_.joints, q_);
  MoveObjects(message.header.frame_id);
  Accept(message.header.frame_id);
  StartPlacement(true);
}

/// Keeps a placement of objects for the message with the same token. In real time there are no tokens: it is carried out.
void Server::Stage() {
  const auto& message = ros_.place_objects.value;
  is_staged_ = false;
  staged_token_.clear();
  ReadObjects(message, simulator_.objects, moves_);
  if (!settings_.lock_step) return simulator_.MoveObjects(moves_);
  staged_token_.assign(message.header.frame_id.data, message.header.frame_id.size);
  is_staged_ = true;
}

/// Returns whether a message can be carried out: the placement of objects that belongs to it has come, or there is none.
bool Server::IsStaged(const rosidl_runtime_c__String& token) const {
  const std::string_view text(token.data, token.size), mark(kObjectsMark);
  const bool has_mark = text.size() >= mark.size() && text.substr(text.size() - mark.size()) == mark;
  return !settings_.lock_step || !has_mark || text == staged_token_ || text == token_;
}

/// Returns whether a kept command can be carried out without a further message. Its objects may have come with a placement
/// that took a physics step.
bool Server::CanServe() const { return command_waits_ && IsStaged(ros_.command.value.header.frame_id); }

void Server::MoveObjects(const rosidl_runtime_c__String& token) {
  if (!is_staged_ || std::string_view(token.data, token.size) != staged_token_) return;
  is_staged_ = false;
  simulator_.MoveObjects(moves_);
}

void Server::ResetWorld() {
  simulator_.ResetModels();
  PlaceHome();
  ros_.AnswerReset();
}

void Server::PlaceHome() {
  for (size_t i = 0; i < q_.size(); ++i) q_[i] = simulator_.joints[i].home;
  StartPlacement(false);
}

void Server::StartPlacement(bool is_answered) {
  ramp_.Cancel();
  is_answered_ = is_answered;
  is_placing_ = !simulator_.Place(q_);
  if (!is_placing_) EndPlacement();
}

void Server::EndPlacement() {
  is_placing_ = false;
  if (!is_answered_) return;
  contact_force_ = simulator_.ContactForce();
  Publish();
}

void Server::Publish() {
  auto& state = ros_.state.value;
  for (size_t i = 0; i < simulator_.joints.size(); ++i) {
    state.position.data[i] = simulator_.joints[i].q;
    state.velocity.data[i] = simulator_.joints[i].dq;
    state.effort.data[i] = simulator_.joints[i].effort;
  }
  Ros::Stamp(state.header.stamp, now_);
  simulator_.ReadObjects();
  ros_.FillObjects(simulator_.objects);
  // A placement has the stamp of the step before it, so only the token tells which contact belongs to which state.
  for (auto* header : {&state.header, &ros_.contact.value.header, &ros_.objects.value.header}) {
    Ros::Assign(header->frame_id, token_);
    header->stamp = state.header.stamp;
  }
  ros_.clock.value.clock = state.header.stamp;
  ros_.contact.value.wrench.force.x = contact_force_;
  ros_.Publish();
  contact_force_ = 0;
}

/// Returns whether a message came before. A copy of the newest one is answered again: its answer was lost. A copy of an
/// older one came late, and is ignored.
bool Server::IsRepeated(const rosidl_runtime_c__String& token) {
  // In real time frame_id may be the name of a coordinate frame, which is the same in every message.
  if (token.size == 0 || !settings_.lock_step) return false;
  const std::string_view text(token.data, token.size);
  if (text == token_) {
    ros_.Publish();
    return true;
  }
  return old_tokens_.CameBefore(text);
}

void Server::Accept(const rosidl_runtime_c__String& token) { token_.assign(token.data, token.size); }

/// Logs why a message was ignored, each reason once, so that a client that repeats it does not fill the log.
void Server::Refuse(const std::string& reason) {
  if (refused_.size() >= kMaxRefusals) return;
  if (std::find(refused_.begin(), refused_.end(), reason) != refused_.end()) return;
  refused_.push_back(reason);
  simulator_.Warn("gym_gazebo2: ignored " + reason + " (logged once).");
}

std::string Server::Describe() const {
  std::ostringstream json;
  json << std::setprecision(17) << R"({"kind": )" << QuoteJson(settings_.kind) << R"(, "version": )"
       << QuoteJson(settings_.version) << R"(, "lock_step": )" << (settings_.lock_step ? "true" : "false")
       << R"(, "physics_dt": )" << 1e-9 * settings_.physics_dt << R"(, "joints": [)";
  std::string names, fingers;
  for (const auto& joint : simulator_.joints) {
    names += (names.empty() ? "" : ", ") + QuoteJson(joint.name);
    if (joint.is_finger) fingers += (fingers.empty() ? "" : ", ") + QuoteJson(joint.name);
  }
  json << names << R"(], "fingers": [)" << fingers << R"(], "takes_effort": )" << (simulator_.TakesEffort() ? "true" : "false");
  if (!settings_.scene.empty()) json << R"(, "scene": )" << settings_.scene;
  json << "}";
  return json.str();
}

}  // namespace gym_gazebo2
