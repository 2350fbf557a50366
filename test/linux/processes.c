// Processes: fork, vfork, exec in all its ways, waiting, orphans, groups and sessions. The program executes itself with an
// argument that says what to do.
#include "check.h"
#include <dirent.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/auxv.h>
#include <sched.h>

extern char **environ;
static char me[4096];
static char folder[] = "/tmp/tardigrade-processes-XXXXXX";
// What all such folders begin with.
enum { PREFIX = sizeof folder - 7 };

static char *in_folder(const char *name) {
  static char paths[4][4200];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 4200, "%s/%s", folder, name);
  return path;
}

static void put_file(const char *name, const char *text, mode_t mode) {
  int fd = open(in_folder(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (write(fd, text, strlen(text)) < 0) abort();
  fchmod(fd, mode);
  close(fd);
}

static void wait_for(const char *what, pid_t pid) {
  int status;
  pid_t got = waitpid(pid, &status, 0);
  if (got == pid) report_status(what, status);
  else report(what, got);
}

static int compare(const void *a, const void *b) { return *(int *)a - *(int *)b; }

// --- what the executed program says of itself

static const char *handler_of(int signo) {
  struct sigaction action;
  sigaction(signo, 0, &action);
  static char text[40];
  snprintf(text, sizeof text, "%s/%x",
           action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignored" : "handler",
           action.sa_flags & ~0x04000000);
  return text;
}

// argv, the environment, descriptors, dispositions, masks: what execve keeps and what it does not.
static void describe(int argc, char **argv) {
  for (int i = 0; i < argc; i++)
    printf("  argv[%d] = %s\n", i,
           !strcmp(argv[i], me)                  ? "(me)"
           : !strncmp(argv[i], folder, PREFIX) ? argv[i] + sizeof folder
                                                 : argv[i]);
  for (char **variable = environ; *variable; variable++) printf("  env %s\n", *variable);
  printf("  descriptors:");
  for (int fd = 3; fd < 64; fd++)
    if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
  printf("\n  USR1 %s", handler_of(SIGUSR1));
  printf(", USR2 %s", handler_of(SIGUSR2));
  printf(", CHLD %s\n", handler_of(SIGCHLD));
  sigset_t set, pending;
  sigprocmask(SIG_BLOCK, 0, &set);
  sigpending(&pending);
  printf("  blocked: HUP %d INT %d; pending: HUP %d INT %d\n", sigismember(&set, SIGHUP), sigismember(&set, SIGINT),
         sigismember(&pending, SIGHUP), sigismember(&pending, SIGINT));
  stack_t stack;
  sigaltstack(0, &stack);
  struct itimerval alarm;
  getitimer(ITIMER_REAL, &alarm);
  timer_t timer = 0;
  struct itimerspec posix;
  char name[16];
  prctl(PR_GET_NAME, name);
  printf("  alternate stack %s, alarm %s, timer %s, name %s, umask %o, tid %s\n",
         stack.ss_flags == SS_DISABLE ? "off" : "on", alarm.it_value.tv_sec ? "set" : "off",
         syscall(SYS_timer_gettime, timer, &posix) == 0 ? "there" : "gone", name, umask(0),
         gettid() == getpid() ? "is the pid" : "is not the pid");
  printf("  dumpable %d, no_new_privs %d, nice %d, death signal %d\n", prctl(PR_GET_DUMPABLE),
         prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), getpriority(PRIO_PROCESS, 0),
         ({ int signo = 0; prctl(PR_GET_PDEATHSIG, &signo); signo; }));
  const char *executed = (const char *)getauxval(AT_EXECFN);
  const char *base = strrchr(executed, '/');
  printf("  AT_EXECFN .../%s, AT_SECURE %ld, AT_PAGESZ %ld, AT_UID %s\n", base ? base + 1 : executed, getauxval(AT_SECURE),
         getauxval(AT_PAGESZ),
         getauxval(AT_UID) == getuid() ? "mine" : "another");
}

// --- fork

static int global = 1;
static int forks_seen[2], forks_count;
static void saw_fork(int where) {
  if (forks_count < 2) forks_seen[forks_count++] = where;
}
static void before_fork(void) { saw_fork(1); }
static void after_fork_parent(void) { saw_fork(2); }
static void after_fork_child(void) { saw_fork(3); }

static void forks(void) {
  section("fork");
  int local = 1;
  pid_t pid = fork();
  if (pid == 0) {
    global = local = 2;
    printf("child: ppid is the parent's: %d, %d %d\n", getppid() != 1, global, local);
    _exit(200 + 56 + 3);
  }
  wait_for("child", pid);
  printf("parent: %d %d\n", global, local);
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
  pid = fork();
  if (pid == 0) {
    printf("child: atfork %d %d\n", forks_seen[0], forks_seen[1]);
    _exit(0);
  }
  wait_for("child", pid);
  printf("parent: atfork %d %d\n", forks_seen[0], forks_seen[1]);

  // A description is shared: its offset moves for both.
  put_file("offset", "abcdef", 0600);
  int fd = open(in_folder("offset"), O_RDONLY);
  char byte;
  if (read(fd, &byte, 1) < 0) return;
  if ((pid = fork()) == 0) _exit(read(fd, &byte, 2 - 1) == 1 ? byte : 0);
  wait_for("child read", pid);
  if (read(fd, &byte, 1) < 0) return;
  printf("parent read %c\n", byte);

  // Pending signals, alarms and locks are not inherited; masks and dispositions are.
  mask_signals(SIG_BLOCK, SIGHUP);
  raise(SIGHUP);
  alarm(1000);
  if ((pid = fork()) == 0) {
    sigset_t pending, set;
    sigpending(&pending);
    sigprocmask(SIG_BLOCK, 0, &set);
    printf("child: pending %d, blocked %d, alarm %u\n", sigismember(&pending, SIGHUP), sigismember(&set, SIGHUP), alarm(0));
    _exit(0);
  }
  wait_for("child", pid);
  printf("parent: alarm %d\n", alarm(0) > 900);
  signal(SIGHUP, SIG_IGN);
  mask_signals(SIG_UNBLOCK, SIGHUP);
  signal(SIGHUP, SIG_DFL);

  static volatile int shared = 1;
  pid = vfork();
  if (pid == 0) {
    shared = 2;
    _exit(4);
  }
  printf("vfork: shared %d\n", shared);
  wait_for("child", pid);
  pid = vfork();
  if (pid == 0) {
    execl("/nowhere", "nowhere", (char *)0);
    shared = errno;
    _exit(5);
  }
  printf("vfork: exec says %s\n", strerrorname_np(shared));
  wait_for("child", pid);

  // Whoever waits for its child of vfork is deaf to handlers, but not to SIGKILL.
  if ((pid = fork()) == 0) {
    setpgid(0, 0);
    if (vfork() == 0) {
      for (;;) pause();
    }
    _exit(6);
  }
  wait_for_state(pid, pid, "DS");
  kill(pid, SIGKILL);
  wait_for("parent of a vforked child", pid);
  show(kill(-pid, SIGKILL));
}

// --- exec

static void say_exec(const char *what, const char *path, char **argv, char **env) {
  pid_t pid = fork();
  if (pid == 0) {
    execve(path, argv, env);
    printf("%s: %s\n", what, strerrorname_np(errno));
    _exit(0);
  }
  waitpid(pid, 0, 0);
}

static void *exec_in_thread(void *unused) {
  char *argv[] = {me, "describe", "from a thread", 0}, *env[] = {"A=1", 0};
  execve(me, argv, env);
  return unused;
}

static void *wait_for_ever(void *unused) {
  for (;;) pause();
  return unused;
}

static void handle(int signo) { (void)signo; }

static void execs(void) {
  section("exec keeps and drops");
  pid_t pid = fork();
  if (pid == 0) {
    if (dup2(1, 10) < 0 || dup2(1, 11) < 0 || dup2(1, 12) < 0) _exit(1);
    fcntl(11, F_SETFD, FD_CLOEXEC);
    on_signal(SIGUSR1, handle, SA_RESTART | SA_NODEFER);
    on_signal(SIGUSR2, SIG_IGN, SA_RESTART);
    on_signal(SIGCHLD, SIG_IGN, SA_NOCLDWAIT);
    mask_signals(SIG_BLOCK, SIGHUP);
    raise(SIGHUP);
    static char stack_memory[65536];
    stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory};
    sigaltstack(&stack, 0);
    alarm(1000);
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, 0, &timer);
    umask(0123);
    prctl(PR_SET_NAME, "renamed");
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, SIGINT);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setpriority(PRIO_PROCESS, 0, 3);
    char *argv[] = {me, "describe", "", "two words", 0}, *env[] = {"A=1", "EMPTY=", "no equals sign", 0};
    execve(me, argv, env);
    _exit(1);
  }
  wait_for("exec", pid);

  section("exec in another thread");
  if ((pid = fork()) == 0) {
    pthread_t threads[3];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, wait_for_ever, 0);
    mask_signals(SIG_BLOCK, SIGINT);
    pthread_create(&threads[2], 0, exec_in_thread, 0);
    wait_for_ever(0);
  }
  wait_for("exec", pid);

  section("scripts");
  static char text[5000];
  char *argv[] = {"zero", "one", 0}, *env[] = {0};
  snprintf(text, sizeof text, "#!%s describe\n", me);
  put_file("script", text, 0700);
  say_exec("script", in_folder("script"), argv, env);
  snprintf(text, sizeof text, "#! \t %s \t describe with spaces \t\n", me);
  put_file("script", text, 0700);
  say_exec("script", in_folder("script"), argv, env);
  snprintf(text, sizeof text, "#!%s", in_folder("script"));
  put_file("nested", text, 0700);
  say_exec("nested", in_folder("nested"), argv, env);
  for (int i = 0; i < 6; i++) {
    char name[] = {'d', '0' + i, 0}, below[] = {'d', '0' + i - 1, 0};
    snprintf(text, sizeof text, "#!%s\n", i == 0 ? "/bin/true" : in_folder(below));
    put_file(name, text, 0700);
  }
  say_exec("six deep", in_folder("d5"), argv, env);
  put_file("script", "#!/nowhere\n", 0700);
  say_exec("no such interpreter", in_folder("script"), argv, env);
  put_file("script", "#!\n", 0700);
  say_exec("no interpreter", in_folder("script"), argv, env);
  put_file("script", "#!/tmp\n", 0700);
  say_exec("a folder for an interpreter", in_folder("script"), argv, env);
  put_file("script", "echo no magic\n", 0700);
  say_exec("no magic", in_folder("script"), argv, env);
  put_file("script", "", 0700);
  say_exec("empty", in_folder("script"), argv, env);
  put_file("script", "\177ELF", 0700);
  say_exec("only a magic", in_folder("script"), argv, env);
  // execvp gives it to the shell.
  put_file("script", "echo from the shell $1\n", 0700);
  if ((pid = fork()) == 0) {
    execlp(in_folder("script"), "script", "with an argument", (char *)0);
    _exit(1);
  }
  wait_for("execlp", pid);

  section("exec that fails");
  put_file("data", "data", 0600);
  say_exec("not executable", in_folder("data"), argv, env);
  say_exec("a folder", "/tmp", argv, env);
  say_exec("nothing", "/nowhere/at/all", argv, env);
  say_exec("empty path", "", argv, env);
  say_exec("a file as a folder", in_folder("data/x"), argv, env);
  if (symlink("loop", in_folder("loop")) < 0) return;
  say_exec("a loop", in_folder("loop"), argv, env);
  static char long_name[300];
  memset(long_name, 'n', 299);
  say_exec("a long name", in_folder(long_name), argv, env);
  say_exec("bad path", BAD, argv, env);
  say_exec("bad argv", me, BAD, env);
  say_exec("bad env", me, argv, BAD);
  say_exec("bad string", me, (char *[]){BAD, 0}, env);
  char *long_argument = malloc(140000);
  memset(long_argument, 'a', 139999);
  long_argument[139999] = 0;
  say_exec("a long argument", me, (char *[]){me, long_argument, 0}, env);
  long_argument[120000] = 0;
  char *many[64];
  for (int i = 0; i < 63; i++) many[i] = long_argument;
  many[63] = 0;
  say_exec("too many arguments", me, many, env);
  long_argument[131071] = 0;
  say_exec("the longest argument", "/bin/true", (char *[]){me, long_argument, 0}, env);
  show(syscall(SYS_execveat, AT_FDCWD, "/nowhere", argv, env, 0));
  show(syscall(SYS_execveat, 99, "nowhere", argv, env, 0));
  show(syscall(SYS_execveat, AT_FDCWD, "/nowhere", argv, env, 1));

  section("exec by descriptor, with no arguments");
  if ((pid = fork()) == 0) {
    int fd = open(me, O_RDONLY | O_CLOEXEC);
    char *names[] = {me, "describe", 0};
    syscall(SYS_execveat, fd, "", names, env, AT_EMPTY_PATH);
    printf("fexecve: %s\n", strerrorname_np(errno));
    _exit(1);
  }
  wait_for("fexecve", pid);
  if ((pid = fork()) == 0) {
    syscall(SYS_execve, me, 0, 0);
    _exit(1);
  }
  wait_for("exec without argv", pid);
  if ((pid = fork()) == 0) {
    static const char name[] = "/bin/echo";
    char *names[] = {"echo", "exec of a dynamic program", 0};
    execve(name, names, env);
    _exit(1);
  }
  wait_for("echo", pid);
}

// --- libc's ways

static void library(void) {
  section("system, popen, posix_spawn");
  report_status("system", system("exit 7"));
  report_status("system", system("kill -USR2 $$"));
  printf("system(0) = %d\n", system(0) != 0);
  FILE *pipe = popen("echo first; echo second; exit 3", "r");
  char line[80];
  while (fgets(line, sizeof line, pipe)) printf("popen: %s", line);
  report_status("pclose", pclose(pipe));
  pipe = popen("cat; exit 2", "w");
  fprintf(pipe, "to cat\n");
  report_status("pclose", pclose(pipe));

  pid_t pid;
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, 1, 20);
  posix_spawn_file_actions_addopen(&actions, 21, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addclose(&actions, 0);
  sigset_t set = set_of(SIGHUP, 0), defaults = set_of(SIGUSR1, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setsigmask(&attributes, &set);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  signal(SIGUSR1, SIG_IGN);
  char *argv[] = {me, "describe", "spawned", 0}, *env[] = {"B=2", 0};
  int error = posix_spawn(&pid, me, &actions, &attributes, argv, env);
  wait_for("spawned", pid);
  report_error("posix_spawn", error);
  show_error(posix_spawn(&pid, "/nowhere", 0, 0, argv, env));
  show_error(posix_spawnp(&pid, "true", 0, 0, (char *[]){"true", 0}, env));
  wait_for("true", pid);
  signal(SIGUSR1, SIG_DFL);
}

// --- waiting

static void leave(int code) { _exit(code); }
static void do_exit_code(void) { leave(0x1234); }
static void do_minus(void) { leave(-1); }

static void waiting(void) {
  section("wait");
  in_child("exit(0x1234)", do_exit_code);
  in_child("exit(-1)", do_minus);
  show(wait4(-1, 0, 0, 0));
  show(wait4(-1, 0, WNOHANG, 0));
  show(wait4(getpid(), 0, 0, 0));
  show(wait4(123456, 0, 0, 0));
  show(wait4(-1, 0, 0x100, 0));
  show(wait4((pid_t)0x80000000, 0, 0, 0));
  siginfo_t info;
  show(waitid(P_ALL, 0, &info, 0));
  show(waitid(P_ALL, 0, &info, WEXITED | 0x100));
  show(waitid(P_ALL, 0, &info, WEXITED));
  show(waitid(9, 0, &info, WEXITED));
  show(waitid(P_PID, 0, &info, WEXITED));
  show(waitid(P_PID, -5, &info, WEXITED));
  show(waitid(P_PGID, -5, &info, WEXITED));

  // Several children: each is found by its own number, and by its group.
  pid_t pids[3];
  for (int i = 0; i < 3; i++)
    if ((pids[i] = fork()) == 0) _exit(10 + i);
  wait_for("the last one first", pids[2]);
  int codes[2];
  for (int i = 0; i < 2; i++) {
    int status;
    show(wait(&status) > 0);
    codes[i] = WEXITSTATUS(status);
  }
  qsort(codes, 2, sizeof *codes, compare);
  printf("the others: %d %d\n", codes[0], codes[1]);

  pid_t pid = fork();
  if (pid == 0) {
    volatile long sum = 0;
    for (long i = 0; i < 3000000; i++) sum += i;
    _exit(0);
  }
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  show(syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOWAIT, &usage));
  printf("usage: %s, time %s\n", usage.ru_utime.tv_sec == 0 ? "filled" : "not filled",
         usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 0 ? "passed" : "none");
  memset(&usage, 0xff, sizeof usage);
  show(wait4(pid, 0, 0, &usage) == pid);
  printf("usage: %s\n", usage.ru_utime.tv_sec == 0 ? "filled" : "not filled");
  if ((pid = fork()) == 0) _exit(0);
  waitid(P_PID, pid, 0, WEXITED | WNOWAIT);
  show(kill(pid, 0));
  show(kill(pid, SIGKILL));
  show(getpgid(pid) == getpgid(0));
  show(wait4(pid, BAD, 0, 0));
  show(wait4(pid, 0, 0, 0) == pid);
}

// --- orphans, parents' deaths

static int report_pipe[2];

static void orphans(void) {
  section("orphans");
  if (pipe(report_pipe) < 0) return;
  pid_t subreaper = getppid();
  char byte;
  pid_t pid = fork();
  if (pid == 0) {
    // This one dies first; its child then has the subreaper for a parent.
    pid_t middle = getpid();
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGUSR2);
      mask_signals(SIG_BLOCK, SIGUSR2);
      if (write(report_pipe[1], "x", 1) < 0) abort();
      while (getppid() == middle) sleep_ms(1);
      sigset_t set = set_of(SIGUSR2, 0);
      siginfo_t info = {};
      struct timespec second = {1, 0};
      int signo = sigtimedwait(&set, &info, &second);
      char text[120];
      int length = snprintf(text, sizeof text, "the subreaper is the parent: %d; death signal %s, code %d, from the dead: %d\n",
                            getppid() == subreaper, signal_name(signo), info.si_code, info.si_pid == middle);
      if (write(report_pipe[1], text, length) < 0) abort();
      _exit(0);
    }
    _exit(read(report_pipe[0], &byte, 1) - 1);
  }
  wait_for("middle", pid);
  char text[200] = {0};
  if (read(report_pipe[0], text, sizeof text - 1) > 0) printf("%s", text);

  // A reaper in between inherits instead.
  if ((pid = fork()) == 0) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t reaper = getpid();
    if (fork() == 0) {
      pid_t middle = getpid();
      if (fork() == 0) {
        while (getppid() == middle) sleep_ms(1);
        _exit(getppid() == reaper ? 42 : 43);
      }
      _exit(0);
    }
    int status;
    wait(&status);
    wait(&status);
    report_status("grandchild", status);
    _exit(0);
  }
  wait_for("reaper", pid);

  // A group that becomes orphaned while it is stopped is hung up.
  if ((pid = fork()) == 0) {
    setpgid(0, 0);
    pid_t stopped = fork();
    if (stopped == 0) {
      setpgid(0, 0);
      on_signal(SIGHUP, SIG_DFL, 0);
      prctl(PR_SET_PDEATHSIG, 0);
      close(report_pipe[0]);
      raise(SIGSTOP);
      pause();
    }
    int status;
    waitpid(stopped, &status, WUNTRACED);
    report_status("stopped", status);
    _exit(0);
  }
  close(report_pipe[1]);
  wait_for("its parent", pid);
  // The stopped one held the pipe; it is gone when the pipe is closed.
  show(read(report_pipe[0], text, sizeof text));
  close(report_pipe[0]);
}

// --- groups and sessions

static void groups(void) {
  section("groups and sessions");
  show(getpgid(0) == getpid());
  show(getsid(0) == getpid());
  show(setsid());
  show(setpgid(0, 0));
  show(setpgid(0, -1));
  show(setpgid(getppid(), 0));
  show(setpgid(123456, 0));
  show(getpgid(123456));
  show(getsid(-1));
  show(getpgid(-1));
  pid_t pid = fork();
  if (pid == 0) {
    show(getpgrp() == getppid());
    show(setpgid(0, 123456));
    show(setpgid(0, 0));
    show(getpgrp() == getpid());
    show(setsid());
    show(setpgid(0, getppid()));
    show(setsid() == getpid());
    show(getsid(0) == getpid());
    show(setpgid(0, getppid()));
    _exit(0);
  }
  wait_for("child", pid);
  int ends[2];
  if (pipe(ends) < 0) return;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  if ((pid = fork()) == 0) {
    execl(me, me, "pause", (char *)0);
    _exit(1);
  }
  close(ends[1]);
  char byte;
  if (read(ends[0], &byte, 1) != 0) return;
  show(setpgid(pid, 0));
  kill(pid, SIGKILL);
  wait_for("executed child", pid);
  close(ends[0]);

  if (pipe(ends) < 0) return;
  if ((pid = fork()) == 0) {
    if (daemon(0, 1) < 0) _exit(1);
    char where[100];
    printf("daemon: session of its own %d, leads it %d, in %s\n", getsid(0) != getppid(), getsid(0) == getpid(),
           getcwd(where, sizeof where));
    _exit(0);
  }
  close(ends[1]);
  // Closed when the daemon has ended.
  if (read(ends[0], &byte, 1) != 0) return;
  close(ends[0]);
  wait_for("daemon's parent", pid);
}

// --- clone

static void clones(void) {
  section("clone");
  show(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
  show(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
  show(syscall(SYS_clone, CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
  pid_t tid = 0;
  pid_t pid = syscall(SYS_clone, CLONE_PARENT_SETTID | SIGUSR1, 0, &tid, 0, 0);
  if (pid == 0) _exit(3);
  printf("parent's tid is the pid: %d\n", tid == pid);
  sigset_t set = set_of(SIGUSR1, 0);
  (void)set;
  show(waitpid(pid, 0, 0));
  show(waitpid(pid, 0, __WALL) == pid);
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } request = {.exit_signal = SIGCHLD};
  if ((pid = syscall(SYS_clone3, &request, sizeof request)) == 0) _exit(6);
  wait_for("clone3", pid);
  show(syscall(SYS_clone3, &request, 8));
  show(syscall(SYS_clone3, BAD, sizeof request));
  show(syscall(SYS_clone3, &request, 5000));
  request.exit_signal = 65;
  show(syscall(SYS_clone3, &request, sizeof request));
  request.exit_signal = SIGCHLD;
  request.stack = 4096;
  show(syscall(SYS_clone3, &request, sizeof request));
  request.stack = 0;
  request.flags = CLONE_THREAD;
  show(syscall(SYS_clone3, &request, sizeof request));
  // No signal when it ends: it must be waited for with __WCLONE or __WALL.
  if ((pid = syscall(SYS_clone, 0, 0, 0, 0, 0)) == 0) _exit(8);
  int status;
  show(waitpid(pid, &status, __WCLONE) == pid);
  report_status("without a signal", status);
}

void checks(void) {
  if (!mkdtemp(folder)) return;
  umask(022);
  forks();
  execs();
  library();
  waiting();
  on_signal(SIGUSR1, SIG_IGN, 0);
  clones();
  on_signal(SIGUSR1, SIG_DFL, 0);
  groups();
  orphans();
  DIR *names = opendir(folder);
  for (struct dirent *entry; (entry = readdir(names));) unlink(in_folder(entry->d_name));
  closedir(names);
  show(rmdir(folder));
}

// Before main: the program as it executes itself.
__attribute__((constructor)) static void executed(int argc, char **argv) {
  ssize_t length = readlink("/proc/self/exe", me, sizeof me - 1);
  if (length < 0) abort();
  setvbuf(stdout, 0, _IONBF, 0);
  if (argc > 1 && strncmp(argv[1], "describe", 8) == 0) {
    describe(argc, argv);
    _exit(11);
  }
  if (argc > 1 && strcmp(argv[1], "pause") == 0) {
    for (;;) pause();
  }
  if (argc == 1 && argv[0][0] == 0) {
    printf("no arguments: argc %d\n", argc);
    _exit(12);
  }
}
