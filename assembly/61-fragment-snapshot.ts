/**
 * What a snapshot says of reassembly, checked before it is used: every record that was ever given out is in exactly one
 * place (a queue's, a list of free ones), lists end, and whatever is used as a number of a record is one.
 *
 * Marks are bits in the staging area, which is empty between calls; behind them, how many queues each peer has.
 */
import { fragmentsAt } from './01-records'
import {
  blocks, Family, familyOf, INDEX, INDEXES, MAX_HEADER, MAX_PAYLOAD, Peer, peerAt, peerBucket, peers, Pool, Queue,
  QUEUE_INDEXES, queueAt, queues, reassembly, recordAt, STAGING,
} from './11-fragments'

/** Half of the staging area is for marks, half for counts. */
const MARKS: u32 = STAGING / 2
/** Ends of IPv4 fragments are only checked when a datagram is complete. */
const MAX_END: u32 = 2 * MAX_PAYLOAD

// @ts-ignore: decorator
@inline function marksAt(): u32 {
  return fragmentsAt + reassembly().stagingAt
}

/** Where the marks of a pool begin, in bits. */
function firstMark(pool: Pool): u32 {
  if (pool == queues()) return 0
  const behindQueues = queues().used + 1
  return pool == peers() ? behindQueues : behindQueues + peers().used + 1
}

/** Marks a record; false where it is none or is marked already. */
function mark(pool: Pool, number: u32): bool {
  if (number == 0 || number > pool.used) return false
  const bit = firstMark(pool) + number
  const at = marksAt() + (bit >> 3)
  const mask: u8 = u8(1) << u8(bit & 7)
  if (load<u8>(at) & mask) return false
  store<u8>(at, load<u8>(at) | mask)
  return true
}

function isMarked(pool: Pool, number: u32): bool {
  const bit = firstMark(pool) + number
  return number <= pool.used && (load<u8>(marksAt() + (bit >> 3)) >> (bit & 7) & 1) != 0
}

// @ts-ignore: decorator
@inline function countAt(peer: u32): u32 {
  return marksAt() + MARKS + (peer << 2)
}

/** Whether all that the host has put into the region is sound; the arguments are how many records each pool has. */
export function fragmentsAreSound(mostQueues: u32, mostPeers: u32, mostBlocks: u32): bool {
  if (queues().used > mostQueues || peers().used > mostPeers || blocks().used > mostBlocks) return false
  if (u64(queues().used) + peers().used + blocks().used + 8 > MARKS << 3 || peers().used + 1 > MARKS >> 2) return false
  memory.fill(marksAt(), 0, STAGING)
  const live = markQueues()
  const sound = live != u32.MAX_VALUE && listsAreSound(live) && markPeers() && freeIsSound(queues(), mostQueues) &&
    freeIsSound(peers(), mostPeers) && freeIsSound(blocks(), mostBlocks)
  memory.fill(marksAt(), 0, STAGING)
  return sound
}

/** Marks the queues of all buckets and what they hold; how many, or MAX_VALUE where something is wrong. */
function markQueues(): u32 {
  const r = reassembly()
  let live: u32 = 0
  for (let i: u32 = 0; i <= r.bucketMask; i++) {
    const bucket = r.bucketsAt + (i << 2)
    for (let number = load<u32>(fragmentsAt + bucket); number; number = queueAt(number).inBucket) {
      if (!mark(queues(), number) || !queueIsSound(queueAt(number), number, bucket)) return u32.MAX_VALUE
      live++
    }
  }
  return live
}

function queueIsSound(q: Queue, number: u32, bucket: u32): bool {
  if (q.number != number || q.bucket != bucket || (q.family != 4 && q.family != 6)) return false
  if (q.header > MAX_HEADER || q.length > MAX_END || q.highest > MAX_END || q.tail > MAX_END) return false
  if (q.header0 && !mark(blocks(), q.header0)) return false
  if (q.header1 && !mark(blocks(), q.header1)) return false
  if (q.peer) {
    if (q.family != 4 || q.peer > peers().used) return false
    store<u32>(countAt(q.peer), load<u32>(countAt(q.peer)) + 1)
  }
  for (let i: u32 = 0; i < INDEXES; i++) {
    const index = load<u32>(changetype<u32>(q) + QUEUE_INDEXES + (i << 2))
    if (index && !indexIsSound(index)) return false
  }
  return true
}

function indexIsSound(index: u32): bool {
  if (!mark(blocks(), index)) return false
  const at = recordAt(blocks(), index)
  for (let i: u32 = 0; i < INDEX; i++) {
    const chunk = load<u32>(at + (i << 2))
    if (chunk && !mark(blocks(), chunk)) return false
  }
  return true
}

/** The orders of expiry hold every queue once. */
function listsAreSound(live: u32): bool {
  const listed4 = listed(familyOf(4), 4, live)
  const listed6 = listed(familyOf(6), 6, live)
  return listed4 <= live && listed6 <= live && listed4 + listed6 == live
}

/** Length of a family's list, MAX_VALUE where it is not sound. */
function listed(f: Family, family: u32, most: u32): u32 {
  let n: u32 = 0
  let before: u32 = 0
  for (let number = f.oldest; number; number = queueAt(number).newer) {
    if (n == most || !isMarked(queues(), number)) return u32.MAX_VALUE
    const q = queueAt(number)
    if (q.family != family || q.older != before) return u32.MAX_VALUE
    before = number
    n++
  }
  return f.newest == before ? n : u32.MAX_VALUE
}

/** Every peer is in its bucket and has as many queues as say so; every queue's peer is there. */
function markPeers(): bool {
  const r = reassembly()
  for (let i: u32 = 0; i <= r.peerBucketMask; i++) {
    const bucket = fragmentsAt + r.peerBucketsAt + (i << 2)
    for (let number = load<u32>(bucket); number; number = peerAt(number).inBucket) {
      if (!mark(peers(), number)) return false
      const peer: Peer = peerAt(number)
      if (peerBucket(peer.source) != bucket || peer.queues == 0 || load<u32>(countAt(number)) != peer.queues) return false
      store<u32>(countAt(number), 0)
    }
  }
  for (let number: u32 = 1; number <= peers().used; number++) if (load<u32>(countAt(number))) return false
  return true
}

/** The records that nobody holds are in the list of free ones, and are counted right. */
function freeIsSound(pool: Pool, most: u32): bool {
  let free: u32 = 0
  for (let number = pool.free; number; number = load<u32>(recordAt(pool, number))) {
    if (!mark(pool, number)) return false
    free++
  }
  for (let number: u32 = 1; number <= pool.used; number++) if (!isMarked(pool, number)) return false
  return pool.left == most - pool.used + free
}
