/** `recent`: lists of addresses and when they were seen (iptables-extensions(8)). */
import { not, plain, type Holds, type MatchModule, type ReadOption } from '../match.js'
import type { RulePacket } from '../packet.js'
import type { Arguments } from '../text.js'
import { addressText, prefixMask, readAddress, readNumber, shown } from '../values.js'

/** Addresses that a list remembers, and hits that can be asked for (`ip_list_tot`, the most that `--hitcount` takes). */
const MOST_ADDRESSES = 100
const MOST_HITS = 65535
const MOST_NAME = 199

interface Seen {
  ttl: number
  /** Nanoseconds; a ring. */
  readonly stamps: bigint[]
  next: number
}

/** A list, which all rules with its name share, and with it the mask of the first of them: so has Linux. */
export class RecentList {
  /** Oldest first. */
  readonly seen = new Map<string, Seen>()
  /** How many times are kept of an address: a power of two that holds the most hits that a rule asks for. */
  places = 1

  constructor(readonly mask: Uint8Array) {}

  find(address: string, ttl: number | null): Seen | null {
    const seen = this.seen.get(address)
    return seen === undefined || (ttl !== null && seen.ttl !== ttl) ? null : seen
  }

  add(address: string, ttl: number, time: bigint): void {
    if (!this.seen.has(address) && this.seen.size >= MOST_ADDRESSES) this.seen.delete(this.seen.keys().next().value!)
    this.seen.set(address, { ttl, stamps: [time], next: 1 })
  }

  update(address: string, seen: Seen, ttl: number, time: bigint): void {
    seen.next %= this.places
    seen.stamps[seen.next++] = time
    seen.ttl = ttl
    this.seen.delete(address)
    this.seen.set(address, seen)
  }

  /** Forgets the address that was not seen for longest, if that was before `time`. */
  reap(time: bigint): void {
    const oldest = this.seen.entries().next().value
    if (oldest !== undefined && oldest[1].stamps[oldest[1].next - 1] < time) this.seen.delete(oldest[0])
  }
}

type Command = 'set' | 'rcheck' | 'update' | 'remove'
const LABELS: Readonly<Record<Command, string>> = { set: 'SET', rcheck: 'CHECK', update: 'UPDATE', remove: 'REMOVE' }

interface Recent {
  command: Command
  negated: boolean
  seconds: number
  hits: number
  ttl: boolean
  reap: boolean
  name: string
  side: 'source' | 'dest'
  mask: Uint8Array
}

export const recent: MatchModule = rule => {
  const mask = prefixMask(rule.family === 4 ? 32 : 128, rule.family)
  const test: Recent = { command: 'set', negated: false, seconds: 0, hits: 0, ttl: false, reap: false, name: 'DEFAULT', side: 'source', mask }
  let chosen = false
  const command = (name: Command): ReadOption => (args, negated) => {
    if (chosen) throw args.error('recent has one of --set, --rcheck, --update and --remove')
    chosen = true
    test.command = name
    test.negated = negated
  }
  return {
    options: {
      '--set': command('set'), '--rcheck': command('rcheck'), '--update': command('update'), '--remove': command('remove'),
      '--seconds': plain(args => { test.seconds = atLeastOne(args, 0xffffffff) }),
      '--hitcount': plain(args => { test.hits = readNumber(args, MOST_HITS, 'hitcount') }),
      '--rttl': plain(() => { test.ttl = true }),
      '--reap': plain(() => { test.reap = true }),
      '--name': plain(args => { test.name = listName(args) }),
      '--rsource': plain(() => { test.side = 'source' }),
      '--rdest': plain(() => { test.side = 'dest' }),
      '--mask': plain(args => { test.mask = readAddress(args, rule.family) }),
    },
    finish: args => {
      if (!chosen) throw args.error('recent: --set, --rcheck, --update or --remove is missing')
      const asks = test.command === 'rcheck' || test.command === 'update'
      if (!asks && (test.seconds || test.hits || test.ttl)) throw args.error('recent: --seconds, --hitcount and --rttl go with --rcheck or --update')
      if (test.reap && !test.seconds) throw args.error('recent: --reap needs --seconds')
      return { name: 'recent', listing: recentListing(test), prepare: ({ recent: lists }) => recentHolds(test, listOf(lists, rule.family, test)) }
    },
  }
}

function atLeastOne(args: Arguments, most: number): number {
  const value = readNumber(args, most, args.current.text.slice(2))
  if (value === 0) throw args.error('at least 1')
  return value
}

function listName(args: Arguments): string {
  const name = args.value().slice(0, MOST_NAME)
  if (name === '' || name === '.' || name === '..' || name.includes('/')) throw args.error(`'${shown(name)}' is no name of a list`)
  return name
}

function recentListing(test: Recent): string {
  return [
    `${not(test.negated)}recent: ${LABELS[test.command]}`,
    ...(test.seconds ? [`seconds: ${test.seconds | 0}`] : []), ...(test.reap ? ['reap'] : []),
    ...(test.hits ? [`hit_count: ${test.hits}`] : []), ...(test.ttl ? ['TTL-Match'] : []),
    `name: ${test.name} side: ${test.side} mask: ${addressText(test.mask)}`,
  ].join(' ')
}

function listOf(lists: Map<string, RecentList>, family: 4 | 6, { name, hits, mask }: Recent): RecentList {
  const key = `${family} ${name}`
  let list = lists.get(key)
  if (list === undefined) lists.set(key, list = new RecentList(mask))
  while (list.places <= hits) list.places *= 2
  return list
}

function recentHolds(test: Recent, list: RecentList): Holds {
  const { command, negated, side } = test
  const { mask } = list
  return packet => {
    const at = packet.addresses + (side === 'dest' ? mask.length : 0)
    const address = mask.map((bits, i) => packet.data[at + i] & bits).join('.')
    const ttl = packet.ttl + (packet.forwarded ? 1 : 0) // as it was before forwarding
    const seen = list.find(address, test.ttl ? ttl : null)
    if (seen === null) {
      if (command === 'set') list.add(address, ttl, packet.time)
      return (command === 'set') !== negated
    }
    const held = command === 'set' || command === 'remove' || isRecent(test, seen, packet)
    if (command === 'remove') list.seen.delete(address)
    if (test.reap) list.reap(packet.time - BigInt(test.seconds) * 1_000_000_000n)
    if (command === 'set' || (command === 'update' && held !== negated)) list.update(address, seen, ttl, packet.time)
    return held !== negated
  }
}

/** It was seen as often as asked for, in the time asked for. */
function isRecent({ seconds, hits }: Recent, { stamps }: Seen, { time }: RulePacket): boolean {
  const from = time - BigInt(seconds) * 1_000_000_000n
  const counted = seconds === 0 ? stamps.length : stamps.filter(stamp => stamp >= from).length
  return counted >= Math.max(1, hits)
}
