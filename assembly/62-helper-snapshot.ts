/**
 * What a snapshot says of helpers, expectations and GRE keys, checked before anything uses it: invariants I5 and I6, numbers
 * that are used as places, and that lists end. The entries have been found sound before.
 */
import { STATUS_EXPECTED, STATUS_HELPER } from './00-constants'
import { ATTACHED_HELPED, Entry, entryAt, EXPECTATION_BUCKETS, GRE_PAIRS, helpedAt, maxExpectations } from './01-records'
import { highest } from './21-table'
import {
  bucketHead, bucketOfDestination, Expectation, expectationAt, expectations, expectationSweepAt, freeExpectation,
  grePairAt, grePairs, helpedOf, highestExpectation, ORPHAN, orphans,
} from './23-expectations'

/** @param helpers how many there are: their numbers go up to it */
export function helpersAreSound(helpers: u32): bool {
  if (expectationSweepAt == 0) return false
  if (!helpedAt) return noneAreThere()
  if (highestExpectation > maxExpectations || expectations > highestExpectation) return false
  return recordsAreSound(helpers) && freeRecordsAreSound() && bucketsAreSound() && mastersAreSound(helpers) && grePairsAreSound()
}

/** Without helpers there is nothing of theirs. */
function noneAreThere(): bool {
  for (let slot: u32 = 1; slot <= highest; slot++) {
    if (entryAt(slot).status & (STATUS_EXPECTED | STATUS_HELPER)) return false
    if (entryAt(slot).status && entryAt(slot).attached & ATTACHED_HELPED) return false
  }
  return (expectations | highestExpectation | freeExpectation | grePairs | orphans) == 0
}

function recordsAreSound(helpers: u32): bool {
  let used: u32 = 0
  for (let slot: u32 = 1; slot <= highestExpectation; slot++) {
    const x = expectationAt(slot)
    if (x.used == 0) continue
    if (!recordIsSound(x, helpers)) return false
    used++
  }
  return used == expectations
}

function recordIsSound(x: Expectation, helpers: u32): bool {
  if (x.used != 1 || (x.family != 4 && x.family != 6) || !isLive(x.master)) return false
  if (x.helper == 0 || x.helper > helpers || x.assigns > helpers) return false
  return x.bucket == bucketOfDestination(x.dst0, x.dst1, x.dport, x.protocol, x.family)
}

// @ts-ignore: decorator
@inline function isLive(slot: u32): bool {
  return slot != 0 && slot <= highest && entryAt(slot).status != 0
}

/** Every record that is not used is in the free list, once: as many steps as there are such records lead to its end. */
function freeRecordsAreSound(): bool {
  let slot = freeExpectation
  for (let left = highestExpectation - expectations; left > 0; left--) {
    if (slot == 0 || slot > highestExpectation || expectationAt(slot).used) return false
    slot = expectationAt(slot).next
  }
  return slot == 0
}

/** A list holds only what belongs to it, and all lists end: so each expectation is in one, once. */
function bucketsAreSound(): bool {
  let left = expectations
  for (let bucket: u32 = 0; bucket < EXPECTATION_BUCKETS; bucket++) {
    for (let slot = load<u32>(bucketHead(bucket)); slot; slot = expectationAt(slot).next) {
      if (left-- == 0 || slot > highestExpectation) return false
      if (!expectationAt(slot).used || expectationAt(slot).bucket != bucket) return false
    }
  }
  return left == 0
}

// @ts-ignore: decorator
@inline function isHelped(e: Entry): bool {
  return e.status != 0 && (e.attached & ATTACHED_HELPED) != 0
}

/** The record beside an entry is all zeros. */
function isEmpty(slot: u32): bool {
  return !v128.any_true(v128.load(changetype<u32>(helpedOf(entryAt(slot)))))
}

/** The same of the lists of the connections, and I6. */
function mastersAreSound(helpers: u32): bool {
  let left = expectations
  for (let master: u32 = 1; master <= highest; master++) {
    if (!isHelped(entryAt(master))) {
      if (!isEmpty(master)) return false
      continue
    }
    const helped = helpedOf(entryAt(master))
    if (helped.helper > helpers || helped.masterHelper > helpers) return false
    for (let slot = helpedOf(entryAt(master)).expectations; slot; slot = expectationAt(slot).sibling) {
      if (left-- == 0 || slot > highestExpectation) return false
      if (!expectationAt(slot).used || expectationAt(slot).master != master) return false
    }
  }
  return left == 0
}

function grePairsAreSound(): bool {
  let used: u32 = 0
  let orphaned: u32 = 0
  for (let i: u32 = 0; i < GRE_PAIRS; i++) {
    const pair = grePairAt(i)
    if (pair.master == 0) continue
    if (pair.master != ORPHAN && !(isLive(pair.master) && isHelped(entryAt(pair.master)))) return false
    used++
    if (pair.master == ORPHAN) orphaned++
  }
  return used == grePairs && orphaned == orphans
}
