/**
 * One test case of the CPU differential tests: a whole initial state, some instructions, and what came of them. The
 * records are the structs of harness.c.
 */

export const CODE = 0x1000_0000;
export const DATA = 0x2000_0000;
export const DATA_SIZE = 8192;
/** The last bytes of the data, so that an access can run over the end of the mapping. Compared afterwards. */
export const WINDOW_SIZE = 1024;
export const WINDOW = DATA + DATA_SIZE - WINDOW_SIZE;
export const CODE_SIZE = 256;
export const GS_BASE = 0x1000;

export interface CpuCase {
  readonly gpr: BigUint64Array;
  /** Arithmetic flags and DF. */
  rflags: number;
  /** FXSAVE image (64-bit format). */
  readonly fx: Uint8Array;
  /** Ends in UD2. */
  readonly code: Uint8Array;
  readonly window: Uint8Array;
  /** Code offsets of the instructions, and the flags that have no defined value before each: [offset, flags]. */
  readonly boundaries: readonly (readonly [number, number])[];
  /** Ids in FORMS of the instructions. */
  readonly forms: readonly number[];
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
  readonly fx: Uint8Array;
  readonly window: Uint8Array;
}

const INPUT_SIZE = 128 + 16 + 512 + CODE_SIZE + WINDOW_SIZE;
const OUTPUT_SIZE = 128 + 48 + 512 + WINDOW_SIZE;

export function encodeCases(cases: readonly CpuCase[]): Uint8Array {
  const bytes = new Uint8Array(cases.length * INPUT_SIZE);
  const view = new DataView(bytes.buffer);
  cases.forEach((c, i) => {
    const at = i * INPUT_SIZE;
    for (let r = 0; r < 16; r++) view.setBigUint64(at + r * 8, c.gpr[r]!, true);
    view.setBigUint64(at + 128, BigInt(c.rflags), true);
    view.setBigUint64(at + 136, BigInt(c.code.length), true);
    bytes.set(c.fx, at + 144);
    bytes.set(c.code, at + 656);
    bytes.set(c.window, at + 656 + CODE_SIZE);
  });
  return bytes;
}

export function decodeResults(bytes: Uint8Array): CpuResult[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const results: CpuResult[] = [];
  for (let at = 0; at + OUTPUT_SIZE <= bytes.length; at += OUTPUT_SIZE) {
    const gpr = new BigUint64Array(16);
    for (let r = 0; r < 16; r++) gpr[r] = view.getBigUint64(at + r * 8, true);
    results.push({
      gpr,
      rip: view.getBigUint64(at + 128, true),
      rflags: view.getUint32(at + 136, true),
      vector: view.getUint32(at + 144, true),
      error: view.getUint32(at + 152, true),
      address: view.getBigUint64(at + 160, true),
      fx: bytes.slice(at + 176, at + 688),
      window: bytes.slice(at + 688, at + 688 + WINDOW_SIZE),
    });
  }
  return results;
}

/** For reports and for running a case again. */
export function caseToJson(c: CpuCase): string {
  return JSON.stringify({
    code: Buffer.from(c.code).toString('hex'),
    gpr: [...c.gpr].map((v) => v.toString(16)),
    rflags: c.rflags.toString(16),
    fx: Buffer.from(c.fx).toString('hex'),
    window: Buffer.from(c.window).toString('hex'),
    boundaries: c.boundaries,
    forms: c.forms,
  });
}

export function caseFromJson(text: string): CpuCase {
  const json = JSON.parse(text);
  return {
    code: Uint8Array.from(Buffer.from(json.code, 'hex')),
    gpr: BigUint64Array.from(json.gpr.map((v: string) => BigInt(`0x${v}`))),
    rflags: Number.parseInt(json.rflags, 16),
    fx: Uint8Array.from(Buffer.from(json.fx, 'hex')),
    window: Uint8Array.from(Buffer.from(json.window, 'hex')),
    boundaries: json.boundaries,
    forms: json.forms,
  };
}
