/**
 * `fuzz:capture`: captures whose lengths, options, blocks and compression are wrong. The reader ends, gives every packet up
 * to the damage, tells where that is, and none of it depends on the chunks in which the bytes come.
 */
import { gzipSync } from 'node:zlib'
import { ConntrackError } from 'conntrack-wasm'
import { readCapture } from 'conntrack-wasm/capture'
import type { Random } from '../support/random.js'
import { Blocks, concat, inOneBuffer, pcap, testPacket } from '../unit/capture-writer.js'
import { Finding, type Fuzzer } from './command.js'
import { must } from './packet-check.js'

const VALUES = [0, 1, 3, 4, 8, 11, 12, 13, 16, 20, 28, 32, 0xffff, 0x10000, 262_144, 1 << 24, 0x7fffffff, 0xfffffffc, 0xffffffff]
const MAGICS = [0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34]

function capture(random: Random): Uint8Array {
  const packets = Array.from({ length: random.below(12) }, (_, i) => testPacket(i, random.below(90), BigInt(i) * 1_000_000n))
  const bigEndian = random.chance(2)
  if (random.chance(2)) return pcap(packets, { magic: random.pick(MAGICS), bigEndian })
  const blocks = new Blocks(bigEndian)
  const options = Array.from({ length: random.below(4) }, () => [random.pick([1, 2, 9, 14, 99]), Array(random.below(10)).fill(6)] as const)
  const empty = Array.from({ length: random.chance(4) ? random.below(200) : 0 }, () => blocks.block(random.pick([4, 5, 0xbad]), new Uint8Array(0)))
  const body = packets.map((packet, i) => random.chance(3) ? blocks.simple(packet.data)
    : random.chance(4) ? blocks.obsolete(packet, BigInt(i)) : blocks.enhanced(packet, BigInt(i), 0, options))
  return concat(blocks.section(), blocks.interface({ options: random.chance(2) ? options : [] }), ...empty, ...body)
}

function damage(random: Random, bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice()
  const view = new DataView(changed.buffer)
  for (let n = random.below(4); n > 0 && changed.length >= 8; n--) {
    const at = random.below(changed.length - 4)
    if (random.chance(3)) changed[at] ^= 1 << random.below(8)
    else view.setUint32(at & ~3, random.pick(VALUES), random.chance(2))
  }
  return random.chance(6) ? changed.slice(0, random.below(changed.length + 1)) : changed
}

interface Outcome {
  readonly packets: readonly string[]
  readonly code: string | null
  readonly offset: number | undefined
}

async function read(source: Uint8Array | AsyncIterable<Uint8Array>): Promise<Outcome> {
  const packets: string[] = []
  try {
    for await (const { count, data, offset, length, seconds, nanoseconds, linkType } of readCapture(source)) {
      for (let i = 0; i < count; i++) {
        must(offset[i] + length[i] <= data.length && nanoseconds[i] < 1e9, 'a packet that is not in its batch, or no time')
        const bytes = Buffer.from(data.subarray(offset[i], offset[i] + length[i])).toString('base64')
        packets.push(`${bytes} ${seconds[i]} ${nanoseconds[i]} ${linkType[i]}`)
      }
    }
    return { packets, code: null, offset: undefined }
  } catch (error) {
    if (!(error instanceof ConntrackError) || !['capture-damaged', 'not-a-capture'].includes(error.code)) throw error
    if (error.code === 'capture-damaged') must(Number.isInteger(error.offset) && error.offset! >= 0, 'damage without a place')
    return { packets, code: error.code, offset: error.offset }
  }
}

async function check(bytes: Uint8Array): Promise<void> {
  const whole = await read(bytes)
  must(whole.packets.length <= bytes.length * 2, 'more packets than bytes')
  for (const size of [1, 7, 64]) {
    must(JSON.stringify(await read(inOneBuffer(bytes, size))) === JSON.stringify(whole), `in chunks of ${size} it is another capture`)
  }
  if (bytes[0] === 0x1f) return
  must((whole.offset ?? 0) <= bytes.length, 'damage behind the end')
  if (bytes.length > 6) must(JSON.stringify(await read(gzipSync(bytes))) === JSON.stringify(whole), 'in gzip it is another capture')
}

export const captures: Fuzzer = {
  name: 'capture',
  unit: 'runs',
  usual: 20_000,

  async round({ random }) {
    const plain = damage(random, capture(random))
    const bytes = random.chance(3) ? damage(random, Uint8Array.from(gzipSync(plain))) : plain
    try {
      await check(bytes)
    } catch (error) {
      throw new Finding(bytes, 'bin', error)
    }
    return 1
  },

  replay: input => check(Uint8Array.from(input)),
}
