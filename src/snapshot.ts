/**
 * The container of snapshots. In: what a tracker was made with and the parts of its memory. Out: bytes, and back.
 *
 *     "ctwasm-s" · version · layout fingerprint · length of the description (u32 each, little endian)
 *     · description (JSON) · parts, each with its length (u32) in front · CRC-32 of all before it
 *
 * The checksum finds damage, not malice: what is in the parts the core checks for itself (`assembly/60-snapshot.ts`).
 */
import { crc32 } from './crc32.js'
import { ConntrackError } from './errors.js'

const MAGIC = new TextEncoder().encode('ctwasm-s')
const VERSION = 1
const HEADER = 20
const CHECKSUM = 4

export interface Snapshot {
  /** JSON values. */
  readonly description: unknown
  readonly parts: readonly Uint8Array[]
}

/** @param snapshot its description as text */
export function encodeSnapshot(snapshot: Snapshot & { readonly description: string }, fingerprint: number): Uint8Array {
  const { description, parts } = snapshot
  const text = new TextEncoder().encode(description)
  const length = parts.reduce((sum, part) => sum + 4 + part.length, HEADER + text.length) + CHECKSUM
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setUint32(8, VERSION, true)
  view.setUint32(12, fingerprint, true)
  view.setUint32(16, text.length, true)
  bytes.set(text, HEADER)
  let at = HEADER + text.length
  for (const part of parts) {
    view.setUint32(at, part.length, true)
    bytes.set(part, at + 4)
    at += 4 + part.length
  }
  view.setUint32(at, crc32(bytes.subarray(0, at), 0), true)
  return bytes
}

/**
 * @param fingerprint of the core that is to go on with it
 * @throws ConntrackError `bad-snapshot`
 */
export function decodeSnapshot(bytes: Uint8Array, fingerprint: number): Snapshot {
  if (bytes.length < HEADER + CHECKSUM || MAGIC.some((byte, i) => bytes[i] !== byte)) throw bad('it is not a snapshot')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const version = view.getUint32(8, true)
  if (version !== VERSION) throw bad(`it is of version ${version}, not ${VERSION}`)
  const end = bytes.length - CHECKSUM
  if (crc32(bytes.subarray(0, end), 0) !== view.getUint32(end, true)) throw bad('it is damaged: its checksum is wrong')
  if (view.getUint32(12, true) !== fingerprint) throw bad('another version of this package made it, with another layout')
  const textLength = view.getUint32(16, true)
  if (textLength > end - HEADER) throw bad('its description is longer than it is')
  return {
    description: parse(bytes.subarray(HEADER, HEADER + textLength)),
    parts: readParts(bytes, view, HEADER + textLength, end),
  }
}

function readParts(bytes: Uint8Array, view: DataView, from: number, end: number): Uint8Array[] {
  const parts: Uint8Array[] = []
  for (let at = from; at < end;) {
    if (end - at < 4 || view.getUint32(at, true) > end - at - 4) throw bad('a part is longer than what is left of it')
    const length = view.getUint32(at, true)
    parts.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  return parts
}

function parse(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text))
  } catch {
    throw bad('its description cannot be read')
  }
}

/** The error of every snapshot that is refused. */
export function bad(why: string): ConntrackError {
  return new ConntrackError('bad-snapshot', `the snapshot cannot be restored: ${why}`)
}
