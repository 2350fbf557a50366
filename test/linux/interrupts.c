// What a signal does to a system call that waits; job control; signals to processes with several threads and to groups.
#include "check.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <linux/futex.h>

// --- waiting calls, interrupted by a timer that goes off again and again

static volatile int ticks;
static int ends[2];
static uint32_t word;

// From the fourth tick on, what the call waits for is there: restarted calls end so.
static void tick(int signo) {
  (void)signo;
  if (++ticks < 4) return;
  int error = errno;
  if (write(ends[1], "x", 1) < 0) ticks = 1000;
  errno = error;
}

static void arm(int flags) {
  ticks = 0;
  on_signal(SIGALRM, tick, flags);
  struct itimerval every = {{0, 4000}, {0, 4000}};
  setitimer(ITIMER_REAL, &every, 0);
}

static void disarm(void) {
  struct itimerval none = {};
  setitimer(ITIMER_REAL, &none, 0);
  int left;
  while (poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 0) > 0 && read(ends[0], &left, 1) == 1) {
  }
}

#define waiting(flags, call)                          \
  do {                                                \
    arm(flags);                                       \
    errno = 0;                                        \
    long result = (long)(call);                       \
    int error = errno;                                \
    int before = ticks < 4;                           \
    disarm();                                         \
    errno = error;                                    \
    report(#flags " " #call, result);                 \
    printf("  %s\n", before ? "at once" : "restarted"); \
  } while (0)

static void *hold(void *lock) {
  pthread_mutex_lock(lock);
  sem_t *go = *(sem_t **)((char *)lock + sizeof(pthread_mutex_t));
  sem_wait(go);
  pthread_mutex_unlock(lock);
  return 0;
}

static void calls(void) {
  section("calls that wait");
  if (pipe(ends) < 0) return;
  char byte;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0) return;
  struct timespec second = {1, 0}, left;
  struct pollfd silent = {sockets[0], POLLIN, 0}, noisy = {ends[0], POLLIN, 0};
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
  sigset_t none;
  sigemptyset(&none);

  waiting(0, read(ends[0], &byte, 1));
  waiting(SA_RESTART, read(ends[0], &byte, 1));
  waiting(0, recv(sockets[0], &byte, 1, 0));
  waiting(0, poll(&noisy, 1, -1));
  waiting(SA_RESTART, poll(&noisy, 1, -1));
  waiting(SA_RESTART, poll(&silent, 1, 1000));
  waiting(SA_RESTART, ppoll(&silent, 1, &second, &none));
  waiting(SA_RESTART, epoll_wait(epoll, &event, 1, -1));
  fd_set set;
  FD_ZERO(&set);
  FD_SET(sockets[0], &set);
  waiting(SA_RESTART, select(sockets[0] + 1, &set, 0, 0, 0));
  waiting(SA_RESTART, pause());
  waiting(SA_RESTART, sigsuspend(&none));
  waiting(SA_RESTART, nanosleep(&second, &left));
  printf("  time left: %d\n", left.tv_sec == 0 && left.tv_nsec > 0);
  waiting(SA_RESTART, clock_nanosleep(CLOCK_MONOTONIC, 0, &second, &left) == EINTR);
  waiting(0, syscall(SYS_futex, &word, FUTEX_WAIT, 0, 0, 0, 0));
  waiting(SA_RESTART, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &second, 0, 0));
  waiting(0, wait4(-1, 0, WNOHANG, 0));
  pid_t sleeper = fork();
  if (sleeper == 0) {
    signal(SIGALRM, SIG_IGN);
    for (;;) pause();
  }
  waiting(0, wait4(sleeper, 0, 0, 0));
  waiting(0, waitid(P_PID, sleeper, 0, WEXITED));
  kill(sleeper, SIGKILL);
  waitpid(sleeper, 0, 0);

  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  // Without a name it gets one that is free.
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  show(bind(listener, (struct sockaddr *)&name, sizeof name.sun_family));
  listen(listener, 1);
  waiting(0, accept(listener, 0, 0));
  int counter = eventfd(0, 0);
  uint64_t value;
  waiting(0, read(counter, &value, 8));
  sigset_t usr = set_of(SIGUSR1, 0);
  sigprocmask(SIG_BLOCK, &usr, 0);
  int signals = signalfd(-1, &usr, 0);
  waiting(0, read(signals, &(struct signalfd_siginfo){}, sizeof(struct signalfd_siginfo)));
  close(signals);
  struct timeval short_time = {0, 500000};
  setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof short_time);
  waiting(SA_RESTART, recv(sockets[0], &byte, 1, 0));
  int full[2];
  if (pipe(full) < 0) return;
  fcntl(full[1], F_SETFL, O_NONBLOCK);
  static char page[65536];
  while (write(full[1], page, sizeof page) > 0) {
  }
  fcntl(full[1], F_SETFL, 0);
  waiting(0, write(full[1], page, 10));
  // Part of it went out before the signal.
  show(read(full[0], page, 8192));
  waiting(SA_RESTART, write(full[1], page, sizeof page) >= 4096);

  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  waiting(0, sem_wait(&semaphore));
  struct {
    pthread_mutex_t lock;
    sem_t *go;
  } held = {PTHREAD_MUTEX_INITIALIZER, &semaphore};
  pthread_t holder;
  pthread_create(&holder, 0, hold, &held);
  while (pthread_mutex_trylock(&held.lock) == 0) {
    pthread_mutex_unlock(&held.lock);
    sched_yield();
  }
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 20000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  mask_signals(SIG_BLOCK, SIGALRM);
  show_error(pthread_mutex_timedlock(&held.lock, &until));
  mask_signals(SIG_UNBLOCK, SIGALRM);
  sem_post(&semaphore);
  pthread_join(holder, 0);
  sem_destroy(&semaphore);
}

// --- temporary masks

static volatile int seen;

static void see(int signo) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, 0, &now);
  printf("handler of %s, SIGUSR1 %s, SIGUSR2 %s\n", signal_name(signo),
         sigismember(&now, SIGUSR1) ? "blocked" : "open", sigismember(&now, SIGUSR2) ? "blocked" : "open");
  seen++;
}

static void say_mask(const char *what) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, 0, &now);
  printf("%s: SIGUSR1 %s, SIGUSR2 %s\n", what, sigismember(&now, SIGUSR1) ? "blocked" : "open",
         sigismember(&now, SIGUSR2) ? "blocked" : "open");
}

static void temporary_masks(void) {
  section("temporary masks");
  on_signal(SIGUSR1, see, 0);
  on_signal(SIGUSR2, see, 0);
  mask_signals(SIG_BLOCK, SIGUSR1);
  mask_signals(SIG_UNBLOCK, SIGUSR2);
  sigset_t only_two = set_of(SIGUSR2, 0);
  raise(SIGUSR1);
  show(sigsuspend(&only_two));
  say_mask("after sigsuspend");
  raise(SIGUSR1);
  show(ppoll(0, 0, 0, &only_two));
  say_mask("after ppoll");
  raise(SIGUSR1);
  struct timespec none = {};
  show(ppoll(0, 0, &none, &only_two));
  say_mask("after ppoll without time");
  struct pollfd ready = {ends[1], POLLOUT, 0};
  raise(SIGUSR1);
  show(ppoll(&ready, 1, 0, &only_two));
  say_mask("after ppoll with a ready file");
  int epoll = epoll_create1(0);
  show(epoll_pwait(epoll, &(struct epoll_event){}, 1, 0, &only_two));
  show(epoll_pwait(epoll, &(struct epoll_event){}, 1, -1, &only_two));
  say_mask("after epoll_pwait");
  close(epoll);
  mask_signals(SIG_UNBLOCK, SIGUSR1);
  // No mask keeps SIGKILL and SIGSTOP away.
  pid_t pid = fork();
  sigset_t all;
  sigfillset(&all);
  if (pid == 0) _exit(syscall(SYS_ppoll, 0, 0, 0, &all, 8));
  wait_for_state(pid, pid, "S");
  kill(pid, SIGSTOP);
  int status;
  waitpid(pid, &status, WUNTRACED);
  report_status("ppoll with all signals blocked", status);
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  report_status("then", status);
}

// --- ignored signals and default actions do not interrupt

static void quiet(void) {
  section("signals that interrupt nothing");
  signal(SIGALRM, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  struct timespec time = {0, 30000000}, left = {};
  struct itimerval every = {{0, 4000}, {0, 4000}}, stop = {};
  setitimer(ITIMER_REAL, &every, 0);
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  show(nanosleep(&time, &left));
  setitimer(ITIMER_REAL, &stop, 0);
  show(waitpid(pid, 0, 0) == pid);
}

// --- SIGPIPE

static void broken(void) {
  section("SIGPIPE");
  int pair[2];
  if (pipe(pair) < 0) return;
  close(pair[0]);
  signal(SIGPIPE, SIG_IGN);
  show(write(pair[1], "x", 1));
  on_signal(SIGPIPE, see, 0);
  show(write(pair[1], "x", 1));
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0) return;
  close(sockets[0]);
  show(send(sockets[1], "x", 1, MSG_NOSIGNAL));
  show(send(sockets[1], "x", 1, 0));
  signal(SIGPIPE, SIG_DFL);
  pid_t pid = fork();
  if (pid == 0) _exit(write(pair[1], "x", 1) + 1);
  int status;
  waitpid(pid, &status, 0);
  report_status("writer", status);
}

// --- children: SIGCHLD's flags, stop and continue

static volatile int children_told;

static void told_of_child(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)context;
  static const char *codes[] = {"?", "exited", "killed", "dumped", "trapped", "stopped", "continued"};
  printf("SIGCHLD: %s %d\n", codes[info->si_code], info->si_status);
  children_told++;
}

static pid_t waiter(void) {
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGTERM, SIG_DFL);
    for (;;) pause();
  }
  return pid;
}

static void await_told(int count) {
  while (children_told < count) sleep_ms(1);
}

static void wait_and_say(pid_t pid, int options) {
  int status = -1;
  pid_t got = waitpid(pid, &status, options);
  if (got == pid) report_status("waitpid", status);
  else report("waitpid", got);
}

static void say_info(pid_t pid, int options) {
  siginfo_t info = {.si_pid = 77};
  int result = waitid(P_PID, pid, &info, options);
  if (result < 0) report("waitid", result);
  else if (info.si_pid == 0) printf("waitid: nobody\n");
  else
    printf("waitid: %s, signo %d, code %d, status %d\n",
           info.si_pid == pid && info.si_uid == getuid() ? "the child" : "another", info.si_signo, info.si_code,
           info.si_status);
}

static void jobs(void) {
  section("stop and continue");
  on_signal_info(SIGCHLD, told_of_child, SA_RESTART);
  children_told = 0;
  pid_t pid = waiter();
  say_info(pid, WSTOPPED | WEXITED | WCONTINUED | WNOHANG);
  kill(pid, SIGSTOP);
  await_told(1);
  wait_and_say(pid, WNOHANG);
  say_info(pid, WSTOPPED | WNOWAIT);
  wait_and_say(pid, WUNTRACED);
  wait_and_say(pid, WUNTRACED | WNOHANG);
  kill(pid, SIGTERM);
  wait_and_say(pid, WNOHANG);
  // The continuation is told and the pending SIGTERM ends it: how many SIGCHLD that makes is a race.
  mask_signals(SIG_BLOCK, SIGCHLD);
  kill(pid, SIGCONT);
  int status;
  while (waitpid(pid, &status, 0) != pid) {
  }
  report_status("after SIGCONT", status);
  on_signal(SIGCHLD, SIG_IGN, 0);
  mask_signals(SIG_UNBLOCK, SIGCHLD);

  on_signal_info(SIGCHLD, told_of_child, SA_NOCLDSTOP | SA_RESTART);
  children_told = 0;
  pid = waiter();
  kill(pid, SIGSTOP);
  say_info(pid, WSTOPPED);
  kill(pid, SIGCONT);
  say_info(pid, WCONTINUED);
  kill(pid, SIGTSTP);
  // Its process group has nobody to continue it (it is orphaned): SIGTSTP does not stop it.
  kill(pid, SIGTERM);
  await_told(1);
  wait_and_say(pid, WUNTRACED);
  printf("told %d times with SA_NOCLDSTOP\n", children_told);
  on_signal(SIGCHLD, SIG_DFL, 0);

  // In a group of its own, which its parent looks after, it does.
  pid = waiter();
  setpgid(pid, pid);
  for (int i = 0; i < 3; i++) {
    kill(pid, (int[]){SIGTSTP, SIGTTIN, SIGTTOU}[i]);
    wait_and_say(pid, WUNTRACED);
    kill(pid, SIGCONT);
    wait_and_say(pid, WCONTINUED);
  }
  kill(pid, SIGSTOP);
  wait_and_say(pid, WUNTRACED);
  kill(pid, SIGKILL);
  wait_and_say(pid, WUNTRACED);

  section("children nobody waits for");
  signal(SIGCHLD, SIG_IGN);
  pid = fork();
  if (pid == 0) _exit(3);
  wait_and_say(pid, 0);
  on_signal_info(SIGCHLD, told_of_child, SA_NOCLDWAIT);
  children_told = 0;
  pid = fork();
  if (pid == 0) _exit(4);
  // The handler ends the wait, or the child is gone by then.
  int result = waitpid(pid, &status, 0);
  printf("%s\n", result == -1 && (errno == ECHILD || errno == EINTR) ? "nothing to wait for" : "a zombie");
  await_told(1);
  on_signal(SIGCHLD, SIG_DFL, 0);
}

// SIGCONT continues and SIGSTOP stops a process whatever else is pending; each discards the other.
static void discards(void) {
  section("stop signals and SIGCONT discard each other");
  mask_signals(SIG_BLOCK, SIGTSTP);
  mask_signals(SIG_BLOCK, SIGCONT);
  sigset_t pending;
  raise(SIGTSTP);
  sigpending(&pending);
  printf("TSTP %d CONT %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
  on_signal(SIGCONT, see, 0);
  raise(SIGCONT);
  sigpending(&pending);
  printf("TSTP %d CONT %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
  raise(SIGTSTP);
  sigpending(&pending);
  printf("TSTP %d CONT %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
  raise(SIGCONT);
  mask_signals(SIG_UNBLOCK, SIGTSTP);
  mask_signals(SIG_UNBLOCK, SIGCONT);
}

// --- process groups

static void group(void) {
  section("kill(-pgid)");
  pid_t leader = 0, members[3];
  for (int i = 0; i < 3; i++) {
    members[i] = waiter();
    if (i == 0) leader = members[0];
    show(setpgid(members[i], leader));
  }
  show(getpgid(members[2]) == leader);
  show(kill(-leader, 0));
  kill(-leader, SIGTERM);
  for (int i = 0; i < 3; i++) wait_and_say(members[i], 0);
  show(kill(-leader, 0));
  show(waitpid(-leader, 0, 0));
}

// --- several threads

static volatile pid_t taker;
static sem_t ready, done;

static void note_taker(int signo) {
  (void)signo;
  taker = gettid();
  sem_post(&done);
}

static void *open_thread(void *tid) {
  *(pid_t *)tid = gettid();
  mask_signals(SIG_UNBLOCK, SIGUSR1);
  sem_post(&ready);
  while (taker == 0) pause();
  return 0;
}

static volatile int stop_threads;

static void *spin(void *unused) {
  sem_post(&ready);
  while (!stop_threads) sched_yield();
  return unused;
}

static void *exit_later(void *unused) {
  sleep_ms(5);
  syscall(SYS_exit, 9);
  return unused;
}

static void main_leaves(void) {
  pthread_t thread;
  pthread_create(&thread, 0, exit_later, 0);
  syscall(SYS_exit, 4);
}

static void *crash(void *unused) {
  *(volatile int *)16 = 1;
  return unused;
}

static void thread_crashes(void) {
  pthread_t thread;
  pthread_create(&thread, 0, crash, 0);
  for (;;) pause();
}

static void *exit_now(void *unused) {
  exit(6);
  return unused;
}

static void thread_exits(void) {
  pthread_t thread;
  pthread_create(&thread, 0, exit_now, 0);
  for (;;) pause();
}

static void stop_many(void) {
  pthread_t thread;
  pthread_create(&thread, 0, spin, 0);
  kill(getpid(), SIGSTOP);
  stop_threads = 1;
  pthread_join(thread, 0);
  _exit(5);
}

static void several(void) {
  section("several threads");
  sem_init(&ready, 0, 0);
  sem_init(&done, 0, 0);
  on_signal(SIGUSR1, note_taker, 0);
  mask_signals(SIG_BLOCK, SIGUSR1);
  pid_t tid;
  pthread_t thread;
  pthread_create(&thread, 0, open_thread, &tid);
  sem_wait(&ready);
  kill(getpid(), SIGUSR1);
  sem_wait(&done);
  printf("taken by the thread that does not block it: %d\n", taker == tid);
  pthread_join(thread, 0);
  // To one thread only: pending for it, not for another.
  pthread_kill(pthread_self(), SIGUSR1);
  sigset_t pending;
  sigpending(&pending);
  printf("pending for me: %d\n", sigismember(&pending, SIGUSR1));
  taker = 0;
  pthread_create(&thread, 0, open_thread, &tid);
  sem_wait(&ready);
  printf("not taken by another: %d\n", taker == 0);
  pthread_kill(thread, SIGUSR1);
  pthread_join(thread, 0);
  printf("by the one it was sent to: %d\n", taker == tid);
  sem_wait(&done);
  mask_signals(SIG_UNBLOCK, SIGUSR1);
  printf("then by me: %d\n", taker == gettid());
  in_child("the first thread exits", main_leaves);
  in_child("a thread crashes", thread_crashes);
  in_child("a thread calls exit", thread_exits);
  pid_t pid = fork();
  if (pid == 0) stop_many();
  wait_and_say(pid, WUNTRACED);
  kill(pid, SIGCONT);
  wait_and_say(pid, 0);
}

void checks(void) {
  calls();
  temporary_masks();
  quiet();
  broken();
  jobs();
  discards();
  group();
  several();
}
