/**
 * A SYN flood against a table that holds connections with live traffic: none of those may be lost, memory must not move,
 * and the counters must add up at every batch. Batches of the flood and batches of live traffic alone take turns.
 */
import { BATCH_SIZE, type PacketBatch } from '../src/batch.js'
import type { Statistics, VerdictBatch } from '../src/types.js'
import { BatchWriter } from './segments.js'
import { random } from './traffic.js'

export interface FloodTracker {
  trackBatch(batch: PacketBatch): VerdictBatch
  statistics(): Statistics
  readonly memoryBytes: number
}

export interface FloodResult {
  readonly floodPackets: number
  readonly livePackets: number
  /** Connections that stood before and stand after. */
  readonly kept: number
  readonly earlyDrops: number
  readonly turnedAway: number
  /** Nanoseconds a packet of each batch. */
  readonly underFlood: readonly number[]
  readonly inPeace: readonly number[]
}

const SYN = 2
const ACK = 16
const SERVER = 0x0a00_0001
const CLIENTS = 0x0a01_0000
const PORT = 1000 << 16 | 80
const ANSWER = 80 << 16 | 1000
/** Of the packets of a batch under flood: those of connections. */
const LIVE = 26
const ESTABLISHED = 2
const APART = 1000

/** @throws Error at the first thing that is not as it must be */
export function flood(tracker: FloodTracker, connections: number, packets: number): FloodResult {
  const run = new Flood(tracker, connections)
  run.establish()
  const memory = tracker.memoryBytes
  const underFlood: number[] = []
  const inPeace: number[] = []
  while (run.flooded < packets) {
    underFlood.push(run.batch(LIVE))
    // One in eight is enough to compare with.
    if (underFlood.length % 8 === 0) inPeace.push(run.batch(BATCH_SIZE))
    run.check()
  }
  const kept = run.countKept()
  if (tracker.memoryBytes !== memory) throw new Error(`memory moved from ${memory} to ${tracker.memoryBytes} bytes`)
  const { counters } = tracker.statistics()
  return {
    floodPackets: run.flooded, livePackets: run.live, kept, earlyDrops: counters.early_drop, turnedAway: counters.drop,
    underFlood, inPeace,
  }
}

class Flood {
  flooded = 0
  live = 0
  readonly #writer = new BatchWriter()
  readonly #next = random(1)
  #time = 0

  constructor(readonly tracker: FloodTracker, readonly connections: number) {}

  /** Handshakes; what of the last batch is over repeats the last acknowledgement. */
  establish(): void {
    const steps = this.connections * 3
    for (let step = 0; step < steps;) {
      this.#writer.begin()
      for (let i = 0; i < BATCH_SIZE; i++, step++) this.#handshake(Math.min(step, steps - 1))
      this.tracker.trackBatch(this.#writer.batch)
    }
  }

  #handshake(step: number): void {
    const client = CLIENTS + Math.floor(step / 3)
    const time = this.#tick()
    if (step % 3 === 0) this.#writer.tcp(client, SERVER, PORT, SYN, 100, 0, time)
    else if (step % 3 === 1) this.#writer.tcp(SERVER, client, ANSWER, SYN | ACK, 500, 101, time)
    else this.#writer.tcp(client, SERVER, PORT, ACK, 101, 501, time)
  }

  #tick(): number {
    return this.#time += APART
  }

  /** One batch with so many packets of connections, the others SYNs from anywhere. Returns nanoseconds a packet. */
  batch(live: number): number {
    const every = BATCH_SIZE / live
    let next = 0
    const isLive: boolean[] = []
    this.#writer.begin()
    for (let i = 0; i < BATCH_SIZE; i++) {
      isLive.push(i >= next)
      if (isLive[i]) next += every
      this.#write(isLive[i])
    }
    const begin = process.hrtime.bigint()
    const { state } = this.tracker.trackBatch(this.#writer.batch)
    const nanoseconds = Number(process.hrtime.bigint() - begin)
    isLive.forEach((established, i) => {
      if (established && state[i] !== ESTABLISHED) throw new Error(`a live connection's packet has state ${state[i]}`)
    })
    return nanoseconds / BATCH_SIZE
  }

  #write(live: boolean): void {
    const number = this.#next()
    if (live) {
      this.live++
      const client = CLIENTS + number % this.connections
      if (number & 1 << 30) this.#writer.tcp(client, SERVER, PORT, ACK, 101, 501, this.#tick())
      else this.#writer.tcp(SERVER, client, ANSWER, ACK, 501, 101, this.#tick())
    } else {
      this.flooded++
      // Not from 10.0.0.0/8, where the connections are.
      this.#writer.tcp((number | 0x8000_0000) >>> 0, SERVER, this.#next(), SYN, number, 0, this.#tick())
    }
  }

  check(): void {
    const { inserts, deletes, entries, maxConnections } = this.tracker.statistics()
    if (inserts - deletes !== entries) throw new Error(`${inserts} inserts - ${deletes} deletes are not ${entries} entries`)
    if (entries > maxConnections) throw new Error(`${entries} entries in a table of ${maxConnections}`)
  }

  /** Sends a packet over every connection: all must be ESTABLISHED still. */
  countKept(): number {
    let kept = 0
    for (let client = 0; client < this.connections;) {
      this.#writer.begin()
      const first = client
      for (let i = 0; i < BATCH_SIZE; i++, client++) {
        this.#writer.tcp(CLIENTS + client % this.connections, SERVER, PORT, ACK, 101, 501, this.#tick())
      }
      const { state } = this.tracker.trackBatch(this.#writer.batch)
      for (let i = 0; i < BATCH_SIZE && first + i < this.connections; i++) if (state[i] === ESTABLISHED) kept++
    }
    if (kept !== this.connections) throw new Error(`${this.connections - kept} of ${this.connections} connections were lost`)
    return kept
  }
}
