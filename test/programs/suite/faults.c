// Signals that instructions raise: what siginfo and the context say, handlers that repair and return, or that skip.
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096
static sigjmp_buf back;
static volatile int seen_signo, seen_code;
static void *volatile seen_address;
static volatile uintptr_t seen_rip;
static volatile long seen_trap, seen_error;

static void note(int signo, siginfo_t *info, void *context) {
  mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
  seen_signo = signo;
  seen_code = info->si_code;
  seen_address = info->si_addr;
  seen_rip = m->gregs[REG_RIP];
  seen_trap = m->gregs[REG_TRAPNO];
  seen_error = m->gregs[REG_ERR];
  siglongjmp(back, 1);
}

static void catch (int signo, void (*handler)(int, siginfo_t *, void *)) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};
  action.sa_sigaction = handler;
  sigaction(signo, &action, NULL);
}

#define TRY(what, ...) \
  do { \
    seen_signo = 0; \
    if (sigsetjmp(back, 1) == 0) { \
      __VA_ARGS__; \
    } \
    printf("%s: signal %d code %d trap %ld error %ld\n", what, seen_signo, seen_code, seen_trap, seen_error); \
  } while (0)

static char *repaired;
static volatile int repairs;
static void repair(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)context;
  repairs++;
  char *page = (char *)((uintptr_t)info->si_addr & -PAGE);
  mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

// Steps over `ud2` (2 bytes), `int3` has been stepped over already.
static volatile int skipped;
static void skip(int signo, siginfo_t *info, void *context) {
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  skipped++;
  if (signo == SIGILL) {
    if (info->si_addr != (void *)regs[REG_RIP]) printf("si_addr is not RIP\n");
    regs[REG_RIP] += 2;
    regs[REG_RAX] += 5;
  }
}

// A division by zero gets another divisor and is tried again.
static void divisor(int signo, siginfo_t *info, void *context) {
  (void)signo;
  greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (info->si_addr != (void *)regs[REG_RIP]) printf("si_addr is not RIP\n");
  regs[REG_RCX] = 7;
}

static volatile double dzero = 0, done = 1, dbig = 1e308, dtiny = 1e-308;
static volatile long double lzero = 0, lone = 1;
static volatile int izero = 0, imin = INT32_MIN, iminus = -1;
static volatile double dsink;
static volatile int isink;

static void ends(const char *what, void (*act)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    act();
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "killed by" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}
static void by_null(void) { *(volatile int *)0 = 1; }
static void by_ud2(void) { __asm__ volatile("ud2"); }
static void by_int3(void) { __asm__ volatile("int3"); }
static void by_division(void) { isink = 10 / izero; }
static void by_abort(void) { abort(); }
static void by_privileged(void) { __asm__ volatile("hlt"); }
static void by_jump(void) { ((void (*)(void))8)(); }

int main(void) {
  int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (int i = 0; i < 5; i++) catch (signals[i], note);

  char *pages = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // Present: whether it is, the error code tells.
  memset(pages, 1, 3 * PAGE);
  mprotect(pages + PAGE, PAGE, PROT_READ);
  mprotect(pages + 2 * PAGE, PAGE, PROT_NONE);
  TRY("write to null", *(volatile int *)0 = 1);
  TRY("read of null", isink = *(volatile int *)16);
  printf("  at %p\n", seen_address);
  TRY("write to a read-only page", pages[PAGE + 5] = 1);
  printf("  at %ld\n", (long)((char *)seen_address - pages));
  TRY("read of no access", isink = pages[2 * PAGE + 9]);
  printf("  at %ld\n", (long)((char *)seen_address - pages));
  TRY("a write across into the read-only page", *(volatile long *)(pages + PAGE - 3) = -1);
  printf("  at %ld, before it: %d\n", (long)((char *)seen_address - pages), pages[PAGE - 3]);
  TRY("not canonical", *(volatile int *)0x8000000000000000 = 1);
  printf("  at %p\n", seen_address);
  TRY("far, read", isink = *(volatile int *)0x7ffffffff000);
  TRY("the kernel's half", isink = *(volatile int *)0xffffffff80000000);
  printf("  at %p\n", seen_address);
  pages[3 * PAGE] = (char)0xc3;
  TRY("execution of data", ((void (*)(void))(pages + 3 * PAGE))());
  printf("  at %ld, rip %ld\n", (long)((char *)seen_address - pages), (long)(seen_rip - (uintptr_t)pages));
  TRY("a jump to null", ((void (*)(void))(long)izero)());
  printf("  at %p, rip %lx\n", seen_address, (long)seen_rip);
  TRY("a jump beyond canonical", __asm__ volatile("jmp *%0" : : "r"(0x1234000000000000)));
  TRY("hlt", __asm__ volatile("hlt"));
  printf("  at %p\n", seen_address);
  TRY("misaligned movaps", __asm__ volatile("movaps %%xmm0, (%0)" : : "r"(pages + 8) : "memory"));
  printf("  at %p\n", seen_address);
  TRY("ud2", __asm__ volatile("ud2"));
  printf("  at rip: %d\n", seen_address == (void *)seen_rip);
  TRY("int3", __asm__ volatile("int3"));
  printf("  at %p\n", seen_address);
  TRY("int $3 in two bytes", __asm__ volatile(".byte 0xcd, 3"));
  TRY("int $0x20", __asm__ volatile("int $0x20"));
  TRY("icebp", __asm__ volatile(".byte 0xf1"));
  TRY("integer / 0", isink = 10 / izero);
  printf("  at rip: %d\n", seen_address == (void *)seen_rip);
  TRY("INT_MIN / -1", isink = imin / iminus);
  TRY("INT_MIN % -1", isink = imin % iminus);
  TRY("a quotient too large", __asm__ volatile("div %%rcx" : : "a"(0L), "d"(5L), "c"(3L)));
  TRY("a wide division that fits", __asm__ volatile("mov $1, %%edx; mov $5, %%eax; mov $3, %%ecx; div %%ecx" ::: "eax", "edx", "ecx"));

  feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW | FE_INEXACT);
#define FP(what, ...) \
  TRY(what, feclearexcept(FE_ALL_EXCEPT); feenableexcept(FE_ALL_EXCEPT); __VA_ARGS__; __asm__ volatile("fwait")); \
  fedisableexcept(FE_ALL_EXCEPT); \
  feclearexcept(FE_ALL_EXCEPT)
  FP("double / 0", dsink = done / dzero);
  printf("  at rip: %d\n", seen_address == (void *)seen_rip);
  FP("0 / 0", dsink = dzero / dzero);
  FP("overflow", dsink = dbig * dbig);
  FP("underflow", dsink = dtiny * dtiny);
  FP("inexact", dsink = done / 3);
  FP("exact", dsink = done / 2);
  FP("long double / 0", lzero = lone / lzero);
  lzero = 0;
  FP("long double 0 / 0", lzero = lzero / lzero);
  lzero = 0;
  FP("long double inexact", lone = lone / 3);
  FP("a conversion that does not fit", isink = (int)dbig);

  // A mapping longer than its file.
  char name[] = "/tmp/faults-XXXXXX";
  int fd = mkstemp(name);
  unlink(name);
  if (ftruncate(fd, 100)) return 1;
  char *file = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  TRY("within the file's last page", isink = file[4000]);
  TRY("beyond the file", isink = file[PAGE + 7]);
  printf("  at %ld\n", (long)((char *)seen_address - file));
  TRY("a write beyond the file", file[2 * PAGE] = 1);

  // Repairs: the same instruction is executed again, once for every page, also where one instruction touches several.
  catch (SIGSEGV, repair);
  repaired = mmap(NULL, 256 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 100; i++) repaired[i * PAGE + i] = (char)i;
  printf("repairs %d\n", repairs);
  int sum = 0;
  for (int i = 0; i < 100; i++) sum += repaired[i * PAGE + i];
  printf("sum %d repairs %d\n", sum, repairs);
  char *from = repaired + 100 * PAGE, *to = repaired + 120 * PAGE + 100;
  long length = 5 * PAGE;
  __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(length) : : "memory");
  printf("rep movsb: %ld %ld %ld repairs %d\n", (long)(from - repaired), (long)(to - repaired), length, repairs);
  long *straddle = (long *)(repaired + 131 * PAGE - 4);
  *straddle = 0x1122334455667788;
  printf("straddle %lx repairs %d\n", *straddle, repairs);
  memset(repaired + 140 * PAGE, 7, 10 * PAGE);
  printf("memset repairs %d\n", repairs);
  __atomic_fetch_add((long *)(repaired + 160 * PAGE), 5, __ATOMIC_SEQ_CST);
  __asm__ volatile("push %0; pop %%rax" : : "m"(*(long *)(repaired + 170 * PAGE)) : "rax");
  __asm__ volatile("movups %%xmm0, (%0); fstpt (%1)" : : "r"(repaired + 180 * PAGE - 8), "r"(repaired + 190 * PAGE - 5) : "memory");
  printf("others repairs %d\n", repairs);

  // Written again and again, with the protection put back.
  for (int i = 0; i < 2000; i++) {
    mprotect(repaired, PAGE, PROT_READ);
    repaired[i] = (char)i;
  }
  printf("again repairs %d\n", repairs);

  catch (SIGILL, skip);
  catch (SIGTRAP, skip);
  long total = 0;
  for (int i = 0; i < 500; i++) {
    long rax = i;
    __asm__ volatile("ud2; int3" : "+a"(rax));
    total += rax;
  }
  printf("skipped %d total %ld\n", skipped, total);

  catch (SIGFPE, divisor);
  long quotients = 0;
  for (long i = 0; i < 300; i++) {
    long rax = i * 100, rdx = 0, rcx = i % 3;
    __asm__ volatile("idiv %%rcx" : "+a"(rax), "+d"(rdx), "+c"(rcx));
    quotients += rax * 10 + rdx;
  }
  printf("quotients %ld\n", quotients);

  for (int i = 0; i < 5; i++) signal(signals[i], SIG_DFL);
  ends("null", by_null);
  ends("ud2", by_ud2);
  ends("int3", by_int3);
  ends("division", by_division);
  ends("abort", by_abort);
  ends("hlt", by_privileged);
  ends("jump", by_jump);
  // A blocked or ignored signal of an instruction kills all the same.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  ends("null, blocked", by_null);
  sigprocmask(SIG_UNBLOCK, &all, NULL);
  signal(SIGFPE, SIG_IGN);
  ends("division, ignored", by_division);
  return 0;
}
