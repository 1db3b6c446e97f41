/**
 * Standard output: text is collected and leaves in large pieces, bytes leave as they are; who writes waits while the reader
 * is behind.
 *
 * A reader that goes away (`| head`) is not an error: the next flush throws `OutputClosed` and the run ends quietly.
 */
import type { Writable } from 'node:stream'
import { OutputClosed } from './errors.js'

/** Characters collected before they are handed on: a write costs little per line, the text is still in the cache. */
const CHUNK = 1 << 16

export class Output {
  #pending = ''
  #bytes: Uint8Array | null = null
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

  /** Hands on bytes with the next flush, which must come before more is written: they are not copied. */
  writeBytes(bytes: Uint8Array): void {
    this.#bytes = bytes
  }

  /** Enough was collected: call `flush` before writing more. */
  get full(): boolean {
    return this.#bytes !== null || this.#pending.length >= CHUNK
  }

  /** Hands on what was collected; done when the stream wants more. Throws what went wrong with the stream. */
  async flush(): Promise<void> {
    this.#check()
    if (this.#pending !== '') {
      const text = this.#pending
      this.#pending = ''
      if (!this.stream.write(text)) await this.#drained()
    }
    if (this.#bytes !== null) await this.#written(this.#bytes)
    this.#bytes = null
    this.#check()
  }

  /** Hands on what is left and waits until all of it has been written. */
  async end(): Promise<void> {
    await this.flush()
    await this.#written('')
    this.#check()
  }

  /** The callback of a write runs once it is done, with the error if there was one. */
  #written(piece: string | Uint8Array): Promise<void> {
    return new Promise(resolve => { this.stream.write(piece, () => resolve()) })
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
