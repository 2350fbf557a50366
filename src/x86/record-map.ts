/** Guest address → address of a record, for very many of them: a table of open addressing in two typed arrays. */

const SIZE_MIN = 1 << 12;

export class RecordMap {
  /** Keys stay where they are when their value becomes 0: there is none. */
  #keys = new Int32Array(SIZE_MIN);
  #values = new Int32Array(SIZE_MIN);
  #used = 0;

  /** The record's address, or 0. */
  get(rip: number): number {
    return this.#values[this.#place(rip)]! >>> 0;
  }

  /** `record` 0: there is none any more. */
  set(rip: number, record: number): void {
    let at = this.#place(rip);
    if (this.#keys[at] === 0) {
      if (record === 0) return;
      if (++this.#used > this.#keys.length >> 1) {
        this.#grow();
        at = this.#place(rip);
      }
      this.#keys[at] = rip;
    }
    this.#values[at] = record;
  }

  /** Where the key is, or where it would be: nothing of a guest is at address 0. */
  #place(rip: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    const key = rip | 0;
    let at = (Math.imul(key, 0x9e37_79b1) >>> 12) & mask;
    while (keys[at] !== 0 && keys[at] !== key) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Int32Array(keys.length * 2);
    this.#values = new Int32Array(keys.length * 2);
    this.#used = 1;
    for (let i = 0; i < keys.length; i++) {
      if (values[i] === 0) continue;
      const at = this.#place(keys[i]!);
      this.#keys[at] = keys[i]!;
      this.#values[at] = values[i]!;
      this.#used++;
    }
  }

  /** Those that there are. */
  forEach(visit: (rip: number, record: number) => void): void {
    this.#values.forEach((record, i) => {
      if (record !== 0) visit(this.#keys[i]! >>> 0, record >>> 0);
    });
  }

  clear(): void {
    this.#keys = new Int32Array(SIZE_MIN);
    this.#values = new Int32Array(SIZE_MIN);
    this.#used = 0;
  }
}
