// Time: clocks, sleeping, timers of every kind. Only order and lower bounds: how long something takes is nobody's promise.
#include "check.h"
#include <limits.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <sys/times.h>

static int64_t ns(struct timespec time) { return time.tv_sec * 1000000000ll + time.tv_nsec; }

static int64_t now(clockid_t clock) {
  struct timespec time = {0};
  clock_gettime(clock, &time);
  return ns(time);
}

// Whether at least so many ms, less one, went by since `began`.
static int passed(int64_t began, int ms) { return now(CLOCK_MONOTONIC) - began >= (ms - 1) * 1000000ll; }

static void burn(int64_t ms) {
  int64_t end = now(CLOCK_PROCESS_CPUTIME_ID) + ms * 1000000;
  while (now(CLOCK_PROCESS_CPUTIME_ID) < end)
    for (volatile int i = 0; i < 30000; i++) {
    }
}

static void clocks(void) {
  section("clocks");
  for (int clock = -1; clock < 14; clock++) {
    // The alarm clocks are there where the hardware has one.
    if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) continue;
    struct timespec time = {-1, -1}, resolution;
    int result = clock_gettime(clock, &time), got = clock_getres(clock, &resolution);
    printf("clock %d: %s %s, valid %d\n", clock, result ? "no" : "yes", got ? "no" : "yes",
           time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
  }
  clockid_t of;
  show_error(clock_getcpuclockid(0, &of));
  show_error(clock_getcpuclockid(123456, &of));
  show_error(pthread_getcpuclockid(pthread_self(), &of));
  show(now(of) > 0);
  int64_t a = now(CLOCK_MONOTONIC), b = now(CLOCK_MONOTONIC);
  show(b >= a);
  struct timeval time;
  struct timezone zone;
  show(gettimeofday(&time, &zone));
  show(syscall(SYS_gettimeofday, 0, 0));
  show(syscall(SYS_gettimeofday, BAD, 0));
  show(syscall(SYS_gettimeofday, 0, BAD));
  printf("real time agrees: %d\n", llabs(now(CLOCK_REALTIME) / 1000000000 - time.tv_sec) <= 1);
  printf("time(2) agrees: %d\n", llabs(syscall(SYS_time, 0) - time.tv_sec) <= 1);
  show(syscall(SYS_time, BAD));
  show(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD));
  show(syscall(SYS_clock_getres, CLOCK_MONOTONIC, BAD));
  show(syscall(SYS_clock_getres, CLOCK_MONOTONIC, 0));
  show(times(0) != -1);
  show(syscall(SYS_times, BAD));
  struct tms used;
  burn(20);
  times(&used);
  printf("CPU time passed: %d %d\n", used.tms_utime + used.tms_stime >= 1, now(CLOCK_THREAD_CPUTIME_ID) >= 10000000);
}

static void sleeps(void) {
  section("sleeping");
  int64_t began = now(CLOCK_MONOTONIC);
  struct timespec time = {0, 10000000};
  show(nanosleep(&time, 0));
  printf("passed: %d\n", passed(began, 10));
  struct timespec wrong[] = {{-1, 0}, {0, -1}, {0, 1000000000}};
  for (int i = 0; i < 3; i++) show(nanosleep(&wrong[i], 0));
  show(syscall(SYS_nanosleep, BAD, 0));
  show(syscall(SYS_nanosleep, 0, 0));
  time = (struct timespec){0, 0};
  show(nanosleep(&time, 0));
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec -= 1;
  show_error(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0));
  began = now(CLOCK_MONOTONIC);
  for (int i = 0; i < 3; i++) {
    const clockid_t kinds[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    clock_gettime(kinds[i], &until);
    until.tv_nsec += 5000000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    show_error(clock_nanosleep(kinds[i], TIMER_ABSTIME, &until, 0));
  }
  printf("passed: %d\n", passed(began, 15));
  show_error(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, 0));
  show_error(clock_nanosleep(99, 0, &time, 0));
  show_error(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &time, 0));
  show_error(clock_nanosleep(CLOCK_MONOTONIC_COARSE, 0, &time, 0));
  show_error(clock_nanosleep(CLOCK_MONOTONIC, 0, BAD, 0));
  began = now(CLOCK_MONOTONIC);
  show(usleep(3000));
  show(poll(0, 0, 3));
  printf("passed: %d\n", passed(began, 6));
}

// --- timers that send signals

static volatile int count;
static volatile int64_t at[64];
static volatile int codes[64], values[64], overruns[64];

static void note(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)context;
  if (count < 64) {
    at[count] = now(CLOCK_MONOTONIC);
    codes[count] = info->si_code;
    values[count] = info->si_value.sival_int;
    overruns[count] = info->si_overrun;
  }
  count++;
}

static void await(int number) {
  while (count < number) pause();
}

static void interval_timers(void) {
  section("setitimer and alarm");
  on_signal_info(SIGALRM, note, 0);
  on_signal_info(SIGVTALRM, note, 0);
  on_signal_info(SIGPROF, note, 0);
  struct itimerval value = {{0, 5000}, {0, 10000}}, before, none = {};
  int64_t began = now(CLOCK_MONOTONIC);
  show(setitimer(ITIMER_REAL, &value, 0));
  await(3);
  printf("after %d: %d\n", 20, passed(began, 20));
  show(setitimer(ITIMER_REAL, &none, &before));
  printf("interval %ld, left at most that: %d\n", before.it_interval.tv_usec,
         before.it_value.tv_sec == 0 && before.it_value.tv_usec <= 5000);
  show(getitimer(ITIMER_REAL, &before));
  printf("disarmed: %ld %ld\n", before.it_value.tv_usec, before.it_interval.tv_usec);
  count = 0;
  value = (struct itimerval){{0, 0}, {0, 10000}};
  show(setitimer(ITIMER_VIRTUAL, &value, 0));
  burn(40);
  printf("virtual: %d\n", count);
  count = 0;
  show(setitimer(ITIMER_PROF, &value, 0));
  burn(40);
  printf("profiling: %d\n", count);
  count = 0;
  show(setitimer(3, &value, 0));
  show(getitimer(-1, &value));
  show(syscall(SYS_setitimer, ITIMER_REAL, BAD, 0));
  show(syscall(SYS_getitimer, ITIMER_REAL, BAD));
  value.it_value.tv_usec = 1000000;
  show(setitimer(ITIMER_REAL, &value, 0));
  value.it_value.tv_usec = -1;
  show(setitimer(ITIMER_REAL, &value, 0));
  show(alarm(100));
  show(alarm(3));
  show(alarm(0));
  show(alarm(0));
  // A shot in the past of a pending signal is one signal.
  mask_signals(SIG_BLOCK, SIGALRM);
  value = (struct itimerval){{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &value, 0);
  sleep_ms(20);
  setitimer(ITIMER_REAL, &none, 0);
  mask_signals(SIG_UNBLOCK, SIGALRM);
  printf("while blocked: %d\n", count);
}

static void posix_timers(void) {
  section("timer_create");
  on_signal_info(SIGRTMIN, note, 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value = {.sival_int = 31}};
  timer_t timer;
  count = 0;
  show(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec once = {{0, 0}, {0, 5000000}}, every = {{0, 3000000}, {0, 1000000}}, got, none = {};
  show(timer_settime(timer, 0, &once, 0));
  await(1);
  printf("code %d value %d overrun %d\n", codes[0], values[0], overruns[0]);
  show(timer_gettime(timer, &got));
  printf("over: %ld %ld\n", got.it_value.tv_nsec, got.it_interval.tv_nsec);
  show(timer_getoverrun(timer));
  show(timer_settime(timer, 0, &every, 0));
  await(4);
  show(timer_settime(timer, 0, &none, &got));
  printf("interval %ld, left at most that: %d\n", got.it_interval.tv_nsec, got.it_value.tv_nsec <= 3000000);

  // While its signal is pending a timer counts what it would have sent.
  every = (struct itimerspec){{0, 1000000}, {0, 1000000}};
  timer_settime(timer, 0, &every, 0);
  mask_signals(SIG_BLOCK, SIGRTMIN);
  sleep_ms(20);
  count = 0;
  mask_signals(SIG_UNBLOCK, SIGRTMIN);
  printf("queued once with an overrun: %d %d\n", count >= 1, overruns[0] >= 15);
  timer_settime(timer, 0, &none, 0);

  once.it_value = (struct timespec){0, 1};
  count = 0;
  show(timer_settime(timer, TIMER_ABSTIME, &once, 0));
  await(1);
  printf("in the past: at once\n");
  show(timer_delete(timer));
  show(timer_delete(timer));
  show(timer_gettime(timer, &got));
  show(timer_settime((timer_t)99, 0, &once, 0));
  show(timer_getoverrun((timer_t)99));

  int id = -1;
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC, 0, &id));
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC, 0, BAD));
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC, BAD, &id));
  show(syscall(SYS_timer_create, 99, 0, &id));
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, 0, &id));
  event.sigev_signo = 65;
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
  event.sigev_signo = SIGRTMIN;
  event.sigev_notify = 99;
  show(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
  struct itimerspec wrong = {{0, 0}, {0, 1000000000}};
  show(syscall(SYS_timer_settime, id, 0, &wrong, 0));
  show(syscall(SYS_timer_settime, id, 0, BAD, 0));
  show(syscall(SYS_timer_settime, id, 0, 0, 0));
  show(syscall(SYS_timer_gettime, id, BAD));
  // Without an event: SIGALRM with the timer's number.
  count = 0;
  once = (struct itimerspec){{0, 0}, {0, 1000000}};
  syscall(SYS_timer_settime, id, 0, &once, 0);
  await(1);
  printf("SIGALRM, code %d, value is the id: %d\n", codes[0], values[0] == id);
  event = (struct sigevent){.sigev_notify = SIGEV_NONE};
  show(timer_create(CLOCK_REALTIME, &event, &timer));
  once.it_value.tv_nsec = 500000000;
  show(timer_settime(timer, 0, &once, 0));
  show(timer_gettime(timer, &got));
  printf("running: %d\n", got.it_value.tv_nsec > 0);
  event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  count = 0;
  show(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
  once.it_value.tv_nsec = 10000000;
  show(timer_settime(timer, 0, &once, 0));
  burn(40);
  printf("CPU time: %d\n", count);
  count = 0;
  show(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer));
  show(timer_settime(timer, 0, &once, 0));
  burn(40);
  printf("thread's CPU time: %d\n", count);
}

static void file_timers(void) {
  section("timerfd");
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  uint64_t ticks = 0;
  show(read(fd, &ticks, 8));
  struct itimerspec every = {{0, 2000000}, {0, 4000000}}, got, none = {};
  int64_t began = now(CLOCK_MONOTONIC);
  show(timerfd_settime(fd, 0, &every, 0));
  struct pollfd wait = {fd, POLLIN, 0};
  show(poll(&wait, 1, 1000));
  printf("passed: %d\n", passed(began, 4));
  show(read(fd, &ticks, 8));
  sleep_ms(20);
  show(read(fd, &ticks, 4));
  show(read(fd, &ticks, 8));
  printf("many: %d\n", ticks >= 8);
  show(timerfd_gettime(fd, &got));
  printf("interval %ld, left at most that: %d\n", got.it_interval.tv_nsec, got.it_value.tv_nsec <= 2000000);
  show(timerfd_settime(fd, 0, &none, &got));
  show(poll(&wait, 1, 5));
  fcntl(fd, F_SETFL, 0);
  clock_gettime(CLOCK_MONOTONIC, &every.it_value);
  every.it_interval.tv_nsec = 0;
  show(timerfd_settime(fd, TFD_TIMER_ABSTIME, &every, 0));
  show(read(fd, &ticks, 8));
  show(ticks);
  show(timerfd_create(99, 0));
  show(timerfd_create(CLOCK_MONOTONIC, 0x100));
  show(timerfd_settime(fd, 99, &every, 0));
  show(timerfd_settime(1, 0, &every, 0));
  show(timerfd_settime(999, 0, &every, 0));
  show(syscall(SYS_timerfd_settime, fd, 0, BAD, 0));
  show(syscall(SYS_timerfd_gettime, fd, BAD));
  every.it_value.tv_nsec = 1000000000;
  show(timerfd_settime(fd, 0, &every, 0));
  show(write(fd, &ticks, 8));
}

static void settable(void) {
  section("setting a clock");
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  show(clock_settime(CLOCK_MONOTONIC, &time));
  differs("clock_getres");
  clock_getres(CLOCK_MONOTONIC, &time);
  printf("resolution %ld ns\n", time.tv_nsec);
}

void checks(void) {
  clocks();
  sleeps();
  interval_timers();
  posix_timers();
  file_timers();
  settable();
}
