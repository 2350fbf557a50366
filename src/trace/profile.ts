/**
 * Where a guest spends its instructions. A CPU in front of another stops it at exact counts, every `period` instructions on
 * average, and notes the function that comes next. Time is not measured: a share is one of guest instructions.
 */

import type { Kernel } from '../linux/kernel.ts';
import { Symbolizer } from '../linux/symbolizer.ts';
import type { AddressSpace } from '../lvm/address-space.ts';
import type { CodeTier, CpuExit, VirtualCpu } from '../lvm/cpu.ts';
import type { Context } from '../x86/state.ts';
import { ObservingCpu } from './observing-cpu.ts';

/** A stop at an exact count costs some 100 µs: the last 200 instructions before it are run one by one. */
export const SAMPLE_PERIOD = 1_000_000;
/** By so much a run may exceed its budget that need not stop exactly. */
const OVERRUN = 1 << 17;

const TIERS: readonly CodeTier[] = ['interpreted', 'translated', 'hot'];

interface Row {
  readonly symbol: string | null;
  readonly module: string;
  readonly samples: Record<CodeTier, number>;
}

export class Profile {
  readonly period: number;
  samples = 0;
  readonly #kernel: () => Kernel;
  readonly #symbolizer = new Symbolizer();
  readonly #rows = new Map<string, Row>();

  constructor(kernel: () => Kernel, period = SAMPLE_PERIOD) {
    this.#kernel = kernel;
    this.period = period;
  }

  sample(rip: number, tier: CodeTier): void {
    const { process } = this.#kernel().current!;
    const { module, symbol, offset } = this.#symbolizer.find(process.mm, rip);
    // Code without a name is told apart by the page.
    const name = symbol ?? `+0x${(offset - (offset % 4096)).toString(16)}`;
    const key = `${name}\0${module}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = { symbol: name, module, samples: { interpreted: 0, translated: 0, hot: 0 } };
      this.#rows.set(key, row);
    }
    row.samples[tier]++;
    this.samples++;
  }

  /** The table: a row for each function, the most samples first. Lines that begin with # are for people. */
  report(): string {
    const total = ({ samples }: Row): number => TIERS.reduce((sum, tier) => sum + samples[tier], 0);
    const rows = [...this.#rows.values()].sort(
      (a, b) => total(b) - total(a) || ((a.symbol ?? '') < (b.symbol ?? '') ? -1 : 1),
    );
    const percent = (count: number): string => `${((100 * count) / Math.max(1, this.samples)).toFixed(2)}%`;
    const all = TIERS.map((tier) => rows.reduce((sum, { samples }) => sum + samples[tier], 0));
    const lines = [
      `# ${this.samples} samples, one every ${this.period} guest instructions on average`,
      `# by tier: ${TIERS.map((tier, i) => `${tier} ${percent(all[i]!)}`).join(', ')}`,
      columns('# share', 'samples', ...TIERS, 'function', 'module'),
    ];
    for (const row of rows) {
      const tiers = TIERS.map((tier) => `${row.samples[tier]}`);
      lines.push(columns(percent(total(row)), `${total(row)}`, ...tiers, row.symbol ?? '', row.module));
    }
    return `${lines.join('\n')}\n`;
  }
}

function columns(...cells: string[]): string {
  const last = cells.length - 1;
  return cells.map((cell, i) => (i === last ? cell : i === last - 1 ? cell.padEnd(40) : cell.padStart(11))).join('  ');
}

export class ProfilingCpu extends ObservingCpu {
  readonly #profile: Profile;
  #random = 1;
  /** Instructions to the next sample. */
  #left: number;

  constructor(cpu: VirtualCpu, profile: Profile) {
    super(cpu);
    this.#profile = profile;
    this.#left = this.#distance();
  }

  /** From period / 2 to period * 3 / 2, evenly: at equal distances the guest's loops would keep step with the samples. */
  #distance(): number {
    // Numerical Recipes' generator; its high bits are the good ones.
    this.#random = (Math.imul(this.#random, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(this.#profile.period * (0.5 + this.#random / 2 ** 32));
  }

  override run(space: AddressSpace, context: Context, budget: number, exact: boolean): CpuExit {
    this.before = 0;
    for (;;) {
      const left = budget - this.before;
      const isReached = this.#left <= (exact ? left : left + OVERRUN);
      const exit = this.cpu.run(space, context, isReached ? this.#left : left, exact || isReached);
      this.#left -= this.cpu.retired;
      if (this.#left <= 0) {
        this.#left = this.#distance();
        this.#profile.sample(context.rip, this.cpu.tierAt(space, context.rip));
      }
      if (exit.kind !== 'budget' || this.retired >= budget) return exit;
      this.before += this.cpu.retired;
    }
  }
}
