import { crc32 as native } from 'node:zlib';
import { expect, test } from 'vitest';
import { crc32 } from './crc32.ts';

test("is zlib's, chained too", () => {
  const bytes = new Uint8Array(1000).map((_, i) => i * 7);
  for (const cut of [0, 1, 500, 1000]) {
    expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(native(bytes));
  }
});
