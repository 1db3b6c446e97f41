/**
 * A batch of packets: the form in which packets travel from a capture to the tracker. No object is made for a
 * packet; all columns are indexed by the packet's place in the batch.
 */
export interface PacketBatch {
  /** Number of packets; the columns may be longer. */
  readonly count: number
  /** Bytes that hold every packet of the batch, in any order, with anything in between. */
  readonly data: Uint8Array
  /** Where each packet (its link-layer header) starts in `data`. */
  readonly offset: Uint32Array
  /** Captured bytes of each packet. */
  readonly length: Uint32Array
  /** Bytes each packet had on the wire; larger than `length` where the capture cut it. */
  readonly originalLength: Uint32Array
  /** Time of each packet: whole seconds since 1970 (may be negative) ... */
  readonly seconds: Float64Array
  /** ... plus nanoseconds, 0 to 999,999,999. */
  readonly nanoseconds: Uint32Array
  /** Link type of each packet, a LINKTYPE_ number (1 Ethernet, 101 raw IP, ...). */
  readonly linkType: Uint16Array
}

/** Packets that `readCapture` puts in one batch at most, and that a tracker takes by default. */
export const BATCH_SIZE = 256
