/**
 * The connection table: an index of 64-byte buckets over an array of 128-byte entries.
 *
 *     bucket   | 7 hashes (u32) | chain | 7 slots (u32) | - |     one cache line
 *     entry    | key 40 | deadline, status, state, id, last numbers | window variables of both sides | hash, next |
 *
 * A bucket holds seven entries; what is over hangs in a chain linked through the entries. A lookup compares the whole
 * hash in all seven places at once and then the key. An entry is indexed once, by the canonical key both of its
 * directions share, zone included; one whose zone applies to one direction only is indexed as in zone 0, and lookups
 * that may meet such entries compare zones direction by direction. A removal clears its place, and one entry of the chain
 * moves up, so no tombstones gather.
 *
 * Life of an entry: taken from the free list (or fresh) by `allocate`, filled by its protocol, put into the index by
 * `insert` when its first packet has passed (confirmed), removed by `remove` on expiry, eviction, or by its protocol.
 * An unconfirmed entry is in no index and is given back by `release`. Only this file writes index and free list.
 *
 * Invariants: (I1) an entry is in the index if and only if it is CONFIRMED; (I2) confirmed - removed = entries;
 * (I3) a bucket has a chain only while all its seven places are taken; (I4) a free entry has status 0.
 */
import { ORIGINAL, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, REPLY, STATUS_ASSURED, STATUS_CONFIRMED } from './00-constants'
import {
  ATTACHED_HELPED, ATTACHED_START, buckets, count, COUNTER_CONFIRMED, COUNTER_EARLY_DROP, COUNTER_REMOVED, Entry, entryAt, indexAt,
  Packet,   slotOf, START_SIZE, startsAt, SWITCH_MAX, switched, ZONE_ORIGINAL, ZONE_REPLY,
} from './01-records'
import { hashInZone } from './20-hash'
import { forgetHelped } from './23-expectations'
import { clock, destroyed } from './40-events'

const PLACES: u32 = 7
const PLACES_MASK: u32 = 0x7f
/** Where a bucket keeps its chain and its slots. */
const CHAIN: u32 = 28
const SLOTS: u32 = 32
/** Buckets that an eviction looks at. */
const EVICTION_REACH: u32 = 8
/** Is no entry's zone. */
const NO_ZONE: u32 = 0x10000
const TCP_FIN_WAIT: u8 = 4
const TCP_CLOSE: u8 = 8
const SCTP_SHUTDOWN_SENT: u8 = 5
const SCTP_SHUTDOWN_ACK_SENT: u8 = 7

/** Entries in use, confirmed or not. */
export let entries: u32 = 0
/** Slots ever used: 1 to this. */
export let highest: u32 = 0
/** When the table first turned a new connection away since this was last forgotten; MAX_VALUE: not. */
export let turnedAwayAt: i64 = i64.MAX_VALUE
export let freeSlot: u32 = 0
export let lastId: u32 = 0
/** From one id to the next: trackers that share the packets number theirs so that no two have the same. */
let idStep: u32 = 1

export function setIds(first: u32, step: u32): void {
  idStep = step
  lastId = first - step
}

/** The id that the next connection gets. */
export function nextId(): u32 {
  const id = lastId + idStep
  return id ? id : idStep
}

// @ts-ignore: decorator
@inline export function bucketOf(hash: u32): u32 {
  return indexAt + (u32(u64(hash) * u64(buckets) >> 32) << 6)
}

/** Places of a bucket that hold a hash, as bits 0 to 6; likewise a slot, at `bucket + SLOTS`. */
// @ts-ignore: decorator
@inline function places(bucket: u32, value: u32): u32 {
  const wanted = i32x4.splat(i32(value))
  const low = i32x4.bitmask(i32x4.eq(v128.load(bucket), wanted))
  const high = i32x4.bitmask(i32x4.eq(v128.load(bucket, 16), wanted))
  return u32(low | high << 4) & PLACES_MASK
}

/** The entry that a bucket suggests for a hash, 0 for none: a hint that touches no entry. */
// @ts-ignore: decorator
@inline export function suggest(bucket: u32, hash: u32): u32 {
  const found = places(bucket, hash)
  if (found) return changetype<u32>(entryAt(load<u32>(bucket + SLOTS + (ctz(found) << 2))))
  const chain = load<u32>(bucket, CHAIN)
  return chain ? changetype<u32>(entryAt(chain)) : 0
}

// @ts-ignore: decorator
@inline export function sameKey(e: u32, key: u32): bool {
  const difference = v128.or(
    v128.xor(v128.load(e), v128.load(key)), v128.xor(v128.load(e, 16), v128.load(key, 16)))
  return !v128.any_true(difference) && load<u64>(e, 32) == load<u64>(key, 32)
}

/** Some zone applies to one direction only: zones are compared direction by direction. */
export let directional: bool = false

export function setDirectional(on: bool): void {
  directional = on
}

/** The confirmed entry with the packet's key, expired or not; 0 for none. */
// @ts-ignore: decorator
@inline export function find(p: Packet): u32 {
  const hint = p.candidate
  if (!directional && hint && sameKey(hint, changetype<u32>(p)) && changetype<Entry>(hint).status & STATUS_CONFIRMED) {
    return hint
  }
  return search(p)
}

function search(p: Packet): u32 {
  if (directional) return findInZones(p, p.side, zoneIn(p, ZONE_ORIGINAL), zoneIn(p, ZONE_REPLY))
  const key = changetype<u32>(p)
  const bucket = bucketOf(p.hash)
  let found = places(bucket, p.hash)
  while (found) { // at most seven rounds
    const e = changetype<u32>(entryAt(load<u32>(bucket + SLOTS + (ctz(found) << 2))))
    if (sameKey(e, key)) return e
    found &= found - 1
  }
  // A chain has no loops: every entry is in one chain at most, once.
  for (let slot = load<u32>(bucket, CHAIN); slot; slot = entryAt(slot).next) {
    if (entryAt(slot).hash == p.hash && sameKey(changetype<u32>(entryAt(slot)), key)) return changetype<u32>(entryAt(slot))
  }
  return 0
}

/** The zone of a packet in one direction, `ZONE_ORIGINAL` or `ZONE_REPLY`. */
// @ts-ignore: decorator
@inline function zoneIn(p: Packet, direction: u8): u32 {
  return p.zoneDirections & direction ? p.zone : 0
}

/** The zone of one direction of an entry. */
function zoneOf(e: Entry, direction: u32): u32 {
  return e.attached & (direction == REPLY ? ZONE_REPLY : ZONE_ORIGINAL) ? e.zone : 0
}

/**
 * The entry one of whose directions has the tuple that goes out from endpoint `side` of a key, and in that direction the
 * zone that is wanted in it; 0 for none. Linux has each direction in the bucket of its own zone and looks into that of
 * the original direction's first: where both want different zones, an original direction is found before any reply.
 */
function findInZones(key: Packet, side: u32, original: u32, reply: u32): u32 {
  if (original == reply) return newest(key, side, original, reply)
  const found = newest(key, side, original, NO_ZONE)
  return found ? found : newest(key, side, NO_ZONE, reply)
}

/** The newest of them. Zones are equal, or one of them is `NO_ZONE`. */
function newest(key: Packet, side: u32, original: u32, reply: u32): u32 {
  const zone = (original | reply) & ~NO_ZONE
  const best = newestIn(hashInZone(key, 0), key, side, original, reply, 0)
  return zone ? newestIn(hashInZone(key, zone), key, side, original, reply, best) : best
}

function newestIn(hash: u32, key: Packet, side: u32, original: u32, reply: u32, best: u32): u32 {
  const bucket = bucketOf(hash)
  let found = places(bucket, hash)
  while (found) { // at most seven rounds
    const e = entryAt(load<u32>(bucket + SLOTS + (ctz(found) << 2)))
    if (isWanted(e, key, side, original, reply)) best = newer(e, best)
    found &= found - 1
  }
  // A chain has no loops: every entry is in one chain at most, once.
  for (let slot = load<u32>(bucket, CHAIN); slot; slot = entryAt(slot).next) {
    const e = entryAt(slot)
    if (e.hash == hash && isWanted(e, key, side, original, reply)) best = newer(e, best)
  }
  return best
}

function isWanted(e: Entry, key: Packet, side: u32, original: u32, reply: u32): bool {
  if (!sameTuple(changetype<u32>(e), changetype<u32>(key))) return false
  const symmetric = key.a0 == key.b0 && key.a1 == key.b1 && key.portA == key.portB && !isIcmp(key.protocol)
  const direction = side ^ e.origin
  return ((symmetric || direction == ORIGINAL) && zoneOf(e, ORIGINAL) == original) ||
    ((symmetric || direction == REPLY) && zoneOf(e, REPLY) == reply)
}

/** Between equal endpoints both tuples are the same, and Linux finds the reply's first where it finds both in one zone. */
export function symmetricDirection(p: Packet, e: Entry): u32 {
  if (!directional) return REPLY
  const original = zoneIn(p, ZONE_ORIGINAL)
  const reply = zoneIn(p, ZONE_REPLY)
  if (original == reply) return zoneOf(e, REPLY) == reply ? REPLY : ORIGINAL
  return zoneOf(e, ORIGINAL) == original ? ORIGINAL : REPLY
}

// @ts-ignore: decorator
@inline function newer(e: Entry, than: u32): u32 {
  return than == 0 || e.id > changetype<Entry>(than).id ? changetype<u32>(e) : than
}

/** Keys are equal but for their zones. */
function sameTuple(e: u32, key: u32): bool {
  const difference = v128.or(
    v128.xor(v128.load(e), v128.load(key)), v128.xor(v128.load(e, 16), v128.load(key, 16)))
  return !v128.any_true(difference) && load<u32>(e, 32) == load<u32>(key, 32) && load<u16>(e, 36) == load<u16>(key, 36)
}

/**
 * An entry about to be inserted has its reply tuple taken: by an entry with that tuple, in the direction in which both
 * have the same zone. Only zones of one direction make that possible: lookups find everything else before.
 */
export function isTaken(e: Entry): bool {
  if (!directional) return false
  const original = zoneOf(e, ORIGINAL)
  const reply = zoneOf(e, REPLY)
  const key = changetype<Packet>(e) // an entry begins with its key, as a packet does
  return newest(key, e.origin ^ 1, original == reply ? original : NO_ZONE, reply) != 0
}

/** Takes an entry for a new connection; 0 where the table is full and nothing near the hash may be evicted. */
export function allocate(hash: u32): u32 {
  if (entries >= switched(SWITCH_MAX) && !evict(hash)) {
    if (clock < turnedAwayAt) turnedAwayAt = clock
    return 0
  }
  entries++
  if (freeSlot) {
    const e = entryAt(freeSlot)
    assert(e.status == 0) // I4
    freeSlot = e.next
    return changetype<u32>(e)
  }
  return changetype<u32>(entryAt(++highest))
}

/** Gives back an entry that is not in the index. */
export function release(e: Entry): void {
  if (e.attached & ATTACHED_HELPED) forgetHelped(e)
  e.status = 0
  e.next = freeSlot
  freeSlot = slotOf(e)
  entries--
}

/** Puts an entry into the index and gives it its id. */
export function insert(e: Entry): void {
  assert(!(e.status & STATUS_CONFIRMED) && e.hash != 0) // I1
  lastId = nextId()
  e.id = lastId
  e.status |= STATUS_CONFIRMED
  count(COUNTER_CONFIRMED)
  if (e.attached & ATTACHED_START) store<i64>(startsAt + slotOf(e) * START_SIZE, clock)
  const bucket = bucketOf(e.hash)
  const free = freePlaces(bucket)
  if (free) {
    const place = ctz(free) << 2
    store<u32>(bucket + place, e.hash)
    store<u32>(bucket + SLOTS + place, slotOf(e))
    return
  }
  assert(freePlaces(bucket) == 0) // I3
  e.next = load<u32>(bucket, CHAIN)
  store<u32>(bucket, slotOf(e), CHAIN)
}

// @ts-ignore: decorator
@inline function freePlaces(bucket: u32): u32 {
  return places(bucket, 0)
}

/** Removes a confirmed entry from the table, telling so. */
export function remove(e: Entry): void {
  assert((e.status & STATUS_CONFIRMED) != 0) // I1
  destroyed(e)
  count(COUNTER_REMOVED)
  const bucket = bucketOf(e.hash)
  const slot = slotOf(e)
  const found = places(bucket + SLOTS, slot)
  if (found) pullUp(bucket, ctz(found) << 2)
  else unchain(bucket, slot)
  release(e)
}

/** Fills a place that became free with the first entry of the chain, if there is one. */
function pullUp(bucket: u32, place: u32): void {
  const first = load<u32>(bucket, CHAIN)
  store<u32>(bucket + SLOTS + place, first)
  store<u32>(bucket + place, first ? entryAt(first).hash : 0)
  if (first) store<u32>(bucket, entryAt(first).next, CHAIN)
}

function unchain(bucket: u32, slot: u32): void {
  let at = bucket + CHAIN
  while (load<u32>(at) != slot) at = changetype<u32>(entryAt(load<u32>(at))) + offsetof<Entry>('next')
  store<u32>(at, entryAt(slot).next)
}

/**
 * Makes room for a new connection as Linux does: of the eight buckets from the new one's on, the first that holds
 * entries that are not ASSURED loses all of those. Fails where there are none, even if others could go elsewhere (or have
 * just made room because they had expired).
 */
function evict(hash: u32): bool {
  let bucket = bucketOf(hash)
  const end = indexAt + (buckets << 6)
  for (let i: u32 = 0; i < EVICTION_REACH; i++) {
    if (evictFrom(bucket)) return true
    bucket += 64
    if (bucket == end) bucket = indexAt
  }
  return false
}

function evictFrom(bucket: u32): bool {
  let dropped = false
  // The chain first: what then moves up from it into places that become free has been looked at.
  for (let slot = load<u32>(bucket, CHAIN); slot;) {
    const e = entryAt(slot)
    slot = e.next
    if (drop(e)) dropped = true
  }
  for (let place: u32 = 0; place < PLACES; place++) {
    const slot = load<u32>(bucket + SLOTS + (place << 2))
    if (slot && drop(entryAt(slot))) dropped = true
  }
  return dropped
}

/** Drops an entry that is not ASSURED. One whose time is over is removed too, but is no eviction. */
function drop(e: Entry): bool {
  const expired = e.deadline <= clock
  if (!expired && e.status & STATUS_ASSURED) return false
  remove(e)
  if (!expired) count(COUNTER_EARLY_DROP)
  return !expired
}

// @ts-ignore: decorator
@inline function isIcmp(protocol: u8): bool {
  return protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMPV6
}

/** Entries that the collector removes from a crowded table though their time is not over: not ASSURED, or closing. */
export function isExpendable(e: Entry): bool {
  if (!(e.status & STATUS_ASSURED)) return true
  if (e.protocol == PROTOCOL_TCP) return e.state >= TCP_FIN_WAIT && e.state <= TCP_CLOSE
  return e.protocol == PROTOCOL_SCTP && e.state >= SCTP_SHUTDOWN_SENT && e.state <= SCTP_SHUTDOWN_ACK_SENT
}

export function forgetTurnedAway(): void {
  turnedAwayAt = i64.MAX_VALUE
}

/** Sets what a snapshot says of the table; index and entries are checked by their own functions. */
export function setTable(inUse: u32, slots: u32, free: u32, id: u32, turnedAway: i64): void {
  entries = inUse
  highest = slots
  freeSlot = free
  lastId = id
  turnedAwayAt = turnedAway
}

/** The first bucket from `from` on that holds something, `buckets` where none does. */
export function nextUsedBucket(from: u32): u32 {
  for (let bucket = from; bucket < buckets; bucket++) {
    if (places(indexAt + (bucket << 6), 0) != PLACES_MASK) return bucket
  }
  return buckets
}

/** Whether the index holds every entry once and nothing else (I1, I3). Entries and their hashes are known to be sound. */
export function indexIsSound(): bool {
  let found: u32 = 0
  for (let i: u32 = 0; i < buckets; i++) {
    const n = soundIn(indexAt + (i << 6), entries - found)
    if (n == UNSOUND) return false
    found += n
  }
  return found == entries
}

const UNSOUND: u32 = 0xffffffff

/** Entries in a bucket, at most `most`, or `UNSOUND`. */
function soundIn(bucket: u32, most: u32): u32 {
  let n: u32 = 0
  for (let place: u32 = 0; place < PLACES; place++) {
    const hash = load<u32>(bucket + (place << 2))
    const slot = load<u32>(bucket + SLOTS + (place << 2))
    if ((hash == 0) != (slot == 0)) return UNSOUND
    if (hash == 0) continue
    if (!belongs(slot, bucket) || entryAt(slot).hash != hash || isPlaced(bucket, slot, place)) return UNSOUND
    n++
  }
  let slot = load<u32>(bucket, CHAIN)
  if (slot && n < PLACES) return UNSOUND
  // A chain that comes back to itself has more steps than there are entries.
  for (; slot; slot = entryAt(slot).next) {
    if (n >= most || !belongs(slot, bucket) || isPlaced(bucket, slot, PLACES)) return UNSOUND
    n++
  }
  return n <= most ? n : UNSOUND
}

function belongs(slot: u32, bucket: u32): bool {
  return slot > 0 && slot <= highest && entryAt(slot).status != 0 && bucketOf(entryAt(slot).hash) == bucket
}

/** One of the first `before` places of a bucket holds the slot. */
function isPlaced(bucket: u32, slot: u32, before: u32): bool {
  for (let place: u32 = 0; place < before; place++) {
    if (load<u32>(bucket + (place << 2)) && load<u32>(bucket + SLOTS + (place << 2)) == slot) return true
  }
  return false
}
