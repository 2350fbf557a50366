/** What is wrong with bytes that claim to be a delta or a checkpoint. Never thrown after something was changed. */
export class CheckpointError extends Error {
  /** `TG_DELTA_…`, `TG_CHECKPOINT_…` or `TG_JOURNAL_…`. */
  readonly code: string;
  override readonly name = 'CheckpointError';

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
