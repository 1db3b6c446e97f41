/** The option `shard`: several trackers share the packets, each packet has one that tracks it. */
import { createTracker, restoreTracker, VERDICT_ELSEWHERE, type Shard, type TrackerOptions } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { icmpError, udp } from '../support/build.js'
import { asBatch, mixedTrace } from '../support/trace.js'

const options: TrackerOptions = { hashSeed: 1, maxConnections: 5000, batchSize: 2000 }
const shard = (index: number, of: number): Shard => ({ index, of, seed: 5 })

describe('shards of one trace', () => {
  const batch = asBatch(mixedTrace(31, 2000))
  const whole = createTracker(options).trackBatch(batch)
  const parts = [0, 1, 2].map(index => createTracker({ ...options, shard: shard(index, 3) }).trackBatch(batch))

  test('every packet is tracked by one of them, with the verdict of one tracker', () => {
    for (let i = 0; i < batch.count; i++) {
      const own = parts.filter(({ flags }) => flags[i] !== VERDICT_ELSEWHERE)
      expect(own).toHaveLength(1)
      const [{ state, direction, reason, timeoutNs }] = own
      expect([state[i], direction[i], reason[i], timeoutNs[i]])
        .toEqual([whole.state[i], whole.direction[i], whole.reason[i], whole.timeoutNs[i]])
    }
  })

  test("rows of the others' packets say so and nothing else", () => {
    for (const { count, flags, ...columns } of parts) {
      for (let i = 0; i < count; i++) {
        if (flags[i] === VERDICT_ELSEWHERE) expect(Object.values(columns).map(column => column[i])).toEqual(Array(10).fill(0))
      }
    }
  })

  test('each has a part of them', () => {
    for (const { flags } of parts) expect(flags.filter(flag => flag !== VERDICT_ELSEWHERE).length).toBeGreaterThan(100)
  })
})

test('who shares with nobody tracks everything', () => {
  const batch = asBatch(mixedTrace(32, 500))
  const { flags } = createTracker({ ...options, shard: shard(0, 1) }).trackBatch(batch)
  expect(flags.every(flag => flag !== VERDICT_ELSEWHERE)).toBe(true)
})

test('one packet at a time goes the same way', () => {
  const packets = Array.from({ length: 40 }, (_, i) => udp({ src: `10.0.0.${i}`, dst: '10.0.1.1', sport: 1, dport: 2 }))
  const trackers = [0, 1].map(index => createTracker({ ...options, shard: shard(index, 2) }))
  const states = packets.map(packet => trackers.map(tracker => tracker.track(packet).state))
  expect(states.every(pair => pair.filter(state => state === 'NEW').length === 1)).toBe(true)
})

test('an ICMP error belongs to the hosts of what it quotes, whoever sends it', () => {
  const at = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1, dport: 2 }
  const tracker = [0, 1, 2, 3].map(index => createTracker({ ...options, shard: shard(index, 4) }))
    .find(each => each.track(udp(at)).state === 'NEW')!
  for (let router = 1; router < 40; router++) {
    const error = icmpError({ src: `192.0.2.${router}`, dst: at.src, sport: 0, dport: 0 }, 3, 1, udp(at))
    expect(tracker.track(error).state).toBe('RELATED')
  }
})

test('a snapshot keeps the shard', () => {
  const trace = mixedTrace(33, 1000)
  const tracker = createTracker({ ...options, shard: shard(1, 2) })
  tracker.trackBatch(asBatch(trace.slice(0, 500)))
  const restored = restoreTracker(tracker.snapshot())
  const [one, other] = [tracker, restored].map(each => {
    const { count, ...columns } = each.trackBatch(asBatch(trace.slice(500)))
    return Object.values(columns).map(column => [...column.subarray(0, count)])
  })
  expect(other).toEqual(one)
  expect(restored.snapshot()).toEqual(tracker.snapshot())
})

test.each([
  ['is no object', 3], ['has an index beyond the last', { index: 2, of: 2, seed: 1 }], ['has a negative index', { index: -1, of: 2, seed: 1 }],
  ['is one of none', { index: 0, of: 0, seed: 1 }], ['is one of 256', { index: 0, of: 256, seed: 1 }],
  ['has no seed', { index: 0, of: 2 }], ['has half a seed', { index: 0, of: 2, seed: 0.5 }],
])('a shard that %s is refused', (_, bad) => {
  expect(() => createTracker({ shard: bad as Shard })).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
})
