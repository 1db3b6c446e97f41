/**
 * Batches in memory that all workers look at. They are brought to a place and told of in the ring; their verdicts come on a
 * sheet, which is the caller's until it has given so many batches more.
 */
import type { PacketBatch } from '../batch.js'
import type { Piece } from '../border.js'
import type { ConntrackError } from '../errors.js'
import type { VerdictBatch } from '../types.js'
import type { Member } from './member.js'
import { Place, Sheet } from './place.js'
import { ENTRIES, Ring } from './ring.js'
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

  constructor({ memory: { buffer }, addresses: { ring, places, sheets } }: SharedCore, members: readonly Member[]) {
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
    await this.#push({ place: turn, sheet, count, zero: this.#places[turn].fill(batch, piece) })
    if (free !== undefined) {
      this.#given.push({ sheet, until: this.#batches + KEPT })
      return this.#sheets[sheet].verdicts(count)
    }
    const verdicts = into ?? emptyVerdicts(count)
    this.#sheets[sheet].copy(count, verdicts, into ? piece.from : 0)
    return verdicts
  }

  #push(task: Parameters<Ring['push']>[0]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      this.#underWay.push({ number: this.#ring.push(task), resolve, reject })
      this.#members.forEach((member, i) => { if (this.#ring.rouse(i)) member.wake() })
    })
  }

  /** All workers are about to be sent a call. */
  call(): void {
    this.#ring.pushCall()
  }

  /** A worker tells that something is finished. */
  told(): void {
    this.#ring.listen()
    while (this.#underWay.length > 0 && this.#ring.isFinished(this.#underWay[0].number, this.#members.length)) {
      this.#underWay.shift()!.resolve()
    }
  }

  end(error: ConntrackError): void {
    this.#failure ??= error
    for (const { reject } of this.#underWay.splice(0)) reject(error)
  }
}
