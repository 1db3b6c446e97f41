import { ConntrackError, shown } from './errors.js'
import { LINK_TYPES } from './link-types.js'

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

/** A packet that is at hand as an object of its own, for `packetBatch`. */
export interface Packet {
  /** The captured bytes, from the link-layer header on. */
  readonly data: Uint8Array
  /** Nanoseconds since 1970; 0 if left out. */
  readonly time?: bigint
  /** A LINKTYPE_ number (`LINK_TYPES` has them by name); 101, raw IP, if left out, as for `track`. */
  readonly linkType?: number
  /** Bytes the packet had on the wire; as many as `data` has if left out. */
  readonly originalLength?: number
}

const NANOSECONDS = 1_000_000_000n

/**
 * One batch of the packets given, in their order, however many they are: a tracker takes `batchSize` of them at most.
 * The bytes are copied, so the batch stays as it is whatever becomes of the packets.
 *
 * @throws ConntrackError `invalid-argument` for what is no list of packets
 */
export function packetBatch(packets: Iterable<Packet>): PacketBatch {
  const isList = typeof packets === 'object' && packets !== null && Symbol.iterator in packets && !ArrayBuffer.isView(packets)
  if (!isList) throw invalid('packets must be a list of packets')
  const list = [...packets]
  list.forEach(checkPacket)
  const count = list.length
  const batch = {
    count,
    data: new Uint8Array(list.reduce((sum, packet) => sum + packet.data.length, 0)),
    offset: new Uint32Array(count),
    length: new Uint32Array(count),
    originalLength: new Uint32Array(count),
    seconds: new Float64Array(count),
    nanoseconds: new Uint32Array(count),
    linkType: new Uint16Array(count),
  }
  let offset = 0
  list.forEach(({ data, time = 0n, linkType = LINK_TYPES.raw, originalLength = data.length }, i) => {
    // The remainder of a division has the sign of the dividend, nanoseconds before 1970 count from the second's start.
    const nanoseconds = ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS
    // Bytes whose buffer was given away have no length, and throw if they are touched.
    if (data.length > 0) batch.data.set(data, offset)
    batch.offset[i] = offset
    batch.length[i] = data.length
    batch.originalLength[i] = originalLength
    batch.seconds[i] = Number((time - nanoseconds) / NANOSECONDS)
    batch.nanoseconds[i] = Number(nanoseconds)
    batch.linkType[i] = linkType
    offset += data.length
  })
  return batch
}

/** Rows `from` to `to` of a batch, as views. */
export function slice(batch: PacketBatch, from: number, to: number): PacketBatch {
  const { data, offset, length, originalLength, seconds, nanoseconds, linkType } = batch
  return {
    count: to - from, data, offset: offset.subarray(from, to), length: length.subarray(from, to),
    originalLength: originalLength.subarray(from, to), seconds: seconds.subarray(from, to),
    nanoseconds: nanoseconds.subarray(from, to), linkType: linkType.subarray(from, to),
  }
}

const COLUMNS = [
  ['offset', Uint32Array], ['length', Uint32Array], ['originalLength', Uint32Array], ['seconds', Float64Array],
  ['nanoseconds', Uint32Array], ['linkType', Uint16Array],
] as const

/** Refuses what is no batch; of the columns' values only the count is looked at. */
export function checkBatch(batch: PacketBatch, batchSize: number): void {
  if (typeof batch !== 'object' || batch === null) throw invalid('a batch must be an object')
  const { count } = batch
  if (!Number.isInteger(count) || count < 0) throw invalid('the count of a batch must be a whole number')
  if (count > batchSize) {
    throw new ConntrackError('batch-too-large', `a batch of ${count} packets; this tracker takes ${batchSize} (option batchSize)`)
  }
  if (!(batch.data instanceof Uint8Array)) throw invalid('the data of a batch must be a Uint8Array')
  for (const [name, type] of COLUMNS) {
    // Another type's numbers would be places outside of the data.
    if (!(batch[name] instanceof type || isOf(type.name, batch[name]))) throw invalid(`the column '${name}' of a batch must be a ${type.name}`)
    if (batch[name].length < count) throw invalid(`the column '${name}' of a batch is shorter than its count`)
  }
}

/** By its name: classes differ between realms. */
function isOf(name: string, column: unknown): boolean {
  return ArrayBuffer.isView(column) && Object.prototype.toString.call(column) === `[object ${name}]`
}

function checkPacket(packet: Packet): void {
  if (typeof packet !== 'object' || packet === null) throw invalid('a packet of a batch must be an object')
  const { data, time = 0n, linkType = LINK_TYPES.raw, originalLength = 0 } = packet
  if (!(data instanceof Uint8Array)) throw invalid('the data of a packet must be a Uint8Array')
  if (typeof time !== 'bigint') throw invalid('time must be a bigint, in nanoseconds')
  checkWhole('linkType', linkType, 0xffff)
  checkWhole('originalLength', originalLength, 0xffffffff)
}

function checkWhole(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= most) return
  throw invalid(`${name} must be a whole number from 0 to ${most}, not ${shown(value)}`)
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}
