/**
 * `npm run bench:helpers`: what helpers cost traffic that is none of their business, and how fast they are with traffic
 * that is. What the columns are is told in README.md.
 */
import { parseArgs } from 'node:util'
import { VERDICT_DROPPED } from '../src/names.js'
import type { Helper } from '../src/helpers/helper.js'
import { countEstablished, type Timed } from './candidates.js'
import { dialogs } from './dialogs.js'
import { ftpDialog } from './ftp-dialog.js'
import { timeSlice, turn } from './measure.js'
import { machine } from './report.js'
import { loadSdk, type Tracker } from './sdk.js'
import { sipDialog } from './sip-dialog.js'
import { Slices, type Slice } from './slices.js'
import { quartiles, type Quartiles } from './statistics.js'
import { handshakes, lifeCycles, steady, type Traffic } from './traffic.js'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, row: { type: 'string', default: '' } },
})
const quick = values.quick ?? false

/** What the built package exports of helpers. */
interface HelpersModule {
  allHelpers(): readonly Helper[]
  defineHelper(definition: Pick<Helper, 'name' | 'protocol' | 'ports' | 'inspect'>): Helper
}

const dist = (file: string) => new URL(`../../dist/${file}`, import.meta.url)
const { createTracker } = await loadSdk(dist('index.js'))
const { allHelpers, defineHelper } = (await import(dist('helpers.js').href)) as HelpersModule

const MAX_CONNECTIONS = 262_144
/** Registrations stay when their calls are over; Linux's default of 4,096 expectations would be reached. */
const MAX_EXPECTATIONS = 16_384
const SLICES = quick ? 12 : 64
/** Slices before the first that is timed: code gets warm, drops would be seen. */
const WARM_SLICES = 6
/** Where few packets come to a helper. */
const WARM_SLICES_SPARSE = 40

interface Row {
  readonly name: string
  readonly established: number
  readonly ftpEvery: number
  readonly make: () => Traffic
  /** Candidates besides the one without helpers. */
  readonly others: Readonly<Record<string, readonly Helper[]>>
}

interface Measured {
  readonly name: string
  /** Nanoseconds a packet. */
  readonly latency: Quartiles
  /** Slice by slice, to the candidate without helpers: of the times, and nanoseconds a packet more. */
  readonly ratio: Quartiles
  readonly more: Quartiles
}

/** The second one without helpers shows how equal two equal trackers measure. */
const ordinary = () => ({ 'none, again': [], 'all helpers': allHelpers() })

function established(connections: number, packets: number, ftpEvery = 0): Omit<Row, 'name' | 'others'> {
  const make = () => steady({ connections, packets, payload: 64, seed: 1, ftpEvery })
  return { established: connections, ftpEvery, make }
}

/** A helper that looks at nothing: what it takes to hand packets over. */
function idle(protocol: 'tcp' | 'udp', port: number): Helper {
  return defineHelper({ name: 'idle', protocol, ports: [port], inspect: () => 'accept' })
}

const DIALOGS = 4_000
const DIALOGS_ALIVE = 500
/** Longer than what FTP and SIP leave behind: an expectation lives 300 seconds, SIP's own connection 3600. */
const SECONDS_TO_FORGET = 7_200

function talk(dialog: typeof ftpDialog, protocol: 'tcp' | 'udp', port: number): Omit<Row, 'name'> {
  const all = Array.from({ length: DIALOGS }, (_, index) => dialog(index, index % 2 === 0))
  return {
    established: 0, ftpEvery: 0, make: () => dialogs(all, DIALOGS_ALIVE, SECONDS_TO_FORGET),
    others: { 'idle helper': [idle(protocol, port)], 'all helpers': allHelpers() },
  }
}

const ROWS: readonly (() => Row)[] = [
  () => ({ name: '1,000 connections', ...established(1_000, 262_144), others: ordinary() }),
  () => ({ name: '100,000 connections', ...established(100_000, 1_000_000), others: ordinary() }),
  () => ({ name: '100,000, 1 % on port 21', ...established(100_000, 1_000_000, 100), others: ordinary() }),
  () => ({
    name: 'short lives', established: 0, ftpEvery: 0, others: ordinary(),
    make: () => lifeCycles({ connections: 80_000, alive: 20_000, seed: 1 }),
  }),
  () => ({ name: 'FTP control', ...talk(ftpDialog, 'tcp', 21) }),
  () => ({ name: 'SIP over UDP', ...talk(sipDialog, 'udp', 5060) }),
]

const NONE = 'none'

interface Candidate extends Timed {
  established: number
  readonly tracker: Tracker
}

function candidate(name: string, helpers: readonly Helper[]): Candidate {
  const tracker = createTracker({
    maxConnections: MAX_CONNECTIONS, hashSeed: 1n, helpers, sysctl: { expect_max: MAX_EXPECTATIONS },
  })
  return {
    name, tracker, established: 0,
    run({ batches }) {
      let sum = 0
      for (const batch of batches) sum += countEstablished(tracker.trackBatch(batch).state, batch.count)
      this.established = sum
    },
  }
}

async function measure(row: Row): Promise<Measured[]> {
  const all = Object.entries({ [NONE]: [], ...row.others }).map(([name, helpers]) => candidate(name, helpers))
  for (const { batches } of handshakes(row.established, { ftpEvery: row.ftpEvery })) {
    for (const { tracker } of all) batches.forEach((batch) => tracker.trackBatch(batch))
  }
  const slices = new Slices(row.make())
  for (let i = 0; i < (row.ftpEvery ? WARM_SLICES_SPARSE : WARM_SLICES); i += 1) warmUp(all, slices.next())
  const samples = new Map(all.map(({ name }) => [name, [] as number[]]))
  for (let i = 0; i < SLICES; i += 1) {
    for (const [name, time] of await timeSlice(turn(all, i), slices.next(), cpuTime)) samples.get(name)!.push(time)
  }
  for (const { tracker } of all) tracker.close()
  const base = samples.get(NONE)!
  return [...samples].map(([name, own]) => ({
    name, latency: quartiles(own),
    ratio: quartiles(own.map((time, i) => time / base[i])), more: quartiles(own.map((time, i) => time - base[i])),
  }))
}

/** Milliseconds of this process alone: what others do on the machine meanwhile is felt in the caches only. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e3
}

/** No helper may drop anything: it would show traffic that is not what it is meant to be. */
function warmUp(all: readonly Candidate[], { batches }: Slice): void {
  for (const { name, tracker } of all) {
    for (const batch of batches) {
      const { flags } = tracker.trackBatch(batch)
      const isDropped = flags.subarray(0, batch.count).some((each) => each & VERDICT_DROPPED)
      if (isDropped) throw new Error(`${name} drops packets`)
    }
  }
}

function lines({ name, candidates }: { name: string; candidates: readonly Measured[] }): string[] {
  return candidates.map(({ name: helpers, latency, ratio, more }) => [
    name.padEnd(24), helpers.padEnd(12), spread(latency, 1).padStart(22), `×${spread(ratio, 3)}`.padStart(24),
    spread(more, 1).padStart(22), `${(1e3 / latency.p50).toFixed(2)} M/s`.padStart(11),
  ].join(' '))
}

function spread({ p25, p50, p75 }: Quartiles, digits: number): string {
  return `${p50.toFixed(digits)} (${p25.toFixed(digits)}–${p75.toFixed(digits)})`
}

const rows: { readonly name: string; readonly candidates: readonly Measured[] }[] = []
for (const row of ROWS.map((make) => make()).filter(({ name }) => name.startsWith(values.row))) {
  console.error(`${row.name} ...`)
  rows.push({ name: row.name, candidates: await measure(row) })
}
const report = { machine: machine(), quick, rows }
const head = ['row'.padEnd(24), 'helpers'.padEnd(12), 'ns a packet'.padStart(22), 'to none'.padStart(24),
  'ns more'.padStart(22), 'packets'.padStart(11)].join(' ')
console.log(values.json ? JSON.stringify(report) : [head, ...rows.flatMap(lines)].join('\n'))
