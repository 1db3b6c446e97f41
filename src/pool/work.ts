/** A worker's part: its tracker, and what the pool asks of it. Knows nothing of threads. */
import type { PacketBatch } from '../batch.js'
import { newMemory } from '../border.js'
import { ConntrackError } from '../errors.js'
import { standardHelper } from '../helpers/standard.js'
import { Tracker } from '../tracker.js'
import type { Expectation } from '../types.js'
import { PIECE, Place, reservePlaces } from './place.js'
import {
  batchIn, verdictsIn, type Answer, type CallRequest, type MakeRequest, type PoolExpectation, type Request, type TrackedCopy,
} from './protocol.js'
import { trackShare } from './share.js'

export class Work {
  #tracker: Tracker | null = null
  #places: readonly Place[] = []

  /** Does what is asked for; what goes wrong is in the answer. */
  answer(request: Request): Answer {
    const { id } = request
    try {
      return { id, result: this.#do(request) }
    } catch (error) {
      if (!(error instanceof ConntrackError)) throw error
      return { id, error: { code: error.code, message: error.message } }
    }
  }

  #do(request: Request): unknown {
    switch (request.kind) {
      case 'make': return this.#make(request)
      case 'track': return void this.#track(this.#places[request.place], request.count, request.zero)
      case 'trackCopy': return this.#trackCopy(batchIn(request.count, request.bytes, request.buffer))
    }
    return this.#call(request)
  }

  #make({ options, helpers, shard, shared, places }: MakeRequest): void {
    const memory = shared?.memory ?? newMemory()
    const addresses = shared ? places : reservePlaces(memory, 1)
    const own = { ...options, helpers: helpers.flatMap(({ name, ports }) => standardHelper(name, ports)), batchSize: PIECE }
    this.#tracker = new Tracker(shared ? { ...own, module: shared.module } : own, { memory, shard })
    this.#places = addresses.map(at => new Place(memory.buffer, at))
  }

  #call(request: CallRequest): unknown {
    const tracker = this.#made()
    if (request.kind === 'advance') return tracker.advance(request.time)
    tracker.expire()
    switch (request.kind) {
      case 'statistics': return tracker.statistics()
      case 'connections': return [...tracker.connections()]
      case 'expectations': return tracker.expectations().map(announced)
      case 'setSysctl': return tracker.setSysctl(request.name, request.value)
    }
  }

  #made(): Tracker {
    if (this.#tracker) return this.#tracker
    throw new ConntrackError('invalid-argument', 'the tracker could not be made')
  }

  #track(place: Place, count: number, zero: number): Uint32Array {
    return this.#made().trackTogether(core => trackShare(core, place, count, zero))
  }

  /** Where memory is this worker's own, so is the place, and the whole batch is brought there. */
  #trackCopy(batch: PacketBatch): TrackedCopy {
    const [place] = this.#places
    const { count, data: { length } } = batch
    const zero = place.fill(batch, { from: 0, to: count, low: 0, high: length })
    const rows = this.#track(place, count, zero)
    const verdicts = verdictsIn(rows.length)
    verdicts.rows.set(rows)
    place.gather(rows, verdicts)
    return { buffer: verdicts.rows.buffer as ArrayBuffer, count: rows.length }
  }
}

/** Packets are numbered by each worker for itself. */
function announced({ packet: _packet, ...expectation }: Expectation): PoolExpectation {
  return expectation
}
