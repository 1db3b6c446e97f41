/** A worker's part: its tracker, and what the pool asks of it. Knows nothing of threads. */
import { slice } from '../batch.js'
import { ConntrackError } from '../errors.js'
import { standardHelper } from '../helpers/standard.js'
import { Tracker } from '../tracker.js'
import type { Connection, Expectation } from '../types.js'
import {
  copyRows, layOut, type Answer, type CallRequest, type MakeRequest, type PoolExpectation, type Request, type TrackCopyRequest,
} from './protocol.js'
import { PIECE } from './dealer.js'

/** Packets that the tracker takes at a time where they are copied: as many as fit into its memory for them. */
const CHUNK = 1024

export class Work {
  #tracker: Tracker | null = null
  #index = 0
  #of = 1

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
      case 'track': return this.#made().trackDealt(request.at, request.zero, request.from, request.to)
      case 'trackCopy': return this.#trackCopy(request)
    }
    return this.#call(request)
  }

  #make({ options, helpers, index, of, shared }: MakeRequest): void {
    this.#index = index
    this.#of = of
    const own = { ...options, helpers: helpers.flatMap(({ name, ports }) => standardHelper(name, ports)) }
    this.#tracker = shared
      ? new Tracker({ ...own, batchSize: PIECE, module: shared.module }, shared.memory)
      : new Tracker({ ...own, batchSize: CHUNK })
  }

  #call(request: CallRequest): unknown {
    const tracker = this.#made()
    tracker.advance(request.time)
    switch (request.kind) {
      case 'statistics': return tracker.statistics()
      case 'connections': return [...tracker.connections()].map(connection => this.#renumbered(connection))
      case 'expectations': return tracker.expectations().map(each => this.#announced(each))
      case 'setSysctl': return tracker.setSysctl(request.name, request.value)
    }
  }

  #made(): Tracker {
    if (this.#tracker) return this.#tracker
    throw new ConntrackError('invalid-argument', 'the tracker could not be made')
  }

  /** Ids of all workers together are told apart: 1, 2, 3 … of the first of two are 1, 3, 5 … of the pool. */
  #number(id: number): number {
    return id === 0 ? 0 : (id - 1) * this.#of + this.#index + 1
  }

  #renumbered(connection: Connection): Connection {
    const { id, master } = connection
    return { ...connection, id: this.#number(id), master: master === null ? null : this.#number(master) }
  }

  /** Packets are numbered by each worker for itself. */
  #announced({ packet: _, ...expectation }: Expectation): PoolExpectation {
    return { ...expectation, id: this.#number(expectation.id), master: this.#number(expectation.master) }
  }

  #trackCopy({ buffer, low, count, bytes }: TrackCopyRequest): void {
    const tracker = this.#made()
    const { batch, rows } = layOut(buffer, count, bytes)
    for (let i = 0; i < count; i++) batch.offset[i] -= low
    for (let from = 0; from < count; from += CHUNK) {
      const part = slice(batch, from, Math.min(count, from + CHUNK))
      copyRows(tracker.trackBatch(part), 0, rows, from, part.count)
    }
  }
}
