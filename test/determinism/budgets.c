// What an instruction count could get wrong: string instructions that are many in one, calls deep enough to leave the
// compiled stack, floats, x87, faults and signals, code that is written and run, threads of other processes.
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char from[6000], to[6000];
static volatile int signals;
static sigjmp_buf back;

static void on_signal(int signo) {
  signals++;
  if (signo == SIGSEGV || signo == SIGFPE) siglongjmp(back, 1);
}

__attribute__((noinline)) static unsigned long strings(unsigned long n) {
  void *d = to, *s = from;
  unsigned long c = n;
  __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(c)::"memory");
  c = 4000, d = to;
  __asm__ volatile("repne scasb" : "+D"(d), "+c"(c) : "a"(7) : "cc", "memory");
  unsigned long q = 300;
  void *e = to + 1024;
  __asm__ volatile("rep stosq" : "+D"(e), "+c"(q) : "a"(n * 0x0101010101010101ul) : "memory");
  return c + strlen(to);
}

__attribute__((noinline)) static unsigned long depth(unsigned long n) { return n == 0 ? 1 : depth(n - 1) * 3 + n; }

__attribute__((noinline)) static int written(int n) {
  static unsigned char *code;
  if (!code) code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned char bytes[] = {0x8d, 0x87, n, 0, 0, 0, 0xc3}; // lea eax, [rdi + n]; ret
  memcpy(code, bytes, sizeof bytes);
  return ((int (*)(int))code)(n);
}

int main(void) {
  double sum = 0;
  long double wide = 1;
  unsigned long h = 1;
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGFPE, &action, 0);
  for (int i = 0; i < (int)sizeof from; i++) from[i] = i * 7 % 251 + 1;
  for (int i = 1; i <= 40; i++) {
    h = h * 31 + strings(100 * i % 5000);
    h = h * 31 + depth(i * 17);
    h = h * 31 + written(i);
    sum += sqrt(i) * sin(i) / 3;
    wide = wide * 1.0000001L + 1 / (long double)i;
    if (i % 5 == 0) raise(SIGUSR1);
    if (i % 8 == 0 && !sigsetjmp(back, 1)) *(volatile int *)(long)(i * 8) = 1;
    if (i % 9 == 0 && !sigsetjmp(back, 1)) h += 100 / (signals - signals);
    if (i % 20 == 0) {
      int status;
      pid_t child = fork();
      if (child == 0) _exit(depth(300) & 63);
      waitpid(child, &status, 0);
      h = h * 31 + WEXITSTATUS(status);
    }
  }
  printf("%lx %.17g %.18Lg %d\n", h, sum, wide, signals);
  return 0;
}
