/**
 * Rows of the columns: which are to be tracked, and when their packets came. A tracker alone tracks all of them; a pool's
 * worker finds out, for its part of a batch, whose each is, and lists its own.
 */
import {
  lengthAt, linkTypeAt, MAX_PACKET, nanosecondsAt, offsetAt, Packet, rowsAt, scratchAt, secondsAt, shardsAt, timesAt,
} from './01-records'
import { timeOf } from './07-time'
import { isPlainIpv4, own, shardOf, shardOfIpv4 } from './09-shard'
import { clock, passTime } from './40-events'
import { copyVerdict } from './43-columns'

/**
 * Finds out whose rows `from` to `to` of a pool's batch are: for all workers, of which each does a part. Offset 0 has the
 * address `zero`.
 *
 * @returns whether none of them is earlier than the packet before it
 */
export function findShards(from: u32, to: u32, zero: u32): bool {
  let ordered = true
  let latest = timeOfRow(max(from, 1) - 1)
  for (let i = from; i < to; i++) {
    store<u8>(shardsAt + i, shardOfRow(i, zero))
    const time = timeOfRow(i)
    if (time < latest) ordered = false
    latest = time
  }
  return ordered
}

/** The shard of a row of the columns, whose bytes are at `zero` and its offset. */
// @ts-ignore: decorator
@inline function shardOfRow(i: u32, zero: u32): u32 {
  const frame = zero + load<u32>(offsetAt + (i << 2))
  const length = load<u32>(lengthAt + (i << 2))
  const linkType: u32 = load<u16>(linkTypeAt + (i << 1))
  if (isPlainIpv4(frame, length, linkType)) return shardOfIpv4(frame)
  const p = changetype<Packet>(scratchAt)
  p.frame = frame
  p.length = min(length, MAX_PACKET)
  p.wireLength = p.length
  return shardOf(p, linkType)
}

/** Whether rows have the times that are listed, and not their own. */
let timed: bool = false

/** Where verdicts of the rows that are listed begin: behind those of the shards before this one. */
export let firstVerdict: u32 = 0

export function verdictsFrom(): u32 {
  return firstVerdict
}

/**
 * Lists this tracker's own of `n` rows; from now on `run` counts those. Where packets are not in the order of their times
 * the time of each is listed too: that of the latest so far, whosever it was.
 *
 * @returns how many there are
 */
export function listRows(n: u32, ordered: bool): u32 {
  let listed: u32 = 0
  let before: u32 = 0
  for (let i: u32 = 0; i < n; i++) {
    store<u32>(rowsAt + (listed << 2), i)
    const shard: u32 = load<u8>(shardsAt + i)
    listed += u32(shard == own)
    before += u32(shard < own)
  }
  firstVerdict = before
  timed = !ordered
  if (timed) {
    let latest = clock
    for (let i: u32 = 0; i < n; i++) {
      latest = max(latest, timeOfRow(i))
      store<i64>(timesAt + (i << 3), latest)
    }
  }
  return listed
}

/**
 * Copies the verdicts of `n` rows, which workers have left shard by shard, to `to` in the order of the rows. Workers that
 * wrote there themselves would take the cache lines from each other.
 */
export function mergeVerdicts(n: u32, to: u32): void {
  const next = rowsAt // the list is not needed any more
  memory.fill(next, 0, SHARDS * 4)
  for (let i: u32 = 0; i < n; i++) {
    const counter = next + (u32(load<u8>(shardsAt + i)) << 2)
    store<u32>(counter, load<u32>(counter) + 1)
  }
  let sum: u32 = 0
  for (let counter = next; counter < next + SHARDS * 4; counter += 4) {
    const size = load<u32>(counter)
    store<u32>(counter, sum)
    sum += size
  }
  for (let i: u32 = 0; i < n; i++) {
    const counter = next + (u32(load<u8>(shardsAt + i)) << 2)
    const from = load<u32>(counter)
    store<u32>(counter, from + 1)
    copyVerdict(from, to, i)
  }
}

const SHARDS: u32 = 256

/** It is as late as the last of `n` rows, whosever that was. */
export function endRows(n: u32): void {
  passTime(timeAt(n - 1))
}

// @ts-ignore: decorator
@inline function timeOfRow(i: u32): i64 {
  return timeOf(load<f64>(secondsAt + (i << 3)), load<u32>(nanosecondsAt + (i << 2)))
}

/** The time of a row that is to be tracked. */
// @ts-ignore: decorator
@inline export function timeAt(i: u32): i64 {
  return timed ? load<i64>(timesAt + (i << 3)) : timeOfRow(i)
}

/** The row that is number `i` of those to be tracked. */
// @ts-ignore: decorator
@inline export function rowAt(i: u32): u32 {
  return rowsAt ? load<u32>(rowsAt + (i << 2)) : i
}
