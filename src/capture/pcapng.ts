/**
 * pcapng: blocks in sections, each section in its own byte order. In: the window. Out: the packets of enhanced, simple
 * and obsolete packet blocks. Source: draft-ietf-opsawg-pcapng.
 *
 * Packet blocks and interface descriptions must be in the window whole, so their length is bounded. Every other block
 * is passed over as it streams by, however long it says it is; only its two lengths are compared.
 */
import { ConntrackError } from '../errors.js'
import type { BatchBuilder } from './batch-builder.js'
import { damaged } from './damage.js'
import { type Format, wait } from './format.js'
import { Interface, type Time } from './interface.js'
import { MAX_INTERFACES, MAX_RECORD } from './limits.js'
import type { Window } from './window.js'

const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE_DESCRIPTION = 1
const OBSOLETE_PACKET = 2
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6

const BYTE_ORDER_MAGIC = 0x1a2b3c4d

/** Bytes of a block without a body: type, length, length again. */
const FRAME = 12
const TRAILER = 4

/** Do these bytes, 4 at least, begin a pcapng file? */
export function isPcapng(head: Uint8Array): boolean {
  return head[0] === 0x0a && head[1] === 0x0d && head[2] === 0x0d && head[3] === 0x0a
}

export class Pcapng implements Format {
  private littleEndian = true
  private interfaces: Interface[] = []
  /** Time of the packet before; simple packet blocks have none of their own and get this. */
  private readonly time: Time = { seconds: 0, nanoseconds: 0 }
  /** Where the block starts that is being passed over, its length, and what is left up to its trailer. */
  private blockStart = -1
  private blockLength = 0
  private passLeft = 0

  recordOffset(window: Window): number {
    return this.blockStart >= 0 ? this.blockStart : window.offset
  }

  end(window: Window): void {
    const cut = this.blockStart >= 0 || window.position < window.end
    if (cut) throw damaged(this.recordOffset(window), 'it ends in the middle of a block')
  }

  walk(window: Window, batch: BatchBuilder): boolean {
    for (;;) {
      if (this.blockStart >= 0 && !this.pass(window)) return false
      const { view, position, end } = window
      if (end - position < FRAME) return wait(window, position, FRAME)
      const type = view.getUint32(position, this.littleEndian)
      // The type is the same in both byte orders; it is the section that says which one the length is in.
      if (type === SECTION_HEADER) this.readByteOrder(window)
      const length = view.getUint32(position + 4, this.littleEndian)
      if (length < FRAME || (length & 3) !== 0) throw damaged(window.offset, `a block of ${length} bytes`)
      if (isPacket(type)) {
        if (!this.whole(window, length)) return false
        if (!this.readPacket(window, batch, type, length)) return true
      } else if (type === INTERFACE_DESCRIPTION) {
        if (!this.whole(window, length)) return false
        this.readInterface(window, length)
      } else {
        if (type === SECTION_HEADER && !this.readSection(window, length)) return false
        this.startPassing(window, length)
      }
    }
  }

  /** Is the block in the window whole? Its two lengths are compared then. */
  private whole(window: Window, length: number): boolean {
    if (length > MAX_RECORD) throw damaged(window.offset, `a block of ${length} bytes, the most is ${MAX_RECORD}`)
    if (window.end - window.position < length) return wait(window, window.position, length)
    this.checkTrailer(window, window.position + length - TRAILER, length, window.offset)
    return true
  }

  private checkTrailer(window: Window, position: number, length: number, blockStart: number): void {
    const again = window.view.getUint32(position, this.littleEndian)
    if (again !== length) throw damaged(blockStart, `a block's length is ${length} at its start, ${again} at its end`)
  }

  private startPassing(window: Window, length: number): void {
    this.blockStart = window.offset
    this.blockLength = length
    this.passLeft = length - TRAILER
  }

  /** Passes over what is in the window of the block; false while there is more of it to come. */
  private pass(window: Window): boolean {
    const step = Math.min(this.passLeft, window.end - window.position)
    window.position += step
    this.passLeft -= step
    if (this.passLeft > 0) return wait(window, window.position, 1)
    if (window.end - window.position < TRAILER) return wait(window, window.position, TRAILER)
    this.checkTrailer(window, window.position, this.blockLength, this.blockStart)
    window.position += TRAILER
    this.blockStart = -1
    return true
  }

  private readByteOrder(window: Window): void {
    const magic = window.view.getUint32(window.position + 8, true)
    if (magic === BYTE_ORDER_MAGIC) this.littleEndian = true
    else if (magic === 0x4d3c2b1a) this.littleEndian = false
    else throw badSection(window, 'a section without a byte order', 'begins like pcapng, but has no byte order')
  }

  /** Begins a section; false if its version is not in the window yet. The section's length and options are not used. */
  private readSection(window: Window, length: number): boolean {
    if (length < 28) throw damaged(window.offset, `a section header of ${length} bytes`)
    if (window.end - window.position < 16) return wait(window, window.position, 16)
    const major = window.view.getUint16(window.position + 12, this.littleEndian)
    if (major !== 1) {
      throw badSection(window, `a section of version ${major}`, `is pcapng of version ${major}, which is not read`)
    }
    this.interfaces = []
    return true
  }

  private readInterface(window: Window, length: number): void {
    if (length < FRAME + 8) throw damaged(window.offset, `an interface description of ${length} bytes`)
    if (this.interfaces.length >= MAX_INTERFACES) {
      throw damaged(window.offset, `more than ${MAX_INTERFACES} interfaces`)
    }
    const { view, position } = window
    try {
      this.interfaces.push(new Interface(view, position + 8, position + length - TRAILER, this.littleEndian))
    } catch (error) {
      throw error instanceof RangeError ? damaged(window.offset, error.message) : error
    }
    window.position += length
  }

  /** Takes the packet of a block that is in the window whole; false if the batch takes no more. */
  private readPacket(window: Window, batch: BatchBuilder, type: number, length: number): boolean {
    if (type === SIMPLE_PACKET) return this.readSimple(window, batch, length)
    if (length < 32) throw damaged(window.offset, `a packet block of ${length} bytes`)
    const { view, position } = window
    const { littleEndian, time } = this
    const number = type === ENHANCED_PACKET
      ? view.getUint32(position + 8, littleEndian) : view.getUint16(position + 8, littleEndian)
    const captured = view.getUint32(position + 20, littleEndian)
    const original = view.getUint32(position + 24, littleEndian)
    if (captured > length - 32) throw damaged(window.offset, `${captured} captured bytes in a block of ${length}`)
    const from = this.interfaceOf(window, number)
    const start = position + 28
    if (!batch.takes(start + captured)) return false
    from.time(view.getUint32(position + 12, littleEndian), view.getUint32(position + 16, littleEndian), time)
    batch.add(start, captured, original, time.seconds, time.nanoseconds, from.linkType)
    window.position = position + length
    return true
  }

  /** A simple packet block is of interface 0 and has no captured length of its own: it is what all limits allow. */
  private readSimple(window: Window, batch: BatchBuilder, length: number): boolean {
    if (length < 16) throw damaged(window.offset, `a packet block of ${length} bytes`)
    const from = this.interfaceOf(window, 0)
    const original = window.view.getUint32(window.position + 8, this.littleEndian)
    const captured = Math.min(original, from.snaplen === 0 ? original : from.snaplen, length - 16)
    const start = window.position + 12
    if (!batch.takes(start + captured)) return false
    batch.add(start, captured, original, this.time.seconds, this.time.nanoseconds, from.linkType)
    window.position += length
    return true
  }

  private interfaceOf(window: Window, number: number): Interface {
    if (number < this.interfaces.length) return this.interfaces[number]
    throw damaged(window.offset, `a packet of interface ${number}, which was not described`)
  }
}

function isPacket(type: number): boolean {
  return type === ENHANCED_PACKET || type === SIMPLE_PACKET || type === OBSOLETE_PACKET
}

/** A section header that cannot be read is damage, unless the file begins with it: then it is no capture for us. */
function badSection(window: Window, damage: string, notCapture: string): ConntrackError {
  return window.offset === 0
    ? new ConntrackError('not-a-capture', `the input ${notCapture}`) : damaged(window.offset, damage)
}
