/**
 * Reassembly of IPv4 and IPv6 fragments, which Linux does before tracking (RFC 791, RFC 8200 section 4.5).
 *
 * In: a fragment. Out: nothing while parts are missing; with the last one the whole datagram, which then goes through
 * the stages as one packet in that fragment's place.
 *
 * A datagram being put together has a queue: its key, and its payload in chunks of 256 bytes, each with a bit for every
 * eight bytes that are there. An overlap discards the whole queue, as Linux does against evasion; a repetition is
 * dropped alone. What a repetition is, runs decide: fragments that came one behind the other in order, at the end of
 * what was there. One that repeats parts of two runs is an overlap. A queue is given back `ipfrag_time` (IPv4) or
 * `frag6_timeout` (IPv6) after its first fragment, or when its datagram is complete, which is then put together in the
 * staging area and stays there until its group of packets has been tracked.
 *
 * Linux bounds the memory of each family, and so what is held here is what it would hold: see `costOf` for how it
 * counts. While more than the high threshold is in use every fragment is dropped, those of queues that exist too, and
 * nothing is evicted: memory comes back when datagrams time out, since none can be completed any more (all of this
 * measured with Linux 6.18; a threshold of 0 turns reassembly off, and the low threshold decides nothing).
 *
 * The region, with offsets from its start only; what was never used was never touched:
 *
 *     `Reassembly` · buckets of queues · buckets of peers · queues · peers · blocks · staging area
 *
 * Records are found by number, 0 is none. A queue is found by the hash of its key and expires in the order of a list.
 * A block is a chunk of payload, the index of 64 chunks, or a piece of a header.
 */
import { be16 } from './10-link'
import {
  fragmentsAt, Packet, switched, SWITCH_FRAGMENT_DISTANCE, SWITCH_FRAGMENT_IPV4_HIGH, SWITCH_FRAGMENT_IPV6_HIGH,
  sysctlTimeout, TIMEOUT_FRAGMENT_IPV4, TIMEOUT_FRAGMENT_IPV6,
} from './01-records'
import { hashOf, hashWord } from './20-hash'

export const MAX_PAYLOAD: u32 = 65535
/** Room for a header: IPv4 with options, IPv6 with the extension headers before its fragment's. */
export const MAX_HEADER: u32 = 512

const CHUNK: u32 = 256
const CHUNK_EIGHTHS: u32 = CHUNK >> 3
export const INDEX: u32 = 64
/** IPv4 fragments can end behind the largest datagram, whose end is only checked when it is complete. */
export const INDEXES: u32 = 2 * 65536 / (INDEX * CHUNK)
const HEADER_BLOCKS: u32 = 2
/** Of a chunk: eighths that are there, eighths where runs begin (four bytes each), payload. */
const BLOCK: u32 = 8 + CHUNK
const CHUNK_PAYLOAD: u32 = 8
/** Blocks that one fragment takes at most: 257 chunks, their indexes and its header. */
const MOST_BLOCKS: u32 = 272

/** Datagrams that were completed in a group: eight or more, however large. */
export const STAGING: u32 = 512 * 1024
const STAGED_MOST: u32 = MAX_HEADER + MAX_PAYLOAD + 8
/** Bytes that readers may touch behind a datagram. */
const STAGING_SLACK: u32 = 64

/** A datagram that is being put together. */
@unmanaged
export class Queue {
  /** The key: addresses (IPv4: both in the first), identification (IPv4: and protocol << 16), 4 or 6. */
  source0: u64
  source1: u64
  destination0: u64
  destination1: u64
  identification: u32
  family: u32

  deadline: i64
  number: u32
  bucket: u32
  inBucket: u32
  /** Its neighbours in order of expiry. */
  older: u32
  newer: u32
  peer: u32

  /** What Linux counts for it. */
  memory: u32
  /** Fragments that its peer had sent with the last one of this queue. */
  distance: u32
  /** Payload length, once the last fragment has said it. */
  length: u32
  /** Highest end seen, and the highest of what is there. */
  highest: u32
  tail: u32
  /** Eighths that are there. */
  eighths: u32
  /** Bytes of header, 0 until the first fragment is there. */
  header: u32
  /** Captured bytes of the first fragment's payload. */
  captured: u32
  /** IPv6: the protocol behind the fragment header of the first fragment. */
  next: u8
  /** ECN fields seen, one bit for each value (RFC 3168, section 5.3). */
  ecn: u8
  /** Part of a fragment was not captured. */
  cut: u8
  /** The last fragment has said where the end is: at 0, if it was empty. */
  last: u8
  /** Blocks of its header, and `INDEXES` of indexes behind. */
  header0: u32
  header1: u32
}
const QUEUE: u32 = 160
const KEY: u32 = 40
export const QUEUE_INDEXES: u32 = offsetof<Queue>('header1') + 4
if (offsetof<Queue>('deadline') != KEY || QUEUE_INDEXES + 4 * INDEXES > QUEUE) ERROR('Queue')

/** An IPv4 source that has queues, while it has any. */
@unmanaged
export class Peer {
  source: u32
  inBucket: u32
  queues: u32
  /** Fragments it has sent. */
  fragments: u32
}
const PEER: u32 = 16

/** Records of one size, numbered from 1. Those given back are linked through their first four bytes. */
@unmanaged
export class Pool {
  /** Where record 0 would be. */
  at: u32
  size: u32
  /** How many can be given out. */
  left: u32
  free: u32
  /** The highest number given out so far: what lies behind was never touched. */
  used: u32
}

/** Queues of one family. */
@unmanaged
export class Family {
  /** Bytes in use, as Linux counts them. */
  memory: u32
  oldest: u32
  newest: u32
}

/** What the region starts with. */
@unmanaged
export class Reassembly {
  /** The key that is looked for, as in `Queue`. */
  source0: u64
  source1: u64
  destination0: u64
  destination1: u64
  identification: u32
  family: u32
  /** Time of the latest packet that looked for a queue. */
  clock: i64
  bucketsAt: u32
  bucketMask: u32
  peerBucketsAt: u32
  peerBucketMask: u32
  stagingAt: u32
  /** Behind: two `Family` at 80 and 96, three `Pool` at 112, 144 and 176. */
}
const FAMILIES: u32 = 80
const POOLS: u32 = 112
const REASSEMBLY: u32 = 256
if (offsetof<Reassembly>() > FAMILIES || offsetof<Family>() > 16 || offsetof<Pool>() > 32) ERROR('Reassembly')

/** What Linux counts for a queue, measured: IPv4 in /proc/net/sockstat, IPv6 by the threshold that lets another in. */
const QUEUE_COST_IPV4: u32 = 200
const QUEUE_COST_IPV6: u32 = 184
/** The least a queue can cost: IPv4 queues have a fragment, IPv6 ones may be left with none. */
const LEAST_COST_IPV4: u32 = QUEUE_COST_IPV4 + 832
const LEAST_COST_IPV6: u32 = QUEUE_COST_IPV6

/** What became of a fragment. */
export const FRAGMENT_HELD: u32 = 0
export const FRAGMENT_COMPLETES: u32 = 1
/** It goes on alone: IPv6 fragments that Linux's reassembly does not touch. */
export const FRAGMENT_PASSES: u32 = 2

/** Bytes of the staging area in use: nothing outlives its group. */
let staged: u32 = 0

// @ts-ignore: decorator
@inline export function reassembly(): Reassembly {
  return changetype<Reassembly>(fragmentsAt)
}

// @ts-ignore: decorator
@inline export function familyOf(family: u32): Family {
  return changetype<Family>(fragmentsAt + (family == 4 ? FAMILIES : FAMILIES + 16))
}

// @ts-ignore: decorator
@inline export function queues(): Pool {
  return changetype<Pool>(fragmentsAt + POOLS)
}

// @ts-ignore: decorator
@inline export function peers(): Pool {
  return changetype<Pool>(fragmentsAt + POOLS + 32)
}

// @ts-ignore: decorator
@inline export function blocks(): Pool {
  return changetype<Pool>(fragmentsAt + POOLS + 64)
}

// @ts-ignore: decorator
@inline export function queueAt(number: u32): Queue {
  return changetype<Queue>(recordAt(queues(), number))
}

// @ts-ignore: decorator
@inline export function peerAt(number: u32): Peer {
  return changetype<Peer>(recordAt(peers(), number))
}

// @ts-ignore: decorator
@inline export function recordAt(pool: Pool, number: u32): u32 {
  return fragmentsAt + pool.at + number * pool.size
}

/** Gives out a record; there is one left. */
function take(pool: Pool): u32 {
  pool.left--
  const number = pool.free
  if (number == 0) return ++pool.used
  pool.free = load<u32>(recordAt(pool, number))
  return number
}

function give(pool: Pool, number: u32): void {
  store<u32>(recordAt(pool, number), pool.free)
  pool.free = number
  pool.left++
}

// Memory. Each family gets what its high threshold lets it fill, and one fragment that goes beyond.

function queueCount(high: u64, least: u32): u32 {
  return u32(high / least) + 2
}

/** A fragment takes less memory here than Linux counts for it, at most a twentieth more if it lies badly. */
function blockCount(ipv4: u64, ipv6: u64): u32 {
  return u32((ipv4 + ipv6) * 17 / (16 * BLOCK)) + 3 * MOST_BLOCKS
}

function bucketCount(records: u32): u32 {
  return 1 << (32 - clz(records))
}

/** Bytes of the region for these high thresholds. */
export function fragmentBytes(ipv4: u64, ipv6: u64): u64 {
  const queues4 = queueCount(ipv4, LEAST_COST_IPV4)
  const queues = queues4 + queueCount(ipv6, LEAST_COST_IPV6)
  return u64(REASSEMBLY) + 4 * u64(bucketCount(queues)) + 4 * u64(bucketCount(queues4)) + u64(queues + 1) * QUEUE +
    u64(queues4 + 1) * PEER + u64(blockCount(ipv4, ipv6) + 1) * BLOCK + STAGING + STAGING_SLACK
}

/** Sets up the region, whose bytes are 0. */
export function layOutFragments(ipv4: u64, ipv6: u64): void {
  const r = reassembly()
  const queues4 = queueCount(ipv4, LEAST_COST_IPV4)
  const queues6 = queueCount(ipv6, LEAST_COST_IPV6)
  r.clock = i64.MIN_VALUE
  r.bucketsAt = REASSEMBLY
  r.bucketMask = bucketCount(queues4 + queues6) - 1
  r.peerBucketsAt = r.bucketsAt + 4 * (r.bucketMask + 1)
  r.peerBucketMask = bucketCount(queues4) - 1
  let at = r.peerBucketsAt + 4 * (r.peerBucketMask + 1)
  at = layOutPool(queues(), at, QUEUE, queues4 + queues6)
  at = layOutPool(peers(), at, PEER, queues4)
  r.stagingAt = layOutPool(blocks(), at, BLOCK, blockCount(ipv4, ipv6))
}

/** Returns where the next region starts. Record 0 is there, but nobody's. */
function layOutPool(pool: Pool, at: u32, size: u32, records: u32): u32 {
  pool.at = at
  pool.size = size
  pool.left = records
  return at + (records + 1) * size
}

/** Forgets the datagrams that were completed in the group before. */
// @ts-ignore: decorator
@inline export function releaseComplete(): void {
  staged = 0
}

/** Whether one more packet of the group may complete a datagram. */
// @ts-ignore: decorator
@inline export function stagingHasRoom(): bool {
  return staged <= STAGING - STAGED_MOST
}

/**
 * What Linux counts for a fragment: the memory of the buffer that holds it, of which only the packet's length is known
 * here. Measured with packets written to a TUN device, for every length to 8,000 and around the steps behind: a record
 * of 256 bytes; with it 576 bytes to length 192, and from there the power of two that has room for the length and 384;
 * what goes beyond 8,192 in pages. A network card's driver may take larger buffers.
 */
function costOf(length: u32): u32 {
  if (length <= 192) return 256 + 576
  if (length <= 8192 - 384) return 256 + (1 << (32 - clz(length + 383)))
  return 256 + 8192 + ((length - (8192 - 384) + 4095) & ~4095)
}

function charge(q: Queue, bytes: u32): void {
  q.memory += bytes
  const f = familyOf(q.family)
  f.memory += bytes
}

/** Whether fragments of a family are dropped for lack of memory. The pools hold what the thresholds let in. */
function isFull(family: u32): bool {
  const high = switched(family == 4 ? SWITCH_FRAGMENT_IPV4_HIGH : SWITCH_FRAGMENT_IPV6_HIGH)
  return high == 0 || familyOf(family).memory > high || blocks().left < MOST_BLOCKS || queues().left == 0
}

/** The clock of reassembly: that of the packets read so far. */
function clockAt(time: i64): i64 {
  const r = reassembly()
  if (time > r.clock) r.clock = time
  return r.clock
}

/** Frees the queues of a family whose time is over. */
function expire(family: u32, now: i64): void {
  const f = familyOf(family)
  while (f.oldest && queueAt(f.oldest).deadline <= now) free(queueAt(f.oldest))
}

// Queues by key

/** Makes the key of a fragment's datagram the one that is looked for. Returns the address of its bucket. */
function lookFor(family: u32, network: u32, identification: u32): u32 {
  const r = reassembly()
  const at = network + (family == 4 ? 12 : 8)
  r.family = family
  r.identification = identification
  r.source0 = load<u64>(at) // IPv4: both addresses
  r.source1 = family == 4 ? 0 : load<u64>(at, 8)
  r.destination0 = family == 4 ? 0 : load<u64>(at, 16)
  r.destination1 = family == 4 ? 0 : load<u64>(at, 24)
  return fragmentsAt + r.bucketsAt + ((hashOf(fragmentsAt) & r.bucketMask) << 2)
}

/** Number of the queue with the key that is looked for, 0 for none. */
function findIn(bucket: u32): u32 {
  let number = load<u32>(bucket)
  while (number && memory.compare(recordAt(queues(), number), fragmentsAt, KEY) != 0) number = queueAt(number).inBucket
  return number
}

/** The queue of a fragment's datagram, a new one if it has none; 0 where nothing is let in. */
function queueOf(family: u32, network: u32, identification: u32, now: i64): u32 {
  expire(family, now)
  if (isFull(family)) return 0
  const bucket = lookFor(family, network, identification)
  const found = findIn(bucket)
  return changetype<u32>(found ? queueAt(found) : start(bucket, now))
}

/**
 * Whether the only fragment of a datagram, with the IPv6 fragment header at `header`, is reassembly's business: parts
 * with its identification are there already, or it is dropped for lack of memory.
 */
export function isTaken(p: Packet, header: u32): bool {
  expire(6, clockAt(p.time))
  if (isFull(6)) return true
  return familyOf(6).oldest != 0 && findIn(lookFor(6, p.network, load<u32>(header, 4))) != 0
}

/** A new queue with the key that is looked for. */
function start(bucket: u32, now: i64): Queue {
  const number = take(queues())
  const q = queueAt(number)
  memory.fill(changetype<usize>(q), 0, QUEUE)
  memory.copy(changetype<usize>(q), fragmentsAt, KEY)
  q.number = number
  q.bucket = bucket - fragmentsAt
  q.inBucket = load<u32>(bucket)
  store<u32>(bucket, number)
  if (q.family == 4 && switched(SWITCH_FRAGMENT_DISTANCE)) q.peer = joinPeer(u32(q.source0))
  begin(q, now)
  return q
}

/** Sets a queue's timer, and what it costs without fragments. */
function begin(q: Queue, now: i64): void {
  charge(q, q.family == 4 ? QUEUE_COST_IPV4 : QUEUE_COST_IPV6)
  q.deadline = now + sysctlTimeout(q.family == 4 ? TIMEOUT_FRAGMENT_IPV4 : TIMEOUT_FRAGMENT_IPV6)
  enlist(q)
}

function free(q: Queue): void {
  unlink(fragmentsAt + q.bucket, q.number)
  empty(q)
  if (q.peer) leavePeer(q.peer)
  give(queues(), q.number)
}

function unlink(bucket: u32, number: u32): void {
  let at = bucket
  while (load<u32>(at) != number) at = changetype<u32>(queueAt(load<u32>(at))) + offsetof<Queue>('inBucket')
  store<u32>(at, queueAt(number).inBucket)
}

/** Takes all that a queue holds from it. */
function empty(q: Queue): void {
  delist(q)
  const f = familyOf(q.family)
  f.memory -= q.memory
  for (let i: u32 = 0; i < INDEXES; i++) {
    const index = load<u32>(changetype<u32>(q) + QUEUE_INDEXES + (i << 2))
    if (index) giveChunks(index)
  }
  if (q.header0) give(blocks(), q.header0)
  if (q.header1) give(blocks(), q.header1)
}

function giveChunks(index: u32): void {
  const at = recordAt(blocks(), index)
  for (let i: u32 = 0; i < INDEX; i++) if (load<u32>(at + (i << 2))) give(blocks(), load<u32>(at + (i << 2)))
  give(blocks(), index)
}

function discard(q: Queue): u32 {
  free(q)
  return FRAGMENT_HELD
}

/**
 * Puts a queue into the order of expiry. That is the order of creation, so that it is the newest: only after the
 * timeout was made shorter are there others before which it expires.
 */
function enlist(q: Queue): void {
  const f = familyOf(q.family)
  let before = f.newest
  while (before && queueAt(before).deadline > q.deadline) before = queueAt(before).older
  const after = before ? queueAt(before).newer : f.oldest
  q.older = before
  q.newer = after
  if (before) queueAt(before).newer = q.number
  else f.oldest = q.number
  if (after) queueAt(after).older = q.number
  else f.newest = q.number
}

function delist(q: Queue): void {
  const f = familyOf(q.family)
  if (q.older) queueAt(q.older).newer = q.newer
  else f.oldest = q.newer
  if (q.newer) queueAt(q.newer).older = q.older
  else f.newest = q.older
}

// Peers: a source that has sent `ipfrag_max_dist` fragments of other datagrams may have used an identification again

export function peerBucket(source: u32): u32 {
  return fragmentsAt + reassembly().peerBucketsAt + ((hashWord(source) & reassembly().peerBucketMask) << 2)
}

/** One more queue of a source. Returns the number of its peer. */
function joinPeer(source: u32): u32 {
  const bucket = peerBucket(source)
  let number = load<u32>(bucket)
  while (number && peerAt(number).source != source) number = peerAt(number).inBucket
  if (number == 0) {
    number = take(peers())
    const peer = peerAt(number)
    peer.source = source
    peer.inBucket = load<u32>(bucket)
    peer.queues = 0
    peer.fragments = 0
    store<u32>(bucket, number)
  }
  peerAt(number).queues++
  return number
}

function leavePeer(number: u32): void {
  const peer = peerAt(number)
  if (--peer.queues) return
  let at = peerBucket(peer.source)
  while (load<u32>(at) != number) at = changetype<u32>(peerAt(load<u32>(at))) + offsetof<Peer>('inBucket')
  store<u32>(at, peer.inBucket)
  give(peers(), number)
}

/**
 * Counts a fragment of a queue's source. If that has sent `ipfrag_max_dist` or more of other datagrams since the last
 * one of this queue, the queue starts anew with this fragment, timer included. Repeated and empty fragments count, those
 * refused for lack of memory do not; nor does anything while the setting is 0, and a queue begun then is never checked.
 */
function countDistance(q: Queue, now: i64): void {
  const most = switched(SWITCH_FRAGMENT_DISTANCE)
  if (most == 0 || q.peer == 0) return
  const peer = peerAt(q.peer)
  const before = q.distance
  peer.fragments++
  q.distance = peer.fragments
  if (q.eighths == 0 || peer.fragments - before <= most) return
  empty(q)
  memory.fill(changetype<usize>(q) + offsetof<Queue>('memory'), 0, QUEUE - offsetof<Queue>('memory'))
  q.distance = peer.fragments
  begin(q, now)
}

/**
 * Takes an IPv4 fragment.
 *
 * @param header bytes of its IP header
 * @param total its total length
 * @param captured how much of that was captured, the header at least
 */
export function takeIpv4(p: Packet, header: u32, total: u32, captured: u32): u32 {
  const at = p.network
  const field = be16(at + 6)
  const offset = (field & 0x1fff) << 3
  const more = (field & 0x2000) != 0
  const now = clockAt(p.time)
  const found = queueOf(4, at, be16(at + 4) | u32(p.ownProtocol) << 16, now)
  if (!found) return FRAGMENT_HELD
  const q = changetype<Queue>(found)
  countDistance(q, now)
  let length = total - header
  if (more) length &= ~7 // a fragment with more to come is cut to a multiple of eight
  if (length == 0 || !endFits(q, offset + length, more)) return discard(q)
  if (!add(q, at + header, offset, length, captured - header)) return FRAGMENT_HELD
  charge(q, costOf(total))
  q.ecn |= u8(1) << (load<u8>(at + 1) & 3)
  if (offset == 0) keepHeader(q, at, header, captured - header)
  if (!isComplete(q)) return FRAGMENT_HELD
  if (ecnDiffers(q) || q.header + q.length > MAX_PAYLOAD) return discard(q)
  const whole = finish(p, q)
  store<u16>(whole, bswap<u16>(u16(p.networkLength)), 2)
  store<u16>(whole, 0, 6)
  return FRAGMENT_COMPLETES
}

/**
 * Takes an IPv6 fragment.
 *
 * @param fragment offset of its fragment header from the IP header
 * @param total length of the packet
 * @param captured how much of that was captured, the fragment header at least
 */
export function takeIpv6(p: Packet, fragment: u32, total: u32, captured: u32): u32 {
  const at = p.network
  const header = at + fragment
  const field = be16(header + 2)
  const offset = field & 0xfff8
  const more = (field & 1) != 0
  const length = total - fragment - 8
  const found = queueOf(6, at, load<u32>(header, 4), clockAt(p.time))
  if (!found) return FRAGMENT_HELD
  const q = changetype<Queue>(found)
  if (offset + length > MAX_PAYLOAD) return FRAGMENT_HELD
  if (more && length & 7) {
    free(q)
    return FRAGMENT_PASSES
  }
  // Unlike IPv4's these leave the queue as it is, and an empty fragment says where the end is.
  if (!endFits(q, offset + length, more) || length == 0) return FRAGMENT_HELD
  if (!add(q, header + 8, offset, length, captured - fragment - 8)) return FRAGMENT_HELD
  charge(q, costOf(total))
  q.ecn |= u8(1) << ((load<u8>(at + 1) >> 4) & 3)
  if (offset == 0) {
    if (fragment > MAX_HEADER) return discard(q)
    keepHeader(q, at, fragment, captured - fragment - 8)
    q.next = load<u8>(header)
  }
  if (!isComplete(q)) return FRAGMENT_HELD
  const payload = q.header - 40 + q.length
  if (ecnDiffers(q) || payload > MAX_PAYLOAD) return discard(q)
  const next = q.next
  const whole = finish(p, q)
  // The fragment header is gone: what pointed at it points behind it, and the length is without it.
  patchNext(whole, p.networkLength - p.transportLength, next)
  store<u16>(whole, bswap<u16>(u16(payload)), 4)
  return FRAGMENT_COMPLETES
}

/** Some fragments say that they support ECN and some that they do not. */
function ecnDiffers(q: Queue): bool {
  return (q.ecn & 1) != 0 && (q.ecn & 0xe) != 0
}

/** Whether a fragment's end agrees with what is known of the datagram's, and notes what it says of that. */
function endFits(q: Queue, end: u32, more: bool): bool {
  if (more) {
    if (q.last && end > q.length) return false
  } else {
    if (end < q.highest || (q.last && q.length != end)) return false
    q.last = 1
    q.length = end
  }
  if (end > q.highest) q.highest = end
  return true
}

/** Adds a fragment's payload; false where it is dropped, alone or with its queue. */
function add(q: Queue, from: u32, offset: u32, length: u32, captured: u32): bool {
  const end = offset + length
  const first = offset >> 3
  const last = (end + 7) >> 3
  const there = count(q, first, last, 0)
  // Again what is there already: dropped alone if it lies within one run.
  if (there == last - first && count(q, first + 1, last, 4) == 0) return false
  if (there) {
    free(q)
    return false
  }
  fill(q, first, last)
  keep(q, from, offset, min(length, captured))
  // A fragment continues a run only at the end of all that is there.
  if (offset != q.tail || offset == 0) {
    const chunk = chunkAt(q, first / CHUNK_EIGHTHS)
    store<u32>(chunk, load<u32>(chunk, 4) | (1 << (first % CHUNK_EIGHTHS)), 4)
  }
  q.eighths += last - first
  if (end > q.tail) q.tail = end
  if (captured < length) q.cut = 1
  return true
}

/** Bits that are set from eighth `from` to `to`: those that are there (`word` 0), or where runs begin (4). */
function count(q: Queue, from: u32, to: u32, word: u32): u32 {
  let n: u32 = 0
  for (let chunk = from / CHUNK_EIGHTHS; chunk * CHUNK_EIGHTHS < to; chunk++) {
    const at = chunkAt(q, chunk)
    if (at) n += popcnt(load<u32>(at + word) & maskOf(chunk, from, to))
  }
  return n
}

/** Sets the bits of what is there, with chunks for all of it. */
function fill(q: Queue, from: u32, to: u32): void {
  for (let chunk = from / CHUNK_EIGHTHS; chunk * CHUNK_EIGHTHS < to; chunk++) {
    const at = makeChunk(q, chunk)
    store<u32>(at, load<u32>(at) | maskOf(chunk, from, to))
  }
}

/** The bits of a chunk that lie from eighth `from` to `to`, of which some lie before its end. */
function maskOf(chunk: u32, from: u32, to: u32): u32 {
  const start = chunk * CHUNK_EIGHTHS
  const low = from > start ? from - start : 0
  const high = min(to - start, CHUNK_EIGHTHS)
  return low >= high ? 0 : (u32.MAX_VALUE >> (CHUNK_EIGHTHS - (high - low))) << low
}

/** Copies payload to its chunks. */
function keep(q: Queue, from: u32, offset: u32, length: u32): void {
  for (let done: u32 = 0; done < length;) {
    const at = (offset + done) % CHUNK
    const piece = min(length - done, CHUNK - at)
    memory.copy(chunkAt(q, (offset + done) / CHUNK) + CHUNK_PAYLOAD + at, from + done, piece)
    done += piece
  }
}

/** Address of a chunk, 0 where there is none. */
function chunkAt(q: Queue, chunk: u32): u32 {
  const index = load<u32>(indexField(q, chunk))
  if (index == 0) return 0
  const number = load<u32>(chunkField(index, chunk))
  return number ? recordAt(blocks(), number) : 0
}

function makeChunk(q: Queue, chunk: u32): u32 {
  const field = indexField(q, chunk)
  if (load<u32>(field) == 0) store<u32>(field, takeBlock(4 * INDEX))
  const at = chunkField(load<u32>(field), chunk)
  if (load<u32>(at) == 0) store<u32>(at, takeBlock(CHUNK_PAYLOAD))
  return recordAt(blocks(), load<u32>(at))
}

// @ts-ignore: decorator
@inline function indexField(q: Queue, chunk: u32): u32 {
  return changetype<u32>(q) + QUEUE_INDEXES + (chunk / INDEX << 2)
}

// @ts-ignore: decorator
@inline function chunkField(index: u32, chunk: u32): u32 {
  return recordAt(blocks(), index) + (chunk % INDEX << 2)
}

/** A block whose first bytes are 0. */
function takeBlock(clear: u32): u32 {
  const number = take(blocks())
  memory.fill(recordAt(blocks(), number), 0, clear)
  return number
}

/** Keeps the first fragment's header. */
function keepHeader(q: Queue, from: u32, length: u32, captured: u32): void {
  q.header = length
  q.captured = captured
  q.header0 = take(blocks())
  memory.copy(recordAt(blocks(), q.header0), from, min(length, BLOCK))
  if (length <= BLOCK) return
  q.header1 = take(blocks())
  memory.copy(recordAt(blocks(), q.header1), from + BLOCK, length - BLOCK)
}

function isComplete(q: Queue): bool {
  return q.last != 0 && q.header != 0 && q.eighths == (q.length + 7) >> 3
}

/** Puts the whole datagram in the fragment's place and gives its queue back. Returns where its header starts. */
function finish(p: Packet, q: Queue): u32 {
  const whole = fragmentsAt + reassembly().stagingAt + staged
  staged += (q.header + q.length + 7) & ~7
  putTogether(q, whole)
  p.network = whole
  p.networkLength = q.header + q.length
  p.transport = whole + q.header
  p.transportLength = q.length
  // Of a datagram that was not captured whole only what the first fragment has is known.
  p.transportCaptured = q.cut ? min(q.captured, q.length) : q.length
  free(q)
  return whole
}

function putTogether(q: Queue, to: u32): void {
  memory.copy(to, recordAt(blocks(), q.header0), min(q.header, BLOCK))
  if (q.header1) memory.copy(to + BLOCK, recordAt(blocks(), q.header1), q.header - BLOCK)
  for (let at: u32 = 0; at < q.length; at += CHUNK) {
    memory.copy(to + q.header + at, chunkAt(q, at / CHUNK) + CHUNK_PAYLOAD, min(CHUNK, q.length - at))
  }
}

/** Sets the last next-header field before the end of the headers. */
function patchNext(whole: u32, end: u32, next: u8): void {
  let at: u32 = 40
  let field: u32 = 6
  // Each step is eight bytes at least; the headers were walked when their fragment came.
  while (at < end) {
    const units = u32(load<u8>(whole + at + 1))
    const type: u32 = load<u8>(whole + field)
    field = at
    at += type == 51 ? (units + 2) << 2 : (units + 1) << 3
  }
  store<u8>(whole + field, next)
}
