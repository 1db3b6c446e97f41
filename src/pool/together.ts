/**
 * Batches in memory that all workers look at. They are brought to a place and told of in the ring; their verdicts come on a
 * sheet, which is the caller's until it has given so many batches more. The pool has a core without connections, to help.
 */
import type { PacketBatch } from '../batch.js'
import { Core, type Piece } from '../border.js'
import { ConntrackError } from '../errors.js'
import { shardKeys } from '../hash-keys.js'
import type { VerdictBatch } from '../types.js'
import type { Member } from './member.js'
import { PAGE, PIECE, Place, Sheet, type Addresses } from './place.js'
import { ENTRIES, Ring, type Task } from './ring.js'
import { findShards } from './share.js'
import type { SharedCore } from './shared-core.js'
import { emptyVerdicts } from './verdicts.js'

/** Verdicts are good until so many batches more have been given. */
const KEPT = 4

interface UnderWay {
  readonly number: number
  readonly resolve: () => void
  readonly reject: (error: ConntrackError) => void
}

export class Together {
  readonly #members: readonly Member[]
  readonly #ring: Ring
  readonly #places: readonly Place[]
  readonly #sheets: readonly Sheet[]
  readonly #freeSheets: number[]
  /** Sheets that callers have, with the batch by which they are free again. */
  readonly #given: { readonly sheet: number; readonly until: number }[] = []
  readonly #underWay: UnderWay[] = []
  #batches = 0
  #failure: ConntrackError | null = null

  readonly #memory: WebAssembly.Memory
  readonly #core: Core
  readonly #addresses: Addresses
  /** Buffers of memory that callers were given for packets. */
  readonly #lent = new WeakSet<ArrayBufferLike>()

  constructor({ module, memory, addresses }: SharedCore, members: readonly Member[], seed: number) {
    const sizes = { maxConnections: 1, maxExpectations: 0, batchSize: PIECE, fragments4: 0, fragments6: 0 }
    const parts = { acct: false, timestamp: false, labels: false, history: false, explain: false, helpers: false }
    const { buffer } = memory
    const { ring, places, sheets } = addresses
    this.#memory = memory
    this.#core = new Core(module, sizes, parts, memory)
    this.#core.setShard(0, members.length, shardKeys(seed), false)
    this.#addresses = addresses
    this.#members = members
    this.#ring = new Ring(buffer, ring)
    this.#places = places.map(at => new Place(buffer, at))
    this.#sheets = sheets.map(at => new Sheet(buffer, at))
    this.#freeSheets = sheets.map((_, i) => i).slice(ENTRIES)
  }

  /** The caller gives a batch more. */
  count(): void {
    this.#batches++
    while (this.#given.length > 0 && this.#given[0].until <= this.#batches) this.#freeSheets.push(this.#given.shift()!.sheet)
  }

  /**
   * Tracks packets in a turn.
   *
   * @param into where verdicts are to be brought; null: they may stay on their sheet
   */
  async track(batch: PacketBatch, piece: Piece, turn: number, into: VerdictBatch | null): Promise<VerdictBatch> {
    const count = piece.to - piece.from
    const free = into ? undefined : this.#freeSheets.pop()
    // Where so many verdicts are not old enough to be overwritten, these are copied from the turn's own sheet.
    const sheet = free ?? turn
    const place = this.#places[turn]
    place.fillColumns(batch, piece)
    const zero = this.has(batch) ? batch.data.byteOffset : place.fillBytes(batch, piece)
    await this.#push({ place: turn, sheet, count, zero })
    if (free !== undefined) {
      this.#given.push({ sheet, until: this.#batches + KEPT })
      return this.#sheets[sheet].verdicts(count)
    }
    const verdicts = into ?? emptyVerdicts(count)
    this.#sheets[sheet].copy(0, count, verdicts, into ? piece.from : 0)
    return verdicts
  }

  /** Memory for packets that need not be copied. */
  allocate(bytes: number): Uint8Array {
    let at: number
    try {
      at = this.#memory.grow(Math.ceil(bytes / PAGE)) * PAGE
    } catch {
      throw new ConntrackError('invalid-argument', `no memory for ${bytes} bytes`)
    }
    const { buffer } = this.#memory
    this.#lent.add(buffer)
    return new Uint8Array(buffer, at, bytes)
  }

  /** Whether the packets of a batch are in such memory. */
  has({ data: { buffer } }: PacketBatch): boolean {
    return this.#lent.has(buffer)
  }

  #push(task: Task): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      const number = this.#ring.push(task)
      this.#underWay.push({ number, resolve, reject })
      this.#members.forEach((member, i) => { if (this.#ring.rouse(i)) member.wake() })
      // Where workers have something else to do yet: they must not wait for this thread.
      if (this.#underWay.length > 1) this.#help(task, number)
    })
  }

  #help({ place, sheet, count, zero }: Task, number: number): void {
    this.#core.useBatchAt(this.#addresses.places[place], this.#addresses.sheets[sheet])
    findShards(this.#core, this.#ring.agreement(number), count, zero)
  }

  /** All workers are about to be sent a call. */
  call(): void {
    this.#ring.pushCall()
  }

  /** A worker tells that something is finished. */
  told(): void {
    this.#ring.listen()
    while (this.#underWay.length > 0 && this.#ring.isFinished(this.#underWay[0].number)) {
      this.#underWay.shift()!.resolve()
    }
  }

  end(error: ConntrackError): void {
    this.#failure ??= error
    for (const { reject } of this.#underWay.splice(0)) reject(error)
  }
}
