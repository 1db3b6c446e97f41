/**
 * Where the core and the helpers meet. The core runs through packets by itself and hands over those of connections with
 * a helper; this shows them to the helper, does what the helper asks of the table, and says whether to drop the packet.
 *
 * A helper that throws harms nobody: its packet is accepted, the error counted, and reported the first time.
 */
import type { Core } from './border.js'
import { ConntrackError, shown } from './errors.js'
import { HelperBorder, type ExpectationRecord } from './helper-border.js'
import type {
  Added, GreTuple, HelpedConnection, Helper, HelperPacket, HelperTable, NewExpectation, StandingExpectation,
} from './helpers/helper.js'
import type { HelperMemory, RunningHelpers } from './helpers/host.js'
import { addressBytes } from './match.js'
import { PROTOCOL_NUMBERS, STATES } from './names.js'
import type { Expectation } from './types.js'

/** What is known of a connection between two of its packets. */
interface Remembered {
  readonly number: number
  readonly connection: HelpedConnection
  readonly state: unknown
}

const ALL_ONES = new Uint8Array(16).fill(255)
const NO_ADDRESS = new Uint8Array(16)
const GRE = PROTOCOL_NUMBERS.gre
/** Seconds that 32 bits of Linux's ticks can hold, which is what SIP's may come to. */
const LONGEST_TIMEOUT = 17_179_869

export class HelperHost implements RunningHelpers {
  /** All helpers, those that only expectations assign included. A helper's number is its place here and one. */
  readonly helpers: readonly Helper[]
  readonly #border: HelperBorder
  readonly #report: (error: unknown, helper: string) => void
  readonly #errors = new Map<string, number>()
  /** By slot. One whose number is not that of the slot is of a connection that is over. */
  readonly #remembered = new Map<number, Remembered>()
  #lastNumber = 0
  #inspecting = false

  constructor(core: Core, helpers: readonly Helper[], report: (error: unknown, helper: string) => void) {
    this.helpers = helpers
    this.#border = new HelperBorder(core)
    this.#report = report
    core.helperNames = helpers.map(({ name, classes }) => ({ name, classes: classes.map(each => each.name) }))
    core.inspect = () => this.#inspect()
    core.helped = this.#border
  }

  /** A helper is looking at a packet, and must not call the tracker meanwhile. */
  get inspecting(): boolean {
    return this.#inspecting
  }

  /** Errors that helpers threw, by name. */
  get errors(): Record<string, number> {
    return Object.fromEntries(this.#errors)
  }

  expectations(): Expectation[] {
    return this.#border.expectationSlots().map(slot => this.#border.expectation(slot))
  }

  #inspect(): boolean {
    const { slot, state, payload, direction, seq } = this.#border.handed()
    const helper = this.helpers[this.#border.helperOf(slot) - 1]
    const remembered = this.#recall(slot, helper)
    const packet: HelperPacket = {
      payload, direction, seq, established: STATES[state] === 'ESTABLISHED',
      connection: remembered.connection, state: remembered.state,
    }
    this.#inspecting = true
    try {
      return helper.inspect(packet, new Table(this.#border, this.helpers, helper, slot, remembered.connection)) === 'drop'
    } catch (error) {
      this.#note(error, helper.name)
      return false
    } finally {
      this.#inspecting = false
    }
  }

  #note(error: unknown, name: string): void {
    const errors = this.#errors.get(name) ?? 0
    this.#errors.set(name, errors + 1)
    if (errors === 0) this.#report(error, name)
  }

  #recall(slot: number, helper: Helper): Remembered {
    const known = this.#remembered.get(slot)
    const number = this.#border.helperState(slot)
    if (known && known.number === number) return known
    this.#lastNumber = (this.#lastNumber + 1) >>> 0 || 1 // the core keeps 32 bits of it, and 0 is none
    return this.#begin(slot, helper, this.#lastNumber)
  }

  #begin(slot: number, helper: Helper, number: number): Remembered {
    const remembered = { number, connection: this.#border.helpedConnection(slot), state: this.#freshState(helper) }
    this.#remembered.set(slot, remembered)
    this.#border.setHelperState(slot, number)
    return remembered
  }

  /** What helpers remember of connections that are alive. */
  memory(): HelperMemory {
    const alive = [...this.#remembered].filter(([slot, { number }]) =>
      this.#border.core.idIn(slot) !== 0 && this.#border.helperState(slot) === number)
    return {
      lastNumber: this.#lastNumber,
      errors: this.errors,
      connections: alive.sort(([a], [b]) => a - b).map(([slot, { number, state }]) =>
        state === undefined ? [slot, number] : [slot, number, state]),
    }
  }

  /** Takes over the memory of a snapshot, whose table is in place. Returns whether it is sound. */
  remember(memory: HelperMemory): boolean {
    const { lastNumber, errors, connections } = memory
    if (!isCount(lastNumber) || !Array.isArray(connections)) return false
    for (const [name, n] of Object.entries(errors ?? {})) {
      if (!isCount(n) || !this.helpers.some(helper => helper.name === name)) return false
      this.#errors.set(name, n)
    }
    this.#lastNumber = lastNumber
    return connections.every(each => Array.isArray(each) && this.#restore(each[0], each[1], each[2]))
  }

  #restore(slot: number, number: number, state: unknown): boolean {
    if (!isCount(slot) || slot > this.#border.core.maxConnections || this.#border.core.idIn(slot) === 0) return false
    if (!this.helpers[this.#border.helperOf(slot) - 1] || this.#border.helperState(slot) !== number) return false
    this.#remembered.set(slot, { number, connection: this.#border.helpedConnection(slot), state })
    return true
  }

  #freshState(helper: Helper): unknown {
    try {
      return helper.state?.()
    } catch (error) {
      this.#note(error, helper.name)
      return undefined
    }
  }
}

/** What one helper may do for one connection. */
class Table implements HelperTable {
  constructor(
    readonly border: HelperBorder, readonly helpers: readonly Helper[], readonly helper: Helper, readonly slot: number,
    readonly connection: HelpedConnection,
  ) {}

  expect(expectation: NewExpectation): Added {
    const { class: number = 0, skipMaster = false } = expectation
    const limits = this.helper.classes[number]
    if (!limits) throw new ConntrackError('invalid-argument', `helper ${this.helper.name} has no class ${number}`)
    return this.border.addExpectation(this.slot, this.#record(expectation, limits.timeout), skipMaster, limits.limit)
  }

  #record(expectation: NewExpectation, classTimeout: number): ExpectationRecord {
    const { family } = this.connection
    const { src, srcMask, sport, timeout = classTimeout, helper } = expectation
    return {
      family, protocol: whole('protocol', expectation.protocol, 255),
      src: src === null ? NO_ADDRESS : mapped(src, family),
      srcMask: src === null ? NO_ADDRESS : srcMask === undefined ? ALL_ONES : mask(srcMask, family),
      sport: whole('sport', sport ?? 0, 65535), sportMask: sport === undefined ? 0 : 65535,
      dst: mapped(expectation.dst, family), dport: whole('dport', expectation.dport, 65535),
      class: expectation.class ?? 0, permanent: expectation.permanent ?? false, inactive: expectation.inactive ?? false,
      helper: this.helpers.indexOf(this.helper) + 1,
      assigns: helper === undefined ? 0 : this.#number(helper),
      timeoutNs: nanoseconds(timeout),
    }
  }

  #number(name: string): number {
    const place = this.helpers.findIndex(helper => helper.name === name)
    if (place < 0) throw new ConntrackError('invalid-argument', `an expectation assigns the helper ${name}, which is not there`)
    return place + 1
  }

  own(): StandingExpectation[] {
    return [...this.border.expectationsOf(this.slot)].map(slot => this.#standing(slot)).filter(({ timeout }) => timeout! > 0)
  }

  find(protocol: number, src: string, sport: number, dst: string, dport: number): StandingExpectation | null {
    const record = this.#record({ protocol, src, sport, dst, dport }, 0)
    const slot = this.border.findExpectation(record, this.border.zoneOf(this.slot))
    return slot ? this.#standing(slot) : null
  }

  #standing(slot: number): StandingExpectation {
    return this.border.standing(slot)
  }

  remove(expectation: StandingExpectation): void {
    const slot = this.#slotOf(expectation)
    if (slot) this.border.removeExpectation(slot)
  }

  activate(expectation: StandingExpectation, timeout: number): void {
    const slot = this.#slotOf(expectation)
    if (slot) this.border.activateExpectation(slot, nanoseconds(timeout))
  }

  /** Its slot, 0 where it is over by now. */
  #slotOf({ id }: StandingExpectation): number {
    return [...this.border.expectationsOf(this.slot)].find(slot => this.border.expectationId(slot) === id)
      ?? this.border.expectationSlots().find(slot => this.border.expectationId(slot) === id) ?? 0
  }

  setTimeout(seconds: number): void {
    this.border.setTimeLeft(this.slot, nanoseconds(seconds))
  }

  mapGreKeys(direction: 'original' | 'reply', tuple: GreTuple): boolean {
    return this.border.mapGreKeys(this.slot, direction, this.#gre(tuple))
  }

  unmapGreKeys(): void {
    this.border.unmapGreKeys(this.slot)
  }

  destroyGre(tuple: GreTuple): void {
    this.border.destroyGre(this.#gre(tuple), this.border.zoneOf(this.slot))
  }

  #gre({ src, srcKey, dst, dstKey }: GreTuple): ExpectationRecord {
    return this.#record({ protocol: GRE, src, sport: srcKey, dst, dport: dstKey }, 0)
  }
}

/** The sixteen bytes in which the core keeps an address. */
function mapped(address: string, family: 4 | 6): Uint8Array {
  const ipv4 = mappedIpv4(address)
  const bytes = ipv4 ?? addressBytes(address)
  if (bytes.length !== 16 || (family === 4) !== (ipv4 !== null)) {
    throw new ConntrackError('invalid-argument', `${address} is no IPv${family} address`)
  }
  return bytes
}

/** Four decimal numbers without leading zeros; `null` for any other text. 70 ns where `addressBytes` takes 1,100. */
function mappedIpv4(text: string): Uint8Array | null {
  const bytes = new Uint8Array(16)
  let [at, digits, value] = [12, 0, 0]
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit >= 0 && digit <= 9) {
      if (digits++ > 0 && value === 0) return null
      value = value * 10 + digit
      if (value > 255) return null
    } else {
      if (text[i] !== '.' || digits === 0 || at === 15) return null
      bytes[at++] = value
      digits = value = 0
    }
  }
  if (at !== 15 || digits === 0) return null
  bytes[15] = value
  return bytes.fill(255, 10, 12)
}

/** A netmask likewise; what comes before an IPv4 address must be equal. */
function mask(text: string, family: 4 | 6): Uint8Array {
  const bytes = mapped(text, family)
  if (family === 4) bytes.fill(255, 0, 12)
  return bytes
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function whole(field: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= most) return value
  throw new ConntrackError('invalid-argument', `${field} of an expectation: ${shown(value)} is not a whole number up to ${most}`)
}

function nanoseconds(seconds: number): bigint {
  if (!(seconds >= 0)) throw new ConntrackError('invalid-argument', `a timeout of ${shown(seconds)} seconds`)
  return BigInt(Math.round(Math.min(seconds, LONGEST_TIMEOUT) * 1e9))
}
