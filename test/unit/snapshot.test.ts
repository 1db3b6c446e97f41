/** Snapshots: a tracker goes on elsewhere exactly where it was; what is no good is refused. */
import { ConntrackError, createTracker, restoreTracker, type RestoreOptions, type Tracker, type TrackerOptions } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { crc32 } from '../../src/crc32.js'
import { fragments, udp } from '../support/build.js'
import { allHelpers, defineHelper, ftp, irc } from '../../src/helpers/index.js'
import { helpedTrace } from '../support/helped-trace.js'
import { Random } from '../support/random.js'
import { EVERYTHING, feed, mixedTrace } from '../support/trace.js'

const AT = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }

/** What a restore says of bytes: the code of its error, or `restored`. */
function outcome(bytes: Uint8Array, options: RestoreOptions = {}, use = (tracker: Tracker) => tracker.close()): string {
  let tracker: Tracker
  try {
    tracker = restoreTracker(bytes, options)
  } catch (error) {
    if (error instanceof ConntrackError) return error.code
    throw error
  }
  use(tracker)
  return 'restored'
}

/** The next value that is wrong in small ways, at random places behind a snapshot's header. */
function forge(good: Uint8Array, random: Random): Uint8Array {
  const forged = good.slice()
  for (let n = random.below(4); n >= 0; n--) {
    const at = 20 + random.below(forged.length - 24)
    forged[at] = random.pick([0, 1, 255, random.below(256), forged[at] + 1, forged[at] - 1])
  }
  return withChecksum(forged)
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  const end = bytes.length - 4
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end), 0), true)
  return bytes
}

const plain: TrackerOptions = { maxConnections: 100, hashSeed: 3 }

describe('a restored tracker', () => {
  test.each([['with every part', EVERYTHING], ['with none', plain]])('%s goes on as if nothing had happened', (_, options) => {
    const trace = mixedTrace(11, 600)
    const straight = createTracker(options)
    const verdicts = feed(straight, trace)
    const end = straight.snapshot()
    for (const point of [0, 1, 2, 17, 130, 299, 300, 451, 599, 600]) {
      const first = createTracker(options)
      const before = feed(first, trace.slice(0, point))
      const second = restoreTracker(first.snapshot())
      expect([...before, ...feed(second, trace.slice(point))], `at ${point}`).toEqual(verdicts)
      expect(Buffer.compare(second.snapshot(), end), `at ${point}`).toBe(0)
    }
  })

  test('gives the same snapshot at once, and the one that gave it is not disturbed', () => {
    const tracker = createTracker(EVERYTHING)
    feed(tracker, mixedTrace(3, 200))
    const snapshot = tracker.snapshot()
    expect(Buffer.compare(restoreTracker(snapshot).snapshot(), snapshot)).toBe(0)
    expect(Buffer.compare(tracker.snapshot(), snapshot)).toBe(0)
  })

  test('has the table, the clock, the counters and the sysctls', () => {
    const tracker = createTracker(plain)
    tracker.track(udp(AT), { time: 1_000_000_000n })
    tracker.setSysctl('udp_timeout', 99)
    const again = restoreTracker(tracker.snapshot())
    expect([...again.connections()]).toEqual([...tracker.connections()])
    expect(again.statistics()).toEqual(tracker.statistics())
    expect(again.sysctl('udp_timeout')).toBe(99)
    expect(again.track(udp({ ...AT, sport: 2 }))).toMatchObject({ packet: 2, connection: 2, timeoutMs: 99_000 })
  })

  test('keeps a datagram that is half there', () => {
    const { first, second } = halves()
    const tracker = createTracker(plain)
    expect(tracker.track(first).reason).toBe('fragment-held')
    expect(restoreTracker(tracker.snapshot()).track(second).state).toBe('NEW')
  })

  test('a snapshot that lies within a larger buffer is read', () => {
    const snapshot = createTracker(plain).snapshot()
    const buffer = new Uint8Array(snapshot.length + 100)
    buffer.set(snapshot, 33)
    expect(outcome(buffer.subarray(33, 33 + snapshot.length))).toBe('restored')
  })
})

describe('refused', () => {
  const tracker = createTracker({ ...EVERYTHING, maxConnections: 40 })
  feed(tracker, mixedTrace(5, 300))
  const good = tracker.snapshot()

  test('every shortened one', () => {
    for (let length = 0; length < good.length; length += 1 + (length >> 4)) expect(outcome(good.slice(0, length))).toBe('bad-snapshot')
  })

  test('every single damaged byte', () => {
    for (let at = 0; at < good.length; at += 1 + (at >> 5)) {
      const damaged = good.slice()
      damaged[at] ^= 1 << (at & 7)
      expect(outcome(damaged), `byte ${at}`).toBe('bad-snapshot')
    }
  })

  test('one with something behind it', () => {
    expect(outcome(Uint8Array.of(...good, 0))).toBe('bad-snapshot')
  })

  test.each([['of another version', 8], ['of another layout', 12]])('one %s, by name', (_, at) => {
    const foreign = good.slice()
    foreign[at] ^= 0x40
    expect(() => restoreTracker(withChecksum(foreign))).toThrow(/version/)
  })

  test('what is no bytes', () => {
    expect(() => restoreTracker('x' as never)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })

  test('forged ones whose checksum is right are refused, or work without harm', () => {
    const random = new Random(99)
    const trace = mixedTrace(6, 150)
    let refused = 0
    for (let i = 0; i < 200; i++) {
      const forged = forge(good, random)
      if (outcome(forged, {}, tracker => void feed(tracker, trace)) === 'bad-snapshot') refused++
    }
    expect(refused).toBeGreaterThan(50)
  })
})

describe('with helpers', () => {
  const options: TrackerOptions = { ...EVERYTHING, maxConnections: 60, helpers: allHelpers(), zone: [] }
  const { helpers } = options

  test('a restored tracker goes on as if nothing had happened, expectations, GRE keys and states included', () => {
    const trace = helpedTrace(5, 900)
    const straight = createTracker(options)
    const verdicts = feed(straight, trace)
    const end = straight.snapshot()
    let standing = 0
    for (const point of [0, 1, 40, 130, 299, 301, 451, 600, 777, 899, 900]) {
      const first = createTracker(options)
      const before = feed(first, trace.slice(0, point))
      const second = restoreTracker(first.snapshot(), { helpers })
      standing += second.expectations().length
      expect(second.expectations(), `at ${point}`).toEqual(first.expectations())
      expect([...before, ...feed(second, trace.slice(point))], `at ${point}`).toEqual(verdicts)
      expect(Buffer.compare(second.snapshot(), end), `at ${point}`).toBe(0)
    }
    expect(standing).toBeGreaterThan(50)
  })

  test('the helpers that are given must be those of the snapshot, on the same ports', () => {
    const snapshot = createTracker({ helpers: [ftp(), { helper: irc(), match: { dst: '10.0.0.1' } }] }).snapshot()
    expect(outcome(snapshot, { helpers: [ftp(), { helper: irc(), match: { dst: '10.0.0.1' } }] })).toBe('restored')
    const others = [
      undefined, [], [ftp()], [ftp(), irc()], [ftp({ ports: [2121] }), { helper: irc(), match: { dst: '10.0.0.1' } }],
      [ftp(), { helper: irc(), match: { dst: '10.0.0.2' } }],
    ]
    for (const helpers of others) expect(outcome(snapshot, { helpers })).toBe('invalid-argument')
    expect(outcome(createTracker(plain).snapshot(), { helpers: [ftp()] })).toBe('invalid-argument')
    expect(outcome(snapshot, { helpers: [7 as never] })).toBe('invalid-argument')
  })

  test('options that the snapshot has are refused', () => {
    expect(outcome(createTracker(plain).snapshot(), { hashSeed: 1 } as never)).toBe('invalid-argument')
  })

  test('a helper that remembers what JSON cannot say is refused when a snapshot is asked for', () => {
    const odd = defineHelper({ name: 'odd', protocol: 'udp', ports: [80], state: () => ({ n: 1n }), inspect: () => 'accept' })
    const tracker = createTracker({ helpers: [odd] })
    tracker.track(udp(AT))
    expect(() => tracker.snapshot()).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })

  test('what helpers have thrown is still counted, and not reported again', () => {
    const reports: unknown[] = []
    const rash = defineHelper({
      name: 'rash', protocol: 'udp', ports: [80],
      inspect() {
        throw new Error('no')
      },
    })
    const given = { helpers: [rash], onHelperError: (error: unknown) => reports.push(error) }
    const tracker = createTracker({ ...plain, ...given })
    tracker.track(udp(AT))
    const again = restoreTracker(tracker.snapshot(), given)
    again.track(udp(AT))
    expect(again.statistics().helperErrors).toEqual({ rash: 2 })
    expect(reports).toHaveLength(1)
  })

  test('forged ones whose checksum is right are refused, or work without harm', () => {
    const random = new Random(7)
    const tracker = createTracker(options)
    feed(tracker, helpedTrace(6, 400))
    const good = tracker.snapshot()
    const trace = helpedTrace(6, 500).slice(400)
    expect(tracker.expectations().length).toBeGreaterThan(3)
    let refused = 0
    for (let i = 0; i < 200; i++) {
      const forged = forge(good, random)
      const given = { helpers, onHelperError: () => {} }
      if (outcome(forged, given, tracker => void feed(tracker, trace)) !== 'restored') refused++
    }
    expect(refused).toBeGreaterThan(50)
  })
})

/** A UDP datagram in two fragments. */
function halves(): { first: Uint8Array; second: Uint8Array } {
  const [first, second] = fragments(udp(AT, 24), 16, 5)
  return { first, second }
}
