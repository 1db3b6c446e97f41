/**
 * The border's other half, for trackers with helpers: what helpers see of the core and do in it, and the layout of
 * expectations (`assembly/23-expectations.ts`). It comes with helpers (`helpers/host.ts`); `border.ts` does without it.
 */
import type { Core, CoreInside, HelpedMemory } from './border.js'
import { ipv4Text, ipv6Text } from './format/address.js'
import type { Added, HelpedConnection, StandingExpectation } from './helpers/helper.js'
import { PROTOCOL_NUMBERS, STATUS_BITS } from './names.js'
import type { Expectation } from './types.js'

const GRE = PROTOCOL_NUMBERS.gre
export const HELPED_SIZE = 16
const EXPECTATION_SIZE = 104
/** Heads of the lists of expectations, and pairs of GRE keys. */
const EXPECTATION_INDEX_SIZE = 1024 * 4
const GRE_PAIRS_SIZE = 64 * 48
/** Where a life (`border.ts`) has the highest slot of expectations. */
const LIFE_HIGHEST_EXPECTATION = 56
/** Bit of a connection's status: it was announced. */
const EXPECTED = 1 << STATUS_BITS.indexOf('EXPECTED')
const WHOLE_MASK = { 4: '255.255.255.255', 6: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' } as const
const NO_MASK = { 4: '0.0.0.0', 6: '::' } as const
const PERMANENT = 1
const INACTIVE = 2
/** What becomes of a new expectation, in the core's order. */
const ADDED: readonly Added[] = ['added', 'already', 'busy', 'full']

/** An expectation as the core takes it: addresses are 16 bytes, IPv4 mapped into IPv6. */
export interface ExpectationRecord {
  readonly family: 4 | 6
  readonly protocol: number
  readonly src: Uint8Array
  readonly srcMask: Uint8Array
  readonly sport: number
  readonly sportMask: number
  readonly dst: Uint8Array
  readonly dport: number
  readonly class: number
  readonly permanent: boolean
  readonly inactive: boolean
  /** Numbers of the helper that makes it and of that which its connection gets, 0 for none. */
  readonly helper: number
  readonly assigns: number
  readonly timeoutNs: bigint
}

/** One core, as helpers need it. */
export class HelperBorder implements HelpedMemory {
  readonly core: Core
  readonly #exports: CoreInside['exports']
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #at: CoreInside['regions']
  readonly #entry: CoreInside['entry']
  readonly #tuple: CoreInside['tuple']

  constructor(core: Core) {
    this.core = core
    const { exports, bytes, view, regions, entry, tuple } = core.inside
    this.#exports = exports
    this.#bytes = bytes
    this.#view = view
    this.#at = regions
    this.#entry = entry
    this.#tuple = tuple
  }

  /** A connection as its helper sees it: no more than that, since every helped connection is asked for it once. */
  helpedConnection(slot: number): HelpedConnection {
    const at = this.#entry(slot)
    const origin = this.#view.getUint8(at + 51)
    const original = this.#tuple(at, origin, false)
    return {
      id: this.core.idOf(slot), family: original.family, protocol: original.protocol, original,
      reply: this.#tuple(at, origin ^ 1, true), expected: (this.#view.getUint16(at + 48, true) & EXPECTED) !== 0,
    }
  }

  zoneOf(slot: number): number {
    return this.#view.getUint16(this.#entry(slot) + 38, true)
  }

  /** The packet that is handed over; the payload is a view of the core's memory. */
  handed(): { payload: Uint8Array; direction: 'original' | 'reply'; state: number; seq: number; slot: number } {
    const exports = this.#exports
    const at = exports.payloadAt() >>> 0
    const flags = exports.handedFlags()
    return {
      payload: this.#bytes.subarray(at, at + (exports.payloadLength() >>> 0)),
      direction: flags & 1 ? 'reply' : 'original',
      state: flags >> 8,
      seq: exports.payloadSeq() >>> 0,
      slot: exports.handedSlot() >>> 0,
    }
  }

  /** Number of the helper of a connection, 0 for none. */
  helperOf(slot: number): number {
    return this.#view.getUint8(this.#at.helped + slot * HELPED_SIZE + 12)
  }

  /** Number of what its helper remembers of it, 0 for nothing yet. */
  helperState(slot: number): number {
    return this.#view.getUint32(this.#at.helped + slot * HELPED_SIZE + 8, true)
  }

  setHelperState(slot: number, number: number): void {
    this.#view.setUint32(this.#at.helped + slot * HELPED_SIZE + 8, number, true)
  }

  setTimeLeft(slot: number, nanoseconds: bigint): void {
    this.#exports.setTimeLeft(slot, nanoseconds)
  }

  /** Adds an expectation for the connection in a slot. */
  addExpectation(master: number, what: ExpectationRecord, skipMaster: boolean, limit: number): Added {
    this.#writeExpectation(what)
    return ADDED[this.#exports.addExpectation(master, skipMaster ? 1 : 0, limit)]
  }

  /** Slot of the expectation that a tuple would match, 0 for none. */
  findExpectation(what: ExpectationRecord, zone: number): number {
    this.#writeExpectation(what)
    return this.#exports.findExpectationOf(zone) >>> 0
  }

  mapGreKeys(master: number, direction: 'original' | 'reply', tuple: ExpectationRecord): boolean {
    this.#writeExpectation(tuple)
    return this.#exports.mapGreKeys(master, direction === 'original' ? 0 : 1) !== 0
  }

  unmapGreKeys(master: number): void {
    this.#exports.unmapGreKeys(master)
  }

  destroyGre(tuple: ExpectationRecord, zone: number): void {
    this.#writeExpectation(tuple)
    this.#exports.destroyGre(zone)
  }

  /** Record 0 is where the core looks for what it is asked for. */
  #writeExpectation(what: ExpectationRecord): void {
    const view = this.#view
    const at = this.#at.expectations
    const address = (bytes: Uint8Array, to: number) => this.#bytes.set(bytes, to)
    this.#bytes.fill(0, at, at + EXPECTATION_SIZE)
    address(what.src, at)
    address(what.srcMask, at + 16)
    address(what.dst, at + 32)
    view.setUint16(at + 48, what.sport, true)
    view.setUint16(at + 50, what.sportMask, true)
    view.setUint16(at + 52, what.dport, true)
    view.setUint8(at + 56, what.protocol)
    view.setUint8(at + 57, what.family)
    view.setUint8(at + 58, what.class)
    view.setUint8(at + 59, (what.permanent ? PERMANENT : 0) | (what.inactive ? INACTIVE : 0))
    view.setUint8(at + 60, what.helper)
    view.setUint8(at + 61, what.assigns)
    view.setBigInt64(at + 64, this.core.now + what.timeoutNs, true)
  }

  /** Slots of the expectations of a connection, newest first. */
  *expectationsOf(slot: number): Iterable<number> {
    for (let at = this.#exports.firstExpectationOf(slot) >>> 0; at; at = this.#view.getUint32(this.#recordAt(at) + 88, true)) yield at
  }

  /** Slots of all expectations, oldest first. */
  expectationSlots(): number[] {
    this.#exports.expireExpectations()
    const id = (slot: number) => this.#view.getUint32(this.#recordAt(slot) + 72, true)
    const slots: number[] = []
    const highest = this.#exports.expectationSlots() >>> 0
    for (let slot = 1; slot <= highest; slot++) if (this.#bytes[this.#recordAt(slot) + 62]) slots.push(slot)
    return slots.sort((a, b) => id(a) - id(b))
  }

  expectationId(slot: number): number {
    return this.#view.getUint32(this.#recordAt(slot) + 72, true)
  }

  expectation(slot: number): Expectation {
    const at = this.#recordAt(slot)
    return this.expectationAt(at, this.#entry(this.#view.getUint32(at + 76, true)), this.core.now)
  }

  /** An expectation as helpers see it: what they ask for often, and less of it than `expectation` has. */
  standing(slot: number): StandingExpectation {
    const view = this.#view
    const at = this.#recordAt(slot)
    const family = view.getUint8(at + 57) === 4 ? 4 : 6
    const text = (from: number) => family === 4 ? ipv4Text(this.#bytes, from + 12) : ipv6Text(this.#bytes, from)
    const srcMask = text(at + 16)
    const flags = view.getUint8(at + 59)
    const assigns = this.core.helperNames[view.getUint8(at + 61) - 1]?.name
    return {
      id: view.getUint32(at + 72, true), master: view.getUint32(at + 92, true),
      madeBy: this.core.helperNames[view.getUint8(at + 60) - 1]?.name ?? '', protocol: view.getUint8(at + 56),
      src: srcMask === NO_MASK[family] ? null : text(at),
      ...(srcMask === NO_MASK[family] || srcMask === WHOLE_MASK[family] ? {} : { srcMask }),
      ...(view.getUint16(at + 50, true) === 0 ? {} : { sport: view.getUint16(at + 48, true) }),
      dst: text(at + 32), dport: view.getUint16(at + 52, true), class: view.getUint8(at + 58),
      timeout: Math.max(0, Math.floor(Number(view.getBigInt64(at + 64, true) - this.core.now) / 1e6)) / 1000,
      permanent: (flags & PERMANENT) !== 0, inactive: (flags & INACTIVE) !== 0,
      ...(assigns === undefined ? {} : { helper: assigns }),
    }
  }

  removeExpectation(slot: number): void {
    this.#exports.removeExpectationAt(slot)
  }

  activateExpectation(slot: number, timeoutNs: bigint): void {
    const at = this.#recordAt(slot)
    this.#bytes[at + 59] &= ~INACTIVE
    this.#view.setBigInt64(at + 64, this.core.now + timeoutNs, true)
  }

  #recordAt(slot: number): number {
    return this.#at.expectations + slot * EXPECTATION_SIZE
  }

  /** @param master where the entry of its master is */
  expectationAt(at: number, master: number, now: bigint): Expectation {
    const view = this.#view
    const protocol = view.getUint8(at + 56)
    const family = view.getUint8(at + 57) === 4 ? 4 : 6
    const text = (from: number) => family === 4 ? ipv4Text(this.#bytes, from + 12) : ipv6Text(this.#bytes, from)
    const [sport, dport] = [view.getUint16(at + 48, true), view.getUint16(at + 52, true)]
    const ports = protocol === GRE ? { srcKey: sport, dstKey: dport } : { sport, dport }
    const maker = this.core.helperNames[view.getUint8(at + 60) - 1]
    const number = view.getUint8(at + 58)
    const flags = view.getUint8(at + 59)
    return {
      id: view.getUint32(at + 72, true),
      tuple: { family, protocol, src: text(at), dst: text(at + 32), ...ports },
      mask: {
        src: text(at + 16), dst: WHOLE_MASK[family],
        sport: view.getUint16(at + 50, true), dport: 0xffff,
      },
      zone: view.getUint16(at + 54, true),
      packet: view.getUint32(at + 96, true),
      timeoutMs: Math.max(0, Math.floor(Number(view.getBigInt64(at + 64, true) - now) / 1e6)),
      master: view.getUint32(at + 92, true),
      masterTuple: this.#tuple(master, view.getUint8(master + 51), false),
      helper: maker?.name ?? '',
      class: number,
      className: maker?.classes[number] ?? '',
      assigns: this.core.helperNames[view.getUint8(at + 61) - 1]?.name ?? null,
      permanent: (flags & PERMANENT) !== 0,
      inactive: (flags & INACTIVE) !== 0,
    }
  }

  save(): Uint8Array[] {
    const { life, expectations, expectationIndex, grePairs } = this.#at
    const highest = this.#view.getUint32(life + LIFE_HIGHEST_EXPECTATION, true)
    return [
      this.#part(expectations + EXPECTATION_SIZE, highest * EXPECTATION_SIZE),
      this.#part(expectationIndex, EXPECTATION_INDEX_SIZE), this.#part(grePairs, GRE_PAIRS_SIZE),
    ]
  }

  #part(at: number, length: number): Uint8Array {
    return this.#bytes.subarray(at, at + length)
  }

  load(parts: readonly Uint8Array[]): boolean {
    const slots = this.#view.getUint32(this.#at.life + LIFE_HIGHEST_EXPECTATION, true)
    if (slots > this.core.maxExpectations) return false
    const places = this.save()
    if (places.length !== parts.length || places.some((place, i) => place.length !== parts[i].length)) return false
    places.forEach((place, i) => place.set(parts[i]))
    return true
  }
}
