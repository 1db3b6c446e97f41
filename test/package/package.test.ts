/**
 * The published package: packed, installed into an empty folder without the network, and used as the README shows; then
 * what publint and arethetypeswrong say of it, and its size.
 */
import { execFileSync, type ExecFileSyncOptionsWithStringEncoding } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bundled } from '../../bench/bundle.js'

const project = new URL('../../', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'conntrack-wasm-package-'))
const app = join(folder, 'app')
let tarball = ''

const text: ExecFileSyncOptionsWithStringEncoding = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }

/** Output of a command; where it fails, what it printed. */
/** npm takes long where others use the machine. */
const MINUTES = 5 * 60_000

function run(command: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(command, args, { ...text, cwd })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`)
  }
}

beforeAll(() => {
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], project)
  tarball = join(folder, readdirSync(folder).find(name => name.endsWith('.tgz'))!)
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{"private": true}')
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], app)
}, MINUTES)

afterAll(() => rmSync(folder, { recursive: true }))

describe('the packed package in an empty folder', () => {
  const [esm, cjs] = programs()
  const capture = join(project, 'test/captures/http_keepalive.pcap')

  test("the README's program for import runs", () => {
    writeFileSync(join(app, 'program.mjs'), esm)
    const output = run('node', ['program.mjs', capture], app)
    expect(output).toMatch(/ESTABLISHED: \d{3}/)
    expect(output).toMatch(/192\.0\.2\.2 198\.51\.100\.2 TIME_WAIT/)
  })

  test("the README's program for require runs", () => {
    writeFileSync(join(app, 'program.cjs'), cjs)
    const lines = run('node', ['program.cjs'], app).trim().split('\n')
    expect(lines).toEqual(['NEW original 1', 'Packet 1 is NEW in the original direction: it opens a new connection.', 'ESTABLISHED reply 30000'])
  })

  test('both programs are ten lines', () => {
    for (const program of [esm, cjs]) expect(program.trim().split('\n').filter(line => line.trim()).length).toBeLessThanOrEqual(10)
  })

  test('import and require give the same SDK, with one error class for all entries', () => {
    const check = 'const e = new ct.ConntrackError("closed", "x"); console.log(Object.keys(ct).sort().join(), capture.ConntrackError === ct.ConntrackError && rules.ConntrackError === ct.ConntrackError && testing.ConntrackError === ct.ConntrackError, node.readCapture.length, format.classifyLines.length)'
    const names = ['', '/capture', '/node', '/format', '/rules', '/testing']
    writeFileSync(join(app, 'all.cjs'), `const [ct, capture, node, format, rules, testing] = ${JSON.stringify(names)}.map(n => require('conntrack-wasm' + n)); ${check}`)
    writeFileSync(join(app, 'all.mjs'), `const [ct, capture, node, format, rules, testing] = await Promise.all(${JSON.stringify(names)}.map(n => import('conntrack-wasm' + n))); ${check}`)
    const [required, imported] = ['all.cjs', 'all.mjs'].map(file => run('node', [file], app))
    expect(required).toBe(imported)
    expect(imported).toContain('createTracker')
    expect(imported).toContain(' true ')
  })

  test('the command runs', () => {
    const output = run(join(app, 'node_modules/.bin/conntrack-wasm'), ['classify', '--json', capture], app)
    expect(output.trim().split('\n')).toHaveLength(677)
    expect(JSON.parse(output.split('\n')[6])).toMatchObject({ packet: 7, state: 'ESTABLISHED', tcpState: 'ESTABLISHED' })
  })

  test('the core can be handed in as a module', () => {
    const program = `
      import { createRequire } from 'node:module'
      import { readFileSync } from 'node:fs'
      import { createTracker } from 'conntrack-wasm'
      const path = createRequire(import.meta.url).resolve('conntrack-wasm/core.wasm')
      const tracker = createTracker({ module: new WebAssembly.Module(readFileSync(path)) })
      console.log(tracker.track(new Uint8Array(3)).reason)`
    writeFileSync(join(app, 'module.mjs'), program)
    expect(run('node', ['module.mjs'], app).trim()).toBe('not-ip')
  })

  test('helpers of one module system run in trackers of the other', () => {
    writeFileSync(join(app, 'systems.mjs'), `
      import { createRequire } from 'node:module'
      const require = createRequire(import.meta.url)
      const { readCapture } = await import('conntrack-wasm/node')
      const systems = [name => import(name), name => require(name)]
      for (const [one, other] of [systems, [...systems].reverse()]) {
        const [{ createTracker, restoreTracker }, { ftp }] = [await one('conntrack-wasm'), await other('conntrack-wasm/helpers')]
        const tracker = createTracker({ helpers: [ftp()] })
        for await (const batch of readCapture(process.argv[2])) tracker.trackBatch(batch)
        const restored = restoreTracker(tracker.snapshot(), { helpers: [ftp()] })
        console.log([tracker, restored].map(each => each.statistics().states.RELATED > 0))
      }`)
    const output = run('node', ['systems.mjs', join(project, 'test/captures/ftp_passive.pcap')], app)
    expect(output.trim()).toBe('[ true, true ]\n[ true, true ]')
  })

  test('a pool of workers runs', () => {
    const program = `
      import { createTrackerPool } from 'conntrack-wasm/pool'
      import { readCapture } from 'conntrack-wasm/node'
      const pool = createTrackerPool({ workers: 2 })
      for await (const batch of readCapture(process.argv[2])) await pool.trackBatch(batch)
      const { packets, states } = await pool.statistics()
      console.log(packets, states.ESTABLISHED > 0, (await pool.connections()).length > 0)`
    writeFileSync(join(app, 'pool.mjs'), program)
    expect(run('node', ['pool.mjs', capture], app).trim()).toBe('677 true true')
    writeFileSync(join(app, 'pool.cjs'), `
      const { createTrackerPool } = require('conntrack-wasm/pool')
      const pool = createTrackerPool()
      pool.statistics().then(({ packets }) => { console.log(packets); pool.close() })`)
    expect(run('node', ['pool.cjs'], app).trim()).toBe('0')
  })

  test('it has no dependencies and nothing runs when it is installed', () => {
    const manifest = JSON.parse(readFileSync(join(app, 'node_modules/conntrack-wasm/package.json'), 'utf8'))
    expect(manifest.dependencies).toBeUndefined()
    expect(Object.keys(manifest.scripts ?? {}).filter(name => name.includes('install'))).toEqual([])
    expect(readdirSync(join(app, 'node_modules')).filter(name => !name.startsWith('.'))).toEqual(['conntrack-wasm'])
  })
})

describe('the example project, copied to an empty folder', () => {
  const example = join(folder, 'example')
  const broken = { from: '--dports 21,80,443', to: '--dports 21,443' }

  /** What `npm test` prints there, and how it ends. */
  function npmTest(): { failed: boolean; output: string } {
    try {
      return { failed: false, output: execFileSync('npm', ['test'], { ...text, cwd: example }) }
    } catch (error) {
      return { failed: true, output: (error as { stdout: string }).stdout }
    }
  }

  beforeAll(() => {
    cpSync(join(project, 'examples/firewall-test'), example, { recursive: true })
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], example)
  }, MINUTES)

  test('its tests pass', () => {
    const { failed, output } = npmTest()
    expect(output).toMatch(/pass 7\n/)
    expect(failed).toBe(false)
  })

  test('they pass in CommonJS too', () => {
    const source = readFileSync(join(example, 'test/firewall.test.js'), 'utf8')
    const required = source.replace(/^import (\w+), \{(.*)\} from '(.*)'$/gm, "const $1 = require('$3'), {$2} = $1")
      .replace(/^import (\{.*\}) from '(.*)'$/gm, "const $1 = require('$2')").replace('import.meta.url', "require('node:url').pathToFileURL(__filename)")
    writeFileSync(join(example, 'common.cjs'), required.replace("'../firewall.rules'", "'firewall.rules'"))
    expect(run('node', ['--test', 'common.cjs'], example)).toMatch(/pass 7\n/)
  })

  test('with one rule broken they fail, and name the packet and the rule that stopped it', () => {
    const path = join(example, 'firewall.rules')
    const rules = readFileSync(path, 'utf8')
    expect(rules).toContain(broken.from)
    writeFileSync(path, rules.replace(broken.from, broken.to))
    const { failed, output } = npmTest()
    expect(failed).toBe(true)
    expect(output).toContain("'other:40000 > server:80 tcp S seq=1000' should pass, but: REJECT by rule 7 of chain INPUT in table filter (line 16)")
    expect(output).toContain('fails: multiport dports 21,443')
  })
})

describe('what checkers say of the package', () => {
  test('publint finds nothing', () => {
    const output = run(join(project, 'node_modules/.bin/publint'), ['run', '--strict', tarball], project)
    expect(output).toContain('All good')
  })

  test('arethetypeswrong finds nothing', () => {
    // The pool's worker is a script to start, an ES module; nobody requires it.
    const args = [tarball, '--no-emoji', '--exclude-entrypoints', 'pool-worker']
    const output = run(join(project, 'node_modules/.bin/attw'), args, project)
    expect(output).toContain('No problems found')
  })
})

test('sizes', () => {
  const size = (path: string) => {
    const bytes = readFileSync(path)
    return `${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`
  }
  const core = join(app, 'node_modules/conntrack-wasm/dist/core.wasm')
  const entry = gzipSync(bundled(join(app, 'node_modules/conntrack-wasm/dist/index.js')), { level: 9 }).length
  process.stdout.write(`core module: ${size(core)}\nentry with it: ${entry} bytes gzipped\n`)
  process.stdout.write(`package: ${statSync(tarball).size} bytes packed\n`)
  expect(gzipSync(readFileSync(core)).length).toBeLessThan(25_000)
  expect(entry).toBeLessThanOrEqual(45_000)
  // Of these, ./rules and ./testing with ipaddr.js in them are a quarter; the command line is a bundle of its own, a tenth.
  expect(statSync(tarball).size).toBeLessThan(460_000)
})

/** The README's two programs: the first with `import`, the first with `require`. */
function programs(): [string, string] {
  const blocks = [...readFileSync(join(project, 'README.md'), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)].map(match => match[1])
  const [esm, cjs] = [blocks.find(block => block.includes('import {')), blocks.find(block => block.includes('require('))]
  if (!esm || !cjs) throw new Error('the README lacks a program')
  return [esm, cjs]
}
