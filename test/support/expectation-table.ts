/**
 * The expectations of a namespace as Linux keeps them, written down the plain way, for unit tests of helpers: what may
 * be added beside what (class limits, refresh, ALREADY, BUSY), what a new connection matches, and what goes with whom.
 * One table serves any number of connections; `for` gives each helper its view of it.
 */
import type {
  Added, GreTuple, HelpedConnection, Helper, HelperTable, NewExpectation, StandingExpectation,
} from '../../src/helpers/helper.js'
import { addressBytes } from '../../src/match.js'

/** An expectation with what the table must know of it. */
interface Entry {
  expectation: StandingExpectation
  expires: number
}

/** A source: value and mask, address and port in one. */
interface Source {
  readonly value: Uint8Array
  readonly mask: Uint8Array
}

export class ExpectationTable {
  /** Seconds. */
  now = 0
  /** What `setTimeout` was last called with, by connection. */
  readonly timeouts = new Map<number, number>()
  /** GRE key pairs, by connection. */
  readonly greKeys = new Map<number, Partial<Record<'original' | 'reply', GreTuple>>>()
  /** GRE connections that were to be destroyed. */
  readonly destroyedGre: GreTuple[] = []
  /** All that was ever added, oldest first. */
  readonly added: StandingExpectation[] = []
  /** Newest first. */
  private entries: Entry[] = []
  private lastId = 0

  constructor(private readonly maxExpectations = Infinity) {}

  /** All that stands, newest first. */
  get all(): readonly StandingExpectation[] {
    return this.standing().map(entry => entry.expectation)
  }

  /** The table as a helper of this connection sees it. */
  for(connection: HelpedConnection, helper: Helper): HelperTable {
    return {
      expect: expectation => this.add(expectation, connection.id, helper),
      own: () => this.all.filter(expectation => expectation.master === connection.id),
      find: (protocol, src, sport, dst, dport) => this.lookUp(protocol, src, sport, dst, dport)?.expectation ?? null,
      remove: expectation => this.remove(expectation.id),
      activate: (expectation, timeout) => this.activate(expectation.id, timeout),
      setTimeout: seconds => { this.timeouts.set(connection.id, seconds) },
      mapGreKeys: (direction, tuple) => this.mapGreKeys(connection.id, direction, tuple),
      unmapGreKeys: () => { this.greKeys.delete(connection.id) },
      destroyGre: tuple => this.destroyGre(tuple),
    }
  }

  /** A new connection: the expectation it meets, which is gone afterwards unless it is permanent. */
  match(protocol: number, src: string, sport: number, dst: string, dport: number): StandingExpectation | null {
    const found = this.lookUp(protocol, src, sport, dst, dport)
    if (found && !found.expectation.permanent) this.remove(found.expectation.id)
    return found?.expectation ?? null
  }

  /** The connection is over. */
  removeMaster(id: number): void {
    this.entries = this.entries.filter(entry => entry.expectation.master !== id)
  }

  private standing(): Entry[] {
    return this.entries = this.entries.filter(entry => entry.expires > this.now)
  }

  private add(expectation: NewExpectation, master: number, helper: Helper): Added {
    const added = { class: 0, ...expectation, id: ++this.lastId, master, madeBy: helper.name }
    for (const { expectation: other } of this.standing().filter(entry => sameDestination(entry.expectation, added))) {
      if ((other.master === master || added.skipMaster) && sameSource(other, added)) {
        if (other.class !== added.class || other.master !== master) return 'already'
        this.remove(other.id)
        break
      } else if (overlap(other, added)) {
        return 'busy'
      }
    }
    const { limit, timeout } = helper.classes[added.class]
    const ofClass = this.all.filter(other => other.master === master && other.class === added.class)
    if (ofClass.length >= limit) this.remove(ofClass[ofClass.length - 1].id)
    if (this.entries.length >= this.maxExpectations) return 'full'
    this.added.push(added)
    this.entries.unshift({ expectation: added, expires: this.now + (added.timeout ?? timeout) })
    return 'added'
  }

  private lookUp(protocol: number, src: string, sport: number, dst: string, dport: number): Entry | null {
    const packet = { protocol, src, sport, dst, dport }
    return this.standing().find(({ expectation }) =>
      sameDestination(expectation, packet) && !expectation.inactive && overlap(expectation, packet)) ?? null
  }

  private remove(id: number): void {
    this.entries = this.entries.filter(entry => entry.expectation.id !== id)
  }

  private activate(id: number, timeout: number): void {
    for (const entry of this.entries.filter(one => one.expectation.id === id)) {
      entry.expectation = { ...entry.expectation, inactive: false }
      entry.expires = this.now + timeout
    }
  }

  private mapGreKeys(connection: number, direction: 'original' | 'reply', tuple: GreTuple): boolean {
    const pairs = this.greKeys.get(connection) ?? {}
    const known = pairs[direction]
    if (known) return JSON.stringify(known) === JSON.stringify(tuple)
    this.greKeys.set(connection, { ...pairs, [direction]: tuple })
    return true
  }

  private destroyGre(tuple: GreTuple): void {
    this.destroyedGre.push(tuple)
    const expected = this.lookUp(47, tuple.src, tuple.srcKey, tuple.dst, tuple.dstKey)
    if (expected) this.remove(expected.expectation.id)
  }
}

function sameDestination(a: NewExpectation, b: NewExpectation): boolean {
  return a.protocol === b.protocol && a.dport === b.dport && a.dst === b.dst
}

function sameSource(a: NewExpectation, b: NewExpectation): boolean {
  const [one, other] = [source(a), source(b)]
  return Buffer.compare(one.value, other.value) === 0 && Buffer.compare(one.mask, other.mask) === 0
}

/** Equal under the AND of both masks. */
function overlap(a: NewExpectation, b: NewExpectation): boolean {
  const [one, other] = [source(a), source(b)]
  return one.value.every((byte, i) => ((byte ^ other.value[i]) & one.mask[i] & other.mask[i]) === 0)
}

function source({ src, srcMask, sport, dst }: NewExpectation): Source {
  const size = addressBytes(dst).length
  // As the tracker.
  const mixed = src !== null && addressBytes(src).length !== size
  if (mixed) throw new Error(`${src} and ${dst} are of different IP versions`)
  const address = src === null ? new Uint8Array(size) : addressBytes(src)
  if (address.length !== size) throw new Error(`${src} and ${dst} are not of one IP version`)
  const mask = src === null ? new Uint8Array(size) : srcMask ? addressBytes(srcMask) : new Uint8Array(size).fill(255)
  return {
    value: Uint8Array.of(...address, (sport ?? 0) >> 8, (sport ?? 0) & 255),
    mask: Uint8Array.of(...mask, ...(sport === undefined ? [0, 0] : [255, 255])),
  }
}
