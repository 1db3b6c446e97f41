/**
 * `npm run attacks`: what somebody can do who sends packets and wants the tracker to be slow, to lose connections or to
 * run out of memory. Each attack has a tracker of its own with 10,000 connections; batches of the attack and batches of
 * their traffic take turns. `--quick`, `--json`, `--packets N`.
 */
import { parseArgs } from 'node:util'
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import type { Helper } from '../src/helpers/helper.js'
import type { Statistics, VerdictBatch } from '../src/types.js'
import { machine } from './report.js'
import { BatchWriter } from './segments.js'
import { quartiles, type Quartiles } from './statistics.js'
import { random } from './traffic.js'

interface Tracker {
  trackBatch(batch: PacketBatch): VerdictBatch
  statistics(): Statistics
  expectations(): readonly unknown[]
  readonly memoryBytes: number
}
interface Package {
  createTracker(options: { maxConnections: number; hashSeed?: number; helpers?: readonly Helper[] }): Tracker
  ftp(): Helper
}

/** Writes packet `i` of an attack; `at` is its time if nothing is done about it. */
type Write = (writer: BatchWriter, i: number, at: number) => void

interface Attack {
  readonly name: string
  readonly write: Write
  /** Sent before, in whole batches. */
  readonly prepare?: { readonly packets: number; readonly write: Write }
  readonly options?: { readonly maxConnections?: number; readonly hashSeed?: number; readonly helpers?: readonly Helper[] }
  /** Time, nanoseconds, or the table itself ends the connections: they need not stand. */
  readonly sparesNobody?: boolean
  readonly packets?: number
}

interface Result {
  readonly name: string
  readonly packets: number
  /** Nanoseconds a packet. */
  readonly attack: Quartiles
  readonly peace: Quartiles
  /** Batch by batch, each to the one of the connections' traffic behind it. */
  readonly ratio: Quartiles
  readonly entries: number
  readonly maxConnections: number
  readonly expectations: number
  readonly kept: number
  readonly memoryMoved: number
}

const SYN = 2
const ACK = 16
const SERVER = 0x0a00_0001
const CLIENTS = 0x0a01_0000
const CONNECTIONS = 10_000
const TABLE = 65_536
const PORT = 1000 << 16 | 80
const ANSWER = 80 << 16 | 1000
const ESTABLISHED = 2
const APART = 1000
const DAY = 86_400e9
/** The seed that the attacker of crafted collisions takes the table's to be. */
const GUESSED = 1

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, packets: { type: 'string' } },
})
const PACKETS = Number(values.packets ?? (values.quick ? 100_000 : 1_000_000))
const { createTracker } = (await import(new URL('../../dist/index.js', import.meta.url).href)) as Package
const { ftp } = (await import(new URL('../../dist/helpers.js', import.meta.url).href)) as Package

/** Not from 10.0.0.0/8, where the connections are. */
const anywhere = (number: number) => (number | 0x8000_0000) >>> 0

function attacks(): readonly Attack[] {
  const next = random(1)
  const syn: Write = (writer, _, at) => writer.tcp(anywhere(next()), SERVER, next(), SYN, next(), 0, at)
  const { source, destination } = collisions(GUESSED)
  const colliding: Write = (writer, i, at) => writer.tcp(source(i), destination, PORT, SYN, i, 0, at)
  return [
    { name: 'random SYNs, a table that has room', write: syn, options: { maxConnections: 2 ** 21 } },
    { name: 'SYNs crafted to collide under a guessed seed', write: colliding, options: { maxConnections: 2 ** 21 } },
    {
      name: 'the same where the guess is right', write: colliding, options: { maxConnections: 2 ** 21, hashSeed: GUESSED },
      packets: Math.min(PACKETS, 20_000),
    },
    { name: 'SYN flood, a full table', write: syn },
    { name: 'ACK flood, a full table', write: (writer, _, at) => writer.tcp(anywhere(next()), SERVER, next(), ACK, next(), next(), at) },
    { name: 'UDP flood, a full table', write: (writer, _, at) => writer.udp(anywhere(next()), SERVER, next(), at) },
    { name: 'first fragments of datagrams that never end', write: (writer, i, at) => writer.fragment(anywhere(next()), SERVER, i & 0xffff, at) },
    { name: 'fragments of one source', write: (writer, i, at) => writer.fragment(anywhere(1), SERVER, i & 0xffff, at) },
    expectationFlood(),
    {
      name: 'every second packet is days early, the others late', sparesNobody: true,
      write: (writer, i, at) => live(writer, next(), i % 2 ? at + i * DAY / 1000 : Math.max(0, at - i * DAY / 1000)),
    },
    {
      name: 'SYNs at a table full of connections in use', write: syn,
      prepare: { packets: 3 * (TABLE - CONNECTIONS), write: (writer, i, at) => handshake(writer, CONNECTIONS, i, at) },
    },
  ]
}

/**
 * Sources and a destination whose tuples have one hash under a seed: the hash multiplies words of both addresses with a
 * secret added (see 20-hash), and the destination is minus its secret, so that the product is 0 whatever the source.
 */
function collisions(seed: number): { source: (i: number) => number; destination: number } {
  const keys = new DataView(spread(BigInt(seed)).buffer)
  const raw = -keys.getUint32(28, true) >>> 0
  const swapped = (word: number) => ((word & 0xff) << 24 | (word & 0xff00) << 8 | (word >>> 8 & 0xff00) | word >>> 24) >>> 0
  // The destination has to be the greater of both as the core compares them.
  return { source: i => swapped((raw - 1 - i) >>> 0), destination: swapped(raw) }
}

/** How a seed becomes the hash's secret (SplitMix64). */
function spread(seed: bigint): BigUint64Array {
  let state = seed
  return BigUint64Array.from({ length: 6 }, () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let word = BigInt.asUintN(64, (state ^ state >> 30n) * 0xbf58476d1ce4e5b9n)
    word = BigInt.asUintN(64, (word ^ word >> 27n) * 0x94d049bb133111ebn)
    return word ^ word >> 31n
  })
}

/** Servers of FTP that announce another port with every line, and clients that acknowledge it. */
function expectationFlood(): Attack {
  const controls = 1_000
  const first = 0x0a80_0000
  const client = (i: number) => first + (i >> 1) % controls
  const text = (port: number) => new TextEncoder().encode(`227 Entering Passive Mode (10,0,0,1,${128 + (port >> 7 & 127)},${128 + (port & 127)}).\r\n`)
  const length = text(0).length
  const [to, from] = [1000 << 16 | 21, 21 << 16 | 1000]
  return {
    name: 'announcements of FTP, each of another port', options: { helpers: [ftp()] },
    prepare: {
      packets: 3 * controls,
      write: (writer, i, at) => threeWay(writer, first + Math.floor(i / 3) % controls, i % 3, [to, from], at),
    },
    write: (writer, i, at) => {
      const line = Math.floor((i >> 1) / controls)
      if (i % 2 === 0) writer.tcp(SERVER, client(i), from, ACK | 8, 501 + line * length, 101, at, text(line))
      else writer.tcp(client(i), SERVER, to, ACK, 101, 501 + (line + 1) * length, at)
    },
  }
}

function threeWay(writer: BatchWriter, client: number, step: number, [to, from]: readonly number[], at: number): void {
  if (step === 0) writer.tcp(client, SERVER, to, SYN, 100, 0, at)
  else if (step === 1) writer.tcp(SERVER, client, from, SYN | ACK, 500, 101, at)
  else writer.tcp(client, SERVER, to, ACK, 101, 501, at)
}

function handshake(writer: BatchWriter, first: number, i: number, at: number): void {
  threeWay(writer, CLIENTS + first + Math.floor(i / 3), i % 3, [PORT, ANSWER], at)
}

function live(writer: BatchWriter, number: number, at: number): void {
  const client = CLIENTS + number % CONNECTIONS
  if (number & 1 << 30) writer.tcp(client, SERVER, PORT, ACK, 101, 501, at)
  else writer.tcp(SERVER, client, ANSWER, ACK, 501, 101, at)
}

class Run {
  readonly #writer = new BatchWriter(128)
  readonly #tracker: Tracker
  readonly #next = random(2)
  #time = 0

  constructor(readonly attack: Attack) {
    this.#tracker = createTracker({ maxConnections: TABLE, ...attack.options })
  }

  result(): Result {
    const { name, prepare, write, packets = PACKETS, sparesNobody } = this.attack
    this.#all(3 * CONNECTIONS, (writer, i, at) => handshake(writer, 0, Math.min(i, 3 * CONNECTIONS - 1), at))
    if (prepare) this.#all(prepare.packets, prepare.write)
    const memory = this.#tracker.memoryBytes
    const [attack, peace]: number[][] = [[], []]
    for (let sent = 0; sent < packets; sent += BATCH_SIZE) {
      attack.push(this.#batch(write, sent))
      peace.push(this.#batch((writer, _, at) => live(writer, this.#next(), at), 0))
    }
    const { entries, maxConnections } = this.#tracker.statistics()
    const expectations = this.#tracker.expectations().length
    return {
      name, packets, attack: quartiles(attack), peace: quartiles(peace), ratio: quartiles(attack.map((ns, i) => ns / peace[i])),
      entries, maxConnections, expectations, kept: sparesNobody ? 0 : this.#kept(), memoryMoved: this.#tracker.memoryBytes - memory,
    }
  }

  #all(packets: number, write: Write): void {
    for (let i = 0; i < packets; i += BATCH_SIZE) this.#batch((writer, j, at) => write(writer, Math.min(j, packets - 1), at), i)
  }

  /** One batch. Nanoseconds a packet. */
  #batch(write: Write, first: number): number {
    this.#writer.begin()
    for (let i = 0; i < BATCH_SIZE; i++) write(this.#writer, first + i, this.#time += APART)
    const begin = process.hrtime.bigint()
    this.#tracker.trackBatch(this.#writer.batch)
    return Number(process.hrtime.bigint() - begin) / BATCH_SIZE
  }

  /** Connections that stood before and stand now. */
  #kept(): number {
    let kept = 0
    for (let first = 0; first < CONNECTIONS; first += BATCH_SIZE) {
      this.#writer.begin()
      for (let i = 0; i < BATCH_SIZE; i++) {
        this.#writer.tcp(CLIENTS + (first + i) % CONNECTIONS, SERVER, PORT, ACK, 101, 501, this.#time += APART)
      }
      const { state } = this.#tracker.trackBatch(this.#writer.batch)
      for (let i = 0; i < BATCH_SIZE && first + i < CONNECTIONS; i++) if (state[i] === ESTABLISHED) kept++
    }
    return kept
  }
}

function text(results: readonly Result[]): string {
  const ns = ({ p25, p50, p75 }: Quartiles) => `${p50.toFixed(0)} (${p25.toFixed(0)}–${p75.toFixed(0)})`
  const { cpu, node } = machine()
  const rows = results.map(({ name, packets, attack, peace, ratio, entries, maxConnections, expectations, kept, memoryMoved }) => [
    name, packets.toLocaleString('en'), ns(attack), ns(peace), `×${ratio.p50.toFixed(2)}`,
    `${entries.toLocaleString('en')} of ${maxConnections.toLocaleString('en')}${expectations ? `, ${expectations} expectations` : ''}`,
    kept ? kept.toLocaleString('en') : '–', memoryMoved,
  ])
  return [
    `${cpu}, Node ${node}; nanoseconds a packet, median (quartiles); ${CONNECTIONS.toLocaleString('en')} connections in use`, '',
    '| attack | packets | under attack | their traffic, same run | ratio | entries | connections kept | memory moved |',
    '|---|--:|--:|--:|--:|--:|--:|--:|',
    ...rows.map(row => `| ${row.join(' | ')} |`),
  ].join('\n')
}

const results = attacks().map(attack => new Run(attack).result())
console.log(values.json ? JSON.stringify({ machine: machine(), results }) : text(results))
