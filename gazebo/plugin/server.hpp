// Serves one arm on the ROS 2 contract: pacing, tokens and answers. Knows no simulator; see simulator.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "drive.hpp"
#include "messages.hpp"
#include "ros.hpp"
#include "simulator.hpp"

namespace gym_gazebo2 {

/// The simulator's adapter calls Start() once, then BeginStep() and EndStep() around every physics step.
///
/// In lock-step a period runs through these states:
///
///   waiting   BeginStep() blocks in the physics thread until a message comes. An accepted command starts a ramp. A
///             placement is answered at once and the server keeps waiting, where the simulator can place at once.
///   placing   Where it cannot, BeginStep() lets one physics step pass without effort, and its EndStep() answers.
///   ramping   BeginStep() no longer blocks. Each physics step takes the set-points one step along the ramp.
///   end       The EndStep() of the ramp's last step publishes the answer; the next BeginStep() waits again.
///
/// A placement of objects is kept until the placement or the command with the same token comes, and is carried out with it.
/// The two messages may come in either order: a token that ends with kObjectsMark says that there are two.
///
/// So no thread, no polling and no pausing of the simulator is needed, and time stands still to the nanosecond. In real time
/// BeginStep() never blocks, and EndStep() publishes every `report_every` steps.
class Server {
 public:
  struct Settings {
    std::string ns;        // ROS namespace, with its leading slash
    std::string kind;      // kind of provider, such as "gazebo"
    std::string version;   // version of the plug-in
    bool lock_step;
    int64_t physics_dt;    // [ns]
    int64_t report_every;  // real time: physics steps between two published states
    std::string scene{};   // the scene as JSON, for clients to compare with theirs; empty without movable objects
  };

  /// Throws std::runtime_error if ROS cannot be used. `simulator` must outlive the server.
  Server(Simulator& simulator, Settings settings);

  /// Puts the arm at home.
  void Start();

  /// Serves messages, waits for a command in lock-step, and applies the drives. Returns false if the process is to end.
  bool BeginStep();

  /// Takes the results of a physics step; `now` is the simulated time at its end [ns].
  void EndStep(int64_t now);

  /// Ends a wait in BeginStep(), from a signal handler or another thread.
  void Wake() { ros_.Wake(); }

 private:
  void Serve();
  void Command();
  void Apply(const trajectory_msgs__msg__JointTrajectory& message);
  void Place();
  void Stage();
  bool IsStaged(const rosidl_runtime_c__String& token) const;
  bool CanServe() const;
  void MoveObjects(const rosidl_runtime_c__String& token);
  void ResetWorld();
  void PlaceHome();
  void StartPlacement(bool is_answered);
  void EndPlacement();
  void Publish();
  bool IsRepeated(const rosidl_runtime_c__String& token);
  void Accept(const rosidl_runtime_c__String& token);
  void Refuse(const std::string& reason);
  template <typename Work>
  void Try(const Work& work);
  std::string Describe() const;

  Simulator& simulator_;
  const Settings settings_;
  Ros ros_;
  Ramp ramp_;
  int64_t now_{0};                    // simulated time at the end of the last physics step [ns]
  int64_t num_steps_{0};              // physics steps so far
  double contact_force_{0};           // largest since the last published state [N]
  bool is_placing_{false};            // a placement waits for the end of a physics step
  bool is_answered_{false};           // whether the newest placement is answered: a client asked for it
  std::vector<ObjectMove> moves_;     // the newest placement of objects
  std::string staged_token_;          // its token
  bool is_staged_{false};             // whether it is still to be carried out
  bool command_waits_{false}, place_waits_{false};  // the message of that name has come, its placement of objects has not
  std::vector<double> q_;             // positions of the message that is read, by joint [rad or m]
  std::string token_;                 // of the newest accepted message
  TokenMemory old_tokens_;
  std::vector<std::string> refused_;  // reasons that were logged already
};

}  // namespace gym_gazebo2
