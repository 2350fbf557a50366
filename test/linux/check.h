// What the programs of this folder share. They print what they observe, never a pid, a time or an address, so that the
// output is the same on Linux and in the machine; what must differ stands under a heading of its own (`differs`).
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// An address at which nothing is ever mapped, and one that no 64-bit process may use.
#define BAD ((void *)0x1000)
#define FAR ((void *)0x800000000000)

// A heading; test/linux-differential.test.ts shows it with a difference.
static inline void section(const char *name) { printf("\n# %s\n", name); }

// What follows, to the next heading, is not compared: `limit` names the entry of docs/limits.md that says why.
static inline void differs(const char *limit) { printf("\n# differs: %s\n", limit); }

static inline void report(const char *what, long result) {
  if (result == -1) printf("%s: %s\n", what, strerrorname_np(errno));
  else printf("%s = %ld\n", what, result);
}

// Prints a call with its result, or the name of its error.
#define show(call) (errno = 0, report(#call, (long)(call)))
// The same for a call that returns a pointer: the pointer is not shown.
#define show_pointer(call) (errno = 0, report(#call, (long)(call) == -1 ? -1 : 0))
// For calls that return an error number.
#define show_error(call) report_error(#call, call)

static inline void report_error(const char *what, int error) {
  printf("%s: %s\n", what, error == 0 ? "ok" : strerrorname_np(error));
}

static inline const char *signal_name(int signo) {
  static char text[24];
  if (signo >= SIGRTMIN) snprintf(text, sizeof text, "RTMIN+%d", signo - SIGRTMIN);
  else snprintf(text, sizeof text, "%s", sigabbrev_np(signo) ? sigabbrev_np(signo) : "?");
  return text;
}

static inline void report_status(const char *what, int status) {
  if (WIFEXITED(status)) printf("%s: exit %d\n", what, WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) printf("%s: killed by %s\n", what, signal_name(WTERMSIG(status)));
  else if (WIFSTOPPED(status)) printf("%s: stopped by %s\n", what, signal_name(WSTOPSIG(status)));
  else if (WIFCONTINUED(status)) printf("%s: continued\n", what);
  else printf("%s: status %x\n", what, status);
}

// Runs a function in a child and says how it ended.
static inline void in_child(const char *what, void (*act)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    act();
    _exit(0);
  }
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  report_status(what, status);
}

static inline void on_signal(int signo, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  sigaction(signo, &action, 0);
}

static inline void on_signal_info(int signo, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
  sigaction(signo, &action, 0);
}

static inline sigset_t set_of(int first, ...) {
  sigset_t set;
  sigemptyset(&set);
  __builtin_va_list rest;
  __builtin_va_start(rest, first);
  for (int signo = first; signo != 0; signo = __builtin_va_arg(rest, int)) sigaddset(&set, signo);
  __builtin_va_end(rest);
  return set;
}

static inline void mask_signals(int how, int signo) {
  sigset_t set = set_of(signo, 0);
  pthread_sigmask(how, &set, 0);
}

static inline void sleep_ms(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&time, &time) < 0) {
  }
}

// Another thread's or process's state in /proc/PID/stat; waits until it is one of `states`.
static inline void wait_for_state(pid_t pid, pid_t tid, const char *states) {
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
  for (;;) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    ssize_t size = read(fd, line, sizeof line - 1);
    close(fd);
    if (size <= 0) return;
    line[size] = 0;
    char *state = strrchr(line, ')') + 2;
    if (strchr(states, *state)) return;
    sleep_ms(1);
  }
}

void checks(void);

// The checks run in a session of their own, under a process that inherits their orphans: the same on Linux, where there
// is an init above it all, and in the machine, where the program is the first process.
int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid();
    // Whatever a test's runner left open or ignored.
    close_range(3, ~0u, 0);
    for (int signo = 1; signo < SIGRTMIN; signo++) signal(signo, SIG_DFL);
    checks();
    exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  printf("killed by %s\n", signal_name(WTERMSIG(status)));
  return 99;
}
