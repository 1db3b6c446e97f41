/**
 * What is to be done, in the order in which it was asked for, in memory that all workers look at: batches, and calls, which
 * come as messages of their own. A worker goes on as long as there is something; then it sleeps, and is woken by a message.
 */

/** Batches and calls that may be under way at a time. */
export const ENTRIES = 8

// Words at the beginning, the last of them one for each worker.
const PUSHED = 0
const TOLD = 1
const SLEEPING = 2
const FIRST_ENTRY = 272
const ENTRY_WORDS = 16

/** Words of an entry. The last three are about finding out whose packets are (see share.ts). */
const Word = { kind: 0, place: 1, sheet: 2, count: 3, zero: 4, tracked: 5, finished: 6, begun: 7, done: 8, unordered: 9 } as const
const [BATCH, CALL] = [0, 1]

export const RING_SIZE = (FIRST_ENTRY + ENTRIES * ENTRY_WORDS) * 4

/** A batch: numbers of its place and sheet, how many packets, and the address of what has offset 0. */
export interface Task {
  readonly place: number
  readonly sheet: number
  readonly count: number
  readonly zero: number
}

export class Ring {
  readonly #words: Int32Array

  constructor(buffer: ArrayBufferLike, at: number) {
    this.#words = new Int32Array(buffer, at, RING_SIZE / 4)
  }

  /** The pool asks for a batch, at most `ENTRIES` at a time. @returns its number */
  push({ place, sheet, count, zero }: Task): number {
    return this.#push(BATCH, place, sheet, count, zero)
  }

  /** The pool is about to send each worker a message, which is to be answered in turn. */
  pushCall(): void {
    this.#push(CALL, 0, 0, 0, 0)
  }

  #push(...values: number[]): number {
    const number = this.#words[PUSHED]
    const words = this.#words.subarray(entry(number), entry(number) + ENTRY_WORDS)
    words.fill(0)
    words.set(values)
    Atomics.store(this.#words, PUSHED, number + 1 | 0)
    return number
  }

  /** Whether a worker sleeps; it does not any more for whoever asks next. */
  rouse(worker: number): boolean {
    return Atomics.exchange(this.#words, SLEEPING + worker, 0) === 1
  }

  /** A worker has nothing to do. @returns whether that is so still, after `next` entries */
  sleep(worker: number, next: number): boolean {
    Atomics.store(this.#words, SLEEPING + worker, 1)
    return Atomics.load(this.#words, PUSHED) === next
  }

  /** What a worker has to do after `next` entries: a batch, a call, or nothing yet. */
  at(next: number): Task | 'call' | null {
    const words = this.#words
    if (Atomics.load(words, PUSHED) === next) return null
    const from = entry(next)
    if (words[from + Word.kind] === CALL) return 'call'
    return {
      place: words[from + Word.place], sheet: words[from + Word.sheet], count: words[from + Word.count],
      zero: words[from + Word.zero] >>> 0,
    }
  }

  /** Where the workers of entry `number` agree. */
  agreement(number: number): Int32Array {
    const from = entry(number)
    return this.#words.subarray(from + Word.begun, from + Word.unordered + 1)
  }

  /** A worker has tracked its share. @returns whether it is the last one, which is to finish the batch */
  isLast(number: number, workers: number): boolean {
    return Atomics.add(this.#words, entry(number) + Word.tracked, 1) === workers - 1
  }

  /** A batch is finished. @returns whether the pool must be told */
  finish(number: number): boolean {
    Atomics.store(this.#words, entry(number) + Word.finished, 1)
    return Atomics.exchange(this.#words, TOLD, 1) === 0
  }

  /** The pool was told: it looks itself from now on what is finished, until it is told again. */
  listen(): void {
    Atomics.store(this.#words, TOLD, 0)
  }

  isFinished(number: number): boolean {
    return Atomics.load(this.#words, entry(number) + Word.finished) === 1
  }
}

function entry(number: number): number {
  return FIRST_ENTRY + (number & (ENTRIES - 1)) * ENTRY_WORDS
}
