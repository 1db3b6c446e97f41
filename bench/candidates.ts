/** Who takes part in the benchmark: the package in its uses, the core alone, C, and JavaScript, behind one interface. */
import type { PacketBatch } from '../src/batch.js'
import { DIRECTIONS, REASONS, STATES, TCP_STATES } from '../src/names.js'
import { BareCore } from './core.js'
import type { Loaded } from './load.js'
import { NativeTracker } from './native/native.js'
import { STATE_ESTABLISHED, verdictColumns, type Peer, type PeerVerdicts } from './peers/peer.js'
import type { Tracker } from './sdk.js'
import { PIECE, PIECE_BYTES, SLICE, type Slice } from './slices.js'

export type Checksum = 'verify' | 'ignore'

/** What tinybench takes instead of its own measurement. */
interface Clocked {
  readonly overriddenDuration: number
}

/** What is timed. */
export interface Timed {
  readonly name: string
  /** Makes ready for a slice; not timed. */
  load?(slice: Slice): void | Promise<void>
  /** The work that is timed. Who has a clock of its own says how many milliseconds it took. */
  run(slice: Slice): void | Clocked | Promise<Clocked>
  /** How many packets of the last run were ESTABLISHED. */
  readonly established: number
}

export interface Candidate extends Timed {
  readonly checksum: Checksum
  /** The same work with verdicts for comparison; not timed. */
  verdicts(slice: Slice): PeerVerdicts | Promise<PeerVerdicts>
  close(): void
}

/** Kinds of candidates, in the order of the table. */
export type Kind = 'core' | 'batch' | 'single' | 'native' | 'typed' | 'map'

const OFF = ', checksums off'
export const CORE = 'core, packets in its memory'
export const NATIVE = 'C, the same design'
export const MAP = 'JavaScript, Map'

/** The name of the candidate that another is compared with. */
export const baseOf = ({ checksum }: Pick<Candidate, 'checksum'>) => (checksum === 'verify' ? CORE : CORE + OFF)

const WHO: Readonly<Record<Kind, { readonly name: string; readonly both: boolean }>> = {
  core: { name: CORE, both: true },
  batch: { name: 'trackBatch, 256 packets', both: true },
  single: { name: 'track, one packet', both: false },
  native: { name: NATIVE, both: true },
  typed: { name: 'JavaScript, typed arrays', both: true },
  map: { name: MAP, both: false },
}

/** Candidates of these kinds, with checksums and (most) without. */
export function candidates(loaded: Loaded, maxConnections: number, kinds: readonly Kind[]): Candidate[] {
  return (['verify', 'ignore'] as const).flatMap((checksum) => kinds
    .filter((kind) => (checksum === 'verify' || WHO[kind].both) && (kind !== 'native' || loaded.native))
    .map((kind) => make(loaded, kind, { maxConnections, checksum })))
}

interface Settings {
  readonly maxConnections: number
  readonly checksum: Checksum
}

function make(loaded: Loaded, kind: Kind, settings: Settings): Candidate {
  const name = WHO[kind].name + (settings.checksum === 'ignore' ? OFF : '')
  const typed = settings.checksum === 'verify' ? loaded.typedVerify : loaded.typedIgnore
  switch (kind) {
    case 'core': return new InCore(name, settings, loaded)
    case 'native': return new InC(name, settings, loaded)
    case 'single': return new OneByOne(name, settings, loaded.sdk.createTracker(settings))
    case 'batch': return new InBatches(name, settings, loaded.sdk.createTracker(settings))
    case 'typed': return new InBatches(name, settings, new typed.TypedTracker(settings))
    case 'map': return new InBatches(name, settings, new loaded.map.MapTracker(settings))
  }
}

const SIZES = { packets: PIECE, bytes: PIECE_BYTES }

/** The core alone, piece by piece: each lies in its memory, columns and all, before the clock starts. */
class InCore implements Candidate {
  readonly checksum: Checksum
  established = 0
  readonly #core: BareCore
  readonly #columns = verdictColumns(SLICE)

  constructor(readonly name: string, settings: Settings, { module }: Loaded) {
    this.checksum = settings.checksum
    this.#core = new BareCore(module, { ...settings, ...SIZES })
  }

  run({ pieces }: Slice): Clocked {
    let milliseconds = 0
    this.established = 0
    for (const piece of pieces) {
      this.#core.load(piece)
      const start = performance.now()
      this.#core.run()
      milliseconds += performance.now() - start
      this.established += countEstablished(this.#core.verdicts.state, piece.count)
    }
    return { overriddenDuration: milliseconds }
  }

  verdicts({ pieces }: Slice): PeerVerdicts {
    let at = 0
    for (const piece of pieces) {
      this.#core.load(piece)
      this.#core.run()
      copy(this.#core.verdicts, this.#columns, at, piece.count)
      at += piece.count
    }
    return this.#columns
  }

  close(): void {}
}

/** The same in C, a process of its own: each piece lies in its memory before its clock starts. */
class InC implements Candidate {
  readonly checksum: Checksum
  established = 0
  readonly #tracker: NativeTracker
  readonly #columns = verdictColumns(SLICE)

  constructor(readonly name: string, settings: Settings, { native }: Loaded) {
    if (!native) throw new Error('there is no tracker in C')
    this.checksum = settings.checksum
    this.#tracker = new NativeTracker(native, { ...settings, ...SIZES })
  }

  async run({ pieces }: Slice): Promise<Clocked> {
    let total = 0
    this.established = 0
    for (const piece of pieces) {
      await this.#tracker.load(piece)
      const { nanoseconds, established } = await this.#tracker.run()
      total += nanoseconds
      this.established += established
    }
    return { overriddenDuration: total / 1e6 }
  }

  async verdicts({ pieces }: Slice): Promise<PeerVerdicts> {
    let at = 0
    for (const piece of pieces) {
      await this.#tracker.load(piece)
      copy(await this.#tracker.verdicts(), this.#columns, at, piece.count)
      at += piece.count
    }
    return this.#columns
  }

  close(): void {
    this.#tracker.close()
  }
}

/** Batch by batch from JavaScript's memory; the caller looks at every verdict. */
class InBatches implements Candidate {
  readonly checksum: Checksum
  established = 0
  readonly #tracker: Peer | Tracker
  readonly #columns = verdictColumns(SLICE)

  constructor(readonly name: string, { checksum }: Settings, tracker: Peer | Tracker) {
    this.checksum = checksum
    this.#tracker = tracker
  }

  run({ batches }: Slice): void {
    let established = 0
    for (const batch of batches) {
      established += countEstablished(this.#tracker.trackBatch(batch).state, batch.count)
    }
    this.established = established
  }

  verdicts({ batches }: Slice): PeerVerdicts {
    let at = 0
    for (const batch of batches) {
      copy(this.#tracker.trackBatch(batch), this.#columns, at, batch.count)
      at += batch.count
    }
    return this.#columns
  }

  close(): void {
    if ('close' in this.#tracker) this.#tracker.close()
  }
}

function copy(from: PeerVerdicts, to: PeerVerdicts, at: number, count: number): void {
  to.state.set(from.state.subarray(0, count), at)
  to.direction.set(from.direction.subarray(0, count), at)
  to.reason.set(from.reason.subarray(0, count), at)
  to.protocolState.set(from.protocolState.subarray(0, count), at)
  to.flags.set(from.flags.subarray(0, count), at)
}

export function countEstablished(state: Uint8Array, count: number): number {
  let established = 0
  for (let i = 0; i < count; i += 1) if (state[i] === STATE_ESTABLISHED) established += 1
  return established
}

/** One call and one object a packet; bytes and time are at hand before the clock starts. */
class OneByOne implements Candidate {
  readonly checksum: Checksum
  established = 0
  readonly #tracker: Tracker
  readonly #columns = verdictColumns(SLICE)
  #bytes: Uint8Array[] = []
  #times: bigint[] = []

  constructor(readonly name: string, { checksum }: Settings, tracker: Tracker) {
    this.checksum = checksum
    this.#tracker = tracker
  }

  load({ batches }: Slice): void {
    this.#bytes = batches.flatMap((batch) => Array.from({ length: batch.count }, (_, i) => bytesOf(batch, i)))
    this.#times = batches.flatMap((batch) => Array.from({ length: batch.count }, (_, i) => timeOf(batch, i)))
  }

  run(): void {
    let established = 0
    for (let i = 0; i < this.#bytes.length; i += 1) {
      const verdict = this.#tracker.track(this.#bytes[i], { time: this.#times[i], linkType: 'ethernet' })
      if (verdict.state === 'ESTABLISHED') established += 1
    }
    this.established = established
  }

  verdicts(slice: Slice): PeerVerdicts {
    const { state, direction, reason, protocolState, flags } = this.#columns
    this.load(slice)
    for (let i = 0; i < slice.count; i += 1) {
      const verdict = this.#tracker.track(this.#bytes[i], { time: this.#times[i], linkType: 'ethernet' })
      state[i] = STATES.indexOf(verdict.state)
      direction[i] = DIRECTIONS.indexOf(verdict.direction)
      reason[i] = REASONS.indexOf(verdict.reason)
      protocolState[i] = Math.max(0, (TCP_STATES as readonly (string | null)[]).indexOf(verdict.tcpState))
      // A single verdict does not say seen-reply, but that bit is what tells NEW from ESTABLISHED here.
      flags[i] = (verdict.assured ? 1 : 0) | (verdict.state === 'ESTABLISHED' ? 4 : 0)
    }
    return this.#columns
  }

  close(): void {
    this.#tracker.close()
  }
}

function bytesOf(batch: PacketBatch, i: number): Uint8Array {
  return batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i])
}

function timeOf(batch: PacketBatch, i: number): bigint {
  return BigInt(batch.seconds[i]) * 1_000_000_000n + BigInt(batch.nanoseconds[i])
}
