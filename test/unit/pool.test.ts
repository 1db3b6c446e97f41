/** A pool gives the verdicts, the table and the counters of one tracker, however many workers share the packets. */
import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { packetBatch, STATES, type PacketBatch, type VerdictBatch } from 'conntrack-wasm'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { fragments, gre, icmpError, udp } from '../support/build.js'
import { readFrames } from '../support/frames.js'
import { FragmentGenerator } from '../support/fragment-generator.js'
import { PacketGenerator, type Kind } from '../support/generator.js'
import { helpedTrace } from '../support/helped-trace.js'
import type { TrackerPool } from '../../src/pool.js'
import { batchesOf, differences, localPool, POOL_HELPERS, withoutIcmpFragments } from '../support/pool.js'
import { EVERYTHING, mixedTrace as randomTrace, type TimedPacket } from '../support/trace.js'

const root = new URL('../captures/', import.meta.url)
const captures = readdirSync(root).filter(name => /\.pcap(ng)?$/.test(name))
const START = 1_700_000_000_000_000_000n
const MILLISECOND = 1_000_000n

const timed = (packets: readonly Uint8Array[]): TimedPacket[] =>
  packets.map((data, i) => ({ data, time: START + BigInt(i) * MILLISECOND }))
const generated = (seed: number, count: number, kinds: readonly Kind[]) => {
  const generator = new PacketGenerator(seed, { kinds })
  return withoutIcmpFragments(timed(Array.from({ length: count }, () => generator.next())))
}

const mixedTrace = (seed: number, count: number) => withoutIcmpFragments(randomTrace(seed, count))

afterEach(() => { vi.unstubAllGlobals() })

describe.each([1, 2, 3])('a pool of %i and one tracker say the same', workers => {
  test.each(captures)('of the capture %s', async name => {
    const frames = await readFrames(new URL(name, root).pathname)
    expect(frames.length).toBeGreaterThan(0)
    expect(await differences(batchesOf(frames, 50), { workers, helpers: POOL_HELPERS })).toEqual([])
  })

  test('of conversations that helpers follow', async () => {
    expect(await differences(batchesOf(helpedTrace(5, 3000), 200), { workers, helpers: POOL_HELPERS })).toEqual([])
  })

  test('of fragments, whole and broken', async () => {
    const generator = new FragmentGenerator(3, 3000)
    const packets = timed(Array.from({ length: 2000 }, () => generator.next()))
    // Its limit is counted over all hosts that a source sends fragments to, and they are not all one worker's.
    const sysctl = { ipfrag_max_dist: 0 }
    expect(await differences(batchesOf(packets, 100), { workers, sysctl })).toEqual([])
  })

  test.each([['sctp'], ['gre'], ['icmp', 'udp', 'error'], ['tcp', 'error', 'fragment'], ['odd', 'udplite', 'generic']] as Kind[][])(
    'of random packets: %s', async (...kinds) => {
      expect(await differences(batchesOf(generated(11, 1500, kinds), 128), { workers })).toEqual([])
    })

  test('of random packets with zones, policies, drops and all that an entry can have', async () => {
    const { zone, timeouts, drop, history, sysctl } = EVERYTHING
    expect(await differences(batchesOf(mixedTrace(21, 2000), 64), { zone, timeouts, drop, history, sysctl, workers })).toEqual([])
  })

  test('where memory cannot be shared', async () => {
    vi.stubGlobal('SharedArrayBuffer', undefined)
    expect(await differences(batchesOf(mixedTrace(22, 1500), 300), { workers })).toEqual([])
    expect(await differences(batchesOf(helpedTrace(6, 1500), 300), { workers, helpers: POOL_HELPERS })).toEqual([])
  })
})

test('whatever the packets and however they are split into batches', async () => {
  await fc.assert(fc.asyncProperty(
    fc.integer({ min: 0, max: 1 << 30 }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 400 }),
    async (seed, workers, size) => {
      expect(await differences(batchesOf(mixedTrace(seed, 300), size), { workers, hashSeed: seed })).toEqual([])
    }), { numRuns: 25, seed: 1 })
})

describe('what must meet meets in one worker', () => {
  const hosts = Array.from({ length: 64 }, (_, i) => ({ src: `10.1.0.${i}`, dst: `10.2.0.${255 - i}`, sport: 1000 + i, dport: 53 }))
  const other = ({ src, dst, sport, dport }: (typeof hosts)[0]) => ({ src: dst, dst: src, sport: dport, dport: sport })
  const states = async (packets: readonly Uint8Array[]) => {
    const pool = localPool({ workers: 4 })
    const { state } = await pool.trackBatch(batchesOf(timed(packets), packets.length)[0])
    pool.close()
    return [...state]
  }
  const [NEW, ESTABLISHED, RELATED] = (['NEW', 'ESTABLISHED', 'RELATED'] as const).map(name => STATES.indexOf(name))

  test('both directions of a connection', async () => {
    const found = await states(hosts.flatMap(at => [udp(at), udp(other(at))]))
    expect(found).toEqual(hosts.flatMap(() => [NEW, ESTABLISHED]))
  })

  test('a connection and an ICMP error about it from whatever router', async () => {
    const router = (at: { src: string }) => ({ src: '192.0.2.77', dst: at.src, sport: 0, dport: 0 })
    const found = await states(hosts.flatMap(at => [udp(at), icmpError(router(at), 11, 0, udp(at))]))
    expect(found).toEqual(hosts.flatMap(() => [NEW, RELATED]))
  })

  test('the fragments of a datagram, and its connection', async () => {
    const found = await states(hosts.flatMap((at, i) => [...fragments(udp(at, 100), 56, i), udp(other(at))]))
    expect(found.filter(state => state === ESTABLISHED)).toHaveLength(hosts.length)
  })

  test('a connection of GRE, whichever side speaks first', async () => {
    const found = await states(hosts.flatMap(at => [gre(at, 0, 0x800, [1, 2, 3, 4]), gre(other(at), 0, 0x800, [1, 2, 3, 4])]))
    expect(found).toEqual(hosts.flatMap(() => [NEW, ESTABLISHED]))
  })
})

describe('batches', () => {
  const packet = udp({ src: '10.0.0.1', dst: '10.0.0.2', sport: 1, dport: 2 })

  test('an empty batch has no verdicts', async () => {
    const pool = localPool({ workers: 2 })
    expect((await pool.trackBatch(packetBatch([]))).count).toBe(0)
    pool.close()
  })

  test('a batch may be changed as soon as it was given', async () => {
    const pool = localPool({ workers: 2 })
    const batch = packetBatch([{ data: packet, time: START, linkType: 101 }])
    const answer = pool.trackBatch(batch)
    batch.data.fill(0)
    batch.length.fill(0)
    expect(STATES[(await answer).state[0]]).toBe('NEW')
    pool.close()
  })

  test('verdicts stay what they are until four batches more are given', async () => {
    const pool = localPool({ workers: 2 })
    const answers: { verdicts: VerdictBatch; before: number[] }[] = []
    for (const batch of batchesOf(mixedTrace(9, 4000), 100)) {
      const answer = pool.trackBatch(batch)
      for (const { verdicts, before } of answers.slice(-3)) expect(stateAndTime(verdicts)).toEqual(before)
      const verdicts = await answer
      for (const { verdicts: earlier, before } of answers.slice(-3)) expect(stateAndTime(earlier)).toEqual(before)
      answers.push({ verdicts, before: stateAndTime(verdicts) })
    }
    pool.close()
  })

  test('verdicts of batches that were all given at once stay what they are', async () => {
    const pool = localPool({ workers: 2 })
    const batches = batchesOf(mixedTrace(9, 4000), 50)
    const answers = batches.map(async batch => {
      const verdicts = await pool.trackBatch(batch)
      return { verdicts, before: stateAndTime(verdicts) }
    })
    await Promise.all(answers)
    await pool.statistics()
    for (const answer of answers) {
      const { verdicts, before } = await answer
      expect(stateAndTime(verdicts)).toEqual(before)
    }
    pool.close()
  })

  test('calls see what was given before them and nothing of what was given behind them', async () => {
    const pool = localPool({ workers: 3 })
    const batches = batchesOf(mixedTrace(10, 3000), 100)
    const counts = batches.map(batch => {
      void pool.trackBatch(batch)
      return pool.statistics()
    })
    expect((await Promise.all(counts)).map(({ packets }) => packets)).toEqual(batches.map((_, i) => sum(batches.slice(0, i + 1))))
    pool.close()
  })

  test('more packets than workers take at a time, and large ones, far apart in memory', async () => {
    const large = Array.from({ length: 90 }, (_, i) => udp({ src: `10.0.0.${i}`, dst: '10.0.1.1', sport: 1, dport: 2 }, 40_000))
    const small = mixedTrace(4, 40_000)
    expect(await differences([...batchesOf(small, 40_000), spread(batchesOf(timed(large), 90)[0])], { workers: 2 })).toEqual([])
  })

  describe('in memory of the pool', () => {
    const moved = (pool: TrackerPool, batches: readonly PacketBatch[]) => batches.map(batch => {
      const data = pool.allocate(batch.data.length)
      data.set(batch.data)
      return { ...batch, data }
    })

    test.each([1, 2, 3])('have the same verdicts with %i workers', async workers => {
      const batches = [...batchesOf(mixedTrace(12, 40_000), 20_000), ...batchesOf(helpedTrace(5, 2000), 100)]
      expect(await differences(batches, { workers, helpers: POOL_HELPERS }, pool => moved(pool, batches))).toEqual([])
    })

    test('where memory cannot be shared, too', async () => {
      vi.stubGlobal('SharedArrayBuffer', undefined)
      const batches = batchesOf(mixedTrace(13, 2000), 300)
      expect(await differences(batches, { workers: 2 }, pool => moved(pool, batches))).toEqual([])
    })

    test('packets are not copied', async () => {
      const pool = localPool({ workers: 2 })
      const memory = pool.allocate(packet.length)
      memory.set(packet)
      const batch = { ...packetBatch([{ data: packet, time: START, linkType: 101 }]), data: memory }
      const answer = pool.trackBatch(batch)
      memory[0] = 0 // it was to stay as it was
      expect(STATES[(await answer).state[0]]).toBe(null)
      pool.close()
    })

    test.each([-1, 0.5, 2 ** 33, NaN])('there are no %s bytes of it', async bytes => {
      const pool = localPool({ workers: 1 })
      expect(() => pool.allocate(bytes)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
      pool.close()
      expect(() => pool.allocate(1)).toThrow(expect.objectContaining({ code: 'closed' }))
    })
  })

  test('time that passes in packets of one worker passes in all', async () => {
    const pool = localPool({ workers: 3, sysctl: { udp_timeout: 1 } })
    const packets = Array.from({ length: 30 }, (_, i) => ({
      data: udp({ src: `10.0.0.${i}`, dst: '10.9.9.9', sport: 1, dport: 2 }), time: START + BigInt(i) * 100n * MILLISECOND, linkType: 101,
    }))
    await pool.trackBatch(packetBatch(packets))
    expect(await pool.connections()).toHaveLength(10)
    await pool.advance(START + 3_500n * MILLISECOND)
    expect(await pool.connections()).toHaveLength(4)
    pool.close()
  })

  test('a connection that another worker was given later packets of is over at their time', async () => {
    const late = START + 40_000n * MILLISECOND
    const early = Array.from({ length: 16 }, (_, i) => udp({ src: `10.0.0.${i}`, dst: '10.9.9.9', sport: 1, dport: 2 }))
    const again = early.map(data => ({ data, time: START }))
    const packets = [...again, { data: packet, time: late }, ...again]
    expect(await differences(batchesOf(packets, 100), { workers: 3 })).toEqual([])
  })
})

const sum = (batches: readonly PacketBatch[]) => batches.reduce((total, { count }) => total + count, 0)

const stateAndTime = ({ state, timeoutNs }: VerdictBatch) => [...state, ...timeoutNs]

/** The same batch with its packets in far apart and disordered places. */
function spread(batch: PacketBatch): PacketBatch {
  const width = 100_000
  const data = new Uint8Array(batch.count * width)
  const offset = batch.offset.map((_, i) => (batch.count - 1 - i) * width)
  for (let i = 0; i < batch.count; i++) data.set(batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i]), offset[i])
  return { ...batch, data, offset }
}
