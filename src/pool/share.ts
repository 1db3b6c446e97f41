/**
 * A worker's share of a batch. First all workers find out whose each packet is, a chunk at a time, whoever comes first: one
 * that is late finds it done. Then each tracks its own packets where they lie. The last one puts all verdicts in order.
 */
import type { Core } from '../border.js'

/** What workers tell each other: chunks that somebody has begun, those that are done, whether a packet is earlier than one before. */
const BEGUN = 0
const DONE = 1
const UNORDERED = 2
/** Packets whose worker is found at a time: some ten microseconds. */
const CHUNK = 1024

/**
 * @param agreement three words that are 0 before the first worker comes
 * @returns the rows that were this worker's, good until the next call, and where their verdicts are
 */
export function trackShare(core: Core, agreement: Int32Array, count: number, zero: number): ReturnType<Core['trackRows']> {
  findShards(core, agreement, count, zero)
  // What others have begun they will soon have done.
  const chunks = Math.ceil(count / CHUNK)
  for (let done = Atomics.load(agreement, DONE); done < chunks; done = Atomics.load(agreement, DONE)) Atomics.wait(agreement, DONE, done)
  return core.trackRows(count, zero, Atomics.load(agreement, UNORDERED) === 0)
}

/** Finds out whose packets are, as many as nobody else has begun with. */
export function findShards(core: Core, agreement: Int32Array, count: number, zero: number): void {
  const chunks = Math.ceil(count / CHUNK)
  for (let chunk = Atomics.add(agreement, BEGUN, 1); chunk < chunks; chunk = Atomics.add(agreement, BEGUN, 1)) {
    const ordered = core.findShards(chunk * CHUNK, Math.min(count, (chunk + 1) * CHUNK), zero)
    if (!ordered) Atomics.store(agreement, UNORDERED, 1)
    if (Atomics.add(agreement, DONE, 1) === chunks - 1) Atomics.notify(agreement, DONE)
  }
}
