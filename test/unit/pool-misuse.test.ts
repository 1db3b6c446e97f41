/** What a pool refuses, and how it ends: by `close`, or because a worker died. Nothing waits for ever. */
import type { PacketBatch } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { createTrackerPool, type PoolOptions, type TrackerPool } from '../../src/pool.js'
import { localWorker, type LocalWorker } from '../support/local-worker.js'
import { batchesOf, localPool } from '../support/pool.js'
import { mixedTrace } from '../support/trace.js'

const codeOf = (error: unknown) => (error as { code?: string }).code ?? String(error)
const outcome = (promise: Promise<unknown>) => promise.then(() => 'answered', codeOf)

/** A pool, and the workers that it has made. */
function observed(options: PoolOptions = {}): { pool: TrackerPool; workers: LocalWorker[] } {
  const workers: LocalWorker[] = []
  const worker = () => {
    workers.push(localWorker())
    return workers[workers.length - 1]
  }
  return { pool: createTrackerPool({ hashSeed: 1, ...options, worker }), workers }
}

describe('options', () => {
  test.each([
    ['no workers', { workers: 0 }], ['256 workers', { workers: 256 }], ['half a worker', { workers: 1.5 }],
    ['workers by name', { workers: '2' as unknown as number }],
    ['a helper that expects other hosts: irc', { helpers: ['irc'] }],
    ['a helper that expects other hosts: h323', { helpers: ['h323'] }],
    ['a helper that expects other hosts: netbios-ns', { helpers: ['netbios-ns'] }],
    ['a helper that expects other hosts: snmp', { helpers: ['snmp'] }],
    ['a helper that nobody knows', { helpers: ['gopher'] }], ['a helper on no port', { helpers: ['ftp='] }],
    ['helpers that are no list', { helpers: 'ftp' as unknown as string[] }],
    ['half a connection', { maxConnections: 0.5 }],
    ['a seed that is no whole number', { hashSeed: 0.5 }],
    ['an unknown option', { explain: true } as PoolOptions], ['a batch size', { batchSize: 5 } as PoolOptions],
    ['a shard', { shard: { index: 0, of: 2, seed: 1 } } as PoolOptions], ['null', null as unknown as PoolOptions],
  ])('%s: refused at once', (_, options) => {
    expect(() => createTrackerPool(options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })

  test.each([
    ['invalid-argument', { notrack: [{ src: 'nowhere' }] }], ['unknown-sysctl', { sysctl: { nothing: 1 } }],
    ['sysctl-range', { sysctl: { udp_timeout: -1 } }], ['invalid-argument', { maxConnections: 2 ** 40 }],
    ['invalid-argument', { helpers: ['ftp=99999'] }],
  ])('what a tracker refuses as %s is told by the first call', async (code, options) => {
    const pool = localPool(options as PoolOptions)
    expect(await outcome(pool.trackBatch(batchesOf(mixedTrace(1, 5), 5)[0]))).toBe(code)
    expect(await outcome(pool.statistics())).toBe(code)
    pool.close()
  })

  test('helpers on other ports', async () => {
    const pool = localPool({ helpers: ['ftp=2121,2122', 'sip'] })
    expect(await pool.expectations()).toEqual([])
    pool.close()
  })
})

test.each([
  ['no batch', null], ['a batch without data', { count: 1 }], ['a batch without columns', { count: 1, data: new Uint8Array(9) }],
  ['a packet outside of the data', { ...batchesOf(mixedTrace(1, 5), 5)[0], data: new Uint8Array(10) }],
])('%s is refused, and the pool goes on', async (_, batch) => {
  const pool = localPool({ workers: 2 })
  expect(await outcome(pool.trackBatch(batch as unknown as PacketBatch))).toBe('invalid-argument')
  expect((await pool.trackBatch(batchesOf(mixedTrace(1, 5), 5)[0])).count).toBe(5)
  expect((await pool.statistics()).packets).toBe(5)
  pool.close()
})

test('a sysctl is set in all workers, and refused by all', async () => {
  const pool = localPool({ workers: 3 })
  await pool.setSysctl('udp_timeout', 7)
  expect(await outcome(pool.setSysctl('udp_timeout', -7))).toBe('sysctl-range')
  expect(await outcome(pool.setSysctl('no_such', 7))).toBe('unknown-sysctl')
  pool.close()
})

describe('close', () => {
  test('while batches are under way: what was not answered is rejected, and workers end', async () => {
    const { pool, workers } = observed({ workers: 2 })
    const batches = batchesOf(mixedTrace(3, 3000), 100)
    await pool.trackBatch(batches[0])
    const answers = batches.slice(1).map(batch => outcome(pool.trackBatch(batch)))
    const counts = outcome(pool.statistics())
    pool.close()
    expect(new Set(await Promise.all([...answers, counts]))).toEqual(new Set(['closed']))
    expect(workers.map(worker => worker.ended)).toEqual([true, true])
  })

  test('before the workers have started', async () => {
    const { pool } = observed({ workers: 2 })
    pool.close()
    expect(await outcome(pool.trackBatch(batchesOf(mixedTrace(3, 10), 10)[0]))).toBe('closed')
  })

  test('twice, and whatever is asked then is refused', async () => {
    const pool = localPool({ workers: 2 })
    pool.close()
    pool.close()
    const calls = [pool.statistics(), pool.connections(), pool.expectations(), pool.advance(1n), pool.setSysctl('udp_timeout', 1)]
    expect(await Promise.all(calls.map(outcome))).toEqual(Array(5).fill('closed'))
  })

  test('by the end of a block', async () => {
    const { pool, workers } = observed({ workers: 1 })
    await pool.statistics()
    await pool[Symbol.asyncDispose]()
    expect(workers[0].ended).toBe(true)
  })
})

describe('a worker that dies', () => {
  test('rejects all that waits and all that comes', async () => {
    const { pool, workers } = observed({ workers: 2 })
    const batches = batchesOf(mixedTrace(3, 1000), 100)
    await pool.trackBatch(batches[0])
    const answers = batches.slice(1).map(batch => outcome(pool.trackBatch(batch)))
    workers[1].die('out of memory')
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['worker-failed']))
    expect(await outcome(pool.trackBatch(batches[0]))).toBe('worker-failed')
    expect(await outcome(pool.connections())).toBe('worker-failed')
    pool.close()
    await expect(outcome(pool.statistics())).resolves.toBe('closed')
    expect(workers.map(worker => worker.ended)).toEqual([true, true])
  })

  test('while it starts', async () => {
    const { pool, workers } = observed({ workers: 2 })
    const answer = outcome(pool.trackBatch(batchesOf(mixedTrace(3, 10), 10)[0]))
    await Promise.resolve()
    workers[0].die('no such script')
    expect(await answer).toBe('worker-failed')
    pool.close()
  })

  test('that cannot be made at all', async () => {
    const pool = createTrackerPool({ worker: () => { throw new Error('forbidden here') } })
    expect(await outcome(pool.statistics())).toBe('worker-failed')
    pool.close()
  })
})
