/**
 * SANE (network access to scanners): the answer to SANE_NET_START names the port from which the picture is fetched.
 *
 * In: segments of the control connection, each one request or answer. The helper remembers that a start was asked for;
 * the next answer with data settles that, whatever it is. Out: an expectation of the client to the server's port.
 */
import type { HelpedConnection, Helper, HelperTable, HelperVerdict } from './helper.js'
import { readUint16, readUint32 } from './bytes.js'
import { defineHelper } from './define.js'
import { checkFields } from './options.js'

export interface SaneOptions {
  /** Ports of SANE servers; default 6566. */
  readonly ports?: readonly number[]
}

export interface SaneState {
  /** The client asked for a start and was not answered yet. */
  startRequested: boolean
}

const NET_START = 7
/** The request's number and the scanner's handle, a word each. */
const REQUEST_BYTES = 8
/** Status, then the port, a word each. */
const ANSWER_BYTES = 8

/**
 * The helper for SANE.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function sane(options: SaneOptions = {}): Helper<SaneState> {
  checkFields('the options of sane', options, ['ports'])
  return defineHelper<SaneState>({
    name: 'sane',
    protocol: 'tcp',
    ports: options.ports ?? [6566],
    state: () => ({ startRequested: false }),
    inspect({ payload, direction, established, connection, state }, table) {
      if (!established || payload.length === 0) return 'accept'
      if (direction === 'original') {
        if (payload.length === REQUEST_BYTES) state.startRequested = readUint32(payload, 0) === NET_START
        return 'accept'
      }
      const answered = state.startRequested
      state.startRequested = false
      return answered ? readAnswer(payload, connection, table) : 'accept'
    },
  })
}

function readAnswer(payload: Uint8Array, { original }: HelpedConnection, table: HelperTable): HelperVerdict {
  if (payload.length < ANSWER_BYTES || readUint32(payload, 0) !== 0 || readUint16(payload, 4) !== 0) return 'accept'
  const added = table.expect({ protocol: 6, src: original.src, dst: original.dst, dport: readUint16(payload, 6) })
  return added === 'added' || added === 'already' ? 'accept' : 'drop'
}
