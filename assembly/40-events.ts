/**
 * Events: what happened to connections, for the host to read after each batch. Nothing is kept unless somebody listens.
 *
 * What changes while a packet is tracked is gathered and told as one event when the packet has passed, as Linux does at
 * the end of the packet's path; if rules drop the packet, it is told with the next one that passes.
 */
import { CHANGE_DESTROY, EVENT_DESTROY, STATUS_DYING } from './00-constants'
import {
  ATTACHED_EVENTS, copyEntry, copyExtras, Entry, Event, EVENT_ENTRY, EVENT_EXTRAS, EVENT_SIZE, EVENTS, eventsAt,
  EVENTS_PER_PACKET,
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

/** Lets time pass without a packet. */
export function passTime(time: i64): void {
  if (time > clock) clock = time
}

/** There is room for all that one more packet can cause. */
// @ts-ignore: decorator
@inline export function roomForPacket(): bool {
  return !telling || waiting + EVENTS_PER_PACKET <= EVENTS
}

/** Room for events that are left, or all there ever are where none are kept. */
export function room(): u32 {
  return !telling ? u32.MAX_VALUE : EVENTS - waiting
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

export function destroyed(e: Entry): void {
  e.status |= STATUS_DYING
  tell(EVENT_DESTROY, CHANGE_DESTROY, e)
}

export function forgetEvents(): void {
  waiting = 0
}

/** Sets what a snapshot says of the clock. */
export function setClock(time: i64, packets: u32): void {
  clock = time
  packetNumber = packets
}
