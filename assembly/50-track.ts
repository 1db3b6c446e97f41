/**
 * The life of a packet after its headers were read: lookup, protocol, verdict.
 *
 * In: packets of a group, in order, with key, path and hint. Out: one row of the verdict columns each. Nothing here
 * looks at a packet twice, and nothing fails: whatever happens, a row is written.
 *
 * A packet whose connection has a helper stops where Linux calls it, behind the rules and before the first packet is
 * confirmed: it is handed over to the host, which looks at its payload and lets it go on with `resume`.
 */
import {
  CHANGE_HELPER, CHANGE_MARK, CHANGE_NEW, CHANGE_RELATED, CHANGE_REPLY, EVENT_NEW, EVENT_UPDATE, ORIGINAL, PROTOCOL_GRE,
  PROTOCOL_SCTP, PROTOCOL_TCP, REASON_ICMP_ERROR_TARGET, REASON_ICMP_ERROR_UNKNOWN, REASON_NONE, REASON_TABLE_FULL,
  REPLY, RESULT_ACCEPT, RESULT_DESTROY, RESULT_INVALID, RESULT_REPEAT, RULE_DISCOVERY, RULE_ICMP_ERROR, RULE_NOTRACK,
  SCTP_STATE_BASE, STATE_ESTABLISHED, STATE_INVALID, STATE_NEW, STATE_NONE, STATE_RELATED, STATE_UNTRACKED,
  STATUS_ASSURED, STATUS_CONFIRMED, STATUS_EXPECTED, STATUS_FIXED_TIMEOUT, STATUS_HELPER, STATUS_SEEN_REPLY,
  VERDICT_ASSURED, VERDICT_DROPPED, VERDICT_ELSEWHERE, VERDICT_SEEN_REPLY,
} from './00-constants'
import {
  ACCOUNT_SIZE, accountOf, accountsAt, ATTACHED_ACCOUNT, ATTACHED_EVENTS, ATTACHED_START, batchSize, clearExtras,
  count, COUNTER_DROP, COUNTER_ERROR, COUNTER_INSERT_FAILED, COUNTER_INVALID, COUNTER_OFFLOADED, COUNTER_PACKETS,
  COUNTER_PROTOCOLS, COUNTER_REASONS, COUNTER_STATES, Entry, helpedAt, Packet, PATH_DISCOVERY, PATH_ERROR,
  PATH_ELSEWHERE, PATH_ICMP_ERROR, PATH_INVALID, PATH_TRACK, PATH_UNTRACKED, pendingChanges, policyOf, setPendingChanges, setPolicy,
  startsAt, SWITCH_ACCT, SWITCH_EVENTS, SWITCH_TIMESTAMP, switched, useTimeouts, VERDICT_CONNECTION,
  VERDICT_DIRECTION, VERDICT_FAMILY, VERDICT_FLAGS, VERDICT_NETWORK, VERDICT_PROTOCOL, VERDICT_PROTOCOL_STATE,
  RULED, VERDICT_REASON, VERDICT_STATE, VERDICT_TIMEOUT, VERDICT_TRANSPORT, verdictAt, ZONE_BOTH,
} from './01-records'
import { shards } from './09-shard'
import { helperFor, policies, policyFor } from './13-match'
import { hashInZone, hashKey } from './20-hash'
import { allocate, directional, find, insert, isTaken, release, remove, symmetricDirection } from './21-table'
import { sweepIfDue } from './22-expiry'
import {
  applyGreKey, endOrphans, expectations, fulfil, grePairs, helperOf, orphans, setHelper,
} from './23-expectations'
import { acceptedTimeout, begin, update, updateFirst } from './37-protocol'
import { changed, changes, clock, startPacket, takeChanges, tell, telling } from './40-events'
import {
  ENTRY_FOUND, ENTRY_MADE, recordAfter, recordBefore, recordRestarted, recordRule, RESTARTED_REOPENED, startRecord,
} from './41-record'
import { historyAfter, historyBefore, historyRefused } from './42-history'

/** Classifies one packet and writes row `index` of the verdicts. */
// @ts-ignore: decorator
@inline export function classify(p: Packet, index: u32): void {
  if (p.path == PATH_ELSEWHERE) return passElsewhere(p, index)
  startPacket(p.time)
  startRecord(index)
  const now = clock
  sweepIfDue(now)
  if (orphans) endOrphans()
  count(COUNTER_PACKETS)
  if (p.offloaded) count(COUNTER_OFFLOADED)
  if (p.ownFamily) count(COUNTER_PROTOCOLS + p.ownProtocol)
  switch (p.path) {
    case PATH_TRACK: return track(p, index, now)
    case PATH_ICMP_ERROR: return relate(p, index, now)
    case PATH_UNTRACKED:
    case PATH_DISCOVERY:
      recordRule(p.path == PATH_DISCOVERY ? RULE_DISCOVERY : RULE_NOTRACK)
      return conclude(p, index, STATE_UNTRACKED, REASON_NONE, 0)
    case PATH_INVALID: return refuse(p, index, COUNTER_INVALID)
    case PATH_ERROR: return refuse(p, index, COUNTER_ERROR)
  }
  conclude(p, index, STATE_NONE, p.reason, 0)
}

/** The same for a packet that comes alone. */
export function classifyOne(p: Packet): void {
  classify(p, 0)
}

/** Another tracker's packet: it is time for all of them alike. Its row says so and nothing else. */
function passElsewhere(p: Packet, index: u32): void {
  startPacket(p.time)
  startRecord(index)
  writeColumns(p, index, STATE_NONE, 0, REASON_NONE, 0, VERDICT_ELSEWHERE, 0, 0)
}

/** A packet with a tuple: finds or makes its entry and lets the protocol decide. */
// @ts-ignore: decorator
@inline function track(p: Packet, index: u32, now: i64): void {
  if (grePairs) completeGre(p)
  const found = findAlive(p, now)
  if (found) {
    const e = changetype<Entry>(found)
    const direction = directionOf(p, e)
    recordBefore(e, ENTRY_FOUND)
    if (p.reason) {
      historyRefused(p, e, direction)
      return refuseKnown(p, index, e)
    }
    historyBefore(p, e, direction)
    if (policies) useTimeouts(policyOf(e))
    const result = update(p, e, direction, now)
    if (result != RESULT_REPEAT) return settle(p, index, e, direction, result, now)
    recordRestarted(RESTARTED_REOPENED)
    remove(e) // the packet starts a new connection in its place
  }
  open(p, index, now)
}

/** What the headers do not say of PPTP's packets, earlier packets may have said since they were read. */
function completeGre(p: Packet): void {
  if (p.protocol != PROTOCOL_GRE || !applyGreKey(p)) return
  p.hash = hashKey(p)
  p.candidate = 0
}

/** The live entry of a packet's connection, 0 for none. One whose time is over is removed on the way. */
// @ts-ignore: decorator
@inline function findAlive(p: Packet, now: i64): u32 {
  const found = find(p)
  if (!found || changetype<Entry>(found).deadline > now) return found
  remove(changetype<Entry>(found))
  return directional ? findNext(p, now) : 0
}

/** Another may have the tuple too where zones apply to one direction. Every round but the last removes an entry. */
function findNext(p: Packet, now: i64): u32 {
  let found = find(p)
  while (found && changetype<Entry>(found).deadline <= now) {
    remove(changetype<Entry>(found))
    found = find(p)
  }
  return found
}

// @ts-ignore: decorator
@inline function directionOf(p: Packet, e: Entry): u32 {
  return p.symmetric ? symmetricDirection(p, e) : u32(p.side ^ e.origin)
}

/** The first packet of a connection. */
function open(p: Packet, index: u32, now: i64): void {
  const made = allocate(p.hash)
  if (!made) {
    count(COUNTER_DROP)
    return conclude(p, index, STATE_INVALID, REASON_TABLE_FULL, VERDICT_DROPPED)
  }
  const e = changetype<Entry>(made)
  fill(e, p)
  if (policies) choosePolicy(p, e)
  if (helpedAt) attachHelper(p, e)
  recordBefore(e, ENTRY_MADE)
  e.deadline = now // where its first packet is ignored it is over at once
  if (!p.reason) p.reason = begin(p, e, now)
  if (p.reason) {
    release(e)
    return refuse(p, index, COUNTER_INVALID)
  }
  settleFirst(p, index, e, now)
}

/** Out of line: what is inlined is the way of known connections' packets. */
function settleFirst(p: Packet, index: u32, e: Entry, now: i64): void {
  settle(p, index, e, ORIGINAL, updateFirst(p, e, now), now)
}

/** A connection that was announced has the helper that its expectation names, others the one that a match gives them. */
function attachHelper(p: Packet, e: Entry): void {
  if (expectations) fulfil(p, e)
  if (e.status & STATUS_EXPECTED) return
  const helper = helperFor(p)
  if (!helper) return
  setHelper(e, u8(helper))
  e.status |= STATUS_HELPER // what a match gave, not an expectation
}

function choosePolicy(p: Packet, e: Entry): void {
  setPolicy(e, policyFor(p))
  useTimeouts(policyOf(e))
}

/** The key, and a clean slate. */
// @ts-ignore: decorator
@inline function fill(e: Entry, p: Packet): void {
  const to = changetype<u32>(e)
  const key = changetype<u32>(p)
  v128.store(to, v128.load(key))
  v128.store(to, v128.load(key, 16), 16)
  store<u64>(to, load<u64>(key, 32), 32)
  e.hash = p.zoneDirections == ZONE_BOTH ? p.hash : hashInZone(p, 0)
  e.origin = p.side
  e.status = 0
  e.state = 0
  e.mark = 0
  e.id = 0
  e.next = 0
  setPendingChanges(e, 0)
  setPolicy(e, 0)
  e.attached = attachments() | p.zoneDirections
  clearExtras(e)
}

/** What a connection made now comes with. */
// @ts-ignore: decorator
@inline function attachments(): u8 {
  let attached: u8 = 0
  if (accountsAt && switched(SWITCH_ACCT)) attached |= ATTACHED_ACCOUNT
  if (startsAt && switched(SWITCH_TIMESTAMP)) attached |= ATTACHED_START
  const events = switched(SWITCH_EVENTS)
  if (events == 1 || (events == 2 && telling)) attached |= ATTACHED_EVENTS
  return attached
}

/** Acts on what the protocol said of a packet and its entry. */
// @ts-ignore: decorator
@inline function settle(p: Packet, index: u32, e: Entry, direction: u32, result: u32, now: i64): void {
  if (result == RESULT_INVALID) {
    if (e.status & STATUS_CONFIRMED) return refuseKnown(p, index, e)
    release(e)
    return refuse(p, index, COUNTER_INVALID)
  }
  const state = stateOf(e, direction)
  historyAfter(p, e, direction)
  if (result == RESULT_ACCEPT) {
    if (!(e.status & STATUS_FIXED_TIMEOUT)) e.deadline = now + acceptedTimeout(e)
    account(p, e, direction)
  } else if (result == RESULT_DESTROY) {
    account(p, e, direction)
    if (p.dropped == RULED) return hold(p, index, e, direction, state, true)
    return destroy(p, index, e, direction, state)
  }
  if (direction == REPLY && !(e.status & STATUS_SEEN_REPLY)) {
    e.status |= STATUS_SEEN_REPLY
    changed(CHANGE_REPLY)
  }
  if (p.dropped == RULED) return hold(p, index, e, direction, state, false)
  if (p.dropped) return dropByRules(p, index, e, direction, state, now)
  pass(p, index, e, direction, state, now)
}

/** Behind the rules. */
// @ts-ignore: decorator
@inline function pass(p: Packet, index: u32, e: Entry, direction: u32, state: u8, now: i64): void {
  if (helperOf(e) && isForHelper(p, e)) return handOver(p, index, e, direction, state)
  confirm(p, index, e, direction, state, now)
}

/** The packet ended its connection. */
function destroy(p: Packet, index: u32, e: Entry, direction: u32, state: u8): void {
  recordAfter(e)
  remove(e)
  writeRow(p, index, state, REASON_NONE, u8(direction) + 1, 0)
}

/** The end of the packet's path. */
// @ts-ignore: decorator
@inline function confirm(p: Packet, index: u32, e: Entry, direction: u32, state: u8, now: i64): void {
  if (!(e.status & STATUS_CONFIRMED)) {
    if (isTaken(e)) return clash(p, index, e, direction, state)
    insert(e)
    changed(e.status & STATUS_EXPECTED ? CHANGE_RELATED : CHANGE_NEW)
    if (helperOf(e)) changed(CHANGE_HELPER)
  }
  if (telling && changes | pendingChanges(e)) tellChanges(e)
  recordAfter(e)
  writeEntry(p, index, state, e, direction, now)
}

/** Its reply tuple belongs to another connection: Linux finds that when it confirms the first packet, and drops it. */
function clash(p: Packet, index: u32, e: Entry, direction: u32, state: u8): void {
  count(COUNTER_INSERT_FAILED)
  count(COUNTER_DROP)
  release(e)
  writeRow(p, index, state, REASON_NONE, u8(direction) + 1, VERDICT_DROPPED)
}

function tellChanges(e: Entry): void {
  const all: u16 = takeChanges() | pendingChanges(e)
  setPendingChanges(e, 0)
  tell(all & (CHANGE_NEW | CHANGE_RELATED) ? EVENT_NEW : EVENT_UPDATE, all, e)
}

// The packet that was handed over to the host.
export let handedOver: bool = false
export let handedPacket: u32 = 0
export let handedEntry: u32 = 0
export let handedDirection: u32 = 0
export let handedState: u8 = 0
let handedIndex: u32 = 0

/** TCP helpers have nothing to say of segments without data, and nobody of what was not captured. */
// @ts-ignore: decorator
@inline function isForHelper(p: Packet, e: Entry): bool {
  return (e.protocol != PROTOCOL_TCP || p.payload != 0) && p.transportCaptured >= p.transportLength
}

/** The packet at hand waits for the host's rules, as one that is handed over waits for its helper. */
export let held: bool = false
/** It ended its connection, whose entry is removed when the rules are done. */
let heldLast: bool = false

function hold(p: Packet, index: u32, e: Entry, direction: u32, state: u8, last: bool): void {
  handOver(p, index, e, direction, state)
  handedOver = false
  held = true
  heldLast = last
}

/** Goes on with the packet that was held: rules let it pass, on to its helper perhaps, or drop it. */
export function resumeHeld(drop: bool): void {
  const p = changetype<Packet>(handedPacket)
  const e = changetype<Entry>(handedEntry)
  held = false
  p.dropped = 0
  if (heldLast) return destroy(p, handedIndex, e, handedDirection, handedState)
  if (p.path == PATH_ICMP_ERROR) {
    return drop ? writeRelated(p, handedIndex, e, handedDirection) : passError(p, handedIndex, e, handedDirection)
  }
  if (drop) return dropByRules(p, handedIndex, e, handedDirection, handedState, clock)
  pass(p, handedIndex, e, handedDirection, handedState, clock)
}

/** The host's rules set the mark of the connection of the packet that is held; it is told with the packet. */
export function markHeld(mark: u32): void {
  const e = changetype<Entry>(handedEntry)
  if (e.mark == mark) return
  e.mark = mark
  changed(CHANGE_MARK)
}

function handOver(p: Packet, index: u32, e: Entry, direction: u32, state: u8): void {
  handedOver = true
  handedPacket = changetype<u32>(p)
  handedEntry = changetype<u32>(e)
  handedDirection = direction
  handedState = state
  handedIndex = index
}

/** Goes on with the packet that was handed over: its helper accepts it, or has it dropped. */
export function resume(drop: bool): void {
  const p = changetype<Packet>(handedPacket)
  const e = changetype<Entry>(handedEntry)
  handedOver = false
  if (drop) return dropByHelper(p, handedIndex, e, handedDirection, handedState)
  if (p.path == PATH_ICMP_ERROR) return writeRelated(p, handedIndex, e, handedDirection)
  confirm(p, handedIndex, e, handedDirection, handedState, clock)
}

/** The verdict stands, but Linux drops the packet: it confirms nothing, and what it changed is told by the next one. */
function dropByHelper(p: Packet, index: u32, e: Entry, direction: u32, state: u8): void {
  if (!(e.status & STATUS_CONFIRMED)) {
    release(e)
    return writeRow(p, index, state, REASON_NONE, u8(direction) + 1, VERDICT_DROPPED)
  }
  setPendingChanges(e, pendingChanges(e) | takeChanges())
  recordAfter(e)
  writeEntry(p, index, state, e, direction, clock)
  addFlag(index, VERDICT_DROPPED)
}

/** A packet that rules drop behind the tracker confirms nothing; what it changed is told by the next one that passes. */
function dropByRules(p: Packet, index: u32, e: Entry, direction: u32, state: u8, now: i64): void {
  if (!(e.status & STATUS_CONFIRMED)) {
    release(e)
    return writeRow(p, index, state, REASON_NONE, u8(direction) + 1, 0)
  }
  setPendingChanges(e, pendingChanges(e) | takeChanges())
  recordAfter(e)
  writeEntry(p, index, state, e, direction, now)
}

/** What rules see, before this packet's own reply is noted. */
// @ts-ignore: decorator
@inline function stateOf(e: Entry, direction: u32): u8 {
  if (direction == REPLY || e.status & STATUS_SEEN_REPLY) return STATE_ESTABLISHED
  return e.status & STATUS_EXPECTED ? STATE_RELATED : STATE_NEW
}

// @ts-ignore: decorator
@inline function account(p: Packet, e: Entry, direction: u32): void {
  if (!(e.attached & ATTACHED_ACCOUNT)) return
  const at = changetype<u32>(accountOf(e)) + direction * (ACCOUNT_SIZE / 2)
  store<u64>(at, load<u64>(at) + 1)
  store<u64>(at, load<u64>(at, 8) + p.networkLength, 8)
}

/** An ICMP error: related to the connection of the packet it quotes; nothing about that connection changes. */
function relate(p: Packet, index: u32, now: i64): void {
  recordRule(RULE_ICMP_ERROR)
  if (grePairs) completeQuotedGre(p)
  const found = findAlive(p, now)
  if (!found) p.reason = REASON_ICMP_ERROR_UNKNOWN
  else if (!p.atSender) p.reason = REASON_ICMP_ERROR_TARGET
  if (p.reason) return refuse(p, index, COUNTER_ERROR)
  const e = changetype<Entry>(found)
  const direction = directionOf(p, e)
  recordBefore(e, ENTRY_FOUND)
  if (p.dropped == RULED) return hold(p, index, e, direction, STATE_RELATED, false)
  passError(p, index, e, direction)
}

function passError(p: Packet, index: u32, e: Entry, direction: u32): void {
  // Linux shows a helper errors that count as of the original direction.
  if (helperOf(e) && direction == ORIGINAL) return handOver(p, index, e, direction, STATE_RELATED)
  writeRelated(p, index, e, direction)
}

function writeRelated(p: Packet, index: u32, e: Entry, direction: u32): void {
  recordAfter(e)
  writeEntry(p, index, STATE_RELATED, e, direction, clock)
}

/** The quoted packet's key is looked up from its own sender's side. */
function completeQuotedGre(p: Packet): void {
  p.side ^= 1
  completeGre(p)
  p.side ^= 1
}

function refuse(p: Packet, index: u32, counter: u32): void {
  count(counter)
  conclude(p, index, STATE_INVALID, p.reason, 0)
}

/** INVALID, though its connection is known: the entry stays as the protocol left it. */
function refuseKnown(p: Packet, index: u32, e: Entry): void {
  recordAfter(e)
  refuse(p, index, COUNTER_INVALID)
}

/** A verdict without an entry. */
function conclude(p: Packet, index: u32, state: u8, reason: u8, flags: u8): void {
  writeRow(p, index, state, reason, 0, flags)
}

/** Writes a row without an entry behind it. */
function writeRow(p: Packet, index: u32, state: u8, reason: u8, direction: u8, flags: u8): void {
  count(COUNTER_STATES + state)
  if (reason) count(COUNTER_REASONS + reason)
  writeColumns(p, index, state, direction, reason, 0, flags, 0, 0)
}

// @ts-ignore: decorator
@inline function writeEntry(p: Packet, index: u32, state: u8, e: Entry, direction: u32, now: i64): void {
  count(COUNTER_STATES + state)
  const status: u32 = e.status
  const flags = (status & STATUS_ASSURED ? VERDICT_ASSURED : 0) | (status & STATUS_SEEN_REPLY ? VERDICT_SEEN_REPLY : 0)
  const protocolState: u8 = e.protocol == PROTOCOL_SCTP ? SCTP_STATE_BASE + e.state : e.state
  writeColumns(p, index, state, u8(direction) + 1, REASON_NONE, protocolState, flags, e.id, f64(e.deadline - now))
}

/** Row `index` of all columns. Their width is read once: it is in memory, and a store might have changed it. */
// @ts-ignore: decorator
@inline function writeColumns(
  p: Packet, index: u32, state: u8, direction: u8, reason: u8, protocolState: u8, flags: u8, connection: u32, left: f64,
): void {
  const columns = verdictAt
  const n = batchSize
  store<f64>(columns + VERDICT_TIMEOUT * n + (index << 3), left)
  const words = columns + (index << 2)
  store<u32>(words + VERDICT_CONNECTION * n, connection)
  store<u32>(words + VERDICT_NETWORK * n, p.ownFamily ? p.ownNetwork : 0)
  store<u32>(words + VERDICT_TRANSPORT * n, p.ownTransport)
  const bytes = columns + index
  store<u8>(bytes + VERDICT_STATE * n, state)
  store<u8>(bytes + VERDICT_DIRECTION * n, direction)
  store<u8>(bytes + VERDICT_REASON * n, reason)
  store<u8>(bytes + VERDICT_PROTOCOL_STATE * n, protocolState)
  store<u8>(bytes + VERDICT_FLAGS * n, flags)
  store<u8>(bytes + VERDICT_PROTOCOL * n, p.ownProtocol)
  store<u8>(bytes + VERDICT_FAMILY * n, p.ownFamily)
}

/** Row `to` of the columns becomes row `from` of others, a shard's: numbers of its connections are 1, 2, 3 … there. */
// @ts-ignore: decorator
@inline export function copyVerdict(others: u32, from: u32, to: u32, shard: u32): void {
  const columns = verdictAt
  const n = batchSize
  store<f64>(columns + VERDICT_TIMEOUT * n + (to << 3), load<f64>(others + VERDICT_TIMEOUT * n + (from << 3)))
  const words = columns + (to << 2)
  const otherWords = others + (from << 2)
  const id = load<u32>(otherWords + VERDICT_CONNECTION * n)
  store<u32>(words + VERDICT_CONNECTION * n, id ? (id - 1) * shards() + shard + 1 : 0)
  store<u32>(words + VERDICT_NETWORK * n, load<u32>(otherWords + VERDICT_NETWORK * n))
  store<u32>(words + VERDICT_TRANSPORT * n, load<u32>(otherWords + VERDICT_TRANSPORT * n))
  const bytes = columns + to
  const otherBytes = others + from
  store<u8>(bytes + VERDICT_STATE * n, load<u8>(otherBytes + VERDICT_STATE * n))
  store<u8>(bytes + VERDICT_DIRECTION * n, load<u8>(otherBytes + VERDICT_DIRECTION * n))
  store<u8>(bytes + VERDICT_REASON * n, load<u8>(otherBytes + VERDICT_REASON * n))
  store<u8>(bytes + VERDICT_PROTOCOL_STATE * n, load<u8>(otherBytes + VERDICT_PROTOCOL_STATE * n))
  store<u8>(bytes + VERDICT_FLAGS * n, load<u8>(otherBytes + VERDICT_FLAGS * n))
  store<u8>(bytes + VERDICT_PROTOCOL * n, load<u8>(otherBytes + VERDICT_PROTOCOL * n))
  store<u8>(bytes + VERDICT_FAMILY * n, load<u8>(otherBytes + VERDICT_FAMILY * n))
}

/** Adds a flag to row `index`. */
function addFlag(index: u32, flag: u8): void {
  const at = verdictAt + VERDICT_FLAGS * batchSize + index
  store<u8>(at, load<u8>(at) | flag)
}
