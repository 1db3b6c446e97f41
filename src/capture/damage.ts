import { ConntrackError } from '../errors.js'

/**
 * The error for a damaged capture.
 *
 * @param offset where the damaged record starts, in bytes of the decompressed stream
 * @param what what is wrong with it, as the end of the sentence "the capture is damaged at byte N: ..."
 */
export function damaged(offset: number, what: string): ConntrackError {
  return new ConntrackError('capture-damaged', `the capture is damaged at byte ${offset}: ${what}`, offset)
}
