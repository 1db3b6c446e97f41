/**
 * Events: what happened to connections, for the host to read after each batch. Nothing is kept unless somebody listens.
 *
 * What changes while a packet is tracked is gathered and told as one event when the packet has passed, as Linux does at
 * the end of the packet's path; if rules drop the packet, it is told with the next one that passes.
 */
import { CHANGE_DESTROY, EVENT_DESTROY, STATUS_DYING } from './00-constants'
import {
  ATTACHED_EVENTS, copyEntry, copyExtras, Entry, ENTRY_SIZE, Event, EVENT_ENTRY, EVENT_EXTRAS, EVENT_SIZE, EVENTS, eventsAt,
  EVENTS_PER_PACKET, EXPECTATION_SIZE,
} from './01-records'

/** Whether somebody listens. */
export let telling: bool = false

export function setTelling(on: bool): void {
  telling = on
}

/** Events waiting for the host. */
export let waiting: u32 = 0
/** Changes of the packet at hand. */
export let changes: u16 = 0
/** Number and time of the packet at hand. */
export let packetNumber: u32 = 0
export let clock: i64 = i64.MIN_VALUE

// @ts-ignore: decorator
@inline export function changed(change: u16): void {
  changes |= change
}

export function takeChanges(): u16 {
  const taken = changes
  changes = 0
  return taken
}

/** Starts a packet: its number, and the clock, which never goes back. */
// @ts-ignore: decorator
@inline export function startPacket(time: i64): void {
  packetNumber++
  changes = 0
  if (time > clock) clock = time
}

/** So many packets have passed that changed nothing to tell of, the last of them at `time`. */
// @ts-ignore: decorator
@inline export function passPackets(n: u32, time: i64): void {
  packetNumber += n
  clock = time
}

/** Lets time pass without a packet. */
export function passTime(time: i64): void {
  if (time > clock) clock = time
}

/** There is room for all that one more packet can cause. */
// @ts-ignore: decorator
@inline export function roomForPacket(): bool {
  return !telling || waiting + EVENTS_PER_PACKET <= EVENTS
}

/**
 * How many events a sweep may cause before they are read, any number where none are kept. The last entry that it removes
 * may have announced many connections, each an event of its own: there is room for those behind it.
 */
export function roomForSweep(): u32 {
  return !telling ? u32.MAX_VALUE : EVENTS - min(waiting + EVENTS_PER_PACKET, EVENTS)
}

export function tell(kind: u32, what: u16, e: Entry): void {
  // A chain long enough to fill the room left cannot be had without the hash's secret.
  if (!telling || !(e.attached & ATTACHED_EVENTS) || waiting == EVENTS) return
  const at = eventsAt + waiting++ * EVENT_SIZE
  const event = changetype<Event>(at)
  event.kind = kind
  event.changes = what
  event.packet = packetNumber
  event.time = clock
  event.stop = min(clock, e.deadline) // it was over when its time was, however late that is noticed
  copyEntry(at + EVENT_ENTRY, changetype<u32>(e))
  copyExtras(at + EVENT_EXTRAS, e)
}

/** Expectations are told of as what they were: their record stands where an entry would. */
export function tellExpectation(kind: u8, record: u32, master: Entry): void {
  if (!telling || !(master.attached & ATTACHED_EVENTS) || waiting == EVENTS) return
  const at = eventsAt + waiting++ * EVENT_SIZE
  const event = changetype<Event>(at)
  event.kind = kind
  event.changes = 0
  event.packet = packetNumber
  event.time = clock
  event.stop = 0
  memory.copy(at + EVENT_ENTRY, record, EXPECTATION_SIZE)
  memory.copy(at + EVENT_EXTRAS, changetype<usize>(master), ENTRY_SIZE / 2) // its key and whose it was
}

export function destroyed(e: Entry): void {
  e.status |= STATUS_DYING
  if (telling) tell(EVENT_DESTROY, CHANGE_DESTROY, e)
}

export function forgetEvents(): void {
  waiting = 0
}

/** Sets what a snapshot says of the clock. */
export function setClock(time: i64, packets: u32): void {
  clock = time
  packetNumber = packets
}
