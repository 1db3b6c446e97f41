/**
 * The built package in headless Chromium (Debian's): a capture given as a `File` becomes, byte for byte, the NDJSON that
 * the command line gives in Node. Skipped, saying so, where there is no Chromium.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const missing = !existsSync(CHROMIUM)
const project = new URL('../../', import.meta.url)

/** What somebody would write into a page: classify the file that was dropped on it. */
const PAGE = `<!doctype html><title>conntrack-wasm</title><input type="file" id="capture">
<script type="module">
  import { createTracker } from '/dist/index.js'
  import { readCapture } from '/dist/capture.js'
  import { classifyLines } from '/dist/format.js'
  window.classify = async file => {
    const tracker = createTracker({ checksum: 'offload' })
    let output = ''
    let packet = 1
    for await (const batch of readCapture(file)) {
      output += classifyLines(batch, tracker.trackBatch(batch), packet)
      packet += batch.count
    }
    return output
  }
  const COLUMNS = ['state', 'direction', 'reason', 'protocolState', 'flags', 'protocol', 'family', 'timeoutNs']
  // How many packets a pool's workers saw, how many of its verdicts are not one tracker's, and whether it shared memory.
  window.compare = async file => {
    const { createTrackerPool } = await import('/dist/pool.js')
    const [tracker, pool] = [createTracker(), createTrackerPool({ workers: 2 })]
    let differing = 0
    for await (const batch of readCapture(file)) {
      const answer = pool.trackBatch(batch)
      const [one, other] = [tracker.trackBatch(batch), await answer]
      for (let i = 0; i < batch.count; i++) differing += COLUMNS.some(name => one[name][i] !== other[name][i])
    }
    const { packets } = await pool.statistics()
    pool.close()
    return { packets, differing, isolated: crossOriginIsolated }
  }
</script>`
/** What makes a page's memory one that workers can share. */
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }

/** Chromium may take its time on a machine that does something else. */
const START_MS = 60_000

describe.skipIf(missing)(`Chromium${missing ? ` (skipped: ${CHROMIUM} is not there)` : ''}`, () => {
  let server: Server
  let browser: Browser
  let page: Page
  const errors: string[] = []

  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = new URL(request.url ?? '/', 'http://localhost').pathname
      if (path === '/isolated/' || path.startsWith('/dist/')) response.setHeaders(new Map(Object.entries(ISOLATED)))
      if (path === '/' || path === '/isolated/') return response.setHeader('content-type', 'text/html').end(PAGE)
      if (!/^\/dist\/[\w.-]+\.js$/.test(path)) return response.writeHead(404).end()
      response.setHeader('content-type', 'text/javascript').end(readFileSync(new URL(`.${path}`, project)))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    })
    page = await browser.newPage()
    page.on('pageerror', error => errors.push(String(error)))
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.waitForFunction('window.classify')
  }, START_MS)

  afterAll(async () => {
    await browser?.close()
    server?.close()
  })

  test.each(['http_keepalive.pcap', 'fmt_pcapng_two.pcapng', 'fmt_nanoseconds.pcap', 'unreachable.pcap', 'forged_flags.pcap'])(
    '%s as a File gives the bytes that Node gives', async name => {
      const path = new URL(`test/captures/${name}`, project).pathname
      const node = execFileSync('node', [new URL('dist/cli.js', project).pathname, 'classify', '--json', path], { maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] })
      await page.setInputFiles('#capture', path)
      const output = await page.evaluate<string>('window.classify(document.querySelector("#capture").files[0])')
      const sha = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
      expect(output.length).toBeGreaterThan(1000)
      expect(sha(output)).toBe(sha(node))
      expect(errors).toEqual([])
    })

  test.each([['/', false], ['/isolated/', true]])(
    'a pool of Web Workers says what one tracker says, in the page %s (memory is shared: %s)', async (path, isolated) => {
      const { port } = server.address() as AddressInfo
      const other = await browser.newPage()
      await other.goto(`http://127.0.0.1:${port}${path}`)
      await other.waitForFunction('window.compare')
      await other.setInputFiles('#capture', new URL('test/captures/scan_odd.pcap', project).pathname)
      const found = await other.evaluate('window.compare(document.querySelector("#capture").files[0])')
      await other.close()
      expect(found).toEqual({ packets: expect.any(Number), differing: 0, isolated })
      expect((found as { packets: number }).packets).toBeGreaterThan(100)
    })
})
