/**
 * What a fuzzed tracker is made with and what is done to it, as values that JSON can hold: a sequence of steps can be
 * recorded, shortened and done again.
 */
import {
  createTracker, restoreTracker, VERDICT_ELSEWHERE, type PacketBatch, type Tracker, type TrackerOptions,
} from 'conntrack-wasm'
import { allHelpers } from 'conntrack-wasm/helpers'
import { checkBooks, checkTable, must, text, wrongRow, type Known } from './packet-check.js'

/** A packet of a recorded batch. */
export interface RecordedPacket {
  /** Base64. */
  readonly data: string
  readonly linkType: number
  readonly originalLength: number
  /** As text: it may be NaN. */
  readonly seconds: string
  readonly nanoseconds: number
}

export type Step =
  | { readonly do: 'track'; readonly packets: readonly RecordedPacket[] }
  | { readonly do: 'advance'; readonly time: string }
  | { readonly do: 'delete' | 'connection'; readonly id: number }
  | { readonly do: 'mark'; readonly id: number; readonly mark: number }
  | { readonly do: 'labels'; readonly id: number; readonly labels: readonly number[] }
  | { readonly do: 'sysctl'; readonly name: string; readonly value: number }
  | { readonly do: 'explain' | 'entry'; readonly index: number }
  | { readonly do: 'list' | 'expectations' | 'books' | 'snapshot' | 'purge' }

export interface Setting {
  /** But for helpers, which are no values. */
  readonly options: TrackerOptions
  readonly helpers: boolean
  readonly listens: boolean
}

/** Most entries that are listed or snapshot each time. */
const MANY = 1500

/** A tracker and what it was given. */
export class Subject {
  #tracker: Tracker
  readonly #setting: Setting
  readonly #module: WebAssembly.Module | undefined
  readonly #memory: number
  #known: Known
  #given = 0
  #elsewhere = 0
  #told = { new: 0, destroy: 0 }
  #eventsAlways: boolean
  #last: readonly number[] = []

  constructor(setting: Setting, module: WebAssembly.Module | undefined) {
    this.#setting = setting
    this.#module = module
    const { options, helpers } = setting
    this.#tracker = createTracker({ ...options, ...helpers && { helpers: allHelpers() }, module, onHelperError: rethrow })
    this.#memory = this.#tracker.memoryBytes
    const values = [options.sysctl ?? {}, ...(options.timeouts ?? []).map(({ timeouts }) => timeouts)].flatMap(Object.entries)
    this.#known = {
      noTimeouts: values.some(([name, value]) => /timeout/.test(name) && value === 0),
      drops: helpers || (options.drop ?? []).length > 0 || isDirectional(options),
    }
    this.#eventsAlways = (options.sysctl?.events ?? 2) !== 0
    this.#listen()
  }

  get tracker(): Tracker {
    return this.#tracker
  }

  /** Ids of connections of the last batch. */
  get ids(): readonly number[] {
    return this.#last
  }

  #listen(): void {
    if (!this.#setting.listens) return
    this.#tracker.on('new', () => { this.#told.new++ })
    this.#tracker.on('destroy', () => { this.#told.destroy++ })
    this.#tracker.on('expectation-new', ({ expectation }) => must(expectation.id > 0, 'an expectation without an id'))
  }

  /** @throws where something is wrong */
  track(batch: PacketBatch): void {
    const verdicts = this.#tracker.trackBatch(batch)
    must(verdicts.count === batch.count, 'there are not as many verdicts as packets')
    for (let i = 0; i < batch.count; i++) {
      const wrong = wrongRow(verdicts, i, batch, this.#known)
      if (wrong) throw new Error(`packet ${this.#given + i + 1}: ${wrong}`)
      if (verdicts.flags[i] & VERDICT_ELSEWHERE) this.#elsewhere++
    }
    this.#given += batch.count
    this.#last = Array.from(verdicts.connection.subarray(Math.max(0, batch.count - 4), batch.count)).filter(id => id > 0)
  }

  /** @throws where something is wrong */
  do(step: Step): void {
    const tracker = this.#tracker
    switch (step.do) {
      case 'track': return this.track(batchOf(step.packets))
      case 'advance': return tracker.advance(BigInt(step.time))
      case 'delete': return this.#delete(step.id)
      case 'connection': return this.#connection(step.id)
      case 'mark': return this.#mark(step.id, step.mark)
      case 'labels': return this.#labels(step.id, step.labels)
      case 'sysctl': return this.#sysctl(step.name, step.value)
      case 'explain': return this.#explain(step.index)
      case 'entry': return void tracker.entry(step.index)
      case 'list': return this.#list()
      case 'expectations': return this.#expectations()
      case 'books': return this.books()
      case 'snapshot': return this.#snapshot()
      case 'purge': return this.#purge()
    }
  }

  books(): void {
    checkBooks(this.#tracker, this.#given, this.#elsewhere)
    must(this.#tracker.memoryBytes === this.#memory, 'memory has grown')
    const { entries } = this.#tracker.statistics()
    if (!this.#setting.listens || !this.#eventsAlways) return
    must(entries === this.#told.new - this.#told.destroy, `${entries} entries, but told of ${JSON.stringify(this.#told)}`)
  }

  /** Books and table, whatever its size. */
  end(): void {
    this.books()
    checkTable(this.#tracker, isDirectional(this.#setting.options))
    this.#tracker.close()
  }

  #delete(id: number): void {
    const there = this.#tracker.connection(id) !== null
    must(this.#tracker.delete(id) === there, `connection ${id} was ${there ? '' : 'not '}there, but delete said otherwise`)
    must(this.#tracker.connection(id) === null, `connection ${id} is there though it was deleted`)
  }

  #connection(id: number): void {
    const connection = this.#tracker.connection(id)
    must(connection === null || connection.id === id, `asked for connection ${id}, got another`)
  }

  #mark(id: number, mark: number): void {
    if (this.#tracker.setMark(id, mark)) must(this.#tracker.connection(id)?.mark === mark, `connection ${id} has another mark`)
  }

  #labels(id: number, labels: readonly number[]): void {
    if (!this.#tracker.setLabels(id, labels)) return
    must(this.#tracker.connection(id)?.labels?.join() === labels.join(), `connection ${id} has other labels`)
  }

  #sysctl(name: string, value: number): void {
    this.#tracker.setSysctl(name, value)
    must(this.#tracker.sysctl(name) === value, `sysctl ${name} is not what it was set to`)
    if (/timeout/.test(name) && value === 0) this.#known = { ...this.#known, noTimeouts: true }
    if (name === 'events') this.#eventsAlways = false
  }

  #explain(index: number): void {
    const number = this.#given - index
    const { text, verdict } = this.#tracker.explain(number)
    must(text.length > 0 && verdict.packet === number, 'an explanation of nothing')
  }

  #list(): void {
    if (this.#tracker.statistics().entries <= MANY) checkTable(this.#tracker, isDirectional(this.#setting.options))
  }

  #expectations(): void {
    for (const { id, timeoutMs, master } of this.#tracker.expectations()) {
      must(id > 0 && timeoutMs >= 0 && master > 0, `expectation ${id} has ${timeoutMs} ms and master ${master}`)
    }
  }

  /** Goes on with a copy, which must be the same. */
  #snapshot(): void {
    if (this.#tracker.statistics().entries > MANY) return
    const snapshot = this.#tracker.snapshot()
    const helpers = this.#setting.helpers ? allHelpers() : undefined
    const restored = restoreTracker(snapshot, { helpers, module: this.#module, onHelperError: rethrow })
    must(Buffer.compare(restored.snapshot(), snapshot) === 0, 'a restored tracker gives another snapshot')
    must(JSON.stringify(restored.statistics(), text) === JSON.stringify(this.#tracker.statistics(), text), 'other statistics')
    this.#tracker.close()
    this.#tracker = restored
    this.#listen()
  }

  /** All connections are deleted, one by one. */
  #purge(): void {
    if (this.#tracker.statistics().entries > MANY) return
    for (const { id } of this.#tracker.connections()) must(this.#tracker.delete(id), `connection ${id} is listed, but not there`)
    must(this.#tracker.statistics().entries === 0, 'entries are left though all connections were deleted')
  }
}

/** Zones of one direction let connections clash: the later one is dropped when it is to be confirmed. */
function isDirectional({ zone }: TrackerOptions): boolean {
  return typeof zone === 'object' && zone.some(({ direction = 'both' }) => direction !== 'both')
}

function rethrow(error: unknown, helper: string): never {
  throw new Error(`helper ${helper} threw`, { cause: error })
}

/** What a batch holds, copied. */
export function recorded(batch: PacketBatch): RecordedPacket[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    data: Buffer.from(batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i])).toString('base64'),
    linkType: batch.linkType[i], originalLength: batch.originalLength[i],
    seconds: String(batch.seconds[i]), nanoseconds: batch.nanoseconds[i],
  }))
}

function batchOf(packets: readonly RecordedPacket[]): PacketBatch {
  const bytes = packets.map(({ data }) => Buffer.from(data, 'base64'))
  let at = 0
  const offset = Uint32Array.from(bytes, ({ length }) => (at += length) - length)
  return {
    count: packets.length, data: Uint8Array.from(Buffer.concat(bytes)), offset,
    length: Uint32Array.from(bytes, ({ length }) => length),
    originalLength: Uint32Array.from(packets, packet => packet.originalLength),
    seconds: Float64Array.from(packets, ({ seconds }) => Number(seconds)),
    nanoseconds: Uint32Array.from(packets, ({ nanoseconds }) => nanoseconds),
    linkType: Uint16Array.from(packets, ({ linkType }) => linkType),
  }
}
