/** A worker as the pool sees it, and the answers that are awaited from it. */
import { ConntrackError } from '../errors.js'
import type { Answer, CopyRequest, MakeRequest, CallRequest } from './protocol.js'
import { startThread, type Thread, type WebWorker } from './thread.js'

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: ConntrackError) => void
}

interface Listeners {
  /** Batches are finished. */
  readonly told: () => void
  readonly failed: (error: ConntrackError) => void
}

export class Member {
  readonly #waiting = new Map<number, Waiting>()
  readonly #thread: Promise<Thread>
  #failure: ConntrackError | null = null
  #lastId = 0

  constructor(make: (() => WebWorker) | undefined, { told, failed }: Listeners) {
    const fail = (why: string) => failed(new ConntrackError('worker-failed', `a worker of the pool has failed: ${why}`))
    this.#thread = startThread(make, { told, answered: answer => this.#answered(answer), failed: fail })
    this.#thread.catch(error => fail(String(error)))
  }

  /** Asks for something; requests are answered in order. */
  async ask(make: (id: number) => MakeRequest | CopyRequest | CallRequest, transfer: ArrayBuffer[] = []): Promise<unknown> {
    const thread = await this.#thread.catch(() => null)
    if (this.#failure || !thread) throw this.#failure
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      thread.post(make(id), transfer)
    })
  }

  /** There is something in the ring. */
  wake(): void {
    this.#thread.then(thread => thread.post({ kind: 'wake' }), () => {})
  }

  /** Whether the process is to stay for what this worker has to do. */
  hold(on: boolean): void {
    this.#thread.then(thread => thread.hold(on), () => {})
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(new ConntrackError(error.code, error.message))
    else waiting?.resolve(result)
  }

  /** Ends the worker: no answer will come any more. */
  end(error: ConntrackError): void {
    this.#failure ??= error
    for (const { reject } of this.#waiting.values()) reject(this.#failure)
    this.#waiting.clear()
    this.#thread.then(thread => thread.end(), () => {})
  }
}
