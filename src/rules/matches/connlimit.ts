/**
 * `connlimit`: how many connections a host or a network has open (iptables-extensions(8)).
 *
 * A rule keeps a list of tuples for each network and zone; how many are on it is what it counts. A packet adds the tuple
 * of its connection's original direction, or its own if it has no connection, and belongs to the connection of the table
 * that has this tuple, if one has. What is over is not struck off when it ends, but when somebody looks through the list:
 * what belongs to no connection of the table, and what belongs to a TCP connection in TIME_WAIT or CLOSE. Experiments with
 * Linux 6.18 show who looks, and how far:
 *
 * - A packet of an ASSURED connection looks through the whole list, once a clock tick, and adds nothing. Where nothing is
 *   left on the list, Linux drops the packet. Only a list that is new gets its tuple.
 * - Other packets look from the oldest tuple on until they meet their own: what is behind it stays. A look that has struck
 *   off 65 tuples ends there. Who has not met the own tuple adds it at the end, once more if it is there.
 *   A packet that ends its connection has none any more: its tuple is struck off, and added again.
 * - A packet that belongs to no confirmed connection does not look, and adds its tuple at once, where somebody has looked
 *   through the list in the same clock tick and fewer than 64 tuples were added since.
 *
 * Lists that share a bucket of Linux's hash are looked through when one of them is new. Who shares is a matter of chance,
 * and is left out here.
 */
import type { Place } from '../../hooks.js'
import { STATUS_BITS } from '../../names.js'
import { plain, type Holds, type Match, type MatchModule, type ReadOption } from '../match.js'
import type { RulePacket } from '../packet.js'
import { tupleOf, type KnownTuple } from '../tuple.js'
import { prefixMask, readNumber, readPrefixLength } from '../values.js'

const CONFIRMED = 1 << STATUS_BITS.indexOf('CONFIRMED')
const MOST = 0xffffffff
const ASSURED = 1 << STATUS_BITS.indexOf('ASSURED')
/** Struck off in one look for the own tuple. */
const STRUCK_MOST = 65
/** Added without a look. */
const UNSEEN_MOST = 64

type Side = 'src' | 'dst'

export const connlimit: MatchModule = rule => {
  let limit: { most: number; above: boolean } | null = null
  let length = rule.family === 4 ? 32 : 128
  let side: Side | null = null
  const sideOption = (wanted: Side): ReadOption => plain(args => {
    if (side !== null) throw args.error('connlimit has one of --connlimit-saddr and --connlimit-daddr')
    side = wanted
  })
  const limitOption = (above: boolean): ReadOption => (args, negated) => {
    if (limit !== null) throw args.error('connlimit has one of --connlimit-upto and --connlimit-above')
    limit = { most: readNumber(args, MOST, 'connlimit'), above: above !== negated }
  }
  return {
    options: {
      '--connlimit-upto': limitOption(false),
      '--connlimit-above': limitOption(true),
      '--connlimit-mask': plain(args => { length = readPrefixLength(args, rule.family) }),
      '--connlimit-saddr': sideOption('src'),
      '--connlimit-daddr': sideOption('dst'),
    },
    finish: args => {
      if (limit === null) throw args.error('connlimit: --connlimit-upto or --connlimit-above is missing')
      const { most, above } = limit
      const address: Side = side ?? 'src'
      return connlimitMatch(`#conn ${address}/${length} ${above ? '>' : '<='} ${most}`, prefixMask(length, rule.family), address, open => open > most === above)
    },
  }
}

function connlimitMatch(listing: string, mask: Uint8Array, side: Side, fits: (open: number) => boolean): Match {
  const prepare = (): Holds => {
    const lists = new Map<string, OpenList>()
    return packet => {
      const tuple = tupleOf(packet)
      if (tuple === null) return false
      const at = packet.addresses + (side === 'dst' ? mask.length : 0)
      let group = `${packet.connection?.zone ?? 0}`
      for (let i = 0; i < mask.length; i++) group += `.${packet.data[at + i] & mask[i]}`
      const list = lists.get(group)
      if (list === undefined) lists.set(group, new OpenList(tuple, packet))
      const open = list?.count(tuple, packet) ?? 1
      if (open === 0) packet.broken = true
      return open > 0 && fits(open)
    }
  }
  return { name: 'connlimit', listing, prepare }
}

interface Listed extends KnownTuple {
  /** Where its connection was when it was last met. */
  place: Place | null
}

class OpenList {
  #tuples: Listed[]
  /** When somebody last looked through it, or it was made; and how many tuples were left then. */
  #tick: bigint
  #left = 0

  constructor(tuple: KnownTuple, packet: RulePacket) {
    this.#tuples = [{ ...tuple, place: null }]
    this.#tick = packet.tick
  }

  /** Counts a packet in; returns how many are on the list. */
  count(tuple: KnownTuple, packet: RulePacket): number {
    const { tracked, tick } = packet
    const place = tracked === null ? packet.find(tuple) : null
    const status = tracked?.status ?? (place === null ? 0 : packet.statusAt(place))
    if (status & ASSURED) {
      if (tick > this.#tick) this.#strike(tuple, packet)
      return this.#tuples.length
    }
    const looks = status & CONFIRMED || packet.cameBack || tick > this.#tick || this.#tuples.length - this.#left >= UNSEEN_MOST
    if (looks && this.#look(tuple, packet)) return this.#tuples.length
    return this.#tuples.push({ ...tuple, place })
  }

  /** Strikes off what is over. */
  #strike(tuple: KnownTuple, packet: RulePacket): void {
    this.#tuples = this.#tuples.filter(listed => isOpen(listed, tuple, packet))
    this.#lookedThrough(packet)
  }

  /** Strikes off what is over before the packet's own tuple; returns whether it met that. */
  #look(tuple: KnownTuple, packet: RulePacket): boolean {
    const kept: Listed[] = []
    let met = false
    let at = 0
    for (; at < this.#tuples.length && at - kept.length < STRUCK_MOST; at++) {
      const listed = this.#tuples[at]
      met = listed.text === tuple.text && hasConnection(listed, tuple, packet) && isInZone(listed, packet)
      if (met) break
      if (isOpen(listed, tuple, packet)) kept.push(listed)
    }
    this.#tuples = kept.concat(this.#tuples.slice(at))
    if (!met) this.#lookedThrough(packet)
    return met
  }

  #lookedThrough({ tick }: RulePacket): void {
    this.#tick = tick
    this.#left = this.#tuples.length
  }
}

/** The table has a connection with the tuple. The packet's own may still be there, or not yet, when we see the packet. */
function hasConnection(listed: Listed, { text }: KnownTuple, packet: RulePacket): boolean {
  const own = packet.tracked
  if (packet.cameBack && own !== null && listed.text === text) return true
  if (listed.place === null || packet.statusAt(listed.place) === 0) listed.place = packet.find(listed)
  return listed.place !== null && !(own?.isDying && listed.place.id === own.id)
}

/** Its connection has the zone of the tuple in the original direction, though the tuple may be the reply's. */
function isInZone({ place, zones }: Listed, packet: RulePacket): boolean {
  return place === null || packet.zoneAt(place) === zones.original
}

function isOpen(listed: Listed, tuple: KnownTuple, packet: RulePacket): boolean {
  return hasConnection(listed, tuple, packet) && (listed.place === null || !packet.isClosing(listed.place))
}
