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
  SCTP_STATE_BASE, STATE_INVALID, STATE_NONE, STATE_RELATED, STATE_UNTRACKED, STATUS_CONFIRMED, STATUS_EXPECTED,
  STATUS_FIXED_TIMEOUT, STATUS_HELPER, STATUS_SEEN_REPLY, VERDICT_DROPPED, VERDICT_ELSEWHERE,
} from './00-constants'
import {
  accountsAt, ATTACHED_ACCOUNT, ATTACHED_EVENTS, ATTACHED_START, batchSize, clearExtras, count, COUNTER_DROP, COUNTER_ERROR,
  COUNTER_INSERT_FAILED, COUNTER_INVALID, COUNTER_OFFLOADED, COUNTER_PACKETS, COUNTER_PROTOCOLS, COUNTER_REASONS, COUNTER_STATES,
  Entry, ENTRY_SIZE, hasExtras, helpedAt, KEY_SIZE, Packet, PATH_DISCOVERY, PATH_ELSEWHERE, PATH_ERROR, PATH_ICMP_ERROR, PATH_INVALID,
  PATH_TRACK, PATH_UNTRACKED, pendingChanges, policyOf, RULED, setPendingChanges, setPolicy, startsAt, SWITCH_ACCT, SWITCH_EVENTS,
  SWITCH_TIMESTAMP, switched, timeout, useTimeouts, VERDICT_FLAGS, verdictAt, ZONE_BOTH,
} from './01-records'
import { helperFor, policies, policyFor } from './13-match'
import { hashInZone, hashKey } from './20-hash'
import { allocate, directional, find, insert, isTaken, release, remove, symmetricDirection } from './21-table'
import { sweepIfDue } from './22-expiry'
import {
  applyGreKey, endOrphans, expectations, fulfil, grePairs, helperOf, orphans, setHelper,
} from './23-expectations'
import { CLOSE } from './30-tcp'
import { acceptedTimeout, begin, update } from './37-protocol'
import { changed, changes, clock, startPacket, takeChanges, tell, telling } from './40-events'
import {
  ENTRY_FOUND, ENTRY_MADE, recordAfter, recordBefore, recordRestarted, recordRule, RESTARTED_REOPENED, startRecord,
} from './41-record'
import { historyAfter, historyBefore, historyRefused } from './42-history'
import { stateOf, verdictFlags, writeColumns } from './43-columns'
import { account } from './44-account'

/** Classifies one packet and writes row `index` of the verdicts. */
export function classify(p: Packet, index: u32): void {
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

/** Another tracker's packet: it is time for all of them alike. Its row says so and nothing else. */
function passElsewhere(p: Packet, index: u32): void {
  startPacket(p.time)
  startRecord(index)
  writeColumns(verdictAt, batchSize, p, index, STATE_NONE, 0, REASON_NONE, 0, VERDICT_ELSEWHERE, 0, 0)
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
@inline export function findAlive(p: Packet, now: i64): u32 {
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
  if (!made) return turnAway(p, index)
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
  settle(p, index, e, ORIGINAL, update(p, e, ORIGINAL, now), now)
}

/** There is no room for a connection: its packet is dropped. */
export function turnAway(p: Packet, index: u32): void {
  count(COUNTER_DROP)
  conclude(p, index, STATE_INVALID, REASON_TABLE_FULL, VERDICT_DROPPED)
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
@inline export function fill(e: Entry, p: Packet): void {
  const to = changetype<u32>(e)
  const key = changetype<u32>(p)
  v128.store(to, v128.load(key))
  v128.store(to, v128.load(key, 16), 16)
  store<u64>(to, load<u64>(key, 32), 32)
  const zeros = i64x2.splat(0)
  for (let at: u32 = KEY_SIZE; at < ENTRY_SIZE - 8; at += 16) v128.store(to + at, zeros)
  e.hash = p.zoneDirections == ZONE_BOTH ? p.hash : hashInZone(p, 0)
  e.next = 0
  e.origin = p.side
  e.attached = attachments() | p.zoneDirections
  if (hasExtras()) clearExtras(e)
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
function settle(p: Packet, index: u32, e: Entry, direction: u32, result: u32, now: i64): void {
  if (result == RESULT_INVALID) {
    if (e.status & STATUS_CONFIRMED) return refuseKnown(p, index, e)
    release(e)
    return refuse(p, index, COUNTER_INVALID)
  }
  const state = stateOf(e.status, direction)
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

/**
 * The host's rules answer the packet that is held with a reset: Linux has its connection closed from then on, if it was
 * confirmed before.
 */
export function closeHeld(): void {
  const e = changetype<Entry>(handedEntry)
  if (e.protocol != PROTOCOL_TCP || e.state == CLOSE || heldLast || !(e.status & STATUS_CONFIRMED)) return
  e.state = u8(CLOSE)
  if (!(e.status & STATUS_FIXED_TIMEOUT)) e.deadline = clock + timeout(CLOSE)
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
  writeColumns(verdictAt, batchSize, p, index, state, direction, reason, 0, flags, 0, 0)
}

// @ts-ignore: decorator
@inline function writeEntry(p: Packet, index: u32, state: u8, e: Entry, direction: u32, now: i64): void {
  count(COUNTER_STATES + state)
  const protocolState: u8 = e.protocol == PROTOCOL_SCTP ? SCTP_STATE_BASE + e.state : e.state
  writeColumns(
    verdictAt, batchSize, p, index, state, u8(direction) + 1, REASON_NONE, protocolState, verdictFlags(e.status), e.id,
    f64(e.deadline - now))
}

/** Adds a flag to row `index`. */
function addFlag(index: u32, flag: u8): void {
  const at = verdictAt + VERDICT_FLAGS * batchSize + index
  store<u8>(at, load<u8>(at) | flag)
}
