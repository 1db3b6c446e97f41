/**
 * Captures of a lab network with real servers and clients, and the state the kernel of the router in the middle gave
 * each packet. The tracker gets them at the captures' own times.
 *
 * Left out is what needs parts that are not built yet: fragments and what travels between the same hosts in the same
 * protocol, SCTP and GRE, and connections that a helper announced. Frames without a recorded state are not compared.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { readFrames, type Frame } from './frames.js'
import { SHARED, sharedIsThere } from './golden.js'
import { describePacket, isIcmp, needsMore, type PacketDescription } from './packet.js'
import { Tally } from './tally.js'

const tally = new Tally('lab captures')

describe.runIf(sharedIsThere)('captures of the lab network', () => {
  const root = new URL('labnet/captures/', SHARED)
  const files = sharedIsThere ? readdirSync(root).filter(name => /\.states\.tsv(\.gz)?$/.test(name)).sort() : []
  for (const file of files) {
    const name = file.replace(/\.states.*/, '')
    test(name, async () => {
      const frames = await readFrames(new URL(`${name}.pcap`, root).pathname)
      const result = compare(frames, readStates(new URL(file, root)), name === 'udplite_nocheck')
      tally.add(name, result.compared, result.differences.length, result.left)
      expect(result.differences.slice(0, 20)).toEqual([])
    })
  }
  afterAll(() => tally.print())
})

test.skipIf(sharedIsThere)('../shared is not there: lab captures are not compared', ({ skip }) => skip())

/** State and direction of each frame, `-` for none. */
function readStates(url: URL): { state: string; direction: string }[] {
  const bytes = readFileSync(url)
  const text = (url.pathname.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
  const rows = text.trimEnd().split('\n').slice(1).filter(line => !line.startsWith('#'))
  return rows.map(line => {
    const [, , state, direction] = line.split('\t')
    return { state, direction }
  })
}

function compare(frames: readonly Frame[], states: readonly { state: string; direction: string }[], unchecked: boolean) {
  const tracker = createTracker({ sysctl: { checksum: unchecked ? 0 : 1 } })
  const needing = whatNeedsMore(frames, states)
  const differences: string[] = []
  let compared = 0
  let left = 0
  if (frames.length !== states.length) differences.push(`${frames.length} packets read, ${states.length} recorded`)
  frames.forEach(({ bytes, time, linkType, wireLength, packet }, i) => {
    const verdict = tracker.track(bytes, { time, linkType, originalLength: wireLength })
    const { state, direction } = states[i]
    if (state === '-') return
    if (!packet || needsMore(packet) || needing.has(hosts(describePacket(packet))) || needing.has(connection(describePacket(packet)))) {
      left++
      return
    }
    compared++
    const ours = `${verdict.state} ${verdict.direction ?? '-'}`
    if (ours !== `${state} ${direction}`) differences.push(`packet ${i + 1}: ${ours} (${verdict.reason}), kernel ${state} ${direction}`)
  })
  return { compared, left, differences }
}

/** Hosts whose packets were fragmented, and connections that a helper announced. */
function whatNeedsMore(frames: readonly Frame[], states: readonly { state: string }[]): Set<string> {
  const needing = new Set<string>()
  frames.forEach(({ packet }, i) => {
    if (!packet) return
    const described = describePacket(packet)
    if (described.fragment) needing.add(hosts(described))
    else if (states[i].state === 'RELATED' && !isIcmp(described.protocol)) needing.add(connection(described))
  })
  return needing
}

function hosts({ protocol, src, dst }: PacketDescription): string {
  return [protocol, ...[src, dst].sort()].join()
}

function connection({ protocol, src, dst, ports }: PacketDescription): string {
  return [protocol, ...[`${src} ${ports[0]}`, `${dst} ${ports[1]}`].sort()].join()
}

