/** What uname(2) says: one fixed system, whatever the host. */

export const OS_NAME = 'Linux';
/** glibc and programs look at it for what the kernel can do. */
export const OS_RELEASE = '6.1.0-tardigrade';
export const OS_VERSION = '#1 SMP PREEMPT_DYNAMIC';
export const MACHINE = 'x86_64';
