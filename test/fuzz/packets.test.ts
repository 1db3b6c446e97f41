/**
 * Packets that nobody would send: random bytes, and packets with structure that were damaged and wrapped. Nothing may
 * throw, the books must balance after every batch, and how packets are split into batches must change nothing.
 *
 *     SEED=7 PACKETS=5000000 npx vitest run --project fuzz
 *
 * Every failure names the seed and the packet.
 */
import {
  createTracker, packetBatch, REASONS, sctpStateName, STATES, tcpStateName, VERDICT_ASSURED, VERDICT_DROPPED,
  VERDICT_SEEN_REPLY, type Connection, type Tracker, type TrackerOptions, type VerdictBatch,
} from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { tcp, udp } from '../support/build.js'
import { PacketGenerator } from '../support/generator.js'
import { Random } from '../support/random.js'

const SEED = Number(process.env.SEED ?? 1)
const PACKETS = Number(process.env.PACKETS ?? 200_000)
const CHUNK = 4096
const BATCH = 256
const MINUTES = 10 * 60_000

interface Frame {
  readonly data: Uint8Array
  readonly time: bigint
  readonly linkType: number
  readonly originalLength: number
}

/** Makes one frame after the other. */
type Source = () => Frame

const LINK_TYPES = [0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276]

/** A clock that mostly ticks, sometimes jumps over timeouts, and sometimes goes back. */
function clock(random: Random): () => bigint {
  let now = 1_700_000_000_000_000_000n
  return () => {
    if (random.chance(400)) now += BigInt(random.below(200)) * 1_000_000_000n
    else if (random.chance(50)) return now - BigInt(random.below(1_000_000_000))
    now += BigInt(random.below(3_000_000))
    return now
  }
}

function originalLength(random: Random, captured: number): number {
  if (!random.chance(8)) return captured
  return random.pick([0, captured + 1, captured + random.below(2000), 0xffffffff])
}

/** Random bytes. Half begin like an IP packet behind their link header, or they would all be "not IP". */
function noise(seed: number): Source {
  const random = new Random(seed)
  const tick = clock(random)
  return () => {
    const data = new Uint8Array(random.chance(200) ? random.below(70_000) : random.below(random.pick([4, 24, 64, 200])))
    for (let i = 0; i < Math.min(data.length, 300); i++) data[i] = random.next()
    const linkType = random.chance(16) ? random.below(65_536) : random.pick(LINK_TYPES)
    if (random.chance(2)) resembleIp(random, data, ({ 1: 14, 113: 16, 276: 20 })[linkType] ?? 0)
    return { data, linkType, time: tick(), originalLength: originalLength(random, data.length) }
  }
}

function resembleIp(random: Random, data: Uint8Array, at: number): void {
  if (data.length < at + 40) return
  const v6 = random.chance(2)
  if (at >= 14) data.set(v6 ? [0x86, 0xdd] : [8, 0], at === 20 ? 0 : at - 2)
  data[at] = v6 ? 0x60 : random.pick([0x45, 0x45, 0x46, 0x4f])
  const length = data.length - at - (v6 ? 40 : 0)
  data.set([length >> 8, length & 255], at + (v6 ? 4 : 2))
  const protocol = random.pick([0, 1, 6, 6, 17, 43, 44, 47, 51, 58, 59, 60, 132, 136, 255])
  if (v6) data[at + 6] = protocol
  else data.set([0, 0, 64, protocol], at + 6)
}

/** Packets of the generator: whole or damaged, in any wrapping. */
function damaged(seed: number): Source {
  const random = new Random(seed)
  const tick = clock(random)
  const generator = new PacketGenerator(seed, { conversations: 40 })
  return () => {
    const { data, linkType } = wrap(random, generator.next())
    const changed = random.chance(3) ? damage(random, data) : data
    return { data: changed, linkType, time: tick(), originalLength: originalLength(random, changed.length) }
  }
}

function mixed(seed: number): Source {
  const random = new Random(seed)
  const [random1, random2] = [noise(seed), damaged(seed)]
  return () => random.chance(8) ? random1() : random2()
}

/** Thousands of connections in both directions, a millisecond apart, so that few expire; other packets in between. */
function flood(seed: number): Source {
  const random = new Random(seed)
  const other = mixed(seed)
  let time = 1_700_000_000_000_000_000n
  return () => {
    time += 1_000_000n
    const frame = { ...other(), time }
    if (random.chance(4)) return frame
    const [src, dst, sport, dport] = ['10.7.0.1', '10.7.0.2', random.below(3000), 53]
    const back = { src: dst, dst: src, sport: dport, dport: sport }
    const data = udp(random.chance(3) ? back : { src, dst, sport, dport }, 0)
    return { ...frame, data, linkType: 101, originalLength: data.length }
  }
}

/** Every 2000 packets three connections that become ASSURED at once: a table of three refuses others then. */
function occupied(seed: number): Source {
  const other = mixed(seed)
  let made = 0
  return () => {
    const frame = other()
    const step = made++ % 2000
    if (step >= 9) return frame
    const [src, dst, sport, dport] = ['10.8.0.1', '10.8.0.2', 1000 + Math.floor(step / 3), 80]
    const back = { src: dst, dst: src, sport: dport, dport: sport }
    const data = step % 3 === 1
      ? tcp(back, { flags: 'A', seq: 500, ack: 100 })
      : tcp({ src, dst, sport, dport }, { flags: 'A', seq: 100, ack: 500 })
    return { ...frame, data, linkType: 101, originalLength: data.length }
  }
}

function damage(random: Random, packet: Uint8Array): Uint8Array {
  switch (random.below(4)) {
    case 0: return packet.slice(0, random.below(packet.length + 1))
    case 1: {
      const longer = new Uint8Array(packet.length + random.below(100))
      longer.set(packet)
      return longer
    }
    default: {
      const flipped = Uint8Array.from(packet)
      const headers = Math.min(flipped.length, 120)
      for (let n = random.below(4); n >= 0; n--) flipped[random.below(headers)] ^= 1 << random.below(8)
      return flipped
    }
  }
}

type Wrapping = (random: Random, v6: boolean) => { readonly header: readonly number[]; readonly linkType: number }

const macs = (random: Random) => Array.from({ length: 12 }, () => random.below(256))
const ethertype = (v6: boolean) => v6 ? [0x86, 0xdd] : [8, 0]
const ppp = (v6: boolean) => v6 ? [0, 0x57] : [0, 0x21]
const tag = (random: Random) => [random.below(256), random.below(256)]
const label = (random: Random, bottom: boolean) => [...tag(random), random.below(128) * 2 + Number(bottom), 64]
const vlan = (random: Random) => [0x81, 0, ...tag(random)]
/** Ethertype, and the header up to the PPP protocol. */
const PPPOE = [0x88, 0x64, 0x11, 0, 0, 5, 0, 60]

const WRAPPINGS: readonly Wrapping[] = [
  () => ({ header: [], linkType: 101 }),
  (_, v6) => ({ header: [], linkType: v6 ? 229 : 228 }),
  (random, v6) => ({ header: [...macs(random), ...ethertype(v6)], linkType: 1 }),
  // VLAN, QinQ
  (random, v6) => ({ header: [...macs(random), ...vlan(random), ...ethertype(v6)], linkType: 1 }),
  (random, v6) => ({
    header: [...macs(random), 0x88, 0xa8, ...tag(random), ...vlan(random), ...ethertype(v6)], linkType: 1,
  }),
  // PPPoE over Ethernet, over a VLAN, and by itself; PPP
  (random, v6) => ({ header: [...macs(random), ...PPPOE, ...ppp(v6)], linkType: 1 }),
  (random, v6) => ({ header: [...macs(random), ...vlan(random), ...PPPOE, ...ppp(v6)], linkType: 1 }),
  (_, v6) => ({ header: [...PPPOE.slice(2), ...ppp(v6)], linkType: 51 }),
  (_, v6) => ({ header: [0xff, 3, ...ppp(v6)], linkType: 9 }),
  // MPLS
  random => ({ header: [...macs(random), 0x88, 0x47, ...label(random, true)], linkType: 1 }),
  random => ({ header: [...macs(random), 0x88, 0x48, ...label(random, false), ...label(random, true)], linkType: 1 }),
  // SLL, SLL2
  (random, v6) => ({ header: [0, 0, 0, 1, 0, 6, ...macs(random).slice(0, 8), ...ethertype(v6)], linkType: 113 }),
  (random, v6) => ({
    header: [...ethertype(v6), 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, ...macs(random).slice(0, 8)], linkType: 276,
  }),
  // NULL in either byte order, LOOP
  (random, v6) => ({ header: [v6 ? random.pick([10, 24, 28, 30]) : 2, 0, 0, 0], linkType: 0 }),
  (random, v6) => ({ header: [0, 0, 0, v6 ? random.pick([10, 24, 28, 30]) : 2], linkType: 0 }),
  (_, v6) => ({ header: [0, 0, 0, v6 ? 24 : 2], linkType: 108 }),
]

function wrap(random: Random, packet: Uint8Array): { data: Uint8Array; linkType: number } {
  const { header, linkType } = random.pick(WRAPPINGS)(random, packet[0] >> 4 === 6)
  const data = new Uint8Array(header.length + packet.length)
  data.set(header)
  data.set(packet, header.length)
  return { data, linkType }
}

/** Frames by the chunk; the last chunk is what is left. */
function* chunks(source: Source, total: number, size = CHUNK): Generator<Frame[]> {
  for (let made = 0; made < total; made += size) yield Array.from({ length: Math.min(size, total - made) }, source)
}

/** What is wrong with verdict `i` of a batch; `null` for nothing. */
function inconsistency(verdicts: VerdictBatch, i: number, frame: Frame): string | null {
  const [state, reason] = [STATES[verdicts.state[i]], REASONS[verdicts.reason[i]]]
  const [direction, connection, flags] = [verdicts.direction[i], verdicts.connection[i], verdicts.flags[i]]
  const [family, protocol, protocolState] = [verdicts.family[i], verdicts.protocol[i], verdicts.protocolState[i]]
  const [network, transport] = [verdicts.networkOffset[i], verdicts.transportOffset[i]]
  const checks: Readonly<Record<string, boolean>> = {
    'an unknown state': state !== undefined,
    'an unknown reason': reason !== undefined,
    'an unknown direction': direction <= 2,
    'an unknown protocol state':
      protocolState === 0 || Boolean(tcpStateName(protocolState) ?? sctpStateName(protocolState)),
    'a reason without INVALID or null, or the reverse': (state === null || state === 'INVALID') === (reason !== null),
    'a reason of the wrong state': (state === null) === (verdicts.reason[i] >= 1 && verdicts.reason[i] <= 4),
    'a connection without a direction': connection === 0 || direction !== 0,
    'a direction without an entry': direction === 0 || ['NEW', 'ESTABLISHED', 'RELATED'].includes(state ?? ''),
    'NEW in the reply direction, or with a reply seen':
      state !== 'NEW' || (direction === 1 && !(flags & VERDICT_SEEN_REPLY)),
    'NEW or ESTABLISHED without a direction': direction !== 0 || (state !== 'NEW' && state !== 'ESTABLISHED'),
    // A reset ends a connection that nobody answered.
    'no connection, though it is no reset': connection !== 0 || direction === 0 || protocol === 6,
    'a reply that was not seen': state !== 'ESTABLISHED' || connection === 0 || (flags & VERDICT_SEEN_REPLY) !== 0,
    'RELATED without a connection or not ICMP':
      state !== 'RELATED' || (connection !== 0 && (protocol === 1 || protocol === 58)),
    'a timeout without a connection, or none with one': (verdicts.timeoutNs[i] > 0) === (connection !== 0),
    'a protocol state without a connection': connection !== 0 || protocolState === 0,
    'ASSURED without a connection': connection !== 0 || !(flags & VERDICT_ASSURED),
    'dropped for another reason than a full table': ((flags & VERDICT_DROPPED) !== 0) === (reason === 'table-full'),
    'a state without IP': family !== 0 || (state === null && (reason === 'not-ip' || reason === 'cut-short')),
    'an IP version that does not exist': family === 0 || family === 4 || family === 6,
    'an IP header beyond the packet': network <= frame.data.length,
    'a transport header outside of the IP packet':
      transport === 0 || (transport >= network + 20 && transport <= frame.data.length),
  }
  return Object.keys(checks).find(name => !checks[name]) ?? null
}

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((total, n) => total + n, 0)

/** Feeds a source in batches; after each the books must balance. */
function balance(source: Source, options: TrackerOptions): void {
  const tracker = createTracker({ hashSeed: SEED, ...options })
  const { memoryBytes } = tracker
  const told = { new: 0, destroy: 0 }
  tracker.on('new', () => { told.new++ })
  tracker.on('destroy', () => { told.destroy++ })
  const seen = { packets: 0, ip: 0, batches: 0 }
  for (const frames of chunks(source, PACKETS, BATCH)) {
    const verdicts = feed(tracker, frames, seen.packets)
    frames.forEach((frame, i) => {
      const wrong = inconsistency(verdicts, i, frame)
      if (wrong) throw new Error(`${where(seen.packets + i)}: ${wrong}`)
      if (verdicts.family[i] !== 0) seen.ip++
    })
    seen.packets += frames.length
    const at = where(seen.packets)
    const { packets, states, reasons, protocols, entries, maxConnections } = tracker.statistics()
    expect(packets, at).toBe(seen.packets)
    expect(sum(states), at).toBe(seen.packets)
    expect(sum(reasons), at).toBe(states.none + states.INVALID)
    // An IP header that is discarded has no protocol, but counts as 0.
    expect(sum(protocols), at).toBe(seen.ip)
    expect(entries, at).toBe(told.new - told.destroy)
    expect(entries, at).toBeLessThanOrEqual(maxConnections)
    expect(tracker.memoryBytes, at).toBe(memoryBytes)
    if (seen.batches++ % 16 === 0) tableIsSound(tracker, at)
  }
  tableIsSound(tracker, where(seen.packets))
  expect(told.new, 'something was tracked').toBeGreaterThan(0)
}

function tableIsSound(tracker: Tracker, at: string): void {
  const connections = [...tracker.connections()]
  expect(connections.length, at).toBe(tracker.statistics().entries)
  const ids = connections.map(({ id }) => id)
  expect(ids.every((id, i) => id > 0 && (i === 0 || id > ids[i - 1])), `${at}: ids are in order`).toBe(true)
  expect(connections.filter(({ status }) => !status.includes('CONFIRMED')), at).toEqual([])
  for (const connection of connections.slice(0, 3)) {
    expect(tracker.connection(connection.id), at).toEqual(connection)
    expect(tracker.find(connection.original)?.id, at).toBe(connection.id)
    expect(tracker.find(connection.reply)?.id, at).toBe(connection.id)
  }
}

const where = (packet: number) => `SEED=${SEED}, packet ${packet + 1}`

function feed(tracker: Tracker, frames: readonly Frame[], from: number): VerdictBatch {
  try {
    return tracker.trackBatch(packetBatch(frames))
  } catch (error) {
    throw new Error(`${where(from)} or one of the ${frames.length - 1} after it throws`, { cause: error })
  }
}

const COLUMNS = [
  'state', 'direction', 'reason', 'connection', 'protocolState', 'flags', 'timeoutNs', 'protocol', 'family',
  'networkOffset', 'transportOffset',
] as const

/** One way to feed frames: row by row what comes of them. */
type Feeder = (tracker: Tracker, frames: readonly Frame[], from: number) => string[]

const inBatches = (size: number): Feeder => (tracker, frames, from) => {
  const rows: string[] = []
  for (let i = 0; i < frames.length; i += size) {
    const verdicts = feed(tracker, frames.slice(i, i + size), from + i)
    for (let j = 0; j < verdicts.count; j++) rows.push(COLUMNS.map(column => verdicts[column][j]).join())
  }
  return rows
}

/** Feeds the same frames in several ways to a tracker each; rows and tables must be equal all along. */
function agree(
  source: Source, total: number, options: TrackerOptions, feeders: Readonly<Record<string, Feeder>>,
): void {
  const runs = Object.entries(feeders).map(([name, feeder]) => ({
    name, feeder, tracker: createTracker({ hashSeed: SEED, ...options }),
  }))
  let from = 0
  for (const frames of chunks(source, total)) {
    const [first, ...others] = runs.map(({ name, feeder, tracker }) => ({ name, rows: feeder(tracker, frames, from) }))
    expect(first.rows).toHaveLength(frames.length)
    for (const { name, rows } of others) {
      const i = first.rows.findIndex((row, i) => row !== rows[i])
      if (i >= 0) throw new Error(`${where(from + i)}: ${first.name} ${first.rows[i]}, ${name} ${rows[i]}`)
    }
    from += frames.length
  }
  const [first, ...others] = runs.map(({ tracker }) => {
    const table = [...tracker.connections()]
    return { table, statistics: tracker.statistics() }
  })
  expect(first.table.length).toBeGreaterThan(0)
  for (const other of others) {
    expect(other.table satisfies Connection[], `SEED=${SEED}`).toEqual(first.table)
    expect(other.statistics, `SEED=${SEED}`).toEqual(first.statistics)
  }
}

describe(`SEED=${SEED} PACKETS=${PACKETS}`, () => {
  test('random bytes never throw and the books balance', () => {
    balance(noise(SEED), { maxConnections: 300, checksum: 'ignore' })
  }, MINUTES)

  const MODES = ['verify', 'offload', 'ignore'] as const

  test.each(MODES)('damaged packets never throw and the books balance: %s', checksum => {
    balance(damaged(SEED), { maxConnections: checksum === 'ignore' ? 24 : 4096, checksum })
  }, MINUTES)

  const SPLITS = { 'by 256': inBatches(256), 'by 64': inBatches(64), 'by 3': inBatches(3), 'by 1': inBatches(1) }

  test('however packets are split into batches, verdicts and table are the same', () => {
    agree(mixed(SEED + 1), PACKETS / 2, { checksum: 'ignore', maxConnections: 4096, sysctl: { acct: 1 } }, SPLITS)
  }, MINUTES)

  test('the same with a table that is always full, so that connections are evicted', () => {
    agree(mixed(SEED + 2), PACKETS / 2, { checksum: 'ignore', maxConnections: 12 }, SPLITS)
  }, MINUTES)

  const OCCUPIED = { checksum: 'ignore', maxConnections: 3, sysctl: { tcp_timeout_established: 100 } } as const

  test('the same with a table that refuses connections', () => {
    agree(occupied(SEED + 6), PACKETS / 2, OCCUPIED, SPLITS)
  }, MINUTES)

  test('the same with thousands of connections, so that buckets overflow', () => {
    agree(flood(SEED + 5), PACKETS / 2, { checksum: 'ignore', maxConnections: 1500 }, SPLITS)
  }, MINUTES)

  test('the tables of those tests do evict, and do refuse', () => {
    const counts = [[OCCUPIED, occupied(SEED + 6)], [{ maxConnections: 1500 }, flood(SEED + 5)]] as const
    const [small, large] = counts.map(([options, source]) => {
      const tracker = createTracker({ hashSeed: SEED, checksum: 'ignore', ...options })
      for (const frames of chunks(source, 20_000, BATCH)) tracker.trackBatch(packetBatch(frames))
      return tracker.statistics().counters
    })
    expect(small.early_drop).toBeGreaterThan(100)
    expect(small.drop).toBeGreaterThan(100)
    expect(large.early_drop).toBeGreaterThan(100)
  }, MINUTES)

  test('packet by packet through track() the verdicts are those of a batch', () => {
    const VERDICT = [
      'state', 'direction', 'reason', 'connection', 'dropped', 'tcpState', 'sctpState', 'assured', 'timeoutMs',
    ] as const
    const tracker = createTracker({ hashSeed: SEED, checksum: 'verify', maxConnections: 64 })
    const batched = createTracker({ hashSeed: SEED, checksum: 'verify', maxConnections: 64 })
    let from = 0
    for (const frames of chunks(mixed(SEED + 3), PACKETS / 2, BATCH)) {
      const verdicts = feed(batched, frames, from)
      frames.forEach(({ data, time, linkType, originalLength }, i) => {
        const verdict = tracker.track(data, { time, linkType, originalLength })
        const expected = objectOf(verdicts, i)
        const different = VERDICT.find(field => verdict[field] !== expected[field])
        if (different || verdict.packet !== from + i + 1) {
          throw new Error(`${where(from + i)}: ${different} is ${verdict[different ?? 'state']} from track`)
        }
      })
      from += frames.length
    }
    expect([...tracker.connections()]).toEqual([...batched.connections()])
    expect(tracker.statistics()).toEqual(batched.statistics())
  }, MINUTES)

  test('what a whole packet is wrapped in changes neither verdict nor table', () => {
    const random = new Random(SEED + 4)
    const generator = new PacketGenerator(SEED + 4, { conversations: 40 })
    const [plain, wrapped] = [1, 2].map(() => createTracker({ hashSeed: SEED, maxConnections: 64 }))
    for (let i = 0; i < PACKETS / 8; i++) {
      const packet = generator.next()
      const { data, linkType } = wrap(random, packet)
      expect(wrapped.track(data, { linkType }), where(i)).toEqual(plain.track(packet))
    }
    expect([...wrapped.connections()]).toEqual([...plain.connections()])
    expect(plain.statistics().states.ESTABLISHED).toBeGreaterThan(PACKETS / 80)
  }, MINUTES)
})

/** Verdict `i` of a batch in the words of `track`. */
function objectOf(verdicts: VerdictBatch, i: number) {
  const connection = verdicts.connection[i] || null
  return {
    state: STATES[verdicts.state[i]], direction: ([null, 'original', 'reply'] as const)[verdicts.direction[i]],
    reason: REASONS[verdicts.reason[i]], connection, dropped: (verdicts.flags[i] & VERDICT_DROPPED) !== 0,
    tcpState: tcpStateName(verdicts.protocolState[i]), sctpState: sctpStateName(verdicts.protocolState[i]),
    assured: connection ? (verdicts.flags[i] & VERDICT_ASSURED) !== 0 : null,
    timeoutMs: connection ? Math.floor(verdicts.timeoutNs[i] / 1e6) : null,
  }
}
