/**
 * `fuzz:api`: calls that nobody means: wrong types, values out of range, buffers that were given away, calls from within
 * listeners and helpers, and after the end. What comes back is a value or a ConntrackError with a code that is
 * documented, never another error; and the tracker goes on as if nothing had been asked.
 */
import {
  ConntrackError, createTracker, packetBatch, restoreTracker, type PacketBatch, type Tracker, type TrackerOptions,
} from 'conntrack-wasm'
import { readCapture } from 'conntrack-wasm/capture'
import { ftp } from 'conntrack-wasm/helpers'
import { tcp, udp } from '../support/build.js'
import type { Random } from '../support/random.js'
import { minimise } from '../support/reduce.js'
import { NAMES, valueOf, type ValueName } from './api-values.js'
import { Finding, type Fuzzer } from './command.js'
import { must } from './packet-check.js'

/** Codes of README and `ConntrackErrorCode` that calls of this process can have. */
const CODES: readonly string[] = [
  'invalid-argument', 'unknown-sysctl', 'sysctl-range', 'batch-too-large', 'closed', 're-entrant', 'events-lost',
  'not-remembered', 'bad-snapshot', 'wrong-core', 'not-a-capture', 'capture-damaged',
]
const CALLS_OF_A_TRACKER = 24

/** A call and its arguments: values by name, or objects of such. */
type Argument = ValueName | { readonly [field: string]: ValueName }
interface Call {
  readonly call: string
  readonly args: readonly Argument[]
  /** From where. */
  readonly from: 'outside' | 'listener' | 'helper'
}

const BATCH = ['count', 'data', 'offset', 'length', 'originalLength', 'seconds', 'nanoseconds', 'linkType']
const OPTIONS = [
  'maxConnections', 'hashSeed', 'sysctl', 'notrack', 'drop', 'zone', 'timeouts', 'helpers', 'onHelperError', 'shard', 'labels',
  'history', 'checksum', 'batchSize', 'explain', 'module', 'nothing',
]
const TUPLE = ['protocol', 'src', 'dst', 'sport', 'dport', 'type', 'code', 'id', 'dstKey', 'zone']
const MATCH = ['protocol', 'src', 'dst', 'sport', 'dport', 'dscp', 'vlan', 'id', 'direction', 'timeouts']

/** What there is to call: its arguments, as a value or as an object with these fields. */
const CALLS: Readonly<Record<string, readonly ('value' | readonly string[])[]>> = {
  track: ['value', ['time', 'linkType', 'originalLength']], trackBatch: [BATCH], connection: ['value'], find: [TUPLE], delete: ['value'],
  setMark: ['value', 'value'], setLabels: ['value', 'value'], entry: ['value'], explain: ['value'], advance: ['value'], sysctl: ['value'],
  setSysctl: ['value', 'value'], on: ['value', 'value'], events: [['capacity']], snapshot: [], statistics: [], expectations: [],
  connections: [], close: [], create: [OPTIONS], match: [MATCH], restore: ['value', ['module', 'helpers', 'onHelperError', 'labels']],
  restoreOwn: [['module', 'helpers', 'onHelperError']], packetBatch: [['data', 'time', 'linkType', 'originalLength']],
  packetBatchOf: ['value'], readCapture: ['value', ['batchSize']],
}
/** Seldom, or nothing else would be seen. */
const SELDOM = ['close', 'create']

function drawCall(random: Random): Call {
  const call = random.pick(Object.keys(CALLS))
  if (SELDOM.includes(call) && !random.chance(6)) return drawCall(random)
  const from = random.chance(6) ? random.pick(['listener', 'helper'] as const) : 'outside'
  return { call, from, args: CALLS[call].map(kind => drawArgument(random, kind)) }
}

function drawArgument(random: Random, kind: 'value' | readonly string[]): Argument {
  if (kind === 'value' || random.chance(8)) return random.pick(NAMES)
  const fields = kind.filter(() => random.chance(kind.length > 4 ? 4 : 2))
  return Object.fromEntries(fields.map(field => [field, random.pick(NAMES)]))
}

/** A batch that is right; fields that a call has are put in their place. */
function goodBatch(): PacketBatch {
  return packetBatch([{ data: udp({ src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }) }])
}

const GOOD_TUPLE = { protocol: 'udp', src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }

function argument(arg: Argument | undefined, good: object = {}): never {
  if (typeof arg === 'string') return valueOf(arg) as never
  const fields = Object.entries(arg ?? {}).map(([field, name]) => [field, valueOf(name)])
  return { ...good, ...Object.fromEntries(fields) as object } as never
}

/** Tables that the call asks for are not made so large that it is the machine that gives up. */
function optionsOf(arg: Argument): TrackerOptions {
  const options = argument(arg) as TrackerOptions
  return typeof options === 'object' && options !== null && options.batchSize === 65_535 ? { ...options, batchSize: 64 } : options
}

class Session {
  readonly tracker: Tracker
  #closed = false
  /** To be called by a listener, or by a helper. */
  #pending: Call | null = null
  readonly #module: WebAssembly.Module | undefined
  #thrown: unknown = null

  constructor(module: WebAssembly.Module | undefined) {
    this.#module = module
    const helper = { ...ftp(), inspect: () => this.#within('helper') }
    this.tracker = createTracker({ maxConnections: 16, hashSeed: 1, labels: true, explain: true, helpers: [helper as never], module })
    this.tracker.on('new', () => { this.#within('listener') })
    this.tracker.on('destroy', () => { this.#within('listener') })
  }

  #within(where: string): void {
    const call = this.#pending
    if (call?.from !== where) return
    this.#pending = null
    try {
      this.#checked(call)
    } catch (error) {
      this.#thrown ??= error
    }
  }

  /** @throws what is no ConntrackError of a documented code */
  async call(call: Call): Promise<void> {
    if (call.from === 'outside') await this.#checked(call)
    else this.#cause(call)
    if (call.call === 'close') this.#closed = true
    this.#goesOn()
  }

  /** A packet that makes the listener, or the helper, call. */
  #cause(call: Call): void {
    this.#pending = call
    this.#thrown = null
    const sport = 2000 + Number(call.args.length)
    const packet = tcp({ src: '10.0.0.1', dst: '10.0.0.9', sport, dport: 21 }, { flags: 'A', seq: 1, ack: 1, payload: 8 })
    if (!this.#closed) this.tracker.track(packet)
    this.#pending = null
    if (this.#thrown) throw this.#thrown
  }

  #checked(call: Call): void | Promise<void> {
    try {
      const result = this.#make(call)
      if (result instanceof Promise) return result.catch(isDocumented)
    } catch (error) {
      isDocumented(error)
    }
  }

  #make({ call, args: [first, second] }: Call): unknown {
    const { tracker } = this
    const module = this.#module
    switch (call) {
      case 'track': return tracker.track(argument(first), argument(second))
      case 'trackBatch': return tracker.trackBatch(argument(first, goodBatch()))
      case 'find': return tracker.find(argument(first, GOOD_TUPLE))
      case 'connections': return [...tracker.connections()]
      case 'events': return tracker.events(argument(first)).return?.()
      case 'create': return createTracker({ ...module && { module }, ...optionsOf(first) }).close()
      case 'match': return createTracker({ module, maxConnections: 1, ...matchOptions(argument(first)) }).close()
      case 'restore': return restoreTracker(argument(first), argument(second)).close()
      case 'restoreOwn': return restoreTracker(tracker.snapshot(), argument(first)).close()
      case 'packetBatch': return packetBatch([argument(first, { data: new Uint8Array(20) })])
      case 'packetBatchOf': return packetBatch(argument(first))
      case 'readCapture': return drain(readCapture(argument(first), argument(second)))
      case 'on': return tracker.on(argument(first), argument(second))()
      default: return (tracker[call as 'advance'] as (...args: unknown[]) => unknown)(
        ...[first, second].filter(arg => arg !== undefined).map(arg => argument(arg)))
    }
  }

  /** A packet gets its verdict all the same. */
  #goesOn(): void {
    if (this.#closed) return
    const { state } = this.tracker.track(udp({ src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }), { time: 1n })
    must(state === 'NEW' || state === 'ESTABLISHED', `the packet after it is ${state}`)
    const { entries, inserts, deletes } = this.tracker.statistics()
    must(entries === inserts - deletes && entries <= 16, `${entries} entries, ${inserts} - ${deletes}`)
  }
}

function matchOptions(match: never): TrackerOptions {
  const { id, direction, timeouts, ...rest } = { ...match as object } as Record<string, never>
  return { notrack: [rest], drop: [rest], zone: [{ id, direction, ...rest } as never], timeouts: [{ timeouts, ...rest } as never] }
}

async function drain(batches: AsyncIterable<PacketBatch>): Promise<void> {
  for await (const batch of batches) must(batch.count > 0, 'an empty batch')
}

function isDocumented(error: unknown): void {
  if (error instanceof ConntrackError && CODES.includes(error.code) && error.message.length > 0) return
  throw error
}

async function failure(calls: readonly Call[], module?: WebAssembly.Module): Promise<unknown> {
  try {
    const session = new Session(module)
    for (const call of calls) await session.call(call)
    return null
  } catch (error) {
    return error ?? new Error('something that is no error was thrown')
  }
}

export const api: Fuzzer = {
  name: 'api',
  unit: 'runs',
  usual: 200_000,

  async round({ random, module, most }) {
    const calls = Array.from({ length: Math.min(most, CALLS_OF_A_TRACKER) }, () => drawCall(random))
    const wrong = await failure(calls, module)
    if (wrong === null) return calls.length
    const few = await minimise(calls, async some => String(await failure(some, module)) === String(wrong))
    throw new Finding(Buffer.from(`${JSON.stringify(few, null, 1)}\n`), 'json', await failure(few, module) ?? wrong)
  },

  async replay(input, module) {
    const wrong = await failure(JSON.parse(Buffer.from(input).toString()) as Call[], module)
    if (wrong) throw wrong
  },
}
