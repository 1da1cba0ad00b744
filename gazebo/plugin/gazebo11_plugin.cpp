// The plug-in of a Gazebo 11 world that serves one arm on the ROS 2 contract of gym_gazebo2: connects Gazebo's events
// with the server.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <gazebo/common/Console.hh>
#include <gazebo/common/Events.hh>
#include <gazebo/common/Plugin.hh>
#include <gazebo/physics/PhysicsEngine.hh>
#include <gazebo/physics/World.hh>
#include <gazebo/transport/ConnectionManager.hh>
#include <memory>

#include "contract.hpp"
#include "gazebo11_arm.hpp"
#include "process_end.hpp"
#include "server.hpp"

#ifndef GYM_GAZEBO2_VERSION
#define GYM_GAZEBO2_VERSION "unknown"
#endif

namespace gym_gazebo2 {

/// Gives access to a private member of ConnectionManager: access rules do not apply to the arguments of an explicit
/// instantiation ([temp.spec]), and the friend function is found by its argument's type.
template <auto Member>
struct Reveal {
  friend boost::mutex& UpdateMutex(gazebo::transport::ConnectionManager& manager) { return manager.*Member; }
};
boost::mutex& UpdateMutex(gazebo::transport::ConnectionManager& manager);
template struct Reveal<&gazebo::transport::ConnectionManager::updateMutex>;

class Gazebo11Plugin : public gazebo::WorldPlugin {
 public:
  ~Gazebo11Plugin() override { SetEndingHandlers(SIG_DFL); }
  void Load(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf) override;

 private:
  void OnBegin();
  void OnEnd();
  void Start();
  [[noreturn]] void End();

  gazebo::physics::WorldPtr world_;
  std::unique_ptr<Gazebo11Arm> arm_;
  std::unique_ptr<Server> server_;
  gazebo::event::ConnectionPtr begin_, end_;
  bool is_private_{true}, is_started_{false};
};

void Gazebo11Plugin::Load(gazebo::physics::WorldPtr world, sdf::ElementPtr sdf) try {
  world_ = world;
  arm_ = std::make_unique<Gazebo11Arm>(world, sdf);
  is_private_ = !sdf->Get<bool>("gazebo_topics");
  const int64_t physics_dt = std::llround(world->Physics()->GetMaxStepSize() * kNanoseconds);
  const int64_t report_every = std::max(1L, std::lround(sdf->Get<double>("control_dt") * kNanoseconds / physics_dt));
  // DDS starts threads here. They hold locks that Wake() needs, so none of them must run the signal handler that calls it.
  BlockEndingSignals(true);
  server_ = std::make_unique<Server>(
      *arm_, Server::Settings{"/" + sdf->Get<std::string>("namespace"), "gazebo", GYM_GAZEBO2_VERSION,
                              sdf->Get<bool>("lock_step"), physics_dt, report_every,
                              sdf->Get<std::string>("scene")});
  BlockEndingSignals(false);
  begin_ = gazebo::event::Events::ConnectWorldUpdateBegin([this](const gazebo::common::UpdateInfo&) { OnBegin(); });
  end_ = gazebo::event::Events::ConnectWorldUpdateEnd([this] { OnEnd(); });
} catch (const std::exception& error) {
  // gzserver would go on without the plug-in.
  gzerr << std::string("gym_gazebo2: the plug-in cannot serve this world: ") + error.what() + "\n";
  std::_Exit(3);
}

void Gazebo11Plugin::OnBegin() {
  if (!is_started_) Start();
  if (!server_->BeginStep()) End();
}

void Gazebo11Plugin::OnEnd() {
  const auto time = world_->SimTime();
  server_->EndStep(time.sec * kNanoseconds + time.nsec);
}

/// Runs in the first physics step: only then are Gazebo's own signal handlers in place, which must be replaced.
void Gazebo11Plugin::Start() {
  is_started_ = true;
  BlockEndingSignals(true);  // from now on: this thread may hold the locks that Wake() needs, so another takes the signals
  // Gazebo wakes the thread of its transport at every physics step, which costs as much as the step itself (21 µs). This
  // mutex, held for ever, prevents it. ConnectionManager::Stop() is no alternative: it closes what is still being
  // read, and one start in a hundred crashes.
  if (is_private_) UpdateMutex(*gazebo::transport::ConnectionManager::Instance()).lock();
  HandleEndingSignals([this] { server_->Wake(); });
  server_->Start();
  ReportReady();
}

/// Leaves the ROS graph and ends the process. Gazebo's own teardown has race conditions, and there is nothing to save.
void Gazebo11Plugin::End() {
  SetEndingHandlers(SIG_IGN);
  server_.reset();
  std::_Exit(0);
}

GZ_REGISTER_WORLD_PLUGIN(Gazebo11Plugin)

}  // namespace gym_gazebo2
