/**
 * A worker's share of a batch. First all workers find out whose each packet is, a chunk at a time, whoever comes first: one
 * that is late finds it done. Then each tracks its own packets where they lie, and writes their verdicts beside them.
 */
import type { Core } from '../border.js'
import type { Place } from './place.js'

/** Words of a place's header: chunks that somebody has begun, those that are done, and whether a packet is earlier than one before. */
const BEGUN = 0
const DONE = 1
const UNORDERED = 2
/** Packets whose worker is found at a time: some ten microseconds. */
const CHUNK = 1024

/** @returns the rows that were this worker's, good until the next call */
export function trackShare(core: Core, place: Place, count: number, zero: number): Uint32Array {
  const { control } = place
  core.useBatchAt(place.batch)
  findShards(core, control, count, zero)
  return core.trackRows(count, zero, Atomics.load(control, UNORDERED) === 0)
}

function findShards(core: Core, control: Int32Array, count: number, zero: number): void {
  const chunks = Math.ceil(count / CHUNK)
  for (let chunk = Atomics.add(control, BEGUN, 1); chunk < chunks; chunk = Atomics.add(control, BEGUN, 1)) {
    const ordered = core.findShards(chunk * CHUNK, Math.min(count, (chunk + 1) * CHUNK), zero)
    if (!ordered) Atomics.store(control, UNORDERED, 1)
    if (Atomics.add(control, DONE, 1) === chunks - 1) Atomics.notify(control, DONE)
  }
  // What others have begun they will soon have done.
  for (let done = Atomics.load(control, DONE); done < chunks; done = Atomics.load(control, DONE)) Atomics.wait(control, DONE, done)
}
