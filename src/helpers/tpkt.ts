/**
 * TPKT (RFC 1006, section 6): how call signalling and H.245 mark their messages in a TCP stream. A message is read if it
 * lies whole in one segment. Of what does not, only a header that travels alone is remembered, as NetMeeting sends it,
 * and only until the next segment.
 */
import type { HelperPacket, HelperVerdict } from './helper.js'

/** By direction: octets that a header sent alone announced; 0 for none. */
export interface TpktState {
  original: number
  reply: number
}

export const tpktState = (): TpktState => ({ original: 0, reply: 0 })

const HEADER = 4

const isHeader = (bytes: Uint8Array, at: number) => bytes.length - at >= HEADER && bytes[at] === 3 && bytes[at + 1] === 0

/** What `read` makes of a message; `broken`: nothing that follows it in the segment is looked at. */
export type MessageVerdict = HelperVerdict | 'broken'

/** Gives each whole message of a segment to `read` until one is broken or to be dropped. */
export function eachMessage(packet: HelperPacket<TpktState>, read: (message: Uint8Array) => MessageVerdict): HelperVerdict {
  const { payload, state, direction } = packet
  const announced = state[direction]
  state[direction] = 0
  let at = 0
  if (!isHeader(payload, 0)) {
    if (announced === 0 || announced > payload.length) return 'accept'
    const verdict = read(payload.subarray(0, announced))
    if (verdict !== 'accept') return verdict === 'drop' ? 'drop' : 'accept'
    at = announced
  }
  while (isHeader(payload, at)) {
    const length = payload[at + 2] << 8 | payload[at + 3]
    if (at === 0 && payload.length === HEADER && length > HEADER) {
      state[direction] = length - HEADER
      return 'accept'
    }
    if (length < HEADER || length > payload.length - at) break
    const verdict = read(payload.subarray(at + HEADER, at + length))
    if (verdict !== 'accept') return verdict === 'drop' ? 'drop' : 'accept'
    at += length
  }
  return 'accept'
}
