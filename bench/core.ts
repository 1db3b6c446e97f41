/**
 * The core alone: packets and their columns lie in its memory before the clock starts, and what is timed is one call of
 * its `run`. Everything that the package does around it (bringing batches in, views, events) is left out.
 *
 * Like src/border.ts this file knows where the core keeps things; what is compared before anything is timed shows where
 * the two are no longer the same.
 */
import type { PacketBatch } from '../src/batch.js'
import { FIXED_TIMEOUTS, SYSCTLS } from '../src/sysctl.js'
import type { PeerVerdicts } from './peers/peer.js'

/** Numbers of the regions, as the core's `regionAt` counts them. */
const SETTINGS = 0
const SWITCHES = 1
const HASH_KEYS = 2
const OFFSET = 6
const LENGTH = 7
const WIRE_LENGTH = 8
const SECONDS = 9
const NANOSECONDS = 10
const LINK_TYPE = 11
const VERDICT = 12
const INPUT = 15

const CHECKSUMS = { verify: 0, offload: 1, ignore: 2 } as const
const FRAGMENTS = 4_194_304

interface Exports {
  createCore(
    maxConnections: number, maxExpectations: number, batch: number, input: number, fragments4: number,
    fragments6: number, parts: number): number
  regionAt(region: number): number
  configure(
    checksums: number, notrack: number, zone: number, policy: number, helper: number, drop: number,
    directional: number): void
  run(from: number, to: number, base: number, recorded: number, goOn: number): number
}

export interface CoreOptions {
  readonly maxConnections: number
  readonly checksum: keyof typeof CHECKSUMS
  /** The most that is loaded at a time. */
  readonly packets: number
  readonly bytes: number
}

export class BareCore {
  readonly #exports: Exports
  readonly #memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536 })
  readonly #packets: number
  #count = 0

  constructor(module: WebAssembly.Module, { maxConnections, checksum, packets, bytes }: CoreOptions) {
    const abort = () => {
      throw new Error('an assertion of the core failed')
    }
    this.#exports = new WebAssembly.Instance(module, { env: { abort, memory: this.#memory } }).exports as unknown as Exports
    if (!this.#exports.createCore(maxConnections, 0, packets, bytes, FRAGMENTS, FRAGMENTS, 0)) {
      throw new Error('no memory for the core')
    }
    this.#packets = packets
    this.#settle(maxConnections)
    this.#exports.configure(CHECKSUMS[checksum], 0, 0, 0, 0, 0, 0)
  }

  /** Linux's defaults, and a secret for the hash. */
  #settle(maxConnections: number): void {
    const view = new DataView(this.#memory.buffer)
    const timeout = (place: number, seconds: number) => {
      view.setBigInt64(this.#at(SETTINGS) + place * 8, BigInt(seconds) * 1_000_000_000n, true)
    }
    for (const [place, seconds] of Object.entries(FIXED_TIMEOUTS)) timeout(Number(place), seconds)
    for (const [name, sysctl] of Object.entries(SYSCTLS)) {
      const value = name === 'max' ? maxConnections : sysctl.initial
      if (sysctl.timeout !== undefined) timeout(sysctl.timeout, value)
      if (sysctl.switch !== undefined) view.setUint32(this.#at(SWITCHES) + sysctl.switch * 4, value, true)
    }
    for (let i = 0; i < 48; i += 4) view.setUint32(this.#at(HASH_KEYS) + i, Math.imul(i + 1, 0x9e3779b1) >>> 0, true)
  }

  #at(region: number): number {
    return this.#exports.regionAt(region) >>> 0
  }

  /** Brings packets in. */
  load(batch: PacketBatch): void {
    const { buffer } = this.#memory
    new Uint8Array(buffer).set(batch.data, this.#at(INPUT))
    new Uint32Array(buffer, this.#at(OFFSET)).set(batch.offset)
    new Uint32Array(buffer, this.#at(LENGTH)).set(batch.length)
    new Uint32Array(buffer, this.#at(WIRE_LENGTH)).set(batch.originalLength)
    new Float64Array(buffer, this.#at(SECONDS)).set(batch.seconds)
    new Uint32Array(buffer, this.#at(NANOSECONDS)).set(batch.nanoseconds)
    new Uint16Array(buffer, this.#at(LINK_TYPE)).set(batch.linkType)
    this.#count = batch.count
  }

  /** Tracks what was loaded. */
  run(): void {
    const done = this.#exports.run(0, this.#count, 0, 0, 0)
    if (done !== this.#count) throw new Error(`the core stopped at packet ${done} of ${this.#count}`)
  }

  /** Of what was tracked last, over the core's memory. */
  get verdicts(): PeerVerdicts {
    const column = (place: number) => {
      return new Uint8Array(this.#memory.buffer, this.#at(VERDICT) + place * this.#packets, this.#count)
    }
    return { state: column(20), direction: column(21), reason: column(22), protocolState: column(23), flags: column(24) }
  }
}
