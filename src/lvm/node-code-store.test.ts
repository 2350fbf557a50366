/** Translated code on disk: found again, never trusted, written by several at once, and bounded. */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NodeCodeStore, openCodeStore } from './node-code-store.ts';
import { encodeHead, hashPack } from './pack-file.ts';
import { translatorVersion } from './translator-version.ts';

const VERSION = createHash('sha256').update('this translator').digest();
const OTHER = createHash('sha256').update('another one').digest();
const KEY = { entry: 0x40_1000, fingerprint: 7 };
/** Long enough that its index does not fit the first read. */
const MANY = Array.from({ length: 10_000 }, (_, i) => ({ entry: 0x50_0000 + i * 16, fingerprint: i }));

let root: string;
let folders = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'tardigrade-store-'));
});
afterAll(() => rmSync(root, { recursive: true }));

function newFolder(): string {
  return join(root, `${folders++}`);
}

function openIn(folder: string, version = VERSION, folderMax?: number): NodeCodeStore {
  const store = openCodeStore({ folder, version, ...(folderMax === undefined ? {} : { folderMax }) });
  expect(store).not.toBeNull();
  return store!;
}

function pack(text: string, length = text.length): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  bytes.set(Buffer.from(text));
  return bytes;
}

async function write(folder: string, text: string, keys = [KEY], version = VERSION): Promise<NodeCodeStore> {
  const store = openIn(folder, version);
  store.add(keys, pack(text));
  await store.flush();
  return store;
}

/** What a process that starts now finds. */
function found(folder: string, key = KEY, version = VERSION): (string | null)[] {
  return openIn(folder, version)
    .find(key)
    .map((stored) => {
      const bytes = stored.read();
      return bytes === null ? null : Buffer.from(bytes).toString();
    });
}

function files(folder: string): string[] {
  return readdirSync(folder).map((name) => join(folder, name));
}

describe('what is kept', () => {
  it('is found by entry and fingerprint', async () => {
    const folder = newFolder();
    await write(folder, 'code', [KEY, ...MANY]);
    expect(found(folder)).toEqual(['code']);
    expect(found(folder, MANY[9999]!)).toEqual(['code']);
    expect(found(folder, { ...KEY, fingerprint: 8 })).toEqual([]);
    expect(found(folder, { ...KEY, entry: 0x40_1001 })).toEqual([]);
  });

  it('is asked for when it is to be written, and only then', async () => {
    const folder = newFolder();
    const store = openIn(folder);
    let asked = 0;
    const collect = (): void => {
      asked++;
      store.add([KEY], pack('collected'));
    };
    store.announce(collect);
    store.announce(collect);
    expect(asked).toBe(0);
    await store.flush();
    await store.flush();
    expect(asked).toBe(1);
    expect(found(folder)).toEqual(['collected']);
  });

  it('goes to one file as long as one process writes', async () => {
    const folder = newFolder();
    const store = await write(folder, 'first');
    store.add([{ ...KEY, entry: 1 }], pack('second'));
    await store.flush();
    expect(files(folder)).toHaveLength(1);
    expect(found(folder)).toEqual(['first']);
    expect(found(folder, { ...KEY, entry: 1 })).toEqual(['second']);
    // Its own is in its memory.
    expect(store.find(KEY)).toEqual([]);
  });

  it('of several processes stands side by side, and is seen while they run', async () => {
    const folder = newFolder();
    const early = openIn(folder);
    expect(early.find(KEY)).toEqual([]);
    await Promise.all(['a', 'b', 'c'].map((text) => write(folder, text)));
    expect(found(folder).sort()).toEqual(['a', 'b', 'c']);
    await expect.poll(() => early.find(KEY).length).toBe(3);
  });

  it('that others have written meanwhile is not written again', async () => {
    const folder = newFolder();
    const late = openIn(folder);
    late.add(MANY, pack('late'));
    await write(folder, 'early', MANY.slice(0, 8000));
    await late.flush();
    expect(files(folder)).toHaveLength(1);
    late.add([...MANY.slice(5000), ...MANY.map(({ entry }) => ({ entry, fingerprint: 1 }))], pack('other'));
    await late.flush();
    expect(files(folder)).toHaveLength(2);
  });

  it('in very many small files is put into one', async () => {
    const folder = newFolder();
    const keys = Array.from({ length: 20 }, (_, i) => ({ entry: i, fingerprint: i }));
    for (const key of keys.slice(0, 17)) await write(folder, `${key.entry}`, [key]);
    expect(files(folder)).toHaveLength(17);
    await write(folder, '17', [keys[17]!]);
    expect(files(folder)).toHaveLength(1);
    await write(folder, '18', [keys[18]!]);
    expect(files(folder)).toHaveLength(2);
    expect(keys.slice(0, 19).map((key) => found(folder, key))).toEqual(
      keys.slice(0, 19).map(({ entry }) => [`${entry}`]),
    );
  });

  it('that has been replaced or deleted is missed, not failed on', async () => {
    const folder = newFolder();
    await write(folder, 'code');
    const store = openIn(folder);
    const [stored] = store.find(KEY);
    for (const path of files(folder)) rmSync(path);
    expect(stored!.read()).toBeNull();
    expect(store.find(KEY)).toEqual([]);
  });

  it('is bounded: the oldest goes first, of other translators before ours', async () => {
    const folder = newFolder();
    const aged = async (text: string, version: Buffer<ArrayBuffer>, ageS: number): Promise<string> => {
      const before = new Set(files(folder));
      const store = openIn(folder, version);
      store.add([{ ...KEY, fingerprint: ageS }], pack(text, 100_000));
      await store.flush();
      const path = files(folder).find((name) => !before.has(name))!;
      const time = Date.now() / 1000 - ageS;
      utimesSync(path, time, time);
      return path;
    };
    mkdirSync(folder, { mode: 0o700 });
    const old = await aged('old', VERSION, 5000);
    const young = await aged('young', VERSION, 10);
    const foreign = await aged('foreign', OTHER, 1);
    const left = async (folderMax: number): Promise<string[]> => {
      const store = openIn(folder, VERSION, folderMax);
      store.add([{ ...KEY, fingerprint: folderMax }], pack('x'));
      await store.flush();
      return [old, young, foreign].filter((path) => files(folder).includes(path));
    };
    expect(await left(350_000)).toEqual([old, young, foreign]);
    expect(await left(250_000)).toEqual([old, young]);
    expect(await left(150_000)).toEqual([young]);
  });
});

describe('what is not trusted', () => {
  it('a byte changed anywhere', async () => {
    const folder = newFolder();
    await write(folder, 'the code', [KEY]);
    const [path] = files(folder) as [string];
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at++) {
      const bad = Buffer.from(good);
      bad[at]! ^= 1 << (at & 7);
      writeFileSync(path, bad);
      const store = openIn(folder);
      expect(
        store
          .find(KEY)
          .map((stored) => stored.read())
          .filter((bytes) => bytes !== null),
        `byte ${at}`,
      ).toEqual([]);
      expect(store.figures.damaged, `byte ${at}`).toBe(1);
      // Asked again, it does not try again.
      expect(store.find(KEY)).toEqual([]);
    }
    writeFileSync(path, good);
    expect(found(folder)).toEqual(['the code']);
  });

  it('a file cut off anywhere', async () => {
    const folder = newFolder();
    await write(folder, 'the code', [KEY]);
    const [path] = files(folder) as [string];
    for (let length = statSync(path).size - 1; length >= 0; length -= 7) {
      truncateSync(path, length);
      expect(found(folder).filter((text) => text !== null)).toEqual([]);
    }
  });

  it('another translator', async () => {
    const folder = newFolder();
    await write(folder, 'other', [KEY], OTHER);
    expect(found(folder)).toEqual([]);
    // Not even under a name that says it is ours.
    const name = `${VERSION.toString('hex', 0, 8)}-x.packs`;
    writeFileSync(join(folder, name), readFileSync(files(folder)[0]!), { mode: 0o600 });
    expect(found(folder)).toEqual([]);
    expect(found(folder, KEY, OTHER)).toEqual(['other']);
  });

  it('an index that says what cannot be', async () => {
    const folder = newFolder();
    const name = join(folder, `${VERSION.toString('hex', 0, 8)}-x.packs`);
    mkdirSync(folder, { mode: 0o700 });
    const bytes = pack('beyond');
    // The pack is not there although all hashes are right.
    writeFileSync(name, encodeHead(VERSION, [hashPack({ keys: [KEY], bytes })]), { mode: 0o600 });
    const store = openIn(folder);
    expect(store.find(KEY)).toEqual([]);
    expect(store.figures.damaged).toBe(1);
  });

  it.skipIf(process.geteuid === undefined)('what others can write', async () => {
    const folder = newFolder();
    await write(folder, 'code');
    const [path] = files(folder) as [string];
    chmodSync(path, 0o666);
    expect(found(folder)).toEqual([]);
    chmodSync(path, 0o600);
    expect(found(folder)).toEqual(['code']);
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, readFileSync(path), { mode: 0o600 });
    rmSync(path);
    symlinkSync(elsewhere, path);
    expect(found(folder)).toEqual([]);

    chmodSync(folder, 0o777);
    let why = '';
    expect(openCodeStore({ folder, version: VERSION }, (text) => (why = text))).toBeNull();
    expect(why).toContain(folder);
  });
});

describe('where there is no folder', () => {
  it('says why, and nothing fails', () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    let why = '';
    expect(openCodeStore({ folder: join(file, 'x'), version: VERSION }, (text) => (why = text))).toBeNull();
    expect(why).toContain(file);
    expect(openCodeStore({ folder: null })).toBeNull();
  });

  it('when it goes away, what is written is lost and counted', async () => {
    const folder = newFolder();
    const store = openIn(folder);
    rmSync(folder, { recursive: true });
    store.add([KEY], pack('code'));
    await store.flush();
    expect(store.figures.written).toBe(0);
    expect(store.figures.failed).toBeGreaterThan(0);
    expect(store.find(KEY)).toEqual([]);
  });

  it('off, the variable, XDG and the home folder decide in this order', () => {
    const names = ['TARDIGRADE_CACHE', 'XDG_CACHE_HOME', 'HOME'] as const;
    const saved = names.map((name) => process.env[name]);
    const opens = (own: string | undefined, xdg: string | undefined): boolean => {
      for (const [name, value] of [
        ['TARDIGRADE_CACHE', own],
        ['XDG_CACHE_HOME', xdg],
      ] as const) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      return openCodeStore({ version: VERSION }) !== null;
    };
    try {
      process.env.HOME = join(root, 'home');
      expect(opens('off', join(root, 'xdg'))).toBe(false);
      expect(opens(join(root, 'own'), join(root, 'xdg'))).toBe(true);
      expect(readdirSync(root)).toContain('own');
      expect(readdirSync(root)).not.toContain('xdg');
      expect(opens(undefined, join(root, 'xdg'))).toBe(true);
      expect(statSync(join(root, 'xdg/tardigrade')).mode & 0o777).toBe(0o700);
      expect(opens(undefined, 'relative')).toBe(true);
      expect(statSync(join(root, 'home/.cache/tardigrade')).isDirectory()).toBe(true);
    } finally {
      names.forEach((name, i) => {
        if (saved[i] === undefined) delete process.env[name];
        else process.env[name] = saved[i];
      });
    }
  });
});

describe("the translator's version", () => {
  it('changes with its sources, and with nothing else', () => {
    const source = newFolder();
    const put = (name: string, text: string): void => writeFileSync(join(source, name), text);
    for (const folder of ['x86', 'wasm', 'lvm']) mkdirSync(join(source, folder), { recursive: true });
    put('x86/translate.ts', 'translate');
    put('wasm/code.ts', 'code');
    put('lvm/layout.ts', 'layout');
    const first = translatorVersion(source);
    expect(translatorVersion(source)).toEqual(first);
    put('x86/translate.test.ts', 'a test');
    put('lvm/clock.ts', 'something else');
    expect(translatorVersion(source)).toEqual(first);
    const versions = [first];
    for (const name of ['x86/translate.ts', 'wasm/code.ts', 'lvm/layout.ts', 'x86/lower-new.ts']) {
      put(name, 'changed');
      versions.push(translatorVersion(source));
    }
    expect(new Set(versions.map(String)).size).toBe(5);
  });

  it('is of the sources that run', () => {
    expect(translatorVersion()).toEqual(translatorVersion(join(import.meta.dirname, '..')));
    expect(translatorVersion()).not.toEqual(translatorVersion(newFolder()));
  });
});
