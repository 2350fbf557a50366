// The system and the caller's standing in it: limits, ids, names, scheduling; and errors for bad pointers, descriptors,
// flags in every area of calls.
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>

// Calls whose arguments the C library or the compiler would not let through.
#define call(name, ...) show(syscall(SYS_##name, ##__VA_ARGS__))

static void limits(void) {
  section("limits");
  struct rlimit limit = {50, 100}, before;
  show(setrlimit(RLIMIT_NOFILE, &limit));
  show(prlimit(0, RLIMIT_NOFILE, 0, &before));
  printf("%lu %lu\n", (unsigned long)before.rlim_cur, (unsigned long)before.rlim_max);
  int fds[60], count = 0;
  while (count < 60 && (fds[count] = dup(0)) >= 0) count++;
  printf("descriptors: up to %d, then %s\n", fds[count - 1], strerrorname_np(errno));
  show(dup2(0, 50));
  show(dup2(0, 49));
  show(fcntl(0, F_DUPFD, 50));
  while (count > 0) close(fds[--count]);
  limit = (struct rlimit){100, 50};
  show(setrlimit(RLIMIT_NOFILE, &limit));
  show(getrlimit(99, &limit));
  show(getrlimit(RLIMIT_CORE, BAD));
  show(setrlimit(RLIMIT_CORE, BAD));
  show(prlimit(123456, RLIMIT_CORE, 0, 0));
  show(prlimit(0, 16, 0, 0));
  limit = (struct rlimit){0, 0};
  pid_t pid = fork();
  if (pid == 0) {
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("inherited: %lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    _exit(0);
  }
  waitpid(pid, 0, 0);
  limit = (struct rlimit){60, 100};
  show(prlimit(0, RLIMIT_NOFILE, &limit, &before));
  printf("%lu\n", (unsigned long)before.rlim_cur);
  struct rusage usage;
  show(getrusage(RUSAGE_SELF, &usage));
  show(getrusage(RUSAGE_CHILDREN, &usage));
  show(getrusage(RUSAGE_THREAD, &usage));
  show(getrusage(5, &usage));
  show(getrusage(RUSAGE_SELF, BAD));
}

static void names(void) {
  section("names");
  struct utsname name;
  show(uname(&name));
  printf("%s %s\n", name.sysname, name.machine);
  call(uname, BAD);
  char host[65], longer[70];
  show(gethostname(host, sizeof host));
  show(strcmp(host, name.nodename));
  memset(longer, 'h', sizeof longer);
  show(sethostname(longer, 65));
  show(sethostname(BAD, 5));
  call(sethostname, longer, -1L);
  char text[17] = {0};
  show(prctl(PR_SET_NAME, "a name that is too long"));
  show(prctl(PR_GET_NAME, text));
  printf("%s\n", text);
  show(prctl(PR_SET_NAME, BAD));
  show(prctl(PR_GET_NAME, BAD));
  char line[64] = {0};
  int comm = open("/proc/self/comm", O_RDONLY);
  if (read(comm, line, sizeof line - 1) < 0) return;
  printf("comm %s", line);
  struct sysinfo info;
  show(sysinfo(&info));
  printf("memory %d, unit %u\n", info.totalram > info.freeram, info.mem_unit);
  show(sysinfo(BAD));
  unsigned char random[64] = {0};
  show(getrandom(random, 64, 0));
  int sum = 0;
  for (int i = 0; i < 64; i++) sum |= random[i];
  show(sum != 0);
  show(getrandom(random, 64, GRND_NONBLOCK));
  show(getrandom(random, 64, 0x100));
  show(getrandom(random, 64, GRND_RANDOM | 4));
  show(getrandom(BAD, 64, 0));
  show(getrandom(BAD, 0, 0));
  unsigned cpu = 9, node = 9;
  show(syscall(SYS_getcpu, &cpu, &node, 0));
  printf("node %u\n", node);
  show(syscall(SYS_getcpu, BAD, 0, 0));
}

static void switches(void) {
  section("prctl");
  show(prctl(PR_GET_DUMPABLE));
  show(prctl(PR_SET_DUMPABLE, 0));
  show(prctl(PR_GET_DUMPABLE));
  show(prctl(PR_SET_DUMPABLE, 2));
  show(prctl(PR_SET_DUMPABLE, 1));
  show(prctl(PR_SET_PDEATHSIG, 65));
  show(prctl(PR_SET_PDEATHSIG, 10));
  int signo = 0;
  show(prctl(PR_GET_PDEATHSIG, &signo));
  show(signo);
  show(prctl(PR_GET_PDEATHSIG, BAD));
  show(prctl(PR_SET_PDEATHSIG, 0));
  show(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  show(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
  show(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  show(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  show(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  show(prctl(PR_GET_KEEPCAPS));
  show(prctl(PR_SET_KEEPCAPS, 1));
  show(prctl(PR_GET_KEEPCAPS));
  show(prctl(PR_SET_KEEPCAPS, 2));
  show(prctl(PR_GET_TIMERSLACK));
  show(prctl(PR_SET_TIMERSLACK, 1000));
  show(prctl(PR_GET_TIMERSLACK));
  show(prctl(PR_SET_TIMERSLACK, 0));
  show(prctl(PR_GET_TIMERSLACK));
  show(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  show(prctl(PR_CAPBSET_READ, 100));
  show(prctl(PR_GET_CHILD_SUBREAPER, &signo));
  show(signo);
  show(prctl(12345));
  long value = 0;
  show(syscall(SYS_arch_prctl, 0x1003, &value));
  show(value != 0);
  show(syscall(SYS_arch_prctl, 0x1003, BAD));
  show(syscall(SYS_arch_prctl, 0x1001, 0x1234));
  show(syscall(SYS_arch_prctl, 0x1004, &value));
  show(value);
  show(syscall(SYS_arch_prctl, 0x1002, -1ul));
  show(syscall(SYS_arch_prctl, 0x9999, 0));
  show(syscall(SYS_personality, 0xffffffff));
}

static void say_ids(void) {
  uid_t r, e, s;
  gid_t gr, ge, gs;
  getresuid(&r, &e, &s);
  getresgid(&gr, &ge, &gs);
  printf("uid %d %d %d fs %ld, gid %d %d %d fs %ld\n", r, e, s, syscall(SYS_setfsuid, -1), gr, ge, gs, syscall(SYS_setfsgid, -1));
}

static void ids_in_child(void) {
  gid_t groups[5] = {5, 6, 7};
  show(setgroups(3, groups));
  memset(groups, 0, sizeof groups);
  show(getgroups(5, groups));
  printf("%d %d %d\n", groups[0], groups[1], groups[2]);
  show(getgroups(2, groups));
  show(getgroups(0, 0));
  call(getgroups, -1, groups);
  show(getgroups(5, BAD));
  call(setgroups, -1, groups);
  call(setgroups, 1, BAD);
  call(setgroups, 70000, groups);
  call(setresgid, 10, 20, 30);
  say_ids();
  call(setregid, -1, 10);
  say_ids();
  call(setresuid, 1, 0, 2);
  say_ids();
  call(setfsuid, 77);
  say_ids();
  call(setreuid, 3, -1);
  say_ids();
  call(setreuid, -1, 4);
  say_ids();
  // No longer root.
  call(setuid, 0);
  call(setuid, 99);
  call(setuid, 3);
  say_ids();
  call(setresuid, -1, 4, -1);
  call(setresuid, 3, 4, 3);
  say_ids();
  call(setgroups, 0, 0);
  call(setgid, 99);
  call(setuid, -1);
  call(setresuid, -1, -1, -1);
  call(setfsuid, 99);
  call(setfsuid, 4);
  say_ids();
}

static void root_drops(void) {
  call(setuid, 1000);
  say_ids();
  call(setuid, 0);
}

static void identities(void) {
  section("ids");
  say_ids();
  show(getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0);
  in_child("ids", ids_in_child);
  in_child("root drops its rights", root_drops);
  call(getresuid, BAD, BAD, BAD);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  call(capget, &header, data);
  printf("effective is permitted: %d\n", data[0].effective == data[0].permitted && data[0].permitted != 0);
  header.version = 1;
  call(capget, &header, data);
  printf("version %x\n", header.version);
  call(capget, BAD, data);
}

static void scheduling(void) {
  section("scheduling");
  cpu_set_t set;
  CPU_ZERO(&set);
  show(sched_getaffinity(0, sizeof set, &set));
  show(CPU_COUNT(&set) >= 1);
  show(sched_setaffinity(0, sizeof set, &set));
  call(sched_getaffinity, 0, 3, &set);
  call(sched_getaffinity, 123456, sizeof set, &set);
  call(sched_getaffinity, 0, sizeof set, BAD);
  CPU_ZERO(&set);
  show(sched_setaffinity(0, sizeof set, &set));
  show(sched_setaffinity(123456, sizeof set, &set));
  call(sched_setaffinity, 0, sizeof set, BAD);
  struct sched_param parameter = {77};
  show(sched_getparam(0, &parameter));
  show(parameter.sched_priority);
  show(sched_getparam(123456, &parameter));
  show(sched_getparam(-1, &parameter));
  call(sched_getparam, 0, 0);
  show(sched_getscheduler(0));
  show(sched_getscheduler(123456));
  show(sched_getscheduler(-1));
  parameter.sched_priority = 0;
  show(sched_setparam(0, &parameter));
  show(sched_setparam(123456, &parameter));
  show(sched_setscheduler(0, SCHED_OTHER, &parameter));
  show(sched_setscheduler(0, SCHED_BATCH, &parameter));
  show(sched_getscheduler(0));
  show(sched_setscheduler(0, SCHED_OTHER, &parameter));
  show(sched_setscheduler(0, 77, &parameter));
  show(sched_setscheduler(123456, SCHED_OTHER, &parameter));
  parameter.sched_priority = 5;
  show(sched_setscheduler(0, SCHED_OTHER, &parameter));
  show(sched_setparam(0, &parameter));
  show(sched_get_priority_max(SCHED_OTHER));
  show(sched_get_priority_max(SCHED_FIFO));
  show(sched_get_priority_min(SCHED_RR));
  show(sched_get_priority_min(4));
  show(getpriority(PRIO_PROCESS, 0));
  show(setpriority(PRIO_PROCESS, 0, 5));
  show(getpriority(PRIO_PROCESS, 0));
  show(nice(2));
  pid_t pid = fork();
  if (pid == 0) _exit(getpriority(PRIO_PROCESS, 0));
  int status;
  waitpid(pid, &status, 0);
  report_status("a child's", status);
  show(setpriority(PRIO_PROCESS, 0, 100));
  show(getpriority(PRIO_PROCESS, 0));
  show(setpriority(PRIO_PROCESS, 0, 0));
  show(getpriority(9, 0));
  show(getpriority(PRIO_PROCESS, 123456));
  show(setpriority(PRIO_PROCESS, 123456, 0));
  call(membarrier, 0x100000, 0);
  differs("sched_setscheduler");
  parameter.sched_priority = 5;
  show(sched_setscheduler(0, SCHED_FIFO, &parameter));
}

// --- bad arguments, area by area

static void bad_arguments(void) {
  section("bad descriptors");
  char byte[16];
  struct stat status;
  call(read, 99, byte, 1);
  call(write, 99, byte, 1);
  call(close, 99);
  call(close, -1);
  call(fstat, 99, &status);
  call(lseek, 99, 0, 0);
  call(ioctl, 99, FIONREAD, byte);
  call(pread64, 99, byte, 1, 0);
  call(readv, 99, byte, 1);
  call(dup, 99);
  call(dup2, 99, 5);
  call(dup3, 1, 1, 0);
  call(fcntl, 99, F_GETFD);
  call(fsync, 99);
  call(ftruncate, 99, 0);
  call(getdents64, 99, byte, 16);
  call(fchdir, 99);
  call(fchmod, 99, 0);
  call(epoll_ctl, 99, EPOLL_CTL_ADD, 0, byte);
  call(epoll_wait, 99, byte, 1, 0);
  call(epoll_wait, 0, byte, 1, 0);
  call(accept, 99, 0, 0);
  call(bind, 99, byte, 16);
  call(connect, 0, byte, 16);
  call(sendto, 99, byte, 1, 0, 0, 0);
  call(recvfrom, 0, byte, 1, 0, 0, 0);
  call(getsockname, 99, byte, byte);
  call(shutdown, 99, 0);
  call(inotify_add_watch, 99, "/", IN_CREATE);
  call(openat, 99, "x", O_RDONLY);
  call(mkdirat, 99, "x", 0);

  section("bad pointers");
  int ends[2], fd = open("/proc/self/comm", O_RDONLY), epoll = epoll_create1(0);
  if (pipe(ends) < 0) return;
  call(read, fd, BAD, 1);
  call(read, fd, FAR, 1);
  call(read, fd, (void *)-1, 1);
  call(write, ends[1], BAD, 1);
  call(write, ends[1], FAR, 1);
  call(writev, ends[1], BAD, 1);
  struct iovec vector = {BAD, 5};
  call(writev, ends[1], &vector, 1);
  call(writev, ends[1], &vector, -1);
  call(writev, ends[1], &vector, 2000);
  vector.iov_len = -1;
  call(writev, ends[1], &vector, 1);
  call(pipe2, BAD, 0);
  call(pipe2, ends, 0x1);
  call(open, BAD, O_RDONLY);
  call(open, FAR, O_RDONLY);
  call(stat, BAD, &status);
  call(stat, "/", BAD);
  call(fstat, fd, BAD);
  call(newfstatat, AT_FDCWD, "/", &status, 0x8000000);
  call(getcwd, BAD, 100);
  call(getcwd, byte, 1);
  call(chdir, BAD);
  call(mkdir, BAD, 0);
  call(unlink, BAD);
  call(rename, BAD, "x");
  call(readlink, "/proc/self", BAD, 10);
  call(readlink, "/proc/self", byte, 0);
  call(access, BAD, 0);
  call(access, "/", 9);
  call(poll, BAD, 1, 0);
  call(poll, byte, 1000000, 0);
  call(select, 5, BAD, 0, 0, 0);
  call(select, -1, 0, 0, 0, 0);
  struct timeval wrong = {0, -1};
  call(select, 0, 0, 0, 0, &wrong);
  call(select, 0, 0, 0, 0, BAD);
  call(ppoll, 0, 0, BAD, 0, 8);
  call(ppoll, 0, 0, 0, BAD, 8);
  call(ppoll, 0, 0, 0, byte, 4);
  call(epoll_ctl, epoll, EPOLL_CTL_ADD, ends[0], BAD);
  call(epoll_ctl, epoll, 99, ends[0], byte);
  call(epoll_ctl, epoll, EPOLL_CTL_ADD, epoll, byte);
  call(epoll_ctl, epoll, EPOLL_CTL_DEL, ends[0], 0);
  call(epoll_wait, epoll, byte, 0, 0);
  call(epoll_wait, epoll, byte, -1, 0);
  call(epoll_create, 0);
  call(epoll_create1, 1);
  call(eventfd2, 0, 1 << 30);
  call(socket, 99, SOCK_STREAM, 0);
  call(socket, AF_INET, 99, 0);
  call(socketpair, AF_UNIX, SOCK_STREAM, 0, BAD);
  int sock = socket(AF_UNIX, SOCK_STREAM, 0);
  call(bind, sock, BAD, 16);
  call(connect, sock, BAD, 16);
  call(getsockopt, sock, SOL_SOCKET, SO_TYPE, BAD, BAD);
  call(setsockopt, sock, SOL_SOCKET, SO_REUSEADDR, BAD, 4);
  call(setsockopt, sock, SOL_SOCKET, 9999, byte, 4);
  call(sendmsg, sock, BAD, 0);
  call(recvmsg, sock, BAD, 0);
  call(ioctl, ends[0], FIONREAD, BAD);
  call(ioctl, ends[0], 0x1234, 0);
  call(fcntl, fd, 9999, 0);
  call(fcntl, fd, F_GETLK, BAD);
  call(lseek, fd, 0, 99);
  call(lseek, ends[0], 0, SEEK_SET);
  call(pread64, ends[0], byte, 1, 0);
  call(pread64, fd, byte, 1, -1L);
  call(statfs, "/", BAD);
  call(utimensat, AT_FDCWD, "/nowhere", BAD, 0);
  call(getdents64, open("/", O_RDONLY | O_DIRECTORY), byte, 1);
  call(clock_gettime, 0, FAR);
  call(wait4, -1, 0, 0x4000, 0);
  call(setitimer, 0, FAR, 0);
  call(sysinfo, FAR);
  call(uname, FAR);

  section("no such call");
  call(lookup_dcookie, 0, 0, 0);
  show(syscall(5000));
  show(syscall(-1));
}

void checks(void) {
  limits();
  names();
  switches();
  identities();
  scheduling();
  bad_arguments();
}
