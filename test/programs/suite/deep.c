// The stack: how deep a recursion goes, the guard below it, an alternate stack for the signal, threads' stacks, growth.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static char alternate[65536];
static volatile char *volatile fault_at;
static volatile int on_alternate;

static void overflow(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)context;
  char here;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  fault_at = info->si_addr;
  siglongjmp(back, 1);
}

static volatile int deepest;
__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static long down(int n, char *from) {
  volatile char room[512];
  room[0] = (char)n;
  deepest = n;
  if (n == 0x7fffffff) return from - room;
  return down(n + 1, from) + room[0];
}

__attribute__((noinline)) static long fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__attribute__((noinline)) static long count(long n) {
  volatile char room[100];
  room[n % 100] = 1;
  return n == 0 ? 0 : 1 + count(n - 1) + room[n % 100] - 1;
}

static void *in_thread(void *argument) {
  stack_t stack = {.ss_sp = argument, .ss_size = 65536};
  sigaltstack(&stack, NULL);
  char here;
  if (sigsetjmp(back, 1) == 0) down(1, &here);
  printf("a thread's overflow: deep enough %d, below the start %d\n", deepest > 100, fault_at < &here);
  return NULL;
}

int main(void) {
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
  action.sa_sigaction = overflow;
  sigaction(SIGSEGV, &action, NULL);
  char here;
  for (volatile int i = 0; i < 3; i++) {
    if (sigsetjmp(back, 1) == 0) down(1, &here);
    // Some 8 MiB in frames of some 560 bytes.
    printf("overflow %d: depth in range %d, alternate stack %d, below %d\n", i, deepest > 5000 && deepest < 20000, on_alternate,
           fault_at < &here && &here - fault_at > 4 << 20);
  }
  sigaltstack(NULL, &old);
  printf("alternate stack left: %d\n", old.ss_flags == 0);
  printf("%ld %ld\n", count(40000), fibonacci(24));

  static char thread_alternate[65536];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    pthread_create(&thread, &attributes, in_thread, thread_alternate);
    pthread_join(thread, NULL);
  }
  struct rlimit limit;
  getrlimit(RLIMIT_STACK, &limit);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGSEGV, SIG_DFL);
    down(1, &here);
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  printf("without a handler: signal %d\n", WTERMSIG(status));
  pid = fork();
  if (pid == 0) {
    // A handler without a stack to run on kills.
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    down(1, &here);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  printf("with a handler, without room: signal %d\n", WTERMSIG(status));
  return 0;
}
