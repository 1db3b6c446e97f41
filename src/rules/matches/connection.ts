/** Matches of what the tracker knows of a packet: state, tuples, status, marks, counts (iptables-extensions(8)). */
import type { HookConnection } from '../../hooks.js'
import { match, not, plain, type Holds, type MatchModule, type ReadOption } from '../match.js'
import { STATE_BITS, type RulePacket } from '../packet.js'
import type { Trait } from '../sieve.js'
import type { Arguments } from '../text.js'
import {
  bitNames, markText, rangeText, readBits, readConnectionNetwork, readMark, readPorts, readProtocol, readRange, shown, wholeNumber,
  type Masked, type Network,
} from '../values.js'

/** States that NAT makes: no packet has them here. */
const CT_STATES = { ...STATE_BITS, SNAT: 32, DNAT: 64 }
const CT_STATUS = { EXPECTED: 1, SEEN_REPLY: 2, ASSURED: 4, CONFIRMED: 8, NONE: 0 }

interface States {
  readonly bits: number
  readonly negated: boolean
}

function stateHolds({ stateBit }: RulePacket, { bits, negated }: States): boolean {
  return (((stateBit || STATE_BITS.INVALID) & bits) !== 0) !== negated
}

function stateTraits({ bits, negated }: States): Trait[] {
  return [{ place: 'state', fits: bit => ((bit & bits) !== 0) !== negated }]
}

export const state: MatchModule = () => {
  let test: States | null = null
  return {
    options: { '--state': (args, negated) => { test = { bits: readBits(args, STATE_BITS, 'state'), negated } } },
    finish: args => {
      if (test === null) throw args.error('state: --state is missing')
      const states: States = test
      const listing = `${not(states.negated)}state ${bitNames(states.bits, STATE_BITS)}`
      return match('state', listing, packet => stateHolds(packet, states), stateTraits(states))
    },
  }
}

type Direction = 'original' | 'reply'
type Side = 'src' | 'dst'
type Test = (connection: HookConnection, packet: RulePacket) => boolean

const SIDES = [
  ['orig', 'original', 'src'], ['orig', 'original', 'dst'], ['repl', 'reply', 'src'], ['repl', 'reply', 'dst'],
] as const satisfies readonly (readonly [string, Direction, Side])[]

const LONGEST = 0xffffffff

/** `conntrack`, in the order in which it lists and tests its options. */
export const conntrack: MatchModule = rule => {
  const found = new Map<string, { text: string; test: Test | null }>()
  let states: States | null = null
  const add = (name: string, negated: boolean, value: string, test: Test) => {
    found.set(name, { text: `${not(negated)}${name} ${value}`, test: (connection, packet) => test(connection, packet) !== negated })
  }
  const options: Record<string, ReadOption> = {
    '--ctstate': (args, negated) => {
      states = { bits: readBits(args, CT_STATES, 'state'), negated }
      found.set('ctstate', { text: `${not(negated)}ctstate ${bitNames(states.bits, CT_STATES)}`, test: null })
    },
    '--ctproto': (args, negated) => {
      const protocol = readProtocol(args)
      add('ctproto', negated, String(protocol), connection => connection.protocol === protocol)
    },
    '--ctstatus': (args, negated) => {
      const bits = readBits(args, CT_STATUS, 'status')
      add('ctstatus', negated, bits === 0 ? 'NONE' : bitNames(bits, CT_STATUS), connection => (connection.status & bits) !== 0)
    },
    '--ctexpire': (args, negated) => {
      const [from, to] = readRange(args, LONGEST, 'seconds')
      add('ctexpire', negated, rangeText([from, to]), connection => {
        const seconds = Number(connection.timeLeftNs / 1_000_000_000n)
        return seconds >= from && seconds <= to
      })
    },
    '--ctdir': plain(args => {
      const direction = args.value().toUpperCase()
      if (direction !== 'ORIGINAL' && direction !== 'REPLY') throw args.error(`--ctdir: '${shown(direction)}' is neither ORIGINAL nor REPLY`)
      add('ctdir', false, direction, connection => connection.direction === direction.toLowerCase())
    }),
  }
  for (const [word, direction, side] of SIDES) {
    const name = `ct${word}${side}`
    options[`--${name}`] = (args, negated) => {
      const network = readConnectionNetwork(args, rule.family)
      add(name, negated, network.text, (connection, packet) =>
        isIn(packet.data, connection.addressAt(direction, side), connection.family, network))
    }
    options[`--${name}port`] = (args, negated) => {
      const [from, to] = readPorts(args)
      add(`${name}port`, negated, rangeText([from, to]), connection => {
        const port = connection.port(direction, side)
        return port >= from && port <= to
      })
    }
  }
  return {
    options,
    finish: args => {
      if (found.size === 0) throw args.error('conntrack: an option is missing')
      const listed = CONNTRACK_ORDER.filter(name => found.has(name)).map(name => found.get(name)!)
      const holds = conntrackHolds(states, listed.flatMap(({ test }) => test ?? []))
      return match('conntrack', listed.map(({ text }) => text).join(' '), holds, states === null ? [] : stateTraits(states))
    },
  }
}

const CONNTRACK_ORDER = [
  'ctstate', 'ctproto', 'ctorigsrc', 'ctorigdst', 'ctreplsrc', 'ctrepldst', 'ctorigsrcport', 'ctorigdstport', 'ctreplsrcport',
  'ctrepldstport', 'ctstatus', 'ctexpire', 'ctdir',
]

/** Of a packet without a connection only the state is looked at: where it was asked for and fits, Linux asks no further. */
function conntrackHolds(states: States | null, tests: readonly Test[]): Holds {
  return packet => {
    if (states !== null && !stateHolds(packet, states)) return false
    const { connection } = packet
    if (connection === null) return states !== null
    for (let i = 0; i < tests.length; i++) if (!tests[i](connection, packet)) return false
    return true
  }
}

/** The address at `at` (before the data: zeros) is in a network of its family. */
export function isIn(data: Uint8Array, at: number, family: 4 | 6, { address, mask }: Network): boolean {
  if (address.length !== (family === 4 ? 4 : 16)) return false
  for (let i = 0; i < address.length; i++) if (((at < 0 ? 0 : data[at + i]) & mask[i]) !== address[i]) return false
  return true
}

/** Where there is no connection there is no mark, which fits neither a mark nor its negation. */
export const connmark: MatchModule = () => markMatch('connmark', ({ value, mask: bits, negated }) => ({ connection }) =>
  connection !== null && ((connection.mark & bits) >>> 0 === value) !== negated)
export const mark: MatchModule = () => markMatch('mark', ({ value, mask: bits, negated }) => packet =>
  ((packet.mark & bits) >>> 0 === value) !== negated)

function markMatch(name: string, holds: (test: Masked & { negated: boolean }) => Holds): ReturnType<MatchModule> {
  let test: Masked & { negated: boolean } | null = null
  return {
    options: { '--mark': (args, negated) => { test = { ...readMark(args), negated } } },
    finish: args => {
      if (test === null) throw args.error(`${name}: --mark is missing`)
      const { negated } = test
      const space = name === 'connmark' && !negated ? ' ' : ''
      return match(name, `${name} match ${space}${not(negated)}${markText(test)}`, holds(test))
    },
  }
}

/** Connections that a helper announced: it is their master's that counts, by its name or the beginning of what is asked for. */
const MOST_HELPER_NAME = 29

export const helper: MatchModule = () => {
  let test: { name: string; negated: boolean } | null = null
  return {
    options: { '--helper': (args, negated) => { test = { name: args.value().slice(0, MOST_HELPER_NAME), negated } } },
    finish: args => {
      if (test === null) throw args.error('helper: --helper is missing')
      const { name, negated } = test
      return match('helper', `helper match ${not(negated)}"${name}"`, ({ connection }) => {
        const master = connection?.masterHelper ?? null
        return (master !== null && (name === '' || name.startsWith(master))) !== negated
      })
    },
  }
}

const MOST = 2n ** 64n - 1n
const MODES = ['packets', 'bytes', 'avgpkt'] as const
const DIRECTIONS = ['original', 'reply', 'both'] as const

function readWord<T extends string>(args: Arguments, known: readonly T[]): T {
  const option = args.current.text
  const text = args.value()
  const word = known.find(each => each === text)
  if (word === undefined) throw args.error(`${option}: '${shown(text)}' is none of ${known.join(', ')}`)
  return word
}

export const connbytes: MatchModule = () => {
  let range: Counts | null = null
  let isNegated = false
  let mode: (typeof MODES)[number] | null = null
  let direction: (typeof DIRECTIONS)[number] | null = null
  return {
    options: {
      '--connbytes': (args, negated) => {
        range = readCounts(args)
        isNegated = negated
      },
      '--connbytes-mode': plain(args => { mode = readWord(args, MODES) }),
      '--connbytes-dir': plain(args => { direction = readWord(args, DIRECTIONS) }),
    },
    finish: args => {
      if (range === null || mode === null || direction === null) {
        throw args.error('connbytes needs --connbytes, --connbytes-dir and --connbytes-mode')
      }
      const [from, to] = range
      const chosen = { mode, direction }
      const listing = `${not(isNegated)}connbytes ${to === MOST ? from : `${from}:${to}`} connbytes mode ${mode} connbytes direction ${direction}`
      const holds: Holds = ({ connection }) => {
        const account = connection?.account ?? null
        if (account === null) return false
        const counted = countOf(account, chosen.mode, chosen.direction)
        return (counted >= from && counted <= to) !== isNegated
      }
      return { ...match('connbytes', listing, holds), needsAccounts: true }
    },
  }
}

type Counts = readonly [from: bigint, to: bigint]

/** `5`, which has no end, `5:7`, `:7`, `5:`, `:`. */
function readCounts(args: Arguments): Counts {
  const text = args.value()
  const parts = text.split(':')
  const [from, to = MOST] = parts.map((part, i) => part === '' && parts.length === 2 ? [0n, MOST][i] : wholeNumber(part))
  if (from === null || to === null || parts.length > 2 || from > to || to > MOST || from > MOST) {
    throw args.error(`connbytes: '${shown(text)}' is neither a number nor a range of them`)
  }
  return [from, to]
}

function countOf(
  { packets, bytes }: NonNullable<HookConnection['account']>, mode: (typeof MODES)[number], direction: (typeof DIRECTIONS)[number],
): number {
  const sum = ([original, reply]: readonly [number, number]) =>
    direction === 'original' ? original : direction === 'reply' ? reply : original + reply
  if (mode !== 'avgpkt') return sum(mode === 'packets' ? packets : bytes)
  return sum(packets) === 0 ? 0 : Math.floor(sum(bytes) / sum(packets))
}
