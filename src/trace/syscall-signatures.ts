/**
 * What the arguments of system calls are, in order: kinds of syscall-arguments.ts, and after `=` the result's where it is
 * no number. A call that is not here is shown with six hexadecimal arguments. Source: the man pages, section 2.
 */

export interface Signature {
  readonly arguments: readonly string[];
  readonly result: string;
}

/** One call a line: name and kinds. `in:N`, `out:N`, …: N is the argument with the length, `out:=` the result is it. */
const LINES = `
accept fd oaddr:2 ptr
accept4 fd oaddr:2 ptr sock
access path int
adjtimex ptr
alarm uint
arch_prctl int ptr
bind fd addr:2 uint
brk ptr = ptr
capget ptr ptr
capset ptr ptr
chdir path
chmod path mode
chown path int int
chroot path
clock_adjtime int ptr
clock_getres int otime
clock_gettime int otime
clock_nanosleep int int time otime
clock_settime int time
clone clone ptr ptr ptr ptr
clone3 ptr uint
close fd
close_range fd fd int
connect fd addr:2 uint
copy_file_range fd ptr fd ptr uint int
creat path mode
dup fd
dup2 fd fd
dup3 fd fd open
epoll_create int
epoll_create1 open
epoll_ctl fd epollop fd ptr
epoll_pwait fd ptr int int ptr uint
epoll_pwait2 fd ptr int time ptr uint
epoll_wait fd ptr int int
eventfd uint
eventfd2 uint open
execve path argv ptr
execveat fd path argv ptr int
exit int
exit_group int
faccessat fd path int
faccessat2 fd path int int
fadvise64 fd long long int
fallocate fd int long long
fchdir fd
fchmod fd mode
fchmodat fd path mode
fchmodat2 fd path mode int
fchown fd int int
fchownat fd path int int int
fcntl fd fcntl hex
fdatasync fd
fgetxattr fd path out:= uint
flistxattr fd out:= uint
flock fd int
fork
fremovexattr fd path
fsetxattr fd path in:3 uint int
fstat fd ptr
fstatfs fd ptr
fsync fd
ftruncate fd long
futex ptr futex uint hex ptr uint
futimesat fd path ptr
get_robust_list int ptr ptr
getcpu ptr ptr ptr
getcwd out:= uint
getdents64 fd ptr uint
getegid
geteuid
getgid
getgroups int ptr
getitimer int ptr
getpeername fd oaddr:2 ptr
getpgid int
getpgrp
getpid
getppid
getpriority int int
getrandom ptr uint hex
getresgid ptr ptr ptr
getresuid ptr ptr ptr
getrlimit int ptr
getrusage int ptr
getsid int
getsockname fd oaddr:2 ptr
getsockopt fd int int ptr ptr
gettid
gettimeofday ptr ptr
getuid
getxattr path path out:= uint
inotify_add_watch fd path hex
inotify_init
inotify_init1 open
inotify_rm_watch fd int
ioctl fd hex ptr
ioprio_get int int
ioprio_set int int int
kill int signal
lchown path int int
lgetxattr path path out:= uint
link path path
linkat fd path fd path hex
listen fd int
listxattr path out:= uint
llistxattr path out:= uint
lremovexattr path path
lseek fd long whence
lsetxattr path path in:3 uint int
lstat path ptr
madvise ptr uint int
mbind ptr uint int ptr uint int
membarrier int int int
memfd_create path hex
mincore ptr uint ptr
mkdir path mode
mkdirat fd path mode
mknod path mode hex
mknodat fd path mode hex
mlock ptr uint
mlock2 ptr uint int
mlockall int
mmap ptr uint prot map fd uint = ptr
mount path path path hex ptr
mprotect ptr uint prot
mremap ptr uint uint hex ptr = ptr
msync ptr uint int
munlock ptr uint
munlockall
munmap ptr uint
nanosleep time otime
newfstatat fd path ptr hex
open path open mode
openat fd path open mode
openat2 fd path ptr uint
pause
personality hex
pipe ofds
pipe2 ofds open
pivot_root path path
pkey_alloc int int
pkey_free int
poll poll:1 uint int
ppoll poll:1 uint time ptr uint
prctl int hex hex hex hex
pread64 fd out:= uint long
preadv fd oiov:2 int long hex
preadv2 fd oiov:2 int long hex int
prlimit64 int int ptr ptr
pselect6 int ptr ptr ptr time ptr
pwrite64 fd in:2 uint long
pwritev fd iov:2 int long hex
pwritev2 fd iov:2 int long hex int
read fd out:= uint
readahead fd long uint
readlink path out:= uint
readlinkat fd path out:= uint
readv fd oiov:2 int
recvfrom fd out:= uint hex oaddr:5 ptr
recvmmsg fd ptr uint hex time
recvmsg fd ptr hex
removexattr path path
rename path path
renameat fd path fd path
renameat2 fd path fd path hex
rmdir path
rt_sigaction signal ptr ptr uint
rt_sigpending ptr uint
rt_sigprocmask sigop set oset uint
rt_sigqueueinfo int signal ptr
rt_sigreturn
rt_sigsuspend set uint
rt_sigtimedwait set ptr time uint
rt_tgsigqueueinfo int int signal ptr
sched_get_priority_max int
sched_get_priority_min int
sched_getaffinity int uint ptr
sched_getparam int ptr
sched_getscheduler int
sched_rr_get_interval int otime
sched_setaffinity int uint ptr
sched_setparam int ptr
sched_setscheduler int int ptr
sched_yield
select int ptr ptr ptr ptr
sendfile fd fd ptr uint
sendmmsg fd ptr uint hex
sendmsg fd ptr hex
sendto fd in:2 uint hex addr:5 uint
set_mempolicy int ptr uint
set_robust_list ptr uint
set_tid_address ptr
setfsgid int
setfsuid int
setgid int
setgroups int ptr
sethostname in:1 uint
setitimer int ptr ptr
setpgid int int
setpriority int int int
setregid int int
setresgid int int int
setresuid int int int
setreuid int int
setrlimit int ptr
setsid
setsockopt fd int int ptr uint
settimeofday ptr ptr
setuid int
setxattr path path in:3 uint int
shutdown fd int
sigaltstack ptr ptr
signalfd fd set uint
signalfd4 fd set uint open
socket domain sock int
socketpair domain sock int ofds
stat path ptr
statfs path ptr
statx fd path hex hex ptr
symlink path path
symlinkat path fd path
sync
sync_file_range fd long long int
syncfs fd
sysinfo ptr
tgkill int int signal
time ptr
timer_create int ptr ptr
timer_delete int
timer_getoverrun int
timer_gettime int ptr
timer_settime int int ptr ptr
timerfd_create int open
timerfd_gettime fd ptr
timerfd_settime fd int ptr ptr
times ptr
tkill int signal
truncate path long
umask mode
umount2 path hex
uname ptr
unlink path
unlinkat fd path hex
utime path ptr
utimensat fd path ptr hex
utimes path ptr
vfork
wait4 int oint int ptr
waitid int int ptr int ptr
write fd in:2 uint
writev fd iov:2 int
`;

const UNKNOWN: Signature = { arguments: Array<string>(6).fill('hex'), result: 'int' };

const SIGNATURES = new Map(
  LINES.trim()
    .split('\n')
    .map((line): [string, Signature] => {
      const [call, result = 'int'] = line.split(' = ');
      const [name, ...kinds] = call!.split(' ');
      return [name!, { arguments: kinds, result }];
    }),
);

export function signatureOf(name: string): Signature {
  return SIGNATURES.get(name) ?? UNKNOWN;
}

/** For tests: what there is a signature for. */
export const SIGNATURE_NAMES: readonly string[] = [...SIGNATURES.keys()];
