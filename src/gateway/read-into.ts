/**
 * Accepted sockets that read into memory of ours. Node gives every read new memory of 64 KiB, cleared and mapped by the
 * kernel for this one use: measured 1.7 ms a megabyte, against 0.4 ms with memory that is used again. `net.connect` can be
 * told so (`onread`), `net.Server` cannot, so its sockets' handles are put under sockets that can.
 */

import { Socket, type SocketConstructorOpts } from 'node:net';

export interface ReadMemory {
  /** Where the next bytes are to go. */
  buffer(): Uint8Array;
  /** So many bytes were put there. False: read no more until `resume`. */
  callback(count: number): boolean;
}

/** Not in Node's documentation, so it is looked at before it is used. */
interface Inside {
  _handle: { readonly useUserBuffer?: unknown } | null;
}

/**
 * The socket to use instead of `socket`, which must be paused and unread (`pauseOnConnect`); it reads once `resume` is
 * called, and has no 'data' events. Its server does not count it any more.
 */
export function readInto(socket: Socket, memory: ReadMemory): Socket {
  const inside = socket as unknown as Inside;
  const handle = inside._handle;
  const { allowHalfOpen } = socket;
  if (handle === null || typeof handle.useUserBuffer !== 'function') return copyInto(socket, memory);
  inside._handle = null;
  socket.destroy();
  const options: object = { handle, allowHalfOpen, manualStart: true, onread: onreadOf(memory) };
  return new Socket(options);
}

/** For `net.connect`. */
export function onreadOf(memory: ReadMemory): NonNullable<SocketConstructorOpts['onread']> {
  return { buffer: () => memory.buffer(), callback: (count) => memory.callback(count) };
}

/** The same by way of a copy, should this Node not have it. */
function copyInto(socket: Socket, memory: ReadMemory): Socket {
  socket.on('data', (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length && !socket.destroyed; ) {
      const target = memory.buffer();
      const part = chunk.subarray(at, at + target.length);
      target.set(part);
      at += part.length;
      if (!memory.callback(part.length)) socket.pause();
    }
  });
  return socket;
}
