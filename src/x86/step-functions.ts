/**
 * All step functions of a process: found by their shape, made when there is none, and kept beyond the process if there is
 * a store. As data, like translations: an address space gives each a slot of its table (interpreter.ts).
 */

import type { FunctionBody } from '../wasm/code.ts';
import { STEP_TYPE } from './calling.ts';
import { CodeModule } from './code-group.ts';
import { type CodeKey, type CodeStore, fingerprintOf } from './code-store.ts';
import { Encodings, SAVED_WORDS } from './encodings.ts';
import type { Instruction } from './instruction.ts';
import { linkModule } from './module.ts';
import { type Shape, shapeOf } from './shape.ts';
import { StepTranslator } from './step-translate.ts';
import { isVector, lowerings } from './translate.ts';

/** Where a step function is: export f`index` of the module. */
export interface StepFunction {
  readonly module: CodeModule;
  readonly index: number;
  /** Of all step functions, from 0. */
  readonly id: number;
  /** Its shape's. */
  readonly key: string;
}

/** All packs of step functions have it: they are wanted together, and none is of some guest's code. */
export const STEP_KEY: CodeKey = { entry: 0, fingerprint: 0x57e9_5000 };
/** Encodings are kept when there are so many new ones, or new step functions. */
const ENCODINGS_SAVED = 64;
/** Keys of a pack beside STEP_KEY, at most. */
const TELLING_KEYS = 15;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class StepFunctions {
  readonly #store: CodeStore | null;
  readonly #onReject: () => void;
  readonly #translator = new StepTranslator(lowerings);
  readonly #known = new Map<string, StepFunction>();
  readonly #encodings = new Encodings();
  /** Made here, and not in the store. */
  readonly #fresh = new Map<string, FunctionBody>();
  #opened = false;
  /** The store will ask for encodings. */
  #announced = false;

  /** `onReject`: a pack could not be used. */
  constructor(store: CodeStore | null, onReject: () => void) {
    this.#store = store;
    this.#onReject = onReject;
  }

  /** What instructions with these step functions look like. */
  get encodings(): Encodings {
    this.#open();
    return this.#encodings;
  }

  /** Of an instruction that the encodings do not have. */
  learn(view: DataView, insn: Instruction, shape: Shape, step: StepFunction): void {
    this.#encodings.learn(view, insn, shape, step);
    if (this.#announced || this.#encodings.unsaved < ENCODINGS_SAVED) return;
    this.#announced = true;
    this.#store?.announce(this.#keep);
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
      if (!this.#known.has(key)) this.#known.set(key, { module, index, id: this.#known.size, key });
    });
  }

  /** What other processes have kept, once. */
  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    const packs: StepPack[] = [];
    for (const stored of this.#store?.find(STEP_KEY) ?? []) {
      const pack = stored.read();
      if (pack === null) continue;
      const opened = openPack(pack);
      if (opened !== null) {
        this.#add(opened.keys, opened.module);
        packs.push(opened);
        continue;
      }
      this.#onReject();
      stored.reject();
    }
    for (const { keys, others, encodings } of packs) {
      const steps = [...keys, ...others].map((key) => this.#known.get(key) ?? null);
      this.#encodings.load(encodings, (index) => steps[index] ?? null);
    }
  }

  readonly #keep = (): void => {
    this.#announced = false;
    const keys = [...this.#fresh.keys()];
    const bodies = [...this.#fresh.values()];
    this.#fresh.clear();
    if (keys.length === 0 && this.#encodings.unsaved < ENCODINGS_SAVED) return;
    const indexes = new Map(keys.map((key, i) => [key, i]));
    const encodings = this.#encodings.save(({ key }) => {
      const index = indexes.get(key) ?? indexes.size;
      indexes.set(key, index);
      return index;
    });
    const others = [...indexes.keys()].slice(keys.length);
    this.#store?.add(packKeys(keys, encodings), sealPack({ keys, others, encodings }, bodies));
  };
}

function link(bodies: readonly FunctionBody[], room = 0): Uint8Array<ArrayBuffer> {
  return linkModule(STEP_TYPE, [bodies.map((body, name) => ({ name, body }))], room);
}

/** STEP_KEY, and some that tell a pack from others: a store does not keep what it has already. */
function packKeys(keys: readonly string[], encodings: Int32Array): CodeKey[] {
  const encoded = Array.from({ length: encodings.length / SAVED_WORDS }, (_, i) => {
    return encodings.subarray(i * SAVED_WORDS, i * SAVED_WORDS + 2).join();
  });
  const all = [...keys, ...encoded];
  const some = all.filter((_key, i) => i % Math.ceil(all.length / TELLING_KEYS) === 0);
  // (1 is no address of code)
  return [STEP_KEY, ...some.map((key) => ({ entry: 1, fingerprint: fingerprintOf(encoder.encode(key)) }))];
}

/** What a pack holds beside its module. */
interface StepTable {
  /** Of the module's functions. */
  readonly keys: readonly string[];
  /** Of functions in other packs, which encodings name too, behind these. */
  readonly others: readonly string[];
  readonly encodings: Int32Array<ArrayBuffer>;
}

interface StepPack extends StepTable {
  readonly module: CodeModule;
}

/** Words before the text. */
const HEAD_WORDS = 4;

/**
 * A pack, integers u32: length of the text, number of functions, of other keys, of words of encodings; these words; the text, a
 * line for each key; the module at the next multiple of 4.
 */
function sealPack({ keys, others, encodings }: StepTable, bodies: readonly FunctionBody[]): Uint8Array<ArrayBuffer> {
  const text = encoder.encode([...keys, ...others].join('\n'));
  const textAt = (HEAD_WORDS + encodings.length) * 4;
  const pack = link(bodies, (textAt + text.length + 3) & ~3);
  const head = Int32Array.of(text.length, keys.length, others.length, encodings.length);
  pack.set(new Uint8Array(head.buffer));
  pack.set(new Uint8Array(encodings.buffer), HEAD_WORDS * 4);
  pack.set(text, textAt);
  return pack;
}

function openPack(pack: Uint8Array<ArrayBuffer>): StepPack | null {
  if (pack.length < HEAD_WORDS * 4) return null;
  const view = new DataView(pack.buffer, pack.byteOffset);
  const [textLength, own, other, words] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  const textAt = (HEAD_WORDS + words) * 4;
  const end = textAt + textLength;
  if (end > pack.length) return null;
  const lines = textLength === 0 ? [] : decoder.decode(pack.subarray(textAt, end)).split('\n');
  if (lines.length !== own + other) return null;
  const module = new CodeModule(pack.subarray((end + 3) & ~3));
  try {
    if (WebAssembly.Module.exports(module.compile()).length !== own) return null;
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    return null;
  }
  const encodings = new Int32Array(new Uint8Array(pack.subarray(HEAD_WORDS * 4, textAt)).buffer);
  return { keys: lines.slice(0, own), others: lines.slice(own), encodings, module };
}
