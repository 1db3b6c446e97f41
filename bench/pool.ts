/**
 * `npm run bench:pool`: one tracker against a pool of workers (see pool-compare.ts), in Node or in a page of Chromium, which
 * is isolated from other origins, as shared memory wants it, or not.
 *
 *     npm run bench:pool -- --workers 2 --connections 1000000 --batch 16384 --rounds 24 --in page --in-place --json
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { comparePool, type Package, type Processor, type Report, type Settings } from './pool-compare.js'
import { loadSdk } from './sdk.js'
import type { Quartiles } from './statistics.js'

// Seen from build/bench/, where the benchmark runs.
const PROJECT = new URL('../../', import.meta.url)
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const PLACES = { node: inNode, page: () => inPage(true), 'page-not-isolated': () => inPage(false) } as const
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' }, connections: { type: 'string', default: '1000000' },
    batch: { type: 'string', default: '16384' }, rounds: { type: 'string', default: '24' },
    in: { type: 'string', default: 'node' }, 'in-place': { type: 'boolean', default: false }, json: { type: 'boolean' },
  },
})
const [workers, connections, batch, rounds] = [values.workers, values.connections, values.batch, values.rounds].map(Number)
const settings: Settings = { workers, connections, batch, rounds, inPlace: values['in-place'] }

async function main(): Promise<void> {
  const measure = PLACES[values.in as keyof typeof PLACES]
  if (!measure) throw new Error(`--in is one of ${Object.keys(PLACES).join(', ')}`)
  const report = await measure()
  const told = { ...settings, in: values.in, processors: availableParallelism(), ...report }
  console.log(values.json ? JSON.stringify(told) : text(told))
}

async function inNode(): Promise<Report> {
  const { createTracker } = await loadSdk(new URL('dist/index.js', PROJECT))
  const { createTrackerPool } = await import(new URL('dist/pool.js', PROJECT).href) as Pick<Package, 'createTrackerPool'>
  return comparePool({ createTracker, createTrackerPool }, settings, existsSync(THREADS) ? processorTime : null)
}

/** Linux tells of each thread how long it has run. */
const THREADS = '/proc/self/task'

function processorTime(): ReturnType<Processor> {
  const times = readdirSync(THREADS).map(thread => {
    try {
      return { thread, time: Number(readFileSync(`${THREADS}/${thread}/schedstat`, 'utf8').split(' ')[0]) }
    } catch {
      return { thread, time: 0 } // it has ended
    }
  })
  const caller = times.find(({ thread }) => thread === String(process.pid))?.time ?? 0
  return { caller, all: times.reduce((sum, { time }) => sum + time, 0) }
}

async function inPage(isolated: boolean): Promise<Report> {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is not there`)
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    const headers = { ...isolated ? ISOLATED : {}, 'content-type': path === '/' ? 'text/html' : 'text/javascript' }
    const known = /^\/(dist|build\/bench)\/[\w.-]+\.js$/.test(path)
    if (path !== '/' && !known) return response.writeHead(404).end()
    response.writeHead(200, headers).end(known ? readFileSync(new URL(`.${path}`, PROJECT)) : '<!doctype html>')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu'] })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    return await page.evaluate<Report>(`(async () => {
      const [{ createTracker }, { createTrackerPool }, { comparePool }] = await Promise.all(
        ['/dist/index.js', '/dist/pool.js', '/build/bench/pool-compare.js'].map(path => import(path)))
      return comparePool({ createTracker, createTrackerPool }, ${JSON.stringify(settings)})
    })()`)
  } finally {
    await browser.close()
    server.close()
  }
}

type Told = Report & Settings & { in: string; processors: number }

function text({ workers, connections, batch, in: place, inPlace, processors, one, pool, speedup, processor }: Told): string {
  const cell = ({ p25, p50, p75 }: Quartiles, digits: number) => `${p50.toFixed(digits)} (${p25.toFixed(digits)}–${p75.toFixed(digits)})`
  return [
    `${place}: ${connections} connections, batches of ${batch}${inPlace ? ' in the pool\'s memory' : ''}, ${processors} processors`,
    `one tracker    ${cell(one, 1)} ns a packet`,
    `${workers} workers      ${cell(pool, 1)} ns a packet`,
    `faster by      ×${cell(speedup, 2)}`,
    ...processor ? [
      `processor time ${cell(processor.one, 1)} of one tracker, ${cell(processor.caller, 1)} of the pool's caller, ${cell(processor.workers, 1)} of its workers`,
    ] : [],
  ].join('\n')
}

await main()
