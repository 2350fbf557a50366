/**
 * All step functions of a process: found by their shape, made when there is none, and kept beyond the process if there is
 * a store. As data, like translations: an address space gives each a slot of its table (interpreter.ts).
 */

import type { FunctionBody } from '../wasm/code.ts';
import { CodeModule } from './code-group.ts';
import type { CodeKey, CodeStore } from './code-store.ts';
import type { Instruction } from './instruction.ts';
import { linkModule } from './module.ts';
import { type Shape, shapeOf } from './shape.ts';
import { StepTranslator } from './step-translate.ts';
import { isVector, lowerings } from './translate.ts';

/** Where a step function is: export f`index` of the module. */
export interface StepFunction {
  readonly module: CodeModule;
  readonly index: number;
}

/** All packs of step functions have it: they are wanted together, and none is of some guest's code. */
export const STEP_KEY: CodeKey = { entry: 0, fingerprint: 0x57e9_5000 };
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class StepFunctions {
  readonly #store: CodeStore | null;
  readonly #onReject: () => void;
  readonly #translator = new StepTranslator(lowerings);
  readonly #known = new Map<string, StepFunction>();
  /** Made here, and not in the store. */
  readonly #fresh = new Map<string, FunctionBody>();
  #opened = false;

  /** `onReject`: a pack could not be used. */
  constructor(store: CodeStore | null, onReject: () => void) {
    this.#store = store;
    this.#onReject = onReject;
  }

  /** The shapes and step functions of the instructions; those that are new come into one module. */
  of(insns: readonly Instruction[]): { shape: Shape; step: StepFunction }[] {
    this.#open();
    const shapes = insns.map((insn) => shapeOf(insn, isVector));
    const missing = new Map<string, FunctionBody>();
    shapes.forEach((shape, i) => {
      if (this.#known.has(shape.key) || missing.has(shape.key)) return;
      missing.set(shape.key, this.#translator.translate(insns[i]!, shape));
    });
    if (missing.size > 0) {
      this.#add([...missing.keys()], new CodeModule(link([...missing.values()])));
      for (const [key, body] of missing) this.#fresh.set(key, body);
      this.#store?.announce(this.#keep);
    }
    return shapes.map((shape) => ({ shape, step: this.#known.get(shape.key)! }));
  }

  #add(keys: readonly string[], module: CodeModule): void {
    keys.forEach((key, index) => {
      if (!this.#known.has(key)) this.#known.set(key, { module, index });
    });
  }

  /** What other processes have kept, once. */
  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    for (const stored of this.#store?.find(STEP_KEY) ?? []) {
      const pack = stored.read();
      if (pack === null) continue;
      const opened = openPack(pack);
      if (opened !== null) {
        this.#add(opened.keys, opened.module);
        continue;
      }
      this.#onReject();
      stored.reject();
    }
  }

  readonly #keep = (): void => {
    const keys = [...this.#fresh.keys()];
    const bodies = [...this.#fresh.values()];
    this.#fresh.clear();
    if (keys.length > 0) this.#store?.add([STEP_KEY], sealPack(keys, bodies));
  };
}

function link(bodies: readonly FunctionBody[], room = 0): Uint8Array<ArrayBuffer> {
  return linkModule([bodies.map((body, name) => ({ name, body }))], room);
}

/** A pack: the length of the keys (u32), the keys as lines, the module at the next multiple of 4. */
function sealPack(keys: readonly string[], bodies: readonly FunctionBody[]): Uint8Array<ArrayBuffer> {
  const text = encoder.encode(keys.join('\n'));
  const pack = link(bodies, (4 + text.length + 3) & ~3);
  new DataView(pack.buffer).setUint32(0, text.length, true);
  pack.set(text, 4);
  return pack;
}

function openPack(pack: Uint8Array<ArrayBuffer>): { keys: string[]; module: CodeModule } | null {
  if (pack.length < 4) return null;
  const length = new DataView(pack.buffer, pack.byteOffset).getUint32(0, true);
  if (4 + length > pack.length) return null;
  const keys = decoder.decode(pack.subarray(4, 4 + length)).split('\n');
  const module = new CodeModule(pack.subarray((4 + length + 3) & ~3));
  try {
    if (WebAssembly.Module.exports(module.compile()).length !== keys.length) return null;
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    return null;
  }
  return { keys, module };
}
