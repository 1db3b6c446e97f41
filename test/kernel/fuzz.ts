/**
 * `npm run fuzz:kernel`: random packets through the kernel of this machine and through the built package; every
 * difference is reduced to the shortest sequence that shows it.
 *
 *     npm run fuzz:kernel -- --seed 7 --tcp 1000000 --other 200000
 *
 * Exits 1 where the two differ, 2 where the kernel cannot be asked.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { PacketGenerator, KINDS, type Kind } from '../support/generator.js'
import { whatIsMissing } from '../support/oracle.js'
import type { Finding } from '../support/replay.js'
import { kindOf } from '../support/text.js'
import { run, type Sent } from './run.js'
import { OTHER_SETTINGS, TCP_SETTINGS, type NamedSetting } from './settings.js'
import { shrink, story } from './shrink.js'

const USAGE = `npm run fuzz:kernel -- [options]
  --seed N      other random packets (1)
  --tcp N       packets of sequences of TCP alone (120000)
  --other N     packets of all kinds (80000)
  --run NAME    only this run, such as tcp/12, as a difference names it
  --out FOLDER  for the captures of what differs (a temporary one)
  --jobs N      runs at a time (as many as there are processors)`

/** Packets of a run at most: half a second of the kernel's time. There are less where every setting is to have one. */
const RUN = 4000
/** Packets before the pause, where there is one. */
const BEFORE_PAUSE = 900
/** Where more runs than this differ it is one thing over and over. */
const MAX_SHRUNK = 5

/** Packets of one sort, in runs that take the settings in turn. */
interface Group {
  readonly name: string
  readonly kinds: readonly Kind[]
  readonly settings: readonly NamedSetting[]
  readonly wanted: number
  /** Packets compared or under way. */
  taken: number
  runs: number
}

interface Run {
  readonly group: Group
  readonly number: number
  readonly size: number
}

const options = readOptions()
const seed = Number(options.seed)
const groups: readonly Group[] = [
  { name: 'tcp', kinds: ['tcp'], settings: TCP_SETTINGS, wanted: Number(options.tcp), taken: 0, runs: 0 },
  { name: 'other', kinds: KINDS, settings: OTHER_SETTINGS, wanted: Number(options.other), taken: 0, runs: 0 },
]
const byKind = new Map<string, number>()
const bySetting = new Map<string, number>()
const total = { compared: 0, notInTime: 0, repeated: 0, differing: 0, runsThatDiffer: 0 }

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string', default: '1' }, tcp: { type: 'string', default: '120000' },
        other: { type: 'string', default: '80000' }, run: { type: 'string' }, out: { type: 'string' },
        jobs: { type: 'string', default: String(availableParallelism()) }, help: { type: 'boolean', short: 'h' },
      },
    })
    for (const name of ['seed', 'tcp', 'other', 'jobs'] as const) {
      if (!/^\d+$/.test(values[name])) throw new Error(`--${name} ${values[name]}: expected a number`)
    }
    return values
  } catch (error) {
    return cannotRun(`${error instanceof Error ? error.message : error}\n${USAGE}`)
  }
}

function cannotRun(reason: string): never {
  console.error(`fuzz:kernel cannot run: ${reason}`)
  process.exit(2)
}

async function main(): Promise<void> {
  if (options.help) return console.log(USAGE)
  const missing = whatIsMissing()
  if (missing) cannotRun(`it needs ${missing}`)
  const started = Date.now()
  await Promise.all(Array.from({ length: Number(options.jobs) }, work))
  summarise((Date.now() - started) / 1000)
  process.exitCode = total.differing > 0 ? 1 : 0
}

/** Takes one run after the other until there are enough packets. */
async function work(): Promise<void> {
  for (let run = next(); run; run = next()) {
    await fuzz(run)
    progress()
  }
}

function next(): Run | undefined {
  if (options.run) return theOnly(options.run)
  const group = groups.find(({ taken, wanted }) => taken < wanted)
  if (!group) return undefined
  const share = Math.ceil(group.wanted / group.settings.length)
  const size = Math.min(RUN, share, group.wanted - group.taken)
  group.taken += size
  return { group, number: group.runs++, size }
}

/** The run of this name, once. */
function theOnly(name: string): Run | undefined {
  const [of, number] = name.split('/')
  const group = groups.find(({ name, runs }) => name === of && runs === 0)
  if (!group) return undefined
  group.runs++
  return { group, number: Number(number), size: RUN }
}

async function fuzz({ group, number, size }: Run): Promise<void> {
  const setting = group.settings[number % group.settings.length]
  const packets = make(group, number, setting).slice(0, size)
  const folder = temporary()
  const { findings, compared, repeated } = await run(folder, setting, packets)
  total.repeated += repeated
  group.taken -= size - compared.length
  total.notInTime += size - compared.length
  total.compared += compared.length
  for (const { index } of compared) add(byKind, kindOf(packets[index].bytes), 1)
  add(bySetting, `${group.name}, ${setting.name}`, compared.length)
  if (findings.length > 0) await tell(`${group.name}/${number}`, setting, packets, findings, folder)
  rmSync(folder, { recursive: true })
}

/** Seed, group and number decide a run's packets, whatever the other options are. */
function make({ name, kinds }: Group, number: number, { pause = false }: NamedSetting): Sent[] {
  const own = Math.imul(seed, 0x9e3779b1) + number * 2 + Number(name === 'tcp')
  const generator = new PacketGenerator(own, { kinds, incomplete: 40 })
  return Array.from({ length: RUN }, (_, i) => ({ bytes: generator.next(), later: pause && i >= BEFORE_PAUSE }))
}

/** Prints a difference, reduced if it shows again, and keeps its captures. */
async function tell(
  name: string, setting: NamedSetting, packets: readonly Sent[], findings: readonly Finding[], folder: string,
): Promise<void> {
  total.differing += findings.length
  total.runsThatDiffer++
  const [{ golden, differences }] = findings
  const many = `${findings.length} of ${packets.length} packets differ, first ${golden.index + 1}`
  console.log(`\n${name}, seed ${seed}, ${settingText(setting)}: ${many}: ${differences.join('; ')}`)
  if (total.runsThatDiffer > MAX_SHRUNK) return
  const out = join(outFolder(), `seed-${seed}-${name.replace('/', '-')}`)
  cpSync(folder, join(out, 'whole'), { recursive: true })
  const least = await shrink(setting, packets, findings[0])
  console.log(least ? await leastText(join(out, 'least'), setting, least) : 'It does not show again.')
  console.log(`Captures and what the kernel said: ${out}`)
}

async function leastText(out: string, setting: NamedSetting, least: readonly Sent[]): Promise<string> {
  mkdirSync(out, { recursive: true })
  const { findings, compared } = await run(out, setting, least)
  return `Reduced to ${least.length}:\n${story(least, compared, findings)}`
}

function settingText({ sysctl = [], notrack = [], drop = [], zone = [], pause }: NamedSetting): string {
  const matches = Object.entries({ notrack, drop, zone })
    .flatMap(([name, all]) => all.map(match => `${name} '${match}'`))
  const words = [...sysctl, ...matches]
  return [words.join(' ') || 'default settings', ...pause ? ['a pause'] : []].join(', ')
}

function temporary(): string {
  return mkdtempSync(join(tmpdir(), 'conntrack-wasm-'))
}

/** Where captures of differences go; made with the first of them. */
function outFolder(): string {
  options.out ??= temporary()
  return options.out
}

function add(counts: Map<string, number>, key: string, n: number): void {
  counts.set(key, (counts.get(key) ?? 0) + n)
}

let told = 0

/** A line that is written over where it is a terminal, and a line for each tenth elsewhere. */
function progress(): void {
  const wanted = groups.reduce((sum, group) => sum + group.wanted, 0)
  const text = `${total.compared} of ${wanted} packets compared, ${total.differing} differ`
  const tenths = Math.floor(10 * total.compared / wanted)
  if (process.stderr.isTTY) process.stderr.write(`\r${text} `)
  else if (tenths > told) console.error(text)
  told = tenths
}

function summarise(seconds: number): void {
  if (process.stderr.isTTY) process.stderr.write('\r')
  const row = ([name, n]: readonly [string, number]) => `${String(n).padStart(10)}  ${name}`
  const rows = (counts: Map<string, number>) => [...counts].sort().map(row)
  console.log(['By setting:', ...rows(bySetting), 'By kind:', ...rows(byKind)].join('\n'))
  const { compared, notInTime, repeated, differing, runsThatDiffer } = total
  if (notInTime > 0) console.log(`${notInTime} packets were not compared, as the machine was too slow for them.`)
  if (repeated > 0) console.log(`${repeated} times a run was sent again, since nothing but timeouts differed.`)
  const differences = differing === 0 ? 'no differences' : `${differing} differ, in ${runsThatDiffer} runs`
  console.log(`fuzz:kernel, seed ${seed}: ${compared} packets compared in ${seconds.toFixed(0)} s, ${differences}`)
}

await main()
