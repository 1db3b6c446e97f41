/** The core with memory that all workers of a pool look at. */
import { newMemory } from '../border.js'
import { coreBytes } from '../core-module.js'
import { reserve, type Addresses } from './place.js'
import { ENTRIES, RING_SIZE } from './ring.js'

/** Sheets of verdicts besides those that come with places. */
const KEPT_SHEETS = 16

export interface SharedCore {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  /** Of what there is besides the workers' own regions. */
  readonly addresses: Addresses
}

/** Null where workers cannot look at the same memory: in pages that are not isolated from other origins. */
export function shareCore(): SharedCore | null {
  const { crossOriginIsolated = true } = globalThis as { crossOriginIsolated?: boolean }
  if (typeof SharedArrayBuffer !== 'function' || !crossOriginIsolated) return null
  try {
    const memory = newMemory(true)
    const module = new WebAssembly.Module(withSharedMemory(coreBytes))
    return { module, memory, addresses: reserve(memory, RING_SIZE, ENTRIES, ENTRIES + KEPT_SHEETS) }
  } catch {
    return null // some have no 4 GiB of addresses left for it
  }
}

/** The core's import of its memory: the names `env` and `memory`, what it is, and bounds: both are there (1), shared too (3). */
const IMPORT = '\x03env\x06memory\x02\x01'

function withSharedMemory(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const at = String.fromCharCode(...bytes.subarray(0, 4096)).indexOf(IMPORT)
  if (at < 0) throw new Error('the core does not import its memory')
  const shared = bytes.slice()
  shared[at + IMPORT.length - 1] = 3
  return shared
}
