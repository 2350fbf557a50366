/** clone(2) flags. Source: include/uapi/linux/sched.h. */

export const CSIGNAL = 0xff;
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_VFORK = 0x4000;
export const CLONE_PARENT = 0x8000;
export const CLONE_THREAD = 0x10000;
export const CLONE_SETTLS = 0x80000;
export const CLONE_PARENT_SETTID = 0x100000;
export const CLONE_CHILD_CLEARTID = 0x200000;
export const CLONE_CHILD_SETTID = 0x1000000;
export const CLONE_NEWTIME = 0x80;
/** New cgroup, UTS, IPC, user, PID, network, mount and time namespaces. */
export const CLONE_NAMESPACES = 0x7e02_0080;
/** clone3 only: signal handlers other than SIG_IGN go back to the default. */
export const CLONE_CLEAR_SIGHAND = 0x1_0000_0000;

export const P_ALL = 0;
export const P_PID = 1;
export const P_PGID = 2;

export const WNOHANG = 1;
export const WUNTRACED = 2;
export const WEXITED = 4;
export const WCONTINUED = 8;
export const WNOWAIT = 0x0100_0000;
/** For children of other threads, for all kinds of children, for those that do not send SIGCHLD. */
export const WNOTHREAD = 0x2000_0000;
export const WALL = 0x4000_0000;
export const WCLONE = 0x8000_0000;
