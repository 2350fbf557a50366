/**
 * XMM registers in locals of a region: the whole in a v128, or the low half in an f64, which is then newer than lane 0 of
 * the v128 and of the register file. So scalar doubles are computed with f64 instructions, and no upper half is carried
 * along. Of an upper half that a load has made zero that is known, and nothing is in a local.
 *
 * In a run (sse-run.ts) a second layer has what was written there; exits see the one below.
 */

import { REGISTER_FILE } from '../lvm/layout.ts';
import type { Code } from '../wasm/emitter.ts';
import { NONE, type RegisterSet } from './register-state.ts';
import { OFF_XMM } from './state.ts';

export class VectorLocals {
  /** See RegisterState. The general registers among these are the region's. */
  valid: RegisterSet = { ...NONE };
  dirty: RegisterSet = { ...NONE };
  readonly #code: Code;
  readonly #below: VectorLocals | null;
  /** Code that is not executed on every path through the instruction: what it does to locals must not be relied upon. */
  readonly #isConditional: () => boolean;
  readonly #whole: number[] = new Array(16).fill(-1);
  readonly #low: number[] = new Array(16).fill(-1);

  constructor(code: Code, below: VectorLocals | null, isConditional: () => boolean) {
    this.#code = code;
    this.#below = below;
    this.#isConditional = isConditional;
  }

  wholeLocal(index: number): number {
    if (this.#whole[index] === -1) this.#whole[index] = this.#code.local('v128');
    return this.#whole[index]!;
  }

  lowLocal(index: number): number {
    if (this.#low[index] === -1) this.#low[index] = this.#code.local('f64');
    return this.#low[index]!;
  }

  /** Whether this layer has something of the register that is newer than below. */
  #has(bit: number): boolean {
    const { xmm, low, zero } = this.dirty;
    return this.#below === null || ((xmm | low | zero) & bit) !== 0;
  }

  /** Where the register's value is. */
  #layer(bit: number): VectorLocals {
    return this.#has(bit) ? this : this.#below!.#layer(bit);
  }

  #isZero(bit: number): boolean {
    const { xmm, zero } = this.dirty;
    const isBelow = this.#below !== null && ((xmm | zero) & bit) === 0;
    return isBelow ? this.#below.#isZero(bit) : (this.valid.zero & bit) !== 0;
  }

  // --- reading ---

  /** The v128 local with the register, to be read. */
  whole(index: number): number {
    const bit = 1 << index;
    if (!this.#has(bit)) return this.#below!.whole(index);
    const { valid, dirty } = this;
    const local = this.wholeLocal(index);
    if ((valid.xmm & ~dirty.low & bit) !== 0) return local;
    const code = this.#code;
    if ((dirty.low & bit) !== 0) {
      this.#pushUpper(index);
      code.localGet(this.lowLocal(index)).f64x2ReplaceLane(0);
    } else {
      code.i32Const(REGISTER_FILE).v128Load(OFF_XMM + 16 * index);
    }
    code.localSet(local);
    if (this.#isConditional()) return local;
    valid.xmm |= bit;
    if (((dirty.low | dirty.zero) & bit) !== 0) dirty.xmm |= bit;
    dirty.low &= ~bit;
    dirty.zero &= ~bit;
    return local;
  }

  /** The f64 local with the register's low half, to be read. */
  low(index: number): number {
    const bit = 1 << index;
    if (!this.#has(bit)) return this.#below!.low(index);
    const { valid } = this;
    const local = this.lowLocal(index);
    if ((valid.low & bit) !== 0) return local;
    const code = this.#code;
    if ((valid.xmm & bit) !== 0) code.localGet(this.wholeLocal(index)).f64x2ExtractLane(0);
    else code.i32Const(REGISTER_FILE).f64Load(OFF_XMM + 16 * index);
    code.localSet(local);
    if (!this.#isConditional()) valid.low |= bit;
    return local;
  }

  /** Pushes a v128 with the register's low half. */
  pushLowHalf(index: number): void {
    const { valid, dirty } = this.#layer(1 << index);
    const isApart = ((valid.low & (dirty.low | ~valid.xmm)) >> index) & 1;
    if (isApart !== 0) this.#code.localGet(this.low(index)).f64x2Splat();
    else this.#code.localGet(this.whole(index));
  }

  /** Pushes a v128 with the register's upper half. */
  #pushUpper(index: number): void {
    const code = this.#code;
    const bit = 1 << index;
    if ((this.valid.xmm & bit) !== 0) code.localGet(this.wholeLocal(index));
    else if ((this.valid.zero & bit) !== 0) code.v128Const(0n, 0n);
    else if (this.#below !== null) this.#below.#layer(bit).#pushUpper(index);
    // (The low half may just have been stored by itself: processors make a load of both wait.)
    else code.i32Const(REGISTER_FILE).v128Load64Splat(OFF_XMM + 16 * index + 8);
  }

  // --- writing ---

  /** What `setWhole` in conditional code needs. */
  isPreloaded(index: number): boolean {
    const { xmm, low, zero } = this.valid;
    return (((xmm & ~low & ~zero) >> index) & 1) !== 0;
  }

  /** Makes a conditional `setWhole` possible. */
  preload(index: number): void {
    this.whole(index);
    this.#forget(1 << index);
  }

  #forget(bit: number): void {
    for (const set of [this.valid, this.dirty]) {
      set.low &= ~bit;
      set.zero &= ~bit;
    }
  }

  /** Pops the register's value. */
  setWhole(index: number): void {
    const bit = 1 << index;
    this.#code.localSet(this.wholeLocal(index));
    this.valid.xmm |= bit;
    this.dirty.xmm |= bit;
    this.#forget(bit);
  }

  /** Pops the low half; the upper one stays. */
  setLow(index: number): void {
    const bit = 1 << index;
    const { valid, dirty } = this;
    this.#code.localSet(this.lowLocal(index));
    valid.low |= bit;
    dirty.low |= bit;
    if ((valid.zero & dirty.xmm & bit) === 0) return;
    valid.xmm &= ~bit;
    dirty.xmm &= ~bit;
    dirty.zero |= bit;
  }

  /** Pops the low half; the upper one becomes zero. */
  setLowOnly(index: number): void {
    this.#code.localSet(this.lowLocal(index));
    this.#isOnlyLow(1 << index);
  }

  #isOnlyLow(bit: number): void {
    const { valid, dirty } = this;
    valid.xmm &= ~bit;
    dirty.xmm &= ~bit;
    for (const set of [valid, dirty]) {
      set.low |= bit;
      set.zero |= bit;
    }
  }

  /** All bits become zero. */
  clear(index: number): void {
    const bit = 1 << index;
    const { valid, dirty } = this;
    this.#code.v128Const(0n, 0n).localSet(this.wholeLocal(index));
    this.#code.f64Const(0).localSet(this.lowLocal(index));
    valid.xmm |= bit;
    valid.low |= bit;
    valid.zero |= bit;
    dirty.xmm |= bit;
    dirty.low &= ~bit;
    dirty.zero &= ~bit;
  }

  /** One register becomes another: what is known of it, too. `scalar`: its low half is probably all that is used. */
  copy(to: number, from: number, scalar: boolean): void {
    if (to === from) return;
    const code = this.#code;
    const source = this.#layer(1 << from);
    if (scalar && ((source.valid.xmm >> from) & 1) === 0) source.low(from);
    const is = (set: number): boolean => ((set >> from) & 1) !== 0;
    const { valid, dirty } = source;
    const isNewer = is(dirty.low);
    const isZero = this.#isZero(1 << from);
    if (isZero && (isNewer || !is(valid.xmm))) {
      code.localGet(source.low(from));
      this.setLowOnly(to);
      return;
    }
    if (is(valid.low)) {
      // Perhaps from below that layer.
      source.#pushUpper(from);
      this.setWhole(to);
      code.localGet(source.lowLocal(from)).localSet(this.lowLocal(to));
      this.valid.low |= 1 << to;
      if (isNewer || !is(valid.xmm)) this.dirty.low |= 1 << to;
    } else {
      code.localGet(source.whole(from));
      this.setWhole(to);
    }
    if (isZero) this.valid.zero |= 1 << to;
  }

  /** Gives the layer below all that is newer here, which is nothing afterwards. */
  flush(): void {
    const below = this.#below!;
    const code = this.#code;
    const { valid, dirty } = this;
    for (let i = 0; i < 16; i++) {
      const bit = 1 << i;
      if ((dirty.xmm & bit) !== 0) {
        code.localGet(this.wholeLocal(i));
        below.setWhole(i);
        below.valid.zero |= valid.zero & bit;
        if ((valid.low & ~dirty.low & bit) !== 0) {
          code.localGet(this.lowLocal(i)).localSet(below.lowLocal(i));
          below.valid.low |= bit;
        }
      }
      if ((dirty.low & bit) === 0) continue;
      code.localGet(this.lowLocal(i));
      if ((dirty.zero & bit) !== 0) below.setLowOnly(i);
      else below.setLow(i);
    }
    this.valid = { ...NONE };
    this.dirty = { ...NONE };
  }

  // --- where paths meet, the lowest layer ---

  /** Makes the register one whose upper half is zero, which it is, and not in a local. */
  settleOnlyLow(index: number): void {
    this.low(index);
    this.#isOnlyLow(1 << index);
  }

  /** Makes the register one with both halves in locals. */
  settleHalves(index: number): void {
    const bit = 1 << index;
    const { dirty } = this;
    this.low(index);
    this.upper(index);
    dirty.zero &= ~bit;
    dirty.xmm |= bit;
    dirty.low |= bit;
  }

  /** Makes the upper half be in a v128, the low one being in an f64. */
  upper(index: number): void {
    const bit = 1 << index;
    if ((this.valid.xmm & bit) !== 0) return;
    this.#pushUpper(index);
    this.#code.localSet(this.wholeLocal(index));
    this.valid.xmm |= bit;
  }

  /** Makes the register one whose upper half is in the register file. */
  settleLow(index: number): void {
    const code = this.#code;
    const bit = 1 << index;
    const { valid, dirty } = this;
    this.low(index);
    const upper = OFF_XMM + 16 * index + 8;
    if (((dirty.xmm | dirty.zero) & valid.zero & bit) !== 0) {
      code.i32Const(REGISTER_FILE).i64Const(0).i64Store(upper);
    } else if ((dirty.xmm & bit) !== 0) {
      code.i32Const(REGISTER_FILE).localGet(this.wholeLocal(index)).v128Store64Lane(1, upper);
    }
    dirty.zero &= ~bit;
    dirty.xmm &= ~bit;
    dirty.low |= bit;
  }

  /** Stores registers that were dirty in this way. */
  store(index: number, { xmm, low, zero }: RegisterSet): void {
    const code = this.#code;
    const is = (set: number): boolean => ((set >> index) & 1) !== 0;
    if (!is(xmm | low)) return;
    const offset = OFF_XMM + 16 * index;
    code.i32Const(REGISTER_FILE);
    if (is(xmm)) code.localGet(this.wholeLocal(index));
    else if (is(zero)) code.v128Const(0n, 0n);
    if (is(low)) code.localGet(this.lowLocal(index));
    if (is(xmm | zero)) {
      if (is(low)) code.f64x2ReplaceLane(0);
      code.v128Store(offset);
    } else {
      code.f64Store(offset);
    }
  }

  /** Loads registers that were valid in this way. */
  load(index: number, { xmm, low }: RegisterSet): void {
    const code = this.#code;
    if ((xmm >> index) & 1) {
      code
        .i32Const(REGISTER_FILE)
        .v128Load(OFF_XMM + 16 * index)
        .localSet(this.wholeLocal(index));
    }
    if ((low >> index) & 1) {
      code
        .i32Const(REGISTER_FILE)
        .f64Load(OFF_XMM + 16 * index)
        .localSet(this.lowLocal(index));
    }
  }
}
