import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { constants, deflateRawSync, gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { crc32 } from '../../src/crc32.js'
import { gunzip } from '../../src/capture/gzip.js'
import { Window } from '../../src/capture/window.js'
import {
  type CaptureSource, ConntrackError, LINK_TYPES, linkTypeNumber, type PacketBatch, packetBatch, readCapture,
} from '../../src/capture.js'
import { liveCapture, readCapture as readNodeCapture } from '../../src/node.js'
import {
  Blocks, chunked, concat, inOneBuffer, pcap, pcapHeader, type PcapOptions, pcapRecord, type TestPacket, testPacket,
  Writer,
} from './capture-writer.js'

interface Result {
  packets: TestPacket[]
  batchSizes: number[]
  error: unknown
}

function packetsOf(batch: PacketBatch): TestPacket[] {
  return Array.from({ length: batch.count }, (_, i) => {
    const data = batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i])
    expect(data.length).toBe(batch.length[i])
    expect(batch.nanoseconds[i]).toBeLessThan(1_000_000_000)
    return {
      data: [...data],
      time: BigInt(batch.seconds[i]) * 1_000_000_000n + BigInt(batch.nanoseconds[i]),
      linkType: batch.linkType[i],
      originalLength: batch.originalLength[i],
    }
  })
}

async function collect(batches: AsyncIterable<PacketBatch>): Promise<Result> {
  const result: Result = { packets: [], batchSizes: [], error: null }
  try {
    for await (const batch of batches) {
      expect(batch.count).toBeGreaterThan(0)
      result.packets.push(...packetsOf(batch))
      result.batchSizes.push(batch.count)
    }
  } catch (error) {
    result.error = error
  }
  return result
}

const read = (source: CaptureSource, batchSize?: number): Promise<Result> => collect(readCapture(source, { batchSize }))

/** Reads what must be readable. */
async function readGood(source: CaptureSource): Promise<TestPacket[]> {
  const { packets, error } = await read(source)
  expect(error).toBeNull()
  return packets
}

/** What tests compare of an error. */
function said(error: unknown): unknown {
  if (!(error instanceof ConntrackError)) return error
  return { code: error.code, offset: error.offset }
}

const damagedAt = (offset: number): unknown => ({ code: 'capture-damaged', offset })
const NOT_A_CAPTURE = { code: 'not-a-capture', offset: undefined }
const us = (time: bigint): bigint => time / 1000n

const T = 1_700_000_000_123_456_000n
/** Three packets, of lengths that need padding and that do not, one of them cut by the capture. */
const PACKETS = [testPacket(1, 5, T), testPacket(2, 0, T + 1_000n, 1, 60), testPacket(3, 16, T + 1_000_000_000n)]

/** A file, where its records start, its packets, and how many of them come before each record. */
interface SmallFile {
  bytes: Uint8Array
  starts: number[]
  packets: TestPacket[]
  before: number[]
}

/** A pcapng file with everything in it. */
function mixedPcapng(bigEndian = false): SmallFile {
  const b = new Blocks(bigEndian)
  const other = new Blocks(!bigEndian)
  const [one, two, three] = PACKETS
  const parts: [bytes: Uint8Array, packet?: TestPacket][] = [
    [b.section({ options: [[4, [65, 66, 67]]] })],
    [b.interface({ options: [[2, [101, 48, 0]]] })],
    [b.enhanced(one, us(one.time), 0, [[1, [104, 105]]]), one],
    [b.block(0x0bad, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]))],
    [b.interface({ linkType: 101, snaplen: 8, options: [[9, [9]], b.tsoffset(-5n)] })],
    [b.enhanced(two, two.time, 1), { ...two, linkType: 101, time: two.time - 5_000_000_000n }],
    [b.obsolete(three, us(three.time)), three],
    [b.simple([9, 8, 7]), { data: [9, 8, 7], originalLength: 3, linkType: 1, time: three.time }],
    [b.block(5, new Uint8Array(0))],
    [other.section({ length: 4n })],
    [other.interface({ linkType: 113, snaplen: 4 })],
    [other.simple([1, 2, 3, 4], 90), { data: [1, 2, 3, 4], originalLength: 90, linkType: 113, time: three.time }],
    [other.enhanced(one, us(one.time)), { ...one, linkType: 113 }],
  ]
  const starts: number[] = []
  const before: number[] = []
  let at = 0
  let count = 0
  for (const [bytes, packet] of parts) {
    starts.push(at)
    before.push(count)
    at += bytes.length
    count += packet ? 1 : 0
  }
  return {
    bytes: concat(...parts.map(([bytes]) => bytes)), starts, before,
    packets: parts.flatMap(([, packet]) => (packet ? [packet] : [])),
  }
}

/** A pcap file; its file header counts as its first record. */
function smallPcap(options: PcapOptions = {}): SmallFile {
  const parts = [pcapHeader(options), ...PACKETS.map((packet) => pcapRecord(packet, options))]
  const sizes = parts.map((part) => part.length)
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0))
  return { bytes: pcap(PACKETS, options), starts, packets: PACKETS, before: [0, 0, 1, 2] }
}

/** Which record the byte at `offset` belongs to. */
function recordAt(starts: readonly number[], offset: number): number {
  return starts.filter((start) => start <= offset).length - 1
}

const SMALL_FILES = [
  ['pcap', smallPcap()],
  ['big-endian pcap', smallPcap({ bigEndian: true })],
  ['modified pcap', smallPcap({ magic: 0xa1b2cd34 })],
  ['pcapng', mixedPcapng()],
  ['big-endian pcapng', mixedPcapng(true)],
] as const

describe('pcap', () => {
  const variants = [0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34, 0xa1e2cb12, 0x1c0001ab, 0x1c0001ac]
  const orders = variants.flatMap((magic) => [false, true].map((bigEndian) => ({ magic, bigEndian })))

  it.each(orders)('is read with magic $magic, big-endian $bigEndian', async (options) => {
    const exact = [0xa1b23c4d, 0xa1e2cb12, 0x1c0001ac].includes(options.magic)
    const packets = PACKETS.map((packet, i) => ({ ...packet, time: packet.time + (exact ? BigInt(i + 1) : 0n) }))
    expect(await readGood(pcap(packets, options))).toEqual(packets)
  })

  it('without packets gives no batch and no error', async () => {
    expect(await read(pcapHeader())).toEqual({ packets: [], batchSizes: [], error: null })
  })

  it('has its link type in the lower half of the field', async () => {
    const [packet] = await readGood(pcap(PACKETS, { linkType: 0xf4000114 }))
    expect(packet.linkType).toBe(0x114)
  })

  it.each([[2, 2], [543, 0], [2, 0]] as const)('of version %i.%i has the original length first', async (...version) => {
    expect(await readGood(pcap(PACKETS, { version }))).toEqual(PACKETS)
  })

  it('of version 2.3 has its lengths in either order', async () => {
    const records = [pcapRecord(PACKETS[1]), pcapRecord(PACKETS[1], { version: [2, 2] })]
    expect(await readGood(concat(pcapHeader({ version: [2, 3] }), ...records))).toEqual([PACKETS[1], PACKETS[1]])
  })

  it('of an unknown version is not read', async () => {
    expect(said((await read(pcap(PACKETS, { version: [3, 0] }))).error)).toEqual(NOT_A_CAPTURE)
  })

  it.each([false, true])('carries fractions of a second or more over, big-endian %s', async (bigEndian) => {
    const record = new Writer(bigEndian).u32(0xffffffff).u32(0xffffffff).u32(0).u32(0).done()
    const seconds = 0xffffffffn * 1_000_000_000n
    const micro = await readGood(concat(pcapHeader({ bigEndian }), record))
    expect(micro[0].time).toBe(seconds + 0xffffffffn * 1000n)
    const nano = await readGood(concat(pcapHeader({ bigEndian, magic: 0xa1b23c4d }), record))
    expect(nano[0].time).toBe(seconds + 0xffffffffn)
    const second = new Writer(bigEndian).u32(7).u32(1_000_000).u32(0).u32(0).done()
    expect((await readGood(concat(pcapHeader({ bigEndian }), second)))[0].time).toBe(8_000_000_000n)
  })

  const longPackets: [captured: number, snaplen: number, good: boolean][] = [
    [262_144, 96, true], [262_145, 96, false], [262_145, 262_145, true], [262_146, 262_145, false],
    [16 * 1024 * 1024 + 1, 0xffffffff, false],
  ]
  it.each(longPackets)('with %i captured bytes and a snaplen of %i: read %s', async (captured, snaplen, good) => {
    const record = new Writer().u32(1).u32(2).u32(captured).u32(captured).done()
    const bytes = concat(pcapHeader({ snaplen }), record, new Uint8Array(captured))
    let length = 0
    let error: unknown = null
    try {
      for await (const batch of readCapture(bytes)) length += batch.length[0]
    } catch (thrown) {
      error = thrown
    }
    expect(length).toBe(good ? captured : 0)
    expect(said(error)).toEqual(good ? null : damagedAt(24))
  })
})

describe('pcapng', () => {
  it.each([false, true])('is read with all kinds of blocks and both byte orders, first %s', async (bigEndian) => {
    const { bytes, packets } = mixedPcapng(bigEndian)
    expect(await readGood(bytes)).toEqual(packets)
  })

  it.each([false, true])('has exact times for every resolution and offset, big-endian %s', async (bigEndian) => {
    const b = new Blocks(bigEndian)
    const stamp = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 52n }))
    await fc.assert(fc.asyncProperty(fc.nat(255), stamp, fc.bigInt({ min: -(2n ** 33n), max: 2n ** 33n }),
      async (resolution, value, offset) => {
        const units = (resolution & 0x80 ? 2n : 10n) ** BigInt(resolution & 0x7f)
        const expected = (value * 1_000_000_000n) / units + offset * 1_000_000_000n
        // Whole seconds are doubles: beyond 2^53 of them there is nothing to compare.
        fc.pre(value / units < 2n ** 52n)
        const iface = b.interface({ options: [[9, [resolution]], b.tsoffset(offset)] })
        const [packet] = await readGood(concat(b.section(), iface, b.enhanced(PACKETS[0], value)))
        expect(packet.time).toBe(expected)
      }), { numRuns: 2000 })
  })

  const units: [exponent: number, nanoseconds: bigint][] = [[6, 1000n], [9, 1n], [3, 1_000_000n], [0, 1_000_000_000n]]
  it.each(units)('has exact times at the border of a second, 10^-%i',
    async (resolution, unit) => {
      const b = new Blocks()
      const times = [0n, 1n, 2n ** 32n / 1_000_000_000n, 1_699_999_999n, 1_700_000_000n, 18_446_744_073n]
        .flatMap((s) => [s * 1_000_000_000n, s * 1_000_000_000n + 999_999_999n])
        .map((time) => time / unit).filter((stamp) => stamp < 2n ** 64n)
      const blocks = times.map((stamp) => b.enhanced(PACKETS[0], stamp))
      const file = concat(b.section(), b.interface({ options: [[9, [resolution]]] }), ...blocks)
      expect((await readGood(file)).map(({ time }) => time)).toEqual(times.map((stamp) => stamp * unit))
    })

  it('has time 0 for simple packets before any other', async () => {
    const b = new Blocks()
    const [packet] = await readGood(concat(b.section(), b.interface(), b.simple([1, 2, 3])))
    expect(packet).toEqual({ data: [1, 2, 3], time: 0n, linkType: 1, originalLength: 3 })
  })

  it.each([
    [90, 0, 8], [90, 6, 6], [90, 9, 8], [5, 0, 5], [5, 6, 5], [5, 3, 3],
  ])('has in a simple packet of %i bytes, snaplen %i, block of 8, captured %i', async (original, snaplen, captured) => {
    const b = new Blocks()
    const block = b.simple([1, 2, 3, 4, 5, 6, 7, 8], original)
    const [packet] = await readGood(concat(b.section(), b.interface({ snaplen }), block))
    expect(packet.data).toEqual([1, 2, 3, 4, 5, 6, 7, 8].slice(0, captured))
    expect(packet.originalLength).toBe(original)
  })

  it('forgets the interfaces of the section before', async () => {
    const b = new Blocks()
    const start = concat(b.section(), b.interface(), b.enhanced(PACKETS[0], 0n), b.section())
    const { packets, error } = await read(concat(start, b.enhanced(PACKETS[0], 0n)))
    expect(packets.length).toBe(1)
    expect(said(error)).toEqual(damagedAt(start.length))
  })

  const b = new Blocks()
  const start = concat(b.section(), b.interface(), b.enhanced(PACKETS[0], us(PACKETS[0].time)))
  const damages: [what: string, block: Uint8Array][] = [
    ['a length that is no multiple of 4', b.block(7, new Uint8Array(6))],
    ['a length below 12', b.block(7, new Uint8Array(4), 8)],
    ['lengths that differ', b.block(7, new Uint8Array(4), 16, 20)],
    ['lengths of a packet that differ', b.block(6, new Uint8Array(20), 32, 36)],
    ['an enhanced packet that is too short', b.block(6, new Uint8Array(16))],
    ['an obsolete packet that is too short', b.block(2, new Uint8Array(16))],
    ['a simple packet that is too short', b.block(3, new Uint8Array(0))],
    ['more captured bytes than the block has', b.block(6, new Writer().u32(0).u64(0n).u32(1).u32(1).done())],
    ['an interface that was not described', b.enhanced(PACKETS[0], 0n, 1)],
    ['an interface far beyond', b.enhanced(PACKETS[0], 0n, 0xffffffff)],
    ['an interface description that is too short', b.block(1, new Uint8Array(4))],
    ['an option longer than its block', b.block(1, new Writer().u32(1).u32(0).u16(2).u16(5).u32(0).done())],
    ['a time resolution of the wrong length', b.interface({ options: [[9, [6, 0]]] })],
    ['a time offset of the wrong length', b.interface({ options: [[14, [0, 0, 0, 0]]] })],
    ['a section without a byte order', b.block(0x0a0d0d0a, new Uint8Array(16))],
    ['a section of another version', b.section({ major: 2 })],
    ['a section header that is too short', b.block(0x0a0d0d0a, new Writer().u32(0x1a2b3c4d).u32(1).done())],
    ['a packet block beyond 16 MiB', b.block(6, new Uint8Array(24), 16 * 1024 * 1024 + 4)],
    ['an interface description beyond 16 MiB', b.block(1, new Uint8Array(24), 16 * 1024 * 1024 + 4)],
  ]
  it.each(damages)('is damaged by %s', async (_, block) => {
    const bytes = concat(start, block, b.enhanced(PACKETS[2], 0n))
    for (const source of [bytes, inOneBuffer(bytes, 1), inOneBuffer(bytes, 7)]) {
      const { packets, error } = await read(source)
      expect(packets).toEqual([PACKETS[0]])
      expect(said(error)).toEqual(damagedAt(start.length))
    }
  })

  it('is damaged by an interface too many', async () => {
    const described = concat(b.section(), ...Array.from({ length: 65_536 }, () => b.interface()))
    const last = b.enhanced(PACKETS[0], us(PACKETS[0].time), 65_535)
    expect(await readGood(concat(described, last))).toEqual([PACKETS[0]])
    expect(said((await read(concat(described, b.interface(), last))).error)).toEqual(damagedAt(described.length))
  })

  it.each([
    ['no byte order', new Blocks().block(0x0a0d0d0a, new Uint8Array(16))],
    ['another version', new Blocks().section({ major: 2 })],
  ])('that begins with %s is no capture', async (_, bytes) => {
    expect(said((await read(bytes)).error)).toEqual(NOT_A_CAPTURE)
  })

  it('has options that end where they say, whatever follows', async () => {
    const body = new Writer().u16(1).u16(0).u32(0).u32(0).u16(9).u16(200).done()
    const { error } = await read(concat(b.section(), b.block(1, body)))
    expect(error).toBeNull()
  })

  it('passes over blocks of any length without holding them', async () => {
    const size = 0x0fff_fff0
    async function* source(): AsyncGenerator<Uint8Array> {
      yield concat(start, new Writer().u32(0x0bad).u32(size).done())
      const chunk = new Uint8Array(1024 * 1024)
      const before = process.memoryUsage().arrayBuffers
      for (let left = size - 12; left > 0; left -= chunk.length) {
        yield chunk.subarray(0, Math.min(left, chunk.length))
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
      }
      yield concat(new Writer().u32(size).done(), b.enhanced(PACKETS[2], us(PACKETS[2].time)))
    }
    expect(await readGood(source())).toEqual([PACKETS[0], PACKETS[2]])
  })

  it('copes with very many empty blocks', async () => {
    const empty = concat(...Array.from({ length: 4096 }, () => b.block(0x0bad, new Uint8Array(0))))
    async function* source(): AsyncGenerator<Uint8Array> {
      yield start
      for (let i = 0; i < 1000; i++) yield empty
      yield b.block(0x0bad, new Uint8Array(0), 8)
    }
    const { packets, error } = await read(source())
    expect(packets.length).toBe(1)
    expect(said(error)).toEqual(damagedAt(start.length + 1000 * empty.length))
  })
})

describe.each(SMALL_FILES)('a small %s', (_, file) => {
  it('gives the same packets however it is split in two', async () => {
    for (let at = 0; at <= file.bytes.length; at++) {
      expect(await readGood(chunked(file.bytes, at))).toEqual(file.packets)
    }
  })

  it.each([1, 2, 3, 13, 64])('gives the same packets in chunks of %i bytes in a buffer used again', async (size) => {
    expect(await readGood(inOneBuffer(file.bytes, size))).toEqual(file.packets)
  })

  it('gives the same packets with empty chunks in between', async () => {
    expect(await readGood(chunked(file.bytes, 0, 0, 30, 30, 31, 31, 31))).toEqual(file.packets)
  })

  it('cut at any byte gives the packets before and the offset of what is cut', async () => {
    for (let cut = 4; cut < file.bytes.length; cut++) {
      const record = recordAt(file.starts, cut)
      const whole = file.starts[record] === cut
      for (const source of [file.bytes.slice(0, cut), inOneBuffer(file.bytes.subarray(0, cut), 5)]) {
        const { packets, error } = await read(source)
        expect(packets).toEqual(file.packets.slice(0, file.before[record]))
        expect(said(error)).toEqual(whole ? null : damagedAt(file.starts[record]))
      }
    }
  })

  it('gives the packets before a damaged byte, and an offset not before it', async () => {
    for (let at = 4; at < file.bytes.length; at++) {
      const record = recordAt(file.starts, at)
      const bytes = file.bytes.slice()
      bytes[at] ^= 0xff
      const { packets, error } = await read(bytes)
      expect(packets.slice(0, file.before[record])).toEqual(file.packets.slice(0, file.before[record]))
      const inSteps = await read(inOneBuffer(bytes, 3))
      expect(inSteps.packets).toEqual(packets)
      expect(said(inSteps.error)).toEqual(said(error))
      if (error === null) continue
      expect(error).toBeInstanceOf(ConntrackError)
      if (said(error) instanceof Object && (error as ConntrackError).code === 'not-a-capture') expect(record).toBe(0)
      else expect((error as ConntrackError).offset).toBeGreaterThanOrEqual(file.starts[record])
    }
  })

  it('followed by anything gives its packets, and then a ConntrackError or more packets', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }),
      async (noise, size) => {
        const bytes = concat(file.bytes, noise)
        const { packets, error } = await read(bytes)
        expect(packets.slice(0, file.packets.length)).toEqual(file.packets)
        if (error !== null) expect(error).toBeInstanceOf(ConntrackError)
        const inSteps = await read(inOneBuffer(bytes, size))
        expect(inSteps.packets).toEqual(packets)
        expect(said(inSteps.error)).toEqual(said(error))
      }), { numRuns: 300 })
  })
})

describe('any packets', () => {
  const anyPacket = fc.record({
    data: fc.array(fc.nat(255), { maxLength: 60 }),
    time: fc.bigInt({ min: 0n, max: 4_294_967_295_999_999n }).map((time) => time * 1000n),
    linkType: fc.constant(1),
    more: fc.nat(2000),
  }).map(({ more, ...packet }) => ({ ...packet, originalLength: packet.data.length + more }))

  it('come out of pcap and pcapng as they went in, however they are chunked and batched', async () => {
    const anyPackets = fc.array(anyPacket, { maxLength: 40 })
    await fc.assert(fc.asyncProperty(anyPackets, fc.boolean(), fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 50 }), async (packets, bigEndian, chunkSize, batchSize) => {
        const b = new Blocks(bigEndian)
        const blocks = packets.map((packet, i) => b[i % 3 ? 'enhanced' : 'obsolete'](packet, us(packet.time)))
        for (const file of [pcap(packets, { bigEndian }), concat(b.section(), b.interface(), ...blocks)]) {
          const result = await read(inOneBuffer(file, chunkSize), batchSize)
          expect(result.error).toBeNull()
          expect(result.packets).toEqual(packets)
          expect(Math.max(0, ...result.batchSizes)).toBeLessThanOrEqual(batchSize)
        }
      }))
  })
})

describe('batches', () => {
  const many = Array.from({ length: 600 }, (_, i) => testPacket(i, i % 50, T + BigInt(i) * 1000n))

  it('have 256 packets at most unless asked for otherwise', async () => {
    expect((await read(pcap(many))).batchSizes).toEqual([256, 256, 88])
    expect((await read(pcap(many), 500)).batchSizes).toEqual([500, 100])
    expect((await read(pcap(many.slice(0, 512)))).batchSizes).toEqual([256, 256])
  })

  it('span 1 MiB at most, or one packet', async () => {
    const large = [400_000, 400_000, 400_000, 1_200_000, 10].map((length, i) => ({
      data: Array.from({ length }, () => i), time: 0n, linkType: 1, originalLength: length,
    }))
    const record = ({ data }: TestPacket): Uint8Array => concat(
      new Writer().u32(0).u32(0).u32(data.length).u32(data.length).done(), Uint8Array.from(data))
    const bytes = concat(pcapHeader({ snaplen: 2_000_000 }), ...large.map(record))
    const sizes: number[] = []
    const counts: number[] = []
    for await (const batch of readCapture(bytes)) {
      sizes.push(batch.data.length)
      counts.push(batch.count)
    }
    expect(counts).toEqual([2, 1, 1, 1])
    expect(sizes).toEqual([800_016, 400_000, 1_200_000, 10])
  })

  it.each([false, true])('are yielded as soon as the bytes at hand are used up, compressed %s', async (compressed) => {
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    async function* source(): AsyncGenerator<Uint8Array> {
      yield concat(pcap(PACKETS.slice(0, 2)), pcapRecord(PACKETS[2]).subarray(0, 20))
      await gate
      yield pcapRecord(PACKETS[2]).subarray(20)
    }
    const batches = readCapture(compressed ? gzipLive(source()) : source())
    const first = await batches.next()
    expect(first.value && packetsOf(first.value)).toEqual(PACKETS.slice(0, 2))
    open()
    const second = await batches.next()
    expect(second.value && packetsOf(second.value)).toEqual(PACKETS.slice(2))
    expect((await batches.next()).done).toBe(true)
  })

  it.each([0, -1, 1.5, 65_537, NaN, '7' as unknown as number])('cannot have %s packets', (batchSize) => {
    expect(() => readCapture(pcap(PACKETS), { batchSize })).toThrow(ConntrackError)
  })
})

/** One gzip member a chunk, each complete in itself. */
async function* gzipLive(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield gzipSync(chunk)
}

describe('sources', () => {
  const bytes = pcap(PACKETS)
  const stream = (): ReadableStream<Uint8Array> => new Response(bytes.slice()).body as ReadableStream<Uint8Array>
  const sources: [name: string, source: () => CaptureSource][] = [
    ['Uint8Array', () => bytes],
    ['part of a larger Uint8Array', () => concat(bytes, bytes).subarray(bytes.length)],
    ['Buffer', () => Buffer.from(bytes)],
    ['ArrayBuffer', () => bytes.slice().buffer],
    ['Blob', () => new Blob([bytes.slice()])],
    ['File', () => new File([bytes.slice()], 'a.pcap')],
    ['Response', () => new Response(bytes.slice())],
    ['ReadableStream', stream],
    ['AsyncIterable', () => chunked(bytes, 10, 50)],
    ['stream of Node', () => Readable.from([bytes.subarray(0, 50), bytes.subarray(50)], { objectMode: false })],
  ]
  it.each(sources)('of kind %s are read', async (_, source) => {
    expect(await readGood(source())).toEqual(PACKETS)
  })

  it.each([
    { source: null }, { source: undefined }, { source: 7 }, { source: 'file.pcap' }, { source: {} }, { source: [1, 2] },
    { source: new Int8Array(4) },
  ])('cannot be %o', ({ source }) => {
    let error: unknown
    try {
      readCapture(source as unknown as CaptureSource)
    } catch (thrown) {
      error = thrown
    }
    expect(said(error)).toEqual({ code: 'invalid-argument', offset: undefined })
  })

  it('that give something else than bytes are refused', async () => {
    const { error } = await read(Readable.from(['text']))
    expect(said(error)).toEqual({ code: 'invalid-argument', offset: undefined })
  })

  it('without a body are empty', async () => {
    expect(said((await read(new Response(null))).error)).toEqual(NOT_A_CAPTURE)
  })

  it('that fail give what came before, and then their own error', async () => {
    const failure = new Error('the cable was pulled')
    async function* source(): AsyncGenerator<Uint8Array> {
      yield bytes
      throw failure
    }
    const { packets, error } = await read(source())
    expect(packets).toEqual(PACKETS)
    expect(error).toBe(failure)
  })

  it.each([
    ['at the first batch', bytes],
    ['by damage', concat(pcapHeader(), new Uint8Array(16).fill(0xff))],
    ['as no capture', Uint8Array.from(Buffer.from('#!/usr/bin/env node'))],
    ['as damaged gzip', Uint8Array.from([0x1f, 0x8b, 7, 0, 0, 0, 0, 0])],
  ])('are closed when reading stops %s', async (_, first) => {
    const stopEarly = async (batches: AsyncGenerator<PacketBatch>): Promise<void> => {
      try {
        for await (const _batch of batches) break
      } catch (error) {
        expect(error).toBeInstanceOf(ConntrackError)
      }
    }
    let closed = 0
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield first
      } finally {
        closed++
      }
    }
    await stopEarly(readCapture(endless()))
    const cancel = (): void => void closed++
    await stopEarly(readCapture(new ReadableStream<Uint8Array>({ pull: (c) => c.enqueue(first), cancel })))
    expect(closed).toBe(2)
  })
})

describe('what is no capture', () => {
  const heads: [name: string, head: number[] | string, word: RegExp][] = [
    ['nothing', [], /empty/],
    ['a byte', [0xd4], /neither/],
    ['three bytes of pcap', [0xd4, 0xc3, 0xb2], /neither/],
    ['text', 'hello, world', /neither/],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd, 0, 0], /zstd.*decompress/],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], /xz.*decompress/],
    ['bzip2', 'BZh91AY', /bzip2.*decompress/],
    ['zip', [0x50, 0x4b, 3, 4, 0, 0], /zip.*decompress/],
    ['lz4', [4, 0x22, 0x4d, 0x18, 0, 0], /lz4.*decompress/],
    ['snoop', 'snoop\0\0\0', /snoop.*convert/],
  ]
  it.each(heads)('%s is named', async (_, head, word) => {
    const bytes = Uint8Array.from(typeof head === 'string' ? Buffer.from(head) : head)
    for (const source of [bytes, inOneBuffer(bytes, 1), gzipSync(bytes)]) {
      const { error } = await read(source)
      expect(said(error)).toEqual(NOT_A_CAPTURE)
      expect((error as Error).message).toMatch(word)
    }
  })

  it('gzip in gzip is named', async () => {
    const { error } = await read(gzipSync(gzipSync(pcap(PACKETS))))
    expect(said(error)).toEqual(NOT_A_CAPTURE)
    expect((error as Error).message).toMatch(/twice/)
  })

  it('random bytes are refused or damaged, and nothing else is thrown', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.boolean(), async (bytes, gzipMagic) => {
      const { error } = await read(gzipMagic ? concat(Uint8Array.from([0x1f, 0x8b, 8]), bytes) : bytes)
      expect(error).toBeInstanceOf(ConntrackError)
    }))
  })
})

describe('gzip', () => {
  const plain = mixedPcapng()
  const packed = gzipSync(plain.bytes)

  /** A gzip member with every field of the header. */
  function member(bytes: Uint8Array): Uint8Array {
    const extra = new Array<number>(300).fill(7)
    const text = [...Buffer.from('name')]
    const header = new Writer().u8(0x1f, 0x8b, 8, 31, 0, 0, 0, 0, 0, 255).u16(extra.length).raw(extra)
      .raw(text).u8(0).raw(text).u8(0).u16(0xabcd).done()
    const trailer = new Writer().u32(crc32(bytes, 0)).u32(bytes.length).done()
    return concat(header, Uint8Array.from(deflateRawSync(bytes)), trailer)
  }

  const files: [name: string, bytes: Uint8Array][] = [
    ['one member', packed],
    ['stored blocks', gzipSync(plain.bytes, { level: 0 })],
    ['fixed codes', gzipSync(plain.bytes, { strategy: constants.Z_FIXED })],
    ['two members', concat(gzipSync(plain.bytes.subarray(0, 101)), gzipSync(plain.bytes.subarray(101)))],
    ['empty members', concat(gzipSync(''), packed, gzipSync(''), gzipSync(''))],
    ['all fields of the header', concat(member(plain.bytes.subarray(0, 60)), member(plain.bytes.subarray(60)))],
    ['zeros behind it', concat(packed, new Uint8Array(700))],
  ]
  it.each(files)('with %s is undone, however it is split', async (_, bytes) => {
    expect(await readGood(bytes)).toEqual(plain.packets)
    for (const size of [1, 3, 100]) expect(await readGood(inOneBuffer(bytes, size))).toEqual(plain.packets)
    for (let at = 0; at <= bytes.length; at += 3) expect(await readGood(chunked(bytes, at))).toEqual(plain.packets)
  })

  it('of anything is what went in', async () => {
    const long = fc.array(fc.constantFrom(1, 2, 3), { maxLength: 70_000, size: 'max' })
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 3000 }), long.map((values) => Uint8Array.from(values)))
    await fc.assert(fc.asyncProperty(bytes, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 9000 }),
      async (input, level, size) => {
        const pieces: Uint8Array[] = []
        for await (const piece of gunzip(inOneBuffer(gzipSync(input, { level }), size))) pieces.push(piece)
        expect(Buffer.compare(concat(...pieces), input)).toBe(0)
      }), { numRuns: 60 })
  })

  it('cut at any byte gives what can be decompressed and the offset of the record that is cut', async () => {
    // In stored blocks a byte decompresses to itself, so it is known what must come out.
    const level0 = (bytes: Uint8Array): Uint8Array => concat(gzipSync(bytes, { level: 0 }))
    const members = plain.starts.map((start, i) => level0(plain.bytes.slice(start, plain.starts[i + 1])))
    const ends = members.map((_, i) => members.slice(0, i + 1).reduce((sum, part) => sum + part.length, 0))
    const bytes = concat(...members)
    for (let cut = 1; cut < bytes.length; cut++) {
      const { packets, error } = await read(bytes.slice(0, cut))
      // A member's data is all there 8 bytes, the trailer, before its end.
      const record = ends.findIndex((end) => cut < end - 8)
      const whole = record < 0 ? members.length : record
      expect(packets.length).toBe(whole === members.length ? plain.packets.length : plain.before[whole])
      if (ends.includes(cut)) expect(error).toBeNull()
      else if (cut < 2) expect(said(error)).toEqual(NOT_A_CAPTURE)
      else expect(said(error)).toEqual(damagedAt(plain.starts[whole] ?? plain.bytes.length))
    }
  })

  it('cut at any byte of compressed data never gives other packets', async () => {
    let most = 0
    for (let cut = 2; cut < packed.length; cut++) {
      const { packets, error } = await read(packed.subarray(0, cut))
      expect(packets).toEqual(plain.packets.slice(0, packets.length))
      expect(packets.length).toBeGreaterThanOrEqual(most)
      expect((error as ConntrackError).code).toBe('capture-damaged')
      most = packets.length
    }
    expect(most).toBe(plain.packets.length)
  })

  it.each([
    ['sum', -8, /checksum/], ['length', -1, /length/],
  ])('with a wrong %s is all read, and then damaged', async (_, at, word) => {
    const bytes = concat(packed)
    bytes[bytes.length + at] ^= 1
    for (const source of [bytes, concat(bytes, packed)]) {
      const { packets, error } = await read(source)
      expect(packets).toEqual(plain.packets)
      expect(said(error)).toEqual(damagedAt(plain.bytes.length))
      expect((error as Error).message).toMatch(word)
    }
  })

  it('with something else behind it is all read, and then damaged', async () => {
    for (const rest of [[1], [0x1f, 0], [0, 0, 1]]) {
      const { packets, error } = await read(concat(packed, Uint8Array.from(rest)))
      expect(packets).toEqual(plain.packets)
      expect(said(error)).toEqual(damagedAt(plain.bytes.length))
    }
  })

  it('with an unknown method is damaged', async () => {
    const bytes = concat(packed)
    bytes[2] = 7
    expect(said((await read(bytes)).error)).toEqual(damagedAt(0))
  })

  it('damaged anywhere gives all packets before the damage however it is split, and an error', async () => {
    const many = Array.from({ length: 300 }, (_, i) => testPacket(i * 7, 40 + (i % 60), T + BigInt(i) * 1_000_003_000n))
    const plain = pcap(many)
    const file = gzipSync(plain)
    await fc.assert(fc.asyncProperty(fc.integer({ min: 10, max: file.length - 1 }), fc.integer({ min: 1, max: 255 }),
      fc.integer({ min: 1, max: 5000 }), async (at, flip, size) => {
        const bytes = concat(file)
        bytes[at] ^= flip
        const { packets: certain } = await read(file.subarray(0, at))
        for (const { packets, error } of [await read(bytes), await read(inOneBuffer(bytes, size))]) {
          // What a damaged table of codes makes of the rest depends on how much of it is there: from there on anything may come.
          expect(packets.slice(0, certain.length)).toEqual(certain)
          // Some bits stand for nothing, or for another copy of the same bytes: what comes out is the same then.
          if (error === null) expect([packets, concat(gunzipSync(bytes))]).toEqual([many, concat(plain)])
          // Where the damage is in the first bytes that come out, it may be no capture any more.
          else if (packets.length === 0) expect(error).toBeInstanceOf(ConntrackError)
          else expect((error as ConntrackError).code).toBe('capture-damaged')
        }
      }), { numRuns: 100, examples: [[1212, 218, 1], [17, 180, 2]] })
  })

  it('gives everything before damaged data', async () => {
    const many = Array.from({ length: 400 }, (_, i) => testPacket(i, 90, T + BigInt(i) * 1000n))
    const bytes = pcap(many)
    // A first part that ends at a byte, and then a block of the type that does not exist.
    const first = deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH })
    const file = concat(Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]), first, new Uint8Array(64).fill(0xff))
    const { packets, error } = await read(file)
    expect(packets).toEqual(many)
    expect(said(error)).toEqual(damagedAt(bytes.length))
  })

  it('is decompressed in pieces of bounded size whatever the ratio', async () => {
    const bomb = gzipSync(new Uint8Array(128 * 1024 * 1024))
    let total = 0
    let longest = 0
    for await (const piece of gunzip(chunked(bomb))) {
      total += piece.length
      longest = Math.max(longest, piece.length)
    }
    expect(total).toBe(128 * 1024 * 1024)
    expect(longest).toBeLessThan(9 * 1024 * 1024)
  })

  it('headers of any length are passed over without being held', async () => {
    async function* source(): AsyncGenerator<Uint8Array> {
      yield Uint8Array.from([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0])
      const name = new Uint8Array(1024 * 1024).fill(65)
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 40; i++) {
        yield name
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
      }
      yield concat(Uint8Array.from([0]), packed.subarray(10))
    }
    expect(await readGood(source())).toEqual(plain.packets)
  })

  it('sums are those of zlib', () => {
    for (let length = 0; length < 40; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) ^ length)
      const trailer = gzipSync(bytes).subarray(-8)
      expect(crc32(bytes, 0)).toBe(trailer.readUInt32LE(0))
      expect(crc32(bytes.subarray(5), crc32(bytes.subarray(0, 5), 0))).toBe(trailer.readUInt32LE(0))
    }
  })
})

describe('the window', () => {
  it('grows only as bytes arrive, whatever a record says it needs', () => {
    const window = new Window()
    window.need = 16 * 1024 * 1024
    for (let i = 1; i <= 100_000; i++) {
      window.push(Uint8Array.from([i]))
      while (window.extend());
      window.hold()
    }
    expect(window.end - window.position).toBe(100_000)
    expect(window.bytes.length).toBeLessThanOrEqual(2 * 100_000)
  })
})

describe('packetBatch', () => {
  it('holds the packets given', () => {
    const packets = [...PACKETS, testPacket(4, 3, -1n, 101), testPacket(5, 3, -1_000_000_000n)]
    const data = packets.map((packet) => Uint8Array.from(packet.data))
    const batch = packetBatch(packets.map((packet, i) => ({ ...packet, data: data[i] })))
    data.forEach((bytes) => bytes.fill(0))
    expect(packetsOf(batch)).toEqual(packets)
    expect([batch.seconds[3], batch.nanoseconds[3]]).toEqual([-1, 999_999_999])
  })

  it('takes raw IP, time 0 and the whole length where nothing is said', () => {
    expect(packetsOf(packetBatch([{ data: Uint8Array.from([1, 2]) }])))
      .toEqual([{ data: [1, 2], time: 0n, linkType: 101, originalLength: 2 }])
  })

  it('may be empty', () => {
    expect(packetBatch([]).count).toBe(0)
  })
})

describe('link types', () => {
  it('have names', () => {
    expect(linkTypeNumber('ethernet')).toBe(1)
    expect(linkTypeNumber('raw')).toBe(101)
    expect(linkTypeNumber('linux_sll2')).toBe(276)
    expect(linkTypeNumber(147)).toBe(147)
    expect(LINK_TYPES).toMatchObject({
      null: 0, ethernet: 1, ppp: 9, ppp_hdlc: 50, pppoe: 51, raw: 101, loop: 108, linux_sll: 113, ipv4: 228, ipv6: 229,
      linux_sll2: 276,
    })
  })

  it.each(['wifi', 'toString', '__proto__', -1, 65_536, 1.5, NaN])('are not %s', (value) => {
    expect(() => linkTypeNumber(value as number)).toThrow(ConntrackError)
  })
})

describe('on Node', () => {
  const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
  const path = join(folder, 'a.pcap')
  const large = Array.from({ length: 3000 }, (_, i) => testPacket(i, 900, T + BigInt(i) * 1000n))
  writeFileSync(path, pcap(large))
  afterAll(() => rmSync(folder, { recursive: true }))
  afterEach(() => {
    vi.unstubAllEnvs()
    vi.restoreAllMocks()
  })

  it('paths, URLs and sources are read', async () => {
    for (const source of [path, pathToFileURL(path), new Uint8Array(readFileSync(path))]) {
      const { packets, error } = await collect(readNodeCapture(source))
      expect(error).toBeNull()
      expect(packets).toEqual(large)
    }
  })

  it('a path that is not there gives the error of Node', async () => {
    expect((await collect(readNodeCapture(join(folder, 'nothing')))).error).toMatchObject({ code: 'ENOENT' })
  })

  it('- is standard input', async () => {
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(Readable.from([pcap(PACKETS)]) as typeof process.stdin)
    expect((await collect(readNodeCapture('-'))).packets).toEqual(PACKETS)
  })

  /** Puts a program into a folder of its own, which becomes the path. It says what it was called with. */
  function install(name: string, script: string): { called: () => { pid: number; args: string[] } } {
    const bin = mkdtempSync(join(folder, 'bin-'))
    const log = join(bin, 'called')
    const bytes = JSON.stringify(Buffer.from(pcap(PACKETS)).toString('base64'))
    writeFileSync(join(bin, name), `#!${process.execPath}
      require('node:fs').writeFileSync(${JSON.stringify(log)},
        JSON.stringify({ pid: process.pid, args: process.argv.slice(2) }))
      const capture = Buffer.from(${bytes}, 'base64')
      ${script}`, { mode: 0o755 })
    vi.stubEnv('PATH', bin)
    return { called: () => JSON.parse(readFileSync(log, 'utf8')) as { pid: number; args: string[] } }
  }

  const gone = (pid: number): boolean => {
    try {
      return !process.kill(pid, 0)
    } catch {
      return true
    }
  }

  const LIVE = 'process.stdout.write(capture); setInterval(() => {}, 1000)'

  it('a live capture is of tcpdump, and ends it when iteration stops', async () => {
    const program = install('tcpdump', LIVE)
    const batches = liveCapture({ interface: 'lo', filter: 'tcp port 80', snaplen: 96, count: 7 })
    for await (const batch of batches) {
      expect(packetsOf(batch)).toEqual(PACKETS)
      break
    }
    const { pid, args } = program.called()
    expect(args).toEqual(['-i', 'lo', '-w', '-', '-s', '96', '-c', '7', '-U', '--', 'tcp port 80'])
    await vi.waitFor(() => expect(gone(pid)).toBe(true))
  })

  it('a live capture is of dumpcap where there is no tcpdump', async () => {
    const program = install('dumpcap', 'process.stdout.write(capture)')
    const { packets, error } = await collect(liveCapture({ interface: 'lo', filter: 'udp' }))
    expect(error).toBeNull()
    expect(packets).toEqual(PACKETS)
    expect(program.called().args).toEqual(['-i', 'lo', '-w', '-', '-q', '-f', 'udp'])
  })

  it('a live capture ends quietly on request', async () => {
    const program = install('tcpdump', LIVE)
    const abort = new AbortController()
    const counts: number[] = []
    for await (const batch of liveCapture({ interface: 'lo', signal: abort.signal })) {
      counts.push(batch.count)
      abort.abort()
    }
    expect(counts).toEqual([PACKETS.length])
    await vi.waitFor(() => expect(gone(program.called().pid)).toBe(true))
    expect((await collect(liveCapture({ interface: 'lo', signal: abort.signal }))).error).toBeNull()
  })

  it.each([
    ['at once', "process.stderr.write('no such device'); process.exitCode = 1", 0],
    ['later', "process.stdout.write(capture); process.stderr.write('no such device'); process.exitCode = 2", 3],
  ])('a live capture that fails %s says what the program said', async (_, script, count) => {
    install('tcpdump', script)
    const { packets, error } = await collect(liveCapture({ interface: 'nothing' }))
    expect(packets.length).toBe(count)
    expect(said(error)).toEqual({ code: 'live-capture', offset: undefined })
    expect((error as Error).message).toMatch(/no such device/)
  })

  it('a live capture without a program says so', async () => {
    vi.stubEnv('PATH', folder)
    const { error } = await collect(liveCapture({ interface: 'lo' }))
    expect(said(error)).toEqual({ code: 'live-capture', offset: undefined })
    expect((error as Error).message).toMatch(/neither tcpdump nor dumpcap/)
  })

  it.each([
    { interface: '' }, { interface: 'lo', snaplen: 0 }, { interface: 'lo', count: 1.5 },
    { interface: 'lo', filter: 7 as unknown as string },
  ])('a live capture refuses %o', (options) => {
    expect(() => liveCapture(options)).toThrow(ConntrackError)
  })
})
