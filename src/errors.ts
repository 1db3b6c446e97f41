/** What went wrong, as a stable word that programs can compare. */
export type ConntrackErrorCode =
  /** An option or argument has the wrong type or value. */
  | 'invalid-argument'
  /** A sysctl name that does not exist; the message lists those that do. */
  | 'unknown-sysctl'
  /** A sysctl value outside its bounds. */
  | 'sysctl-range'
  /** A batch holds more packets than the tracker's `batchSize`. */
  | 'batch-too-large'
  /** The tracker was closed. */
  | 'closed'
  /** A tracker's method was called from within one of its own event listeners. */
  | 're-entrant'
  /** Events came faster than they were read from an iteration of them; those that were kept have been given. */
  | 'events-lost'
  /** `explain` was asked about a packet that is no longer remembered. */
  | 'not-remembered'
  /** Bytes are no snapshot, or one that is damaged, of another version, or not sound. */
  | 'bad-snapshot'
  /** The core module handed in is not the one this wrapper was built with. */
  | 'wrong-core'
  /** Not a capture: the first bytes are those of no format that is read. */
  | 'not-a-capture'
  /** The capture is damaged; everything before `offset` was read. */
  | 'capture-damaged'
  /** A worker of a pool could not be started or ended with an error. */
  | 'worker-failed'
  /** A live capture could not be started or ended with an error. */
  | 'live-capture'
  /** A ruleset is not understood; the error is a `RulesError`, with line and column. */
  | 'bad-rules'

/** The one class of errors that this package throws. Packets never cause one: they get a verdict and a reason. */
export class ConntrackError extends Error {
  override readonly name = 'ConntrackError'

  /**
   * @param code what went wrong
   * @param message the same in words
   * @param offset for a damaged capture: the byte offset in the (decompressed) file at which the damaged record starts
   */
  constructor(readonly code: ConntrackErrorCode, message: string, readonly offset?: number) {
    super(message)
  }
}

/** A value of whatever kind for a message: `String` throws for objects that have no text. */
export function shown(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'an object without a text'
  }
}
