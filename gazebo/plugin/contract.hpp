// Constants of the contract: what every engine, server and client must agree on, each written once in C++.
// gym_gazebo2/contract.py holds the same constants for Python, with their reasons; tests/test_contract.py compares the two.
#pragma once

#include <cstdint>

namespace gym_gazebo2 {

constexpr int64_t kNanoseconds = 1'000'000'000;      // per second
constexpr double kOmega = 40.0;                      // natural frequency of every drive [rad/s]
constexpr double kTouchForce = 1e-6;                 // reported for a contact that transmits no force [N]
constexpr double kLimitTolerance = 1e-6;             // how far outside its limits a commanded position may be [rad, or strokes]
constexpr double kSpeedTolerance = 1e-6;             // beyond velocity limit × time; relative, and absolute [rad, or strokes]
constexpr int64_t kMaxCommandNs = 60'000'000'000;    // longest time_from_start of a command [ns]
constexpr int kMaxOldTokens = 4096;                  // remembered, so that late copies can be ignored
constexpr int kMaxRefusals = 100;                    // different refusals that are logged
constexpr char kObjectsMark[] = "+objects";          // end of a token that waits for /place_objects with the same token

// Topics below the robot's namespace.
constexpr char kCommandTopic[] = "joint_trajectory_controller/joint_trajectory";
constexpr char kStateTopic[] = "joint_states";
constexpr char kContactsTopic[] = "contacts";
constexpr char kPlaceTopic[] = "place";
constexpr char kObjectsTopic[] = "objects";
constexpr char kPlaceObjectsTopic[] = "place_objects";
constexpr char kProviderTopic[] = "provider";

// Names of the whole ROS domain.
constexpr char kClockTopic[] = "/clock";
constexpr char kResetWorldService[] = "/reset_world";

}  // namespace gym_gazebo2
