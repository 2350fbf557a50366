/**
 * The version of what a state consists of: the bytes of every part of the library OS, of the TCP/IP stack and of the host
 * state, and what memory holds beside the guest's own. Raise it with every change after which an older state would be
 * restored wrongly or not at all: a journal of another version is refused. Translated code is not part of a state.
 */
export const STATE_VERSION = 1;
