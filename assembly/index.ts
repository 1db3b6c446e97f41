/**
 * The core's exports: memory is laid out once, then batches of packets go through the stages.
 *
 *     00 constants, 01 records and the memory map
 *     10 link → 11 network, fragments → 13 match → 14 tuple → 15–19 transport headers     what a packet says of itself
 *     20 hash → 21 table → 22 expiry                                           which connection it belongs to
 *     30–34 TCP, 35 UDP, 36 ICMP, 38 GRE, 39 SCTP, 37 the rows of them all     what it does to it
 *     40 events, 41 records → 50 track                                         what is told of it
 *
 * A group of up to 64 packets passes each stage before the next begins, so that the memory accesses of many packets are
 * under way together: headers, hashes, a touch of every bucket, the entries the buckets suggest, a touch of those, and
 * then packet by packet in order. What is looked up ahead is a hint only; every packet sees the table as the packet
 * before it left it. How packets are split into batches and groups changes nothing.
 */
import { CHECKSUM_IGNORE, CHANGE_LABEL, CHANGE_MARK, EVENT_UPDATE, PROTOCOL_TCP, STATUS_FIXED_TIMEOUT } from './00-constants'
import {
  accountsAt, buckets, clearPacket, copyExtras, countersAt, dropAt, entriesAt, Entry, ENTRY_SIZE, entryAt, eventsAt,
  expectationIndexAt, expectationsAt, extrasAt, fragmentsAt, grePairsAt, GROUP, hashKeysAt, helpedAt, helpersAt,
  historiesAt, indexAt, inputAt,
  LABELS_SIZE, labelsAt, layOut, lengthAt, lifeAt, linkTypeAt, MAX_PACKET, nanosecondsAt, neededAt, notrackAt, offsetAt, Packet,
  PACKET_SIZE, PATH_ELSEWHERE, PATH_ICMP_ERROR, PATH_NONE, PATH_TRACK, PATH_UNTRACKED, policiesAt, provenanceAt, recordsAt, scratchAt,
  secondsAt, settingsAt, startsAt, switchesAt, verdictAt, wireLengthAt, ZONE_BOTH, zonesAt,
} from './01-records'
import { firstVerdict, rowAt, timeAt } from './06-rows'
import { readPlain } from './08-plain'
import { chooseShard, isElsewhere, selecting } from './09-shard'
import { readLink } from './10-link'
import { fragmentBytes, layOutFragments, releaseComplete, stagingHasRoom } from './11-fragments'
import { readNetwork } from './11-network'
import { assignByRules, assignZone, hasMatches, isDropped, isExempt, setLists } from './13-match'
import { makeKey } from './14-tuple'
import { makeCrcTable } from './19-sctp-header'
import { readTransport, transportChecksums } from './15-transport'
import { hashKey } from './20-hash'
import { bucketOf, entries, find, highest, remove, setDirectional, setIds, suggest } from './21-table'
import { sweepAll } from './22-expiry'
import {
  addExpectation, destroyGre, endOrphans, expectationAt, findExpectationOf, helpedOf, highestExpectation, mapGreKeys,
  removeExpectation, sweepExpectations, unmapGreKeys,
} from './23-expectations'
import {
  clock, forgetEvents, packetNumber, passTime, roomForPacket, roomForSweep, setTelling, tell, waiting,
} from './40-events'
import { setRecording } from './41-record'
import { mayOpen, trackOpening } from './47-opening'
import { isPlainRun, maySteady, trackSteady } from './48-steady'
import { mayGoOn, trackKnown } from './49-known'
import {
  classify, closeHeld, handedDirection, handedEntry, handedOver, handedPacket, handedState, held, markHeld,
  resume, resumeHeld,
} from './50-track'

export { useBatchAt } from './01-records'
export { endRows, findShards, listRows, mergeVerdicts, verdictsFrom } from './06-rows'
export { nextId, nextUsedBucket } from './21-table'
export { layoutFingerprint, loadLife, saveLife } from './60-snapshot'
export { fragmentsAreSound } from './61-fragment-snapshot'

/** Checked by the wrapper: layouts of records and columns go with it. */
export const VERSION: u32 = 1

/**
 * Pages of memory that `createCore` with the same arguments lays out, 0 where they do not fit.
 *
 * @param fragments4 the most that the sysctl `ipfrag_high_thresh` will be
 * @param fragments6 the same of `frag6_high_thresh`
 * @param parts WITH_ flags
 */
export function pagesOf(
  maxConnections: u32, maxExpectations: u32, batch: u32, input: u32, fragments4: u32, fragments6: u32, parts: u32,
): u32 {
  const fragments = fragmentBytes(fragments4, fragments6)
  return u32((layOut(0, maxConnections, maxExpectations, batch, input, fragments, parts) + 0xffff) >> 16)
}

/**
 * Lays out memory, once.
 *
 * @param there the first of so many pages that are its own already; 0: it takes them. Growing is atomic: what it takes is
 * its own, also where several cores have one memory.
 * @returns false where it does not fit
 */
export function createCore(
  maxConnections: u32, maxExpectations: u32, batch: u32, input: u32, fragments4: u32, fragments6: u32, parts: u32,
  there: u32,
): bool {
  const pages = pagesOf(maxConnections, maxExpectations, batch, input, fragments4, fragments6, parts)
  if (!pages) return false
  const page = there ? i32(there) : memory.grow(i32(pages))
  if (page == -1) return false
  const fragments = fragmentBytes(fragments4, fragments6)
  layOut(u64(page) << 16, maxConnections, maxExpectations, batch, input, fragments, parts)
  makeCrcTable()
  for (let i: u32 = 0; i < GROUP; i++) packetAt(i).zoneDirections = ZONE_BOTH
  layOutFragments(fragments4, fragments6)
  return true
}

/** Addresses of the regions, in the order of `Region` in src/border.ts. */
export function regionAt(region: u32): u32 {
  switch (region) {
    case 0: return settingsAt
    case 1: return switchesAt
    case 2: return hashKeysAt
    case 3: return countersAt
    case 4: return notrackAt
    case 5: return dropAt
    case 6: return offsetAt
    case 7: return lengthAt
    case 8: return wireLengthAt
    case 9: return secondsAt
    case 10: return nanosecondsAt
    case 11: return linkTypeAt
    case 12: return verdictAt
    case 13: return recordsAt
    case 14: return eventsAt
    case 15: return inputAt
    case 16: return indexAt
    case 17: return entriesAt
    case 18: return zonesAt
    case 19: return policiesAt
    case 20: return extrasAt
    case 21: return lifeAt
    case 22: return accountsAt
    case 23: return startsAt
    case 24: return labelsAt
    case 25: return historiesAt
    case 26: return provenanceAt
    case 27: return buckets
    case 28: return helpersAt
    case 29: return helpedAt
    case 30: return expectationsAt
    case 31: return fragmentsAt
    case 32: return expectationIndexAt
    case 33: return grePairsAt
  }
  return 0
}

let checksumMode: u32 = 0

/** Address of offset 0 of the batch; what lies before the input's first byte is not there. */
let inputBase: u32 = 0

/** How checksums are taken, how many matches each list has, whether some zone applies to one direction only. */
export function configure(
  checksums: u32, notrack: u32, zone: u32, policy: u32, helper: u32, drop: u32, directional: bool,
): void {
  checksumMode = checksums
  setLists(notrack, zone, policy, helper, drop)
  setDirectional(directional)
}

/**
 * This tracker's share of the packets, where several share them: its number, how many there are, and their secret.
 *
 * @param select whether packets of others come too, and are to be left to them
 */
export function setShard(index: u32, total: u32, a: u64, b: u64, select: bool): void {
  chooseShard(index, total, a, b, select)
  setIds(index + 1, total)
}

/** Whether somebody listens to events. */
export function listen(on: bool): void {
  setTelling(on)
}

/**
 * Classifies packets `from` to `to` of the columns, or of the rows that are listed.
 *
 * @param base offset, as the column counts, of the input's first byte
 * @param recorded whether records are kept of them
 * @param goOn the call before stopped at `from` for its events to be read: the group at hand is finished first
 * @returns the first packet not classified: `to`, or less where events must be read first, or where that packet is handed
 * over to its helper (`isHandedOver`)
 */
export function run(from: u32, to: u32, base: u32, recorded: bool, goOn: bool): u32 {
  setRecording(recorded)
  inputBase = inputAt - base
  if (!goOn) groupLeft = 0
  const plain = isPlainRun()
  while (from < to) {
    if (groupLeft == 0) {
      groupSize = readGroup(from, min(to - from, GROUP))
      suggestGroup(groupSize)
      groupLeft = groupSize
    }
    while (groupLeft > 0) {
      const p = packetAt(groupSize - groupLeft)
      const n = plain ? goOnWith(p, changetype<u32>(packetAt(groupSize)), firstVerdict + from) : 0
      if (n == 0) {
        if (!roomForPacket()) return from
        classify(p, firstVerdict + from)
        if (handedOver) return from
      }
      groupLeft -= max<u32>(n, 1)
      from += max<u32>(n, 1)
    }
  }
  return from
}

/** The short ways: classifies packets from `p` on for as long as one of them does. Returns how many. */
// @ts-ignore: decorator
@inline function goOnWith(p: Packet, end: u32, index: u32): u32 {
  if (maySteady(p)) return trackSteady(changetype<u32>(p), end, index)
  const n = mayGoOn(p) ? trackKnown(changetype<u32>(p), end, index) : 0
  return n == 0 && mayOpen(p) ? trackOpening(changetype<u32>(p), end, index) : n
}

// A packet that is handed over: what its helper sees.

export function isHandedOver(): bool {
  return handedOver
}

/** Where its payload starts, what follows the TCP header, the UDP header or as much of another. */
export function payloadAt(): u32 {
  const p = changetype<Packet>(handedPacket)
  return p.transport + payloadOffset(p)
}

/** Bytes of payload that were captured. */
export function payloadLength(): u32 {
  const p = changetype<Packet>(handedPacket)
  const there = min(p.transportCaptured, p.transportLength)
  const offset = payloadOffset(p)
  return there > offset ? there - offset : 0
}

const UDP_HEADER: u32 = 8

function payloadOffset(p: Packet): u32 {
  return p.ownProtocol == PROTOCOL_TCP ? p.transportLength - p.payload : UDP_HEADER
}

/** Its TCP sequence number. */
export function payloadSeq(): u32 {
  return changetype<Packet>(handedPacket).seq
}

/** Direction (bit 0) and state (from bit 8 on). */
export function handedFlags(): u32 {
  return handedDirection | u32(handedState) << 8
}

export function handedSlot(): u32 {
  return (handedEntry - entriesAt) >> 7
}

/** Lets it go on, or drops it. The next `run` begins with the packet behind it and `goOn`. */
export function resumePacket(drop: bool): void {
  resume(drop)
  if (groupLeft) groupLeft--
}

/** Sets what is left to a connection, until its next packet sets it again. */
export function setTimeLeft(slot: u32, nanoseconds: i64): void {
  const e = entryAt(slot)
  if (!(e.status & STATUS_FIXED_TIMEOUT)) e.deadline = clock + nanoseconds
}

export { addExpectation, destroyGre, findExpectationOf, mapGreKeys, unmapGreKeys }

export function expectationSlots(): u32 {
  return highestExpectation
}

export function removeExpectationAt(slot: u32): void {
  removeExpectation(expectationAt(slot))
}

/** Takes expectations whose time is over out of their lists. */
export function expireExpectations(): void {
  sweepExpectations(highestExpectation)
}

/** The first expectation of a connection; its record names the next. */
export function firstExpectationOf(slot: u32): u32 {
  return helpedOf(entryAt(slot)).expectations
}

/** Packets of the group in the scratch, and how many of them were not classified yet. */
let groupSize: u32 = 0
let groupLeft: u32 = 0

/** Classifies the one packet at the start of the input; its verdict is row 0. */
export function runOne(length: u32, wireLength: u32, linkType: u32, time: i64, recorded: bool): void {
  setRecording(recorded)
  releaseComplete()
  groupLeft = 0
  const p = packetAt(0)
  p.frame = inputAt
  p.length = length
  p.wireLength = wireLength
  p.time = time
  if (isElsewhere(p, linkType)) leaveElsewhere(p)
  else readPacket(p, linkType, transportChecksums(checksumMode))
  if (isLookedUp(p)) p.hash = hashKey(p)
  classify(p, 0)
}

// One packet among the host's rules: read, shown to the raw table, tracked, shown to the other tables, resumed.

let readable: bool = false

/**
 * Reads the headers of the one packet at the start of the input, up to where Linux has the raw table. Leaves at the region
 * `extras` where its frame starts, and its IP header (that of a reassembled datagram is not in the input), where what was
 * captured of it ends, and the bytes of the whole IP packet.
 *
 * @returns whether it gets that far: the next call is `trackForRules`, and otherwise `dropBeforeRules`
 */
export function readForRules(length: u32, wireLength: u32, linkType: u32, time: i64): bool {
  const p = packetAt(0)
  p.frame = inputAt
  p.length = length
  p.wireLength = wireLength
  p.time = time
  return readUpToRules(p, linkType)
}

/** The same for row `i` of the columns; `base` as for `run`. */
export function readRowForRules(i: u32, base: u32): bool {
  inputBase = inputAt - base
  const p = packetAt(0)
  return readUpToRules(p, bringRow(p, i))
}

function readUpToRules(p: Packet, linkType: u32): bool {
  releaseComplete()
  groupLeft = 0
  startReading(p)
  p.networkLength = 0
  p.reason = readLink(p, linkType)
  if (p.reason) return false
  p.ownNetwork = p.network - p.frame
  readable = readNetwork(p, checksumMode)
  if (!readable && p.path == PATH_NONE) return false
  store<u32>(extrasAt, p.frame)
  store<u32>(extrasAt, p.network, 4)
  store<u32>(extrasAt, p.transport ? p.transport + p.transportCaptured : p.network + min(p.networkLength, p.length - p.ownNetwork), 8)
  store<u32>(extrasAt, p.networkLength, 12)
  return true
}

/** It ends before it is looked up: it never came to the rules, or the raw table drops it. */
export function dropBeforeRules(): void {
  setRecording(true)
  packetAt(0).path = PATH_NONE
  classify(packetAt(0), 0)
}

/**
 * Tracks it with what the raw table gave it. Where it has a connection then it is held until `resumeHeldPacket`.
 *
 * @param local it comes from the machine itself: Linux does not look at its checksums
 * @returns as `handedFlags` where it is held, otherwise 0
 */
export function trackForRules(exempt: bool, local: bool, zone: u32, directions: u32, policy: u32, helper: u32): u32 {
  setRecording(true)
  const p = packetAt(0)
  if (exempt) {
    p.path = PATH_UNTRACKED
    p.reason = 0
  } else {
    if (readable) readTransport(p, local ? CHECKSUM_IGNORE : transportChecksums(checksumMode))
    if (zone && directions != ZONE_BOTH) setDirectional(true)
    assignByRules(p, zone, directions, policy, helper)
    if (isLookedUp(p)) p.hash = hashKey(p)
  }
  classify(p, 0)
  p.zoneDirections = ZONE_BOTH
  return held ? handedFlags() : 0
}

/** Returns whether it waits for its helper then. */
export function resumeHeldPacket(drop: bool): bool {
  resumeHeld(drop)
  return handedOver
}

export { closeHeld, markHeld }

// @ts-ignore: decorator
@inline function packetAt(i: u32): Packet {
  return changetype<Packet>(scratchAt + i * PACKET_SIZE)
}

/**
 * Reads the headers of up to `most` packets and hashes their keys. Returns how many: a group ends early where it has
 * completed so many datagrams that another might find no room.
 */
function readGroup(from: u32, most: u32): u32 {
  releaseComplete()
  const transportMode = transportChecksums(checksumMode)
  const plain = !selecting && !hasMatches()
  let n: u32 = 0
  while (n < most) {
    if (plain) n += readPlain(changetype<u32>(packetAt(n)), from + n, from + most, inputBase, checksumMode, transportMode)
    if (n == most || !stagingHasRoom()) break
    readColumns(packetAt(n), rowAt(from + n), transportMode)
    n++
  }
  for (let i: u32 = 0; i < n; i++) {
    const p = packetAt(i)
    if (isLookedUp(p)) p.hash = hashKey(p)
  }
  return n
}

// @ts-ignore: decorator
@inline function isLookedUp(p: Packet): bool {
  return p.path == PATH_TRACK || p.path == PATH_ICMP_ERROR
}

// @ts-ignore: decorator
@inline function readColumns(p: Packet, i: u32, transportMode: u32): void {
  const linkType = bringRow(p, i)
  if (isElsewhere(p, linkType)) return leaveElsewhere(p)
  readPacket(p, linkType, transportMode)
}

/** What row `i` of the columns says of a packet; returns its link type. */
// @ts-ignore: decorator
@inline function bringRow(p: Packet, i: u32): u32 {
  p.frame = inputBase + load<u32>(offsetAt + (i << 2))
  p.length = load<u32>(lengthAt + (i << 2))
  p.wireLength = load<u32>(wireLengthAt + (i << 2))
  p.time = timeAt(i)
  return load<u16>(linkTypeAt + (i << 1))
}

function leaveElsewhere(p: Packet): void {
  clearPacket(p)
  p.path = PATH_ELSEWHERE
}

function readPacket(p: Packet, linkType: u32, transportMode: u32): void {
  startReading(p)
  p.reason = readLink(p, linkType)
  if (p.reason) return
  p.ownNetwork = p.network - p.frame
  const readable = readNetwork(p, checksumMode)
  if (!readable && p.path == PATH_NONE) return
  if (isExempt(p)) {
    p.path = PATH_UNTRACKED
    p.reason = 0
    return
  }
  if (readable) readTransport(p, transportMode)
  assignZone(p)
  p.dropped = u8(isDropped(p))
}

// @ts-ignore: decorator
@inline function startReading(p: Packet): void {
  p.wireLength = max(p.wireLength, p.length)
  p.length = min(p.length, MAX_PACKET)
  p.network = p.frame
  clearPacket(p)
}

/** Memory touched ahead; the sum keeps the loads alive. */
let touched: u32 = 0

/** Fetches the buckets of `n` packets, then both lines of the entries those suggest. */
function suggestGroup(n: u32): void {
  const end = neededAt + (n << 2)
  for (let at = neededAt, i: u32 = 0; at < end; at += 4, i++) store<u32>(at, bucketOf(packetAt(i).hash))
  touch(end)
  for (let at = neededAt, i: u32 = 0; at < end; at += 4, i++) {
    const p = packetAt(i)
    if (p.hash) p.candidate = suggest(load<u32>(at), p.hash)
    store<u32>(at, max(p.candidate, entriesAt))
  }
  touch(end)
  for (let at = neededAt; at < end; at += 4) store<u32>(at, load<u32>(at) + ENTRY_SIZE / 2)
  touch(end)
}

/**
 * Loads from the addresses needed, up to `end` and as many more as make it a multiple of eight. Nothing else is in this
 * loop: the fewer instructions, the more loads are under way at a time.
 */
// @ts-ignore: decorator
@inline function touch(end: u32): void {
  let sum: u32 = 0
  for (let at = neededAt; at < end; at += 32) {
    sum += load<u32>(load<u32>(at)) + load<u32>(load<u32>(at, 4)) + load<u32>(load<u32>(at, 8)) + load<u32>(load<u32>(at, 12))
    sum += load<u32>(load<u32>(at, 16)) + load<u32>(load<u32>(at, 20)) + load<u32>(load<u32>(at, 24)) + load<u32>(load<u32>(at, 28))
  }
  touched = sum
}

/** Lets time pass to `time` (nanoseconds) and removes what has expired. Returns false while more is left than events fit. */
export function advance(time: i64): bool {
  passTime(time)
  const most = roomForSweep()
  const done = sweepAll(clock, most) < most
  if (done) endOrphans()
  return done
}

export function eventsWaiting(): u32 {
  return waiting
}

export function eventsRead(): void {
  forgetEvents()
}

export function now(): i64 {
  return clock
}

export function packets(): u32 {
  return packetNumber
}

export function entryCount(): u32 {
  return entries
}

export function highestSlot(): u32 {
  return highest
}

/** The slot of the live connection with this id, 0 for none; looks at every slot in use. */
export function slotOfId(id: u32): u32 {
  for (let slot: u32 = 1; slot <= highest; slot++) {
    const e = entryAt(slot)
    if (e.id == id && e.status && e.deadline > clock) return slot
  }
  return 0
}

/** Bytes of transport header that the host gives with a tuple. */
const SLOT_OF_TUPLE_BYTES: u32 = 8

/**
 * The slot of the live connection that a tuple belongs to, 0 for none. The tuple is given as a packet's headers in the
 * input: an IP header, and `transport` bytes behind it the ports or the ICMP header. Zones as a packet has them.
 */
export function slotOfTuple(family: u32, protocol: u32, transport: u32, zone: u32, directions: u32): u32 {
  const p = packetAt(0)
  if (!makeKey(p, inputAt, family, inputAt + transport, protocol, SLOT_OF_TUPLE_BYTES)) return 0
  if (zone && directions != ZONE_BOTH) setDirectional(true)
  p.zone = u16(zone)
  p.zoneDirections = u8(directions)
  p.hash = hashKey(p)
  p.candidate = 0
  const e = changetype<Entry>(find(p))
  p.zoneDirections = ZONE_BOTH
  if (!changetype<u32>(e) || e.deadline <= clock) return 0
  return (changetype<u32>(e) - entriesAt) >> 7
}

/** Gathers what the side arrays hold of a connection at the region `extras`. */
export function gatherExtras(slot: u32): void {
  copyExtras(extrasAt, entryAt(slot))
}

/** Sets the mark of a connection, telling so if it changes. */
export function setMark(slot: u32, mark: u32): void {
  const e = entryAt(slot)
  if (e.mark == mark) return
  e.mark = mark
  tell(EVENT_UPDATE, CHANGE_MARK, e)
}

/** Sets the 128 labels of a connection, telling so if they change. */
export function setLabels(slot: u32, low: i64, high: i64): void {
  const at = labelsAt + slot * LABELS_SIZE
  const labels = i64x2.replace_lane(i64x2.splat(low), 1, high)
  if (!v128.any_true(v128.xor(v128.load(at), labels))) return
  v128.store(at, labels)
  tell(EVENT_UPDATE, CHANGE_LABEL, entryAt(slot))
}

/** Removes a connection. */
export function removeSlot(slot: u32): void {
  remove(entryAt(slot))
  endOrphans()
}
