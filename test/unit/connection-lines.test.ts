/** The table as bytes, against the text of each of its connections. */
import { createTracker, type Connection, type Tracker, type TrackerOptions } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { ENTRY_SIZE, type Core } from '../../src/border.js'
import { ConnectionLines, type LineWriter } from '../../src/format/connection-lines.js'
import { connectionLine, TOOL_STYLE } from '../../src/format/conntrack.js'
import { connectionJson } from '../../src/format/json.js'
import { PROC_STYLE, procLine } from '../../src/format/proc.js'
import { allHelpers, ftp } from '../../src/helpers/index.js'
import { tcp, udp } from '../support/build.js'
import { PacketGenerator } from '../support/generator.js'
import { Random } from '../support/random.js'

const HOUR = 3_600_000_000_000n
const WORDS = { extended: true, id: true, ktimestamp: true, labels: new Map<number, string>() }
const WRITERS: Record<string, LineWriter> = {
  json: { line: connectionJson },
  conntrack: { line: connection => connectionLine(connection, {}, HOUR), ...TOOL_STYLE },
  words: { line: connection => connectionLine(connection, WORDS, HOUR), ...TOOL_STYLE },
  proc: { line: connection => procLine(connection, { now: HOUR }), ...PROC_STYLE },
}

const decoder = new TextDecoder()

function written(core: Core, writer: LineWriter): string {
  const lines = new ConnectionLines(core.inside, writer)
  const slots = core.slots()
  let text = ''
  for (let i = 0; i < slots.length; i += 2) {
    lines.add(slots[i])
    if (lines.full) text += decoder.decode(lines.take())
  }
  return text + decoder.decode(lines.take())
}

/** What it must be: connection by connection. */
const told = (connections: Iterable<Connection>, { line }: LineWriter) => [...connections].map(connection => `${line(connection)}\n`).join('')

function compare(tracker: Tracker): void {
  tracker.expire()
  const core = tracker.withCore(it => it)
  for (const [name, writer] of Object.entries(WRITERS)) expect(written(core, writer), name).toBe(told(tracker.connections(), writer))
}

/** A table of random packets that have just come. */
function tableOf(seed: number, options: TrackerOptions): Tracker {
  const tracker = createTracker({ maxConnections: 512, hashSeed: seed, ...options })
  const generator = new PacketGenerator(seed)
  for (let i = 0; i < 600; i++) tracker.track(generator.next(), { time: BigInt(i) * 1_234_567n })
  return tracker
}

/** Puts random numbers where they are numbers only: times, marks, TCP's and those of accounts. */
function disturb(core: Core, random: Random): void {
  const { view, regions } = core.inside
  const slots = core.slots()
  const any = () => random.next() >>> random.below(32)
  for (let i = 0; i < slots.length; i += 2) {
    const at = regions.entries + slots[i] * ENTRY_SIZE
    view.setBigInt64(at + 40, core.now + 1n + (BigInt(any()) << BigInt(random.below(24))), true)
    view.setUint32(at + 76, any(), true)
    if (view.getUint8(at + 36) === 17) view.setBigInt64(at + 80, core.now + (BigInt(any()) << 20n) - 1_000_000n, true)
    for (let k = core.parts.acct ? 0 : 32; k < 32; k += 8) {
      view.setBigUint64(regions.accounts + slots[i] * 32 + k, BigInt(any()) << BigInt(random.below(22)), true)
    }
    if (view.getUint8(at + 36) !== 6) continue
    for (const place of [56, 60, 64, 80, 84, 88, 92, 100, 104, 108, 112]) view.setUint32(at + place, any(), true)
    view.setUint16(at + 68, any(), true)
    for (const [place, below] of [[70, 6], [71, 2], [72, 15], [73, 256], [74, 256], [96, 15], [97, 256], [116, 15], [117, 256]]) {
      view.setUint8(at + place, random.below(below))
    }
  }
}

describe('the table as bytes is what its connections are as text', () => {
  test.each<[string, TrackerOptions]>([
    ['plain', {}],
    ['with everything counted', { sysctl: { acct: 1 }, history: true }],
    ['with starts', { sysctl: { acct: 1, timestamp: 1 } }],
    ['with labels', { labels: true }],
    ['with helpers', { helpers: [...allHelpers(), { helper: ftp(), match: { protocol: 'tcp', dport: 80 } }], history: true }],
    ['in a zone', { zone: 7 }],
    ['in zones of one direction', { zone: [{ protocol: 'tcp', id: 5, direction: 'original' }, { protocol: 'udp', id: 6, direction: 'reply' }] }],
  ])('%s', (_, options) => {
    for (let seed = 1; seed <= 5; seed++) {
      const tracker = tableOf(seed, options)
      compare(tracker)
      disturb(tracker.withCore(it => it), new Random(seed))
      compare(tracker)
    }
  })

  test('of addresses with zeros and dotted ends', () => {
    const tracker = createTracker({ maxConnections: 64, hashSeed: 1 })
    for (const src of ['::102:304', '::ffff:10.0.0.1', '2001:db8::', '::1', 'fe80::1:0:0:1', 'ff02:0:0:1:ffff:ffff:ffff:ffff']) {
      tracker.track(udp({ src, dst: '2001:db8::9', sport: 5, dport: 65_535 }))
    }
    for (const src of ['0.0.0.1', '255.255.255.254', '10.100.9.99']) tracker.track(udp({ src, dst: '1.2.3.4', sport: 999, dport: 1000 }))
    expect([...tracker.connections()].length).toBeGreaterThan(6)
    compare(tracker)
  })

  test('where there are more shapes than are remembered', () => {
    const tracker = createTracker({ maxConnections: 2048, hashSeed: 1 })
    for (let i = 0; i < 1500; i++) tracker.track(tcp({ src: '10.0.0.1', dst: '10.0.0.2', sport: i + 1, dport: 80 }, { flags: 'S' }))
    const core = tracker.withCore(it => it)
    const { view, regions } = core.inside
    for (let slot = 1; slot <= 1500; slot++) {
      view.setUint8(regions.entries + slot * ENTRY_SIZE + 97, slot & 255)
      view.setUint8(regions.entries + slot * ENTRY_SIZE + 117, slot >> 8)
    }
    compare(tracker)
  })

  test('connections of which more is to be said are left to the text', () => {
    const tracker = createTracker({ maxConnections: 8, hashSeed: 1 })
    for (const sport of [1, 2]) tracker.track(udp({ src: '10.0.0.1', dst: '10.0.0.2', sport, dport: 53 }))
    const apart = new Map([[2, 5]])
    const line = (connection: Connection) => connectionLine(connection, {}, 0n, apart.get(connection.id))
    const text = written(tracker.withCore(it => it), { line, apart, ...TOOL_STYLE })
    expect(text.match(/use=\d+/g)).toEqual(['use=1', 'use=6'])
  })
})

test('lines are full before they take more than a piece of output', () => {
  const tracker = createTracker({ maxConnections: 1024, hashSeed: 1 })
  for (let i = 1; i <= 1000; i++) tracker.track(tcp({ src: '10.0.0.1', dst: '10.0.0.2', sport: i, dport: 80 }, { flags: 'S' }))
  const lines = new ConnectionLines(tracker.withCore(core => core.inside), WRITERS.json)
  let slot = 1
  while (!lines.full) lines.add(slot++)
  const longest = Math.max(...[...tracker.connections()].map(connection => connectionJson(connection).length + 1))
  expect(lines.take().length).toBeLessThan((1 << 18) + longest)
  expect(lines.take()).toHaveLength(0)
})
