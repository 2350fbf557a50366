/**
 * Arguments and results of system calls as text: numbers, flags by name, strings and bytes cut after 64. Kinds that begin
 * with `o` and `out:` stand in memory only when the call is over.
 */

import * as clone from '../linux/abi/clone.ts';
import * as errno from '../linux/abi/errno.ts';
import * as fcntl from '../linux/abi/fcntl.ts';
import * as futex from '../linux/abi/futex.ts';
import * as signal from '../linux/abi/signal.ts';
import type { Syscall } from '../linux/syscall.ts';

/** Bytes of a string or buffer, entries of an array. */
const BYTES_MAX = 64;
const ENTRIES_MAX = 8;
const PATH_MAX = 4096;

type Names = readonly (readonly [name: string, value: number])[];
type Constants = Readonly<Record<string, unknown>>;

/** The constants of a module that begin with `prefix` and are numbers, largest first: what is a sum comes before its parts. */
function named(constants: Constants, prefix: string): Names {
  return Object.entries(constants)
    .filter((entry): entry is [string, number] => entry[0].startsWith(prefix) && typeof entry[1] === 'number')
    .sort((a, b) => b[1] - a[1]);
}

const OPEN = named(fcntl, 'O_').filter(([name, value]) => value > fcntl.O_ACCMODE && name !== 'O_TMPFILE_BIT');
const FCNTL = named(fcntl, 'F_').filter(([name]) => !/^F_(SEAL_|[RWU]N?LCK)/.test(name));
const CLONE = named(clone, 'CLONE_').filter(([name]) => !/NAMESPACES|CLEAR_SIGHAND/.test(name));
const FUTEX = named(futex, 'FUTEX_').filter(([, value]) => value < futex.FUTEX_PRIVATE_FLAG);
const SIGNALS = named(signal, 'SIG').filter(([name, value]) => !name.includes('_') && value <= signal.SIGSYS);
const ERRNOS = named(errno, 'E');
const ACCESS = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'];
const SIGOPS = ['SIG_BLOCK', 'SIG_UNBLOCK', 'SIG_SETMASK'];
const WHENCE = ['SEEK_SET', 'SEEK_CUR', 'SEEK_END', 'SEEK_DATA', 'SEEK_HOLE'];
const EPOLL_OPS = ['0', 'EPOLL_CTL_ADD', 'EPOLL_CTL_DEL', 'EPOLL_CTL_MOD'];
const DOMAINS: Readonly<Record<number, string>> = {
  0: 'AF_UNSPEC',
  1: 'AF_UNIX',
  2: 'AF_INET',
  10: 'AF_INET6',
  16: 'AF_NETLINK',
};
const SOCKET_TYPES: Readonly<Record<number, string>> = {
  1: 'SOCK_STREAM',
  2: 'SOCK_DGRAM',
  3: 'SOCK_RAW',
  5: 'SOCK_SEQPACKET',
};
const PROT: Names = [
  ['PROT_READ', 1],
  ['PROT_WRITE', 2],
  ['PROT_EXEC', 4],
];
const MAP: Names = [
  ['MAP_FIXED_NOREPLACE', 0x10_0000],
  ['MAP_STACK', 0x2_0000],
  ['MAP_POPULATE', 0x8000],
  ['MAP_NORESERVE', 0x4000],
  ['MAP_DENYWRITE', 0x800],
  ['MAP_ANONYMOUS', 0x20],
  ['MAP_FIXED', 0x10],
  ['MAP_PRIVATE', 2],
  ['MAP_SHARED', 1],
];

/** The argument is in memory only afterwards. */
export function isOutput(kind: string): boolean {
  return kind.startsWith('o') && kind !== 'open';
}

export function resultText(result: number | bigint, kind: string): string {
  const value = BigInt(result);
  if (value < 0n && value >= -4095n) return `-1 ${errnoName(Number(-value))}`;
  return kind === 'ptr' ? hex(BigInt.asUintN(64, value)) : `${value}`;
}

export function errnoName(value: number): string {
  return ERRNOS.find(([, number]) => number === value)?.[0] ?? `errno ${value}`;
}

/** Argument `index`. `result`: the call's where it is over and has one, or null. */
export function argumentText(call: Syscall, index: number, spec: string, result: number | null): string {
  const [kind, lengthAt] = spec.split(':');
  const address = call.uint(index);
  switch (kind) {
    case 'int':
      return `${call.int(index)}`;
    case 'uint':
      return `${call.bits(index)}`;
    case 'long':
      return `${BigInt.asIntN(64, call.bits(index))}`;
    case 'fd':
      return call.int(index) === fcntl.AT_FDCWD ? 'AT_FDCWD' : `${call.int(index)}`;
    case 'mode':
      return call.int(index) === 0 ? '0' : `0${call.int(index).toString(8)}`;
    case 'path':
      return stringAt(call, address);
    case 'argv':
      return pointers(call, address, (at) => stringAt(call, at));
    case 'in':
      return bytesAt(call, address, call.uint(Number(lengthAt)));
    case 'out':
      return result === null || result < 0 ? pointer(call.bits(index)) : bytesAt(call, address, result);
    case 'iov':
      return iov(call, address, call.int(Number(lengthAt)), Number.POSITIVE_INFINITY);
    case 'oiov':
      return result === null || result < 0
        ? pointer(call.bits(index))
        : iov(call, address, call.int(Number(lengthAt)), result);
    case 'addr':
      return socketAddress(call, address, call.uint(Number(lengthAt)));
    case 'oaddr': {
      const length = result === null || result < 0 ? null : viewAt(call, call.uint(Number(lengthAt)), 4);
      return length === null ? pointer(call.bits(index)) : socketAddress(call, address, length.getUint32(0, true));
    }
    case 'time':
      return time(call, address);
    case 'otime':
      return result === 0 ? time(call, address) : pointer(call.bits(index));
    case 'ofds': {
      const view = result === 0 ? viewAt(call, address, 8) : null;
      return view === null ? pointer(call.bits(index)) : `[${view.getInt32(0, true)}, ${view.getInt32(4, true)}]`;
    }
    case 'oint': {
      const view = result === null || result < 0 ? null : viewAt(call, address, 4);
      return view === null ? pointer(call.bits(index)) : `[${hex(view.getUint32(0, true))}]`;
    }
    case 'set':
      return signalSet(call, address);
    case 'oset':
      return result === 0 ? signalSet(call, address) : pointer(call.bits(index));
    case 'poll':
      return pollFds(call, address, call.uint(Number(lengthAt)));
    case 'open': {
      const value = call.int(index);
      return flags(value & ~fcntl.O_ACCMODE, OPEN, ACCESS[value & fcntl.O_ACCMODE]);
    }
    case 'prot':
      return call.int(index) === 0 ? 'PROT_NONE' : flags(call.int(index), PROT);
    case 'map':
      return flags(call.int(index), MAP);
    case 'clone':
      return flags(
        call.uint(index) - (call.uint(index) & clone.CSIGNAL),
        CLONE,
        signalName(call.int(index) & clone.CSIGNAL),
      );
    case 'futex': {
      const value = call.int(index);
      const bits = value & (futex.FUTEX_PRIVATE_FLAG | futex.FUTEX_CLOCK_REALTIME);
      const operation = FUTEX.find(([, number]) => number === value - bits)?.[0] ?? `${value - bits}`;
      const privately = (bits & futex.FUTEX_PRIVATE_FLAG) !== 0 ? '|FUTEX_PRIVATE_FLAG' : '';
      return `${operation}${privately}${(bits & futex.FUTEX_CLOCK_REALTIME) !== 0 ? '|FUTEX_CLOCK_REALTIME' : ''}`;
    }
    case 'fcntl':
      return FCNTL.find(([, value]) => value === call.int(index))?.[0] ?? `${call.int(index)}`;
    case 'signal':
      return signalName(call.int(index)) ?? '0';
    case 'sigop':
      return SIGOPS[call.int(index)] ?? `${call.int(index)}`;
    case 'whence':
      return WHENCE[call.int(index)] ?? `${call.int(index)}`;
    case 'epollop':
      return EPOLL_OPS[call.int(index)] ?? `${call.int(index)}`;
    case 'domain':
      return DOMAINS[call.int(index)] ?? `${call.int(index)}`;
    case 'sock': {
      const value = call.int(index);
      const rest = named({ SOCK_NONBLOCK: fcntl.O_NONBLOCK, SOCK_CLOEXEC: fcntl.O_CLOEXEC }, 'SOCK_');
      const type = value & 15;
      return flags(value - type, rest, type === 0 ? undefined : (SOCKET_TYPES[type] ?? `${type}`));
    }
    case 'ptr':
      return pointer(call.bits(index));
    default:
      return hex(call.bits(index));
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}

function pointer(value: bigint): string {
  return value === 0n ? 'NULL' : hex(value);
}

export function signalName(signo: number): string | undefined {
  if (signo === 0) return undefined;
  return SIGNALS.find(([, value]) => value === signo)?.[0] ?? `SIGRT_${signo - signal.SIGRTMIN}`;
}

/** `first|A|B|0x…` */
function flags(value: number, names: Names, first?: string): string {
  const found = first === undefined ? [] : [first];
  let left = BigInt.asUintN(32, BigInt(value));
  for (const [name, number] of names) {
    const bits = BigInt.asUintN(32, BigInt(number));
    if (bits === 0n || (left & bits) !== bits) continue;
    found.push(name);
    left -= bits;
  }
  if (left !== 0n || found.length === 0) found.push(hex(left));
  return found.join('|');
}

function viewAt(call: Syscall, address: number, length: number): DataView | null {
  const bytes = address === 0 ? null : call.space.read(address, length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes in quotes as C has them. */
export function quoted(bytes: Uint8Array, more: boolean): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else if (byte === 10) text += '\\n';
    else if (byte === 13) text += '\\r';
    else if (byte === 9) text += '\\t';
    else text += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `"${text}"${more ? '...' : ''}`;
}

function bytesAt(call: Syscall, address: number, length: number): string {
  if (length === 0) return '""';
  const bytes = call.space.read(address, Math.min(length, BYTES_MAX));
  return bytes === null ? hex(address) : quoted(bytes, length > BYTES_MAX);
}

function stringAt(call: Syscall, address: number): string {
  if (address === 0) return 'NULL';
  const bytes: number[] = [];
  while (bytes.length <= BYTES_MAX && bytes.length < PATH_MAX) {
    const byte = call.space.read(address + bytes.length, 1)?.[0];
    if (byte === undefined) return hex(address);
    if (byte === 0) return quoted(Uint8Array.from(bytes), false);
    bytes.push(byte);
  }
  return quoted(Uint8Array.from(bytes.slice(0, BYTES_MAX)), true);
}

/** An array of pointers that ends with NULL. */
function pointers(call: Syscall, address: number, each: (at: number) => string): string {
  const found: string[] = [];
  for (let i = 0; ; i++) {
    const view = viewAt(call, address + 8 * i, 8);
    if (view === null) return hex(address);
    const at = Number(view.getBigUint64(0, true));
    if (at === 0) break;
    if (i === ENTRIES_MAX) {
      found.push('...');
      break;
    }
    found.push(each(at));
  }
  return `[${found.join(', ')}]`;
}

/** `total`: bytes that have been put there. */
function iov(call: Syscall, address: number, count: number, total: number): string {
  const found: string[] = [];
  let left = total;
  for (let i = 0; i < count; i++) {
    const view = viewAt(call, address + 16 * i, 16);
    if (view === null) return hex(address);
    if (i === ENTRIES_MAX) {
      found.push('...');
      break;
    }
    const length = Math.min(left, Number(view.getBigUint64(8, true)));
    left -= length;
    found.push(bytesAt(call, Number(view.getBigUint64(0, true)), length));
  }
  return `[${found.join(', ')}]`;
}

function time(call: Syscall, address: number): string {
  if (address === 0) return 'NULL';
  const view = viewAt(call, address, 16);
  if (view === null) return hex(address);
  return `{${view.getBigInt64(0, true)} s, ${view.getBigInt64(8, true)} ns}`;
}

function signalSet(call: Syscall, address: number): string {
  if (address === 0) return 'NULL';
  const view = viewAt(call, address, 8);
  if (view === null) return hex(address);
  const bits = view.getBigUint64(0, true);
  if (bits === 0n) return '[]';
  if (bits === (1n << 64n) - 1n) return '~[]';
  const found: string[] = [];
  for (let signo = 1; signo <= signal.SIGNAL_MAX; signo++) {
    if ((bits & signal.signalBit(signo)) !== 0n) found.push(signalName(signo)!);
  }
  return found.length > 16 ? hex(bits) : `[${found.join(' ')}]`;
}

function pollFds(call: Syscall, address: number, count: number): string {
  const found: string[] = [];
  for (let i = 0; i < count; i++) {
    const view = viewAt(call, address + 8 * i, 8);
    if (view === null) return hex(address);
    if (i === ENTRIES_MAX) {
      found.push('...');
      break;
    }
    found.push(`{${view.getInt32(0, true)}, ${hex(view.getUint16(4, true))}}`);
  }
  return `[${found.join(', ')}]`;
}

function socketAddress(call: Syscall, address: number, length: number): string {
  if (address === 0) return 'NULL';
  const bytes = length < 2 || length > 128 ? null : call.space.read(address, length);
  if (bytes === null) return hex(address);
  const family = bytes[0]! | (bytes[1]! << 8);
  const name = DOMAINS[family] ?? `${family}`;
  const port = length < 4 ? 0 : (bytes[2]! << 8) | bytes[3]!;
  if (family === 2 && length >= 8) return `{${name}, ${[...bytes.subarray(4, 8)].join('.')}:${port}}`;
  if (family === 10 && length >= 24) {
    const words = Array.from({ length: 8 }, (_, i) => ((bytes[8 + 2 * i]! << 8) | bytes[9 + 2 * i]!).toString(16));
    return `{${name}, [${words.join(':')}]:${port}}`;
  }
  if (family !== 1) return `{${name}, ${quoted(bytes.subarray(2, 2 + BYTES_MAX), length > 2 + BYTES_MAX)}}`;
  const path = bytes.subarray(2);
  const end = path.indexOf(0, 1);
  return `{${name}, ${quoted(end < 0 ? path : path.subarray(0, end), false)}}`;
}
