/**
 * The steady state: segments of established TCP connections that carry and acknowledge data within their windows. Most
 * packets of most traffic are such, and most questions that the way of a packet asks (50-track, 30-tcp) have one answer for all
 * of them: this is TCP's header prediction (V. Jacobson, 1990) for a tracker.
 *
 * In: packets of a group, in order, with key and hint. Out: their rows, up to the first packet that is anything else; that
 * one goes the whole way. Nothing is written of a packet before it is known to be one of these, and what then happens to it
 * is what 30 and 34 make of it, by the same functions. So this file saves time and changes no verdict.
 */
import {
  PROTOCOL_TCP, REASON_NONE, RULE_TCP_IN_WINDOW, STATE_ESTABLISHED, STATUS_ASSURED, STATUS_CONFIRMED, STATUS_FIXED_TIMEOUT,
  STATUS_SEEN_REPLY, VERDICT_ASSURED, VERDICT_SEEN_REPLY,
} from './00-constants'
import {
  ATTACHED_ACCOUNT, ATTACHED_HELPED, batchSize, COUNTER_OFFLOADED, COUNTER_PACKETS, COUNTER_PROTOCOLS, COUNTER_STATES, countMore, Entry,
  historiesAt, Packet, PACKET_SIZE, PATH_TRACK, switched, SWITCH_TCP_MAX_RETRANS, timeout, TIMEOUT_TCP_MAX_RETRANS,
  TIMEOUT_TCP_UNACKNOWLEDGED, tcpSide, verdictAt,
} from './01-records'
import { policies } from './13-match'
import { ACK, KIND_ACK } from './17-tcp-header'
import { directional, sameKey } from './21-table'
import { dueAt } from './22-expiry'
import { orphans } from './23-expectations'
import { ESTABLISHED } from './30-tcp'
import { SACK_PERM, UNACKNOWLEDGED } from './32-tcp-flags'
import { mayHaveSack } from './33-tcp-options'
import { judge, noteNumbers, update } from './34-tcp-window'
import { clock, passPackets, telling } from './40-events'
import { recording } from './41-record'
import { writeColumns } from './43-columns'

// What the eight bytes of a packet from `path` on must be: TCP, looked up, nothing wrong, two endpoints, not dropped.
const PACKET_MASK: u64 = 0xff_00_00_ff_ff_00_ff_ff
const PACKET_STEADY: u64 = u64(PATH_TRACK) | u64(PROTOCOL_TCP) << 32
if (
  offsetof<Packet>('reason') != offsetof<Packet>('path') + 1 || offsetof<Packet>('symmetric') != offsetof<Packet>('path') + 3 ||
  offsetof<Packet>('ownProtocol') != offsetof<Packet>('path') + 4 || offsetof<Packet>('dropped') != offsetof<Packet>('path') + 7
) ERROR('Packet')
// What the four bytes of an entry from `status` on must be: confirmed, answered, ASSURED, ESTABLISHED.
const ENTRY_MASK: u32 = 0xff0000 | STATUS_CONFIRMED | STATUS_SEEN_REPLY | STATUS_ASSURED | STATUS_FIXED_TIMEOUT
const ENTRY_STEADY: u32 = ESTABLISHED << 16 | STATUS_CONFIRMED | STATUS_SEEN_REPLY | STATUS_ASSURED
if (offsetof<Entry>('state') != offsetof<Entry>('status') + 2 || offsetof<Entry>('origin') != offsetof<Entry>('status') + 3) ERROR('Entry')
/** Beside such an entry nothing is to be looked at. */
const ATTACHED: u8 = ATTACHED_ACCOUNT | ATTACHED_HELPED

/** The run at hand has nothing switched on that looks at each packet, or at none of an established connection. */
export function isSteadyRun(): bool {
  return !recording && !telling && !policies && !historiesAt && !directional &&
    timeout(ESTABLISHED) > timeout(TIMEOUT_TCP_MAX_RETRANS) && timeout(ESTABLISHED) > timeout(TIMEOUT_TCP_UNACKNOWLEDGED)
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
  const retransmissions = switched(SWITCH_TCP_MAX_RETRANS)
  let now = clock
  let offloaded: u32 = 0
  let at = first
  for (; at < end; at += PACKET_SIZE) {
    const p = changetype<Packet>(at)
    const e = changetype<Entry>(p.candidate)
    if ((load<u64>(at, offsetof<Packet>('path')) & PACKET_MASK) != PACKET_STEADY || p.kind != KIND_ACK) break
    if (!changetype<u32>(e) || !sameKey(changetype<u32>(e), at)) break
    const about = load<u32>(changetype<u32>(e), offsetof<Entry>('status'))
    if ((about & ENTRY_MASK) != ENTRY_STEADY || e.attached & ATTACHED) break
    const time = max(now, p.time)
    if (time >= due || time >= e.deadline) break

    const direction = u32(p.side) ^ about >> 24
    const sender = tcpSide(e, direction)
    const receiver = tcpSide(e, direction ^ 1)
    if (receiver.flags & SACK_PERM && mayHaveSack(p)) break
    const seq = p.seq
    const ack = p.ack
    const segmentEnd = seq + p.payload
    const sent = sender.end
    const maxEnd = sender.maxEnd
    const offered = sender.maxWindow
    const received = receiver.end
    const allowed = receiver.maxWindow
    if (offered == 0 || judge(seq, segmentEnd, ack, sent, maxEnd, offered, received, allowed) != RULE_TCP_IN_WINDOW) break

    const window = u32(p.window) << sender.scale
    const flags = update(sender, receiver, sent, maxEnd, offered, received, allowed, segmentEnd, ack, ack, window, ACK)
    const repeated = noteNumbers(e, direction, seq, ack, segmentEnd, p.window)
    let which = select<u32>(TIMEOUT_TCP_MAX_RETRANS, ESTABLISHED, p.window == 0)
    which = select<u32>(TIMEOUT_TCP_UNACKNOWLEDGED, which, flags & UNACKNOWLEDGED)
    which = select<u32>(TIMEOUT_TCP_MAX_RETRANS, which, repeated >= retransmissions)
    const left = timeout(which)
    now = time
    e.deadline = now + left
    offloaded += p.offloaded
    writeColumns(
      columns, rows, p, index++, STATE_ESTABLISHED, u8(direction) + 1, REASON_NONE, u8(ESTABLISHED), VERDICT_ASSURED | VERDICT_SEEN_REPLY,
      e.id, f64(left))
  }
  const n = (at - first) / PACKET_SIZE
  passPackets(n, now)
  countMore(COUNTER_PACKETS, n)
  countMore(COUNTER_OFFLOADED, offloaded)
  countMore(COUNTER_PROTOCOLS + PROTOCOL_TCP, n)
  countMore(COUNTER_STATES + STATE_ESTABLISHED, n)
  return n
}
