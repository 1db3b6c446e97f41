/** A worker's part: its tracker, which packets of a batch are its own, and their rows. Knows nothing of threads. */
import type { PacketBatch } from '../batch.js'
import { ConntrackError } from '../errors.js'
import { standardHelper } from '../helpers/standard.js'
import { VERDICT_ELSEWHERE } from '../names.js'
import { createTracker, type Tracker } from '../tracker.js'
import type { Connection, VerdictBatch } from '../types.js'
import { layOut, type Answer, type CallRequest, type Layout, type MakeRequest, type Request, type Rows, type TrackRequest } from './protocol.js'

/** Packets that the tracker takes at a time; what is more only costs memory. */
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
    if (request.kind === 'make') return this.#make(request)
    if (request.kind === 'track') return this.#track(request)
    return this.#call(request)
  }

  #make({ options, helpers }: MakeRequest): void {
    const { index = 0, of = 1 } = options.shard ?? {}
    this.#index = index
    this.#of = of
    this.#tracker = createTracker({
      ...options, batchSize: CHUNK, helpers: helpers.flatMap(({ name, ports }) => standardHelper(name, ports)),
    })
  }

  #call(request: CallRequest): unknown {
    const tracker = this.#made()
    switch (request.kind) {
      case 'statistics': return tracker.statistics()
      case 'connections': return [...tracker.connections()].map(connection => this.#renumbered(connection))
      case 'expectations': return tracker.expectations().map(each => ({ ...each, master: this.#number(each.master) }))
      case 'advance': return tracker.advance(request.time)
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

  #track({ buffer, count, bytes }: TrackRequest): void {
    const tracker = this.#made()
    const layout = layOut(buffer, count, bytes)
    for (let from = 0; from < count; from += CHUNK) {
      const to = Math.min(count, from + CHUNK)
      this.#write(tracker.trackBatch(part(layout, from, to)), layout.rows, from)
    }
  }

  /** The rows of the worker's own packets; the others' are not touched. */
  #write(verdicts: VerdictBatch, rows: Rows, from: number): void {
    const { count, flags } = verdicts
    for (let i = 0; i < count; i++) {
      if (flags[i] === VERDICT_ELSEWHERE) continue
      const to = from + i
      rows.timeoutNs[to] = verdicts.timeoutNs[i]
      rows.connection[to] = this.#number(verdicts.connection[i])
      rows.networkOffset[to] = verdicts.networkOffset[i]
      rows.transportOffset[to] = verdicts.transportOffset[i]
      rows.state[to] = verdicts.state[i]
      rows.direction[to] = verdicts.direction[i]
      rows.reason[to] = verdicts.reason[i]
      rows.protocolState[to] = verdicts.protocolState[i]
      rows.flags[to] = flags[i]
      rows.protocol[to] = verdicts.protocol[i]
      rows.family[to] = verdicts.family[i]
    }
  }
}

function part({ data, columns }: Layout, from: number, to: number): PacketBatch {
  return {
    count: to - from, data, offset: columns.offset.subarray(from, to), length: columns.length.subarray(from, to),
    originalLength: columns.originalLength.subarray(from, to), seconds: columns.seconds.subarray(from, to),
    nanoseconds: columns.nanoseconds.subarray(from, to), linkType: columns.linkType.subarray(from, to),
  }
}
