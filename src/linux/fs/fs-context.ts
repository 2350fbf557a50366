/** A process's root, working directory and umask (what CLONE_FS shares): a part of the process's saved state. */

import type { Plain } from '../../checkpoint/ledger.ts';
import { type FileHost, restorePlace, type SavedPlace } from './file-host.ts';
import type { Node } from './node.ts';
import { SyntheticNode } from './synthetic.ts';
import type { FsContext } from './vfs.ts';

export class ProcessFs implements FsContext {
  readonly #host: FileHost;
  #root: Node;
  #cwd: Node;
  umask = 0o022;

  constructor(host: FileHost, root: Node = host.vfs.root, cwd: Node = root) {
    this.#host = host;
    this.#root = root;
    this.#cwd = cwd;
    host.vfs.hold(root);
    host.vfs.hold(cwd);
  }

  get root(): Node {
    return this.#root;
  }

  get cwd(): Node {
    return this.#cwd;
  }

  setRoot(node: Node): void {
    this.#host.vfs.hold(node);
    this.#host.vfs.letGo(this.#root);
    this.#root = node;
  }

  setCwd(node: Node): void {
    this.#host.vfs.hold(node);
    this.#host.vfs.letGo(this.#cwd);
    this.#cwd = node;
  }

  /** For fork(2). */
  clone(): ProcessFs {
    const copy = new ProcessFs(this.#host, this.#root, this.#cwd);
    copy.umask = this.umask;
    return copy;
  }

  /** The process is gone. */
  release(): void {
    this.#host.vfs.letGo(this.#root);
    this.#host.vfs.letGo(this.#cwd);
  }

  save(): Plain {
    const reference = (node: Node) => (node instanceof SyntheticNode ? node.path : node.ino);
    return { root: reference(this.#root), cwd: reference(this.#cwd), umask: this.umask };
  }

  static restore(host: FileHost, state: Plain): ProcessFs {
    const saved = state as { root: number | string; cwd: number | string; umask: number };
    const find = (reference: number | string) => restorePlace(host, [reference, 2, ''] as SavedPlace).node;
    const fs = new ProcessFs(host, find(saved.root), find(saved.cwd));
    fs.umask = saved.umask;
    return fs;
  }
}
