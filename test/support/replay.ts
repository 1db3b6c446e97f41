/** A recording of the kernel against the tracker, packet by packet. */
import type { createTracker as CreateTracker } from 'conntrack-wasm'
import { differences, entryOf, isAskable } from './compare.js'
import type { Frame } from './frames.js'
import type { GoldenPacket, Recording } from './golden.js'
import { describePacket, isIcmp } from './packet.js'

export interface Agreement {
  readonly compared: number
  /** Packets that need parts which are not built yet. */
  readonly left: number
  readonly differing: number
  readonly differences: readonly string[]
}

/** Settings of a recording that the tracker has, by its own names. */
export function settingsOf(recording: Recording): Record<string, number> {
  const known = /^nf_conntrack_((?:tcp|udp|icmp|icmpv6|gre|sctp|generic|frag6)_.*|checksum)$/
  const settings = Object.entries(recording.config).flatMap(([name, value]) => {
    const match = known.exec(name)
    return match ? [[match[1], value] as const] : []
  })
  const given = Object.entries(recording.options.sysctls ?? {}).filter(([name]) => name.startsWith('net.ipv4.ipfrag_'))
  return Object.fromEntries([...settings, ...given.map(([name, value]) => [name, Number(value)] as const)])
}

/** Feeds the packets at the recorded times and compares. */
export function replay(createTracker: typeof CreateTracker, recording: Recording, frames: readonly Frame[]): Agreement {
  const needing = connectionsThatNeedMore(recording, frames)
  const tracker = createTracker({ sysctl: settingsOf(recording) })
  const found: string[] = []
  const sum = { compared: 0, differing: 0, left: 0 }
  if (frames.length !== recording.packets.length) found.push(`${frames.length} packets read, ${recording.packets.length} recorded`)
  for (const golden of recording.packets) {
    const { bytes, linkType, wireLength, packet } = frames[golden.index]
    if (golden.verdict === 'skipped') continue
    const verdict = tracker.track(bytes, { time: BigInt(golden.ts), linkType, originalLength: wireLength })
    if (golden.ct != null && needing.has(golden.ct)) {
      sum.left++
      continue
    }
    sum.compared++
    const askable = isAskable(golden, packet)
    const entry = verdict.connection !== null ? tracker.entry(0) : packet && askable ? entryOf(tracker, packet) : null
    const different = differences(golden, verdict, entry, askable)
    if (different.length > 0) sum.differing++
    found.push(...different.map(text => `packet ${golden.index + 1} (${golden.verdict}): ${text}`))
  }
  return { ...sum, differences: found }
}

/** Ports whose helpers change the timeout of the connections they watch: SIP, Amanda and H.323 RAS over UDP. */
const CHANGED_BY_HELPERS = [5060, 10080, 1719]

/** Numbers of connections that cannot be compared for lack of parts that are not built yet. */
function connectionsThatNeedMore(recording: Recording, frames: readonly Frame[]): Set<number> {
  const needing = new Set<number>()
  const helped = recording.options.helpers.length > 0
  for (const golden of recording.packets) {
    const packet = frames[golden.index]?.packet
    if (golden.ct != null && packet && helped && isHelped(golden, packet)) needing.add(golden.ct)
  }
  return needing
}

function isHelped(golden: GoldenPacket, packet: Uint8Array): boolean {
  const { protocol, ports } = describePacket(packet)
  if (golden.verdict === 'related') return !isIcmp(protocol)
  return protocol === 17 && ports.some(port => CHANGED_BY_HELPERS.includes(port))
}
