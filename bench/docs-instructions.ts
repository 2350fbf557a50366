/**
 * npm run docs:instructions — writes the list of instructions in docs/limits.md, between its markers, from the table that
 * decoder, translator and fuzzer share (src/x86/table-rows.ts). test/docs-instructions.test.ts checks that it is current.
 */

import { type Area, FORMS } from '../src/x86/table.ts';
import { rewriteLimits, withSection, wrapped } from './docs-section.ts';

const TITLES: Readonly<Record<Area, string>> = {
  integer: 'Integer (with POPCNT and CRC32)',
  string: 'Strings',
  sse: 'SSE',
  sse2: 'SSE2',
  sse3: 'SSE3',
  ssse3: 'SSSE3 (on XMM and MMX registers)',
  'sse4.1': 'SSE4.1',
  'sse4.2': 'SSE4.2',
  mmx: 'MMX',
  x87: 'x87 (with FISTTP)',
  privileged: 'Refused as in user mode (SIGSEGV)',
};

/** Where one name of ours stands for several of the SDM's, or is none of it. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
  jrcxz: ['jrcxz', 'jecxz'],
  mov_seg: ['mov (segment registers)'],
  push_seg: ['push (fs, gs)'],
  pop_seg: ['pop (fs, gs)'],
  mov_cr: ['mov (control registers)'],
  mov_dr: ['mov (debug registers)'],
  call_far: ['call (far)'],
  jmp_far: ['jmp (far)'],
};

/** The document with the list put in. Throws where it has no markers. */
export function withInstructions(document: string): string {
  return withSection(document, 'docs:instructions', list());
}

function list(): string {
  const lines = [`${FORMS.length} forms, ${new Set(FORMS.flatMap(namesOf)).size} mnemonics.`, ''];
  for (const [area, title] of Object.entries(TITLES)) {
    const names = new Set(FORMS.filter((form) => form.area === area).flatMap(namesOf));
    lines.push(`${title}:`, ...wrapped([...names].sort()), '');
  }
  return lines.join('\n');
}

function namesOf({ op, opW }: (typeof FORMS)[number]): readonly string[] {
  return NAMES[op] ?? (opW === null ? [op] : [op, opW]);
}

if (import.meta.main) rewriteLimits(withInstructions);
