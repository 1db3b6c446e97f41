/**
 * Snapshots: what a tracker must bring along to go on elsewhere. The host copies the regions that hold it; this file
 * gathers and sets the few values that live outside of them, and checks what the host has put into the memory before
 * anything uses it.
 *
 * A snapshot may come from an enemy. The check leaves nothing that the rest of the core takes for granted unproven:
 * invariants I1 to I4, numbers that are used as places, and that lists end. Values that are only compared or shown may be
 * anything.
 */
import {
  PROTOCOL_SCTP, PROTOCOL_TCP, STATUS_ASSURED, STATUS_CONFIRMED, STATUS_EXPECTED, STATUS_FIXED_TIMEOUT, STATUS_HELPER,
  STATUS_SEEN_REPLY,
} from './00-constants'
import {
  ACCOUNT_SIZE, ATTACHED_ACCOUNT, ATTACHED_EVENTS, ATTACHED_HELPED, ATTACHED_START, COUNTER_CONFIRMED, COUNTER_REMOVED,
  COUNTERS, countersAt, Entry, ENTRY_SIDES, ENTRY_SIZE, entryAt, EXPECTATION_BUCKETS, EXPECTATION_SIZE, EXTRAS_SIZE, GRE_PAIR_SIZE, GRE_PAIRS,
  HASH_KEYS, HELPED_SIZE, HISTORY_SIZE, LABELS_SIZE, LIFE_SIZE, lifeAt, maxConnections, Packet, policyOf, PROVENANCE_SIZE,
  SIDE_SIZE, START_SIZE, accountsAt, startsAt, SWITCHES, tcpSide, TIMEOUTS, ZONE_BOTH,
} from './01-records'
import { policies } from './13-match'
import { hashInZone } from './20-hash'
import { entries, freeSlot, highest, indexIsSound, lastId, setTable, turnedAwayAt } from './21-table'
import { cursor, dueAt, setSweep, thinning } from './22-expiry'
import {
  expectations, expectationSweepAt, freeExpectation, grePairs, highestExpectation, lastExpectationId, orphans,
  setExpectations,
} from './23-expectations'
import { clock, packetNumber, setClock } from './40-events'
import { helpersAreSound } from './62-helper-snapshot'

/** The values outside of the regions. */
@unmanaged
class Life {
  clock: i64
  dueAt: i64
  turnedAwayAt: i64
  packetNumber: u32
  entries: u32
  highest: u32
  freeSlot: u32
  lastId: u32
  cursor: u32
  thinning: u32
  /** Of expectations and GRE keys; 0 without helpers. */
  expectations: u32
  highestExpectation: u32
  freeExpectation: u32
  lastExpectationId: u32
  expectationSweepAt: u32
  grePairs: u32
  orphans: u32
}
if (offsetof<Life>() > LIFE_SIZE) ERROR('Life')

const STATUS_KNOWN: u16 = STATUS_EXPECTED | STATUS_SEEN_REPLY | STATUS_ASSURED | STATUS_CONFIRMED | STATUS_FIXED_TIMEOUT |
  STATUS_HELPER
const ATTACHED_KNOWN: u8 = ATTACHED_ACCOUNT | ATTACHED_START | ATTACHED_EVENTS | ATTACHED_HELPED | ZONE_BOTH
const MAX_TCP_STATE: u8 = 9
const MAX_SCTP_STATE: u8 = 8
const MAX_KIND: u8 = 5
const MAX_SCALE: u8 = 14

/** Gathers the values at the region `life`. */
export function saveLife(): void {
  const life = changetype<Life>(lifeAt)
  life.clock = clock
  life.dueAt = dueAt
  life.turnedAwayAt = turnedAwayAt
  life.packetNumber = packetNumber
  life.entries = entries
  life.highest = highest
  life.freeSlot = freeSlot
  life.lastId = lastId
  life.cursor = cursor
  life.thinning = thinning
  life.expectations = expectations
  life.highestExpectation = highestExpectation
  life.freeExpectation = freeExpectation
  life.lastExpectationId = lastExpectationId
  life.expectationSweepAt = expectationSweepAt
  life.grePairs = grePairs
  life.orphans = orphans
}

/**
 * Takes over what the host has put into the regions.
 *
 * @param helpers how many there are
 * @returns false, and the core is of no use any more, where it is not sound
 */
export function loadLife(helpers: u32): bool {
  const life = changetype<Life>(lifeAt)
  if (life.highest > maxConnections || life.entries > life.highest || life.freeSlot > life.highest) return false
  if (life.cursor == 0 || life.thinning > maxConnections) return false
  setClock(life.clock, life.packetNumber)
  setTable(life.entries, life.highest, life.freeSlot, life.lastId, life.turnedAwayAt)
  setSweep(life.dueAt, life.cursor, life.thinning)
  setExpectations(
    life.expectations, life.highestExpectation, life.freeExpectation, life.lastExpectationId, life.expectationSweepAt,
    life.grePairs, life.orphans)
  return countersAddUp() && entriesAreSound() && freeListIsSound() && indexIsSound() && helpersAreSound(helpers)
}

/** I2 */
function countersAddUp(): bool {
  const confirmed = load<u64>(countersAt + (COUNTER_CONFIRMED << 3))
  return confirmed - load<u64>(countersAt + (COUNTER_REMOVED << 3)) == entries
}

function entriesAreSound(): bool {
  let live: u32 = 0
  for (let slot: u32 = 1; slot <= highest; slot++) {
    const e = entryAt(slot)
    if (e.status == 0) continue
    if (!entryIsSound(e)) return false
    live++
  }
  return live == entries
}

function entryIsSound(e: Entry): bool {
  if ((e.status & ~STATUS_KNOWN) != 0 || !(e.status & STATUS_CONFIRMED)) return false
  if (e.id == 0 || e.origin > 1 || (e.family != 4 && e.family != 6) || (e.attached & ~ATTACHED_KNOWN) != 0) return false
  if (e.attached & ATTACHED_ACCOUNT && !accountsAt) return false
  if (e.attached & ATTACHED_START && !startsAt) return false
  if (policyOf(e) > policies) return false
  const whole = (e.attached & ZONE_BOTH) == ZONE_BOTH
  if (e.hash != hashInZone(changetype<Packet>(e), whole ? e.zone : 0)) return false // an entry begins with its key
  if (e.protocol == PROTOCOL_SCTP) return e.state <= MAX_SCTP_STATE
  return e.protocol != PROTOCOL_TCP || tcpIsSound(e)
}

function tcpIsSound(e: Entry): bool {
  if (e.state > MAX_TCP_STATE || e.lastKind > MAX_KIND || e.lastDirection > 1 || e.lastScale > MAX_SCALE) return false
  return tcpSide(e, 0).scale <= MAX_SCALE && tcpSide(e, 1).scale <= MAX_SCALE
}

/** Every slot that holds no entry is in the free list, once: as many steps as there are such slots lead to its end. */
function freeListIsSound(): bool {
  let slot = freeSlot
  for (let left = highest - entries; left > 0; left--) {
    if (slot == 0 || slot > highest || entryAt(slot).status != 0) return false
    slot = entryAt(slot).next
  }
  return slot == 0
}

/** Changes with the layout of what a snapshot holds. */
export function layoutFingerprint(): u32 {
  let print: u32 = 0x811c9dc5
  print = mix(print, ENTRY_SIZE)
  print = mix(print, ENTRY_SIDES)
  print = mix(print, SIDE_SIZE)
  print = mix(print, offsetof<Entry>('deadline'))
  print = mix(print, offsetof<Entry>('id'))
  print = mix(print, offsetof<Entry>('attached'))
  print = mix(print, offsetof<Entry>('mark'))
  print = mix(print, offsetof<Entry>('hash'))
  print = mix(print, ACCOUNT_SIZE)
  print = mix(print, START_SIZE)
  print = mix(print, LABELS_SIZE)
  print = mix(print, HISTORY_SIZE)
  print = mix(print, PROVENANCE_SIZE)
  print = mix(print, ATTACHED_KNOWN)
  print = mix(print, HELPED_SIZE)
  print = mix(print, EXPECTATION_SIZE)
  print = mix(print, EXPECTATION_BUCKETS)
  print = mix(print, GRE_PAIR_SIZE)
  print = mix(print, GRE_PAIRS)
  print = mix(print, EXTRAS_SIZE)
  print = mix(print, COUNTERS)
  print = mix(print, TIMEOUTS)
  print = mix(print, SWITCHES)
  print = mix(print, HASH_KEYS)
  return mix(print, offsetof<Life>())
}

/** FNV-1a, a word at a time. */
function mix(print: u32, value: u32): u32 {
  return (print ^ value) * 0x01000193
}
