/**
 * Packets that open a connection, or would if the table had room: a SYN, and any of UDP, whose tuple has no live entry. As in 48,
 * what happens to them is what 50 and the protocols' files make of them, by the same functions. Connections that come and go
 * took 11 % less time a packet with it, and with the SYN/ACKs of 49.
 *
 * In: packets of a group, in order, with key and hint. Out: their rows, up to the first packet that is anything else; that
 * one goes the whole way. Not where there are helpers, whose matches want to see each new connection.
 */
import { ORIGINAL, PROTOCOL_TCP, PROTOCOL_UDP, REASON_NONE, STATE_NEW } from './00-constants'
import {
  batchSize, COUNTER_STATES, countMore, Entry, helpedAt, Packet, PACKET_SIZE, verdictAt,
} from './01-records'
import { KIND_SYN } from './17-tcp-header'
import { allocate, insert } from './21-table'
import { dueAt } from './22-expiry'
import { orphans } from './23-expectations'
import { beginTcp, enter, NONE, SYN_SENT, tcpTimeout } from './30-tcp'
import { takeFirst } from './34-tcp-window'
import { beginUdp, udpTimeout, updateUdp } from './35-udp'
import { clock, passTime } from './40-events'
import { writeColumns } from './43-columns'
import { account } from './44-account'
import { endRun, PACKET_MASK, PACKET_TCP } from './48-steady'
import { PACKET_UDP } from './49-known'
import { fill, findAlive, turnAway } from './50-track'

/** A packet that may be one of these. */
// @ts-ignore: decorator
@inline export function mayOpen(p: Packet): bool {
  return p.ownProtocol == PROTOCOL_UDP || (p.ownProtocol == PROTOCOL_TCP && p.kind == KIND_SYN)
}

/**
 * Classifies the packets at `first` and behind it for as long as they open connections; row `index` is the first's.
 *
 * @param end behind the last packet of the group
 * @returns how many they were
 */
export function trackOpening(first: u32, end: u32, index: u32): u32 {
  if (orphans || helpedAt) return 0
  const columns = verdictAt
  const rows = batchSize
  const due = dueAt
  let now = clock
  let offloaded: u32 = 0
  let udp: u32 = 0
  let turnedAway: u32 = 0
  let at = first
  for (; at < end; at += PACKET_SIZE) {
    const p = changetype<Packet>(at)
    const what = load<u64>(at, offsetof<Packet>('path')) & PACKET_MASK
    if (what == PACKET_TCP ? p.kind != KIND_SYN : what != PACKET_UDP) break
    const time = max(now, p.time)
    if (time >= due) break
    if (findAlive(p, time)) break
    passTime(time)
    now = time
    offloaded += p.offloaded
    udp += u32(what == PACKET_UDP)
    const e = changetype<Entry>(allocate(p.hash))
    if (!changetype<u32>(e)) {
      turnAway(p, index++)
      turnedAway++
      continue
    }
    fill(e, p)
    let left: i64
    if (what == PACKET_TCP) {
      beginTcp(p, e)
      takeFirst(p, e)
      enter(e, ORIGINAL, KIND_SYN, NONE, SYN_SENT)
      left = tcpTimeout
    } else {
      beginUdp(e, time)
      updateUdp(e, time)
      left = udpTimeout
    }
    e.deadline = time + left
    account(p, e, ORIGINAL)
    insert(e)
    writeColumns(columns, rows, p, index++, STATE_NEW, u8(ORIGINAL) + 1, REASON_NONE, e.state, 0, e.id, f64(left))
  }
  const n = (at - first) / PACKET_SIZE
  endRun(n, now, offloaded, udp)
  countMore(COUNTER_STATES + STATE_NEW, n - turnedAway)
  return n
}
