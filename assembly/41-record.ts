/**
 * Records: what `explain` and `--detail` want to know about each packet of a batch. Kept only where asked for; otherwise
 * these functions are one comparison. Who set what is kept only with `explain` at creation: it takes memory for each
 * connection.
 *
 * Which packet set a value of the entry is found by comparing the entry before and after each packet, so the protocols
 * need not say.
 */
import {
  copyEntry, copyExtras, Entry, Provenance, PROVENANCE_SIZE, provenanceAt, Record, RECORD_AFTER, RECORD_ANNOUNCED,
  RECORD_BEFORE, RECORD_EXTRAS, RECORD_PROVENANCE, RECORD_RECEIVER, RECORD_SENDER, RECORD_SIZE, recordsAt, slotOf, TcpSide,
  tcpSide,
} from './01-records'
import { packetNumber } from './40-events'

/** Whether the packets of this run are recorded. */
export let recording: bool = false
/** The record of the packet at hand. */
let current: u32 = 0

export function setRecording(on: bool): void {
  recording = on
}

/** Whether an entry stood before the packet (1), was made by it (2), or neither (0). */
export const ENTRY_NONE: u8 = 0
export const ENTRY_FOUND: u8 = 1
export const ENTRY_MADE: u8 = 2

// @ts-ignore: decorator
@inline export function startRecord(index: u32): void {
  if (recording) clearRecord(index)
}

/** Clears what is not overwritten where it counts: entries have status 0 where there are none. */
function clearRecord(index: u32): void {
  const zeros = i64x2.splat(0)
  current = recordsAt + index * RECORD_SIZE
  v128.store(current, zeros)
  v128.store(current, zeros, 16)
  store<u64>(current + RECORD_AFTER + offsetof<Entry>('status'), 0)
  for (let at = current + RECORD_PROVENANCE; at < current + RECORD_SIZE; at += 16) v128.store(at, zeros)
  changetype<Record>(current).packet = packetNumber
}

// @ts-ignore: decorator
@inline export function recordRule(rule: u8): void {
  if (recording) changetype<Record>(current).rule = rule
}

export const RESTARTED_REOPENED: u8 = 1
export const RESTARTED_RESYNCHRONISED: u8 = 2

export function recordRestarted(how: u8): void {
  if (recording) changetype<Record>(current).restarted = how
}

// @ts-ignore: decorator
@inline export function recordStates(old: u32, next: u32, direction: u32, kind: u32): void {
  if (recording) {
    const r = changetype<Record>(current)
    r.oldState = u8(old)
    r.newState = u8(next)
    r.direction = u8(direction)
    r.kind = u8(kind)
  }
}

// @ts-ignore: decorator
@inline export function recordWindow(
  seq: u32, end: u32, ack: u32, sack: u32, window: u32, sender: TcpSide, receiver: TcpSide,
): void {
  if (recording) writeWindow(seq, end, ack, sack, window, sender, receiver)
}

function writeWindow(seq: u32, end: u32, ack: u32, sack: u32, window: u32, sender: TcpSide, receiver: TcpSide): void {
  const r = changetype<Record>(current)
  r.checked = 1
  r.seq = seq
  r.end = end
  r.ack = ack
  r.sack = sack
  r.window = window
  copySide(current + RECORD_SENDER, changetype<u32>(sender))
  copySide(current + RECORD_RECEIVER, changetype<u32>(receiver))
}

function copySide(to: u32, from: u32): void {
  v128.store(to, v128.load(from))
  store<u32>(to + 16, load<u32>(from + 16))
}

/** Notes which packet announced the connection that this one opens. */
export function recordAnnounced(packet: u32): void {
  if (recording) store<u32>(current + RECORD_ANNOUNCED, packet)
}

/** Notes the entry as the packet finds it. */
// @ts-ignore: decorator
@inline export function recordBefore(e: Entry, made: u8): void {
  if (recording) writeBefore(e, made)
}

function writeBefore(e: Entry, made: u8): void {
  changetype<Record>(current).entry = made
  copyEntry(current + RECORD_BEFORE, changetype<u32>(e))
  if (!provenanceAt) return
  const from = provenanceAt + slotOf(e) * PROVENANCE_SIZE
  if (made == ENTRY_MADE) {
    memory.fill(from, 0, PROVENANCE_SIZE)
    changetype<Provenance>(from).created = packetNumber
  }
  for (let i: u32 = 0; i < PROVENANCE_SIZE; i += 16) v128.store(current + RECORD_PROVENANCE + i, v128.load(from + i))
}

/** Notes the entry as the packet leaves it, and what of it the packet set. */
// @ts-ignore: decorator
@inline export function recordAfter(e: Entry): void {
  if (recording) writeAfter(e)
}

function writeAfter(e: Entry): void {
  copyEntry(current + RECORD_AFTER, changetype<u32>(e))
  copyExtras(current + RECORD_EXTRAS, e)
  if (!provenanceAt) return
  const p = changetype<Provenance>(provenanceAt + slotOf(e) * PROVENANCE_SIZE)
  p.last = packetNumber
  trace(changetype<u32>(p) + offsetof<Provenance>('end0'), e, 0)
  trace(changetype<u32>(p) + offsetof<Provenance>('end1'), e, 1)
}

/** Compares one side with what it was; `at` is where its four setters stand. */
function trace(at: u32, e: Entry, side: u32): void {
  const r = changetype<Record>(current)
  const now = tcpSide(e, side)
  const was = tcpSide(changetype<Entry>(current + RECORD_BEFORE), side)
  const made = r.entry == ENTRY_MADE
  if (made ? now.end != 0 : now.end != was.end) store<u32>(at, packetNumber)
  if (made ? now.maxEnd != 0 : now.maxEnd != was.maxEnd) {
    store<u32>(at, packetNumber, 4)
    store<u32>(at, r.sack, 16)
    store<u32>(at, r.window, 20)
  }
  if (made ? now.maxWindow != 0 : now.maxWindow != was.maxWindow) store<u32>(at, packetNumber, 8)
  if (made ? now.maxAck != 0 : now.maxAck != was.maxAck) store<u32>(at, packetNumber, 12)
}
