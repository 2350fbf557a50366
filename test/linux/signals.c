// Signals: what handlers are told, what is masked while they run, in which order signals come, which stack they use.
#include "check.h"
#include <setjmp.h>
#include <sys/signalfd.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

// --- a log that handlers may write

static char told[4096];
static volatile int told_length;

static void tell(const char *text) {
  int length = strlen(text);
  memcpy(told + told_length, text, length + 1);
  told_length += length;
}

static void tell_number(const char *name, long value) {
  char text[80];
  char *end = text + sizeof text - 1, *at = end;
  unsigned long rest = value < 0 ? -value : value;
  *at = 0;
  do *--at = '0' + rest % 10;
  while ((rest /= 10) != 0);
  if (value < 0) *--at = '-';
  tell(name);
  tell(at);
}

static void flush_told(const char *what) {
  printf("%s:%s\n", what, told_length == 0 ? " nothing" : told);
  told_length = 0;
  told[0] = 0;
}

static void note(int signo) { tell_number(" ", signo >= SIGRTMIN ? 1000 + signo - SIGRTMIN : signo); }

// --- siginfo

static pid_t self, child;

static void note_info(int signo, siginfo_t *info, void *context) {
  (void)context;
  note(signo);
  tell_number(" code ", info->si_code);
  tell_number(" errno ", info->si_errno);
  if (info->si_code == SI_TIMER) {
    tell_number(" overrun ", info->si_overrun > 1000 ? 1000 : 0);
    tell_number(" value ", info->si_value.sival_int);
  } else if (signo == SIGCHLD && info->si_code > 0) {
    tell(info->si_pid == child ? " from the child" : " from another");
    tell(info->si_uid == getuid() ? "" : " of another user");
    tell_number(" status ", info->si_status);
  } else if (info->si_code <= 0) {
    tell(info->si_pid == self ? " from myself" : info->si_pid == child ? " from the child" : " from another");
    tell(info->si_uid == getuid() ? "" : " of another user");
    if (info->si_code == SI_QUEUE) tell_number(" value ", info->si_value.sival_int);
  }
}

static void codes(void) {
  section("si_code");
  self = getpid();
  on_signal_info(SIGUSR1, note_info, 0);
  on_signal_info(SIGRTMIN, note_info, 0);
  on_signal_info(SIGALRM, note_info, 0);
  on_signal_info(SIGCHLD, note_info, 0);
  kill(self, SIGUSR1);
  flush_told("kill");
  raise(SIGUSR1);
  flush_told("raise");
  syscall(SYS_tkill, gettid(), SIGUSR1);
  flush_told("tkill");
  pthread_kill(pthread_self(), SIGUSR1);
  flush_told("pthread_kill");
  sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 77});
  flush_told("sigqueue");
  pthread_sigqueue(pthread_self(), SIGUSR1, (union sigval){.sival_int = -5});
  flush_told("pthread_sigqueue");

  struct itimerval soon = {.it_value = {0, 1000}};
  setitimer(ITIMER_REAL, &soon, 0);
  pause();
  flush_told("setitimer");
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_int = 99}};
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  struct itimerspec in = {.it_value = {0, 1000000}};
  timer_settime(timer, 0, &in, 0);
  pause();
  flush_told("timer_create");
  timer_delete(timer);

  mask_signals(SIG_BLOCK, SIGCHLD);
  if ((child = fork()) == 0) _exit(7);
  waitid(P_PID, child, 0, WEXITED | WNOWAIT);
  mask_signals(SIG_UNBLOCK, SIGCHLD);
  flush_told("child exits");
  waitpid(child, 0, 0);
  mask_signals(SIG_BLOCK, SIGCHLD);
  // Not before `child` is known.
  mask_signals(SIG_BLOCK, SIGUSR1);
  if ((child = fork()) == 0) {
    kill(getppid(), SIGUSR1);
    for (;;) pause();
  }
  mask_signals(SIG_UNBLOCK, SIGUSR1);
  while (told_length == 0) sleep_ms(1);
  flush_told("child kills");
  kill(child, SIGTERM);
  waitid(P_PID, child, 0, WEXITED | WNOWAIT);
  mask_signals(SIG_UNBLOCK, SIGCHLD);
  flush_told("child is killed");
  waitpid(child, 0, 0);
  on_signal(SIGCHLD, SIG_DFL, 0);

  siginfo_t info = {.si_code = SI_USER, .si_signo = SIGUSR1};
  show(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info));
  info.si_code = SI_TKILL;
  show(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info));
  info.si_code = SI_ASYNCIO;
  info.si_pid = self;
  show(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &info));
  flush_told("SI_ASYNCIO");
  info.si_code = 1;
  info.si_pid = self;
  show(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, &info));
  flush_told("a kernel's code to oneself");
}

// --- faults

static sigjmp_buf escape;
static void *touched;
static volatile sig_atomic_t repairs;

static void note_fault(int signo, siginfo_t *info, void *context) {
  note(signo);
  tell_number(" code ", info->si_code);
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  tell(info->si_addr == touched                         ? " at the address"
       : info->si_addr == (void *)registers[REG_RIP] ? " at the instruction"
       : info->si_addr == 0                            ? " at 0"
                                                       : " elsewhere");
  tell_number(" trap ", registers[REG_TRAPNO]);
  if (signo == SIGSEGV) {
    // Whether the page above the user's half is there is the kernel's affair.
    if ((uintptr_t)touched >> 47 == 0) tell_number(" err ", registers[REG_ERR]);
    if (registers[REG_TRAPNO] == 14) tell(registers[REG_CR2] == (greg_t)touched ? " cr2" : " no cr2");
  }
  siglongjmp(escape, 1);
}

#define faulting(what, statement)      \
  do {                                 \
    if (sigsetjmp(escape, 1) == 0) {   \
      statement;                       \
      tell(" no fault");               \
    }                                  \
    flush_told(what);                  \
  } while (0)

static void skip_two(int signo, siginfo_t *info, void *context) {
  (void)info;
  note(signo);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void repair_page(int signo, siginfo_t *info, void *context) {
  (void)context;
  repairs++;
  note(signo);
  mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | PROT_WRITE);
}

static void faults(void) {
  section("faults");
  for (int i = 0; i < 5; i++)
    on_signal_info((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}[i], note_fault, 0);
  char *page = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(page, 1, 3 * 4096);
  mprotect(page, 4096, PROT_READ);
  munmap(page + 8192, 4096);
  faulting("read page 0", *(volatile char *)(touched = (void *)0x10));
  faulting("write page 0", *(volatile char *)(touched = (void *)0x10) = 1);
  faulting("write a read-only page", *(volatile char *)(touched = page + 100) = 1);
  faulting("read an unmapped page", *(volatile char *)(touched = page + 8192));
  faulting("a word over the edge", (touched = page + 8192, *(volatile long *)(page + 8188) = 1));
  mprotect(page, 4096, PROT_NONE);
  faulting("read PROT_NONE", *(volatile char *)(touched = page + 5));
  faulting("execute data", (touched = page + 4096, ((void (*)(void))(page + 4096))()));
  faulting("call 0", (touched = 0, ((void (*volatile)(void))0)()));
  touched = (void *)0x8888000000000000;
  faulting("not canonical", *(volatile char *)touched);
  faulting("kernel half", *(volatile char *)(touched = (void *)0xffff800000001000));
  volatile int zero = 0, lowest = (int)0x80000000, minus = -1;
  volatile int sink;
  faulting("divide by zero", sink = 10 / zero);
  faulting("quotient too large", sink = lowest / minus);
  (void)sink;
  faulting("ud2", __asm__ volatile("ud2"));
  faulting("int3", __asm__ volatile("int3"));
  faulting("hlt", __asm__ volatile("hlt"));

  on_signal_info(SIGILL, skip_two, 0);
  __asm__ volatile("ud2");
  flush_told("skipped ud2");
  on_signal_info(SIGSEGV, repair_page, 0);
  mprotect(page, 8192, PROT_READ);
  *(volatile int *)(page + 16) = 5;
  *(volatile long *)(page + 4096 - 4) = 6;
  printf("repaired %d times: %d %ld\n", (int)repairs, *(int *)(page + 16), *(long *)(page + 4096 - 4));
  flush_told("repairs");
  for (int i = 0; i < 5; i++) on_signal((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}[i], SIG_DFL, 0);
}

static void single_step(void) {
  differs("TF");
  on_signal_info(SIGTRAP, note_fault, 0);
  faulting("single step", __asm__ volatile("pushfq; orq $0x100,(%%rsp); popfq; nop; nop" ::: "memory", "cc"));
  on_signal(SIGTRAP, SIG_DFL, 0);
}

static void die_blocked(void) {
  mask_signals(SIG_BLOCK, SIGSEGV);
  *(volatile char *)16 = 1;
}

static void die_ignored(void) {
  on_signal(SIGFPE, SIG_IGN, 0);
  volatile int zero = 0;
  zero = 10 / zero;
}

static void die_no_stack(void) {
  on_signal(SIGSEGV, note, 0);
  __asm__ volatile("movq $64, %rsp; push %rax");
}

static void die_no_stack_usr1(void) {
  on_signal(SIGUSR1, note, 0);
  pid_t pid = getpid();
  __asm__ volatile("movq $0x1000, %%rsp; syscall" ::"a"(SYS_kill), "D"(pid), "S"(SIGUSR1));
}

// Recursion that no compiler turns into a loop.
static void overflow(int depth) {
  char frame[8192];
  __asm__ volatile("" ::"r"(frame) : "memory");
  overflow(depth + 1);
  __asm__ volatile("" ::"r"(frame) : "memory");
}

static void die_overflow(void) { overflow(0); }

static void bad_return(void) {
  __asm__ volatile("movq $0x1000, %%rsp; syscall" ::"a"(SYS_rt_sigreturn));
}

static void kill_self(void) { kill(getpid(), SIGKILL); }
static void abort_self(void) { abort(); }

static void abort_blocked(void) {
  on_signal(SIGABRT, SIG_IGN, 0);
  mask_signals(SIG_BLOCK, SIGABRT);
  abort();
}

static void deaths(void) {
  section("deaths");
  in_child("blocked SIGSEGV", die_blocked);
  in_child("ignored SIGFPE", die_ignored);
  in_child("a handler without a stack", die_no_stack);
  in_child("no stack for SIGUSR1", die_no_stack_usr1);
  in_child("stack overflow", die_overflow);
  in_child("bad sigreturn", bad_return);
  in_child("SIGKILL", kill_self);
  in_child("abort", abort_self);
  in_child("abort while blocked and ignored", abort_blocked);
}

// --- masks and nesting

static void note_mask(int signo) {
  note(signo);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, 0, &now);
  tell("[");
  for (int other = 1; other < 64; other++)
    if (sigismember(&now, other) == 1) note(other);
  tell(" ]");
}

static volatile int runs;

static void nest(int signo) {
  note(signo);
  tell("(");
  if (++runs % 3 != 0) raise(signo);
  tell(")");
}

static void nest_other(int signo) {
  note(signo);
  tell("(");
  if (signo == SIGUSR1) raise(SIGUSR2);
  tell(")");
}

static void masks(void) {
  section("masks");
  struct sigaction action = {.sa_handler = note_mask};
  sigaddset(&action.sa_mask, SIGUSR2);
  sigaddset(&action.sa_mask, SIGKILL);
  sigaddset(&action.sa_mask, SIGRTMIN + 3);
  sigaction(SIGUSR1, &action, 0);
  raise(SIGUSR1);
  flush_told("with sa_mask");
  action.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &action, 0);
  raise(SIGUSR1);
  flush_told("SA_NODEFER");
  on_signal(SIGUSR1, nest, SA_NODEFER);
  raise(SIGUSR1);
  flush_told("itself, not deferred");
  on_signal(SIGUSR1, nest, 0);
  raise(SIGUSR1);
  flush_told("itself, deferred");
  on_signal(SIGUSR1, nest_other, 0);
  on_signal(SIGUSR2, nest_other, 0);
  raise(SIGUSR1);
  flush_told("another, nested");
  on_signal(SIGUSR1, note, SA_RESETHAND);
  raise(SIGUSR1);
  flush_told("SA_RESETHAND");
  sigaction(SIGUSR1, 0, &action);
  printf("then: %s, flags %x\n", action.sa_handler == SIG_DFL ? "default" : "a handler",
         action.sa_flags & ~0x04000000 & SA_RESETHAND);
  sigset_t set, before;
  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, &before);
  sigprocmask(SIG_SETMASK, &before, &set);
  printf("SIGKILL %d SIGSTOP %d SIGTERM %d\n", sigismember(&set, SIGKILL), sigismember(&set, SIGSTOP),
         sigismember(&set, SIGTERM));
  mask_signals(SIG_BLOCK, SIGHUP);
  on_signal(SIGHUP, note, 0);
  raise(SIGHUP);
  sigpending(&set);
  printf("pending: HUP %d INT %d\n", sigismember(&set, SIGHUP), sigismember(&set, SIGINT));
  on_signal(SIGHUP, SIG_IGN, 0);
  sigpending(&set);
  printf("after SIG_IGN: %d\n", sigismember(&set, SIGHUP));
  raise(SIGHUP);
  sigpending(&set);
  printf("blocked and ignored: %d\n", sigismember(&set, SIGHUP));
  on_signal(SIGHUP, note, 0);
  mask_signals(SIG_UNBLOCK, SIGHUP);
  flush_told("unblocked");
  mask_signals(SIG_BLOCK, SIGCHLD);
  on_signal(SIGCHLD, SIG_DFL, 0);
  raise(SIGCHLD);
  sigpending(&set);
  printf("a blocked SIGCHLD: %d\n", sigismember(&set, SIGCHLD));
  on_signal(SIGCHLD, note, 0);
  mask_signals(SIG_UNBLOCK, SIGCHLD);
  flush_told("caught later");
  on_signal(SIGCHLD, SIG_DFL, 0);
}

// A mask that the handler leaves in its frame is the thread's from then on.
static void change_mask(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)info;
  sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static void frame_mask(void) {
  on_signal_info(SIGUSR1, change_mask, 0);
  raise(SIGUSR1);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, 0, &now);
  printf("SIGUSR2 blocked by the frame: %d, SIGUSR1: %d\n", sigismember(&now, SIGUSR2), sigismember(&now, SIGUSR1));
  mask_signals(SIG_UNBLOCK, SIGUSR2);
}

// --- order

static void order(void) {
  section("order");
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int signals[] = {SIGRTMIN + 2, SIGUSR2, SIGRTMIN, SIGUSR1, SIGRTMIN + 2, SIGUSR1, SIGRTMIN, SIGHUP, SIGSEGV};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    struct sigaction action = {.sa_handler = note};
    sigfillset(&action.sa_mask);
    sigaction(signals[i], &action, 0);
    kill(getpid(), signals[i]);
  }
  raise(SIGUSR2);
  raise(SIGRTMIN + 1 - 1);
  sigprocmask(SIG_SETMASK, &before, 0);
  flush_told("one after the other");

  // Handlers that block nothing: the frame made last runs first.
  sigprocmask(SIG_SETMASK, &all, &before);
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
    on_signal(signals[i], note, SA_NODEFER);
    kill(getpid(), signals[i]);
  }
  sigprocmask(SIG_SETMASK, &before, 0);
  flush_told("frame upon frame");

  self = getpid();
  mask_signals(SIG_BLOCK, SIGRTMIN + 1);
  on_signal_info(SIGRTMIN + 1, note_info, 0);
  for (int i = 0; i < 4; i++) sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = i});
  mask_signals(SIG_UNBLOCK, SIGRTMIN + 1);
  flush_told("queued values");
  mask_signals(SIG_BLOCK, SIGUSR1);
  on_signal_info(SIGUSR1, note_info, 0);
  for (int i = 0; i < 3; i++) sigqueue(self, SIGUSR1, (union sigval){.sival_int = i});
  mask_signals(SIG_UNBLOCK, SIGUSR1);
  flush_told("a standard signal is queued once");
}

// --- waiting

static void waits(void) {
  section("sigwait, sigtimedwait, signalfd");
  sigset_t set = set_of(SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN + 1, 0);
  sigprocmask(SIG_BLOCK, &set, 0);
  self = getpid();
  siginfo_t info;
  struct timespec none = {0, 0}, little = {0, 2000000}, wrong = {0, 1000000000};
  show(sigtimedwait(&set, &info, &none));
  show(sigtimedwait(&set, &info, &little));
  show(sigtimedwait(&set, &info, &wrong));
  show(syscall(SYS_rt_sigtimedwait, &set, 0, &none, 4));
  show(syscall(SYS_rt_sigtimedwait, BAD, 0, &none, 8));
  show(syscall(SYS_rt_sigtimedwait, &set, 0, BAD, 8));
  sigqueue(self, SIGRTMIN + 1, (union sigval){.sival_int = 4});
  kill(self, SIGUSR2);
  raise(SIGUSR1);
  sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 3});
  for (int i = 0; i < 4; i++) {
    int signo = sigwaitinfo(&set, &info);
    printf("waited for %s, code %d, value %d\n", signal_name(signo), info.si_code,
           info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
  }
  int signo = 0;
  kill(self, SIGUSR1);
  show_error(sigwait(&set, &signo));
  printf("%s\n", signal_name(signo));
  // A signal that is waited for though it is not blocked and has a handler.
  mask_signals(SIG_UNBLOCK, SIGUSR2);
  on_signal(SIGUSR2, note, 0);
  if ((child = fork()) == 0) {
    wait_for_state(self, self, "S");
    kill(self, SIGUSR2);
    _exit(0);
  }
  show(sigwaitinfo(&set, 0) == SIGUSR2);
  waitpid(child, 0, 0);
  flush_told("its handler");
  // Another signal's handler ends the wait.
  on_signal(SIGALRM, note, SA_RESTART);
  struct itimerval soon = {.it_interval = {0, 5000}, .it_value = {0, 1000}};
  setitimer(ITIMER_REAL, &soon, 0);
  show(sigwaitinfo(&set, 0));
  soon = (struct itimerval){};
  setitimer(ITIMER_REAL, &soon, 0);
  told_length = 0;

  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  struct signalfd_siginfo read_info[3];
  show(read(fd, read_info, sizeof read_info));
  show(read(fd, read_info, 10));
  sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 12});
  sigqueue(self, SIGRTMIN, (union sigval){.sival_int = 13});
  raise(SIGUSR1);
  ssize_t size = read(fd, read_info, sizeof read_info);
  for (int i = 0; i < size / (int)sizeof *read_info; i++)
    printf("signalfd: %s code %d value %d %s\n", signal_name(read_info[i].ssi_signo), read_info[i].ssi_code,
           read_info[i].ssi_int,
           (pid_t)read_info[i].ssi_pid == self && read_info[i].ssi_uid == getuid() ? "from myself" : "from another");
  sigset_t one = set_of(SIGRTMIN + 1, 0);
  show(signalfd(fd, &one, 0) == fd);
  raise(SIGUSR1);
  show(read(fd, read_info, sizeof read_info));
  show(signalfd(0, &one, 0));
  show(signalfd(-1, &one, 12345));
  show(signalfd(99, &one, 0));
  show(sigwait(&set, &signo));
  close(fd);
  sigprocmask(SIG_UNBLOCK, &set, 0);
}

// --- stacks

static char alternate[65536] __attribute__((aligned(16)));

static void where(int signo) {
  char here;
  note(signo);
  tell(&here >= alternate && &here < alternate + sizeof alternate ? " on the alternate stack" : " on the usual stack");
  stack_t now;
  sigaltstack(0, &now);
  tell_number(" flags ", now.ss_flags);
  if (signo == SIGUSR1) {
    stack_t other = {.ss_sp = alternate, .ss_size = 32768};
    errno = 0;
    tell_number(" set ", sigaltstack(&other, 0));
    if (errno == EPERM) tell(" EPERM");
    raise(SIGUSR2);
  }
}

static void stacks(void) {
  section("sigaltstack");
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, before;
  show(sigaltstack(&stack, &before));
  printf("before: flags %d size %zu\n", before.ss_flags, before.ss_size);
  on_signal(SIGUSR1, where, SA_ONSTACK);
  on_signal(SIGUSR2, where, SA_ONSTACK);
  raise(SIGUSR1);
  flush_told("SA_ONSTACK");
  on_signal(SIGUSR1, where, 0);
  raise(SIGUSR1);
  flush_told("without");
  sigaltstack(0, &before);
  printf("size %zu flags %d\n", before.ss_size, before.ss_flags);
  stack.ss_flags = SS_AUTODISARM;
  show(sigaltstack(&stack, 0));
  on_signal(SIGUSR1, where, SA_ONSTACK);
  raise(SIGUSR1);
  flush_told("SS_AUTODISARM");
  sigaltstack(0, &before);
  printf("rearmed: size %zu flags %x\n", before.ss_size, before.ss_flags);
  stack.ss_flags = 0;
  stack.ss_size = 1024;
  show(sigaltstack(&stack, 0));
  stack.ss_size = sizeof alternate;
  stack.ss_flags = 0x40;
  show(sigaltstack(&stack, 0));
  show(sigaltstack(BAD, 0));
  show(sigaltstack(0, BAD));
  stack.ss_flags = 0;
  sigaltstack(&stack, 0);
  on_signal_info(SIGSEGV, note_fault, SA_ONSTACK);
  touched = (void *)-1;
  if (sigsetjmp(escape, 1) == 0) overflow(0);
  printf("stack overflow caught:%.8s\n", told);
  told_length = 0;
  on_signal(SIGSEGV, SIG_DFL, 0);
  stack.ss_flags = SS_DISABLE;
  show(sigaltstack(&stack, 0));
  sigaltstack(0, &before);
  printf("disabled: flags %d size %zu\n", before.ss_flags, before.ss_size);
}

// --- registers

static void spoil(int signo) {
  (void)signo;
  __asm__ volatile(
      "pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15; fninit; fldpi; fldpi; fldpi\n"
      "movl $0x1fff, -4(%%rsp); ldmxcsr -4(%%rsp); xorl %%eax, %%eax; cmpl $1, %%eax; std" ::
          : "memory", "cc", "rax", "xmm0", "xmm7", "xmm15");
  __asm__ volatile("cld");
}

static void registers(void) {
  section("registers across a handler");
  on_signal(SIGUSR1, spoil, 0);
  uint64_t in[4] = {0x0123456789abcdef, 0xfedcba9876543210, 0x5555aaaa5555aaaa, 0x1111222233334444}, out[6] = {0};
  uint32_t mxcsr = 0x1f80 | 0x2000, mxcsr_out = 0;
  uint16_t control = 0x0f7f, control_out = 0;
  long double third = 1.0L / 3, third_out = 0;
  long result, flags;
  pid_t pid = getpid();
  __asm__ volatile(
      "movdqu (%[in]), %%xmm0; movdqu 16(%[in]), %%xmm7; movdqu (%[in]), %%xmm15\n"
      "ldmxcsr %[mxcsr]; fninit; fldcw %[control]; fldt %[third]\n"
      "movq $0x7777, %%r12; movq $0x8888, %%rbx; subq $256, %%rsp; movq $0x4242, 136(%%rsp)\n"
      "movl %[call], %%eax; xorl %%edx, %%edx; cmpl $-1, %%edx; stc; syscall\n"
      "movq %%rax, %[result]; pushfq; popq %[flags]\n"
      "addq $256, %%rsp\n"
      "movdqu %%xmm0, (%[out]); movdqu %%xmm7, 16(%[out]); movdqu %%xmm15, 32(%[out])\n"
      "stmxcsr %[mxcsr_out]; fnstcw %[control_out]; fstpt %[third_out]; fninit\n"
      : [result] "=&r"(result), [flags] "=&r"(flags), [mxcsr_out] "=m"(mxcsr_out), [control_out] "=m"(control_out),
        [third_out] "=m"(third_out)
      : [in] "r"(in), [out] "r"(out), [mxcsr] "m"(mxcsr), [control] "m"(control), [third] "m"(third),
        [call] "i"(SYS_kill), "D"((long)pid), "S"((long)SIGUSR1)
      : "memory", "cc", "rax", "rbx", "rcx", "rdx", "r11", "r12", "xmm0", "xmm7", "xmm15", "st");
  uint32_t usual = 0x1f80;
  __asm__ volatile("ldmxcsr %0" ::"m"(usual));
  printf("result %ld, carry %ld, direction %ld\n", result, flags & 1, flags >> 10 & 1);
  for (int i = 0; i < 6; i++) printf("%016lx%c", out[i], i == 5 ? '\n' : ' ');
  printf("mxcsr %x control %x third %s\n", mxcsr_out, control_out, third == third_out ? "kept" : "lost");
  printf("%.15Lf\n", third_out);
}

// A handler that changes the interrupted registers, XMM registers and flags.
static void rewrite(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)info;
  ucontext_t *user = context;
  user->uc_mcontext.gregs[REG_R12] = 1234;
  user->uc_mcontext.gregs[REG_EFL] |= 1;
  user->uc_mcontext.fpregs->_xmm[3].element[0] = 0xabcd;
  user->uc_mcontext.fpregs->mxcsr = 0x1fa0;
}

static void rewritten(void) {
  on_signal_info(SIGUSR1, rewrite, 0);
  long r12, carry, xmm3;
  uint32_t mxcsr;
  __asm__ volatile(
      "xorl %%r12d, %%r12d; pxor %%xmm3, %%xmm3; movl %[call], %%eax; clc; syscall\n"
      "pushfq; popq %[carry]; andq $1, %[carry]; movq %%r12, %[r12]; movq %%xmm3, %[xmm3]; stmxcsr %[mxcsr]"
      : [carry] "=&r"(carry), [r12] "=&r"(r12), [xmm3] "=&r"(xmm3), [mxcsr] "=m"(mxcsr)
      : [call] "i"(SYS_kill), "D"((long)getpid()), "S"((long)SIGUSR1)
      : "memory", "cc", "rax", "rcx", "r11", "r12", "xmm3");
  printf("rewritten: r12 %ld, carry %ld, xmm3 %lx, mxcsr %x\n", r12, carry, xmm3, mxcsr);
}

// --- errors

static void errors(void) {
  section("errors");
  struct sigaction action = {.sa_handler = note};
  show(sigaction(SIGKILL, &action, 0));
  show(sigaction(SIGSTOP, &action, 0));
  show(sigaction(SIGKILL, 0, &action));
  show(syscall(SYS_rt_sigaction, 0, 0, 0, 8));
  show(syscall(SYS_rt_sigaction, 65, 0, 0, 8));
  show(syscall(SYS_rt_sigaction, SIGUSR1, 0, 0, 16));
  show(syscall(SYS_rt_sigaction, SIGUSR1, BAD, 0, 8));
  show(syscall(SYS_rt_sigaction, SIGUSR1, 0, BAD, 8));
  show(syscall(SYS_rt_sigprocmask, 7, &action, 0, 8));
  show(syscall(SYS_rt_sigprocmask, 7, 0, 0, 8));
  show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD, 0, 8));
  show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, BAD, 8));
  show(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, 0, 4));
  show(syscall(SYS_rt_sigpending, &action, 9));
  show(syscall(SYS_rt_sigpending, BAD, 8));
  show(syscall(SYS_rt_sigsuspend, 0, 8));
  show(syscall(SYS_rt_sigsuspend, &action, 4));
  show(kill(getpid(), 65));
  show(kill(getpid(), -1));
  show(kill(getpid(), 0));
  show(kill(123456, SIGUSR1));
  show(kill(-123456, SIGUSR1));
  show(kill((pid_t)0x80000000, 0));
  show(syscall(SYS_tkill, 0, SIGUSR1));
  show(syscall(SYS_tkill, 123456, SIGUSR1));
  show(syscall(SYS_tgkill, getpid(), getppid(), 0));
  show(syscall(SYS_tgkill, -1, gettid(), 0));
  show(syscall(SYS_tgkill, getpid(), gettid(), 100));
  show(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD));
  show(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &action));
}

void checks(void) {
  codes();
  faults();
  deaths();
  masks();
  frame_mask();
  order();
  waits();
  stacks();
  registers();
  rewritten();
  errors();
  single_step();
}
