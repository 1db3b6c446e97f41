/**
 * `fuzz:snapshot`: snapshots that were changed in their description, their lengths and their parts, with a checksum that is
 * right again. A restore refuses them by the documented error, or gives a tracker that is sound and goes on.
 */
import { ConntrackError, createTracker, restoreTracker, type Tracker } from 'conntrack-wasm'
import { allHelpers } from 'conntrack-wasm/helpers'
import { crc32 } from '../../src/crc32.js'
import { helpedTrace } from '../support/helped-trace.js'
import type { Random } from '../support/random.js'
import { EVERYTHING, mixedTrace, type TimedPacket } from '../support/trace.js'
import { Finding, type Fuzzer } from './command.js'
import { must } from './packet-check.js'

const HEADER = 20
const LENGTH_OF_DESCRIPTION = 16
const VALUES = [0, 1, 2, 7, 12, 60, 64, 255, 256, 65_535, 65_536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]
const AFTER = mixedTrace(6, 60)

function good(seed: number): Uint8Array {
  const helped = seed % 2 === 0
  const tracker = createTracker({ ...EVERYTHING, maxConnections: 40, ...helped && { zone: [], helpers: allHelpers() } })
  feed(tracker, helped ? helpedTrace(seed, 300) : mixedTrace(seed, 300))
  return tracker.snapshot()
}

function feed(tracker: Tracker, packets: readonly TimedPacket[]): void {
  for (const { data, time } of packets) tracker.track(data, { time })
}

function forge(random: Random, snapshot: Uint8Array): Uint8Array {
  const bytes = random.chance(3) ? described(random, snapshot) : snapshot.slice()
  const view = new DataView(bytes.buffer)
  const from = HEADER + view.getUint32(LENGTH_OF_DESCRIPTION, true)
  for (let n = random.below(4); n > 0; n--) {
    const at = random.chance(8) ? random.below(bytes.length - 8) : from + random.below(bytes.length - from - 8)
    if (random.chance(2)) bytes[at] ^= 1 << random.below(8)
    else view.setUint32(at, random.chance(3) ? view.getUint32(at, true) + 1 - random.below(3) : random.pick(VALUES), true)
  }
  const kept = random.chance(12) ? bytes.slice(0, HEADER + 4 + random.below(bytes.length - HEADER - 4)) : bytes
  const end = kept.length - 4
  new DataView(kept.buffer).setUint32(end, crc32(kept.subarray(0, end), 0), true)
  return kept
}

/** With one number of the description another. */
function described(random: Random, snapshot: Uint8Array): Uint8Array {
  const length = new DataView(snapshot.buffer, snapshot.byteOffset).getUint32(LENGTH_OF_DESCRIPTION, true)
  const text = Buffer.from(snapshot.subarray(HEADER, HEADER + length)).toString()
  const numbers = [...text.matchAll(/\d+|true|false|null/g)]
  const { index, 0: old } = random.pick(numbers)
  const value = random.pick(['0', '1', '65536', '-1', '1.5', 'null', '[]', '{}', '"x"', 'true', '1e9'])
  const changed = Buffer.from(text.slice(0, index) + value + text.slice(index + old.length))
  const bytes = Uint8Array.from(Buffer.concat([snapshot.subarray(0, HEADER), changed, snapshot.subarray(HEADER + length)]))
  new DataView(bytes.buffer).setUint32(LENGTH_OF_DESCRIPTION, changed.length, true)
  return bytes
}

function check(bytes: Uint8Array, module?: WebAssembly.Module): void {
  for (const helpers of [undefined, allHelpers()]) {
    const tracker = restored(() => restoreTracker(bytes, { helpers, module, onHelperError: () => {} }))
    if (!tracker) continue
    feed(tracker, AFTER)
    const { entries, maxConnections } = tracker.statistics()
    must(entries <= maxConnections, `${entries} entries in a table of ${maxConnections}`)
    const connections = [...tracker.connections()]
    must(connections.length === tracker.statistics().entries, 'not as many are listed as are counted')
    tracker.expectations()
    restoreTracker(tracker.snapshot(), { helpers, module }).close()
    tracker.close()
  }
}

function restored(restore: () => Tracker): Tracker | null {
  try {
    return restore()
  } catch (error) {
    if (error instanceof ConntrackError && ['bad-snapshot', 'invalid-argument'].includes(error.code)) return null
    throw error
  }
}

let of: { readonly seed: number; readonly bytes: Uint8Array } | null = null

export const snapshot: Fuzzer = {
  name: 'snapshot',
  unit: 'runs',
  usual: 20_000,

  round({ random, number, module }) {
    const seed = number >> 6
    if (of?.seed !== seed) of = { seed, bytes: good(seed) }
    const forged = forge(random, of.bytes)
    try {
      check(forged, module)
    } catch (error) {
      throw new Finding(forged, 'bin', error)
    }
    return 1
  },

  replay: (input, module) => check(Uint8Array.from(input), module),
}
