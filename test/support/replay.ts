/** A recording of the kernel against the tracker, packet by packet. */
import type { Connection, createTracker as CreateTracker, PacketMatch, Verdict, ZoneRule } from 'conntrack-wasm'
import { differencesInBatches, type TimedPacket } from './batched.js'
import { differences, entryOf, isAskable } from './compare.js'
import type { Frame } from './frames.js'
import type { GoldenPacket, Recording } from './golden.js'
import { helpersOf } from './helpers.js'

export interface Agreement {
  readonly compared: number
  readonly differing: number
  readonly differences: readonly string[]
  /** The packets that differ. */
  readonly findings: readonly Finding[]
}

/** A packet about which tracker and kernel differ. */
export interface Finding {
  readonly golden: GoldenPacket
  readonly verdict: Verdict
  readonly differences: readonly string[]
}

/** Settings of a recording that the tracker has, by its own names. */
export function settingsOf(recording: Recording): Record<string, number> {
  const known = /^nf_conntrack_((?:tcp|udp|icmp|icmpv6|gre|sctp|generic|frag6)_.*|checksum|acct)$/
  const settings = Object.entries(recording.config).flatMap(([name, value]) => {
    const match = known.exec(name)
    return match ? [[match[1], value] as const] : []
  })
  const given = Object.entries(recording.options.sysctls ?? {}).filter(([name]) => name.startsWith('net.ipv4.ipfrag_'))
  return Object.fromEntries([...settings, ...given.map(([name, value]) => [name, Number(value)] as const)])
}

/** `MATCH=N` */
export function zoneOf(text: string): ZoneRule {
  const [match, id] = text.split('=')
  return { ...matchOf(match), id: Number(id) }
}

/** An nft match as the oracle takes them: `udp dport 53`, `ip saddr 10.0.0.1`, `ip dscp 1`. */
export function matchOf(text: string): PacketMatch {
  const [what, field, value] = text.split(' ')
  if (field === 'dscp') return { dscp: Number(value) }
  if (what === 'ip' || what === 'ip6') return { [field === 'saddr' ? 'src' : 'dst']: value }
  return { protocol: what, [field]: value }
}

/** Told of each packet that was compared. */
export type Witness = (verdict: Verdict, golden: GoldenPacket, frame: Frame) => void

/** Feeds the packets at the recorded times and compares. */
export function replay(
  createTracker: typeof CreateTracker, recording: Recording, frames: readonly Frame[], witness: Witness = () => {},
): Agreement {
  const { helpers, notrack, zones, drops } = recording.options
  const make = () => createTracker({
    sysctl: settingsOf(recording), helpers: helpersOf(helpers), notrack: notrack.map(matchOf), zone: zones.map(zoneOf),
    drop: drops.map(matchOf), hashSeed: 1,
  })
  const tracker = make()
  const packets: TimedPacket[] = []
  const verdicts: Verdict[] = []
  const found: string[] = []
  const findings: Finding[] = []
  let compared = 0
  const delays = new Map<number, number>()
  if (frames.length !== recording.packets.length) found.push(`${frames.length} packets read, ${recording.packets.length} recorded`)
  for (const [i, golden] of recording.packets.entries()) {
    const { bytes, linkType, wireLength, packet } = frames[golden.index]
    if (golden.verdict === 'skipped') continue
    const time = BigInt(golden.ts)
    const verdict = tracker.track(bytes, { time, linkType, originalLength: wireLength })
    packets.push({ data: bytes, time, linkType, originalLength: wireLength })
    verdicts.push(verdict)
    compared++
    witness(verdict, golden, frames[golden.index])
    // Of a packet without an entry the oracle asks for that of its tuple in its zone, which the tracker does not tell.
    const askable = isAskable(golden, packet) && (zones.length === 0 || verdict.connection !== null)
    const entry = verdict.connection !== null ? tracker.entry(0) : packet && askable ? entryOf(tracker, packet) : null
    const delay = Math.max(delays.get(golden.ct ?? 0) ?? 0, delayOf(golden, recording.packets[i + 1]))
    if (golden.ct != null) delays.set(golden.ct, delay)
    const different = differences(golden, verdict, isOver(entry) ? null : entry, askable, delay)
    if (different.length > 0) findings.push({ golden, verdict, differences: different })
    found.push(...different.map(text => `packet ${golden.index + 1} (${golden.verdict}): ${text}`))
  }
  found.push(...differencesInBatches(packets, verdicts, tracker, make()))
  return { compared, differing: findings.length, differences: found, findings }
}

/** A machine that is doing other work may hold a packet up: what is about timeouts alone must show again to count. */
export const ATTEMPTS = 3

export function isAboutTimeouts({ findings }: Pick<Agreement, 'findings'>): boolean {
  return findings.length > 0 && findings.every(({ differences }) => differences.every(text => text.startsWith('timeoutMs ')))
}

/**
 * Milliseconds by which the kernel may have got a packet after its recorded time: the oracle may be interrupted between
 * taking the time and sending. Timeouts of that connection then start so much later.
 */
function delayOf({ late, ts }: GoldenPacket, next: GoldenPacket | undefined): number {
  return late && next ? (next.ts - ts) / 1e6 : 0
}

/** With a timeout of 0: the packet had the entry, but the kernel, asked for it afterwards, no longer finds it. */
function isOver(entry: Connection | null): boolean {
  return entry?.timeoutMs === 0
}
