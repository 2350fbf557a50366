/**
 * A decoded instruction: what the decoder makes and the translator reads. Nothing here knows WebAssembly.
 * Names follow the Intel SDM, vol. 2.
 */

/** Register files an operand can name. */
export type RegisterFile = 'gpr' | 'xmm' | 'mmx' | 'st' | 'seg' | 'control' | 'debug';

export interface RegisterOperand {
  readonly kind: 'reg';
  readonly file: RegisterFile;
  /** 0 … 15; for `gpr` with `high`, 0 … 3 and the register is AH, CH, DH or BH. */
  readonly index: number;
  /** Bytes read or written: 1, 2, 4, 8 (gpr), 4, 8, 16 (xmm), 8 (mmx), 10 (st), 2 (seg). */
  readonly size: number;
  readonly high: boolean;
}

export interface MemoryOperand {
  readonly kind: 'mem';
  /** General registers, or -1. */
  readonly base: number;
  readonly index: number;
  readonly scale: 1 | 2 | 4 | 8;
  /** Signed displacement; for RIP-relative forms already the absolute address (base and index are -1). */
  readonly disp: number;
  readonly segment: 'none' | 'fs' | 'gs';
  /** 8, or 4 with an address-size prefix (the sum is truncated to 32 bits). */
  readonly addressSize: 4 | 8;
  /** Bytes accessed (0: only an address, as for LEA; 512 for FXSAVE). */
  readonly size: number;
}

export interface ImmediateOperand {
  readonly kind: 'imm';
  /** Sign- or zero-extended to the operand size as the instruction says, as a signed 64-bit integer. */
  readonly value: bigint;
  readonly size: number;
}

/** Target of a direct branch: an absolute address. One below 0 stands for 2^64 more, which a number could not have exactly. */
export interface TargetOperand {
  readonly kind: 'target';
  readonly address: number;
}

/** Nothing can be there: it is beyond a guest's 4 GiB. */
export function isFar({ address }: TargetOperand): boolean {
  return address < 0 || address >= 2 ** 32;
}

export type Operand = RegisterOperand | MemoryOperand | ImmediateOperand | TargetOperand;

export type RepPrefix = 'none' | 'rep' | 'repne';

/** How control leaves the instruction. */
export type Flow =
  | 'next'
  /** jmp to a target operand */
  | 'jump'
  /** jcc, loop*, jrcxz: target operand or the next instruction */
  | 'branch'
  | 'call'
  | 'ret'
  /** jmp r/m */
  | 'jump-indirect'
  | 'call-indirect'
  | 'syscall'
  /** ud2, int3, hlt and everything not in the table: raises an exception */
  | 'trap';

export interface Instruction {
  readonly rip: number;
  /** Bytes, 1 … 15. */
  readonly length: number;
  /** Lower-case SDM mnemonic without size suffix: 'add', 'movzx', 'cmovcc', 'jcc', 'setcc', 'movs', 'paddb', 'fld' … */
  readonly op: string;
  /** Condition code 0 … 15 for jcc, setcc, cmovcc (SDM vol. 2 appendix B.1); else -1. */
  readonly cc: number;
  /** Operation size in bytes for integer instructions (after 66h and REX.W): 1, 2, 4 or 8; else 0. */
  readonly size: number;
  readonly operands: readonly Operand[];
  readonly rep: RepPrefix;
  /** 8, or 4 with an address-size prefix: the width of rcx, rsi and rdi in string instructions, loop and jecxz. */
  readonly addressSize: 4 | 8;
  /** The table row it was decoded from: index into FORMS of table.ts. */
  readonly form: number;
  readonly lock: boolean;
  readonly flow: Flow;
  /** Arithmetic RFLAGS bits (state.ts) that the instruction reads, sets to a defined value, and leaves undefined. */
  readonly flagsRead: number;
  readonly flagsWritten: number;
  readonly flagsUndefined: number;
}

/** A direct branch to where nothing can be. */
export function isFarBranch({ operands }: Instruction): boolean {
  const [target] = operands;
  return target?.kind === 'target' && isFar(target);
}
