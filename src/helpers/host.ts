/**
 * What helpers need comes with them: `defineHelper` gives to each what runs helpers (`helper-host.ts`), a tracker takes it from
 * the first of its helpers, and a tracker without helpers does not carry it.
 */
import type { Core } from '../border.js'
import type { Expectation } from '../types.js'
import type { Helper } from './helper.js'

declare const __VERSION__: string

/**
 * Where a helper has it. What comes along knows the core of its own version of this package, and no other; in all copies
 * of this version it is the same.
 */
export const HOST = Symbol.for(`conntrack-wasm ${__VERSION__} helper host`)

/** A helper as `defineHelper` makes it. */
export interface HostedHelper extends Helper {
  readonly [HOST]: new (core: Core, helpers: readonly Helper[], report: (error: unknown, helper: string) => void) => RunningHelpers
}

/** The helpers of one tracker at work. */
export interface RunningHelpers {
  /** A helper is looking at a packet, and must not call the tracker meanwhile. */
  readonly inspecting: boolean
  /** Errors that helpers threw, by name. */
  readonly errors: Record<string, number>
  /** What connections have announced, oldest first. */
  expectations(): Expectation[]
  /** What helpers remember of connections that are alive. */
  memory(): HelperMemory
  /** Takes over the memory of a snapshot, whose table is in place. Returns whether it is sound. */
  remember(memory: HelperMemory): boolean
}

/** What a snapshot keeps of helpers: JSON values. */
export interface HelperMemory {
  readonly lastNumber: number
  readonly errors: Readonly<Record<string, number>>
  /** Slot, number, and what the helper remembers of the connection, if it does. */
  readonly connections: readonly (readonly [slot: number, number: number, state?: unknown])[]
}
