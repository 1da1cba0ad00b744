// The plug-in of a gz-sim world that serves one arm on the ROS 2 contract of gym_gazebo2: connects gz-sim's update with the
// server.
#include <dlfcn.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <gz/common/Console.hh>
#include <gz/plugin/Register.hh>
#include <gz/sim/System.hh>
#include <memory>

#include "contract.hpp"
#include "gz_sim_arm.hpp"
#include "process_end.hpp"
#include "server.hpp"

namespace gym_gazebo2 {

/// gz-sim's loader asks dlerror() whether this library was loaded. It would read an older error of another library: one of the
/// ROS 2 wheels tries to load lttng, which is not installed. So the error is read here, which clears it.
__attribute__((constructor)) void ClearLoaderError() { dlerror(); }

/// gz-sim calls PreUpdate() before every physics step, and between two of them while it is paused. So PreUpdate() first ends
/// the step before, and then begins the next one, where it blocks in lock-step until a command comes.
class GzSimPlugin : public gz::sim::System,
                    public gz::sim::ISystemConfigure,
                    public gz::sim::ISystemPreUpdate,
                    public gz::sim::ISystemReset {
 public:
  ~GzSimPlugin() override { SetEndingHandlers(SIG_DFL); }
  void Configure(const gz::sim::Entity& world, const std::shared_ptr<const sdf::Element>& sdf,
                 gz::sim::EntityComponentManager& ecm, gz::sim::EventManager& events) override;
  void PreUpdate(const gz::sim::UpdateInfo& info, gz::sim::EntityComponentManager& ecm) override;

  /// The world was put back to its start, and time to zero.
  void Reset(const gz::sim::UpdateInfo& info, gz::sim::EntityComponentManager& ecm) override;

 private:
  void Start(gz::sim::EntityComponentManager& ecm);
  [[noreturn]] void End();

  std::shared_ptr<const sdf::Element> sdf_;
  std::unique_ptr<GzSimArm> arm_;
  std::unique_ptr<Server> server_;
  bool is_stepping_{false};  // a physics step was begun, and its results were not taken
};

void GzSimPlugin::Configure(const gz::sim::Entity&, const std::shared_ptr<const sdf::Element>& sdf,
                            gz::sim::EntityComponentManager&, gz::sim::EventManager&) {
  sdf_ = sdf;
}

/// Runs in the first update: before it, the world may have no models, and gz-sim's own signal handlers, which must be
/// replaced, may not be in place.
void GzSimPlugin::Start(gz::sim::EntityComponentManager& ecm) {
  // The signals stay blocked in this thread, because it may hold the locks that Wake() needs, and so may the threads that DDS
  // starts here. Another thread takes the signals.
  BlockEndingSignals(true);
  arm_ = std::make_unique<GzSimArm>(ecm, sdf_);
  const auto number = [this](const char* key) { return std::llround(sdf_->Get<double>(key) * kNanoseconds); };
  const int64_t physics_dt = number("physics_dt"), period = number("control_dt");
  server_ = std::make_unique<Server>(
      *arm_, Server::Settings{"/" + sdf_->Get<std::string>("namespace"), "gz_sim", GYM_GAZEBO2_VERSION,
                              sdf_->Get<bool>("lock_step"), physics_dt, std::max<int64_t>(1, period / physics_dt),
                              sdf_->HasElement("scene") ? sdf_->Get<std::string>("scene") : ""});
  HandleEndingSignals([this] { server_->Wake(); });
  server_->Start();
  ReportReady();
}

void GzSimPlugin::PreUpdate(const gz::sim::UpdateInfo& info, gz::sim::EntityComponentManager& ecm) try {
  if (!server_) Start(ecm);
  // simTime is the time at the end of this update. While gz-sim is paused, dt is zero.
  const auto now = std::chrono::duration_cast<std::chrono::nanoseconds>(info.simTime - info.dt);
  if (is_stepping_) server_->EndStep(now.count());
  is_stepping_ = false;
  if (IsEnding()) End();
  if (info.paused) return;
  if (!server_->BeginStep()) End();
  is_stepping_ = true;
} catch (const std::exception& error) {
  // gz-sim would go on without the plug-in.
  gzerr << std::string("gym_gazebo2: the plug-in cannot serve this world: ") + error.what() + "\n";
  std::_Exit(3);
}

void GzSimPlugin::Reset(const gz::sim::UpdateInfo&, gz::sim::EntityComponentManager&) {
  is_stepping_ = false;
  if (!server_) return;
  arm_->Bind();
  server_->Start();
}

/// Leaves the ROS graph and ends the process: there is nothing to save.
void GzSimPlugin::End() {
  SetEndingHandlers(SIG_IGN);
  server_.reset();
  std::_Exit(0);
}

}  // namespace gym_gazebo2

GZ_ADD_PLUGIN(gym_gazebo2::GzSimPlugin, gz::sim::System, gym_gazebo2::GzSimPlugin::ISystemConfigure,
              gym_gazebo2::GzSimPlugin::ISystemPreUpdate, gym_gazebo2::GzSimPlugin::ISystemReset)
