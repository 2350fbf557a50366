/**
 * Structured control flow for a reducible control-flow graph: which block is a loop header, which one several forward
 * edges join, and the dominator tree. Source: N. Ramsey, "Beyond Relooper", ICFP 2022, section 4; dominators: Cooper,
 * Harvey, Kennedy, "A Simple, Fast Dominance Algorithm".
 */

export interface Structure {
  /** Reverse postorder number of each node (the entry has 0), -1 where unreachable. */
  readonly order: readonly number[];
  readonly isLoop: readonly boolean[];
  readonly isMerge: readonly boolean[];
  /** Dominator-tree children, by ascending reverse postorder. */
  readonly children: readonly (readonly number[])[];
  /** Where retreating edges go that do not go to a dominator. */
  readonly irregular: readonly number[];
  /** There are none of these; else there is no structure. */
  readonly reducible: boolean;
}

/** `successors[n]`: nodes. */
export function structureOf(successors: readonly (readonly number[])[], entry = 0): Structure {
  const n = successors.length;
  if (n === 1 && successors[0]!.length === 0) return SINGLE;
  const { rpo, order } = reversePostorder(successors, entry);
  const preds: number[][] = [];
  for (let node = 0; node < n; node++) preds.push([]);
  for (const node of rpo) for (const s of successors[node]!) preds[s]!.push(node);
  const idom = dominators(rpo, order, preds);
  const isLoop: boolean[] = new Array(n).fill(false);
  const isMerge: boolean[] = new Array(n).fill(false);
  const irregular: number[] = [];
  for (const node of rpo) {
    let forward = 0;
    for (const p of preds[node]!) {
      if (order[p]! < order[node]!) {
        forward++;
        continue;
      }
      isLoop[node] = true;
      let dominator = p;
      while (order[dominator]! > order[node]!) dominator = idom[dominator]!;
      if (dominator !== node) irregular.push(node);
    }
    isMerge[node] = forward > 1;
  }
  const children: number[][] = [];
  for (let node = 0; node < n; node++) children.push([]);
  for (const node of rpo) if (node !== entry) children[idom[node]!]!.push(node);
  return { order, isLoop, isMerge, children, irregular, reducible: irregular.length === 0 };
}

const SINGLE: Structure = {
  order: [0],
  isLoop: [false],
  isMerge: [false],
  children: [[]],
  irregular: [],
  reducible: true,
};

/** The reachable nodes in reverse postorder, and each one's number in it. Depth first without recursion. */
function reversePostorder(
  successors: readonly (readonly number[])[],
  entry: number,
): { rpo: number[]; order: number[] } {
  const n = successors.length;
  const rpo: number[] = [];
  const order: number[] = new Array(n).fill(-1);
  const seen = new Uint8Array(n);
  /** Which of its successors a node on the stack goes to next. */
  const next = new Uint8Array(n);
  const stack = [entry];
  seen[entry] = 1;
  while (stack.length > 0) {
    const node = stack[stack.length - 1]!;
    const list = successors[node]!;
    if (next[node] === list.length) {
      rpo.push(node);
      stack.pop();
      continue;
    }
    const s = list[next[node]!++]!;
    if (seen[s] === 1) continue;
    seen[s] = 1;
    stack.push(s);
  }
  rpo.reverse();
  for (let i = 0; i < rpo.length; i++) order[rpo[i]!] = i;
  return { rpo, order };
}

/** Immediate dominators. */
function dominators(rpo: readonly number[], order: readonly number[], preds: readonly number[][]): number[] {
  const idom: number[] = new Array(order.length).fill(-1);
  idom[rpo[0]!] = rpo[0]!;
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 1; i < rpo.length; i++) {
      const node = rpo[i]!;
      let dom = -1;
      for (const p of preds[node]!) {
        if (idom[p] === -1) continue;
        if (dom === -1) {
          dom = p;
          continue;
        }
        let other = p;
        while (dom !== other) {
          if (order[dom]! > order[other]!) dom = idom[dom]!;
          else other = idom[other]!;
        }
      }
      if (idom[node] === dom) continue;
      idom[node] = dom;
      changed = true;
    }
  }
  return idom;
}
