/** The pool's places for batches: those that are free, and who waits for one. */
import { newMemory } from '../border.js'
import { coreBytes } from '../core-module.js'
import { Place, reservePlaces } from './place.js'

/** Batches that are under way at a time: the workers have one each, and the next is there when they are done. */
const PLACES = 8

/** The core for memory that is shared, and that memory. */
export interface SharedCore {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
}

export class Places {
  /** Null where workers have memory of their own. */
  readonly shared: SharedCore | null = shareCore()
  /** Numbers of places. */
  readonly #free = Array.from({ length: PLACES }, (_, i) => i)
  readonly #waiting: ((number: number) => void)[] = []
  /** Of the places in shared memory. */
  readonly addresses: readonly number[] = this.shared ? reservePlaces(this.shared.memory, PLACES) : []
  readonly #places = this.addresses.map(at => new Place(this.shared!.memory.buffer, at))

  /** None where workers have memory of their own. */
  at(number: number): Place | undefined {
    return this.#places[number]
  }

  /** So many batches can be under way at once. */
  has(count: number): boolean {
    return this.#free.length >= count
  }

  /** Calls back with a place: at once if there is one, else when `give` brings one; in the order of calls. */
  take(use: (number: number) => void): void {
    const number = this.#free.pop()
    if (number === undefined) this.#waiting.push(use)
    else use(number)
  }

  give(number: number): void {
    const next = this.#waiting.shift()
    if (next) next(number)
    else this.#free.push(number)
  }
}

/** Null where workers cannot look at the same memory: in pages that are not isolated from other origins. */
function shareCore(): SharedCore | null {
  const { crossOriginIsolated = true } = globalThis as { crossOriginIsolated?: boolean }
  if (typeof SharedArrayBuffer !== 'function' || !crossOriginIsolated) return null
  try {
    return { module: new WebAssembly.Module(withSharedMemory(coreBytes)), memory: newMemory(true) }
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
