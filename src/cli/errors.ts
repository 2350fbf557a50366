/**
 * What an operator can do wrong, or what can be wrong on the operator's machine. Every kind has a stable code (scripts may
 * match it on stderr), says what to do, and an exit status as podman and docker have it: 125 our own failure, 126 the
 * program cannot be executed, 127 it was not found.
 */

export const EXIT_FAILURE = 125;
export const EXIT_NOT_EXECUTABLE = 126;
export const EXIT_NOT_FOUND = 127;

/** Code → exit status. A code, once released, keeps its meaning. */
export const OPERATOR_ERRORS = {
  TG_USAGE: EXIT_FAILURE,
  TG_BAD_OPTION: EXIT_FAILURE,
  TG_CONTRADICTION: EXIT_FAILURE,
  TG_BAD_CONFIG: EXIT_FAILURE,
  TG_BAD_ROOTFS: EXIT_FAILURE,
  TG_PORT_IN_USE: EXIT_FAILURE,
  TG_PORT_REFUSED: EXIT_FAILURE,
  TG_OUTPUT_FILE: EXIT_FAILURE,
  TG_NO_SUCH_RUN: EXIT_FAILURE,
  TG_AMBIGUOUS_RUN: EXIT_FAILURE,
  TG_NO_BACKUP: EXIT_FAILURE,
  TG_NO_ANSWER: EXIT_FAILURE,
  TG_ALL_LOST: EXIT_FAILURE,
  TG_RUN_FOLDER: EXIT_FAILURE,
  TG_DATA_DIR: EXIT_FAILURE,
  TG_DATA_DIR_LOCKED: EXIT_FAILURE,
  TG_DATA_DIR_OTHER: EXIT_FAILURE,
  TG_JOURNAL_VERSION: EXIT_FAILURE,
  TG_JOURNAL_CORRUPT: EXIT_FAILURE,
  TG_JOURNAL_WRITE: EXIT_FAILURE,
  TG_INTERNAL: EXIT_FAILURE,
  TG_NOT_EXECUTABLE: EXIT_NOT_EXECUTABLE,
  TG_NOT_ELF: EXIT_NOT_EXECUTABLE,
  TG_BAD_ELF: EXIT_NOT_EXECUTABLE,
  TG_ELF_32BIT: EXIT_NOT_EXECUTABLE,
  TG_ELF_MACHINE: EXIT_NOT_EXECUTABLE,
  TG_NO_SUCH_PROGRAM: EXIT_NOT_FOUND,
  TG_NO_INTERPRETER: EXIT_NOT_FOUND,
  TG_MISSING_LIBRARY: EXIT_NOT_FOUND,
} as const;

export type OperatorErrorCode = keyof typeof OPERATOR_ERRORS;

export class OperatorError extends Error {
  readonly code: OperatorErrorCode;
  /** What would do: whole sentences or commands, one a line. */
  readonly advice: string;

  constructor(code: OperatorErrorCode, message: string, advice = '') {
    super(message);
    this.name = 'OperatorError';
    this.code = code;
    this.advice = advice;
  }

  get exitStatus(): number {
    return OPERATOR_ERRORS[this.code];
  }
}

/** Errors of other layers that are the operator's: they carry `code: 'TG_…'` and `exitStatus` (see image/mounts.ts). */
export interface CodedError extends Error {
  readonly code: string;
  readonly exitStatus: number;
  readonly advice?: string;
}

export function isCodedError(error: unknown): error is CodedError {
  if (!(error instanceof Error)) return false;
  const { code, exitStatus } = error as Partial<CodedError>;
  return typeof code === 'string' && code.startsWith('TG_') && typeof exitStatus === 'number';
}

/** `tardigrade: CODE: message`, then the advice, indented. */
export function formatError(error: CodedError): string {
  const advice = error.advice
    ? `${error.advice
        .split('\n')
        .map((line) => `  ${line}`)
        .join('\n')}\n`
    : '';
  return `tardigrade: ${error.code}: ${error.message}\n${advice}`;
}
