/**
 * The names of journals in a data directory: `g<generation>-v<view>-<number>`, ending in `.part` until the root is durable
 * and in `.journal` then. The greatest `.journal` is the one to restart from: a primary begins one in each view that it
 * leads, and another one, of the next number, when its journal has grown.
 */

export interface JournalName {
  readonly generation: number;
  /** In which its primary took over. */
  readonly view: number;
  readonly number: number;
}

const NAME = /^g(\d{1,15})-v(\d{1,15})-(\d{1,15})\.(part|journal)$/;

export function journalName({ generation, view, number }: JournalName, whole: boolean): string {
  return `g${generation}-v${view}-${number}.${whole ? 'journal' : 'part'}`;
}

/** Null: not the name of a journal. */
export function parseJournalName(name: string): (JournalName & { readonly whole: boolean }) | null {
  const match = NAME.exec(name);
  if (match === null) return null;
  const [generation, view, number] = match.slice(1, 4).map(Number) as [number, number, number];
  return { generation, view, number, whole: match[4] === 'journal' };
}

export function compareJournals(a: JournalName, b: JournalName): number {
  return a.generation - b.generation || a.view - b.view || a.number - b.number;
}

/** The name of the newest journal with a whole root; null: there is none. */
export function newestJournal(names: readonly string[]): string | null {
  let newest: JournalName | null = null;
  for (const name of names) {
    const parsed = parseJournalName(name);
    if (parsed?.whole && (newest === null || compareJournals(parsed, newest) > 0)) newest = parsed;
  }
  return newest === null ? null : journalName(newest, true);
}
