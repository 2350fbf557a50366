// Code that is written while the program runs, in all the ways of JIT compilers: pages that are writable and executable,
// pages that are made so in turn, two mappings of the same memory, code that changes itself or what follows it.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
// Everything is done so many times as often (the argument).
static int times = 1;
typedef long (*function)(long);

static unsigned char *pages(int count, int prot) {
  unsigned char *at = mmap(NULL, count * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) exit(1);
  return at;
}

// lea rax, [rdi + n]; ret
static int add_constant(unsigned char *at, int n) {
  const unsigned char code[] = {0x48, 0x8d, 0x87, 0, 0, 0, 0, 0xc3};
  memcpy(at, code, sizeof code);
  memcpy(at + 3, &n, 4);
  return sizeof code;
}

// xor eax, eax; L: add rax, n; dec rdi; jnz L; ret
static int loop(unsigned char *at, int n) {
  const unsigned char code[] = {0x31, 0xc0, 0x48, 0x05, 0, 0, 0, 0, 0x48, 0xff, 0xcf, 0x75, 0xf5, 0xc3};
  memcpy(at, code, sizeof code);
  memcpy(at + 4, &n, 4);
  return sizeof code;
}

static void overwritten(void) {
  unsigned char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  long sum = 0;
  for (int i = 0; i < 300 * times; i++) {
    add_constant(at, i);
    sum += ((function)at)(i * 2);
  }
  printf("overwritten %ld\n", sum);
  // Only the immediate operand, by stores of all sizes.
  add_constant(at, 0);
  sum = 0;
  for (int i = 0; i < 300 * times; i++) {
    if (i % 3 == 0) *(volatile int *)(at + 3) = i;
    else if (i % 3 == 1) *(volatile short *)(at + 3) = (short)i;
    else at[3] = (unsigned char)i;
    sum = sum * 3 + ((function)at)(1);
  }
  printf("patched %ld\n", sum);
  // Hot code, then other code.
  sum = 0;
  for (int i = 0; i < 4 * times; i++) {
    loop(at, i + 1);
    sum = sum * 7 + ((function)at)(50000);
    add_constant(at, i);
    for (int j = 0; j < 400 * times; j++) sum = ((function)at)(sum);
  }
  printf("hot %ld\n", sum);
}

// Many functions on a page; one changes, the others stay.
static void neighbours(void) {
  unsigned char *at = pages(4, PROT_READ | PROT_WRITE | PROT_EXEC);
  for (int i = 0; i < 1000; i++) add_constant(at + i * 16, i);
  unsigned long sum = 0;
  for (int round = 0; round < 6 * times; round++) {
    for (int i = 0; i < 1000; i++) sum = sum * 31 + (unsigned long)((function)(at + i * 16))(round);
    int changed = round * 37 % 1000;
    add_constant(at + changed * 16, -round);
  }
  printf("neighbours %lu\n", sum);
}

// Data that is written beside code that runs.
static void data_beside(void) {
  unsigned char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  // mov rax, [rip + 0x1f9]; add rax, rdi; mov [rip + 0x1ef], rax; ret: the counter stands at 0x200.
  const unsigned char code[] = {0x48, 0x8b, 0x05, 0xf9, 0x01, 0, 0, 0x48, 0x01, 0xf8, 0x48, 0x89, 0x05, 0xef, 0x01, 0, 0, 0xc3};
  memcpy(at, code, sizeof code);
  long last = 0;
  for (int i = 0; i < 500 * times; i++) last = ((function)at)(i);
  printf("data beside code %ld\n", last);
}

static void write_xor_execute(void) {
  unsigned char *at = pages(2, PROT_READ | PROT_WRITE);
  long sum = 0;
  for (int i = 0; i < 100 * times; i++) {
    mprotect(at, 2 * PAGE, PROT_READ | PROT_WRITE);
    // Across the boundary of the pages.
    unsigned char *place = at + PAGE - (i % 9);
    if (i & 1) loop(place, i);
    else add_constant(place, i);
    mprotect(at, 2 * PAGE, PROT_READ | PROT_EXEC);
    sum = sum * 5 + ((function)place)(10);
  }
  printf("W^X %ld\n", sum);
}

static void two_views(void) {
  int fd = memfd_create("code", 0);
  if (ftruncate(fd, PAGE)) exit(1);
  unsigned char *writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  unsigned char *executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
  long sum = 0;
  for (int i = 0; i < 40 * times; i++) {
    add_constant(writable, i);
    // What the kernel shows of it, it shows after a system call at the latest (docs/limits.md, mmap).
    getppid();
    sum += ((function)executable)(i);
  }
  printf("two views %ld\n", sum);
  munmap(writable, PAGE);
  munmap(executable, PAGE);
  close(fd);
}

static void reused(void) {
  long sum = 0;
  for (int i = 0; i < 60 * times; i++) {
    unsigned char *at = mmap((void *)0x40000000, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    add_constant(at, i * 3);
    sum += ((function)at)(1);
    if (i % 2) munmap(at, PAGE);
    if (i % 5 == 0) madvise(at, PAGE, MADV_DONTNEED);
  }
  printf("mapped again %ld\n", sum);
  unsigned char *at = mmap((void *)0x40000000, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  add_constant(at, 9);
  sum = ((function)at)(1);
  unsigned char *moved = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x40100000);
  printf("moved %ld %ld\n", sum, ((function)moved)(2));
}

// Code that changes the instruction right behind the store, in the same block, and one before it.
static void changes_itself(void) {
  unsigned char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  // mov dword [rip + 1], edi; mov eax, imm32 (changed); ret
  const unsigned char next[] = {0x89, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3};
  memcpy(at, next, sizeof next);
  long sum = 0;
  for (int i = 0; i < 200 * times; i++) sum = sum * 3 + ((function)at)(i);
  printf("the next instruction %ld\n", sum);

  // xor eax, eax; L: inc dword [rip - 12 + …]; the addend of the loop's own `add eax, imm32` grows with every round.
  unsigned char *b = at + 256;
  const unsigned char grows[] = {
      0x31, 0xc0,                          // 0: xor eax, eax
      0x05, 1, 0, 0, 0,                    // 2: add eax, 1
      0xff, 0x05, 0xf6, 0xff, 0xff, 0xff,  // 7: inc dword [rip - 10] = 3
      0xff, 0xcf,                          // 13: dec edi
      0x75, 0xf1,                          // 15: jnz 2
      0xc3,
  };
  memcpy(b, grows, sizeof grows);
  printf("its own loop %ld", (long)(int)((function)b)(100));
  printf(" %ld\n", (long)(int)((function)b)(100));

  // rep stosb over the instructions behind it, which become nops.
  unsigned char *c = at + 512;
  const unsigned char fills[] = {
      0x48, 0x89, 0xf8,              // 0: mov rax, rdi (kept in rdx)
      0x48, 0x89, 0xfa,              // 3: mov rdx, rdi
      0x48, 0x8d, 0x3d, 9, 0, 0, 0,  // 6: lea rdi, [rip + 9] = 22
      0xb9, 3, 0, 0, 0,              // 13: mov ecx, 3
      0xb0, 0x90,                    // 18: mov al, 0x90
      0xf3, 0xaa,                    // 20: rep stosb
      0x48, 0xff, 0xc2,              // 22: inc rdx (becomes three nops)
      0x48, 0x89, 0xd0,              // 25: mov rax, rdx
      0xc3,
  };
  memcpy(c, fills, sizeof fills);
  printf("filled %ld", ((function)c)(41));
  printf(" %ld\n", ((function)c)(42));

  // A call's return address: the caller's code behind the call is changed by the callee.
  unsigned char *d = at + 1024;
  const unsigned char caller[] = {
      0xe8, 6, 0, 0, 0,              // 0: call 11
      0xb8, 1, 0, 0, 0,              // 5: mov eax, 1 (changed)
      0xc3,                          // 10
      0x89, 0x3d, 0xf5, 0xff, 0xff, 0xff,  // 11: mov [rip - 11] = 6, edi
      0xc3,
  };
  memcpy(d, caller, sizeof caller);
  sum = 0;
  for (int i = 0; i < 60 * times; i++) sum = sum * 3 + ((function)d)(i);
  printf("behind the call %ld\n", sum);
}

// Instructions that share bytes: a jump into the middle of one.
static void overlapping(void) {
  unsigned char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
  const unsigned char code[] = {
      0x48, 0x89, 0xf8,              // 0: mov rax, rdi
      0xa8, 1,                       // 3: test al, 1
      0x75, 1,                       // 5: jnz 8
      0xb8, 0x48, 0xff, 0xc0, 0x90,  // 7: mov eax, 0x90c0ff48; from 8: inc rax; nop
      0xc3,
  };
  memcpy(at, code, sizeof code);
  long sum = 0;
  for (int i = 0; i < 1000; i++) sum += ((function)at)(i);
  printf("overlapping %ld\n", sum);
  // eb ff c0: jmp into its own second byte, which begins inc eax.
  const unsigned char into_itself[] = {0x89, 0xf8, 0xeb, 0xff, 0xc0, 0xc3};
  memcpy(at + 64, into_itself, sizeof into_itself);
  printf("into itself %ld\n", ((function)(at + 64))(41));
}

// What a read system call or a fork writes is code too.
static void by_the_kernel(void) {
  unsigned char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC), bytes[16];
  int ends[2];
  if (pipe(ends)) exit(1);
  long sum = 0;
  for (int i = 0; i < 60 * times; i++) {
    int length = add_constant(bytes, i);
    if (write(ends[1], bytes, length) != length || read(ends[0], at, length) != length) exit(1);
    sum = sum * 3 + ((function)at)(i);
  }
  printf("read(2) %ld\n", sum);
}

int main(int argc, char **argv) {
  if (argc > 1) times = atoi(argv[1]);
  overwritten();
  neighbours();
  data_beside();
  write_xor_execute();
  two_views();
  reused();
  changes_itself();
  overlapping();
  by_the_kernel();
  return 0;
}
