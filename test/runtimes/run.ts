/**
 * `npm run runtimes`: the packed package in Node (this one and the current one), Deno, Bun, workerd and Chromium, on the
 * project's captures. What it writes of them must be the same bytes everywhere. Exits with 1 where it is not, or where a
 * runtime is missing.
 */
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

interface Digest {
  readonly packets: number
  readonly sha256: string
}
interface Named extends Digest {
  readonly name: string
}
interface Runtime {
  readonly name: string
  readonly version: () => string
  readonly digests: () => Promise<readonly Named[]> | readonly Named[]
}

// Seen from build/runtimes/, where it runs.
const project = new URL('../../', import.meta.url).pathname
const here = join(project, 'test/runtimes')
const captures = join(project, 'test/captures')
const names = readdirSync(captures).filter(name => /\.pcap(ng)?$/.test(name)).sort()
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const app = mkdtempSync(join(tmpdir(), 'conntrack-wasm-runtimes-'))

const installed = (name: string) => join(here, 'node_modules/.bin', name)
const run = (command: string, args: readonly string[], cwd = app) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
const onCommandLine = (name: string, command: string, args: readonly string[]): Runtime => ({
  name,
  version: () => /\d[\w.-]+/.exec(run(command, ['--version']))![0],
  digests: () => JSON.parse(run(command, [...args, 'main.js', captures])) as Named[],
})

const RUNTIMES: readonly Runtime[] = [
  onCommandLine('Node', process.execPath, []),
  onCommandLine('Node', installed('node'), []),
  onCommandLine('Deno', installed('deno'), ['run', '--no-remote', '--node-modules-dir=manual', '--allow-read']),
  onCommandLine('Bun', installed('bun'), ['run']),
  { name: 'workerd', version: () => /\d[\w.-]+/.exec(run(installed('workerd'), ['--version']))![0], digests: inWorkerd },
  { name: 'Chromium', version: () => /\d[\w.-]+/.exec(run(CHROMIUM, ['--version']))![0], digests: inChromium },
]

async function main(): Promise<number> {
  if (!existsSync(installed('workerd'))) run('npm', ['ci', '--no-audit', '--no-fund'], here)
  install()
  const found: { runtime: string; digests: readonly Named[]; seconds: number }[] = []
  for (const { name, version, digests } of RUNTIMES) {
    const start = performance.now()
    found.push({ runtime: `${name} ${version()}`, digests: await digests(), seconds: (performance.now() - start) / 1000 })
  }
  for (const { runtime, digests, seconds } of found) {
    const packets = digests.reduce((sum, digest) => sum + digest.packets, 0)
    console.log(`${runtime.padEnd(28)} ${digests.length} captures, ${packets} packets, ${seconds.toFixed(1)} s  ${ofAll(digests)}`)
  }
  const differing = found.slice(1).flatMap(({ runtime, digests }) => names
    .filter((name, i) => digests[i]?.name !== name || digests[i].sha256 !== found[0].digests[i].sha256)
    .map(name => `${runtime}: ${name} differs from ${found[0].runtime}`))
  for (const line of differing) console.log(line)
  console.log(differing.length === 0 ? `all ${found.length} say the same` : `${differing.length} differences`)
  return differing.length === 0 ? 0 : 1
}

/** One hash of all, short: the lines of a listing as `sha256sum` would give them. */
function ofAll(digests: readonly Named[]): string {
  const list = digests.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('')
  return execFileSync('sha256sum', { input: list, encoding: 'utf8' }).slice(0, 16)
}

/** An empty folder with the packed package and the programs. */
function install(): void {
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', app], project)
  const tarball = readdirSync(app).find(name => name.endsWith('.tgz'))!
  writeFileSync(join(app, 'package.json'), '{"private": true, "type": "module"}')
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--silent', join(app, tarball)])
  for (const file of ['digest.js', 'main.js', 'worker.js']) copyFileSync(join(here, file), join(app, file))
}

const dist = join(app, 'node_modules/conntrack-wasm/dist')

async function inWorkerd(): Promise<Named[]> {
  const port = await freePort()
  writeFileSync(join(app, 'config.capnp'), workerdConfig(port))
  const server = spawn(installed('workerd'), ['serve', 'config.capnp'], { cwd: app, stdio: 'inherit' })
  try {
    await listening(port)
    const digests: Named[] = []
    for (const name of names) {
      const response = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: readFileSync(join(captures, name)) })
      if (!response.ok) throw new Error(`workerd answers ${response.status} to ${name}`)
      digests.push({ name, ...await response.json() as Digest })
    }
    return digests
  } finally {
    server.kill()
  }
}

/** Modules of workerd have the names under which they are imported. */
function workerdConfig(port: number): string {
  const inPackage = (name: string) => `node_modules/conntrack-wasm/dist/${name}`
  const entries = { 'conntrack-wasm': 'index.workerd.js', 'conntrack-wasm/capture': 'capture.js', 'conntrack-wasm/format': 'format.js' }
  const chunks = new Set(['capture.js', 'format.js'].flatMap(imports))
  const modules = [
    ['worker.js', 'esModule', 'worker.js'], ['digest.js', 'esModule', 'digest.js'],
    ...Object.entries(entries).map(([name, file]) => [name, 'esModule', inPackage(file)]),
    // The main entry's imports are beside it, those of the others beside them.
    ['core.wasm', 'wasm', inPackage('core.wasm')],
    ...[...chunks].flatMap(file => ['', 'conntrack-wasm/'].map(folder => [folder + file, 'esModule', inPackage(file)])),
  ]
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
const worker :Workerd.Worker = (
  compatibilityDate = "2025-01-01",
  modules = [
    ${modules.map(([name, kind, file]) => `(name = "${name}", ${kind} = embed "${file}")`).join(',\n    ')}
  ]
);
`
}

/** The chunks that a file of the package imports, and that they import. */
function imports(file: string): string[] {
  const direct = [...readFileSync(join(dist, file), 'utf8').matchAll(/(?:from|import)\s*"\.\/([\w.-]+)"/g)].map(match => match[1])
  return [...new Set(direct.flatMap(name => [name, ...imports(name)]))]
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

async function listening(port: number): Promise<void> {
  for (let i = 0; i < 100; i++) {
    try {
      await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' })
      return
    } catch {
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
  throw new Error('workerd does not answer')
}

const PAGE = `<!doctype html><script type="importmap">{"imports": {"conntrack-wasm": "/dist/index.js",
"conntrack-wasm/capture": "/dist/capture.js", "conntrack-wasm/format": "/dist/format.js"}}</script>
<script type="module">
  import { digest } from '/digest.js'
  window.digest = async name => digest(await fetch('/captures/' + name))
</script>`

async function inChromium(): Promise<Named[]> {
  const roots: Record<string, string> = { dist, captures }
  const server = createServer((request, response) => {
    const [, folder, file] = new URL(request.url ?? '/', 'http://localhost').pathname.split('/')
    const path = folder === 'digest.js' ? join(app, 'digest.js') : file && roots[folder] ? join(roots[folder], file) : null
    if (path && !existsSync(path)) return response.writeHead(404).end()
    const type = !path ? 'text/html' : path.endsWith('.js') ? 'text/javascript' : 'application/octet-stream'
    response.setHeader('content-type', type).end(path ? readFileSync(path) : PAGE)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu'] })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.waitForFunction('window.digest')
    const digests: Named[] = []
    for (const name of names) digests.push({ name, ...await page.evaluate<Digest>(`window.digest(${JSON.stringify(name)})`) })
    return digests
  } finally {
    await browser.close()
    server.close()
  }
}

try {
  process.exitCode = await main()
} finally {
  rmSync(app, { recursive: true })
}
