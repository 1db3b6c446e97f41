/**
 * pcap: a header, then records. In: the window. Out: packets.
 * Source: draft-ietf-opsawg-pcap, and for old versions libpcap (BSD); for the variants see `VARIANTS`.
 */
import { ConntrackError } from '../errors.js'
import type { BatchBuilder } from './batch-builder.js'
import { damaged } from './damage.js'
import { type Format, wait } from './format.js'
import { MAX_CAPTURED, MAX_RECORD } from './limits.js'
import type { Window } from './window.js'

interface Variant {
  readonly magic: number
  /** Bytes of the file header. */
  readonly fileHeader: number
  /** Bytes of a record's header; what follows the first 16 is not of interest. */
  readonly recordHeader: number
  /** Nanoseconds that one unit of a record's fraction stands for. */
  readonly unit: 1 | 1000
}

/** The formats that begin like pcap, in either byte order. */
const VARIANTS: readonly Variant[] = [
  { magic: 0xa1b2c3d4, fileHeader: 24, recordHeader: 16, unit: 1000 },
  { magic: 0xa1b23c4d, fileHeader: 24, recordHeader: 16, unit: 1 },
  // Kuznetsov's patch, in Linux systems around 2000: interface index, protocol and packet type behind the lengths.
  { magic: 0xa1b2cd34, fileHeader: 24, recordHeader: 24, unit: 1000 },
  // netsniff-ng writes this one: time source, interface index, protocol, hardware and packet type.
  { magic: 0xa1e2cb12, fileHeader: 24, recordHeader: 24, unit: 1 },
  // Ixia hardware and software: the file's size stands behind the usual header.
  { magic: 0x1c0001ac, fileHeader: 28, recordHeader: 16, unit: 1 },
  { magic: 0x1c0001ab, fileHeader: 28, recordHeader: 16, unit: 1000 },
]

const NANOSECONDS = 1_000_000_000

/** Which of a record's two lengths comes first. */
const enum Lengths { CapturedFirst, OriginalFirst, SmallerIsCaptured }

/** Do these bytes, 4 at least, begin a pcap file? */
export function isPcap(head: Uint8Array): boolean {
  return variantOf(head) !== undefined
}

function variantOf(head: Uint8Array): { variant: Variant; littleEndian: boolean } | undefined {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  for (const littleEndian of [true, false]) {
    const magic = view.getUint32(0, littleEndian)
    const variant = VARIANTS.find((candidate) => candidate.magic === magic)
    if (variant) return { variant, littleEndian }
  }
  return undefined
}

export class Pcap implements Format {
  private readonly variant: Variant
  private readonly littleEndian: boolean
  private headerRead = false
  private linkType = 0
  private maxCaptured = MAX_CAPTURED
  private lengths = Lengths.CapturedFirst

  /** @param head the first 4 bytes, for which `isPcap` is true */
  constructor(head: Uint8Array) {
    const found = variantOf(head)
    if (!found) throw new ConntrackError('not-a-capture', 'not a pcap file')
    this.variant = found.variant
    this.littleEndian = found.littleEndian
  }

  recordOffset(window: Window): number {
    return window.offset
  }

  end(window: Window): void {
    if (!this.headerRead) throw damaged(0, 'it ends in the file header')
    if (window.position < window.end) throw damaged(window.offset, 'it ends in the middle of a record')
  }

  walk(window: Window, batch: BatchBuilder): boolean {
    if (!this.headerRead && !this.readHeader(window)) return false
    return this.walkRecords(window, batch)
  }

  private readHeader(window: Window): boolean {
    if (window.end - window.position < this.variant.fileHeader) {
      return wait(window, window.position, this.variant.fileHeader)
    }
    const { view, position } = window
    this.lengths = orderOfLengths(view.getUint16(position + 4, this.littleEndian),
      view.getUint16(position + 6, this.littleEndian))
    // A header may promise longer packets than libpcap takes; the promise is believed up to a bound.
    const snaplen = view.getUint32(position + 16, this.littleEndian)
    this.maxCaptured = Math.min(Math.max(MAX_CAPTURED, snaplen), MAX_RECORD)
    // The upper half has the length of the frame check sequence and the like.
    this.linkType = view.getUint32(position + 20, this.littleEndian) & 0xffff
    window.position = position + this.variant.fileHeader
    this.headerRead = true
    return true
  }

  private walkRecords(window: Window, batch: BatchBuilder): boolean {
    const { view, end } = window
    const { littleEndian, linkType, maxCaptured } = this
    const { recordHeader, unit } = this.variant
    let position = window.position
    for (;;) {
      if (end - position < recordHeader) return wait(window, position, recordHeader)
      let captured = view.getUint32(position + 8, littleEndian)
      let original = view.getUint32(position + 12, littleEndian)
      if (this.lengths !== Lengths.CapturedFirst && this.swapped(captured, original)) {
        [captured, original] = [original, captured]
      }
      if (captured > maxCaptured) throw this.tooLong(window, position, captured)
      const start = position + recordHeader
      if (end - start < captured) return wait(window, position, recordHeader + captured)
      if (!batch.takes(start + captured)) break
      let seconds = view.getUint32(position, littleEndian)
      let nanoseconds = view.getUint32(position + 4, littleEndian) * unit
      // No writer should give a fraction of a second or more; the sum is what every reader makes of it.
      if (nanoseconds >= NANOSECONDS) {
        seconds += Math.floor(nanoseconds / NANOSECONDS)
        nanoseconds %= NANOSECONDS
      }
      batch.add(start, captured, original, seconds, nanoseconds, linkType)
      position = start + captured
    }
    window.position = position
    return true
  }

  private swapped(first: number, second: number): boolean {
    return this.lengths === Lengths.OriginalFirst || first > second
  }

  private tooLong(window: Window, position: number, captured: number): ConntrackError {
    window.position = position
    return damaged(window.offset, `a packet of ${captured} captured bytes, the most is ${this.maxCaptured}`)
  }
}

/**
 * The lengths changed places with version 2.3, in whose files they may be either way; DG/UX wrote 543.0 with the old
 * order (libpcap).
 */
function orderOfLengths(major: number, minor: number): Lengths {
  if (major === 543 && minor === 0) return Lengths.OriginalFirst
  if (major !== 2) {
    throw new ConntrackError('not-a-capture', `the input is pcap of version ${major}.${minor}, which is not read`)
  }
  if (minor < 3) return Lengths.OriginalFirst
  return minor === 3 ? Lengths.SmallerIsCaptured : Lengths.CapturedFirst
}
