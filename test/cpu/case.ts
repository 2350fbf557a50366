/**
 * One test case of the CPU differential tests: a whole initial state, some instructions, and what came of them. The
 * records are the structs of harness.c.
 */

export const CODE = 0x1000_0000;
export const DATA = 0x2000_0000;
export const DATA_SIZE = 8192;
export const PAGE = 4096;
/** The last bytes of the data, so that an access can run over its end, EDGE. Compared afterwards. */
export const WINDOW_SIZE = 1024;
export const WINDOW = DATA + DATA_SIZE - WINDOW_SIZE;
export const EDGE = DATA + DATA_SIZE;
/** Of the page behind the data as many bytes are given and compared. */
export const TAIL_SIZE = 256;
export const CODE_SIZE = 256;
export const GS_BASE = 0x1000;

/** The page behind the data. */
export const TAIL_ABSENT = 0;
export const TAIL_READ_ONLY = 1;
export const TAIL_WRITABLE = 2;
export type Tail = typeof TAIL_ABSENT | typeof TAIL_READ_ONLY | typeof TAIL_WRITABLE;

export interface CpuCase {
  readonly gpr: BigUint64Array;
  /** Arithmetic flags and DF. */
  readonly rflags: number;
  /** FXSAVE image (64-bit format). */
  readonly fx: Uint8Array;
  /** Ends in UD2. */
  readonly code: Uint8Array;
  /** Where in the code page it stands; nothing is mapped behind that page. */
  readonly place: number;
  readonly tail: Tail;
  /** WINDOW_SIZE bytes before EDGE and TAIL_SIZE behind it. */
  readonly window: Uint8Array;
  /** Code offsets of the instructions, and the flags that have no defined value before each: [offset, flags]. */
  readonly boundaries: readonly (readonly [number, number])[];
  /** Ids in FORMS of the instructions. */
  readonly forms: readonly number[];
}

/** Whether the case begins with its sticky flags followed (MXCSR_EXACT): half of them do. */
export function followsFlags(c: CpuCase): boolean {
  return c.code.length % 2 === 1;
}

export interface CpuResult {
  readonly gpr: BigUint64Array;
  readonly rip: bigint;
  readonly rflags: number;
  /** Exception vector. */
  readonly vector: number;
  /** #PF: error code and address. */
  readonly error: number;
  readonly address: bigint;
  /** What Linux makes of it: number, si_code and si_addr. */
  readonly signo: number;
  readonly code: number;
  readonly signalAddress: bigint;
  readonly fx: Uint8Array;
  readonly window: Uint8Array;
}

const IN_FX = 144;
const IN_CODE = IN_FX + 512;
const IN_WINDOW = IN_CODE + CODE_SIZE;
const INPUT_SIZE = IN_WINDOW + WINDOW_SIZE + TAIL_SIZE;

/** Offsets in the record of a result. */
export const OUT_RIP = 128;
export const OUT_RFLAGS = 136;
export const OUT_VECTOR = 144;
export const OUT_ERROR = 152;
export const OUT_ADDRESS = 160;
export const OUT_SIGNO = 168;
export const OUT_CODE = 172;
export const OUT_SIGNAL_ADDRESS = 176;
export const OUT_FX = 192;
export const OUT_WINDOW = OUT_FX + 512;
export const RESULT_SIZE = OUT_WINDOW + WINDOW_SIZE + TAIL_SIZE;

export function encodeCases(cases: readonly CpuCase[]): Uint8Array {
  const bytes = new Uint8Array(cases.length * INPUT_SIZE);
  const view = new DataView(bytes.buffer);
  cases.forEach((c, i) => {
    const at = i * INPUT_SIZE;
    for (let r = 0; r < 16; r++) view.setBigUint64(at + r * 8, c.gpr[r]!, true);
    view.setUint32(at + 128, c.rflags, true);
    view.setUint32(at + 132, c.place, true);
    view.setUint32(at + 136, c.code.length, true);
    view.setUint32(at + 140, c.tail, true);
    bytes.set(c.fx, at + IN_FX);
    bytes.set(c.code, at + IN_CODE);
    bytes.set(c.window, at + IN_WINDOW);
  });
  return bytes;
}

/** The results of a batch as they stand in its file. */
export class Results {
  readonly bytes: Buffer;
  readonly words: Int32Array;
  readonly #view: DataView;

  /** Of `count` cases to be filled in, or what the harness wrote. */
  constructor(of: number | Uint8Array) {
    const bytes = new Uint8Array(typeof of === 'number' ? of * RESULT_SIZE : of.length);
    if (typeof of !== 'number') bytes.set(of);
    this.bytes = Buffer.from(bytes.buffer);
    this.words = new Int32Array(bytes.buffer);
    this.#view = new DataView(bytes.buffer);
  }

  get count(): number {
    return this.bytes.length / RESULT_SIZE;
  }

  get(i: number): CpuResult {
    const view = this.#view;
    const at = i * RESULT_SIZE;
    return {
      gpr: BigUint64Array.from({ length: 16 }, (_, r) => view.getBigUint64(at + r * 8, true)),
      rip: view.getBigUint64(at + OUT_RIP, true),
      rflags: view.getUint32(at + OUT_RFLAGS, true),
      vector: view.getUint32(at + OUT_VECTOR, true),
      error: view.getUint32(at + OUT_ERROR, true),
      address: view.getBigUint64(at + OUT_ADDRESS, true),
      signo: view.getUint32(at + OUT_SIGNO, true),
      code: view.getInt32(at + OUT_CODE, true),
      signalAddress: view.getBigUint64(at + OUT_SIGNAL_ADDRESS, true),
      fx: new Uint8Array(this.bytes.buffer, at + OUT_FX, 512),
      window: new Uint8Array(this.bytes.buffer, at + OUT_WINDOW, WINDOW_SIZE + TAIL_SIZE),
    };
  }

  /** All but the memory and the FXSAVE image, of which the caller gets views to fill. */
  set(i: number, result: Omit<CpuResult, 'fx' | 'window'>): void {
    const view = this.#view;
    const at = i * RESULT_SIZE;
    for (let r = 0; r < 16; r++) view.setBigUint64(at + r * 8, result.gpr[r]!, true);
    view.setBigUint64(at + OUT_RIP, result.rip, true);
    view.setUint32(at + OUT_RFLAGS, result.rflags, true);
    view.setUint32(at + OUT_VECTOR, result.vector, true);
    view.setUint32(at + OUT_ERROR, result.error, true);
    view.setBigUint64(at + OUT_ADDRESS, result.address, true);
    view.setUint32(at + OUT_SIGNO, result.signo, true);
    view.setInt32(at + OUT_CODE, result.code, true);
    view.setBigUint64(at + OUT_SIGNAL_ADDRESS, result.signalAddress, true);
  }
}

/** For reports and for running a case again. */
export function caseToJson(c: CpuCase): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return JSON.stringify({
    code: hex(c.code),
    place: c.place,
    tail: c.tail,
    gpr: [...c.gpr].map((v) => v.toString(16)),
    rflags: c.rflags.toString(16),
    fx: hex(c.fx),
    window: hex(c.window),
    boundaries: c.boundaries,
    forms: c.forms,
  });
}

export function caseFromJson(text: string): CpuCase {
  const json = JSON.parse(text);
  const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
  return {
    code: bytes(json.code),
    place: json.place,
    tail: json.tail,
    gpr: BigUint64Array.from(json.gpr.map((v: string) => BigInt(`0x${v}`))),
    rflags: Number.parseInt(json.rflags, 16),
    fx: bytes(json.fx),
    window: bytes(json.window),
    boundaries: json.boundaries,
    forms: json.forms,
  };
}
