/**
 * Expiry. A deadline that has been reached makes an entry invisible to lookups at once; this file takes such entries
 * out of the table.
 *
 * A sweep goes round the entries, a small piece at each step of the packets' clock, so that no packet waits for it:
 * 3.9 ns an entry looked at, where a timing wheel re-armed by every packet would cost 48 ns a packet. What is swept
 * depends on the packets' times alone, never on how they were split into batches.
 *
 * Where a full table has turned a new connection away, a round that begins a second later also removes entries whose
 * time is not over, while the table is 95 % full: those that are not ASSURED and those that are closing. Linux's
 * collector does so at its next cycle, 1 to 60 seconds later.
 */
import { STATUS_CONFIRMED } from './00-constants'
import { expectations, sweepExpectations } from './23-expectations'
import { Entry, entryAt, EVENTS_PER_PACKET, SWITCH_MAX, switched } from './01-records'
import { bucketOf, entries, forgetTurnedAway, highest, isExpendable, remove, turnedAwayAt } from './21-table'

/** A full round takes about a second of the packets' time: 1024 pieces. */
const PIECES_LOG2: u32 = 10
const STEP: i64 = 1_000_000_000 >> PIECES_LOG2
const SMALLEST_PIECE: u32 = 64
/** Pieces that one packet catches up with after a pause. */
const CATCH_UP: i64 = 8
/** What the sweep of one packet removes at most; leaves room among the packet's events for its own. */
const REMOVED_AT_ONCE: u32 = EVENTS_PER_PACKET / 2

/** Entries whose buckets are touched together. */
const BLOCK: u32 = 32

/** Expectations looked at in a step. */
const SWEPT_EXPECTATIONS: u32 = 16

export let dueAt: i64 = i64.MIN_VALUE
export let cursor: u32 = 1
/** How many entries the round that thins out a crowded table has still to look at. */
export let thinning: u32 = 0
const THIN_AFTER: i64 = 1_000_000_000

/** Sweeps if a step of time has passed. */
// @ts-ignore: decorator
@inline export function sweepIfDue(now: i64): void {
  if (now >= dueAt) sweep(now)
}

function sweep(now: i64): void {
  const late = dueAt == i64.MIN_VALUE ? 0 : (now - dueAt) / STEP
  const pieces = u32(min(late + 1, CATCH_UP))
  dueAt = now + STEP
  let piece = highest >> PIECES_LOG2
  if (piece < SMALLEST_PIECE) piece = SMALLEST_PIECE
  if (turnedAwayAt != i64.MAX_VALUE && now - turnedAwayAt >= THIN_AFTER) {
    forgetTurnedAway()
    thinning = highest
  }
  sweepEntries(now, piece * pieces, REMOVED_AT_ONCE)
  sweepExpectations(SWEPT_EXPECTATIONS)
}

/**
 * Looks at the next `n` entries, once round at most, and removes those that have expired, until there are `most`. What an
 * entry had announced goes with it and counts too: each is an event.
 */
function sweepEntries(now: i64, n: u32, most: u32): u32 {
  if (n > highest) n = highest
  let removed: u32 = 0
  while (n > 0 && removed < most) {
    if (cursor > highest) cursor = 1
    const end = cursor + min(min(n, BLOCK), highest + 1 - cursor)
    n -= end - cursor
    touchBuckets(cursor, end, now)
    for (; cursor < end && removed < most; cursor++) {
      const e = entryAt(cursor)
      if (e.status & STATUS_CONFIRMED && (e.deadline <= now || (thinning && isInTheWay(e)))) {
        const announced = expectations
        remove(e)
        removed += 1 + announced - expectations
      }
      if (thinning) thinning--
    }
  }
  return removed
}

/** Memory touched ahead; the sum keeps the loads alive. */
let touched: u32 = 0

/** Loads from the buckets of entries that have expired, all of them under way at once: 5 ns a packet where connections are short. */
// @ts-ignore: decorator
@inline function touchBuckets(from: u32, to: u32, now: i64): void {
  let sum: u32 = 0
  for (let slot = from; slot < to; slot++) {
    const e = entryAt(slot)
    if (e.deadline <= now && e.status) sum += load<u32>(bucketOf(e.hash))
  }
  touched = sum
}

/** The table is crowded and this entry expendable. */
function isInTheWay(e: Entry): bool {
  return entries >= switched(SWITCH_MAX) / 100 * 95 && isExpendable(e)
}

/** Removes what has expired, in the order of the slots, until there are `most`. Returns how many, expectations included. */
export function sweepAll(now: i64, most: u32): u32 {
  return sweepEntries(now, highest, most)
}

/** Sets what a snapshot says of the sweep. */
export function setSweep(due: i64, at: u32, left: u32): void {
  dueAt = due
  cursor = at
  thinning = left
}
