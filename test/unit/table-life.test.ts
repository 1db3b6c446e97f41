/** Zones, marks, labels, timeout policies, timestamps, a full table, events as an iteration. */
import { createTracker, type ConnectionEvent, type Tracker, type TrackerOptions } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { icmpError, tcp, udp } from '../support/build.js'

const A = '10.0.0.1'
const B = '10.0.0.2'
const SECOND = 1_000_000_000n
const START = 1_700_000_000n * SECOND
const at = (seconds: number) => START + BigInt(Math.round(seconds * 1e9))

const make = (options: TrackerOptions = {}) => createTracker({ maxConnections: 64, hashSeed: 1, ...options })
const there = udp({ src: A, dst: B, sport: 5000, dport: 53 })
const back = udp({ src: B, dst: A, sport: 53, dport: 5000 })
const fromHost = (host: number, port = 1000) => udp({ src: `10.1.${host >> 8}.${host & 255}`, dst: B, sport: port, dport: 53 })

function codeOf(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing thrown'
}

/** A TCP connection that is ASSURED. */
function establish(tracker: Tracker, host: number, time = at(0)): void {
  const [client, server] = [`10.2.${host >> 8}.${host & 255}`, B]
  tracker.track(tcp({ src: client, dst: server, sport: 1, dport: 80 }, { flags: 'S', seq: 1 }), { time })
  tracker.track(tcp({ src: server, dst: client, sport: 80, dport: 1 }, { flags: 'SA', seq: 1, ack: 2 }), { time })
  tracker.track(tcp({ src: client, dst: server, sport: 1, dport: 80 }, { flags: 'A', seq: 2, ack: 2 }), { time })
}

describe('zones', () => {
  const inZone = (direction: 'original' | 'reply', id: number, dscp: number) => ({ dscp, id, direction })
  const withCodePoint = (packet: Uint8Array, dscp: number) => {
    const marked = Uint8Array.from(packet)
    marked[1] = dscp << 2
    new DataView(marked.buffer).setUint16(10, new DataView(packet.buffer).getUint16(10) - (dscp << 2))
    return marked
  }

  test('the same tuple in two zones is two connections', () => {
    const tracker = make({ zone: [{ dscp: 1, id: 7 }] })
    expect(tracker.track(withCodePoint(there, 1))).toMatchObject({ state: 'NEW', connection: 1 })
    expect(tracker.track(there)).toMatchObject({ state: 'NEW', connection: 2 })
    expect([1, 2].map(id => tracker.connection(id)?.zone)).toEqual([7, 0])
  })

  test('a zone for both directions needs its rule on replies too', () => {
    const tracker = make({ zone: [{ src: A, id: 5 }] })
    expect(tracker.track(there)).toMatchObject({ state: 'NEW', connection: 1 })
    expect(tracker.track(back)).toMatchObject({ state: 'NEW', connection: 2 })
    expect(tracker.find({ protocol: 'udp', src: A, dst: B, sport: 5000, dport: 53, zone: 5 })?.id).toBe(1)
    expect(tracker.find({ protocol: 'udp', src: A, dst: B, sport: 5000, dport: 53 })?.id).toBe(2)
  })

  test('a zone for the original direction finds replies in zone 0', () => {
    const tracker = make({ zone: [{ src: A, id: 6, direction: 'original' }] })
    tracker.track(there)
    expect(tracker.track(back)).toMatchObject({ state: 'ESTABLISHED', direction: 'reply', connection: 1 })
    expect(tracker.track(there)).toMatchObject({ state: 'ESTABLISHED', direction: 'original', connection: 1 })
    expect(tracker.connection(1)).toMatchObject({ zone: 6, zoneDirection: 'original' })
  })

  test('a zone for the reply direction only: the reply cannot be confirmed and is dropped', () => {
    const tracker = make({ zone: [{ src: A, id: 7, direction: 'reply' }] })
    expect(tracker.track(there)).toMatchObject({ state: 'NEW', dropped: false })
    expect(tracker.track(back)).toMatchObject({ state: 'NEW', dropped: true, connection: null })
    expect(tracker.statistics().counters).toMatchObject({ insert_failed: 1, drop: 1 })
    expect(tracker.connection(1)).toMatchObject({ zone: 7, zoneDirection: 'reply', seenReply: false })
  })

  test('where the zones of both directions differ, the original direction of an older connection is found before the reply of a newer', () => {
    const tracker = make({ zone: [inZone('reply', 1, 1)] })
    expect(tracker.track(there)).toMatchObject({ state: 'NEW', connection: 1 })
    expect(tracker.track(withCodePoint(back, 1))).toMatchObject({ state: 'NEW', connection: 2 })
    expect(tracker.track(withCodePoint(there, 1))).toMatchObject({ state: 'NEW', direction: 'original', connection: 1 })
  })

  test.each([
    ['reply', ['NEW', 'NEW', 'NEW', 'NEW'], ['original', 'original', 'original', 'original']],
    ['original', ['NEW', 'NEW', 'ESTABLISHED', 'ESTABLISHED'], ['original', 'original', 'reply', 'original']],
  ] as const)('from an endpoint to itself, a zone for the %s direction tells the direction', (direction, states, directions) => {
    const tracker = make({ zone: [inZone(direction, 1, 1)] })
    const own = udp({ src: A, dst: A, sport: 5, dport: 5 })
    const verdicts = [1, 1, 0, 1].map(dscp => tracker.track(withCodePoint(own, dscp)))
    expect(verdicts.map(({ state }) => state)).toEqual(states)
    expect(verdicts.map(verdict => verdict.direction)).toEqual(directions)
  })

  test('behind a newer connection whose time is over an older one is found', () => {
    const tracker = make({ zone: [inZone('reply', 7, 1), inZone('original', 7, 2)], sysctl: { udp_timeout: 2, udp_timeout_stream: 2 } })
    const send = (packet: Uint8Array, dscp: number, seconds: number) => tracker.track(withCodePoint(packet, dscp), { time: at(seconds) })
    const verdicts = [send(there, 1, 0), send(back, 1, 0.05), send(back, 2, 0.1), send(there, 1, 1.5), send(there, 0, 2.1)]
    expect(verdicts.map(({ state }) => state)).toEqual(['NEW', 'ESTABLISHED', 'NEW', 'ESTABLISHED', 'ESTABLISHED'])
    expect(verdicts[4]).toMatchObject({ direction: 'original', connection: 1 })
  })

  test('an ICMP error is about the connection of its own zone', () => {
    const tracker = make({ zone: [{ src: A, id: 5 }, { src: '10.0.0.254', id: 5 }] })
    tracker.track(there)
    expect(tracker.track(icmpError({ src: '10.0.0.254', dst: A }, 3, 3, there))).toMatchObject({ state: 'RELATED', connection: 1 })
    expect(tracker.track(icmpError({ src: '10.0.0.253', dst: A }, 3, 3, there))).toMatchObject({ state: 'INVALID' })
  })

  test('a VLAN chooses the zone', () => {
    const tracker = make({ zone: [{ vlan: 10, id: 1 }, { vlan: 20, id: 2 }] })
    const tagged = (vlan: number) => Uint8Array.of(...new Uint8Array(12), 0x81, 0, vlan >> 8, vlan & 255, 8, 0, ...there)
    const ids = [10, 20, 10, 30].map(vlan => tracker.track(tagged(vlan), { linkType: 'ethernet' }).connection)
    expect(ids).toEqual([1, 2, 1, 3])
  })

  test('one zone for all packets', () => {
    const tracker = make({ zone: 9 })
    tracker.track(there)
    expect(tracker.track(back).state).toBe('ESTABLISHED')
    expect(tracker.connection(1)).toMatchObject({ zone: 9, zoneDirection: 'both' })
  })

  test.each([{ id: -1 }, { id: 65536 }, { id: 1.5 }, {}, { id: 1, direction: 'up' }, { id: 1, host: A }, null, { id: 1, dscp: 64 },
    { id: 1, vlan: 4096 }])('%j is refused', zone => {
    expect(codeOf(() => make({ zone: [zone as never] }))).toBe('invalid-argument')
  })
})

describe('marks and labels', () => {
  test('a mark is told as an update when it changes', () => {
    const tracker = make()
    const told: ConnectionEvent[] = []
    tracker.on('update', event => told.push(event))
    tracker.track(there)
    expect([tracker.setMark(1, 0xffffffff), tracker.setMark(1, 0xffffffff), tracker.setMark(2, 1)]).toEqual([true, true, false])
    expect(told.map(({ changes, connection }) => [changes, connection.mark])).toEqual([[['MARK'], 0xffffffff]])
    expect(tracker.connection(1)?.mark).toBe(0xffffffff)
  })

  test('labels are told as an update when they change', () => {
    const tracker = make({ labels: true })
    const told: ConnectionEvent[] = []
    tracker.on('update', event => told.push(event))
    tracker.track(there)
    expect(tracker.connection(1)?.labels).toEqual([])
    tracker.setLabels(1, [0, 63, 64, 127])
    tracker.setLabels(1, [127, 64, 63, 0])
    expect(told.map(({ changes, connection }) => [changes, connection.labels])).toEqual([[['LABEL'], [0, 63, 64, 127]]])
  })

  test('a connection that takes the place of another has no labels of it', () => {
    const tracker = make({ labels: true })
    tracker.track(there)
    tracker.setLabels(1, [5])
    tracker.delete(1)
    tracker.track(there)
    expect(tracker.connection(2)?.labels).toEqual([])
  })

  test('without the option there are none', () => {
    const tracker = make()
    tracker.track(there)
    expect(tracker.connection(1)?.labels).toBeNull()
    expect(codeOf(() => tracker.setLabels(1, [1]))).toBe('invalid-argument')
  })

  test.each([-1, 2 ** 32, 0.5, NaN])('mark %d is refused', mark => {
    expect(codeOf(() => make().setMark(1, mark))).toBe('invalid-argument')
  })

  test.each([-1, 128, 0.5])('label %d is refused', label => {
    expect(codeOf(() => make({ labels: true }).setLabels(1, [label]))).toBe('invalid-argument')
  })
})

describe('timeout policies', () => {
  const policies: TrackerOptions = { timeouts: [
    { protocol: 'udp', dport: 53, timeouts: { udp_timeout: 5 } },
    { protocol: 'tcp', timeouts: { nf_conntrack_tcp_timeout_syn_sent: 7 } },
  ] }

  test('a new connection that matches has the timeouts of its policy all its life', () => {
    const tracker = make(policies)
    expect(tracker.track(there, { time: at(0) }).timeoutMs).toBe(5000)
    expect(tracker.track(back, { time: at(1) }).timeoutMs).toBe(5000)
    expect(tracker.track(there, { time: at(3) }).timeoutMs).toBe(120_000)
  })

  test('others have those of the sysctls, also changed ones', () => {
    const tracker = make(policies)
    const other = udp({ src: A, dst: B, sport: 5000, dport: 54 })
    tracker.track(there)
    expect(tracker.track(other).timeoutMs).toBe(30_000)
    tracker.setSysctl('udp_timeout', 77)
    expect([tracker.track(there), tracker.track(other)].map(({ timeoutMs }) => timeoutMs)).toEqual([5000, 77_000])
  })

  test('a policy has the sysctls of its making for what it leaves out', () => {
    const tracker = make({ ...policies, sysctl: { tcp_timeout_syn_recv: 33 } })
    const open = (flags: string, seq: number, reply: boolean, ack = 0) => tracker.track(
      tcp(reply ? { src: B, dst: A, sport: 80, dport: 1 } : { src: A, dst: B, sport: 1, dport: 80 }, { flags, seq, ack })).timeoutMs
    expect([open('S', 1, false), open('SA', 1, true, 2), open('A', 2, false, 2)]).toEqual([7000, 33_000, 432_000_000])
  })

  test.each([{ timeouts: { tcp_loose: 1 } }, { timeouts: { frag6_timeout: 1 } }, {}, null])('%j is refused', policy => {
    expect(codeOf(() => make({ timeouts: [policy as never] }))).toBe('invalid-argument')
  })

  test('unknown names and bad values are refused', () => {
    expect(codeOf(() => make({ timeouts: [{ timeouts: { nonsense: 1 } }] }))).toBe('unknown-sysctl')
    expect(codeOf(() => make({ timeouts: [{ timeouts: { udp_timeout: -1 } }] }))).toBe('sysctl-range')
  })
})

describe('accounting and timestamps', () => {
  test('start is the time of the first packet, stop that of the end', () => {
    const tracker = make({ sysctl: { timestamp: 1 } })
    const over: ConnectionEvent[] = []
    tracker.on('destroy', event => over.push(event))
    tracker.track(there, { time: at(0) })
    expect(tracker.connection(1)).toMatchObject({ start: at(0), stop: null })
    tracker.advance(at(100))
    tracker.track(there, { time: at(100) })
    tracker.advance(at(101))
    tracker.delete(2)
    expect(over.map(({ connection: { start, stop } }) => [start, stop])).toEqual([[at(0), at(30)], [at(100), at(101)]])
  })

  test('they are of connections made while they are switched on', () => {
    const tracker = make({ sysctl: { acct: 1, timestamp: 1 } })
    tracker.track(fromHost(1))
    tracker.setSysctl('acct', 0)
    tracker.setSysctl('timestamp', 0)
    tracker.track(fromHost(2))
    tracker.track(fromHost(1))
    expect(tracker.connection(1)).toMatchObject({ packets: { original: 2, reply: 0 }, start: 0n })
    expect(tracker.connection(2)).toMatchObject({ packets: null, bytes: null, start: null })
    tracker.setSysctl('acct', 1)
    expect(tracker.connection(2)?.packets).toBeNull()
  })

  test.each(['acct', 'timestamp'])('%s cannot be had later where the tracker was made without', name => {
    expect(codeOf(() => make().setSysctl(name, 1))).toBe('invalid-argument')
  })
})

describe('a full table', () => {
  test('max can be lowered: connections that stand stay, new ones are turned away', () => {
    const tracker = make({ maxConnections: 8 })
    for (let host = 1; host <= 6; host++) establish(tracker, host)
    tracker.setSysctl('max', 4)
    expect(tracker.track(fromHost(1))).toMatchObject({ state: 'INVALID', reason: 'table-full', dropped: true })
    expect(tracker.statistics().entries).toBe(6)
    expect(codeOf(() => tracker.setSysctl('max', 9))).toBe('sysctl-range')
    expect(codeOf(() => tracker.setSysctl('max', 0))).toBe('sysctl-range')
  })

  test('max sizes the table where maxConnections is not given', () => {
    expect(createTracker({ sysctl: { max: 3 } }).statistics().maxConnections).toBe(3)
  })

  test('a second after it turned a connection away, a crowded table is rid of closing connections', () => {
    const tracker = make({ maxConnections: 20 })
    for (let host = 1; host <= 20; host++) establish(tracker, host)
    const end = (host: number) => tracker.track(
      tcp({ src: `10.2.0.${host}`, dst: B, sport: 1, dport: 80 }, { flags: 'R', seq: 2 }), { time: at(0.1) })
    end(3)
    end(4)
    expect(tracker.track(fromHost(1), { time: at(0.2) }).reason).toBe('table-full')
    expect(tracker.statistics().entries).toBe(20)
    tracker.track(tcp({ src: '10.2.0.9', dst: B, sport: 1, dport: 80 }, { flags: 'A', seq: 2, ack: 2 }), { time: at(1.5) })
    // 95 % of 20 by whole hundredths is 0: all that is expendable goes, as in Linux.
    expect(tracker.statistics()).toMatchObject({ entries: 18, counters: { early_drop: 0 } })
    expect(tracker.track(fromHost(1), { time: at(1.6) }).state).toBe('NEW')
  })
})

describe('events', () => {
  test('an iteration gives all events in order and ends with the tracker', async () => {
    const tracker = make()
    const kinds: string[] = []
    const reading = (async () => {
      for await (const event of tracker.events()) kinds.push(`${event.kind} ${event.connection.id}`)
    })()
    tracker.track(there, { time: at(0) })
    tracker.track(back, { time: at(1) })
    await Promise.resolve()
    tracker.track(fromHost(1), { time: at(2) })
    tracker.delete(2)
    tracker.advance(at(100))
    tracker.close()
    await reading
    expect(kinds).toEqual(['new 1', 'update 1', 'new 2', 'destroy 2', 'destroy 1'])
  })

  test('leaving the loop ends it', async () => {
    const tracker = make()
    const events = tracker.events()
    tracker.track(there)
    for await (const event of events) {
      expect(event.kind).toBe('new')
      break
    }
    tracker.track(back)
    expect(await events.next()).toEqual({ done: true, value: undefined })
  })

  test('what was lost is told after what was kept, and the iteration goes on', async () => {
    const tracker = make()
    const events = tracker.events({ capacity: 2 })
    for (let host = 1; host <= 5; host++) tracker.track(fromHost(host))
    expect([(await events.next()).value?.connection.id, (await events.next()).value?.connection.id]).toEqual([1, 2])
    await expect(events.next()).rejects.toMatchObject({ code: 'events-lost', message: expect.stringMatching(/^3 events/) })
    tracker.track(fromHost(6))
    expect((await events.next()).value?.connection.id).toBe(6)
  })

  test('by default a connection made while nobody listened is never told of', () => {
    const told: string[] = []
    const tracker = make()
    tracker.track(fromHost(1))
    for (const kind of ['new', 'update', 'destroy'] as const) tracker.on(kind, event => told.push(`${kind} ${event.connection.id}`))
    tracker.track(fromHost(2))
    tracker.delete(1)
    tracker.delete(2)
    expect(told).toEqual(['new 2', 'destroy 2'])
  })

  test('sysctl events 1 tells of all connections, 0 of none', () => {
    for (const [value, expected] of [[1, ['destroy']], [0, []]] as const) {
      const told: string[] = []
      const tracker = make({ sysctl: { events: value } })
      tracker.track(there)
      tracker.on('destroy', () => told.push('destroy'))
      tracker.delete(1)
      expect(told).toEqual(expected)
    }
  })

  test('a listener that throws stops neither the batch nor the other listeners; the call then throws its error', () => {
    const tracker = make()
    const told: number[] = []
    tracker.on('new', ({ connection }) => {
      if (connection.id === 1) throw new Error('mine')
    })
    tracker.on('new', ({ connection }) => told.push(connection.id))
    expect(() => tracker.track(fromHost(1))).toThrow('mine')
    expect(tracker.track(fromHost(2)).state).toBe('NEW')
    expect(told).toEqual([1, 2])
  })
})
