/**
 * Packets that go on with a connection and are not of the steady state: the SYN/ACK that answers its SYN, TCP segments within
 * their windows that then open or end it, and all of UDP. As in 48, nothing is written of a packet before it is known to be one
 * of these, and what happens to it is what 30, 34 and 35 make of it, by the same functions.
 *
 * In: packets of a group, in order, with key and hint. Out: their rows, up to the first packet that is anything else; that
 * one goes the whole way.
 */
import {
  PROTOCOL_TCP, PROTOCOL_UDP, REASON_NONE, REPLY, STATUS_CONFIRMED, STATUS_FIXED_TIMEOUT, STATUS_SEEN_REPLY,
} from './00-constants'
import {
  ATTACHED_HELPED, batchSize, count, COUNTER_STATES, Entry, Packet, PACKET_SIZE, PATH_TRACK, verdictAt,
} from './01-records'
import { KIND_ACK, KIND_FIN, KIND_SYNACK } from './17-tcp-header'
import { sameKey } from './21-table'
import { dueAt } from './22-expiry'
import { orphans } from './23-expectations'
import { CLOSE, enter, SYN_RECV, SYN_SENT, tcpTimeout, transition } from './30-tcp'
import { CHALLENGE_ACK, SIMULTANEOUS_OPEN } from './32-tcp-flags'
import { NOT_TAKEN, takeAnswer, takeSegment } from './34-tcp-window'
import { udpTimeout, updateUdp } from './35-udp'
import { clock } from './40-events'
import { stateOf, statusWith, verdictFlags, writeColumns } from './43-columns'
import { account } from './44-account'
import { aboutEntry, endRun, ORIGIN_SHIFT, PACKET_MASK, PACKET_TCP, STATE_SHIFT } from './48-steady'

export const PACKET_UDP: u64 = u64(PATH_TRACK) | u64(PROTOCOL_UDP) << 32

/** A packet that may be one of these. */
// @ts-ignore: decorator
@inline export function mayGoOn(p: Packet): bool {
  return p.candidate != 0 && (p.ownProtocol != PROTOCOL_TCP || p.kind == KIND_ACK || p.kind == KIND_FIN || p.kind == KIND_SYNACK)
}

/**
 * Classifies the packets at `first` and behind it for as long as they go on with connections; row `index` is the first's.
 *
 * @param end behind the last packet of the group
 * @returns how many they were
 */
export function trackKnown(first: u32, end: u32, index: u32): u32 {
  if (orphans) return 0
  const columns = verdictAt
  const rows = batchSize
  const due = dueAt
  let now = clock
  let offloaded: u32 = 0
  let udp: u32 = 0
  let at = first
  for (; at < end; at += PACKET_SIZE) {
    const p = changetype<Packet>(at)
    const e = changetype<Entry>(p.candidate)
    const what = load<u64>(at, offsetof<Packet>('path')) & PACKET_MASK
    if ((what != PACKET_TCP && what != PACKET_UDP) || !changetype<u32>(e) || !sameKey(changetype<u32>(e), at)) break
    const about = aboutEntry(changetype<u32>(e))
    if ((about & (STATUS_CONFIRMED | STATUS_FIXED_TIMEOUT)) != STATUS_CONFIRMED || e.attached & ATTACHED_HELPED) break
    const time = max(now, p.time)
    if (time >= due || time >= e.deadline) break
    const direction = u32(p.side) ^ about >> ORIGIN_SHIFT
    if (what == PACKET_TCP) {
      if (!goOnTcp(p, e, direction, about)) break
    } else {
      updateUdp(e, time)
      udp++
    }
    const left = what == PACKET_TCP ? tcpTimeout : udpTimeout
    e.deadline = time + left
    account(p, e, direction)
    const state = stateOf(about, direction)
    count(COUNTER_STATES + state)
    const status = statusWith(e.status, direction)
    e.status = u16(status)
    now = time
    offloaded += p.offloaded
    writeColumns(columns, rows, p, index++, state, u8(direction) + 1, REASON_NONE, e.state, verdictFlags(status), e.id, f64(left))
  }
  const n = (at - first) / PACKET_SIZE
  endRun(n, now, offloaded, udp)
  return n
}

/** A TCP segment takes its connection on; false where it is not one of these. */
// @ts-ignore: decorator
@inline function goOnTcp(p: Packet, e: Entry, direction: u32, about: u32): bool {
  const kind: u32 = p.kind
  const old = about >> STATE_SHIFT & 0xff
  const next = transition(direction, kind, old)
  if (!(about & STATUS_SEEN_REPLY)) {
    if (kind != KIND_SYNACK || direction != REPLY || old != SYN_SENT || takeAnswer(p, e) == NOT_TAKEN) return false
    enter(e, REPLY, KIND_SYNACK, SYN_SENT, SYN_RECV)
    return true
  }
  if ((kind != KIND_ACK && kind != KIND_FIN) || next > CLOSE) return false
  if (e.lastFlags & (CHALLENGE_ACK | SIMULTANEOUS_OPEN) || takeSegment(p, e, direction, kind) == NOT_TAKEN) return false
  enter(e, direction, kind, old, next)
  return true
}
