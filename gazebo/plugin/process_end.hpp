// How the process ends: on SIGINT, SIGTERM or its parent's death, also while the simulation waits for a command.
#pragma once

#include <signal.h>

#include <functional>

namespace gym_gazebo2 {

/// Blocks, or unblocks, the signals that end the process, in this thread and in threads that it starts later.
/// The signal handler calls `wake`, which takes locks. If it interrupted a thread that holds one of them, it would deadlock.
void BlockEndingSignals(bool block);

/// Asks for SIGHUP when the parent dies, and handles SIGINT, SIGTERM and SIGHUP. When one of them comes, the handler makes
/// IsEnding() true and calls `wake`. Call this once, when Gazebo's own handlers are in place.
void HandleEndingSignals(std::function<void()> wake);

/// From now on these signals do what `handler` says: SIG_DFL or SIG_IGN. Returns when no call of `wake` is going on, so that
/// what it wakes can be destroyed.
void SetEndingHandlers(sighandler_t handler);

/// Whether the process is about to end.
bool IsEnding();

/// Writes "ready" to the pipe of the supervisor: from now on the plug-in answers commands.
void ReportReady();

}  // namespace gym_gazebo2
