/**
 * The batch being filled. In: packets by their place in the window. Out: a `PacketBatch` whose columns are used again
 * for the next. It must never make an object for a packet.
 */
import type { PacketBatch } from '../batch.js'
import { MAX_BATCH_BYTES } from './limits.js'

const NO_BYTES = new Uint8Array(0)

export class BatchBuilder implements PacketBatch {
  count = 0
  data: Uint8Array = NO_BYTES
  readonly offset: Uint32Array
  readonly length: Uint32Array
  readonly originalLength: Uint32Array
  readonly seconds: Float64Array
  readonly nanoseconds: Uint32Array
  readonly linkType: Uint16Array
  /** Where in the window the first packet starts, and the last ends. */
  private first = 0
  private last = 0

  /** @param capacity packets it takes */
  constructor(readonly capacity: number) {
    this.offset = new Uint32Array(capacity)
    this.length = new Uint32Array(capacity)
    this.originalLength = new Uint32Array(capacity)
    this.seconds = new Float64Array(capacity)
    this.nanoseconds = new Uint32Array(capacity)
    this.linkType = new Uint16Array(capacity)
  }

  /**
   * Room for a packet whose bytes end at `end` of the window? An empty batch takes any one packet. Where batches would
   * span more than `MAX_BATCH_BYTES`, whoever copies a batch's bytes would need unbounded memory.
   */
  takes(end: number): boolean {
    return this.count === 0 || (this.count < this.capacity && end - this.first <= MAX_BATCH_BYTES)
  }

  /** Takes the packet at `start` of the window, after `takes` said so. */
  add(start: number, captured: number, original: number, seconds: number, nanoseconds: number, linkType: number): void {
    const i = this.count
    if (i === 0) this.first = start
    this.offset[i] = start - this.first
    this.length[i] = captured
    this.originalLength[i] = original
    this.seconds[i] = seconds
    this.nanoseconds[i] = nanoseconds
    this.linkType[i] = linkType
    this.last = start + captured
    this.count = i + 1
  }

  /** Makes `data` the window's bytes from the first packet to the last. */
  close(bytes: Uint8Array): PacketBatch {
    this.data = bytes.subarray(this.first, this.last)
    return this
  }

  /** Empties it for the next. */
  clear(): void {
    this.count = 0
    this.data = NO_BYTES
  }
}
