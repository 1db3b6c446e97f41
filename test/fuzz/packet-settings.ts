/** Random settings of a tracker, and random steps between its batches. */
import { SYSCTLS, type PacketMatch, type TrackerOptions } from 'conntrack-wasm'
import type { Random } from '../support/random.js'
import type { Style } from './packet-pool.js'
import type { Setting, Step, Subject } from './packet-steps.js'

const SMALL = ['acct', 'timestamp', 'events', 'checksum', 'tcp_be_liberal', 'tcp_ignore_invalid_rst', 'tcp_loose']
/** By these memory is laid out, or the others are bound. */
const SIZING = ['max', 'expect_max', 'ipfrag_high_thresh', 'ipfrag_low_thresh', 'frag6_high_thresh', 'frag6_low_thresh']
const MATCHES: readonly PacketMatch[] = [
  { src: '10.0.0.3' }, { dst: '10.0.0.2' }, { protocol: 'tcp', dport: 80 }, { protocol: 'udp', dport: 81 }, { vlan: 0 },
  { protocol: 'icmp' }, { src: '2001:db8:a::/48' }, { dscp: 0, protocol: 'sctp' }, { sport: '1000-1001' }, { protocol: 47 },
]

export function drawSetting(random: Random): Setting {
  const helpers = random.chance(4)
  const listens = random.chance(8)
  const options: TrackerOptions = {
    // Large tables are made rarely: their memory must be had from the system each time.
    maxConnections: random.pick([1, 3, 12, 64, 300, 1500, 4096, 4096, 4096, 20_000]),
    hashSeed: random.next(), batchSize: random.pick([1, 3, 64, 256, 256, 1024, 4096]),
    checksum: random.pick(['verify', 'verify', 'offload', 'ignore'] as const),
    sysctl: drawSysctls(random), labels: random.chance(3), history: random.chance(3), explain: random.chance(8),
    ...random.chance(5) && { notrack: some(random) },
    ...random.chance(5) && { drop: some(random) },
    ...random.chance(3) && { zone: drawZones(random) },
    ...random.chance(4) && { timeouts: some(random).map(match => ({ ...match, timeouts: { tcp_timeout_syn_sent: 11, udp_timeout: 3 } })) },
    ...random.chance(10) && { shard: { index: random.below(3), of: 3, seed: random.next() } },
  }
  return { options, helpers, listens }
}

function drawSysctls(random: Random): Record<string, number> {
  const names = Object.keys(SYSCTLS).filter(name => !SIZING.includes(name))
  const values: Record<string, number> = {}
  while (random.chance(2)) {
    const name = random.chance(3) ? random.pick(SMALL) : random.pick(names)
    values[name] = drawValue(random, name)
  }
  return values
}

function drawValue(random: Random, name: string): number {
  const { initial, min, max } = SYSCTLS[name]
  return random.pick([initial, min, max, min + random.below(Math.min(max - min, 200) + 1)])
}

function some(random: Random): PacketMatch[] {
  return Array.from({ length: 1 + random.below(3) }, () => random.pick(MATCHES))
}

function drawZones(random: Random): TrackerOptions['zone'] {
  if (random.chance(3)) return random.below(0x10000)
  return some(random).map(match => ({
    ...match, id: random.pick([0, 1, 2, 0xffff]), direction: random.pick(['both', 'original', 'reply'] as const),
  }))
}

export function drawStyle(random: Random): Style {
  return {
    worlds: random.pick([1, 4, 40, 2000]), damaged: random.pick([3, 8, 8, 50]),
    step: random.pick([1000, 4_000_000, 900_000_000]), wild: random.chance(8),
  }
}

/** One thing to do between two batches. */
export function drawStep(random: Random, { tracker, ids }: Subject, { options }: Setting, count: number): Step {
  const id = ids.length > 0 && !random.chance(8) ? random.pick(ids) : random.next()
  switch (random.below(16)) {
    case 0: return { do: 'advance', time: String(1_700_000_000_000_000_000n + BigInt(random.below(4000)) * 1_000_000_000n) }
    case 1: return { do: 'delete', id }
    case 2: return { do: 'mark', id, mark: random.next() }
    case 3: return options.labels ? { do: 'labels', id, labels: [random.below(64), 64 + random.below(64)] } : { do: 'books' }
    case 4: case 5: return drawChange(random)
    case 6: return options.explain ? { do: 'explain', index: random.below(count) } : { do: 'books' }
    case 7: return options.explain ? { do: 'entry', index: random.below(count) } : { do: 'books' }
    case 8: return { do: 'list' }
    case 9: return { do: 'expectations' }
    case 10: return random.chance(4) && tracker.statistics().entries > 0 ? { do: 'snapshot' } : { do: 'books' }
    case 11: return random.chance(16) ? { do: 'purge' } : { do: 'books' }
    case 12: return { do: 'connection', id }
    default: return { do: 'books' }
  }
}

function drawChange(random: Random): Step {
  const names = Object.keys(SYSCTLS).filter(name => !SIZING.includes(name) && name !== 'acct' && name !== 'timestamp')
  const name = random.pick(names)
  return { do: 'sysctl', name, value: drawValue(random, name) }
}
