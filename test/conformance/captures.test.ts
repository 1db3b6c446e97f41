/**
 * Real captures of public projects: what Linux answered to each packet, replayed as fast as it could be sent. The
 * tracker gets the same packets at the recorded times.
 *
 * Left out is what needs parts that are not built yet: fragments and the connections whose packets they carried, SCTP
 * and GRE, and connections that a helper announced or changed.
 */
import { readdirSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { differences, entryOf } from './compare.js'
import { readFrames, type Frame } from './frames.js'
import { readRecording, SHARED, sharedIsThere, type GoldenPacket, type Recording } from './golden.js'
import { describePacket, isIcmp, needsMore } from './packet.js'
import { Tally } from './tally.js'

const tally = new Tally('captures')

describe.runIf(sharedIsThere)('captures of public projects', () => {
  const root = new URL('captures-golden/', SHARED)
  const files = sharedIsThere
    ? readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.jsonl.gz')).sort()
    : []
  for (const file of files) {
    test(file.replace('.jsonl.gz', ''), async () => {
      const result = await replay(file)
      tally.add(result.name, result.compared, result.differing, result.left)
      expect(result.differences.slice(0, 20)).toEqual([])
    })
  }
  afterAll(() => tally.print())
})

test.skipIf(sharedIsThere)('../shared is not there: captures are not compared', ({ skip }) => skip())

interface Result {
  readonly name: string
  readonly compared: number
  readonly left: number
  readonly differing: number
  readonly differences: string[]
}

async function replay(file: string): Promise<Result> {
  const name = file.replace('.jsonl.gz', '')
  const recording = readRecording(new URL(`captures-golden/${file}`, SHARED))
  const frames = await readFrames(new URL(`captures/${name}`, SHARED).pathname)
  const needing = connectionsThatNeedMore(recording, frames)
  const tracker = createTracker({ sysctl: { checksum: recording.config.nf_conntrack_checksum } })
  const found: string[] = []
  const sum = { compared: 0, differing: 0, left: 0 }
  if (frames.length !== recording.packets.length) found.push(`${frames.length} packets read, ${recording.packets.length} recorded`)
  for (const golden of recording.packets) {
    const { bytes, linkType, wireLength, packet } = frames[golden.index]
    if (golden.verdict === 'skipped') continue
    const verdict = tracker.track(bytes, { time: BigInt(golden.ts), linkType, originalLength: wireLength })
    if ((packet && needsMore(packet)) || (golden.ct != null && needing.has(golden.ct))) {
      sum.left++
      continue
    }
    sum.compared++
    const entry = verdict.connection === null ? packet && entryOf(tracker, verdict, packet) : tracker.entry(0)
    const different = differences(golden, verdict, entry)
    if (different.length > 0) sum.differing++
    found.push(...different.map(text => `packet ${golden.index + 1}: ${text}`))
  }
  return { name, ...sum, differences: found }
}

/** Ports whose helpers change the timeout of the connections they watch: SIP, Amanda and H.323 RAS over UDP. */
const CHANGED_BY_HELPERS = [5060, 10080, 1719]

/** Numbers of connections with packets that need parts which are not built yet. */
function connectionsThatNeedMore(recording: Recording, frames: readonly Frame[]): Set<number> {
  const needing = new Set<number>()
  const helped = recording.options.helpers.length > 0
  for (const golden of recording.packets) {
    const { packet } = frames[golden.index]
    if (golden.ct == null || !packet) continue
    if ((packet && needsMore(packet)) || (helped && isHelped(golden, packet))) needing.add(golden.ct)
  }
  return needing
}

function isHelped(golden: GoldenPacket, packet: Uint8Array): boolean {
  const { protocol, ports } = describePacket(packet)
  if (golden.verdict === 'related') return !isIcmp(protocol)
  return protocol === 17 && ports.some(port => CHANGED_BY_HELPERS.includes(port))
}
