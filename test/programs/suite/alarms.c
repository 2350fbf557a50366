// Signals that come in the middle of hot loops: no register, flag or floating-point state of the loop may be lost.
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static volatile double sink;
static volatile long double long_sink;

static void handler(int signo) {
  (void)signo;
  count++;
  // Uses everything that the loop may be using.
  long double l = 3;
  double d = 1;
  for (int i = 0; i < 20; i++) l = l / 1.5L + sqrtl(l), d = d * 1.25 + 0.5;
  char text[100], copy[100];
  memset(text, signo, sizeof text);
  memcpy(copy, text, sizeof copy);
  long_sink = l, sink = d + copy[50];
  __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15; fninit; std; cld" ::: "xmm0", "xmm7", "xmm15", "cc");
}

static uint64_t integers(void) {
  uint64_t h = 1;
  for (long i = 0; i < 2000000; i++) h = (h ^ (uint64_t)i) * 1099511628211u, h ^= h >> 29;
  return h;
}

static uint64_t flags(void) {
  uint64_t low = 1, high = 0;
  for (long i = 0; i < 1000000; i++) {
    // A carry from one instruction to the next.
    __asm__ volatile("add %2, %0; adc %1, %1; rcl $1, %0; adc $0, %1" : "+r"(low), "+r"(high) : "r"(0x9e3779b97f4a7c15u) : "cc");
  }
  return low ^ high;
}

static double doubles(void) {
  double a = 1, b = 0.5, c = 0.25;
  for (long i = 1; i < 1000000; i++) a = a * 0.999 + b, b = b + c / (double)i, c = sqrt(c + 0.01);
  return a + b + c;
}

static long double long_doubles(void) {
  long double a = 1, b = 0.5L;
  for (long i = 1; i < 150000; i++) a = a * 0.999L + b, b = b + 1 / (long double)i;
  return a + b;
}

static uint64_t strings(void) {
  static char from[100000], to[100000];
  uint64_t h = 0;
  for (int i = 0; i < 60; i++) {
    memset(from, i, sizeof from);
    char *f = from, *t = to;
    long n = sizeof from;
    __asm__ volatile("rep movsb" : "+S"(f), "+D"(t), "+c"(n) : : "memory");
    for (int j = 0; j < 100000; j += 997) h = h * 31 + (uint64_t)to[j];
  }
  return h;
}

static void every(long us) {
  struct itimerval timer = {.it_interval = {.tv_usec = us}, .it_value = {.tv_usec = us}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

#define SAME(name, format) do { \
  __typeof__(name()) quiet = name(); \
  int rounds = 0; \
  count = 0; \
  every(300); \
  __typeof__(quiet) loud; \
  int same = 1; \
  /* As often as it takes to be interrupted some times. */ \
  do loud = name(), same &= loud == quiet; while (++rounds < 2000 && count < 10); \
  every(0); \
  printf("%s " format " %s, interrupted %d\n", #name, quiet, same ? "same" : "DIFFERENT", count >= 10); \
} while (0)

static volatile sig_atomic_t profiled, virtual, nested, depth, deepest;
static void on_prof(int s) { (void)s, profiled++; }
static void on_virtual(int s) { (void)s, virtual++; }
static void on_usr1(int s) {
  (void)s;
  nested++;
  if (++depth > deepest) deepest = depth;
  if (depth < 5) raise(SIGUSR1);
  depth--;
}

static volatile int stop;
static volatile sig_atomic_t poked;
static void on_usr2(int s) { (void)s, poked++; }
static void *spin(void *unused) {
  (void)unused;
  uint64_t n = 0;
  while (!stop) n += 3;
  return (void *)(n % 3);
}

int main(void) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  SAME(integers, "%lx");
  SAME(flags, "%lx");
  SAME(doubles, "%.17g");
  SAME(long_doubles, "%.21Lg");
  SAME(strings, "%lx");

  signal(SIGPROF, on_prof);
  signal(SIGVTALRM, on_virtual);
  struct itimerval timer = {.it_interval = {.tv_usec = 2000}, .it_value = {.tv_usec = 2000}};
  setitimer(ITIMER_PROF, &timer, NULL);
  setitimer(ITIMER_VIRTUAL, &timer, NULL);
  while (profiled < 3 || virtual < 3) sink = doubles();
  printf("profiled, virtual time: came\n");
  memset(&timer, 0, sizeof timer);
  setitimer(ITIMER_PROF, &timer, NULL);
  setitimer(ITIMER_VIRTUAL, &timer, NULL);

  action.sa_handler = on_usr1;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &action, NULL);
  raise(SIGUSR1);
  printf("nested %d deepest %d\n", nested, deepest);

  timer_t id;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  timer_create(CLOCK_MONOTONIC, &event, &id);
  struct itimerspec spec = {.it_interval = {.tv_nsec = 300000}, .it_value = {.tv_nsec = 300000}};
  action.sa_handler = handler;
  sigaction(SIGALRM, &action, NULL);
  count = 0;
  timer_settime(id, 0, &spec, NULL);
  double first = doubles();
  int same = 1;
  while (count < 10) same &= doubles() == first;
  timer_delete(id);
  printf("timer_create: %s\n", same ? "same" : "DIFFERENT");

  signal(SIGUSR2, on_usr2);
  pthread_t thread;
  pthread_create(&thread, NULL, spin, NULL);
  for (int i = 0; i < 50; i++) {
    int before = poked;
    pthread_kill(thread, SIGUSR2);
    while (poked == before) sched_yield();
  }
  stop = 1;
  void *result;
  pthread_join(thread, &result);
  printf("a thread in a loop was poked %d times, %ld\n", (int)poked, (long)result);
  return 0;
}
