/**
 * Standard output: text is collected and leaves in large pieces; who writes waits while the reader is behind.
 *
 * A reader that goes away (`| head`) is not an error: the next flush throws `OutputClosed` and the run ends quietly.
 */
import type { Writable } from 'node:stream'
import { OutputClosed } from './errors.js'

/** Characters collected before they are handed on: a write costs little per line, the text is still in the cache. */
const CHUNK = 1 << 16

export class Output {
  #pending = ''
  #failure: Error | null = null

  constructor(readonly stream: Writable) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#failure ??= error.code === 'EPIPE' ? new OutputClosed('standard output was closed') : error
    })
  }

  /** Adds text, which leaves with the next flush. */
  write(text: string): void {
    this.#pending += text
  }

  /** Enough was collected: call `flush` before writing more. */
  get full(): boolean {
    return this.#pending.length >= CHUNK
  }

  /** Hands on what was collected; done when the stream wants more. Throws what went wrong with the stream. */
  async flush(): Promise<void> {
    this.#check()
    if (this.#pending === '') return
    const text = this.#pending
    this.#pending = ''
    if (!this.stream.write(text)) await this.#drained()
    this.#check()
  }

  /** Hands on what is left and waits until all of it has been written. */
  async end(): Promise<void> {
    this.#check()
    const text = this.#pending
    this.#pending = ''
    // The callback of a write runs once it is done, with the error if there was one.
    await new Promise<void>(resolve => { this.stream.write(text, () => resolve()) })
    this.#check()
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure
  }

  #drained(): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        this.stream.off('drain', done).off('error', done).off('close', done)
        resolve()
      }
      this.stream.once('drain', done).once('error', done).once('close', done)
    })
  }
}
