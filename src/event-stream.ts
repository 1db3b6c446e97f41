/** Events as an async iteration: what the tracker tells waits here until it is asked for. */
import { ConntrackError } from './errors.js'
import type { ConnectionEvent } from './types.js'

type Step = IteratorResult<ConnectionEvent, undefined>

const DONE: Step = { done: true, value: undefined }

/** Takes events in and gives them out in order; holds so many at most. */
export class EventStream implements AsyncIterableIterator<ConnectionEvent> {
  #waiting: ConnectionEvent[] = []
  /** Events given out of `#waiting`. */
  #read = 0
  #askers: { resolve: (step: Step) => void; reject: (error: ConntrackError) => void }[] = []
  #lost = 0
  #ended = false

  /** @param release called once, when nobody reads any more */
  constructor(readonly capacity: number, readonly release: () => void) {}

  push(event: ConnectionEvent): void {
    if (this.#ended) return
    const asker = this.#askers.shift()
    if (asker) asker.resolve({ done: false, value: event })
    else if (this.#waiting.length - this.#read < this.capacity && this.#lost === 0) this.#waiting.push(event)
    else this.#lost++
  }

  /** No more events come; those that wait can still be read. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    for (const asker of this.#askers) asker.resolve(DONE)
    this.#askers = []
    this.release()
  }

  next(): Promise<Step> {
    if (this.#read < this.#waiting.length) return Promise.resolve({ done: false, value: this.#take() })
    if (this.#lost > 0) return Promise.reject(this.#lostError())
    if (this.#ended) return Promise.resolve(DONE)
    return new Promise((resolve, reject) => this.#askers.push({ resolve, reject }))
  }

  #take(): ConnectionEvent {
    const event = this.#waiting[this.#read++]
    if (this.#read * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#read)
      this.#read = 0
    }
    return event
  }

  /** As a netlink socket that overruns: told once, after what was kept. What comes later is kept again. */
  #lostError(): ConntrackError {
    const lost = this.#lost
    this.#lost = 0
    return new ConntrackError('events-lost', `${lost} events were lost: ${this.capacity} waited to be read already`)
  }

  return(): Promise<Step> {
    this.#waiting = []
    this.#read = 0
    this.end()
    return Promise.resolve(DONE)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
