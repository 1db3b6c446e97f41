/**
 * The pool's side of the batches: it brings packets into memory, finds out whose they are, and puts the verdicts together.
 * All of it is the core's work, in an instance that has no connections.
 */
import type { PacketBatch } from '../batch.js'
import { Core, sharedMemory, type Piece } from '../border.js'
import { coreBytes, coreModule } from '../core-module.js'
import { ConntrackError } from '../errors.js'
import { shardKeys } from '../tracker.js'
import type { VerdictBatch } from '../types.js'

/** Packets that are dealt at a time. With a quarter as many a pool of two takes a tenth longer: more messages a packet. */
export const PIECE = 16_384
/** Batches that are under way at a time: the workers have one each, and the next is there when they are done. */
const SLOTS = 8
const SLOT_SIZE = 3 << 20
/** More of one packet is not read (see the core's readPacket). */
const MAX_PACKET = 72 * 1024

/** The core for memory that is shared, and that memory. */
export interface SharedCore {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
}

export class Dealer {
  /** Null where workers have memory of their own. */
  readonly shared: SharedCore | null = shareCore()
  readonly #core: Core
  readonly #free = Array.from({ length: SLOTS }, (_, i) => i * SLOT_SIZE)
  readonly #waiting: ((slot: number) => void)[] = []

  constructor(workers: number, seed: number) {
    const sizes = { maxConnections: 1, maxExpectations: 0, batchSize: PIECE, input: SLOTS * SLOT_SIZE, fragments4: 0, fragments6: 0 }
    const parts = { acct: false, timestamp: false, labels: false, history: false, explain: false, helpers: false }
    this.#core = new Core(this.shared?.module ?? coreModule, sizes, parts, this.shared?.memory)
    this.#core.setShard(0, workers, shardKeys(seed))
  }

  /** So many batches can be dealt at once. */
  has(slots: number): boolean {
    return this.#free.length >= slots
  }

  /** Calls back with a place for a batch: at once if there is one, else when `give` brings one; in the order of calls. */
  take(use: (slot: number) => void): void {
    const slot = this.#free.pop()
    if (slot === undefined) this.#waiting.push(use)
    else use(slot)
  }

  give(slot: number): void {
    const next = this.#waiting.shift()
    if (next) next(slot)
    else this.#free.push(slot)
  }

  /** A batch in pieces that fit: neither too many packets, nor with too many bytes between the first and the last. */
  cut({ count, data: { length: bytes }, offset, length }: PacketBatch): Piece[] {
    const room = this.#core.roomForPackets(SLOT_SIZE)
    const pieces: Piece[] = []
    // Plain numbers, no Math.min: 2 ns a packet, not 7.
    let from = 0
    let low = offset[0]
    let high = low
    for (let i = 0; i < count; i++) {
      const start = offset[i]
      const size = length[i]
      if (start + size > bytes) throw outside()
      const end = start + (size < MAX_PACKET ? size : MAX_PACKET)
      const lower = start < low ? start : low
      const higher = end > high ? end : high
      if (higher - lower > room || i - from === PIECE) {
        pieces.push({ from, to: i, low, high })
        from = i
        low = start
        high = end
      } else {
        low = lower
        high = higher
      }
    }
    return count > 0 ? [...pieces, { from, to: count, low, high }] : []
  }

  /** Where each worker's rows end, and the addresses of the rows and of the first byte. */
  deal(batch: PacketBatch, piece: Piece, slot: number): ReturnType<Core['deal']> {
    return this.#core.deal(batch, piece, slot)
  }

  collect(at: number, { from, to }: Piece, verdicts: VerdictBatch): void {
    this.#core.collect(at, to - from, verdicts, from)
  }

  /** Views of what was dealt. */
  dealt(at: number, input: number, { low, high }: Piece): ReturnType<Core['dealt']> {
    return this.#core.dealt(at, input, high - low)
  }

  /** The pool's clock: of all packets and of `advance`. */
  get now(): bigint {
    return this.#core.now
  }

  advance(time: bigint): void {
    this.#core.advance(time)
  }
}

/** Null where workers cannot look at the same memory: in pages that are not isolated from other origins. */
function shareCore(): SharedCore | null {
  const { crossOriginIsolated = true } = globalThis as { crossOriginIsolated?: boolean }
  if (typeof SharedArrayBuffer !== 'function' || !crossOriginIsolated) return null
  try {
    return { module: new WebAssembly.Module(withSharedMemory(coreBytes)), memory: sharedMemory() }
  } catch {
    return null // some have no 4 GiB of addresses left for it
  }
}

/** The core's import of its memory: the names `env` and `memory`, what it is, and bounds: both are there (1), shared too (3). */
const IMPORT = '\x03env\x06memory\x02\x01'

function withSharedMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = String.fromCharCode(...bytes.subarray(0, 4096)).indexOf(IMPORT)
  if (at < 0) throw new Error('the core does not import its memory')
  const shared = bytes.slice()
  shared[at + IMPORT.length - 1] = 3
  return shared
}

function outside(): ConntrackError {
  return new ConntrackError('invalid-argument', 'a packet of the batch lies outside of its data')
}
