// How the process ends: on SIGINT, SIGTERM or its parent's death, also while the simulation waits for a command.
#pragma once

#include <functional>

namespace gym_gazebo2 {

/// Makes this thread, and those that it starts from now on, deaf to the signals that end the process, or not.
/// Whoever holds a lock that waking needs must not be interrupted by a handler that wakes.
void SetDeaf(bool deaf);

/// Asks for SIGHUP when the parent dies, and takes over SIGINT, SIGTERM and SIGHUP: Gazebo's own handler of SIGINT runs
/// for each, then `wake`. Call it once, when Gazebo's handler is in place.
void WatchLife(std::function<void()> wake);

/// From now on these signals end the process as they do by default.
void LeaveLife();

/// Whether the process is about to end.
bool IsEnding();

/// Tells the supervisor, over the pipe that it passed, that commands are now understood.
void TellReady();

}  // namespace gym_gazebo2
