// Calls that only look, again and again, while timers run out, threads and processes take turns, and code is written over.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile struct timespec seen;
static volatile int64_t rang_at;

static int64_t seen_us(void) { return seen.tv_sec * 1000000ll + seen.tv_nsec / 1000; }

static int64_t look(int clock) {
  syscall(SYS_clock_gettime, clock, &seen);
  return seen_us();
}

static void ring(int signo) { rang_at = seen_us(); }

// The signal comes behind the call that sees its time, not behind a later one.
static void timer(int which, int clock, int signo) {
  signal(signo, ring);
  for (int i = 0; i < 5; i++) {
    rang_at = 0;
    int64_t us = 700 + 150 * i, before = look(clock);
    struct itimerval value = {.it_value = {0, us}};
    setitimer(which, &value, 0);
    int64_t after = look(clock), last = before, now = after;
    int calls = 0;
    while (rang_at == 0) {
      last = now;
      now = look(clock);
      calls++;
      if (syscall(SYS_getpid) != getpid()) return;
    }
    // Those on CPU time are looked at when the clock is, which a CPU clock does not do.
    int is_early = now < before + us, is_late = rang_at != now || (which == ITIMER_REAL && last >= after + us);
    printf("timer %d: early %d, late %d, many calls %d\n", which, is_early, is_late, calls > 100);
  }
}

static void *poll_clock(void *argument) {
  uint64_t sum = 0;
  for (int i = 0; i < 1500; i++) sum += look(CLOCK_MONOTONIC) != 0 && syscall(SYS_gettid) != 0;
  return (void *)sum;
}

static void threads(void) {
  pthread_t other[3];
  uint64_t sum = 0;
  for (int i = 0; i < 3; i++) pthread_create(&other[i], 0, poll_clock, 0);
  sum += (uint64_t)poll_clock(0);
  for (int i = 0; i < 3; i++) {
    void *result;
    pthread_join(other[i], &result);
    sum += (uint64_t)result;
  }
  printf("threads: %lu\n", (unsigned long)sum);
}

// Parent and child give each other the word in memory that both have.
static void shared(void) {
  volatile int *turn = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  volatile struct timespec *time = (void *)(turn + 1024 - 2);
  pid_t child = fork();
  int me = child == 0;
  for (int i = 0; i < 20; i++) {
    while (*turn % 2 != me) syscall(SYS_getppid);
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, time);
    ++*turn;
  }
  if (child == 0) _exit(0);
  waitpid(child, 0, 0);
  printf("shared: %d\n", *turn);
}

// time(2) into the instruction behind it, which is in a function called by one that is written over by the next.
static void code(void) {
  static const uint8_t text[] = {
      0xb8, 201, 0, 0, 0,                           // mov eax, SYS_time
      0x48, 0x8d, 0x3d, 4, 0, 0, 0,                 // lea rdi, [rip + 4]
      0x0f, 0x05,                                   // syscall
      0x48, 0xba, 1, 0, 0, 0, 0, 0, 0, 0,           // mov rdx, 1
      0x48, 0x29, 0xd0,                             // sub rax, rdx
      0xc3,                                         // ret
      0x90, 0x90, 0x90, 0x90,                       //
      0xe8, 0xdb, 0xff, 0xff, 0xff,                 // call to the beginning
      0x48, 0xba, 1, 0, 0, 0, 0, 0, 0, 0,           // mov rdx, 1
      0x48, 0x01, 0xd0,                             // add rax, rdx
      0xc3,
  };
  uint8_t *at = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(at, text, sizeof text);
  long (*inner)(void) = (void *)at, (*outer)(void) = (void *)(at + 32);
  // The callee's call writes the caller's number.
  static const int to_caller = 39 - 12;
  long wrong = 0;
  for (int i = 0; i < 300; i++) {
    int32_t distance = i % 3 == 0 ? to_caller : 4;
    memcpy(at + 8, &distance, 4);
    memset(at + 16, 0, 8);
    memset(at + 39, 0, 8);
    long now = syscall(SYS_time, 0), result = i % 2 ? outer() : inner();
    long expected = i % 3 == 0 ? (i % 2 ? 2 * now : now) : 0;
    wrong += result - expected < -1 || result - expected > 1;
  }
  printf("code: %ld wrong\n", wrong);
}

int main(void) {
  timer(ITIMER_REAL, CLOCK_MONOTONIC, SIGALRM);
  timer(ITIMER_VIRTUAL, CLOCK_PROCESS_CPUTIME_ID, SIGVTALRM);
  threads();
  shared();
  code();
  return 0;
}
