/** What must change nothing: batches, times, addresses, sequence numbers, the hash's seed, a snapshot on the way. */
import { readdirSync } from 'node:fs'
import { createTracker, packetBatch, restoreTracker, type TrackerOptions, type VerdictBatch } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { isFragment } from '../support/build.js'
import { readFrames, type Frame } from '../support/frames.js'
import { mixedTrace } from '../support/trace.js'
import { renameAddresses, shiftSequence } from '../support/transform.js'

const root = new URL('../captures/', import.meta.url)
const captures = readdirSync(root).filter(name => /\.pcap(ng)?$/.test(name))
const COLUMNS = [
  'state', 'direction', 'reason', 'protocolState', 'flags', 'protocol', 'family', 'networkOffset', 'transportOffset', 'connection',
  'timeoutNs',
] as const
const options: TrackerOptions = { hashSeed: 1, maxConnections: 4096 }
const SIZES = [1, 2, 3, 7, 255, 256, 257]

const generated = (seed: number): Frame[] => mixedTrace(seed, 1500)
  .map(({ data, time }) => ({ bytes: data, packet: data, time, linkType: 101, wireLength: data.length }))

const packetsOf = (frames: readonly Frame[]) =>
  packetBatch(frames.map(({ bytes, time, linkType, wireLength }) => ({ data: bytes, time, linkType, originalLength: wireLength })))

const rowsOf = (verdicts: VerdictBatch) =>
  Array.from({ length: verdicts.count }, (_, i) => COLUMNS.map(name => verdicts[name][i]).join(' '))

/** Every packet's row, the batches as large as `sizes` say, in turn. */
function rows(frames: readonly Frame[], sizes: readonly number[] = [256], made: TrackerOptions = options): string[] {
  const tracker = createTracker({ ...made, batchSize: 512 })
  const found: string[] = []
  for (let from = 0, turn = 0; from < frames.length; turn++) {
    const part = frames.slice(from, from + sizes[turn % sizes.length])
    found.push(...rowsOf(tracker.trackBatch(packetsOf(part))))
    from += part.length
  }
  return found
}

/** The frames with their IP packets changed. */
const changed = (frames: readonly Frame[], change: (packet: Uint8Array) => void): Frame[] => frames.map(frame => {
  if (!frame.packet) return frame
  const bytes = frame.bytes.slice()
  const packet = bytes.subarray(frame.packet.byteOffset - frame.bytes.byteOffset)
  change(packet)
  return { ...frame, bytes, packet }
})

describe.each([...captures, 'random packets 1', 'random packets 2', 'random packets 3'])('%s', name => {
  const whole = async () => {
    const frames = name.startsWith('random') ? generated(Number(name.at(-1))) : await readFrames(new URL(name, root).pathname)
    const expected = rows(frames)
    // In fragments sequence numbers may be in one and their checksum in another.
    const plain = frames.filter(({ packet }) => !packet || !isFragment(packet))
    return { frames, expected, plain, plainExpected: plain.length === frames.length ? expected : rows(plain) }
  }
  let loaded: ReturnType<typeof whole> | null = null
  /** Frames, and the rows that all must have. */
  const load = () => loaded ??= whole()

  test('into batches of whatever size', async () => {
    const { frames, expected } = await load()
    for (const size of SIZES) expect(rows(frames, [size])).toEqual(expected)
    expect(rows(frames, [13, 1, 64, 200, 5])).toEqual(expected)
  })

  test.each([1n, -1_000_000_007n, 10n ** 18n, -2n * 10n ** 18n])('%i ns later', async by => {
    const { frames, expected } = await load()
    expect(rows(frames.map(frame => ({ ...frame, time: frame.time + by })))).toEqual(expected)
  })

  test('with other addresses', async () => {
    const { frames, expected } = await load()
    const renamed = changed(frames, renameAddresses)
    expect(renamed.some(({ bytes }, i) => bytes.some((byte, j) => byte !== frames[i].bytes[j]))).toBe(true)
    expect(rows(renamed)).toEqual(expected)
  })

  test.each([1, 0x7fff_ffff, 0x8000_0000, 0xdead_beef])('with sequence numbers greater by %i', async by => {
    const { plain, plainExpected } = await load()
    expect(rows(changed(plain, packet => shiftSequence(packet, by)))).toEqual(plainExpected)
  })

  test('under another secret of the hash', async () => {
    const { frames, expected } = await load()
    expect(rows(frames, [256], { ...options, hashSeed: 99 })).toEqual(expected)
  })

  test('with a snapshot on the way', async () => {
    const { frames, expected } = await load()
    const half = frames.length >> 1
    const first = createTracker({ ...options, batchSize: 4096 })
    const before = rowsOf(first.trackBatch(packetsOf(frames.slice(0, half))))
    const second = restoreTracker(first.snapshot())
    const after = rowsOf(second.trackBatch(packetsOf(frames.slice(half))))
    expect([...before, ...after]).toEqual(expected)
  })
})
