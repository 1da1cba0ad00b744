// The core of the plug-in on joints that move by themselves: a program that serves an arm without a simulator. Its loop calls
// the server as gz-sim's update does, and, with `places_at_once`, as Gazebo 11's events do.
//
//   gym_gazebo2_servo FILE
//
// Rows of the file: "namespace mara", "lock_step 1", "physics_dt 0.001", "report_every 50", "places_at_once 0", "wall 2.0",
// "joint NAME LOWER UPPER VELOCITY EFFORT DRIVE_INERTIA ROTOR_INERTIA HOME EFFORT_DAMPING IS_FINGER", "takes_effort 1",
// "scene JSON", "object NAME".
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "contract.hpp"
#include "process_end.hpp"
#include "server.hpp"

namespace gym_gazebo2 {
namespace {

/// Each joint turns a mass of its drive's inertia. The first joint touches a wall at `wall`, which pushes it back. Objects stay
/// where they are put.
class Servo : public Simulator {
 public:
  void Read() override {}

  void Apply(double dt) override {
    force_ = joints[0].q > wall ? kWallStiffness * (joints[0].q - wall) : 0;
    is_touching_ = joints[0].q >= wall;
    for (size_t i = 0; i < joints.size(); ++i) {
      Joint& joint = joints[i];
      const double effort = joint.effort - (i == 0 ? force_ : 0);
      const double step = dt / joint.drive_inertia;
      joint.dq = (joint.dq + step * effort) / (1 + step * joint.damping);  // damping acts at the end of the step
      joint.q += dt * joint.dq;
    }
  }

  bool Place(const std::vector<double>& q) override {
    placed_ = q;
    for (size_t i = 0; i < joints.size(); ++i) {
      joints[i].q = joints[i].setpoint = joints[i].ramp_start = joints[i].ramp_end = q[i];
      joints[i].dq = joints[i].effort = 0;
    }
    is_touching_ = q[0] >= wall;
    force_ = is_touching_ ? kWallStiffness * (q[0] - wall) : 0;
    return places_at_once;
  }

  void FinishPlace() override { Place(placed_); }
  void ResetModels() override { MoveObjects(std::vector<ObjectMove>(objects.size(), {ObjectMove::Kind::kPark})); }
  bool TakesEffort() const override { return takes_effort; }

  void MoveObjects(const std::vector<ObjectMove>& moves) override {
    for (size_t i = 0; i < objects.size(); ++i) {
      if (moves[i].kind == ObjectMove::Kind::kStay) continue;
      objects[i].is_parked = moves[i].kind == ObjectMove::Kind::kPark;
      objects[i].pose = moves[i].pose;
    }
  }

  double ContactForce() const override { return is_touching_ ? std::max(force_, kTouchForce) : 0; }
  void Warn(const std::string& text) const override { std::cerr << text << std::endl; }

  bool places_at_once{false}, takes_effort{false};
  double wall{INFINITY};

 private:
  static constexpr double kWallStiffness = 1e4;  // [N·m/rad]
  std::vector<double> placed_;
  double force_{0};
  bool is_touching_{false};
};

struct World {
  Servo servo;
  Server::Settings settings{"", "servo", GYM_GAZEBO2_VERSION, true, 1'000'000, 50};
  double factor{0};  // speed of simulated time; 0 is as fast as possible
};

void ReadRow(std::istringstream& row, World& world) {
  std::string key;
  row >> key;
  double seconds = 0;
  if (key == "namespace") row >> world.settings.ns;
  if (key == "lock_step") row >> world.settings.lock_step;
  if (key == "physics_dt") row >> seconds, world.settings.physics_dt = std::llround(seconds * kNanoseconds);
  if (key == "report_every") row >> world.settings.report_every;
  if (key == "factor") row >> world.factor;
  if (key == "places_at_once") row >> world.servo.places_at_once;
  if (key == "wall") row >> world.servo.wall;
  if (key == "takes_effort") row >> world.servo.takes_effort;
  if (key == "scene") std::getline(row >> std::ws, world.settings.scene);
  if (key == "object") row >> key, world.servo.objects.push_back({key});
  if (key != "joint") return;
  Joint joint{};
  row >> joint.name >> joint.lower >> joint.upper >> joint.velocity_limit >> joint.effort_limit >> joint.drive_inertia >>
      joint.rotor_inertia >> joint.home >> joint.effort_damping >> joint.is_finger;
  world.servo.joints.push_back(joint);
}

/// The only thread that signals may interrupt.
[[noreturn]] void TakeSignals() {
  BlockEndingSignals(false);
  for (;;) pause();
}

void Run(World& world) {
  BlockEndingSignals(true);  // DDS starts threads that hold the locks which Wake() needs
  auto server = std::make_unique<Server>(world.servo, world.settings);
  HandleEndingSignals([&server] { server->Wake(); });
  std::thread(TakeSignals).detach();
  server->Start();
  ReportReady();
  const auto step = std::chrono::nanoseconds(world.settings.physics_dt);
  auto next = std::chrono::steady_clock::now();
  for (int64_t now = step.count(); server->BeginStep(); now += step.count()) {
    server->EndStep(now);
    if (world.factor > 0) std::this_thread::sleep_until(next += std::chrono::nanoseconds(std::llround(step.count() / world.factor)));
  }
  SetEndingHandlers(SIG_IGN);
  server.reset();
}

}  // namespace
}  // namespace gym_gazebo2

int main(int argc, char** argv) try {
  std::ifstream file(argc > 1 ? argv[1] : "");
  if (!file) throw std::runtime_error("the file of the world cannot be read");
  gym_gazebo2::World world;
  for (std::string line; std::getline(file, line);) {
    std::istringstream row(line);
    gym_gazebo2::ReadRow(row, world);
  }
  if (world.servo.joints.empty()) throw std::runtime_error("the world names no joint");
  gym_gazebo2::Run(world);
} catch (const std::exception& error) {
  std::cerr << "gym_gazebo2: the plug-in cannot serve this world: " << error.what() << std::endl;
  std::_Exit(3);
}
