// How the process ends: on SIGINT, SIGTERM or its parent's death, also while the simulation waits for a command.
#pragma once

#include <signal.h>

#include <functional>

namespace gym_gazebo2 {

/// Makes this thread, and those that it starts from now on, deaf to the signals that end the process, or not.
/// Whoever holds a lock that waking needs must not be interrupted by a handler that wakes.
void SetDeaf(bool deaf);

/// Asks for SIGHUP when the parent dies, and takes over SIGINT, SIGTERM and SIGHUP, after which `wake` is called from the
/// handler and IsEnding() is true. Call it once, when Gazebo's own handlers are in place.
void WatchLife(std::function<void()> wake);

/// From now on these signals do what `handler` says: SIG_DFL or SIG_IGN.
void LeaveLife(sighandler_t handler);

/// Whether the process is about to end.
bool IsEnding();

/// Tells the supervisor, over the pipe that it passed, that commands are now understood.
void TellReady();

}  // namespace gym_gazebo2
