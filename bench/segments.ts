/** Batches of small TCP and UDP packets written in place: raw IPv4, right checksums, the same for the same calls. */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'

const IPV4 = 20
const TCP = 20
const UDP = 8
const MORE_FRAGMENTS = 0x2000
const LINKTYPE_RAW = 101

const NONE = new Uint8Array(0)

/** One batch's worth of packets, used again and again. */
export class BatchWriter {
  readonly batch: PacketBatch
  readonly #view: DataView
  readonly #stride: number
  #count = 0
  readonly #seconds = new Float64Array(BATCH_SIZE)
  readonly #nanoseconds = new Uint32Array(BATCH_SIZE)
  readonly #length = new Uint32Array(BATCH_SIZE)

  /** @param stride bytes from one packet to the next, at least those of the longest */
  constructor(stride = 64) {
    this.#stride = stride
    const data = new Uint8Array(BATCH_SIZE * stride)
    this.#view = new DataView(data.buffer)
    this.batch = {
      count: BATCH_SIZE, data, offset: Uint32Array.from({ length: BATCH_SIZE }, (_, i) => i * stride), length: this.#length,
      originalLength: this.#length, seconds: this.#seconds, nanoseconds: this.#nanoseconds,
      linkType: new Uint16Array(BATCH_SIZE).fill(LINKTYPE_RAW),
    }
  }

  /** Starts anew; a batch is good when `BATCH_SIZE` packets have been written. */
  begin(): void {
    this.#count = 0
  }

  /** @param payload of an even number of bytes */
  tcp(
    src: number, dst: number, ports: number, flags: number, seq: number, ack: number, time: number, payload = NONE,
  ): void {
    const length = TCP + payload.length
    const at = this.#header(src, dst, 6, length, time) + IPV4
    const view = this.#view
    this.batch.data.set(payload, at + TCP)
    view.setUint32(at, ports)
    view.setUint32(at + 4, seq)
    view.setUint32(at + 8, ack)
    view.setUint32(at + 12, 0x5000_ffff | flags << 16)
    view.setUint32(at + 16, 0)
    view.setUint16(at + 16, this.#sum(at, length, sumOf(src) + sumOf(dst) + 6 + length))
  }

  udp(src: number, dst: number, ports: number, time: number): void {
    const at = this.#header(src, dst, 17, UDP, time) + IPV4
    this.#view.setUint32(at, ports)
    this.#view.setUint32(at + 4, UDP << 16)
    this.#view.setUint16(at + 6, this.#sum(at, UDP, sumOf(src) + sumOf(dst) + 17 + UDP))
  }

  /** The first eight bytes of a datagram of UDP that has more. */
  fragment(src: number, dst: number, id: number, time: number): void {
    const at = this.#header(src, dst, 17, UDP, time, id << 16 | MORE_FRAGMENTS) + IPV4
    this.#view.setUint32(at, 0)
    this.#view.setUint32(at + 4, 0)
  }

  /** @param time nanoseconds since the traffic began */
  #header(src: number, dst: number, protocol: number, length: number, time: number, fragment = 0): number {
    const i = this.#count++
    const at = i * this.#stride
    const view = this.#view
    this.#length[i] = IPV4 + length
    this.#seconds[i] = 1_700_000_000 + Math.floor(time / 1e9)
    this.#nanoseconds[i] = time % 1e9
    view.setUint32(at, 0x4500_0000 | IPV4 + length)
    view.setUint32(at + 4, fragment)
    view.setUint32(at + 8, 64 << 24 | protocol << 16)
    view.setUint32(at + 12, src)
    view.setUint32(at + 16, dst)
    view.setUint16(at + 10, this.#sum(at, IPV4, 0))
    return at
  }

  /** The Internet checksum (RFC 1071) over an even number of bytes. */
  #sum(at: number, length: number, start: number): number {
    let sum = start
    for (let i = 0; i < length; i += 2) sum += this.#view.getUint16(at + i)
    sum = (sum & 0xffff) + (sum >>> 16)
    return ~(sum + (sum >>> 16)) & 0xffff
  }
}

function sumOf(address: number): number {
  return (address >>> 16) + (address & 0xffff)
}
