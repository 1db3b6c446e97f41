/**
 * The bytes at hand. In: chunks of any size. Out: a window over them in which a format finds whole records.
 *
 * Most records are read where they lie in the chunk. One that begins in a chunk and ends in a later one is put together
 * in the carry, a buffer that belongs to the window; the rest of that later chunk is then again read where it lies.
 * It must never keep a chunk after asking for the next, as the source may use its memory again, and never hold more
 * than one record, with a small chunk behind it.
 */
import { SMALL_CHUNK } from './limits.js'

const FIRST_CARRY = 4096
const NO_BYTES = new Uint8Array(0)

export class Window {
  /** The window: `bytes` from `position` (the next record) to `end`. */
  bytes: Uint8Array = NO_BYTES
  view = viewOf(NO_BYTES)
  position = 0
  end = 0
  /** Bytes from `position` that the format needs before it can go on; set by the format when it stops for bytes. */
  need = 1
  /** Where in the stream `bytes` starts. */
  private base = 0
  private carry: Uint8Array = NO_BYTES
  /** The chunk at hand, as far as it is not in the window: from `taken` on. */
  private chunk: Uint8Array = NO_BYTES
  private taken = 0

  /** Where in the stream the next record starts, in bytes of the decompressed stream. */
  get offset(): number {
    return this.base + this.position
  }

  /** Moves on to what is left of the chunk at hand; false if nothing is, and `hold` and `push` must follow. */
  extend(): boolean {
    const rest = this.chunk.length - this.taken
    if (rest === 0) return false
    if (this.position === this.end) this.lookInto()
    else this.append(rest <= SMALL_CHUNK ? rest : Math.min(rest, this.missing()))
    return true
  }

  /** Lets go of the chunk: what is left of it is copied. To be called before the source is asked for the next. */
  hold(): void {
    const left = this.end - this.position
    const target = left <= this.carry.length ? this.carry : new Uint8Array(carrySize(left))
    target.set(this.bytes.subarray(this.position, this.end))
    this.show(target, 0, left, this.offset)
    this.carry = target
    this.chunk = NO_BYTES
    this.taken = 0
  }

  /** Takes the source's next chunk, of which `extend` then shows something. */
  push(chunk: Uint8Array): void {
    this.chunk = chunk
    this.taken = 0
  }

  private missing(): number {
    return Math.max(1, this.need - (this.end - this.position))
  }

  /** Looks directly into the chunk. */
  private lookInto(): void {
    const start = this.taken
    this.taken = this.chunk.length
    this.show(this.chunk, start, this.chunk.length, this.offset - start)
  }

  /** Moves `count` bytes of the chunk behind those in the carry, which is made larger only for bytes that are there. */
  private append(count: number): void {
    const left = this.end - this.position
    if (left + count > this.carry.length) this.carry = new Uint8Array(carrySize(left + count))
    this.carry.set(this.bytes.subarray(this.position, this.end))
    this.carry.set(this.chunk.subarray(this.taken, this.taken + count), left)
    this.taken += count
    this.show(this.carry, 0, left + count, this.offset)
  }

  private show(bytes: Uint8Array, position: number, end: number, base: number): void {
    if (bytes !== this.bytes) this.view = viewOf(bytes)
    this.bytes = bytes
    this.position = position
    this.end = end
    this.base = base
  }
}

/** Doubling, so that a record that comes a byte at a time is not copied for each of them. */
function carrySize(bytes: number): number {
  let size = FIRST_CARRY
  while (size < bytes) size *= 2
  return size
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
