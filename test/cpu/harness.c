/*
 * Runs test cases on the host's CPU: the oracle of the CPU differential tests (see case.ts for the records).
 * Every case ends in an exception (the last instruction is UD2), whose signal frame holds the state asked for.
 *
 * usage: harness CASES RESULTS
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x10000000ul
#define DATA 0x20000000ul
#define STATE 0x6a5b0000ul
#define DATA_SIZE 8192
#define WINDOW 1024
#define TAIL (DATA + DATA_SIZE)
#define TAIL_SIZE 256
#define CODE_SIZE 256
#define GS_BASE 0x1000ul

struct input {
  uint64_t gpr[16];
  uint32_t rflags;
  uint32_t place; /* offset of the code in its page */
  uint32_t code_length;
  uint32_t tail; /* the page behind the data: 0 absent, 1 read-only, 2 writable */
  uint8_t fx[512];
  uint8_t code[CODE_SIZE];
  uint8_t window[WINDOW + TAIL_SIZE];
};

struct output {
  uint64_t gpr[16];
  uint64_t rip, rflags, vector, error, address;
  uint32_t signo;
  int32_t code;
  uint64_t signal_address, pad;
  uint8_t fx[512];
  uint8_t window[WINDOW + TAIL_SIZE];
};

/* At STATE, reached by absolute addresses from the assembly below. */
struct state {
  uint64_t gpr[16];   /* 0x000 */
  uint64_t rflags;    /* 0x080 */
  uint64_t entry;     /* 0x088 */
  uint64_t host_rsp;  /* 0x090 */
  uint64_t pad;       /* 0x098 */
  uint64_t host_stack[512];
  uint8_t fx[512] __attribute__((aligned(16)));
};

static struct state *const state = (struct state *)STATE;
static struct output *current;

extern void run_case(void);
extern char run_resume[];

__asm__(
    ".text\n.globl run_case, run_resume\n"
    "run_case:\n"
    "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "  mov %rsp, 0x6a5b0090\n"
    "  pushq 0x6a5b0080; popfq\n"
    "  mov 0x6a5b0000, %rax; mov 0x6a5b0008, %rcx; mov 0x6a5b0010, %rdx; mov 0x6a5b0018, %rbx\n"
    "  mov 0x6a5b0020, %rsp; mov 0x6a5b0028, %rbp; mov 0x6a5b0030, %rsi; mov 0x6a5b0038, %rdi\n"
    "  mov 0x6a5b0040, %r8; mov 0x6a5b0048, %r9; mov 0x6a5b0050, %r10; mov 0x6a5b0058, %r11\n"
    "  mov 0x6a5b0060, %r12; mov 0x6a5b0068, %r13; mov 0x6a5b0070, %r14; mov 0x6a5b0078, %r15\n"
    "  jmp *0x6a5b0088\n"
    "run_resume:\n"
    "  fninit\n"
    "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "  ret\n");

static const int greg_order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The C library's thread-local memory; a case may have loaded FS. */
static unsigned long fs_base;

/* Nothing of the C library before this one is through. */
static void set_base(int segment, unsigned long base) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_arch_prctl), "D"(segment), "S"(base) : "rcx", "r11", "memory");
}

static void on_signal(int signo, siginfo_t *info, void *context) {
  set_base(ARCH_SET_FS, fs_base);
  ucontext_t *uc = context;
  greg_t *g = uc->uc_mcontext.gregs;
  current->code = info->si_code;
  current->signal_address = (uint64_t)info->si_addr;
  for (int i = 0; i < 16; i++) current->gpr[i] = g[greg_order[i]];
  current->rip = g[REG_RIP];
  current->rflags = g[REG_EFL];
  current->vector = g[REG_TRAPNO];
  current->error = g[REG_ERR];
  current->address = g[REG_CR2];
  current->signo = signo;
  memcpy(current->fx, uc->uc_mcontext.fpregs, 512);
  g[REG_RIP] = (greg_t)run_resume;
  g[REG_RSP] = state->host_rsp;
  g[REG_EFL] = 0x202;
  uc->uc_mcontext.fpregs->mxcsr = 0x1f80;
  uc->uc_mcontext.fpregs->cwd = 0x37f;
  uc->uc_mcontext.fpregs->swd = 0;
  uc->uc_mcontext.fpregs->ftw = 0;
}

static void *fixed(unsigned long address, size_t size, int prot) {
  void *p = mmap((void *)address, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (p == MAP_FAILED) { perror("mmap"); exit(1); }
  return p;
}

/* Makes the page behind the data what the case wants; what is in it is written through another mapping. */
static void set_tail(int memory, uint32_t tail) {
  static uint32_t now;
  if (tail == now) return;
  now = tail;
  int prot = PROT_READ | (tail == 2 ? PROT_WRITE : 0);
  void *p = tail == 0 ? munmap((void *)TAIL, 4096), (void *)TAIL
                      : mmap((void *)TAIL, 4096, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memory, 0);
  if (p == MAP_FAILED) { perror("mmap"); exit(1); }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int in = open(argv[1], O_RDONLY);
  struct stat st;
  if (in < 0 || fstat(in, &st) != 0) { perror(argv[1]); return 1; }
  size_t count = st.st_size / sizeof(struct input);
  struct input *cases = mmap(0, st.st_size + 1, PROT_READ, MAP_PRIVATE | MAP_POPULATE, in, 0);
  int out = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
  size_t size = count * sizeof(struct output);
  if (out < 0 || ftruncate(out, size) != 0) { perror(argv[2]); return 1; }
  struct output *results = mmap(0, size + 1, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);

  /* The cases do not write to the code; we do, elsewhere. */
  int code = memfd_create("code", 0);
  if (code < 0 || ftruncate(code, 4096) != 0) { perror("memfd"); return 1; }
  uint8_t *code_bytes = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, code, 0);
  int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;
  if (mmap((void *)CODE, 4096, PROT_READ | PROT_EXEC, flags, code, 0) == MAP_FAILED) { perror("mmap"); return 1; }
  fixed(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
  fixed(STATE, 16384, PROT_READ | PROT_WRITE);
  int tail = memfd_create("tail", 0);
  if (tail < 0 || ftruncate(tail, 4096) != 0) { perror("memfd"); return 1; }
  uint8_t *tail_bytes = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, tail, 0);
  stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&ss, 0);
  struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGVTALRM};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, 0);
  syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base);
  /* What LSL says of the processor's own descriptor is the virtual CPU's number, 0. */
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);

  for (size_t i = 0; i < count; i++) {
    const struct input *c = &cases[i];
    memset((void *)DATA, 0, DATA_SIZE - WINDOW);
    memcpy((void *)(DATA + DATA_SIZE - WINDOW), c->window, WINDOW);
    set_tail(tail, c->tail);
    memset(tail_bytes, 0, 4096);
    memcpy(tail_bytes, c->window + WINDOW, TAIL_SIZE);
    memset(code_bytes, 0xcc, 4096);
    size_t room = 4096 - c->place;
    memcpy(code_bytes + c->place, c->code, c->code_length < room ? c->code_length : room);
    memcpy(state->gpr, c->gpr, sizeof c->gpr);
    memcpy(state->fx, c->fx, 512);
    state->rflags = (c->rflags & 0xcd5) | 0x202;
    state->entry = CODE + c->place;
    current = &results[i];
    set_base(ARCH_SET_GS, GS_BASE);
    __asm__ volatile("fxrstor64 %0" ::"m"(state->fx));
    /* For the few that jump in a circle. */
    setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value = {.tv_usec = 20000}}, 0);
    run_case();
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0));
    memcpy(current->window, (void *)(DATA + DATA_SIZE - WINDOW), WINDOW);
    if (c->tail != 0) memcpy(current->window + WINDOW, tail_bytes, TAIL_SIZE);
  }
  return 0;
}
