// Memory: mmap and its relatives, faults and their addresses, sharing between processes, /proc/self/maps.
#include "check.h"
#include <sched.h>
#include <setjmp.h>
#include <sys/resource.h>

enum { PAGE = 4096 };
static char folder[] = "/tmp/tardigrade-memory-XXXXXX";

// --- touching memory that may fault

static sigjmp_buf escape;
static char *volatile fault_address;

static void caught(int signo, siginfo_t *info, void *context) {
  (void)context;
  fault_address = info->si_addr;
  siglongjmp(escape, signo * 100 + info->si_code);
}

static const char *outcome(char *address, int write) {
  int fault = sigsetjmp(escape, 1);
  if (fault == 0) {
    if (write) *(volatile char *)address = 'w';
    else (void)*(volatile char *)address;
    return "fine";
  }
  static char text[60];
  int code = fault % 100;
  snprintf(text, sizeof text, "%s %s%s", signal_name(fault / 100),
           fault / 100 == SIGBUS ? (code == BUS_ADRERR ? "ADRERR" : "?")
                                 : (code == SEGV_MAPERR ? "MAPERR" : code == SEGV_ACCERR ? "ACCERR" : "?"),
           fault_address == address ? "" : " elsewhere");
  return text;
}

static void touch(const char *what, char *address, int write) {
  printf("%s %s: %s\n", write ? "write" : "read", what, outcome(address, write));
}

static char *fresh(int pages) {
  return mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// --- placing

static void places(void) {
  section("mmap");
  char *base = fresh(8);
  touch("fresh", base, 0);
  show(base[5 * PAGE]);
  memset(base, 1, 8 * PAGE);
  // MAP_FIXED replaces; what it replaces reads as zero.
  show(mmap(base + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == base + PAGE);
  printf("%d %d %d\n", base[0], base[PAGE], base[2 * PAGE]);
  show_pointer(mmap(base, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  show(munmap(base + 3 * PAGE, 2 * PAGE));
  touch("the hole", base + 3 * PAGE, 1);
  touch("before it", base + 3 * PAGE - 1, 1);
  touch("behind it", base + 5 * PAGE, 1);
  show(munmap(base + 3 * PAGE, 2 * PAGE));
  // A hint is followed where there is room, and not where there is none.
  show(mmap(base + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == base + 3 * PAGE);
  show(mmap(base, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == base);
  show(mmap(base + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == base + 4 * PAGE);
  show(munmap(base, 8 * PAGE));
  for (int i = 0; i < 8; i++) printf("%s%c", outcome(base + i * PAGE, 0), i == 7 ? '\n' : ',');

  show_pointer(mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  show_pointer(mmap(0, 1ul << 50, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  show_pointer(mmap(0, -1ul, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  show_pointer(mmap((void *)100, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  show_pointer(mmap(FAR, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, -1, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, 99, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 5));
  show(munmap((char *)1, PAGE));
  show(munmap(base, 0));
  show(munmap(FAR, PAGE));
  show(munmap(base, 1ul << 50));
  int pipes[2];
  if (pipe(pipes) < 0) return;
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, pipes[0], 0));
  int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR);
  char *zeros = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
  touch("/dev/zero", zeros, 1);
  show(zeros[1]);
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, null, 0));
}

// --- protection

static void protections(void) {
  section("mprotect");
  char *base = fresh(6);
  memset(base, 7, 6 * PAGE);
  show(mprotect(base + PAGE, PAGE, PROT_READ));
  show(mprotect(base + 2 * PAGE, PAGE, PROT_NONE));
  show(mprotect(base + 3 * PAGE, PAGE, PROT_WRITE));
  show(mprotect(base + 4 * PAGE, PAGE, PROT_READ | PROT_EXEC));
  for (int i = 0; i < 6; i++) {
    printf("page %d: read %s", i, outcome(base + i * PAGE, 0));
    printf(", write %s\n", outcome(base + i * PAGE, 1));
  }
  show(mprotect(base, 6 * PAGE, PROT_READ | PROT_WRITE));
  printf("kept: %d %d\n", base[2 * PAGE], base[4 * PAGE]);
  show(mprotect(base + 1, PAGE, PROT_READ));
  show(mprotect(base, 0, PROT_READ));
  show(mprotect(base, PAGE, 0x100));
  munmap(base + 2 * PAGE, PAGE);
  // What stands before the hole is changed all the same.
  show(mprotect(base, 5 * PAGE, PROT_READ));
  printf("%s", outcome(base, 1));
  printf(", %s\n", outcome(base + 3 * PAGE, 1));
  show(mprotect(base + 2 * PAGE, PAGE, PROT_READ));
  // Code that is written, executed, rewritten.
  unsigned char *code = mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, "\xb8\x05\0\0\0\xc3", 6);
  show(((int (*)(void))code)());
  code[1] = 6;
  show(((int (*)(void))code)());
  show(mprotect(code, PAGE, PROT_READ));
  int fault = sigsetjmp(escape, 1);
  if (fault == 0) ((void (*)(void))code)();
  printf("executed without PROT_EXEC: %d at the code: %d\n", fault, fault_address == (char *)code);
  // A system call meets the same walls as an instruction.
  show(read(open("/dev/zero", O_RDONLY), base, 10));
  int pipes[2];
  if (pipe(pipes) < 0) return;
  show(write(pipes[1], base + 2 * PAGE, 10));
  show(write(pipes[1], base, 10));
  show(read(pipes[0], base, 10));
  show(write(pipes[1], BAD, 0));
}

// --- mremap

static void remaps(void) {
  section("mremap");
  char *base = fresh(10);
  for (int i = 0; i < 10; i++) base[i * PAGE] = 'a' + i;
  munmap(base + 4 * PAGE, 6 * PAGE);
  show(mremap(base, 4 * PAGE, 2 * PAGE, 0) == base);
  touch("what was cut off", base + 2 * PAGE, 0);
  show(mremap(base, 2 * PAGE, 6 * PAGE, 0) == base);
  printf("%c%c %d\n", base[0], base[PAGE], base[3 * PAGE]);
  char *wall = mmap(base + 6 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  show(wall == base + 6 * PAGE);
  show_pointer(mremap(base, 6 * PAGE, 8 * PAGE, 0));
  char *moved = mremap(base, 6 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  show(moved != base);
  printf("%c%c %d\n", moved[0], moved[PAGE], moved[7 * PAGE]);
  touch("where it was", base, 0);
  char *target = fresh(4);
  memset(target, 'z', 4 * PAGE);
  show(mremap(moved, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE) == target + PAGE);
  printf("%c%c%c%c\n", target[0], target[PAGE], target[2 * PAGE], target[3 * PAGE]);
  touch("where it was", moved, 0);
  touch("what stayed", moved + 2 * PAGE, 0);
  show_pointer(mremap(target, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, moved));
  show_pointer(mremap(target, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE));
  show_pointer(mremap(target, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 1));
  show_pointer(mremap(target + 1, PAGE, PAGE, 0));
  show_pointer(mremap(target, PAGE, 0, 0));
  show_pointer(mremap(target, PAGE, PAGE, 64));
  show_pointer(mremap(moved, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
  show_pointer(mremap(moved + 2 * PAGE, 20 * PAGE, 30 * PAGE, MREMAP_MAYMOVE));
  show_pointer(mremap(target, 0, PAGE, MREMAP_MAYMOVE));
}

// --- madvise, mincore, mlock, msync, brk

static void advice(void) {
  section("madvise and others");
  char *base = fresh(4);
  memset(base, 5, 4 * PAGE);
  show(madvise(base + PAGE, PAGE, MADV_DONTNEED));
  printf("%d %d %d\n", base[0], base[PAGE], base[2 * PAGE]);
  show(madvise(base + 1, PAGE, MADV_DONTNEED));
  show(madvise(base, PAGE, 12345));
  show(madvise(base, 0, MADV_DONTNEED));
  show(madvise(base, PAGE, MADV_WILLNEED));
  show(madvise(base, PAGE, MADV_DONTFORK));
  show(madvise(base, PAGE, MADV_DOFORK));
  show(madvise(base, PAGE, MADV_REMOVE));
  munmap(base + 2 * PAGE, PAGE);
  show(madvise(base, 4 * PAGE, MADV_DONTNEED));
  printf("%d %d\n", base[0], base[3 * PAGE]);
  show(madvise(base, 4 * PAGE, MADV_WILLNEED));
  unsigned char pages[4] = {9, 9, 9, 9};
  base[PAGE] = 1;
  show(mincore(base + PAGE, PAGE, pages));
  show(pages[0] & 1);
  show(mincore(base, 4 * PAGE, pages));
  show(mincore(base + 1, PAGE, pages));
  show(mincore(base, PAGE, BAD));
  show(mlock(base, PAGE));
  show(mlock(base, 4 * PAGE));
  show(munlock(base, PAGE));
  show(mlockall(0));
  show(mlockall(0x100));
  show(msync(base, PAGE, MS_SYNC));
  show(msync(base, 4 * PAGE, MS_SYNC));
  show(msync(base, PAGE, MS_SYNC | MS_ASYNC));
  show(msync(base + 1, PAGE, MS_SYNC));
  char *end = sbrk(0);
  show(brk(end + 3 * PAGE + 5));
  show((char *)sbrk(0) - end);
  touch("the new heap", end + 3 * PAGE, 1);
  show(brk(end + 10));
  show(brk(end + 3 * PAGE));
  printf("given back and taken again: %d\n", end[2 * PAGE]);
  show(brk((void *)(1ul << 46)));
  show(brk((void *)16));
  show((char *)sbrk(0) - end);
}

// --- files

static int file_of(const char *name, int size) {
  char path[200], bytes[5 * PAGE];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  unlink(path);
  for (int i = 0; i < size; i++) bytes[i] = 'A' + i / 1000 % 26;
  if (write(fd, bytes, size) != size) abort();
  return fd;
}

static void files(void) {
  section("file mappings");
  int fd = file_of("file", PAGE + 100);
  char *map = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  printf("%c %c, behind the end: %d\n", map[0], map[PAGE + 99], map[PAGE + 100]);
  touch("a page behind the end of the file", map + 2 * PAGE, 0);
  touch("a page behind the end of the file", map + 2 * PAGE, 1);
  map[0] = '!';
  char byte;
  if (pread(fd, &byte, 1, 0) != 1) return;
  printf("a private write stays private: %c %c\n", map[0], byte);
  show(madvise(map, PAGE, MADV_DONTNEED));
  printf("dropped: %c\n", map[0]);
  char *second = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
  printf("%c\n", second[0]);
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 100));
  char path[200];
  snprintf(path, sizeof path, "%s/other", folder);
  int write_only = open(path, O_WRONLY | O_CREAT, 0600), read_only = open(path, O_RDONLY);
  unlink(path);
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0));
  show_pointer(mmap(0, PAGE, PROT_WRITE, MAP_SHARED, read_only, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_SHARED, read_only, 0));
  show_pointer(mmap(0, PAGE, PROT_WRITE, MAP_PRIVATE, read_only, 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, open(folder, O_RDONLY), 0));
  show_pointer(mmap(0, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, read_only, 0));
  close(fd);
  printf("closed, still there: %c\n", map[PAGE]);
}

static void shared_files(void) {
  section("shared file mappings");
  int fd = file_of("shared", 2 * PAGE);
  char *map = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  show_pointer(map);
  if (map == MAP_FAILED) return;
  char bytes[20] = {0};
  memcpy(map + 10, "through memory", 14);
  show(pread(fd, bytes, 14, 10));
  printf("%s\n", bytes);
  show(pwrite(fd, "through the file", 16, PAGE + 5));
  printf("%.16s\n", map + PAGE + 5);
  char *again = mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  printf("%.16s\n", again + 5);
  char *private = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
  printf("%.16s\n", private + 5);
  map[PAGE + 5] = 'T';
  // Now both have it: a system call has been made.
  sched_yield();
  printf("%c %c\n", again[5], map[PAGE + 5]);
  pid_t pid = fork();
  if (pid == 0) {
    printf("child sees %.16s\n", map + PAGE + 5);
    memcpy(map + PAGE + 5, "from the child..", 16);
    _exit(0);
  }
  waitpid(pid, 0, 0);
  printf("parent sees %.16s\n", again + 5);
  touch("behind the end", map + 2 * PAGE, 0);
  show(ftruncate(fd, 3 * PAGE));
  touch("it after the file has grown", map + 2 * PAGE, 1);
  show(pread(fd, bytes, 1, 2 * PAGE));
  printf("%c\n", bytes[0]);
  show(ftruncate(fd, PAGE));
  touch("a page cut off", map + PAGE, 0);
  touch("a page that is left", map, 0);
  show(ftruncate(fd, 2 * PAGE));
  printf("grown again: %d\n", map[PAGE + 5]);
  show(msync(map, PAGE, MS_SYNC));
  show(munmap(map, 3 * PAGE));
  show(pread(fd, bytes, 14, 10));
  printf("%.14s\n", bytes);
  close(fd);
  int memory = memfd_create("name", MFD_CLOEXEC);
  show(ftruncate(memory, PAGE));
  map = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  show_pointer(map);
  if (map == MAP_FAILED) return;
  map[1] = 'm';
  show(pread(memory, bytes, 2, 0));
  printf("%c\n", bytes[1]);
}

// --- between processes

static void shared(void) {
  section("shared memory");
  volatile int *words = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  volatile int *alone = (int *)fresh(1);
  words[0] = alone[0] = 1;
  pid_t pid = fork();
  if (pid == 0) {
    printf("child: %d %d\n", words[0], alone[0]);
    words[0] = alone[0] = 2;
    words[1024] = 3;
    _exit(0);
  }
  waitpid(pid, 0, 0);
  printf("parent: %d %d %d\n", words[0], alone[0], words[1024]);

  // Turns, spinning.
  if ((pid = fork()) == 0) {
    for (int i = 0; i < 100; i++) {
      while (words[1] != 2 * i + 1) sched_yield();
      words[2] += i;
      words[1] = 2 * i + 2;
    }
    _exit(0);
  }
  for (int i = 0; i < 100; i++) {
    words[2] += 1000;
    words[1] = 2 * i + 1;
    while (words[1] != 2 * i + 2) sched_yield();
  }
  waitpid(pid, 0, 0);
  printf("turns: %d\n", words[2]);

  // A process-shared mutex and condition; a grandchild; a robust mutex whose owner process dies.
  struct {
    pthread_mutex_t lock, robust;
    pthread_cond_t condition;
    int value, children;
  } *together = (void *)((char *)words + PAGE);
  pthread_mutexattr_t attributes;
  pthread_condattr_t shared_condition;
  pthread_mutexattr_init(&attributes);
  pthread_condattr_init(&shared_condition);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_condattr_setpshared(&shared_condition, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&together->lock, &attributes);
  pthread_cond_init(&together->condition, &shared_condition);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&together->robust, &attributes);
  together->value = together->children = 0;
  for (int i = 0; i < 3; i++) {
    if (fork() != 0) continue;
    if (i == 2 && fork() == 0) {
      pthread_mutex_lock(&together->lock);
      together->value += 1000;
      pthread_mutex_unlock(&together->lock);
      _exit(0);
    }
    for (int round = 0; round < 50; round++) {
      pthread_mutex_lock(&together->lock);
      together->value++;
      pthread_mutex_unlock(&together->lock);
    }
    pthread_mutex_lock(&together->lock);
    together->children++;
    pthread_cond_signal(&together->condition);
    pthread_mutex_unlock(&together->lock);
    if (i == 2) wait(0);
    _exit(0);
  }
  pthread_mutex_lock(&together->lock);
  while (together->children < 3) pthread_cond_wait(&together->condition, &together->lock);
  pthread_mutex_unlock(&together->lock);
  while (wait(0) > 0) {
  }
  printf("together: %d\n", together->value);
  if ((pid = fork()) == 0) {
    pthread_mutex_lock(&together->robust);
    kill(getpid(), SIGKILL);
  }
  waitpid(pid, 0, 0);
  show_error(pthread_mutex_lock(&together->robust));
  show_error(pthread_mutex_consistent(&together->robust));
  show_error(pthread_mutex_unlock(&together->robust));

  // A protection, a hole and a move are the process's own.
  if ((pid = fork()) == 0) {
    mprotect((void *)words, PAGE, PROT_READ);
    touch("protected in the child", (char *)words, 1);
    munmap((char *)words + 2 * PAGE, PAGE);
    int *moved = mremap((void *)((char *)words + 3 * PAGE), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)alone);
    *moved = 77;
    _exit(0);
  }
  waitpid(pid, 0, 0);
  words[0] = 5;
  printf("parent: %d, through the moved page %d\n", words[2 * 1024], words[3 * 1024]);
  words[5] = 55;
  show(madvise((void *)words, PAGE, MADV_DONTNEED));
  printf("MADV_DONTNEED keeps what is shared: %d\n", words[5]);
  // A system call writes for all.
  int pipes[2];
  if (pipe(pipes) < 0 || write(pipes[1], "\1\2\3\4", 4) != 4) return;
  if ((pid = fork()) == 0) _exit(read(pipes[0], (void *)words, 4) - 4);
  waitpid(pid, 0, 0);
  printf("read by the child: %x\n", words[0]);
  // The memory of a shared area lasts as long as anybody has it.
  if ((pid = fork()) == 0) {
    while (words[10] == 0) sched_yield();
    _exit(words[11]);
  }
  words[11] = 44;
  words[10] = 1;
  munmap((void *)words, 4 * PAGE);
  int status;
  waitpid(pid, &status, 0);
  report_status("the last one", status);
}

// Two mappings of a page in one process: stores through one are seen through the other at once.
static void twice(void) {
  differs("mmap");
  int memory = memfd_create("twice", 0);
  show(ftruncate(memory, PAGE));
  volatile char *one = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  volatile char *two = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  *one = 'x';
  int seen = *two == 'x';
  sched_yield();
  printf("seen at once: %d, after a system call: %d\n", seen, *two == 'x');
}

static void private_fork(void) {
  section("private memory and fork");
  char *base = fresh(3);
  base[0] = 1;
  mprotect(base + PAGE, PAGE, PROT_NONE);
  pid_t pid = fork();
  if (pid == 0) {
    base[0]++;
    touch("PROT_NONE in the child", base + PAGE, 0);
    munmap(base + 2 * PAGE, PAGE);
    printf("child: %d\n", base[0]);
    _exit(0);
  }
  waitpid(pid, 0, 0);
  printf("parent: %d, %s\n", base[0], outcome(base + 2 * PAGE, 0));
  char *forgotten = fresh(1);
  *forgotten = 1;
  show(madvise(forgotten, PAGE, MADV_DONTFORK));
  char *wiped = fresh(1);
  *wiped = 1;
  show(madvise(wiped, PAGE, MADV_WIPEONFORK));
  if ((pid = fork()) == 0) {
    touch("MADV_DONTFORK in the child", forgotten, 0);
    printf("MADV_WIPEONFORK: %d\n", *wiped);
    _exit(0);
  }
  waitpid(pid, 0, 0);
}

// --- /proc/self/maps

static void row_of(const char *what, void *address) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[600];
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end, offset, inode;
    unsigned major, minor;
    char mode[5];
    int at = 0;
    sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &start, &end, mode, &offset, &major, &minor, &inode, &at);
    if ((uintptr_t)address < start || (uintptr_t)address >= end) continue;
    char *name = strrchr(line + at, '/');
    printf("%s: %s offset %lx, inode %s, %s%s", what, mode, offset, inode ? "yes" : "no", line[at] == '/' ? "..." : "",
           name ? name : line[at] ? line + at : "nothing\n");
    fclose(maps);
    return;
  }
  fclose(maps);
  printf("%s: not there\n", what);
}

static void maps(void) {
  section("/proc/self/maps");
  int local;
  char *heap = sbrk(16);
  row_of("code", (void *)(uintptr_t)maps);
  row_of("stack", &local);
  row_of("heap", heap);
  char *base = fresh(3);
  mprotect(base + PAGE, PAGE, PROT_READ | PROT_EXEC);
  row_of("anonymous", base);
  row_of("in the middle", base + PAGE);
  int fd = file_of("mapped", PAGE);
  char *file = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  row_of("file", file);
  munmap(base, PAGE);
  row_of("nothing", base);
  struct rlimit limit;
  getrlimit(RLIMIT_STACK, &limit);
  printf("stack limit %lu KiB\n", (unsigned long)limit.rlim_cur / 1024);
}

// --- the stack

static int recurse(int depth) {
  char frame[1024];
  __asm__ volatile("" ::"r"(frame) : "memory");
  return depth == 0 ? 0 : recurse(depth - 1) + 1;
}

static void stack(void) {
  section("stack");
  // Down to where it begins, so libc makes it executable; nothing else grows that way.
  char *here = (char *)((uintptr_t)__builtin_frame_address(0) & -PAGE);
  show(mprotect(here, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN));
  unsigned char code[] = {0xb8, 5, 0, 0, 0, 0xc3};
  show(((int (*)(void))(void *)code)());
  show(mprotect(here, PAGE, PROT_READ | PROT_WRITE | PROT_GROWSDOWN));
  show(mprotect(here + 1, PAGE, PROT_READ | PROT_WRITE | PROT_GROWSDOWN));
  char *no_stack = fresh(1);
  show(mprotect(no_stack, PAGE, PROT_READ | PROT_GROWSDOWN));
  munmap(no_stack, PAGE);
  show(mprotect(no_stack, PAGE, PROT_READ | PROT_GROWSDOWN));
  show(mprotect(here, PAGE, PROT_READ | PROT_WRITE | PROT_GROWSUP));
  printf("seven MiB deep: %d\n", recurse(6500) == 6500);
  char *low = (char *)__builtin_frame_address(0) - (16 << 20);
  touch("far below the stack", low, 1);
}

// --- how much

static void how_much(void) {
  section("limits of memory");
  char *large = mmap(0, 1ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  show_pointer(large);
  show(munmap(large, 1ul << 30));
  void *blocks[64];
  int count = 0;
  while (count < 64 && (blocks[count] = malloc(1 << 20))) {
    memset(blocks[count], count, 1 << 20);
    count++;
  }
  int sum = 0;
  for (int i = 0; i < count; i++) sum += ((char *)blocks[i])[12345];
  printf("64 MiB: %d %d\n", count, sum);
}

void checks(void) {
  if (!mkdtemp(folder)) return;
  on_signal_info(SIGSEGV, caught, 0);
  on_signal_info(SIGBUS, caught, 0);
  places();
  protections();
  remaps();
  advice();
  files();
  private_fork();
  shared();
  shared_files();
  maps();
  stack();
  how_much();
  show(rmdir(folder));
  twice();
}
