/**
 * Expectations: connections that others have announced in their payload, and what else belongs to helpers.
 *
 *     expectation | source and its mask | destination | ports, zone, protocol | deadline, master | links |     104 bytes
 *     helped      | master's id, first expectation, helper, the host's state |       16 bytes beside every entry
 *
 * An expectation is made by a helper while it looks at a packet of its master, and lives until a new connection matches
 * it (unless it is permanent), its time is over, its helper takes it back, or its master ends. It lies in a list of those
 * with the same destination, newest first, and in the list of its master, newest first too. A lookup happens only for
 * packets that open a connection, and costs nothing while there are no expectations.
 *
 * GRE of PPTP has a key for each direction; a packet shows one. The other comes from the pairs that a PPTP connection
 * has announced; they end with it, and so do the GRE connections, before the next packet.
 *
 * Invariants: (I5) an expectation in use is in exactly one list of a bucket and one of a master, whose entry is in use;
 * (I6) the record beside an entry is all zeros unless the entry is in use and has ATTACHED_HELPED.
 */
import { EVENT_EXPECTATION_DESTROY, EVENT_EXPECTATION_NEW, PROTOCOL_GRE, STATUS_EXPECTED } from './00-constants'
import {
  ATTACHED_HELPED, Entry, entryAt, EXPECTATION_BUCKETS, EXPECTATION_SIZE, expectationIndexAt, expectationsAt, GRE_PAIR_SIZE, GRE_PAIRS,
  grePairsAt, Helped, helpedAt, HELPED_SIZE, maxExpectations, Packet, scratchAt, slotOf, SWITCH_EXPECT_MAX, switched, ZONE_BOTH,
} from './01-records'
import { hashKey } from './20-hash'
import { find, nextId, remove } from './21-table'
import { clock, packetNumber, tellExpectation } from './40-events'
import { recordAnnounced } from './41-record'

export const EXPECTATION_PERMANENT: u8 = 1
export const EXPECTATION_INACTIVE: u8 = 2

@unmanaged
export class Expectation {
  src0: u64
  src1: u64
  mask0: u64
  mask1: u64
  dst0: u64
  dst1: u64
  /** Ports, host order; GRE keys. */
  sport: u16
  sportMask: u16
  dport: u16
  zone: u16
  protocol: u8
  family: u8
  class: u8
  flags: u8
  /** The helper that made it, the one that its connection gets (0: none). */
  helper: u8
  assigns: u8
  /** 0: free. */
  used: u8
  spare: u8
  deadline: i64
  id: u32
  /** Slot of its master. */
  master: u32
  /** Bucket that it lies in. */
  bucket: u32
  /** Next of its bucket, or of the free list. */
  next: u32
  /** Next of its master. */
  sibling: u32
  masterId: u32
  /** Number of the packet that announced it. */
  packet: u32
  spare2: u32
}
if (offsetof<Expectation>() != EXPECTATION_SIZE) ERROR('Expectation')

/** A pair of keys of PPTP's data, one direction. */
@unmanaged
export class GrePair {
  src0: u64
  src1: u64
  dst0: u64
  dst1: u64
  srcKey: u16
  dstKey: u16
  family: u8
  direction: u8
  spare: u16
  /** Slot of the PPTP connection; 0: free. */
  master: u32
}
if (offsetof<GrePair>() > GRE_PAIR_SIZE) ERROR('GrePair')

/** Expectations in use, slots ever used, the first free one, the last id. */
export let expectations: u32 = 0
export let highestExpectation: u32 = 0
export let freeExpectation: u32 = 0
export let lastExpectationId: u32 = 0
/** Pairs of GRE keys in use. */
export let grePairs: u32 = 0
/** The next that the sweep looks at. */
export let expectationSweepAt: u32 = 1

// @ts-ignore: decorator
@inline export function expectationAt(slot: u32): Expectation {
  return changetype<Expectation>(expectationsAt + slot * EXPECTATION_SIZE)
}

// @ts-ignore: decorator
@inline function slotOfExpectation(x: Expectation): u32 {
  return (u32(changetype<usize>(x)) - expectationsAt) / EXPECTATION_SIZE
}

// @ts-ignore: decorator
@inline export function helpedOf(e: Entry): Helped {
  return changetype<Helped>(helpedAt + slotOf(e) * HELPED_SIZE)
}

// @ts-ignore: decorator
@inline export function grePairAt(i: u32): GrePair {
  return changetype<GrePair>(grePairsAt + i * GRE_PAIR_SIZE)
}

/** A list's first: the place in the index of a bucket. */
// @ts-ignore: decorator
@inline export function bucketHead(bucket: u32): u32 {
  return expectationIndexAt + (bucket << 2)
}

/** The bucket of a destination; hashed with the secret, since payloads choose it. */
export function bucketOfDestination(dst0: u64, dst1: u64, dport: u16, protocol: u8, family: u8): u32 {
  const key = changetype<Packet>(scratchAt + SPARE_PACKET)
  key.a0 = dst0
  key.a1 = dst1
  key.b0 = 0
  key.b1 = 0
  key.portA = dport
  key.portB = 0
  key.protocol = protocol
  key.family = family
  key.zone = 0
  return hashKey(key) & (EXPECTATION_BUCKETS - 1)
}

/** A record behind those of the group, for keys that belong to no packet. */
const SPARE_PACKET: u32 = 64 * 128

/** Its time is over. */
// @ts-ignore: decorator
@inline function isOver(x: Expectation): bool {
  return x.deadline <= clock
}

/** Takes an expectation out of its lists, telling so. */
export function removeExpectation(x: Expectation): void {
  tellExpectation(EVENT_EXPECTATION_DESTROY, changetype<u32>(x), entryAt(x.master))
  const slot = slotOfExpectation(x)
  unlink(bucketHead(x.bucket), slot, offsetof<Expectation>('next'))
  unlink(changetype<u32>(helpedOf(entryAt(x.master))) + offsetof<Helped>('expectations'), slot, offsetof<Expectation>('sibling'))
  x.used = 0
  x.next = freeExpectation
  freeExpectation = slot
  expectations--
}

/** Takes `slot` out of the list that begins at `at` and goes on in the field `link`. It is in there (I5). */
function unlink(at: u32, slot: u32, link: u32): void {
  while (load<u32>(at) != slot) at = changetype<u32>(expectationAt(load<u32>(at))) + link
  store<u32>(at, load<u32>(changetype<u32>(expectationAt(slot)) + link))
}

// What a new expectation is asked for with: written by the host before `addExpectation`.

/** What became of it. */
const ADDED: u32 = 0
const ALREADY: u32 = 1
const BUSY: u32 = 2
const FULL: u32 = 3

/**
 * Adds the expectation that the host has written into record 0.
 *
 * @param master slot of the connection that announces it
 * @param skipMaster one that is equal counts as the same whoever its master is
 * @param limit how many of its class its master may have
 */
export function addExpectation(master: u32, skipMaster: bool, limit: u32): u32 {
  const x = expectationAt(0)
  const e = entryAt(master)
  x.zone = e.zone
  x.master = master
  x.bucket = bucketOfDestination(x.dst0, x.dst1, x.dport, x.protocol, x.family)
  const inTheWay = makeWay(x, skipMaster)
  if (inTheWay) return inTheWay
  if (countOf(e, x.class) >= limit && !removeOldest(e, x.class)) return FULL
  if (countOf(e, x.class) >= limit) return FULL
  const most = min(switched(SWITCH_EXPECT_MAX), maxExpectations)
  if (expectations >= most) sweepExpectations(highestExpectation)
  if (expectations >= most) return FULL
  insertExpectation(x, e)
  return ADDED
}

/** Removes the same expectation of the same master, so that it is refreshed; or says what is in the way. */
function makeWay(x: Expectation, skipMaster: bool): u32 {
  for (let slot = load<u32>(bucketHead(x.bucket)); slot;) {
    const other = expectationAt(slot)
    slot = other.next
    if (!sameDestination(other, x)) continue
    if (isOver(other)) {
      removeExpectation(other)
    } else if ((other.master == x.master || skipMaster) && sameSource(other, x) && other.zone == x.zone) {
      if (other.class != x.class || other.master != x.master) return ALREADY
      removeExpectation(other)
      return ADDED
    } else if (overlap(other, x) && other.zone == x.zone) {
      return BUSY
    }
  }
  return ADDED
}

// @ts-ignore: decorator
@inline function sameDestination(x: Expectation, y: Expectation): bool {
  return x.dst0 == y.dst0 && x.dst1 == y.dst1 && x.dport == y.dport && x.protocol == y.protocol && x.family == y.family
}

function sameSource(x: Expectation, y: Expectation): bool {
  return x.src0 == y.src0 && x.src1 == y.src1 && x.mask0 == y.mask0 && x.mask1 == y.mask1 && x.sport == y.sport &&
    x.sportMask == y.sportMask
}

/** Some source matches both. */
function overlap(x: Expectation, y: Expectation): bool {
  return ((x.src0 ^ y.src0) & x.mask0 & y.mask0) == 0 && ((x.src1 ^ y.src1) & x.mask1 & y.mask1) == 0 &&
    ((x.sport ^ y.sport) & x.sportMask & y.sportMask) == 0
}

/** How many expectations of a class a connection has. */
function countOf(e: Entry, ofClass: u8): u32 {
  let n: u32 = 0
  for (let slot = helpedOf(e).expectations; slot; slot = expectationAt(slot).sibling) {
    if (expectationAt(slot).class == ofClass && !isOver(expectationAt(slot))) n++
  }
  return n
}

function removeOldest(e: Entry, ofClass: u8): bool {
  let oldest: u32 = 0
  for (let slot = helpedOf(e).expectations; slot; slot = expectationAt(slot).sibling) {
    if (expectationAt(slot).class == ofClass && !isOver(expectationAt(slot))) oldest = slot
  }
  if (oldest) removeExpectation(expectationAt(oldest))
  return oldest != 0
}

function insertExpectation(from: Expectation, e: Entry): void {
  const slot = freeExpectation ? freeExpectation : ++highestExpectation
  const x = expectationAt(slot)
  if (slot == freeExpectation) freeExpectation = x.next
  memory.copy(changetype<usize>(x), changetype<usize>(from), EXPECTATION_SIZE)
  if (++lastExpectationId == 0) lastExpectationId = 1
  x.id = lastExpectationId
  x.packet = packetNumber
  x.used = 1
  x.masterId = e.id ? e.id : nextId() // the first packet's entry gets its id when that packet has passed
  x.next = load<u32>(bucketHead(x.bucket))
  store<u32>(bucketHead(x.bucket), slot)
  x.sibling = helpedOf(e).expectations
  helpedOf(e).expectations = slot
  expectations++
  tellExpectation(EVENT_EXPECTATION_NEW, changetype<u32>(x), e)
}

/** The expectation that a tuple would match, active or not where `inactive`; 0 for none. */
function findExpectation(
  src0: u64, src1: u64, sport: u16, dst0: u64, dst1: u64, dport: u16, protocol: u8, family: u8, zone: u16, inactive: bool,
): u32 {
  const bucket = bucketOfDestination(dst0, dst1, dport, protocol, family)
  for (let slot = load<u32>(bucketHead(bucket)); slot;) {
    const x = expectationAt(slot)
    slot = x.next
    if (x.dst0 != dst0 || x.dst1 != dst1 || x.dport != dport || x.protocol != protocol || x.family != family) continue
    if (isOver(x)) {
      removeExpectation(x)
      continue
    }
    if (x.flags & EXPECTATION_INACTIVE && !inactive) continue
    const matches = ((x.src0 ^ src0) & x.mask0) == 0 && ((x.src1 ^ src1) & x.mask1) == 0 && ((x.sport ^ sport) & x.sportMask) == 0
    if (matches && x.zone == zone) return changetype<u32>(x)
  }
  return 0
}

/** The same for a packet, or for an answer to it, which `from` the other side comes. */
function findFor(p: Packet, from: u32): u32 {
  const at = changetype<u32>(p)
  const source = at + (from << 4)
  const destination = at + ((from ^ 1) << 4)
  return findExpectation(
    load<u64>(source), load<u64>(source, 8), load<u16>(at + 32 + (from << 1)),
    load<u64>(destination), load<u64>(destination, 8), load<u16>(at + 32 + ((from ^ 1) << 1)),
    p.protocol, p.family, p.zone, false)
}

/** The expectation that the tuple in record 0 (source and destination) would match, inactive ones too; its slot. */
export function findExpectationOf(zone: u32): u32 {
  const x = expectationAt(0)
  const found = findExpectation(
    x.src0, x.src1, x.sport, x.dst0, x.dst1, x.dport, x.protocol, x.family, u16(zone), true)
  return found ? slotOfExpectation(changetype<Expectation>(found)) : 0
}

/** A new connection: takes what was expected of it. Its expectation is used up, whatever becomes of the packet. */
export function fulfil(p: Packet, e: Entry): void {
  const found = findFor(p, p.side)
  if (!found) return
  const x = changetype<Expectation>(found)
  const master = entryAt(x.master)
  e.status |= STATUS_EXPECTED
  e.mark = master.mark
  e.attached |= ATTACHED_HELPED
  helpedOf(e).master = master.id
  helpedOf(e).helper = x.assigns
  helpedOf(e).masterHelper = helpedOf(master).helper
  recordAnnounced(x.packet)
  if (!(x.flags & EXPECTATION_PERMANENT)) removeExpectation(x)
  // PPTP announces both directions of its data, of which one has come now.
  const opposite = p.protocol == PROTOCOL_GRE ? findFor(p, p.side ^ 1) : 0
  if (opposite) removeExpectation(changetype<Expectation>(opposite))
}

/** A new connection has a helper, which is told its packets. */
export function setHelper(e: Entry, helper: u8): void {
  e.attached |= ATTACHED_HELPED
  helpedOf(e).helper = helper
}

/**
 * Its helper, 0 for none. The record beside the entry is in a cache line of its own, which nobody has touched ahead:
 * looking there for every packet made ordinary traffic of 100,000 connections ×1.35 slower (56 ns a packet); asking the
 * entry first costs nothing.
 */
// @ts-ignore: decorator
@inline export function helperOf(e: Entry): u32 {
  return e.attached & ATTACHED_HELPED ? helpedOf(e).helper : 0
}

/** A fresh entry belongs to nobody and announces nothing. */
function clearHelped(e: Entry): void {
  const at = changetype<u32>(helpedOf(e))
  store<u64>(at, 0)
  store<u64>(at, 0, 8)
  e.attached &= ~ATTACHED_HELPED
}

/** A connection is over: so are its expectations and its GRE keys; their connections end before the next packet. */
export function forgetHelped(e: Entry): void {
  const helped = helpedOf(e)
  while (helped.expectations) removeExpectation(expectationAt(helped.expectations))
  if (grePairs) forgetGreKeys(e, helped)
  clearHelped(e)
}

function forgetGreKeys(e: Entry, helped: Helped): void {
  for (let i: u32 = 0; i < GRE_PAIRS; i++) {
    const pair = grePairAt(i)
    if (pair.master == 0 || pair.master == ORPHAN) continue
    if (pair.master == slotOf(e)) orphan(pair)
    // A GRE connection takes its master's keys with it.
    else if (e.protocol == PROTOCOL_GRE && helped.master && entryAt(pair.master).id == helped.master) freePair(pair)
  }
}

/** Ends expectations whose time is over among the next `n`. */
export function sweepExpectations(n: u32): void {
  if (expectations == 0) return
  for (n = min(n, highestExpectation); n > 0; n--) {
    if (expectationSweepAt > highestExpectation) expectationSweepAt = 1
    const x = expectationAt(expectationSweepAt++)
    if (x.used && isOver(x)) removeExpectation(x)
  }
}

// PPTP's keys

/** The pair's connection is over, its GRE connection not yet. */
export const ORPHAN: u32 = 0xffffffff
export let orphans: u32 = 0

function orphan(pair: GrePair): void {
  pair.master = ORPHAN
  orphans++
}

function freePair(pair: GrePair): void {
  if (pair.master == ORPHAN) orphans--
  pair.master = 0
  grePairs--
}

/** Ends the GRE connections whose PPTP connections are over. Not while lists of the table are walked. */
export function endOrphans(): void {
  for (let i: u32 = 0; i < GRE_PAIRS && orphans > 0; i++) {
    const pair = grePairAt(i)
    if (pair.master != ORPHAN) continue
    freePair(pair)
    removeGre(greKey(pair.src0, pair.src1, pair.srcKey, pair.dst0, pair.dst1, pair.dstKey, pair.family))
  }
}

function removeGre(key: Packet): bool {
  const found = find(key)
  if (found) remove(changetype<Entry>(found))
  return found != 0
}

/** Destroys the GRE connection of the tuple in record 0, or else the expectation of one. */
export function destroyGre(zone: u32): void {
  const x = expectationAt(0)
  if (removeGre(greKey(x.src0, x.src1, x.sport, x.dst0, x.dst1, x.dport, x.family))) return
  const expected = findExpectationOf(zone)
  if (expected) removeExpectation(expectationAt(expected))
}

/** Sets the source key of a GRE packet whose pair is known. Returns whether it did. */
export function applyGreKey(p: Packet): bool {
  const at = changetype<u32>(p)
  const side: u32 = p.side
  const source = at + (side << 4)
  const destination = at + ((side ^ 1) << 4)
  const dstKey = load<u16>(at + 32 + ((side ^ 1) << 1))
  for (let i: u32 = 0; i < GRE_PAIRS; i++) {
    const pair = grePairAt(i)
    if (pair.master == 0 || pair.master == ORPHAN || pair.dstKey != dstKey || pair.family != p.family) continue
    if (pair.src0 != load<u64>(source) || pair.src1 != load<u64>(source, 8)) continue
    if (pair.dst0 != load<u64>(destination) || pair.dst1 != load<u64>(destination, 8)) continue
    store<u16>(at + 32 + (side << 1), pair.srcKey)
    return true
  }
  return false
}

/** Remembers the pair in record 0 for a connection and direction; false where it has another or there is no room. */
export function mapGreKeys(master: u32, direction: u32): bool {
  const x = expectationAt(0)
  let free: u32 = GRE_PAIRS
  for (let i: u32 = 0; i < GRE_PAIRS; i++) {
    const pair = grePairAt(i)
    if (!pair.master) free = min(free, i)
    else if (pair.master == master && pair.direction == direction) return isPair(pair, x)
  }
  if (free == GRE_PAIRS) return false
  const pair = grePairAt(free)
  pair.src0 = x.src0
  pair.src1 = x.src1
  pair.dst0 = x.dst0
  pair.dst1 = x.dst1
  pair.srcKey = x.sport
  pair.dstKey = x.dport
  pair.family = x.family
  pair.direction = u8(direction)
  pair.master = master
  grePairs++
  return true
}

function isPair(pair: GrePair, x: Expectation): bool {
  return pair.src0 == x.src0 && pair.src1 == x.src1 && pair.dst0 == x.dst0 && pair.dst1 == x.dst1 &&
    pair.srcKey == x.sport && pair.dstKey == x.dport && pair.family == x.family
}

export function unmapGreKeys(master: u32): void {
  for (let i: u32 = 0; i < GRE_PAIRS; i++) if (grePairAt(i).master == master) freePair(grePairAt(i))
}

/** The key of a GRE tuple: endpoints in canonical order, by address, then by key, as packets have them. */
function greKey(src0: u64, src1: u64, srcKey: u16, dst0: u64, dst1: u64, dstKey: u16, family: u8): Packet {
  const key = changetype<Packet>(scratchAt + SPARE_PACKET)
  const later = src0 > dst0 || (src0 == dst0 && (src1 > dst1 || (src1 == dst1 && srcKey > dstKey)))
  key.a0 = later ? dst0 : src0
  key.a1 = later ? dst1 : src1
  key.b0 = later ? src0 : dst0
  key.b1 = later ? src1 : dst1
  key.portA = later ? dstKey : srcKey
  key.portB = later ? srcKey : dstKey
  key.protocol = PROTOCOL_GRE
  key.family = family
  key.zone = 0
  key.zoneDirections = ZONE_BOTH
  key.side = u8(later)
  key.symmetric = 0
  key.candidate = 0
  key.hash = hashKey(key)
  return key
}

/** Takes over the values of a snapshot. */
export function setExpectations(
  used: u32, highest: u32, free: u32, id: u32, sweep: u32, pairs: u32, orphaned: u32,
): void {
  expectations = used
  highestExpectation = highest
  freeExpectation = free
  lastExpectationId = id
  expectationSweepAt = sweep
  grePairs = pairs
  orphans = orphaned
}
