/**
 * The session description (RFC 4566) in a SIP message, as Linux reads it: which media it announces.
 *
 * In: the bytes of one message. Out: kind, port and address of each `m=` line that counts, in order. Lines are found by
 * their first two bytes, in either case, from the `v=` line on; no continuation lines here.
 */
import { addressAt, isDigit, isExactly, isLetter, isLineBreak, nextLine, numberAt, startsWith } from './sip-message.js'

/** Media types that Linux knows; all others are passed over. */
export const MEDIA_TYPES = ['audio', 'video', 'image'] as const

/** So many streams of one message are looked at. */
const MAX_MEDIA = 3

export interface Media {
  readonly type: typeof MEDIA_TYPES[number]
  /** Not 0, and not checked any further. */
  readonly port: number
  /** Where it is to be sent to; `null` where neither the stream nor the session says. */
  readonly address: string | null
}

/** The first three streams with a known type and a port. None where the message holds no session description. */
export function* announcedMedia(data: Uint8Array, family: 4 | 6): Generator<Media, void, void> {
  const version = findLine(data, 0, data.length, 'v=')
  if (version < 0 || !isDigit(data[version])) return
  let line = findLine(data, version, data.length, 'm=')
  const session = connectionAddress(data, version, line < 0 ? data.length : line, family)
  for (let count = 0; line >= 0 && count < MAX_MEDIA;) {
    const portAt = pastType(data, line)
    if (portAt < 0) return
    const next = findLine(data, portAt, data.length, 'm=')
    const type = MEDIA_TYPES.find(known => isExactly(data, line, `${known} `))
    const port = type ? numberAt(data, portAt) : 0
    if (type && port > 0) {
      const address = connectionAddress(data, portAt, next < 0 ? data.length : next, family) ?? session
      yield { type, port, address }
      count++
    }
    line = next
  }
}

/** The address in the first `c=` line; `null` where there is none, or none of this family in it. */
function connectionAddress(data: Uint8Array, at: number, limit: number, family: 4 | 6): string | null {
  const value = findLine(data, at, limit, 'c=')
  if (value < 0) return null
  for (let i = value; i < data.length && !isLineBreak(data[i]); i++) {
    if (isExactly(data, i, `IN IP${family} `)) return addressAt(data, i + 7, family)?.address ?? null
  }
  return null
}

/** What follows the first line start with these two letters; -1: none before `limit`. */
function findLine(data: Uint8Array, at: number, limit: number, letters: string): number {
  for (let line = nextLine(data, at); line < limit; line = nextLine(data, line + 1)) {
    if (startsWith(data, line, letters)) return line + letters.length
  }
  return -1
}

/** Past the letters of a media type and one space; -1 where anything else stands there. */
function pastType(data: Uint8Array, at: number): number {
  let i = at
  while (isLetter(data[i])) i++
  return i > at && data[i] === 32 ? i + 1 : -1
}
