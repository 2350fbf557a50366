/**
 * What a run does does not depend on what translated code was kept: real programs stop at the same counts in the same state
 * without a store, with an empty one, with a full one, with one that is damaged, and with one that lies.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { stateHash } from '../src/checkpoint/hash.ts';
import { openCodeStore } from '../src/lvm/node-code-store.ts';
import type { CodeKey, CodeStore, StoredPack } from '../src/x86/code-store.ts';
import { openPack } from '../src/x86/pack.ts';
import { STEP_KEY } from '../src/x86/step-functions.ts';
import { Translations } from '../src/x86/translations.ts';
import { Machine } from './support/machine.ts';

const SCRIPT = 'seq 1 300 | sort -rn | tail -n 2; echo $((7*6)) | sed s/4/four/';
const OUTPUT = '2\n1\nfour2\n';
/** Not a round number, so that stops fall anywhere. */
const STEP = 250_007;

const root = mkdtempSync(join(tmpdir(), 'tardigrade-code-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Instructions and state at every stop. */
function run(translations: Translations, exact = false): string[] {
  const machine = new Machine({ program: '/bin/sh', args: ['-c', SCRIPT], translations, often: 2 });
  const lines: string[] = [];
  const note = (): void => {
    const { spaces, ledger, instructions } = machine.kernel;
    for (const space of spaces.values()) machine.cpu.unload(space);
    const parts = new Map(ledger.all().map(({ key, bytes }) => [key, bytes!]));
    lines.push(`${instructions} ${stateHash(spaces, parts)}`);
  };
  while (machine.run(STEP, exact)) note();
  note();
  expect(machine.stdout + machine.stderr).toBe(OUTPUT);
  for (const space of machine.kernel.spaces.values()) machine.cpu.drop(space);
  return lines;
}

const withoutStore = run(new Translations());

/** Runs with a store in the folder, which then has what was new. */
async function runIn(folder: string) {
  const store = openCodeStore({ folder })!;
  const translations = new Translations(store);
  const lines = run(translations);
  await store.flush();
  return { lines, ...translations.figures, store: store.figures };
}

test('without a store, cold, warm, and damaged', { timeout: 120_000 }, async () => {
  expect(withoutStore.length).toBeGreaterThan(6);
  const folder = join(root, 'store');
  const cold = await runIn(folder);
  expect(cold.lines).toEqual(withoutStore);
  expect(cold.groups).toBeGreaterThan(300);
  expect(cold.store.written).toBe(1);

  const warm = await runIn(folder);
  expect(warm.lines).toEqual(withoutStore);
  expect(warm).toMatchObject({ groups: 0, instructions: 0, rejected: 0, store: { damaged: 0, written: 0 } });
  expect(warm.loaded).toBeGreaterThan(300);

  // Half of the file's packs get a wrong byte each.
  const [name] = readdirSync(folder);
  const path = join(folder, name!);
  const bytes = readFileSync(path);
  for (let at = bytes.length - 10; at > bytes.length / 2; at -= 20_000) bytes[at]! ^= 0x40;
  writeFileSync(path, bytes);
  const damaged = await runIn(folder);
  expect(damaged.lines).toEqual(withoutStore);
  expect(damaged.store.damaged).toBeGreaterThan(1);
  expect(damaged.store.read).toBeGreaterThan(0);
  expect(damaged.groups).toBeGreaterThan(10);

  const mended = await runIn(folder);
  expect(mended.lines).toEqual(withoutStore);
  expect(mended.groups).toBe(0);
});

/** A store in memory that passes off whatever it is told to, with nothing to check it by. */
class LyingStore implements CodeStore {
  /** Of regions, and of step functions. */
  readonly packs: Uint8Array<ArrayBuffer>[] = [];
  readonly stepPacks: Uint8Array<ArrayBuffer>[] = [];
  #collect: (() => void)[] = [];

  #packsFor(key: CodeKey | undefined): Uint8Array<ArrayBuffer>[] {
    return key?.fingerprint === STEP_KEY.fingerprint ? this.stepPacks : this.packs;
  }

  find(key: CodeKey): StoredPack[] {
    return this.#packsFor(key).map((bytes, i) => ({ id: `${i}`, read: () => bytes, reject: () => {} }));
  }

  announce(collect: () => void): void {
    this.#collect.push(collect);
  }

  add([key]: readonly CodeKey[], bytes: Uint8Array<ArrayBuffer>): void {
    this.#packsFor(key).push(bytes.slice());
  }

  collect(): void {
    for (const collect of new Set(this.#collect)) collect();
  }
}

/** Packs of a run. */
function packsOfRun(): LyingStore {
  const store = new LyingStore();
  const translations = new Translations({
    find: () => [],
    announce: (collect) => store.announce(collect),
    add: (keys, pack) => store.add(keys, pack),
  });
  run(translations);
  store.collect();
  return store;
}

const kept = packsOfRun();

function believe(change: (pack: Uint8Array<ArrayBuffer>, steps: boolean) => Uint8Array<ArrayBuffer>) {
  const store = new LyingStore();
  for (const pack of kept.packs) store.packs.push(change(pack.slice(), false));
  for (const pack of kept.stepPacks) store.stepPacks.push(change(pack.slice(), true));
  store.add = () => {};
  const translations = new Translations(store);
  expect(run(translations)).toEqual(withoutStore);
  return translations.figures;
}

test('packs that are no packs, no modules, or of other code', { timeout: 120_000 }, () => {
  // The whole truth is believed.
  const truth = believe((pack) => pack);
  expect(truth).toMatchObject({ groups: 0, rejected: 0 });

  const noise = believe((pack) => pack.map((byte, i) => byte ^ (i * 37)));
  expect(noise).toMatchObject({ rejected: kept.packs.length + kept.stepPacks.length, loaded: 0 });
  expect(kept.stepPacks.length).toBeGreaterThan(0);

  const noModule = believe((pack, steps) => {
    (steps ? stepsOf(pack) : wasmOf(pack))[8] = 0xff;
    return pack;
  });
  expect(noModule).toMatchObject({ loaded: 0, groups: noise.groups });
  expect(noModule.rejected).toBeGreaterThan(0);

  // The last bit of every piece of guest code is another: good translations of code that the guest does not have.
  const otherCode = believe((pack, steps) => {
    if (steps) return pack;
    // What stands before the module is copied to the same place.
    for (const { pieces } of openPack(pack)!)
      for (const { bytes } of pieces) pack[bytes.byteOffset + bytes.length - 1]! ^= 1;
    return pack;
  });
  expect(otherCode).toMatchObject({ loaded: 0, groups: noise.groups, rejected: 0 });
});

/** The module of a pack of step functions: a view. */
function stepsOf(pack: Uint8Array<ArrayBuffer>): Uint8Array {
  const view = new DataView(pack.buffer);
  const [text, encodings] = [view.getUint32(0, true), view.getUint32(12, true)];
  return pack.subarray((16 + encodings * 4 + text + 3) & ~3);
}

/** The pack's module: a view. */
function wasmOf(pack: Uint8Array<ArrayBuffer>): Uint8Array {
  return pack.subarray(new DataView(pack.buffer).getUint32(0, true));
}

test('exact stops, with regions that another run made', { timeout: 120_000 }, async () => {
  const folder = join(root, 'exact');
  await runIn(folder);
  const translations = new Translations(openCodeStore({ folder })!);
  expect(run(translations, true)).toEqual(run(new Translations(), true));
  expect(translations.figures.loaded).toBeGreaterThan(300);
});
