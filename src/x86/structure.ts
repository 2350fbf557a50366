/**
 * Structured control flow for a reducible control-flow graph: which block is a loop header, which one several forward
 * edges join, and the dominator tree. Source: N. Ramsey, "Beyond Relooper", ICFP 2022, section 4; dominators: Cooper,
 * Harvey, Kennedy, "A Simple, Fast Dominance Algorithm".
 */

export interface Structure {
  /** Reverse postorder number of each node (node 0 has 0), -1 where unreachable. */
  readonly order: readonly number[];
  readonly isLoop: readonly boolean[];
  readonly isMerge: readonly boolean[];
  /** Dominator-tree children, by ascending reverse postorder. */
  readonly children: readonly (readonly number[])[];
  /** False: some retreating edge does not go to a dominator; no structure. */
  readonly reducible: boolean;
}

/** `successors[n]`: nodes; node 0 is the entry. */
export function structureOf(successors: readonly (readonly number[])[]): Structure {
  const n = successors.length;
  const order: number[] = new Array(n).fill(-1);
  const post: number[] = [];
  const seen: boolean[] = new Array(n).fill(false);
  // Depth first without recursion: [node, next successor].
  const stack: [number, number][] = [[0, 0]];
  seen[0] = true;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const next = successors[top[0]]![top[1]++];
    if (next === undefined) {
      post.push(top[0]);
      stack.pop();
    } else if (!seen[next]) {
      seen[next] = true;
      stack.push([next, 0]);
    }
  }
  const rpo = post.reverse();
  rpo.forEach((node, i) => {
    order[node] = i;
  });
  const preds: number[][] = Array.from({ length: n }, () => []);
  for (const node of rpo) for (const s of successors[node]!) preds[s]!.push(node);
  const idom: number[] = new Array(n).fill(-1);
  idom[0] = 0;
  const intersect = (a: number, b: number): number => {
    while (a !== b) {
      while (order[a]! > order[b]!) a = idom[a]!;
      while (order[b]! > order[a]!) b = idom[b]!;
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of rpo) {
      if (node === 0) continue;
      let dom = -1;
      for (const p of preds[node]!) if (idom[p] !== -1) dom = dom === -1 ? p : intersect(p, dom);
      if (idom[node] !== dom) {
        idom[node] = dom;
        changed = true;
      }
    }
  }
  const dominates = (a: number, b: number): boolean => {
    while (order[b]! > order[a]!) b = idom[b]!;
    return a === b;
  };
  const isLoop: boolean[] = new Array(n).fill(false);
  const isMerge: boolean[] = new Array(n).fill(false);
  let reducible = true;
  for (const node of rpo) {
    let forward = 0;
    for (const p of preds[node]!) {
      if (order[p]! < order[node]!) {
        forward++;
      } else {
        isLoop[node] = true;
        if (!dominates(node, p)) reducible = false;
      }
    }
    isMerge[node] = forward > 1;
  }
  const children: number[][] = Array.from({ length: n }, () => []);
  for (const node of rpo) if (node !== 0) children[idom[node]!]!.push(node);
  return { order, isLoop, isMerge, children, reducible };
}
