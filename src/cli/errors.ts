/** How a run of the command line can end badly, and the exit status that says so. */

/** Exit status of the command line. */
export const EXIT = { done: 0, failed: 1, usage: 2, badInput: 3 } as const

/** The command line asks for something that does not exist or does not fit. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Whoever read standard output has gone away; nothing is wrong. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

/** The capture cannot be opened, is none, or is damaged from some byte on. */
export class InputError extends Error {
  override readonly name = 'InputError'
}

/** What was to be checked is not so. */
export class CheckFailed extends Error {
  override readonly name = 'CheckFailed'
}
