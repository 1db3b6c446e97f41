/** Matches of the IP header and of what is around it (iptables-extensions(8)). */
import { match, not, plain, type Machine, type Match, type MatchModule, type ReadOption } from '../match.js'
import type { RulePacket } from '../packet.js'
import { rangeTraits } from '../sieve.js'
import type { Arguments } from '../text.js'
import { addressText, bitNames, rangeText, readBits, readNumber, readPaddedAddress, readRange, shown, type Range } from '../values.js'

const MOST_COMMENT = 255

export const comment: MatchModule = () => {
  let text: string | null = null
  return {
    options: { '--comment': plain(args => { text = args.value().slice(0, MOST_COMMENT) }) },
    finish: args => {
      if (text === null) throw args.error('comment: --comment is missing')
      return match('comment', `/* ${text} */`, () => true)
    },
  }
}

/** Of the IP packet, its header included. */
export const length: MatchModule = () => {
  let test: { range: Range; negated: boolean } | null = null
  return {
    options: { '--length': (args, negated) => { test = { range: readRange(args, 65535, 'length'), negated } } },
    finish: args => {
      if (test === null) throw args.error('length: --length is missing')
      const { range: [from, to], negated } = test
      return match('length', `length ${not(negated, '!')}${rangeText([from, to])}`, packet =>
        (packet.length >= from && packet.length <= to) !== negated)
    },
  }
}

export const ttl: MatchModule = () => hops('ttl', 'TTL match TTL')
export const hl: MatchModule = () => hops('hl', 'HL match HL')

function hops(name: string, label: string): ReturnType<MatchModule> {
  let test: { sign: string; value: number } | null = null
  const option = (sign: string): ReadOption => (args, negated) => {
    if (test !== null) throw args.error(`${name} has one of --${name}-eq, --${name}-lt and --${name}-gt`)
    if (negated && sign !== '==') throw args.error(`${args.current.text} cannot be negated`)
    test = { sign: negated ? '!=' : sign, value: readNumber(args, 255, name) }
  }
  return {
    options: { [`--${name}-eq`]: option('=='), [`--${name}`]: option('=='), [`--${name}-lt`]: option('<'), [`--${name}-gt`]: option('>') },
    finish: args => {
      if (test === null) throw args.error(`${name}: --${name}-eq, --${name}-lt or --${name}-gt is missing`)
      const { sign, value } = test
      const compare = { '==': (n: number) => n === value, '!=': (n: number) => n !== value, '<': (n: number) => n < value, '>': (n: number) => n > value }[sign]!
      return match(name, `${label} ${sign} ${value}`, packet => compare(packet.ttl))
    },
  }
}

/** Where the packet did not come by Ethernet there is no address, and neither the match nor its negation holds. */
export const mac: MatchModule = () => {
  let test: { bytes: readonly number[]; negated: boolean } | null = null
  return {
    options: {
      '--mac-source': (args, negated) => {
        const text = args.value()
        if (!/^([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}$/i.test(text)) throw args.error(`'${shown(text)}' is no hardware address`)
        test = { bytes: text.split(':').map(byte => parseInt(byte, 16)), negated }
      },
    },
    finish: (args, { chain }) => {
      if (test === null) throw args.error('mac: --mac-source is missing')
      if (chain === 'OUTPUT' || chain === 'POSTROUTING') throw args.error(`mac cannot be used in ${chain}`)
      const { bytes, negated } = test
      const text = bytes.map(byte => byte.toString(16).padStart(2, '0')).join(':')
      return match('mac', `MAC ${not(negated)}${text}`, packet => {
        const at = packet.sourceHardwareAddress
        return at >= 0 && packet.inInterface !== 'lo' && (compare(packet.data, at, bytes) === 0) !== negated
      })
    },
  }
}

export const iprange: MatchModule = rule => {
  const tests: { readonly side: 'source' | 'destination'; readonly from: Uint8Array; readonly to: Uint8Array; readonly negated: boolean }[] = []
  const option = (side: 'source' | 'destination'): ReadOption => (args, negated) => {
    const [first, last, ...more] = args.value().split('-')
    if (more.length > 0) throw args.error('iprange: a range is two addresses with - between')
    const from = readPaddedAddress(args, rule.family, first)
    const to = last === undefined ? from : readPaddedAddress(args, rule.family, last)
    tests.push({ side, from, to, negated })
  }
  return {
    options: { '--src-range': option('source'), '--dst-range': option('destination') },
    finish: args => {
      if (tests.length === 0) throw args.error('iprange: --src-range or --dst-range is missing')
      const sorted = [...tests].sort((a, b) => a.side === b.side ? 0 : a.side === 'source' ? -1 : 1)
      const listing = sorted.map(({ side, from, to, negated }) => `${side} IP range ${not(negated)}${addressText(from)}-${addressText(to)}`)
      const placed = sorted.map(test => ({ ...test, at: (rule.family === 4 ? 12 : 8) + (test.side === 'source' ? 0 : test.from.length) }))
      return match('iprange', listing.join(' '), packet => {
        for (const { at: offset, from, to, negated } of placed) {
          const at = packet.network + offset
          if ((compare(packet.data, at, from) >= 0 && compare(packet.data, at, to) <= 0) === negated) return false
        }
        return true
      }, placed.flatMap(({ at, from, to, negated }) => negated ? [] : rangeTraits('network', at, from, to)))
    },
  }
}

/** Bytes from `at` on against all of `other`. */
function compare(data: Uint8Array, at: number, other: ArrayLike<number>): number {
  for (let i = 0; i < other.length; i++) if (data[at + i] !== other[i]) return data[at + i] - other[i]
  return 0
}

/** Differentiated services and ECN: of IPv4 a byte of its own. */
function trafficClass(packet: RulePacket): number {
  return packet.family === 4 ? packet.u8(packet.network + 1) : packet.u16(packet.network) >> 4 & 255
}

const DSCP_CLASSES: Readonly<Record<string, number>> = {
  BE: 0, EF: 46, CS0: 0, CS1: 8, CS2: 16, CS3: 24, CS4: 32, CS5: 40, CS6: 48, CS7: 56, AF11: 10, AF12: 12, AF13: 14, AF21: 18,
  AF22: 20, AF23: 22, AF31: 26, AF32: 28, AF33: 30, AF41: 34, AF42: 36, AF43: 38,
}

export const dscp: MatchModule = () => {
  let test: { value: number; negated: boolean } | null = null
  const only = (args: Arguments) => {
    if (test !== null) throw args.error('dscp has one of --dscp and --dscp-class')
  }
  return {
    options: {
      '--dscp': (args, negated) => {
        only(args)
        test = { value: readNumber(args, 63, 'dscp'), negated }
      },
      '--dscp-class': (args, negated) => {
        only(args)
        const name = args.value().toUpperCase()
        if (!Object.hasOwn(DSCP_CLASSES, name)) throw args.error(`'${shown(name)}' is no DSCP class`)
        test = { value: DSCP_CLASSES[name], negated }
      },
    },
    finish: args => {
      if (test === null) throw args.error('dscp: --dscp or --dscp-class is missing')
      const { value, negated } = test
      return match('dscp', `DSCP match ${not(negated, '!')}0x${value.toString(16).padStart(2, '0')}`, packet =>
        (trafficClass(packet) >> 2 === value) !== negated)
    },
  }
}

/** Types of addresses. Linux's table of local addresses has four of IPv4 only. */
const ADDRESS_TYPES = {
  UNSPEC: 1, UNICAST: 2, LOCAL: 4, BROADCAST: 8, ANYCAST: 16, MULTICAST: 32, BLACKHOLE: 64, UNREACHABLE: 128, PROHIBIT: 256, THROW: 512,
  NAT: 1024, XRESOLVE: 2048,
} as const
/** Those that `ip6tables` asks for: others are of routes that IPv6 does not look up. */
const IPV6_TYPES = ADDRESS_TYPES.UNSPEC | ADDRESS_TYPES.UNICAST | ADDRESS_TYPES.LOCAL | ADDRESS_TYPES.ANYCAST | ADDRESS_TYPES.MULTICAST
  | ADDRESS_TYPES.UNREACHABLE

interface AddressTest {
  readonly side: 'src' | 'dst'
  readonly bits: number
  readonly negated: boolean
}

export const addrtype: MatchModule = ({ family, chain }) => {
  const tests: AddressTest[] = []
  /** By which interface the packet must come or go for an address of it to be local. */
  let only: 'in' | 'out' | null = null
  const option = (side: 'src' | 'dst'): ReadOption => (args, negated) => {
    const bits = readBits(args, ADDRESS_TYPES, 'address type')
    if (family === 6 && (bits & ~IPV6_TYPES) !== 0) throw args.error(`addrtype: ${bitNames(bits & ~IPV6_TYPES, ADDRESS_TYPES)} is for IPv4`)
    tests.push({ side, bits, negated })
  }
  const limitOption = (way: 'in' | 'out', refused: readonly string[]): ReadOption => plain(args => {
    if (only !== null) throw args.error('addrtype has one of --limit-iface-in and --limit-iface-out')
    if (refused.includes(chain)) throw args.error(`${args.current.text} cannot be used in ${chain}`)
    only = way
  })
  return {
    options: {
      '--src-type': option('src'), '--dst-type': option('dst'),
      '--limit-iface-in': limitOption('in', ['OUTPUT', 'POSTROUTING']),
      '--limit-iface-out': limitOption('out', ['PREROUTING', 'INPUT']),
    },
    finish: args => {
      if (tests.length === 0) throw args.error('addrtype: --src-type or --dst-type is missing')
      return addrtypeMatch([...tests].sort((a, b) => a.side === b.side ? 0 : a.side === 'src' ? -1 : 1), only)
    },
  }
}

function addrtypeMatch(tests: readonly AddressTest[], only: 'in' | 'out' | null): Match {
  const parts = tests.map(({ side, bits, negated }) => `${side}-type ${not(negated, '!')}${bitNames(bits, ADDRESS_TYPES)}`)
  return {
    name: 'addrtype',
    listing: `ADDRTYPE match ${parts.join(' ')}${only === null ? '' : ` limit-${only}`}`,
    hasEffects: false,
    prepare: machine => packet => tests.every(({ side, bits, negated }) => {
      const at = packet.addresses + (side === 'src' ? 0 : packet.family === 4 ? 4 : 16)
      const local = isLocalThere(machine, packet, at, only)
      // Of IPv6 an address must be of all the types, and what is local is unicast too.
      const isOfTypes = packet.family === 4
        ? ((local ? ADDRESS_TYPES.LOCAL : ipv4Type(packet.data, at)) & bits) !== 0
        : ((ipv6Types(machine, packet.data, at) | (local ? ADDRESS_TYPES.LOCAL : 0)) & bits) === bits
      return isOfTypes !== negated
    }),
  }
}

/** An address of the machine; with `only` one of the interface that the packet comes or goes by, which is that of its network. */
function isLocalThere({ isLocal, interfaceAt }: Machine, { data, family, inInterface, outInterface }: RulePacket, at: number, only: 'in' | 'out' | null): boolean {
  if (!isLocal(data, at, family)) return false
  return only === null || interfaceAt(data, at, family) === (only === 'in' ? inInterface : outInterface)
}

function ipv6Types({ isAnycast }: Machine, data: Uint8Array, at: number): number {
  return (data[at] === 255 ? ADDRESS_TYPES.MULTICAST : ADDRESS_TYPES.UNICAST) | (isAnycast(data, at) ? ADDRESS_TYPES.ANYCAST : 0)
}

function ipv4Type(data: Uint8Array, at: number): number {
  if (data[at] >= 224 && data[at] <= 239) return ADDRESS_TYPES.MULTICAST
  const isBroadcast = [0, 1, 2, 3].every(i => data[at + i] === 255) || [0, 1, 2, 3].every(i => data[at + i] === 0)
  return isBroadcast ? ADDRESS_TYPES.BROADCAST : ADDRESS_TYPES.UNICAST
}

/** A rule that nobody could read, where that is asked for. */
export function never(listing: string): Match {
  return match('unknown', listing, () => false)
}

