/** Writes captures for the tests: pcap and pcapng in all their variants, right or wrong as asked. */

/** A packet as tests state and compare it. */
export interface TestPacket {
  readonly data: readonly number[]
  /** Nanoseconds since 1970. */
  readonly time: bigint
  readonly linkType: number
  readonly originalLength: number
}

type PacketBytes = Pick<TestPacket, 'data' | 'originalLength'>

/** A packet of `length` bytes that differ from those of other packets. */
export function testPacket(number: number, length: number, time: bigint, linkType = 1, more = 0): TestPacket {
  const data = Array.from({ length }, (_, i) => (number * 41 + i * 7) & 0xff)
  return { data, time, linkType, originalLength: length + more }
}

/** Numbers and bytes one after the other, in one byte order. */
export class Writer {
  private readonly bytes: number[] = []

  constructor(readonly bigEndian = false) {}

  u8(...values: number[]): this {
    for (const value of values) this.bytes.push(value)
    return this
  }

  u16(value: number): this {
    return this.put(BigInt(value), 2)
  }

  u32(value: number): this {
    return this.put(BigInt(value), 4)
  }

  u64(value: bigint): this {
    return this.put(BigInt.asUintN(64, value), 8)
  }

  raw(values: Iterable<number>): this {
    return this.u8(...values)
  }

  pad4(): this {
    while (this.bytes.length % 4 !== 0) this.bytes.push(0)
    return this
  }

  done(): Uint8Array {
    return Uint8Array.from(this.bytes)
  }

  private put(value: bigint, size: number): this {
    const digits = Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
    return this.u8(...(this.bigEndian ? digits.reverse() : digits))
  }
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export interface PcapOptions {
  readonly magic?: number
  readonly bigEndian?: boolean
  readonly version?: readonly [major: number, minor: number]
  readonly snaplen?: number
  /** The whole field, upper half included. */
  readonly linkType?: number
}

const NANOSECOND_MAGICS = [0xa1b23c4d, 0xa1e2cb12, 0x1c0001ac]
const LONG_RECORD_MAGICS = [0xa1b2cd34, 0xa1e2cb12]
const LONG_FILE_MAGICS = [0x1c0001ab, 0x1c0001ac]

export function pcapHeader(options: PcapOptions = {}): Uint8Array {
  const { magic = 0xa1b2c3d4, bigEndian = false, version = [2, 4], snaplen = 65535, linkType = 1 } = options
  const header = new Writer(bigEndian).u32(magic).u16(version[0]).u16(version[1])
    .u32(0).u32(0).u32(snaplen).u32(linkType)
  if (LONG_FILE_MAGICS.includes(magic)) header.u32(0x77777777)
  return header.done()
}

export function pcapRecord(packet: TestPacket, options: PcapOptions = {}): Uint8Array {
  const { magic = 0xa1b2c3d4, bigEndian = false, version = [2, 4] } = options
  const unit = NANOSECOND_MAGICS.includes(magic) ? 1n : 1000n
  const lengths = [packet.data.length, packet.originalLength]
  if (version[0] !== 2 || version[1] < 3) lengths.reverse()
  const record = new Writer(bigEndian)
    .u32(Number(packet.time / 1_000_000_000n)).u32(Number((packet.time % 1_000_000_000n) / unit))
    .u32(lengths[0]).u32(lengths[1])
  if (LONG_RECORD_MAGICS.includes(magic)) record.u64(0x0102030405060708n)
  return record.raw(packet.data).done()
}

export function pcap(packets: readonly TestPacket[], options: PcapOptions = {}): Uint8Array {
  return concat(pcapHeader(options), ...packets.map((packet) => pcapRecord(packet, options)))
}

/** A pcapng option: its code and value. */
export type Option = readonly [code: number, value: readonly number[]]

/** Blocks of one section, in its byte order. */
export class Blocks {
  constructor(readonly bigEndian = false) {}

  /** A block of any type; its two lengths are right unless given. */
  block(type: number, body: Uint8Array, length = body.length + 12, trailer = length): Uint8Array {
    return new Writer(this.bigEndian).u32(type).u32(length).raw(body).u32(trailer).done()
  }

  section(options: { length?: bigint; major?: number; options?: Option[] } = {}): Uint8Array {
    const { length = -1n, major = 1 } = options
    const body = this.writer().u32(0x1a2b3c4d).u16(major).u16(0).u64(length).raw(this.options(options.options))
    return this.block(0x0a0d0d0a, body.done())
  }

  interface(options: { linkType?: number; snaplen?: number; options?: Option[] } = {}): Uint8Array {
    const { linkType = 1, snaplen = 0 } = options
    return this.block(1, this.writer().u16(linkType).u16(0).u32(snaplen).raw(this.options(options.options)).done())
  }

  enhanced(packet: PacketBytes, stamp: bigint, iface = 0, options?: Option[]): Uint8Array {
    const body = this.writer().u32(iface).u32(Number(stamp >> 32n)).u32(Number(stamp & 0xffffffffn))
      .u32(packet.data.length).u32(packet.originalLength).raw(packet.data).pad4().raw(this.options(options))
    return this.block(6, body.done())
  }

  obsolete(packet: PacketBytes, stamp: bigint, iface = 0): Uint8Array {
    const body = this.writer().u16(iface).u16(0xffff).u32(Number(stamp >> 32n)).u32(Number(stamp & 0xffffffffn))
      .u32(packet.data.length).u32(packet.originalLength).raw(packet.data).pad4()
    return this.block(2, body.done())
  }

  simple(data: readonly number[], originalLength = data.length): Uint8Array {
    return this.block(3, this.writer().u32(originalLength).raw(data).pad4().done())
  }

  options(options: readonly Option[] = []): Uint8Array {
    const writer = this.writer()
    for (const [code, value] of options) writer.u16(code).u16(value.length).raw(value).pad4()
    return options.length > 0 ? writer.u32(0).done() : writer.done()
  }

  /** The option `if_tsoffset`. */
  tsoffset(seconds: bigint): Option {
    return [14, [...this.writer().u64(seconds).done()]]
  }

  private writer(): Writer {
    return new Writer(this.bigEndian)
  }
}

/** The bytes in chunks that end at the places given. */
export async function* chunked(bytes: Uint8Array, ...ends: number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const end of [...ends, bytes.length]) {
    yield bytes.slice(at, end)
    at = end
  }
}

/** The bytes in chunks of one size, all in one buffer that is overwritten for each, as sources may do. */
export async function* inOneBuffer(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size)
  for (let at = 0; at < bytes.length; at += size) {
    buffer.fill(0xee)
    const chunk = bytes.subarray(at, at + size)
    buffer.set(chunk)
    yield buffer.subarray(0, chunk.length)
  }
}
