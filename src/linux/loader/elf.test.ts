import { describe, expect, test } from 'vitest';
import { parseElf } from './elf.ts';
import { tinyElf } from './test-elf.ts';

const SECOND_HEADER = 64 + 56;
const PT_GNU_STACK = 0x6474e551;

function parse(bytes: Uint8Array) {
  return parseElf((offset, length) => bytes.subarray(offset, offset + length));
}

describe('the stack that a program asks for', () => {
  function withStack(flags: number) {
    const bytes = tinyElf();
    const view = new DataView(bytes.buffer);
    view.setUint16(56, 2, true);
    view.setUint32(SECOND_HEADER, PT_GNU_STACK, true);
    view.setUint32(SECOND_HEADER + 4, flags, true);
    return parse(bytes).executableStack;
  }

  test('is executable when the flags say so, and only then', () => {
    expect(withStack(7)).toBe(true);
    expect(withStack(6)).toBe(false);
    expect(parse(tinyElf()).executableStack).toBe(false);
  });
});
