// Control that leaves its function another way: setjmp and longjmp, out of signal handlers too, and contexts (ucontext).
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static jmp_buf plain;
static sigjmp_buf with_mask;

static int deep(int n) {
  volatile char room[64];
  memset((char *)room, n, sizeof room);
  if (n == 0) longjmp(plain, 42);
  return deep(n - 1) + room[3];
}

static void segv(int signo) { siglongjmp(with_mask, signo); }
static void without_mask(int signo) { longjmp(plain, signo); }
static volatile sig_atomic_t alarms;
static void alarm_jump(int signo) {
  (void)signo;
  alarms++;
  siglongjmp(with_mask, 1);
}

static int blocked(int signo) {
  sigset_t set;
  sigprocmask(SIG_BLOCK, NULL, &set);
  return sigismember(&set, signo);
}

static ucontext_t main_context, contexts[3];
static char stacks[3][65536];
static int turns;

static void worker(int id, int count) {
  double x = id + 0.5;
  for (int i = 0; i < count; i++) {
    x = x * 1.5 + i;
    printf("worker %d step %d %.4f\n", id, i, x);
    turns++;
    swapcontext(&contexts[id], &main_context);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < 5; i++) {
    volatile int kept = i * 10;
    int from = setjmp(plain);
    if (from == 0) deep(100 + i);
    printf("round %d: %d, kept %d\n", i, from, kept);
  }
  if (setjmp(plain) == 0) longjmp(plain, 0);
  else printf("longjmp(…, 0) is 1\n");

  struct sigaction action = {.sa_handler = segv};
  sigaction(SIGSEGV, &action, NULL);
  int caught = 0;
  for (volatile int i = 0; i < 1000; i++) {
    if (sigsetjmp(with_mask, 1) == 0) *(volatile int *)(long)(i * 4) = 1;
    else caught++;
  }
  printf("%d faults, blocked now: %d\n", caught, blocked(SIGSEGV));
  if (sigsetjmp(with_mask, 0) == 0) *(volatile int *)8 = 1;
  printf("no mask was saved, so it stays blocked: %d\n", blocked(SIGSEGV));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSEGV);
  sigprocmask(SIG_UNBLOCK, &set, NULL);

  action.sa_handler = without_mask;
  action.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &action, NULL);
  for (volatile int i = 0; i < 3; i++) {
    int from = setjmp(plain);
    if (from == 0) raise(SIGUSR1);
    printf("from %d\n", from);
  }

  // A hot loop that only a jump out of the timer's handler ends.
  action.sa_handler = alarm_jump;
  action.sa_flags = 0;
  sigaction(SIGALRM, &action, NULL);
  for (volatile int i = 0; i < 20; i++) {
    if (sigsetjmp(with_mask, 1) == 0) {
      struct itimerval soon = {.it_value = {.tv_usec = 500}};
      setitimer(ITIMER_REAL, &soon, NULL);
      for (volatile unsigned long n = 0;; n++) {
      }
    }
  }
  printf("alarms %d\n", (int)alarms);

  for (int i = 0; i < 3; i++) {
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = stacks[i];
    contexts[i].uc_stack.ss_size = sizeof stacks[i];
    contexts[i].uc_link = &main_context;
    makecontext(&contexts[i], (void (*)(void))worker, 2, i, 3);
  }
  for (int round = 0; round < 3; round++)
    for (int i = 0; i < 3; i++) swapcontext(&main_context, &contexts[i]);
  printf("turns %d\n", turns);

  volatile int times = 0;
  ucontext_t again;
  getcontext(&again);
  if (++times < 5) setcontext(&again);
  printf("setcontext came back %d times\n", times);
  return 0;
}
