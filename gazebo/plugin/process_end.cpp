#include "process_end.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace gym_gazebo2 {
namespace {

constexpr unsigned kExitTimeout = 2;  // [s] until SIGALRM ends a simulation that does not end, for example because it is paused

std::atomic<bool> ending{false};
std::atomic<int> num_waking{0};  // handlers that may be in wake_simulation()
std::function<void()> wake_simulation;
pid_t parent = 0;

sigset_t EndingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

int NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  return text ? std::atoi(text) : 0;
}

void OnSignal(int signal) {
  // The kernel reports the death of the thread that started us, too, while its process lives on.
  if (signal == SIGHUP && parent && getppid() == parent) return;
  ++num_waking;  // before `ending`: a thread that sees that this is true waits for the handler
  if (!ending.exchange(true)) {
    alarm(kExitTimeout);
    wake_simulation();
  }
  --num_waking;
}

}  // namespace

void BlockEndingSignals(bool block) {
  const auto set = EndingSignals();
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

void HandleEndingSignals(std::function<void()> wake) {
  wake_simulation = std::move(wake);
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  action.sa_mask = EndingSignals();
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGALRM, [](int) { _exit(0); });
  parent = NumberFromEnvironment("GYM_GAZEBO2_PARENT");
  if (!parent) return;
  sigaction(SIGHUP, &action, nullptr);
  prctl(PR_SET_PDEATHSIG, SIGHUP);
  if (getppid() != parent) raise(SIGTERM);
}

void SetEndingHandlers(sighandler_t handler) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, handler);
  // The handler runs in another thread, and wakes what the caller is about to destroy.
  while (num_waking > 0) std::this_thread::yield();
}

bool IsEnding() { return ending; }

void ReportReady() {
  const int pipe = NumberFromEnvironment("GYM_GAZEBO2_READY_FD");
  if (pipe > 2 && write(pipe, "ready\n", 6) != 6) ending = true;
}

}  // namespace gym_gazebo2
