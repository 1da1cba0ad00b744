// How the process ends: on SIGINT, SIGTERM or its parent's death, also while the simulation waits for a command.
#pragma once

#include <signal.h>

#include <functional>

namespace gym_gazebo2 {

/// Blocks, or unblocks, the signals that end the process, in this thread and in threads that it starts later.
/// The signal handler calls `wake`, which takes locks. If it interrupted a thread that holds one of them, it would deadlock.
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
