/** A worker's part: its tracker, and what the pool asks of it. Knows nothing of threads. */
import { newMemory } from '../border.js'
import { ConntrackError } from '../errors.js'
import { standardHelper } from '../helpers/standard.js'
import { Tracker } from '../tracker.js'
import type { Expectation } from '../types.js'
import { PIECE, Place, reserve, Sheet, type Addresses } from './place.js'
import {
  batchIn, verdictsIn, type Answer, type CallRequest, type CopyRequest, type MakeRequest, type PoolExpectation, type Request,
  type TrackedCopy,
} from './protocol.js'
import { Ring, type Task } from './ring.js'
import { trackShare } from './share.js'

/** What a worker has once its tracker could be made. */
interface Made {
  readonly tracker: Tracker
  readonly index: number
  readonly workers: number
  /** Null where memory is the worker's own. */
  readonly ring: Ring | null
  readonly addresses: Addresses
  readonly place: Place
  readonly sheet: Sheet
}

export class Work {
  #made: Made | null = null
  /** Entries of the ring that are done. */
  #next = 0

  /** Does what is asked for; what goes wrong is in the answer. */
  answer(request: Request): Answer {
    const { id } = request
    try {
      return { id, result: request.kind === 'make' ? this.#make(request) : this.#do(request, this.#have()) }
    } catch (error) {
      if (!(error instanceof ConntrackError)) throw error
      return { id, error: { code: error.code, message: error.message } }
    }
  }

  #make({ options, helpers, shard, shared }: MakeRequest): void {
    const memory = shared?.memory ?? newMemory()
    const addresses = shared?.addresses ?? reserve(memory, 0, 1, 1)
    const own = { ...options, helpers: helpers.flatMap(({ name, ports }) => standardHelper(name, ports)), batchSize: PIECE }
    const tracker = new Tracker(shared ? { ...own, module: shared.module } : own, { memory, shard })
    const { buffer } = memory
    this.#made = {
      tracker, addresses, index: shard.index, workers: shard.of, ring: shared && new Ring(buffer, addresses.ring),
      place: new Place(buffer, addresses.places[0]), sheet: new Sheet(buffer, addresses.sheets[0]),
    }
  }

  #have(): Made {
    if (this.#made) return this.#made
    throw new ConntrackError('invalid-argument', 'the tracker could not be made')
  }

  #do(request: Exclude<Request, MakeRequest>, made: Made): unknown {
    if (request.kind === 'trackCopy') return trackCopy(request, made)
    const result = call(request, made.tracker)
    if (made.ring) this.#next = this.#next + 1 | 0
    return result
  }

  /**
   * Tracks what there is in the ring, as far as the next call: that comes as a message.
   *
   * @param tell the pool is to look what is finished
   */
  catchUp(tell: () => void): void {
    const { ring, index } = this.#made ?? {}
    if (!ring) return
    do {
      for (let task = ring.at(this.#next); task; task = ring.at(this.#next)) {
        if (task === 'call') return
        if (this.#track(task, ring, this.#made!)) tell()
        this.#next = this.#next + 1 | 0
      }
    } while (!ring.sleep(index!, this.#next))
  }

  /** @returns whether the pool must be told */
  #track({ place, sheet, count, zero }: Task, ring: Ring, { tracker, workers, addresses: { places, sheets, unordered } }: Made): boolean {
    return tracker.withCore(core => {
      // One worker's verdicts are in order already.
      core.useBatchAt(places[place], workers === 1 ? sheets[sheet] : unordered[place])
      trackShare(core, ring.agreement(this.#next), count, zero)
      if (!ring.isLast(this.#next, workers)) return false
      if (workers > 1) core.mergeVerdicts(count, sheets[sheet])
      return ring.finish(this.#next)
    })
  }
}

function call(request: CallRequest, tracker: Tracker): unknown {
  if (request.kind === 'advance') return tracker.advance(request.time)
  tracker.expire()
  switch (request.kind) {
    case 'statistics': return tracker.statistics()
    case 'connections': return [...tracker.connections()]
    case 'expectations': return tracker.expectations().map(announced)
    case 'setSysctl': return tracker.setSysctl(request.name, request.value)
  }
}

/** Where memory is this worker's own, so is the place, and the whole batch is brought there. */
function trackCopy({ buffer, count, bytes }: CopyRequest, { tracker, place, sheet, addresses }: Made): TrackedCopy {
  const [batch, whole] = [batchIn(count, bytes, buffer), { from: 0, to: count, low: 0, high: bytes }]
  place.fillColumns(batch, whole)
  const zero = place.fillBytes(batch, whole)
  const { rows, first } = tracker.withCore(core => {
    core.useBatchAt(addresses.places[0], addresses.sheets[0])
    return trackShare(core, new Int32Array(3), count, zero)
  })
  const verdicts = verdictsIn(rows.length)
  verdicts.rows.set(rows)
  sheet.copy(first, rows.length, verdicts, 0)
  return { buffer: verdicts.rows.buffer as ArrayBuffer, count: rows.length }
}

/** Packets are numbered by each worker for itself. */
function announced({ packet: _packet, ...expectation }: Expectation): PoolExpectation {
  return expectation
}
