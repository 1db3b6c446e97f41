/** The tracker as its users see it: options, misuse, table, clock, matches, checksums, events, batches, `explain`. */
import { packet } from 'conntrack-wasm/testing'
import { describe, expect, test } from 'vitest'
import {
  ConntrackError, createTracker, packetBatch, REASONS, STATES, SYSCTLS, type Connection, type ConnectionEvent,
  type PacketBatch, type PacketMatch, type Reason, type State, type Tracker, type TrackerOptions, type TupleQuery,
  type VerdictBatch,
} from '../../src/index.js'
import { icmp, ip, tcp, udp, type Endpoints } from '../support/build.js'

const T0 = 1_700_000_000_000_000_000n
const SECOND = 1_000_000_000n
const AT: Endpoints = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 53 }
const AT6: Endpoints = { src: '2001:db8::1', dst: '2001:db8::2', sport: 1000, dport: 53 }

const back = ({ src, dst, sport, dport }: Endpoints): Endpoints => ({ src: dst, dst: src, sport: dport, dport: sport })
/** The n-th of many UDP endpoints. */
const many = (n: number): Endpoints => ({ ...AT, src: `10.1.${n >> 8 & 255}.${n & 255}`, sport: 1024 + (n >> 16) })
const make = (options: TrackerOptions = {}) => createTracker({ maxConnections: 1024, hashSeed: 1, ...options })

/** The code of the ConntrackError that a call throws; what else it throws fails the test. */
function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (error instanceof ConntrackError) return error.code
    throw error
  }
  return 'nothing thrown'
}

/** A value of another type than the signature asks for, as callers without types pass it. */
function wrong<T>(value: unknown): T {
  return value as T
}

/** A tracker that a handshake has made an ASSURED connection in for each port given. */
function handshake(tracker: Tracker, at: Endpoints, time = T0): void {
  tracker.track(tcp(at, { flags: 'S', seq: 100, window: 1000 }), { time })
  tracker.track(tcp(back(at), { flags: 'SA', seq: 500, ack: 101, window: 1000 }), { time })
  tracker.track(tcp(at, { flags: 'A', seq: 101, ack: 501, window: 1000 }), { time })
}

function udpBatch(count: number, time = T0): PacketBatch {
  return packetBatch(Array.from({ length: count }, (_, i) => ({ data: udp(many(i), 0), time, linkType: 101 })))
}

const VERSION_2 = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 6, 6, 1, 127, 0, 65, 2, 11, 7, 11, 1, 7, 86, 69, 82, 83, 73, 79, 78, 3, 0)
const EMPTY_MODULE = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)
/** Imports a function `b` from `a`. */
const IMPORTING_MODULE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 2, 7, 1, 1, 97, 1, 98, 0, 0)

describe('options', () => {
  test.each<[string, unknown, string]>([
    ['options that are null', null, 'invalid-argument'],
    ['options that are a string', 'x', 'invalid-argument'],
    ['maxConnections 0', { maxConnections: 0 }, 'invalid-argument'],
    ['maxConnections 1.5', { maxConnections: 1.5 }, 'invalid-argument'],
    ['maxConnections over 2^24', { maxConnections: 2 ** 24 + 1 }, 'invalid-argument'],
    ['maxConnections as a string', { maxConnections: '5' }, 'invalid-argument'],
    ['maxConnections NaN', { maxConnections: NaN }, 'invalid-argument'],
    ['batchSize 0', { batchSize: 0 }, 'invalid-argument'],
    ['batchSize over 65,536', { batchSize: 65_537 }, 'invalid-argument'],
    ['an unknown checksum mode', { checksum: 'sometimes' }, 'invalid-argument'],
    ['a hashSeed of 0.5', { hashSeed: 0.5 }, 'invalid-argument'],
    ['a hashSeed of 2^53', { hashSeed: 2 ** 53 }, 'invalid-argument'],
    ['a hashSeed of seven bytes', { hashSeed: new Uint8Array(7) }, 'invalid-argument'],
    ['a hashSeed that is text', { hashSeed: 'x' }, 'invalid-argument'],
    ['notrack that is no array', { notrack: { protocol: 'udp' } }, 'invalid-argument'],
    ['drop that is no array', { drop: 'udp' }, 'invalid-argument'],
    ['65 matches', { drop: Array.from({ length: 65 }, () => ({})) }, 'invalid-argument'],
    ['a match with an unknown field', { notrack: [{ port: 53 }] }, 'invalid-argument'],
    ['a match with an unknown protocol', { notrack: [{ protocol: 'quic' }] }, 'invalid-argument'],
    ['a match with protocol 256', { notrack: [{ protocol: 256 }] }, 'invalid-argument'],
    ['a match with protocol ""', { notrack: [{ protocol: '' }] }, 'invalid-argument'],
    ['a match with a host name', { notrack: [{ src: 'example.org' }] }, 'invalid-argument'],
    ['a match with a prefix of 33 bits', { notrack: [{ src: '10.0.0.0/33' }] }, 'invalid-argument'],
    ['a match with a prefix of 129 bits', { notrack: [{ src: '::/129' }] }, 'invalid-argument'],
    ['a match with two slashes', { notrack: [{ dst: '10.0.0.0/8/8' }] }, 'invalid-argument'],
    ['a match with an empty prefix', { notrack: [{ dst: '10.0.0.0/' }] }, 'invalid-argument'],
    ['a match with a short address', { notrack: [{ dst: '10.1' }] }, 'invalid-argument'],
    ['a match of two IP versions', { notrack: [{ src: '10.0.0.1', dst: '::1' }] }, 'invalid-argument'],
    ['a match with port 65,536', { notrack: [{ dport: 65_536 }] }, 'invalid-argument'],
    ['a match with a port range the wrong way round', { notrack: [{ dport: '9-8' }] }, 'invalid-argument'],
    ['a match with port -1', { notrack: [{ sport: -1 }] }, 'invalid-argument'],
    ['an unknown sysctl', { sysctl: { tcp_lose: 1 } }, 'unknown-sysctl'],
    ['a name of Object.prototype as a sysctl', { sysctl: { constructor: 1 } }, 'unknown-sysctl'],
    ['a sysctl over its range', { sysctl: { tcp_loose: 2 } }, 'sysctl-range'],
    ['an option that does not exist', { helper: [] }, 'invalid-argument'],
    ['a sysctl under its range', { sysctl: { udp_timeout: -1 } }, 'sysctl-range'],
    ['a sysctl that is not whole', { sysctl: { udp_timeout: 1.5 } }, 'sysctl-range'],
    ['a sysctl that is text', { sysctl: { udp_timeout: '30' } }, 'sysctl-range'],
    ['an empty module', { module: new WebAssembly.Module(EMPTY_MODULE) }, 'wrong-core'],
    ['a module of another version', { module: new WebAssembly.Module(VERSION_2) }, 'wrong-core'],
  ])('%s: %s %s', (_, options, code) => {
    expect(codeOf(() => createTracker(wrong<TrackerOptions>(options)))).toBe(code)
  })

  test('a foreign module with imports: wrong-core', () => {
    const options = { module: new WebAssembly.Module(IMPORTING_MODULE), maxConnections: 1 }
    expect(codeOf(() => createTracker(options))).toBe('wrong-core')
  })

  test('a match that is null: invalid-argument', () => {
    expect(codeOf(() => make({ notrack: wrong<PacketMatch[]>([null]) }))).toBe('invalid-argument')
  })

  test('an unknown sysctl: the message lists those that there are', () => {
    expect(() => make({ sysctl: { tcp_lose: 1 } })).toThrow(Object.keys(SYSCTLS).join(', '))
    expect(() => make().sysctl('nonsense')).toThrow("unknown sysctl 'nonsense'")
  })

  test('a value out of a range: the message has name, value and range', () => {
    expect(() => make({ sysctl: { tcp_max_retrans: 256 } })).toThrow(/tcp_max_retrans: 256 .* 0 to 255/)
  })

  test.each(['udp_timeout', 'nf_conntrack_udp_timeout', 'net.netfilter.nf_conntrack_udp_timeout',
    'net/netfilter/nf_conntrack_udp_timeout'])('a sysctl is known as %s', name => {
    const tracker = make({ sysctl: { [name]: 7 } })
    expect(tracker.sysctl('udp_timeout')).toBe(7)
    expect(tracker.track(udp(AT)).timeoutMs).toBe(7000)
  })

  test('sysctls start with their defaults', () => {
    const tracker = createTracker()
    for (const [name, { initial }] of Object.entries(SYSCTLS)) expect(tracker.sysctl(name), name).toBe(initial)
  })

  test.each([0, -1, 2 ** 53 - 1, 0n, -1n, 1n << 200n, new Uint8Array(8), new Uint8Array(100).fill(7)])(
    'hashSeed %s is taken', hashSeed => {
      expect(make({ hashSeed }).track(udp(AT)).state).toBe('NEW')
    })

  test('without options a tracker holds 262,144 connections and takes batches of 256', () => {
    const tracker = createTracker()
    expect(tracker.statistics().maxConnections).toBe(262_144)
    expect(tracker.trackBatch(udpBatch(256)).count).toBe(256)
    expect(codeOf(() => tracker.trackBatch(udpBatch(257)))).toBe('batch-too-large')
  })

  test('64 matches are taken, and the last one counts', () => {
    const notrack = Array.from({ length: 64 }, (_, i) => ({ protocol: i }))
    expect(make({ notrack }).track(ip(AT, 63, new Uint8Array(0))).state).toBe('UNTRACKED')
    expect(make({ notrack }).track(ip(AT, 64, new Uint8Array(0))).state).toBe('NEW')
  })

  test('memory grows with maxConnections, with acct and with explain', () => {
    const sizes = [make({ maxConnections: 100_000 }), make({ maxConnections: 200_000 }),
      make({ maxConnections: 200_000, sysctl: { acct: 1 } }),
      make({ maxConnections: 200_000, sysctl: { acct: 1 }, explain: true })].map(tracker => tracker.memoryBytes)
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b))
    expect(new Set(sizes).size).toBe(4)
  })
})

describe('misuse of methods', () => {
  const batch = udpBatch(4)
  const without = (change: object) => wrong<PacketBatch>({ ...batch, ...change })

  test.each<[string, (tracker: Tracker) => unknown, string]>([
    ['track of an array', t => t.track(wrong<Uint8Array>([1, 2])), 'invalid-argument'],
    ['track of an ArrayBuffer', t => t.track(wrong<Uint8Array>(new ArrayBuffer(4))), 'invalid-argument'],
    ['track with a time that is a number', t => t.track(udp(AT), { time: wrong<bigint>(5) }), 'invalid-argument'],
    ['track with an unknown link type', t => t.track(udp(AT), { linkType: wrong<'raw'>('token-ring') }),
      'invalid-argument'],
    ['track with link type 65,536', t => t.track(udp(AT), { linkType: 65_536 }), 'invalid-argument'],
    ['track with link type toString', t => t.track(udp(AT), { linkType: wrong<'raw'>('toString') }),
      'invalid-argument'],
    ['track with a negative originalLength', t => t.track(udp(AT), { originalLength: -1 }), 'invalid-argument'],
    ['track with an originalLength of 2^32', t => t.track(udp(AT), { originalLength: 2 ** 32 }), 'invalid-argument'],
    ['a batch larger than batchSize', t => t.trackBatch(udpBatch(9)), 'batch-too-large'],
    ['a batch with a negative count', t => t.trackBatch(without({ count: -1 })), 'invalid-argument'],
    ['a batch with a count of 1.5', t => t.trackBatch(without({ count: 1.5 })), 'invalid-argument'],
    ['a batch without a count', t => t.trackBatch(without({ count: undefined })), 'invalid-argument'],
    ['a batch with data that is no Uint8Array', t => t.trackBatch(without({ data: batch.data.buffer })),
      'invalid-argument'],
    ...['offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType'].flatMap<
      [string, (tracker: Tracker) => unknown, string]>(column => [
        [`a batch with a short column ${column}`, t => t.trackBatch(without({ [column]: [1, 2, 3] })),
          'invalid-argument'],
        [`a batch without the column ${column}`, t => t.trackBatch(without({ [column]: undefined })),
          'invalid-argument'],
      ]),
    ['a batch with a packet beyond its data', t => t.trackBatch(without({ length: Uint32Array.of(28, 28, 28, 29) })),
      'invalid-argument'],
    ['a batch with an offset beyond its data',
      t => t.trackBatch(without({ offset: Uint32Array.of(0, 2 ** 32 - 1, 0, 0) })),
      'invalid-argument'],
    ['connection("1")', t => t.connection(wrong<number>('1')), 'invalid-argument'],
    ['connection(-1)', t => t.connection(-1), 'invalid-argument'],
    ['connection(2^32)', t => t.connection(2 ** 32), 'invalid-argument'],
    ['delete(0.5)', t => t.delete(0.5), 'invalid-argument'],
    ['find of a host name', t => t.find({ protocol: 'udp', src: 'localhost', dst: '10.0.0.1' }), 'invalid-argument'],
    ['find of two IP versions', t => t.find({ protocol: 'udp', src: '::1', dst: '10.0.0.1' }), 'invalid-argument'],
    ['find of an unknown protocol', t => t.find({ ...AT, protocol: 'x' }), 'invalid-argument'],
    ['find of port 65,536', t => t.find({ ...AT, protocol: 'udp', sport: 65_536 }), 'invalid-argument'],
    ['find of port -1', t => t.find({ ...AT, protocol: 'udp', dport: -1 }), 'invalid-argument'],
    ['find of ICMP type 256', t => t.find({ ...AT, protocol: 'icmp', type: 256 }), 'invalid-argument'],
    ['advance to a number', t => t.advance(wrong<bigint>(5)), 'invalid-argument'],
    ['entry before any packet', t => t.entry(0), 'not-remembered'],
    ['explain before any packet', t => t.explain(1), 'not-remembered'],
    ['setSysctl of an unknown name', t => t.setSysctl('x', 1), 'unknown-sysctl'],
    ['setSysctl out of range', t => t.setSysctl('tcp_loose', 3), 'sysctl-range'],
    ['setSysctl acct after creation', t => t.setSysctl('acct', 1), 'invalid-argument'],
    ['on an unknown event', t => t.on(wrong<'new'>('created'), () => {}), 'invalid-argument'],
    ['on an event of Object.prototype', t => t.on(wrong<'new'>('toString'), () => {}), 'invalid-argument'],
    ['on without a function', t => t.on('new', wrong<() => void>('x')), 'invalid-argument'],
  ])('%s', (_, call, code) => {
    const tracker = make({ batchSize: 8 })
    expect(codeOf(() => call(tracker))).toBe(code)
    // Nothing was counted, and the tracker goes on.
    expect(tracker.statistics().packets).toBe(0)
    expect(tracker.track(udp(AT)).state).toBe('NEW')
  })

  test('an entry beyond the last batch is an invalid argument', () => {
    const tracker = make()
    tracker.track(udp(AT))
    expect([1, -1, 0.5].map(index => codeOf(() => tracker.entry(index)))).toEqual(Array(3).fill('invalid-argument'))
  })

  test.each([0, 1, 3, 1.5, NaN, -1, wrong<number>('x'), wrong<number>(null)])(
    'packet %s, which is not the last call\'s, is not remembered', number => {
      const tracker = make()
      tracker.track(udp(AT))
      tracker.track(udp(AT))
      expect(codeOf(() => tracker.explain(number))).toBe('not-remembered')
      expect(tracker.explain(2).packet).toBe(2)
    })

  test('packets of batches are not remembered without the option explain', () => {
    const tracker = make()
    tracker.track(udp(AT))
    tracker.trackBatch(udpBatch(2))
    expect(codeOf(() => tracker.explain(3))).toBe('not-remembered')
    expect(codeOf(() => tracker.entry(0))).toBe('not-remembered')
  })

  test.each([80.5, NaN, 2 ** 32 + 1000])('find of port %s is an invalid argument', sport => {
    expect(codeOf(() => make().find({ ...AT, protocol: 'udp', sport }))).toBe('invalid-argument')
  })

  test.each<[string, (tracker: Tracker) => unknown]>([
    ['track with info null', t => t.track(udp(AT), wrong<object>(null))],
    ['trackBatch of null', t => t.trackBatch(wrong<PacketBatch>(null))],
    ['trackBatch with a column that is an array', t => t.trackBatch(without({ count: 2, offset: [0, 28, 0, 0] }))],
    ['find of null', t => t.find(wrong<TupleQuery>(null))],

  ])('%s is an error with a code', (_, call) => {
    expect(codeOf(() => call(make()))).toMatch('invalid-argument')
  })
})

describe('the end of a tracker', () => {
  const calls: readonly [string, (tracker: Tracker) => unknown][] = [
    ['track', t => t.track(udp(AT))],
    ['trackBatch', t => t.trackBatch(udpBatch(1))],
    ['connections', t => [...t.connections()]],
    ['connection', t => t.connection(1)],
    ['find', t => t.find({ ...AT, protocol: 'udp' })],
    ['delete', t => t.delete(1)],
    ['entry', t => t.entry(0)],
    ['statistics', t => t.statistics()],
    ['advance', t => t.advance(T0)],
    ['explain', t => t.explain(1)],
    ['setSysctl', t => t.setSysctl('tcp_loose', 0)],
    ['on', t => t.on('new', () => {})],
  ]

  test.each(calls)('%s throws closed', (_, call) => {
    const tracker = make()
    tracker.track(udp(AT))
    tracker.close()
    expect(codeOf(() => call(tracker))).toBe('closed')
  })

  test('sysctl throws closed', () => {
    const tracker = make()
    tracker.close()
    expect(codeOf(() => tracker.sysctl('tcp_loose'))).toBe('closed')
  })

  test('a disposed tracker is closed, and may be closed again', () => {
    const tracker = make()
    tracker[Symbol.dispose]()
    tracker.close()
    expect(codeOf(() => tracker.track(udp(AT)))).toBe('closed')
  })

  test('`using` closes at the end of the block', () => {
    let outside: Tracker
    {
      using tracker = make()
      expect(tracker.track(udp(AT)).state).toBe('NEW')
      outside = tracker
    }
    expect(codeOf(() => outside.statistics())).toBe('closed')
  })

  test('connections() that was begun throws when the tracker is closed in between', () => {
    const tracker = make()
    tracker.trackBatch(udpBatch(2))
    const connections = tracker.connections()
    expect(connections.next().value?.id).toBe(1)
    tracker.close()
    expect(codeOf(() => connections.next())).toBe('closed')
  })
})

describe('calls from within a listener', () => {
  test.each<[string, (tracker: Tracker) => unknown]>([
    ['track', t => t.track(udp(AT))],
    ['trackBatch', t => t.trackBatch(udpBatch(1))],
    ['connections', t => [...t.connections()]],
    ['connection', t => t.connection(1)],
    ['find', t => t.find({ ...AT, protocol: 'udp' })],
    ['delete', t => t.delete(1)],
    ['advance', t => t.advance(T0)],
    ['setSysctl', t => t.setSysctl('tcp_loose', 0)],
  ])('%s throws re-entrant', (_, call) => {
    const tracker = make()
    const codes: string[] = []
    tracker.on('new', () => codes.push(codeOf(() => call(tracker))))
    tracker.track(udp(AT))
    expect(codes).toEqual(['re-entrant'])
    expect(tracker.track(udp(AT)).state).toBe('NEW')
  })

  test.each<[string, (tracker: Tracker) => unknown]>([
    ['explain', t => t.explain(1)],
    ['entry', t => t.entry(0)],
  ])('%s throws re-entrant', (_, call) => {
    const tracker = make({ explain: true })
    tracker.track(udp(AT))
    const codes: string[] = []
    tracker.on('new', () => codes.push(codeOf(() => call(tracker))))
    tracker.track(udp(many(1)))
    expect(codes).toEqual(['re-entrant'])
  })

  test('an error of a listener comes out of the call, and the tracker goes on', () => {
    const tracker = make()
    const off = tracker.on('new', () => { throw new RangeError('mine') })
    expect(() => tracker.track(udp(AT))).toThrow(new RangeError('mine'))
    off()
    expect(tracker.track(udp(AT)).connection).toBe(1)
  })
})

describe('the table', () => {
  test('connections() are in the order in which they were first seen, also where slots are used again', () => {
    const tracker = make({ maxConnections: 64 })
    for (let i = 0; i < 10; i++) tracker.track(udp(many(i)), { time: T0 })
    for (const id of [2, 5, 1]) expect(tracker.delete(id)).toBe(true)
    for (let i = 20; i < 25; i++) tracker.track(udp(many(i)), { time: T0 })
    expect([...tracker.connections()].map(({ id }) => id)).toEqual([3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
  })

  test('a connection that is deleted while connections() goes on is not given any more', () => {
    const tracker = make()
    tracker.trackBatch(udpBatch(3))
    const ids: number[] = []
    for (const { id } of tracker.connections()) {
      ids.push(id)
      tracker.delete(2)
    }
    expect(ids).toEqual([1, 3])
  })

  test('ids are never used again', () => {
    const tracker = make({ maxConnections: 2 })
    const ids = Array.from({ length: 50 }, (_, i) => {
      const { connection } = tracker.track(udp(many(i)), { time: T0 })
      expect(tracker.delete(connection ?? 0)).toBe(true)
      return connection
    })
    expect(ids).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  })

  test('a packet that confirms nothing takes no id', () => {
    const tracker = make({ drop: [{ dport: 9 }] })
    tracker.track(tcp(AT, { flags: 'R' }))
    tracker.track(udp({ ...AT, dport: 9 }))
    expect(tracker.track(udp(AT)).connection).toBe(1)
  })

  test('connection(id) gives the live connection, null for others', () => {
    const tracker = make()
    tracker.track(udp(AT), { time: T0 })
    expect(tracker.connection(1)?.original).toEqual({ ...AT, family: 4, protocol: 17 })
    expect(tracker.connection(1)?.reply).toEqual({ ...back(AT), family: 4, protocol: 17 })
    expect([tracker.connection(0), tracker.connection(2), tracker.connection(0xffffffff)]).toEqual([null, null, null])
    tracker.advance(T0 + 30n * SECOND)
    expect(tracker.connection(1)).toBeNull()
  })

  test.each<[string, TupleQuery, Uint8Array]>([
    ['UDP', { ...AT, protocol: 'udp' }, udp(AT)],
    ['UDP by number', { ...AT, protocol: 17 }, udp(AT)],
    ['UDP over IPv6', { ...AT6, protocol: 'UDP' }, udp(AT6)],
    ['IPv6 written out', { ...AT6, src: '2001:0DB8:0:0:0:0:0:1', protocol: 'udp' }, udp(AT6)],
    ['TCP', { ...AT, protocol: 'tcp' }, tcp(AT, { flags: 'S' })],
    ['port 0', { src: AT.src, dst: AT.dst, protocol: 'udp' }, udp({ src: AT.src, dst: AT.dst })],
    ['a protocol without ports', { ...AT, protocol: 'esp' }, ip(AT, 50, new Uint8Array(3))],
  ])('find() knows a connection from both of its ends: %s', (_, query, packet) => {
    const tracker = make()
    const { connection } = tracker.track(packet)
    const { src, dst, sport, dport } = query
    expect(tracker.find(query)?.id).toBe(connection)
    expect(tracker.find({ ...query, src: dst, dst: src, sport: dport, dport: sport })?.id).toBe(connection)
    expect(tracker.find({ ...query, protocol: 6 + Number(query.protocol === 'tcp') })?.id).toBeUndefined()
    expect(tracker.find({ ...query, src: dst, dst: src, sport, dport: 9 })?.id).toBe(
      query.protocol === 'esp' ? connection : undefined)
  })

  test.each<[string, Endpoints, string, number, number]>([
    ['echo', AT, 'icmp', 8, 0],
    ['timestamp', AT, 'icmp', 13, 14],
    ['address mask', AT, 'icmp', 17, 18],
    ['ICMPv6 echo', AT6, 'icmpv6', 128, 129],
    ['node information', AT6, 'icmpv6', 139, 140],
  ])('find() knows ICMP by request and by reply: %s', (_, { src, dst }, protocol, request, reply) => {
    const tracker = make()
    tracker.track(icmp({ src, dst }, request, 0, [0x12, 0x34, 0, 1]))
    const common = { protocol, code: 0, id: 0x1234 }
    expect(tracker.find({ ...common, src, dst, type: request })?.id).toBe(1)
    expect(tracker.find({ ...common, src: dst, dst: src, type: reply })?.id).toBe(1)
    expect(tracker.find({ ...common, src, dst, type: reply })).toBeNull()
    expect(tracker.find({ ...common, src: dst, dst: src, type: request })).toBeNull()
    expect(tracker.find({ ...common, src, dst, type: request, id: 0x1235 })).toBeNull()
    expect(tracker.find({ ...common, src, dst, type: request, code: 1 })).toBeNull()
    expect(tracker.connection(1)?.reply).toMatchObject({ type: reply, code: 0, id: 0x1234 })
  })

  test('an ICMP type without an answer is found nowhere', () => {
    expect(make().find({ protocol: 'icmp', src: AT.src, dst: AT.dst, type: 3 })).toBeNull()
  })

  test('delete() removes: the next packet opens a new connection', () => {
    const tracker = make()
    tracker.track(udp(AT))
    expect([1, 1, 0, 7].map(id => tracker.delete(id))).toEqual([true, false, false, false])
    expect(tracker.statistics().entries).toBe(0)
    expect(tracker.track(udp(back(AT)))).toMatchObject({ state: 'NEW', direction: 'original', connection: 2 })
  })

  test('equal endpoints: the first packet is NEW, later ones ESTABLISHED in the reply direction', () => {
    const tracker = make()
    const same = { src: '127.0.0.1', dst: '127.0.0.1', sport: 7, dport: 7 }
    const got = [1, 2, 3].map(() => tracker.track(udp(same))).map(({ state, direction }) => `${state} ${direction}`)
    expect(got).toEqual(['NEW original', 'ESTABLISHED reply', 'ESTABLISHED reply'])
  })

  test('entry() is the table entry after the packet, and stays so when time passes', () => {
    const tracker = make({ explain: true, sysctl: { acct: 1 } })
    const batch = packetBatch([udp(AT, 2), udp(AT, 4), new Uint8Array(0), udp(back(AT), 8)].map((data, i) =>
      ({ data, linkType: 101, time: T0 + BigInt(i) * SECOND })))
    tracker.trackBatch(batch)
    tracker.advance(T0 + 20n * SECOND)
    const entries = [0, 1, 2, 3].map(i => tracker.entry(i))
    expect(entries.map(entry => entry?.timeoutMs)).toEqual([30_000, 30_000, undefined, 30_000])
    expect(entries.map(entry => entry?.seenReply)).toEqual([false, false, undefined, true])
    expect(entries.map(entry => entry?.packets)).toEqual(
      [{ original: 1, reply: 0 }, { original: 2, reply: 0 }, undefined, { original: 2, reply: 1 }])
    expect(entries[3]?.bytes).toEqual({ original: 30 + 32, reply: 36 })
  })

  test('after track() entry(0) needs no option', () => {
    const tracker = make()
    const { connection } = tracker.track(udp(AT))
    expect(tracker.entry(0)?.id).toBe(connection)
    tracker.track(new Uint8Array(0))
    expect(tracker.entry(0)).toBeNull()
  })

  test('packets and bytes are counted only with acct', () => {
    const tracker = make()
    tracker.track(udp(AT))
    expect(tracker.connection(1)).toMatchObject({ packets: null, bytes: null })
  })
})

describe('statistics', () => {
  test('a tracker that has seen nothing', () => {
    const { packets, states, reasons, protocols, entries, maxConnections } = make().statistics()
    expect({ packets, reasons, protocols, entries, maxConnections }).toEqual(
      { packets: 0, reasons: {}, protocols: {}, entries: 0, maxConnections: 1024 })
    expect(states).toEqual({ none: 0, NEW: 0, ESTABLISHED: 0, RELATED: 0, INVALID: 0, UNTRACKED: 0 })
  })

  test('every packet is counted once, by state, reason and protocol', () => {
    const tracker = make({ notrack: [{ dport: 5353 }] })
    const broken = udp(AT)
    broken[27] ^= 1
    for (const packet of [
      udp(AT), udp(back(AT)), broken, udp({ ...AT, dport: 5353 }), new Uint8Array(3), new Uint8Array(0),
      tcp(AT, { flags: 'R' }), icmp(AT, 3, 3, [0, 0, 0, 0, ...udp(AT)]), icmp(back(AT), 3, 3, [0, 0, 0, 0, ...udp(AT)]),
      icmp(AT, 40, 0),
    ]) tracker.track(packet)
    const { packets, states, reasons, protocols, entries, counters } = tracker.statistics()
    expect(packets).toBe(10)
    expect(states).toEqual({ none: 2, NEW: 1, ESTABLISHED: 1, RELATED: 1, INVALID: 4, UNTRACKED: 1 })
    expect(reasons).toEqual({
      'not-ip': 2, 'udp-checksum': 1, 'tcp-no-connection': 1, 'icmp-error-target': 1, 'icmp-type': 1,
    })
    expect(protocols).toEqual({ 1: 3, 6: 1, 17: 4 })
    expect({ entries, invalid: counters.invalid, error: counters.error }).toEqual({ entries: 1, invalid: 2, error: 2 })
  })

  test('connections confirmed less connections removed are the entries', () => {
    const tracker = make({ maxConnections: 100, batchSize: 4096 })
    const count = { new: 0, destroy: 0 }
    tracker.on('new', () => { count.new++ })
    tracker.on('destroy', () => { count.destroy++ })
    tracker.trackBatch(udpBatch(3000))
    expect(tracker.statistics().entries).toBe(count.new - count.destroy)
    expect(tracker.statistics().counters.early_drop).toBe(count.destroy)
    expect([...tracker.connections()]).toHaveLength(count.new - count.destroy)
    expect(count.new + (tracker.statistics().reasons['table-full'] ?? 0)).toBe(3000)
  })
})

describe('time', () => {
  test('advance() expires a connection exactly at its deadline and not a nanosecond earlier', () => {
    const tracker = make()
    tracker.track(udp(AT), { time: T0 })
    tracker.advance(T0 + 30n * SECOND - 1n)
    expect(tracker.connection(1)?.timeoutMs).toBe(0)
    expect(tracker.statistics().entries).toBe(1)
    tracker.advance(T0 + 30n * SECOND)
    expect([tracker.connection(1), tracker.find({ ...AT, protocol: 'udp' })]).toEqual([null, null])
    expect(tracker.statistics().entries).toBe(0)
  })

  test.each([[30n * SECOND - 1n, 1], [30n * SECOND, 2]] as const)(
    'a packet %s ns later belongs to connection %s', (later, connection) => {
      const tracker = make()
      tracker.track(udp(AT), { time: T0 })
      expect(tracker.track(udp(AT), { time: T0 + later }).connection).toBe(connection)
    })

  test('the clock never goes back', () => {
    const tracker = make()
    tracker.track(udp(AT), { time: T0 })
    tracker.track(udp(many(1)), { time: T0 - 100n * SECOND })
    tracker.advance(T0 - 1n)
    expect([tracker.connection(1)?.timeoutMs, tracker.connection(2)?.timeoutMs]).toEqual([30_000, 30_000])
    tracker.advance(T0 + 30n * SECOND)
    expect([...tracker.connections()]).toEqual([])
  })

  test('a packet without a time has the time of the one before it', () => {
    const tracker = make()
    tracker.track(udp(AT), { time: T0 })
    tracker.track(udp(many(1)))
    tracker.advance(T0 + 30n * SECOND - 1n)
    expect([...tracker.connections()]).toHaveLength(2)
    tracker.advance(T0 + 30n * SECOND)
    expect([...tracker.connections()]).toHaveLength(0)
  })

  test.each([-1n, -5_000_000_001n, -1_000_000_000n * SECOND])('times before 1970 are times: %s', time => {
    const tracker = make()
    const batch = packetBatch([{ data: udp(AT), time, linkType: 101 }])
    expect(tracker.trackBatch(batch).timeoutNs[0]).toBe(30e9)
    tracker.advance(time + 30n * SECOND - 1n)
    expect(tracker.find({ ...AT, protocol: 'udp' })).not.toBeNull()
    tracker.advance(time + 30n * SECOND)
    expect(tracker.find({ ...AT, protocol: 'udp' })).toBeNull()
  })

  const ABSURD = [NaN, Infinity, -Infinity, 1e300, -1e300, 2 ** 63, 9.3e9, -9.3e9]

  test.each(ABSURD)('%s seconds count as a time', seconds => {
    const nanoseconds = Uint32Array.of(0, 4_294_967_295)
    const batch = { ...udpBatch(2), seconds: Float64Array.of(seconds, seconds), nanoseconds }
    const tracker = make()
    const { state, connection, timeoutNs } = tracker.trackBatch({ ...batch, offset: new Uint32Array(2) })
    expect([...state.subarray(0, 2)].map(state => STATES[state])).toEqual(['NEW', 'NEW'])
    expect([...connection.subarray(0, 2)]).toEqual([1, 1])
    expect([...timeoutNs.subarray(0, 2)]).toEqual([30e9, 30e9])
    expect(tracker.connection(1)?.timeoutMs).toBe(30_000)
  })

  test.each([2n ** 63n - 1n, 2n ** 63n, 2n ** 64n])('%s ns count as a time far in the future', time => {
    const tracker = make()
    tracker.track(udp(many(1)), { time: T0 })
    tracker.track(udp(AT), { time })
    expect([tracker.connection(1), tracker.connection(2)?.timeoutMs]).toEqual([null, 30_000])
  })

  test('a sysctl acts on the next packet of a connection, not on the deadline it has', () => {
    const tracker = make()
    tracker.track(udp(AT), { time: T0 })
    tracker.setSysctl('udp_timeout', 5)
    expect(tracker.sysctl('udp_timeout')).toBe(5)
    expect(tracker.connection(1)?.timeoutMs).toBe(30_000)
    expect(tracker.track(udp(AT), { time: T0 }).timeoutMs).toBe(5000)
    tracker.setSysctl('nf_conntrack_udp_timeout', 60)
    tracker.advance(T0 + 5n * SECOND)
    expect(tracker.connection(1)).toBeNull()
  })

  test('switches act on the next packet', () => {
    const tracker = make()
    tracker.setSysctl('tcp_loose', 0)
    expect(tracker.track(tcp(AT, { flags: 'A' })).reason).toBe('tcp-loose-off')
    tracker.setSysctl('tcp_loose', 1)
    expect(tracker.track(tcp(AT, { flags: 'A' })).state).toBe('NEW')
  })

  test('a timeout of 0 is over at once', () => {
    const tracker = make({ sysctl: { udp_timeout: 0 } })
    expect([1, 2].map(() => tracker.track(udp(AT), { time: T0 }).state)).toEqual(['NEW', 'NEW'])
    expect([...tracker.connections()]).toEqual([])
  })
})

describe('matches', () => {
  const sctp = ({ sport = 0, dport = 0, ...at }: Endpoints) =>
    ip(at, 132, Uint8Array.of(sport >> 8, sport & 255, dport >> 8, dport & 255))

  /** An IPv6 packet with one extension header of eight bytes more. */
  const behind = (type: number, packet: Uint8Array) => {
    const longer = Uint8Array.of(...packet.subarray(0, 40), packet[6], 0, 1, 4, 0, 0, 0, 0, ...packet.subarray(40))
    longer[6] = type
    new DataView(longer.buffer).setUint16(4, longer.length - 40)
    return longer
  }
  const behindAh = (packet: Uint8Array) => behind(51, packet)

  test.each<[string, PacketMatch, Uint8Array, Uint8Array]>([
    ['protocol by name', { protocol: 'udp' }, udp(AT), tcp(AT, { flags: 'S' })],
    ['protocol by number', { protocol: 6 }, tcp(AT6, { flags: 'S' }), udp(AT6)],
    ['protocol by number as text', { protocol: '50' }, ip(AT, 50, new Uint8Array(0)), ip(AT, 51, new Uint8Array(0))],
    ['source address', { src: '10.0.0.1' }, udp(AT), udp(back(AT))],
    ['destination address', { dst: '10.0.0.1' }, udp(back(AT)), udp(AT)],
    ['prefix of 8', { src: '10.9.9.9/8' }, udp({ ...AT, src: '10.255.255.255' }), udp({ ...AT, src: '11.0.0.0' })],
    ['prefix of 31', { dst: '10.0.0.2/31' }, udp({ ...AT, dst: '10.0.0.3' }), udp({ ...AT, dst: '10.0.0.4' })],
    ['prefix of 0 is for its IP version', { src: '0.0.0.0/0' }, udp(AT), udp(AT6)],
    ['IPv6 prefix of 0', { dst: '::/0' }, udp(AT6), udp(AT)],
    ['IPv6 prefix', { src: '2001:db8::/32' }, udp(AT6), udp({ ...AT6, src: '2001:db9::1' })],
    ['IPv6 prefix of 127', { src: '2001:db8::/127' }, udp(AT6), udp({ ...AT6, src: '2001:db8::2' })],
    ['IPv6 address', { dst: '2001:db8::2' }, udp(AT6), udp(back(AT6))],
    ['destination port', { dport: 53 }, udp(AT), udp(back(AT))],
    ['source port as text', { sport: '1000' }, tcp(AT, { flags: 'S' }), tcp(back(AT), { flags: 'S' })],
    ['lower end of a range', { dport: '53-60' }, udp(AT), udp({ ...AT, dport: 52 })],
    ['upper end of a range', { dport: '50-53' }, udp(AT), udp({ ...AT, dport: 54 })],
    ['ports of SCTP', { dport: 53 }, sctp(AT), sctp(back(AT))],
    ['ports are for protocols that have them', { dport: '0-65535' }, udp(AT), ip(AT, 47, new Uint8Array(8))],
    ['a source port that is there, though the destination port is not', { sport: 1000 },
      ip(AT, 132, Uint8Array.of(3, 232, 0)), ip(AT, 132, Uint8Array.of(3))],
    ['AH of IPv6, behind which rules do not look', { protocol: 'ah' }, behindAh(udp(AT6)), udp(AT6)],
    ['ports, but not behind AH', { dport: 53 }, udp(AT6), behindAh(udp(AT6))],
    ['ports behind other extension headers', { dport: 53 }, behind(60, udp(AT6)), behind(60, behindAh(udp(AT6)))],
    ['everything at once', { protocol: 'udp', src: '10.0.0.0/30', dst: '10.0.0.2', sport: '1-1000', dport: 53 },
      udp(AT), udp({ ...AT, sport: 1001 })],
    ['what is INVALID otherwise', { protocol: 'tcp' }, tcp(AT, { flags: 'SF' }), udp(AT)],
    ['nothing left out matches everything', {}, icmp(AT, 8, 0), new Uint8Array(5)],
  ])('notrack: %s', (_, match, fitting, other) => {
    const tracker = make({ notrack: [{ src: '192.0.2.1' }, match] })
    const verdict = tracker.track(fitting)
    expect(verdict).toMatchObject({ state: 'UNTRACKED', direction: null, reason: null, connection: null })
    expect(tracker.statistics().entries).toBe(0)
    expect(tracker.track(other).state).not.toBe('UNTRACKED')
  })

  test('the reply to an untracked packet is NEW, an ICMP error about it INVALID', () => {
    const tracker = make({ notrack: [{ dport: 53 }] })
    tracker.track(udp(AT))
    expect(tracker.track(icmp(back(AT), 3, 3, [0, 0, 0, 0, ...udp(AT)])).reason).toBe('icmp-error-unknown')
    expect(tracker.track(udp(back(AT)))).toMatchObject({ state: 'NEW', direction: 'original' })
  })

  test('a quoted IPv6 extension header that is longer than the quote leaves an empty protocol', () => {
    const tracker = make()
    tracker.track(ip(AT6, 47, Uint8Array.of(0, 0, 8, 0)))
    tracker.track(udp(AT6))
    const beyond = (next: number) => ip(AT6, 43, Uint8Array.of(next, 9, 0, 0, 0, 0, 0, 0))
    const error = (quoted: Uint8Array) => icmp(back(AT6), 1, 0, [0, 0, 0, 0, ...quoted])
    expect(tracker.track(error(beyond(47)))).toMatchObject({ state: 'RELATED', direction: 'reply', connection: 1 })
    expect(tracker.track(error(beyond(17))).reason).toBe('icmp-error-quote')
    expect(tracker.track(error(beyond(47)).subarray(0, 80), { originalLength: 96 }).reason).toBe('cut-short')
  })

  test('drop: the first packet is NEW each time and leaves no connection', () => {
    const tracker = make({ drop: [{ protocol: 'udp', dport: 53 }] })
    for (const packet of [1, 2]) {
      expect(tracker.track(udp(AT))).toMatchObject(
        { packet, state: 'NEW', direction: 'original', connection: null, dropped: false })
    }
    expect(tracker.statistics().entries).toBe(0)
  })

  test('drop: what a dropped packet changed is told by the next one that passes', () => {
    const tracker = make({ drop: [{ sport: 53 }] })
    const told: string[] = []
    tracker.on('update', ({ packet, changes }) => told.push(`${packet} ${changes.join()}`))
    tracker.track(udp(AT))
    expect(tracker.track(udp(back(AT)))).toMatchObject({ state: 'ESTABLISHED', direction: 'reply', connection: 1 })
    expect(told).toEqual([])
    tracker.track(udp(AT))
    expect(told).toEqual(['3 REPLY'])
  })
})

describe('checksums', () => {
  const brokenTransport = udp(AT)
  brokenTransport[27] ^= 0x55
  const brokenHeader = udp(AT)
  brokenHeader[11] ^= 0x55
  const zeroHeader = udp(AT)
  zeroHeader.fill(0, 10, 12)
  const zeroTcp = tcp(AT, { flags: 'S' })
  zeroTcp.fill(0, 36, 38)
  const zeroUdp = udp(AT)
  zeroUdp.fill(0, 26, 28)
  const pseudoTcp = tcp(AT, { flags: 'S' })
  // The sum of addresses, protocol and length: 10.0.0.1, 10.0.0.2, 6, 20.
  const sum = 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20
  pseudoTcp.set([sum >> 8, sum & 255], 36)

  test.each<[string, Uint8Array, Record<'verify' | 'offload' | 'ignore', Reason | null>]>([
    ['right', udp(AT), { verify: null, offload: null, ignore: null }],
    ['a wrong UDP checksum', brokenTransport, { verify: 'udp-checksum', offload: 'udp-checksum', ignore: null }],
    ['a wrong IPv4 header checksum', brokenHeader, { verify: 'ip-malformed', offload: 'ip-malformed', ignore: null }],
    ['an IPv4 header checksum of 0', zeroHeader, { verify: 'ip-malformed', offload: null, ignore: null }],
    ['a TCP checksum of 0', zeroTcp, { verify: 'tcp-checksum', offload: null, ignore: null }],
    ['the sum of the pseudo header', pseudoTcp, { verify: 'tcp-checksum', offload: null, ignore: null }],
    ['a UDP checksum of 0, which is none', zeroUdp, { verify: null, offload: null, ignore: null }],
  ])('%s', (_, packet, expected) => {
    for (const checksum of ['verify', 'offload', 'ignore'] as const) {
      expect(make({ checksum }).track(packet).reason, checksum).toBe(expected[checksum])
    }
    expect(make().track(packet).reason, 'the default').toBe(expected.verify)
  })

  test('those left to the network card are counted, once a packet', () => {
    const tracker = make({ checksum: 'offload' })
    const both = Uint8Array.from(zeroTcp)
    both.fill(0, 10, 12)
    for (const packet of [both, pseudoTcp, zeroHeader, udp(AT), zeroUdp, brokenTransport]) tracker.track(packet)
    expect(tracker.statistics().offloadedChecksums).toBe(3)
  })

  test('sysctl checksum=0 lets transport checksums pass, not the IPv4 header\'s', () => {
    const tracker = make({ sysctl: { checksum: 0 } })
    expect(tracker.track(brokenTransport).reason).toBeNull()
    expect(tracker.track(brokenHeader).reason).toBe('ip-malformed')
  })

  test('a checksum that covers more than was captured is not looked at', () => {
    const cut = brokenTransport.slice(0, brokenTransport.length - 1)
    expect(make().track(cut, { originalLength: brokenTransport.length }).state).toBe('NEW')
  })
})

describe('events', () => {
  function listening(options: TrackerOptions = {}): { tracker: Tracker; events: ConnectionEvent[] } {
    const tracker = make(options)
    const events: ConnectionEvent[] = []
    for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, event => events.push(event))
    return { tracker, events }
  }
  const texts = (events: readonly ConnectionEvent[]) =>
    events.map(({ kind, packet, changes, connection }) => `${packet} ${kind} ${connection.id} ${changes.join(' ')}`)

  test('a TCP connection from its SYN to its expiry', () => {
    const { tracker, events } = listening()
    handshake(tracker, AT)
    tracker.track(tcp(AT, { flags: 'PA', seq: 101, ack: 501, payload: 10 }), { time: T0 })
    tracker.track(tcp(AT, { flags: 'FA', seq: 111, ack: 501 }), { time: T0 })
    tracker.track(tcp(back(AT), { flags: 'FA', seq: 501, ack: 112 }), { time: T0 })
    tracker.track(tcp(AT, { flags: 'A', seq: 112, ack: 502 }), { time: T0 })
    tracker.advance(T0 + 120n * SECOND)
    expect(texts(events)).toEqual([
      '1 new 1 NEW PROTOINFO', '2 update 1 REPLY PROTOINFO', '3 update 1 ASSURED PROTOINFO', '5 update 1 PROTOINFO',
      '6 update 1 PROTOINFO', '7 update 1 PROTOINFO', '7 destroy 1 DESTROY',
    ])
    expect(events.map(({ connection }) => connection.tcpState)).toEqual([
      'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'LAST_ACK', 'TIME_WAIT', 'TIME_WAIT'])
    expect(events.map(({ time }) => time)).toEqual([...Array<bigint>(6).fill(T0), T0 + 120n * SECOND])
  })

  test('a UDP connection: NEW, the first reply, ASSURED', () => {
    const { tracker, events } = listening()
    for (const [at, seconds] of [[AT, 0n], [AT, 1n], [back(AT), 2n], [AT, 2n], [AT, 3n], [AT, 4n]] as const) {
      tracker.track(udp(at), { time: T0 + seconds * SECOND })
    }
    tracker.delete(1)
    expect(texts(events)).toEqual(['1 new 1 NEW', '3 update 1 REPLY', '5 update 1 ASSURED', '6 destroy 1 DESTROY'])
    expect(events[3].connection).toMatchObject({ assured: true, seenReply: true })
  })

  test('where a SYN takes the place of a connection that is over, DESTROY comes before NEW', () => {
    const { tracker, events } = listening()
    handshake(tracker, AT)
    tracker.track(tcp(AT, { flags: 'R', seq: 101 }), { time: T0 })
    tracker.track(tcp(AT, { flags: 'S', seq: 9000 }), { time: T0 })
    expect(texts(events).slice(-2)).toEqual(['5 destroy 1 DESTROY', '5 new 2 NEW PROTOINFO'])
  })

  test('a reset that answers a SYN destroys, without an update', () => {
    const { tracker, events } = listening({ sysctl: { acct: 1 } })
    tracker.track(tcp(AT, { flags: 'S', seq: 100 }))
    tracker.track(tcp(back(AT), { flags: 'RA', ack: 101 }))
    expect(texts(events)).toEqual(['1 new 1 NEW PROTOINFO', '2 destroy 1 DESTROY'])
    expect(events[1].connection).toMatchObject(
      { tcpState: 'CLOSE', seenReply: false, packets: { original: 1, reply: 1 } })
  })

  test('INVALID packets and ICMP errors give none', () => {
    const { tracker, events } = listening()
    tracker.track(udp(AT))
    tracker.track(icmp(back(AT), 3, 3, [0, 0, 0, 0, ...udp(AT)]))
    tracker.track(tcp(AT, { flags: 'R' }))
    expect(texts(events)).toEqual(['1 new 1 NEW'])
  })

  test('a listener that was taken off hears nothing more, others do', () => {
    const tracker = make()
    const heard: string[] = []
    const off = tracker.on('new', ({ connection }) => heard.push(`first ${connection.id}`))
    const offToo = tracker.on('new', ({ connection }) => heard.push(`second ${connection.id}`))
    tracker.track(udp(many(1)))
    off()
    off()
    tracker.track(udp(many(2)))
    offToo()
    tracker.track(udp(many(3)))
    tracker.on('new', ({ connection }) => heard.push(`third ${connection.id}`))
    tracker.track(udp(many(4)))
    expect(heard).toEqual(['first 1', 'second 1', 'second 2', 'third 4'])
  })

  test('a listener for one kind hears only that', () => {
    const tracker = make()
    const kinds: string[] = []
    tracker.on('destroy', ({ kind }) => kinds.push(kind))
    tracker.track(udp(AT))
    tracker.track(udp(back(AT)))
    tracker.delete(1)
    expect(kinds).toEqual(['destroy'])
  })

  test('more events than the core holds at a time are all told, in order, and every connection ends once', () => {
    const { tracker, events } = listening({ maxConnections: 8192, batchSize: 4096 })
    const batch = udpBatch(4096)
    const verdicts = tracker.trackBatch(batch)
    expect([...verdicts.connection]).toEqual(Array.from({ length: 4096 }, (_, i) => i + 1))
    expect(texts(events)).toEqual(Array.from({ length: 4096 }, (_, i) => `${i + 1} new ${i + 1} NEW`))
    events.length = 0
    tracker.advance(T0 + 30n * SECOND - 1n)
    expect(events).toEqual([])
    tracker.advance(T0 + 30n * SECOND)
    expect(events.map(({ kind }) => kind)).toEqual(Array(4096).fill('destroy'))
    expect(new Set(events.map(({ connection }) => connection.id)).size).toBe(4096)
    expect(tracker.statistics().entries).toBe(0)
    tracker.advance(T0 + 1000n * SECOND)
    expect(events).toHaveLength(4096)
  })

  test('listeners change no verdict', () => {
    const batch = packetBatch(Array.from({ length: 4096 }, (_, i) =>
      ({ data: udp(many(i % 1500), 0), time: T0 + BigInt(i) * SECOND / 20n, linkType: 101 })))
    const options = { maxConnections: 300, batchSize: 4096 }
    const quiet = make(options)
    const { tracker, events } = listening(options)
    expect(columns(tracker.trackBatch(batch))).toEqual(columns(quiet.trackBatch(batch)))
    expect(events.length).toBeGreaterThan(4096)
  })
})

/** The columns of a batch's verdicts, copied. */
function columns(verdicts: VerdictBatch): Record<string, number[]> {
  return Object.fromEntries(Object.entries(verdicts).filter(([name]) => name !== 'count').map(([name, column]) =>
    [name, [...(column as Uint8Array).subarray(0, verdicts.count)]]))
}

const states = ({ state, count }: VerdictBatch) => [...state.subarray(0, count)].map(state => STATES[state])
const reasons = ({ reason, count }: VerdictBatch) => [...reason.subarray(0, count)].map(reason => REASONS[reason])

describe('a full table', () => {
  const assuredAt = (n: number): Endpoints => ({ ...many(n), dport: 80 })

  test('only connections that are not ASSURED are evicted', () => {
    const tracker = make({ maxConnections: 32 })
    for (let i = 0; i < 8; i++) handshake(tracker, assuredAt(i))
    const evicted: Connection[] = []
    tracker.on('destroy', ({ connection }) => evicted.push(connection))
    for (let i = 0; i < 2000; i++) {
      tracker.track(udp(many(1000 + i)), { time: T0 })
      expect(tracker.statistics().entries).toBeLessThanOrEqual(32)
    }
    expect(evicted.length).toBeGreaterThan(100)
    expect(evicted.filter(({ assured }) => assured)).toEqual([])
    const left = [...tracker.connections()].filter(({ assured }) => assured)
    expect(left.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(tracker.statistics().counters.early_drop).toBe(evicted.length)
  })

  test('where nothing may be evicted a new connection is dropped, the others go on, and the table recovers', () => {
    const tracker = make({ maxConnections: 8 })
    const { memoryBytes } = tracker
    for (let i = 0; i < 8; i++) handshake(tracker, assuredAt(i))
    expect(tracker.track(udp(AT), { time: T0 })).toMatchObject(
      { state: 'INVALID', reason: 'table-full', dropped: true, connection: null, direction: null })
    // Linux makes the entry before it looks at the packet: a stray reset is dropped too, but not what has no tuple.
    expect(tracker.track(tcp(AT, { flags: 'R' }), { time: T0 })).toMatchObject({ reason: 'table-full', dropped: true })
    expect(tracker.track(icmp(AT, 10, 0), { time: T0 })).toMatchObject({ reason: 'icmp-type', dropped: false })
    const own = tracker.track(tcp(assuredAt(3), { flags: 'A', seq: 101, ack: 501, window: 1000 }), { time: T0 })
    expect(own).toMatchObject({ state: 'ESTABLISHED', dropped: false })
    expect(tracker.statistics().counters).toMatchObject({ drop: 2, early_drop: 0, invalid: 1 })
    tracker.delete(1)
    expect(tracker.track(udp(AT), { time: T0 })).toMatchObject({ state: 'NEW', dropped: false })
    tracker.advance(T0 + 432_000n * SECOND)
    expect(tracker.statistics().entries).toBe(0)
    for (let i = 0; i < 8; i++) expect(tracker.track(udp(many(i))).state).toBe('NEW')
    expect(tracker.memoryBytes).toBe(memoryBytes)
  })

  test('a table of one connection works', () => {
    const tracker = make({ maxConnections: 1 })
    for (let i = 0; i < 100; i++) expect(tracker.track(udp(many(i)), { time: T0 }).state).toBe('NEW')
    expect(tracker.statistics()).toMatchObject({ entries: 1, counters: { early_drop: 99, drop: 0 } })
  })

  test('an expired table is free again for the next packet', () => {
    const tracker = make({ maxConnections: 8 })
    for (let i = 0; i < 8; i++) handshake(tracker, assuredAt(i))
    expect(tracker.track(udp(AT), { time: T0 + 432_000n * SECOND }).state).toBe('NEW')
  })

  test('memoryBytes never changes', () => {
    const tracker = make({ maxConnections: 1000, batchSize: 4096 })
    const { memoryBytes } = tracker
    for (let round = 0; round < 4; round++) {
      tracker.trackBatch(udpBatch(4096, T0 + BigInt(round) * 20n * SECOND))
      tracker.track(new Uint8Array(200_000))
      expect(tracker.memoryBytes).toBe(memoryBytes)
    }
  })
})

describe('packets of any size', () => {
  const NAMED = ['raw', 'ethernet', 'null', 'loop', 'linux_sll', 'linux_sll2', 'ppp', 'pppoe', 'ipv4', 'ipv6'] as const

  test.each(NAMED)('zero bytes and one byte of link type %s never reach the tracker', linkType => {
    const tracker = make()
    for (const bytes of [new Uint8Array(0), Uint8Array.of(0), Uint8Array.of(0x45), Uint8Array.of(0x60)]) {
      const verdict = tracker.track(bytes, { linkType })
      expect(verdict).toMatchObject(
        { state: null, direction: null, connection: null, tcpState: null, assured: null, timeoutMs: null })
      expect(['not-ip', 'ip-malformed']).toContain(verdict.reason)
      expect(tracker.track(bytes, { linkType, originalLength: 1500 }).reason).toMatch(/^(cut-short|not-ip)$/)
    }
    expect(tracker.statistics().entries).toBe(0)
  })

  test('an SCTP INIT whose tag was not captured is cut short, and one whose tag was is not', () => {
    const { bytes } = packet('client:1 > server:2 sctp INIT')
    const cut = (length: number) => make({ checksum: 'ignore' }).track(bytes.subarray(0, length), { originalLength: bytes.length })
    const tagEnds = 20 + 12 + 8
    expect(cut(tagEnds - 1)).toMatchObject({ state: null, reason: 'cut-short', connection: null })
    expect(cut(tagEnds)).toMatchObject({ state: 'NEW', reason: null })
  })

  test('200 KB of anything: the IP packet at the start counts, what follows is padding', () => {
    const padded = new Uint8Array(200_000).fill(0xaa)
    padded.set(udp(AT))
    const batch = packetBatch([{ data: padded, linkType: 101 }, { data: new Uint8Array(200_000), linkType: 101 }])
    expect(make().track(padded)).toMatchObject({ state: 'NEW', reason: null })
    expect(states(make().trackBatch(batch))).toEqual(['NEW', null])
  })

  test('a batch of more bytes than the core takes at a time', () => {
    const packets = Array.from({ length: 20 }, (_, i) => {
      const data = new Uint8Array(200_000 - i)
      data.set(udp(many(i)))
      return { data, linkType: 101 }
    })
    const tracker = make()
    const { connection } = tracker.trackBatch(packetBatch(packets))
    expect([...connection.subarray(0, 20)]).toEqual(packets.map((_, i) => i + 1))
  })

  /** An IPv6 jumbogram (RFC 2675) with a TCP SYN in it, its checksum wrong. */
  const jumbogram = new Uint8Array(200_000)
  jumbogram.set(tcp(AT6, { flags: 'S' }).subarray(0, 40))
  jumbogram.set([0, 0, 0, 64], 4)
  jumbogram.set([6, 0, 0xc2, 4, 0, 0x03, 0x0c, 0x18], 40)
  jumbogram.set(tcp(AT6, { flags: 'S' }).subarray(40), 48)

  test('a jumbogram gets the same verdict alone and in a batch', () => {
    const batch = packetBatch([{ data: jumbogram, linkType: 101 }])
    expect(make().track(jumbogram).reason).toBe(reasons(make().trackBatch(batch))[0])
  })
})

describe('batches', () => {
  /** Packets of all sorts, some of them about earlier ones, and where they lie in 4 MiB. */
  const packets = [
    tcp(AT, { flags: 'S', seq: 100, window: 1000 }), udp(AT6), udp(AT),
    tcp(back(AT), { flags: 'SA', seq: 500, ack: 101, window: 1000 }),
    new Uint8Array(0), tcp(AT, { flags: 'A', seq: 101, ack: 501 }), icmp(AT, 8, 0, [0, 1, 0, 1]), udp(back(AT)),
    Uint8Array.of(0x45), icmp(back(AT), 0, 0, [0, 1, 0, 1]), icmp(back(AT), 3, 3, [0, 0, 0, 0, ...udp(AT)]),
    tcp(AT, { flags: 'PA', seq: 90_000, ack: 501 }), udp(back(AT6)),
  ]
  const together = packetBatch(packets.map((data, i) => ({ data, linkType: 101, time: T0 + BigInt(i) })))
  const expected = () => columns(make().trackBatch(together))

  function layOut(size: number, placeOf: (i: number) => number, data: Uint8Array = new Uint8Array(size)): PacketBatch {
    const offset = Uint32Array.from(packets, (_, i) => placeOf(i))
    packets.forEach((packet, i) => data.set(packet, offset[i]))
    return { ...together, data, offset }
  }

  test('the verdicts are those of the same packets one by one', () => {
    const verdicts = make().trackBatch(together)
    expect(states(verdicts)).toEqual([
      'NEW', 'NEW', 'NEW', 'ESTABLISHED', null, 'ESTABLISHED', 'NEW', 'ESTABLISHED', null, 'ESTABLISHED', 'RELATED',
      'INVALID', 'ESTABLISHED',
    ])
    const tracker = make()
    packets.forEach((packet, i) => {
      const { state, reason, connection } = tracker.track(packet, { time: T0 + BigInt(i) })
      expect({ state, reason, connection }).toEqual({
        state: STATES[verdicts.state[i]], reason: REASONS[verdicts.reason[i]],
        connection: verdicts.connection[i] || null,
      })
    })
  })

  test.each<[string, () => PacketBatch]>([
    ['in reverse order', () => layOut(4096, i => 4000 - 200 * i)],
    ['far apart in 4 MiB', () => layOut(4 << 20, i => (i * 7 % packets.length) * 300_000)],
    ['at the very end of 4 MiB', () => layOut(4 << 20, i => (4 << 20) - (i + 1) * 100)],
    ['in a SharedArrayBuffer', () => layOut(4096, i => i * 200, new Uint8Array(new SharedArrayBuffer(4096)))],
    ['far apart in a SharedArrayBuffer', () =>
      layOut(4 << 20, i => i * 300_000, new Uint8Array(new SharedArrayBuffer(4 << 20)))],
    ['in a view that starts within its buffer', () =>
      layOut(4096, i => i * 200, new Uint8Array(new ArrayBuffer(8192), 1001, 4096))],
    ['with columns longer than the count', () => ({
      ...together,
      offset: Uint32Array.of(...together.offset, 2 ** 32 - 1), length: Uint32Array.of(...together.length, 2 ** 32 - 1),
      originalLength: Uint32Array.of(...together.originalLength, 0), seconds: Float64Array.of(...together.seconds, 5e9),
      nanoseconds: Uint32Array.of(...together.nanoseconds, 0), linkType: Uint16Array.of(...together.linkType, 1),
    })],
  ])('packets %s', (_, batch) => {
    expect(columns(make().trackBatch(batch()))).toEqual(expected())
  })

  test.each([0, 4_000_000])('overlapping packets, each the whole or a part of one datagram, %s bytes on', at => {
    const data = new Uint8Array((4 << 20) + 100)
    data.set(udp(AT), at)
    data.set(udp(AT), 100)
    const length = udp(AT).length
    const batch: PacketBatch = {
      ...together, count: 4, data, offset: Uint32Array.of(100, at, at, at),
      length: Uint32Array.of(length, length, 27, 0),
      originalLength: Uint32Array.of(length, length, length, 0),
    }
    const verdicts = make().trackBatch(batch)
    expect(reasons(verdicts)).toEqual([null, null, 'cut-short', 'not-ip'])
    expect([...verdicts.connection.subarray(0, 4)]).toEqual([1, 1, 0, 0])
  })

  test('a batch of no packets', () => {
    const tracker = make()
    expect(tracker.trackBatch(packetBatch([])).count).toBe(0)
    expect(tracker.trackBatch({ ...together, count: 0 }).count).toBe(0)
    expect(tracker.statistics().packets).toBe(0)
  })

  test('packets beyond the count are not tracked', () => {
    const tracker = make()
    expect(tracker.trackBatch({ ...together, count: 2 }).count).toBe(2)
    expect([tracker.statistics().packets, tracker.statistics().entries]).toEqual([2, 2])
  })

  test('a batch may have batchSize packets, and one more is too many', () => {
    const tracker = make({ batchSize: 4 })
    expect(tracker.trackBatch(udpBatch(4)).count).toBe(4)
    expect(codeOf(() => tracker.trackBatch(udpBatch(5)))).toBe('batch-too-large')
    expect(tracker.statistics().packets).toBe(4)
  })

  test.each([1, 3, 255, 65_535])('a batchSize of %s, which is odd, is taken', batchSize => {
    const count = Math.min(batchSize, 255)
    expect(make({ batchSize }).trackBatch(udpBatch(count)).count).toBe(count)
  })

  test.each([2, 6, 65_536])('a batchSize of %s is taken', batchSize => {
    const tracker = make({ batchSize, maxConnections: 65_536 })
    const { timeoutNs, connection } = tracker.trackBatch(udpBatch(batchSize))
    expect([...connection.subarray(0, batchSize)]).toEqual(Array.from({ length: batchSize }, (_, i) => i + 1))
    expect([...timeoutNs.subarray(0, batchSize)]).toEqual(Array(batchSize).fill(30e9))
  })

  test('a batch with a packet outside of its data is refused as a whole', () => {
    const tracker = make({ batchSize: 4096 })
    const batch = udpBatch(4096)
    batch.length[4095]++
    expect(codeOf(() => tracker.trackBatch(batch))).toBe('invalid-argument')
    expect(tracker.statistics().packets).toBe(0)
  })

  test('an original length below the captured one does not count', () => {
    const batch = { ...together, originalLength: new Uint32Array(packets.length) }
    expect(columns(make().trackBatch(batch))).toEqual(expected())
  })

  test('the columns say where the headers are', () => {
    const frame = Uint8Array.of(...new Uint8Array(12), 0x81, 0, 0, 5, 0x86, 0xdd, ...udp(AT6))
    const batch = packetBatch([{ data: frame, linkType: 1 }])
    const { family, protocol, networkOffset, transportOffset } = make().trackBatch(batch)
    expect([family[0], protocol[0], networkOffset[0], transportOffset[0]]).toEqual([6, 17, 18, 58])
  })
})

describe('explain', () => {
  const LONG = [
    tcp(AT, { flags: 'S', seq: 200, window: 1000 }),
    tcp(back(AT), { flags: 'SA', seq: 700, ack: 201, window: 1000 }),
    tcp(AT, { flags: 'A', seq: 201, ack: 701, window: 1000 }),
    // Packets 4 to 13: five times 800 bytes, acknowledged each time but the last.
    ...[0, 1, 2, 3, 4].flatMap(i => [
      tcp(AT, { flags: 'PA', seq: 201 + 800 * i, ack: 701, window: 1000, payload: 800 }),
      i < 4
        ? tcp(back(AT), { flags: 'A', seq: 701, ack: 1001 + 800 * i, window: 1000 })
        : tcp(AT, { flags: 'A', seq: 4201, ack: 701, window: 1000 }),
    ]),
    tcp(back(AT), { flags: 'A', seq: 701, ack: 4201, window: 1000 }),
    tcp(AT, { flags: 'PA', seq: 9001, ack: 701, window: 1000, payload: 100 }),
    tcp(back(AT), { flags: 'A', seq: 701, ack: 9101, window: 1000 }),
    udp(AT), udp(back(AT)), new Uint8Array(3), icmp(back(AT), 3, 3, [0, 0, 0, 0, ...udp(AT)]),
    tcp(AT, { flags: 'SF' }), icmp(AT, 0, 0), tcp(AT, { flags: 'R', seq: 300 }),
  ]

  test('a sequence number over the window: the bound, where it comes from, who set it, what would change it', () => {
    const tracker = make({ explain: true })
    const verdicts = LONG.slice(0, 15).map(packet => tracker.track(packet, { time: T0 }))
    expect(verdicts.slice(1, 14).map(({ state }) => state as State)).toEqual(Array<State>(13).fill('ESTABLISHED'))
    const explanation = tracker.explain(15)
    expect(explanation.text).toContain('sequence 9001 is over 5201, the highest the other side has allowed: ' +
      'its last acknowledgement 4201 plus its largest window 1000, set by packet 14')
    expect(explanation.text).toMatch(/^Packet 15 is INVALID/)
    expect(explanation).toMatchObject({
      packet: 15, setBy: [14], sysctl: 'nf_conntrack_tcp_be_liberal=1', verdict: verdicts[14],
    })
    expect(tracker.explain(verdicts[14])).toEqual(explanation)
  })

  test('the sysctl that it names does change the verdict', () => {
    const tracker = make({ sysctl: { tcp_be_liberal: 1 } })
    expect(LONG.slice(0, 15).map(packet => tracker.track(packet, { time: T0 }).state)[14]).toBe('ESTABLISHED')
  })

  test('an acknowledgement of what was not sent: who sent the last that was', () => {
    const tracker = make({ explain: true })
    for (const packet of LONG.slice(0, 16)) tracker.track(packet, { time: T0 })
    const { text, setBy } = tracker.explain(16)
    expect(text).toContain('acknowledgement 9101 is over 4201')
    expect(setBy).toEqual([12])
  })

  test('a batch is explained as the same packets one by one', () => {
    const batched = make({ explain: true })
    const single = make({ explain: true })
    batched.trackBatch(packetBatch(LONG.map(data => ({ data, linkType: 101, time: T0 }))))
    LONG.forEach((packet, i) => {
      single.track(packet, { time: T0 })
      expect(batched.explain(i + 1), `packet ${i + 1}`).toEqual(single.explain(i + 1))
      expect(batched.entry(i), `packet ${i + 1}`).toEqual(single.entry(0))
    })
  })

  test('every kind of packet is explained: verdict, steps', () => {
    const tracker = make({ explain: true })
    for (const packet of LONG) {
      const verdict = tracker.track(packet, { time: T0 })
      const { text, steps } = tracker.explain(verdict)
      const start = `Packet ${verdict.packet} is ${verdict.state ?? 'never seen by the tracker'}`
      expect(text.slice(0, start.length)).toBe(start)
      expect(text).toMatch(/: .+\.$/)
      expect(steps.length).toBeGreaterThan(0)
    }
  })

  test('without the option the packets that set the numbers are not known, the numbers are', () => {
    const tracker = make()
    for (const packet of LONG.slice(0, 15)) tracker.track(packet, { time: T0 })
    const { text, setBy } = tracker.explain(15)
    expect(text).toContain('sequence 9001 is over 5201')
    expect(setBy).toEqual([])
  })
})
