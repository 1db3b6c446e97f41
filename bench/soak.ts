/**
 * `npm run bench:soak -- --minutes 60`: connections that come and go, about a million of them in the table, for as long
 * as one likes. Prints rate and memory of each minute, and at the end the last part against the first: a rate that
 * drifts or memory that grows would show.
 *
 * Three of four connections are TCP: handshake, exchanges, FINs of both sides; then others take their place. The rest is
 * UDP, queries and answers until they stop and expire. Which connection speaks next is random. Only `trackBatch` is
 * timed, not the making of packets.
 *
 * An hour is long, and what else the machine does is felt most in its memory. So after every batch there are reads of random
 * cache lines, as many as its packets: a rate that changes as theirs does is the machine's and not the tracker's.
 */
import { parseArgs } from 'node:util'
import { BATCH_SIZE } from '../src/batch.js'
import { load } from './load.js'
import type { Tracker } from './sdk.js'
import { BatchWriter } from './segments.js'
import { quartiles } from './statistics.js'
import { random } from './traffic.js'

/** Connections that speak, beside which some 600,000 are over and not gone yet: TIME_WAIT lasts two minutes. */
const CONNECTIONS = 400_000
const MAX_CONNECTIONS = 2 ** 21
/** Of the packets' time: a connection speaks every four seconds. */
const NANOSECONDS_APART = 10_000
const EXCHANGES = 8

const FIN = 0x01
const SYN = 0x02
const PSH = 0x08
const ACK = 0x10

/** Steps of a TCP connection: who speaks (0 the client), its flags. */
const TCP_LIFE: readonly (readonly [side: 0 | 1, flags: number])[] = [
  [0, SYN], [1, SYN | ACK], [0, ACK],
  ...Array.from({ length: EXCHANGES }, () => [[0, PSH | ACK], [1, ACK]] as const).flat(),
  [0, FIN | ACK], [1, ACK], [1, FIN | ACK], [0, ACK],
]
const UDP_LIFE = 2 * EXCHANGES

/** All connections: where in its life each is, and how often its place has been taken anew. */
class Population {
  readonly #step = new Uint8Array(CONNECTIONS)
  readonly #generation = new Uint32Array(CONNECTIONS)
  readonly #sent = [new Uint32Array(CONNECTIONS), new Uint32Array(CONNECTIONS)]
  readonly #random = random(1)
  readonly #writer = new BatchWriter()
  #time = 0

  next() {
    this.#writer.begin()
    for (let i = 0; i < BATCH_SIZE; i++) this.#speak(this.#random() % CONNECTIONS)
    return this.#writer.batch
  }

  #speak(i: number): void {
    this.#time += NANOSECONDS_APART
    const step = this.#step[i]
    const isUdp = i % 4 === 0
    if (isUdp) this.#udp(i, step & 1)
    else this.#tcp(i, ...TCP_LIFE[step])
    this.#step[i] = step + 1
    if (step + 1 === (isUdp ? UDP_LIFE : TCP_LIFE.length)) this.#renew(i)
  }

  #renew(i: number): void {
    this.#step[i] = 0
    this.#generation[i]++
    this.#sent[0][i] = 0
    this.#sent[1][i] = 0
  }

  #udp(i: number, side: number): void {
    const [src, dst, ports] = this.#tuple(i, side, 53)
    this.#writer.udp(src, dst, ports, this.#time)
  }

  #tcp(i: number, side: 0 | 1, flags: number): void {
    const [src, dst, ports] = this.#tuple(i, side, 443)
    const seq = this.#sent[side][i]
    this.#writer.tcp(src, dst, ports, flags, seq, flags & ACK ? this.#sent[side ^ 1][i] : 0, this.#time)
    if (flags & (SYN | FIN)) this.#sent[side][i] = seq + 1
  }

  /** A new generation has another port, and after many of them another address. */
  #tuple(i: number, side: number, port: number): readonly [src: number, dst: number, ports: number] {
    const generation = this.#generation[i]
    const client = (0x0a000000 + i * 4 + (generation >>> 14 & 3)) >>> 0
    const server = (0xc6120000 + i % 251) >>> 0
    const own = 2048 + (generation & 0x3fff)
    return side === 0 ? [client, server, (own << 16 | port) >>> 0] : [server, client, (port << 16 | own) >>> 0]
  }
}

/** More than caches hold. */
const REFERENCE_BYTES = 2 ** 28

/** Reads of random cache lines, none of which waits for another. */
class Reference {
  readonly #words = new Uint32Array(REFERENCE_BYTES / 4).fill(1)
  #place = 1
  #sum = 0

  read(count: number): number {
    let [place, sum] = [this.#place, this.#sum]
    for (let i = 0; i < count; i++) {
      place = (Math.imul(place, 1664525) + 1013904223) >>> 0
      sum = (sum + this.#words[place >>> 6]) | 0
    }
    this.#place = place
    this.#sum = sum
    return sum
  }
}

interface Minute {
  readonly nanoseconds: number
  /** Nanoseconds of a read of the reference. */
  readonly reference: number
  readonly entries: number
  readonly rss: number
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' }, json: { type: 'boolean' } } })
  const { sdk } = await load()
  const tracker = sdk.createTracker({ maxConnections: MAX_CONNECTIONS, checksum: 'verify', hashSeed: 1n })
  const [population, reference] = [new Population(), new Reference()]
  const minutes: Minute[] = []
  for (let i = 0; i < Number(values.minutes); i++) {
    minutes.push(oneMinute(tracker, population, reference))
    console.error(`${i + 1} min: ${minuteText(minutes[i])}`)
  }
  const summary = summarise(minutes, tracker.statistics())
  console.log(values.json ? JSON.stringify({ minutes, ...summary }) : text(summary))
}

function minuteText({ nanoseconds, reference, entries, rss }: Minute): string {
  return `${nanoseconds.toFixed(1)} ns a packet, ${reference.toFixed(1)} ns a read, ${entries} entries, ${(rss / 2 ** 20).toFixed(0)} MiB`
}

/** Batches of a minute of which the times are kept; there are fewer. */
const MOST_BATCHES = 2 ** 20
const samples = { packets: new Float64Array(MOST_BATCHES), reads: new Float64Array(MOST_BATCHES) }

/** Tracks for a minute of the machine's time. */
function oneMinute(tracker: Tracker, population: Population, reference: Reference): Minute {
  let count = 0
  for (const end = performance.now() + 60_000; performance.now() < end && count < MOST_BATCHES; count++) {
    const batch = population.next()
    const start = performance.now()
    tracker.trackBatch(batch)
    const between = performance.now()
    reference.read(BATCH_SIZE)
    samples.packets[count] = (between - start) * 1e6 / BATCH_SIZE
    samples.reads[count] = (performance.now() - between) * 1e6 / BATCH_SIZE
  }
  const median = (some: Float64Array) => some.subarray(0, count).sort()[count >> 1]
  return {
    nanoseconds: median(samples.packets), reference: median(samples.reads), entries: tracker.statistics().entries,
    rss: process.memoryUsage().rss,
  }
}

function summarise(minutes: readonly Minute[], { packets, states }: ReturnType<Tracker['statistics']>) {
  // The table fills in the first minutes: the first part begins behind them.
  const part = Math.max(1, Math.min(10, Math.floor(minutes.length / 3)))
  const filled = Math.min(5, minutes.length - part)
  const median = (some: readonly Minute[], of: (minute: Minute) => number) => quartiles(some.map(of)).p50
  const [first, last] = [minutes.slice(filled, filled + part), minutes.slice(-part)]
  const change = (of: (minute: Minute) => number) => {
    return { first: median(first, of), last: median(last, of), drift: median(last, of) / median(first, of) }
  }
  return {
    packets, states, part, rate: change(({ nanoseconds }) => nanoseconds), reference: change(({ reference }) => reference),
    growth: last[last.length - 1].rss - first[first.length - 1].rss,
  }
}

function text({ packets, states, part, rate, reference, growth }: ReturnType<typeof summarise>): string {
  const line = ({ first, last, drift }: typeof rate) =>
    `first ${part} minutes ${first.toFixed(1)} ns, last ${part} minutes ${last.toFixed(1)}: ×${drift.toFixed(3)}`
  return [
    `${packets} packets, ${JSON.stringify(states)}`,
    `a packet: ${line(rate)}`,
    `a read of a random cache line: ${line(reference)}`,
    `memory: ${growth >= 0 ? '+' : ''}${(growth / 2 ** 20).toFixed(1)} MiB from the one to the other`,
  ].join('\n')
}

await main()
