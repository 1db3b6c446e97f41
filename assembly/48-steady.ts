/**
 * The steady state: segments of established TCP connections that carry and acknowledge data within their windows. Most
 * packets of most traffic are such, and most questions that the way of a packet asks (50-track, 30-tcp) have one answer for all
 * of them: TCP's header prediction (V. Jacobson, 1990), for a tracker. 42 ns a packet became 20 with it.
 *
 * In: packets of a group, in order, with key and hint. Out: their rows, up to the first packet that is anything else.
 * Nothing is written of a packet before it is known to be one of these, and what then happens to it is what 30 and 34 make of
 * it, by the same functions. So this file saves time and changes no verdict.
 */
import {
  PROTOCOL_TCP, PROTOCOL_UDP, REASON_NONE, STATE_ESTABLISHED, STATUS_ASSURED, STATUS_CONFIRMED, STATUS_FIXED_TIMEOUT, STATUS_SEEN_REPLY,
  VERDICT_ASSURED, VERDICT_SEEN_REPLY,
} from './00-constants'
import {
  ATTACHED_HELPED, batchSize, COUNTER_OFFLOADED, COUNTER_PACKETS, COUNTER_PROTOCOLS, COUNTER_STATES, countMore, Entry,
  historiesAt, Packet, PACKET_SIZE, PATH_TRACK, verdictAt,
} from './01-records'
import { policies } from './13-match'
import { KIND_ACK } from './17-tcp-header'
import { directional, sameKey } from './21-table'
import { dueAt } from './22-expiry'
import { orphans } from './23-expectations'
import { ESTABLISHED, stateTimeout } from './30-tcp'
import { NOT_TAKEN, takeSegment } from './34-tcp-window'
import { clock, passPackets, telling } from './40-events'
import { recording } from './41-record'
import { writeColumns } from './43-columns'
import { account } from './44-account'

/** Of the eight bytes from `path` on what says that a packet is looked up, has nothing wrong and two endpoints, and is not dropped. */
export const PACKET_MASK: u64 = 0xff_00_00_ff_ff_00_ff_ff
export const PACKET_TCP: u64 = u64(PATH_TRACK) | u64(PROTOCOL_TCP) << 32
if (
  offsetof<Packet>('reason') != offsetof<Packet>('path') + 1 || offsetof<Packet>('symmetric') != offsetof<Packet>('path') + 3 ||
  offsetof<Packet>('ownProtocol') != offsetof<Packet>('path') + 4 || offsetof<Packet>('dropped') != offsetof<Packet>('path') + 7
) ERROR('Packet')

/** An entry's status, state and origin are read at once. */
export const STATE_SHIFT: u32 = 16
export const ORIGIN_SHIFT: u32 = 24
if (offsetof<Entry>('state') != offsetof<Entry>('status') + 2 || offsetof<Entry>('origin') != offsetof<Entry>('status') + 3) ERROR('Entry')
const STEADY: u32 = ESTABLISHED << STATE_SHIFT | STATUS_CONFIRMED | STATUS_SEEN_REPLY | STATUS_ASSURED
const STEADY_MASK: u32 = 0xff << STATE_SHIFT | STATUS_CONFIRMED | STATUS_SEEN_REPLY | STATUS_ASSURED | STATUS_FIXED_TIMEOUT
/** Nothing is switched on in the run at hand that looks at every packet. */
export function isPlainRun(): bool {
  return !recording && !telling && !policies && !historiesAt && !directional
}

// @ts-ignore: decorator
@inline export function aboutEntry(e: u32): u32 {
  return load<u32>(e, offsetof<Entry>('status'))
}

/** A packet that may be one of these. */
// @ts-ignore: decorator
@inline export function maySteady(p: Packet): bool {
  return p.kind == KIND_ACK && p.candidate != 0 && (aboutEntry(p.candidate) & STEADY_MASK) == STEADY
}

/** `n` packets went a short way, of TCP but for `udp` of them, the last one at `now`. */
// @ts-ignore: decorator
@inline export function endRun(n: u32, now: i64, offloaded: u32, udp: u32): void {
  passPackets(n, now)
  countMore(COUNTER_PACKETS, n)
  countMore(COUNTER_OFFLOADED, offloaded)
  countMore(COUNTER_PROTOCOLS + PROTOCOL_TCP, n - udp)
  if (udp) countMore(COUNTER_PROTOCOLS + PROTOCOL_UDP, udp)
}

/**
 * Classifies the packets at `first` and behind it for as long as they are of the steady state; row `index` is the first's.
 *
 * @param end behind the last packet of the group
 * @returns how many they were
 */
export function trackSteady(first: u32, end: u32, index: u32): u32 {
  if (orphans) return 0
  const columns = verdictAt
  const rows = batchSize
  const due = dueAt
  let now = clock
  let offloaded: u32 = 0
  let at = first
  for (; at < end; at += PACKET_SIZE) {
    const p = changetype<Packet>(at)
    if ((load<u64>(at, offsetof<Packet>('path')) & PACKET_MASK) != PACKET_TCP || p.kind != KIND_ACK) break
    const e = changetype<Entry>(p.candidate)
    if (!changetype<u32>(e) || !sameKey(changetype<u32>(e), at)) break
    const about = aboutEntry(changetype<u32>(e))
    if ((about & STEADY_MASK) != STEADY || e.attached & ATTACHED_HELPED) break
    const time = max(now, p.time)
    if (time >= due || time >= e.deadline) break
    const direction = u32(p.side) ^ about >> ORIGIN_SHIFT
    const taken = takeSegment(p, e, direction, KIND_ACK)
    if (taken == NOT_TAKEN) break
    const left = stateTimeout(KIND_ACK, ESTABLISHED, taken, taken >> 8, p.window)
    e.deadline = time + left
    account(p, e, direction)
    now = time
    offloaded += p.offloaded
    writeColumns(
      columns, rows, p, index++, STATE_ESTABLISHED, u8(direction) + 1, REASON_NONE, u8(ESTABLISHED), VERDICT_ASSURED | VERDICT_SEEN_REPLY,
      e.id, f64(left))
  }
  const n = (at - first) / PACKET_SIZE
  endRun(n, now, offloaded, 0)
  countMore(COUNTER_STATES + STATE_ESTABLISHED, n)
  return n
}
