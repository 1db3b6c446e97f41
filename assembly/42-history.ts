/**
 * History: the life of a connection in letters, as Zeek writes it. Kept only where the tracker was made with `history`.
 *
 * In: each packet that an entry is attached to, and those that a wrong checksum kept from it. Each letter is written
 * once for each direction, at its first packet; capitals are the original direction's. A record is 32 bytes: the set of
 * letters written, their number, the letters. TCP:
 *
 *     S SYN · H SYN/ACK · F FIN · R RST · A pure ACK · D data · T data sent before · W window closed · C wrong checksum
 *
 * Everything else: D, and C where there are checksums. Where Zeek writes T, W and C again at the tenth and hundredth
 * time, this does not; it writes no letters for gaps and turns no connection round.
 */
import {
  PROTOCOL_TCP, REASON_TCP_CHECKSUM, REASON_UDP_CHECKSUM, REASON_UDPLITE_CHECKSUM, REASON_SCTP_CHECKSUM,
} from './00-constants'
import { Entry, historiesAt, HISTORY_SIZE, Packet, slotOf, tcpSide } from './01-records'
import { ACK, FIN, RST, SYN } from './17-tcp-header'
import { after } from './31-tcp-sequence'

const LETTERS = memory.data<u8>([0x53, 0x48, 0x46, 0x52, 0x41, 0x44, 0x54, 0x57, 0x43]) // S H F R A D T W C
const LETTER_S: u32 = 1 << 0
const LETTER_H: u32 = 1 << 1
const LETTER_F: u32 = 1 << 2
const LETTER_R: u32 = 1 << 3
const LETTER_A: u32 = 1 << 4
const LETTER_D: u32 = 1 << 5
const LETTER_T: u32 = 1 << 6
const LETTER_W: u32 = 1 << 7
const LETTER_C: u32 = 1 << 8
const LOWER_CASE: u8 = 0x20
/** Where the reply direction's letters begin in the set. */
const REPLY_SHIFT: u32 = 16
/** Of a record: the set, the number of letters, the letters. */
const COUNT: u32 = 4
const TEXT: u32 = 8

/** The packet at hand brings data that was sent before. */
let repeats: bool = false

/** Looks at a packet before it acts on an entry that stands. */
// @ts-ignore: decorator
@inline export function historyBefore(p: Packet, e: Entry, direction: u32): void {
  if (historiesAt) repeats = isRepeat(p, e, direction)
}

function isRepeat(p: Packet, e: Entry, direction: u32): bool {
  if (e.protocol != PROTOCOL_TCP || p.payload == 0) return false
  const side = tcpSide(e, direction)
  return side.maxWindow != 0 && !after(p.seq + p.payload, side.end)
}

/** Writes what a packet adds. */
// @ts-ignore: decorator
@inline export function historyAfter(p: Packet, e: Entry, direction: u32): void {
  if (historiesAt) write(e, direction, e.protocol == PROTOCOL_TCP ? lettersOfTcp(p) : LETTER_D)
}

/** A packet of the entry was refused. */
// @ts-ignore: decorator
@inline export function historyRefused(p: Packet, e: Entry, direction: u32): void {
  if (historiesAt && isChecksum(p.reason)) write(e, direction, LETTER_C)
}

function isChecksum(reason: u8): bool {
  return reason == REASON_TCP_CHECKSUM || reason == REASON_UDP_CHECKSUM || reason == REASON_UDPLITE_CHECKSUM ||
    reason == REASON_SCTP_CHECKSUM
}

function lettersOfTcp(p: Packet): u32 {
  const flags: u32 = p.flags
  let letters: u32 = 0
  if (flags & SYN) letters |= flags & ACK ? LETTER_H : LETTER_S
  if (flags & FIN) letters |= LETTER_F
  if (flags & RST) letters |= LETTER_R
  else if (p.window == 0) letters |= LETTER_W
  if (p.payload) letters |= repeats ? LETTER_T : LETTER_D
  else if ((flags & (SYN | FIN | RST | ACK)) == ACK) letters |= LETTER_A
  return letters
}

/** Writes those letters of a direction that are not there yet. */
// @ts-ignore: decorator
@inline function write(e: Entry, direction: u32, letters: u32): void {
  repeats = false
  const at = historiesAt + slotOf(e) * HISTORY_SIZE
  const fresh = letters << (direction * REPLY_SHIFT) & ~load<u32>(at)
  if (fresh) append(at, fresh, direction)
}

function append(at: u32, fresh: u32, direction: u32): void {
  store<u32>(at, load<u32>(at) | fresh)
  let letters = fresh >> (direction * REPLY_SHIFT)
  while (letters) { // nine rounds at most; eighteen letters fit
    const n = load<u8>(at, COUNT)
    store<u8>(at, n + 1, COUNT)
    store<u8>(at + TEXT + n, load<u8>(u32(LETTERS) + ctz(letters)) | (direction ? LOWER_CASE : 0))
    letters &= letters - 1
  }
}
