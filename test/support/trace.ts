/** A mixed trace: structured random packets with times, between which now and then much passes. */
import { packetBatch, type PacketBatch, type Tracker, type TrackerOptions } from 'conntrack-wasm'
import { PacketGenerator } from './generator.js'
import { Random } from './random.js'

const START = 1_700_000_000_000_000_000n

export interface TimedPacket {
  readonly data: Uint8Array
  readonly time: bigint
}

export function mixedTrace(seed: number, packets: number): TimedPacket[] {
  const generator = new PacketGenerator(seed)
  const random = new Random(seed)
  let time = START
  return Array.from({ length: packets }, () => {
    time += BigInt(random.chance(40) ? random.below(40_000) * 1_000_000 : random.below(3_000_000))
    return { data: generator.next(), time }
  })
}

/** Every part that a tracker can have, switched on, and a table that is too small. */
export const EVERYTHING: TrackerOptions = {
  maxConnections: 12, hashSeed: 7, sysctl: { acct: 1, timestamp: 1, udp_timeout: 9, events: 1 }, labels: true, history: true,
  explain: true, batchSize: 64,
  zone: [{ src: '10.0.0.3', id: 4 }, { dst: '10.0.0.2', id: 5, direction: 'original' }],
  timeouts: [{ protocol: 'tcp', dport: 80, timeouts: { tcp_timeout_syn_sent: 11 } }],
  drop: [{ protocol: 'udp', dport: 81 }],
}

/** Feeds packets one by one and sets marks and labels on the way; the verdicts as text. */
export function feed(tracker: Tracker, packets: readonly TimedPacket[]): string[] {
  return packets.map(({ data, time }) => {
    const verdict = tracker.track(data, { time })
    if (verdict.connection !== null && verdict.packet % 7 === 0) {
      tracker.setMark(verdict.connection, verdict.packet)
      if (tracker.connection(verdict.connection)?.labels) tracker.setLabels(verdict.connection, [verdict.packet % 128])
    }
    return JSON.stringify(verdict)
  })
}

export function asBatch(packets: readonly TimedPacket[]): PacketBatch {
  return packetBatch(packets.map(packet => ({ ...packet, linkType: 101 })))
}
