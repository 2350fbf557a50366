/** An error that another process told us of: the operator's, with its code and exit status (cli/errors.ts). */

import { type CodedError, EXIT_FAILURE } from '../cli/errors.ts';

export interface Told {
  readonly code: string;
  readonly message: string;
  readonly advice?: string | undefined;
  readonly exitStatus?: number | undefined;
}

export class CodedFailure extends Error implements CodedError {
  readonly code: string;
  readonly advice: string;
  readonly exitStatus: number;

  constructor({ code, message, advice = '', exitStatus = EXIT_FAILURE }: Told) {
    super(message);
    this.name = 'CodedFailure';
    this.code = code;
    this.advice = advice;
    this.exitStatus = exitStatus;
  }
}
