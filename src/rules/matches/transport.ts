/** Matches of transport headers: ports, flags, types, chunks (iptables-extensions(8)). */
import { match, not, type Holds, type MatchModule, type MatchReader, type ReadOption } from '../match.js'
import { HEADER_BYTES, type RulePacket } from '../packet.js'
import { rangeTraits, type Trait } from '../sieve.js'
import type { Arguments } from '../text.js'
import { rangeText, readNumber, readOrderedPorts, readPortOrRange, shown, type Range } from '../values.js'

interface PortTest {
  readonly range: Range
  readonly negated: boolean
}

const ANY: PortTest = { range: [0, 65535], negated: false }

/** `--sport` and `--dport` of a protocol. */
class Ports {
  source: PortTest | null = null
  destination: PortTest | null = null

  readonly options: Readonly<Record<string, ReadOption>>

  constructor() {
    const source: ReadOption = (args, negated) => { this.source = { range: readOrderedPorts(args), negated } }
    const destination: ReadOption = (args, negated) => { this.destination = { range: readOrderedPorts(args), negated } }
    this.options = { '--sport': source, '--source-port': source, '--dport': destination, '--destination-port': destination }
  }

  get listing(): string {
    return portListing('sp', this.source) + portListing('dp', this.destination)
  }

  /** The ports fit; four bytes are there. */
  get holds(): Holds {
    const { range: [fromS, toS], negated: notS } = this.source ?? ANY
    const { range: [fromD, toD], negated: notD } = this.destination ?? ANY
    return packet => {
      const source = packet.u16(packet.transport)
      const destination = packet.u16(packet.transport + 2)
      return (source >= fromS && source <= toS) !== notS && (destination >= fromD && destination <= toD) !== notD
    }
  }

  get traits(): Trait[] {
    return [...portTraits(0, this.source), ...portTraits(2, this.destination)]
  }
}

/** @param at offset of the port in the transport header */
function portTraits(at: number, test: PortTest | null): Trait[] {
  if (test === null || test.negated) return []
  const [from, to] = test.range
  return rangeTraits('transport', at, [from >> 8, from & 255], [to >> 8, to & 255])
}

function portListing(letters: string, test: PortTest | null): string {
  if (test === null || (!test.negated && test.range[0] === 0 && test.range[1] === 65535)) return ''
  const many = test.range[0] !== test.range[1]
  return ` ${letters}t${many ? 's' : ''}:${not(test.negated, '!')}${rangeText(test.range)}`
}

export const udp: MatchModule = () => {
  const ports = new Ports()
  return {
    options: ports.options,
    finish: () => {
      const { holds } = ports
      return match('udp', 'udp' + ports.listing, packet => packet.hasTransport(HEADER_BYTES.udp) && holds(packet), ports.traits)
    },
  }
}

const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ALL: 63, NONE: 0 } as const
type TcpFlag = keyof typeof TCP_FLAGS

function readFlags(args: Arguments, text: string): number {
  return text.split(',').reduce((all, word) => {
    const name = word.toUpperCase()
    if (!Object.hasOwn(TCP_FLAGS, name)) throw args.error(`TCP flags: '${shown(word)}' is none of ${Object.keys(TCP_FLAGS).join(', ')}`)
    return all | TCP_FLAGS[name as TcpFlag]
  }, 0)
}

const SYN_MASK = TCP_FLAGS.FIN | TCP_FLAGS.SYN | TCP_FLAGS.RST | TCP_FLAGS.ACK

export const tcp: MatchModule = () => {
  const ports = new Ports()
  let flags: { readonly mask: number; readonly set: number; readonly negated: boolean } | null = null
  const only = (args: Arguments) => {
    if (flags !== null) throw args.error('tcp has one of --tcp-flags and --syn')
  }
  let option = { kind: 0, negated: false }
  return {
    options: {
      ...ports.options,
      '--tcp-flags': (args, negated) => {
        only(args)
        flags = { mask: readFlags(args, args.value()), set: readFlags(args, secondValue(args)), negated }
      },
      '--syn': (args, negated) => {
        only(args)
        flags = { mask: SYN_MASK, set: TCP_FLAGS.SYN, negated }
      },
      '--tcp-option': (args, negated) => {
        option = { kind: readNumber(args, 255, 'TCP option'), negated }
        if (option.kind === 0) throw args.error('TCP option: 0 is none')
      },
    },
    finish: () => {
      const optionText = option.kind ? ` option=${not(option.negated, '!')}${option.kind}` : ''
      const { mask, set, negated } = flags ?? { mask: 0, set: 0, negated: false }
      const isTested = mask !== 0 || negated
      const flagText = isTested ? ` flags:${not(negated, '!')}0x${byteHex(mask)}/0x${byteHex(set)}` : ''
      const { holds } = ports
      const flagsFit = (byte: number) => ((byte & mask) === set) !== negated
      const fits: Holds = packet =>
        packet.hasTransport(HEADER_BYTES.tcp) && holds(packet)
        && flagsFit(packet.u8(packet.transport + 13))
        && (option.kind === 0 || hasOption(packet, option.kind, option.negated))
      const traits: Trait[] = [...ports.traits, { place: 'transport', at: 13, fits: flagsFit }]
      // Options may be cut short where the header is whole.
      return { ...match('tcp', `tcp${ports.listing}${optionText}${flagText}`, fits, traits), hasEffects: option.kind !== 0 }
    },
  }
}

/** The second of two values. */
function secondValue(args: Arguments): string {
  const value = args.optionalValue()
  if (value === null) throw args.error('this option has two values')
  return value
}

function byteHex(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0')
}

/** Linux walks the options by their lengths, and counts a length of 0 as 1. */
function hasOption(packet: RulePacket, kind: number, negated: boolean): boolean {
  const size = packet.u8(packet.transport + 12) >> 4 << 2
  if (size < HEADER_BYTES.tcp) {
    packet.broken = true
    return false
  }
  if (!packet.hasTransport(size)) return false
  const end = packet.transport + size
  for (let at = packet.transport + HEADER_BYTES.tcp; at < end;) {
    if (packet.u8(at) === kind) return !negated
    at += packet.u8(at) < 2 || at + 1 === end ? 1 : packet.u8(at + 1) || 1
  }
  return negated
}

type Types = Readonly<Record<string, readonly [type: number, code?: number]>>

const ICMP_TYPES: Types = {
  any: [255], 'echo-reply': [0], pong: [0], 'destination-unreachable': [3], 'network-unreachable': [3, 0], 'host-unreachable': [3, 1],
  'protocol-unreachable': [3, 2], 'port-unreachable': [3, 3], 'fragmentation-needed': [3, 4], 'source-route-failed': [3, 5],
  'network-unknown': [3, 6], 'host-unknown': [3, 7], 'network-prohibited': [3, 9], 'host-prohibited': [3, 10],
  'TOS-network-unreachable': [3, 11], 'TOS-host-unreachable': [3, 12], 'communication-prohibited': [3, 13],
  'host-precedence-violation': [3, 14], 'precedence-cutoff': [3, 15], 'source-quench': [4], redirect: [5],
  'network-redirect': [5, 0], 'host-redirect': [5, 1], 'TOS-network-redirect': [5, 2], 'TOS-host-redirect': [5, 3],
  'echo-request': [8], ping: [8], 'router-advertisement': [9], 'router-solicitation': [10], 'time-exceeded': [11], 'ttl-exceeded': [11],
  'ttl-zero-during-transit': [11, 0], 'ttl-zero-during-reassembly': [11, 1], 'parameter-problem': [12], 'ip-header-bad': [12, 0],
  'required-option-missing': [12, 1], 'timestamp-request': [13], 'timestamp-reply': [14], 'address-mask-request': [17],
  'address-mask-reply': [18],
}

const ICMP6_TYPES: Types = {
  'destination-unreachable': [1], 'no-route': [1, 0], 'communication-prohibited': [1, 1], 'beyond-scope': [1, 2],
  'address-unreachable': [1, 3], 'port-unreachable': [1, 4], 'failed-policy': [1, 5], 'reject-route': [1, 6],
  'packet-too-big': [2], 'time-exceeded': [3], 'ttl-exceeded': [3], 'ttl-zero-during-transit': [3, 0], 'ttl-zero-during-reassembly': [3, 1],
  'parameter-problem': [4], 'bad-header': [4, 0], 'unknown-header-type': [4, 1], 'unknown-option': [4, 2],
  'echo-request': [128], ping: [128], 'echo-reply': [129], pong: [129], 'router-solicitation': [133], 'router-advertisement': [134],
  'neighbour-solicitation': [135], 'neighbor-solicitation': [135], 'neighbour-advertisement': [136],
  'neighbor-advertisement': [136], redirect: [137],
}

/** `--icmp-type any`: every type and code. */
const ANY_TYPE = 255

export const icmp: MatchModule = () => icmpTypes('icmp', '--icmp-type', ICMP_TYPES, 'icmptype ', 'icmp !type ')
export const icmp6: MatchModule = () => icmpTypes('icmp6', '--icmpv6-type', ICMP6_TYPES, 'ipv6-icmptype ', 'ipv6-icmp !type ')

function icmpTypes(name: string, option: string, names: Types, label: string, negatedLabel: string): MatchReader {
  let test: { type: number; codes: Range; negated: boolean } | null = null
  return {
    options: { [option]: (args, negated) => { test = { ...readType(args, names), negated } } },
    finish: args => {
      if (test === null) throw args.error(`${name}: ${option} is missing`)
      const { type, codes: [from, to], negated } = test
      const isAny = name === 'icmp' && type === ANY_TYPE
      const codes = from === 0 && to === 255 ? '' : from === to ? ` code ${from}` : ` codes ${from}-${to}`
      return match(name, (negated ? negatedLabel : label) + type + codes, packet => {
        if (!packet.hasTransport(HEADER_BYTES.icmp)) return false
        const code = packet.u8(packet.transport + 1)
        return (isAny || (packet.u8(packet.transport) === type && code >= from && code <= to)) !== negated
      }, isAny || negated ? [] : rangeTraits('transport', 0, [type, from], [type, to]))
    },
  }
}

/** A name, in full or as much of it as no other begins with; `type`, or `type/code`. */
function readType(args: Arguments, names: Types): { type: number; codes: Range } {
  const text = args.value()
  const start = text.toLowerCase()
  const fitting = Object.keys(names).filter(name => start !== '' && name.toLowerCase().startsWith(start))
  if (fitting.length > 1 && !fitting.some(name => name.toLowerCase() === start)) throw args.error(`'${shown(text)}' is the beginning of ${fitting.join(', ')}`)
  if (fitting.length > 0) {
    const [type, code] = names[fitting.find(name => name.toLowerCase() === start) ?? fitting[0]]
    return { type, codes: code === undefined ? [0, 255] : [code, code] }
  }
  const [type, code, ...more] = text.split('/')
  if (more.length > 0) throw args.error(`'${shown(text)}' is no ICMP type`)
  const value = code === undefined ? null : readNumber(args, 255, 'ICMP code', code)
  return { type: readNumber(args, 255, 'ICMP type', type), codes: value === null ? [0, 255] : [value, value] }
}

const CHUNKS: Readonly<Record<string, number>> = {
  DATA: 0, INIT: 1, INIT_ACK: 2, SACK: 3, HEARTBEAT: 4, HEARTBEAT_ACK: 5, ABORT: 6, SHUTDOWN: 7, SHUTDOWN_ACK: 8, ERROR: 9,
  COOKIE_ECHO: 10, COOKIE_ACK: 11, ECN_ECNE: 12, ECN_CWR: 13, SHUTDOWN_COMPLETE: 14, I_DATA: 64, ASCONF_ACK: 128,
  RE_CONFIG: 130, PAD: 132, FORWARD_TSN: 192, ASCONF: 193, I_FORWARD_TSN: 194,
}
/** Letters of chunk flags, highest bit first. */
const CHUNK_FLAGS: Readonly<Record<string, string>> = { DATA: '----IUBE', ABORT: '-------T', SHUTDOWN_COMPLETE: '-------T' }

interface ChunkFlags {
  readonly mask: number
  readonly set: number
  readonly text: string
}

interface ChunkTest {
  readonly mode: 'all' | 'any' | 'only'
  readonly chunks: ReadonlyMap<number, ChunkFlags>
  readonly negated: boolean
}

export const sctp: MatchModule = () => {
  const ports = new Ports()
  let test: ChunkTest | null = null
  return {
    options: { ...ports.options, '--chunk-types': (args, negated) => { test = readChunks(args, negated) } },
    finish: () => {
      const { holds } = ports
      const chunks = test
      const listing = `sctp${ports.listing}${chunks === null ? '' : chunkListing(chunks)}`
      const fits: Holds = packet =>
        packet.hasTransport(HEADER_BYTES.sctp) && holds(packet) && (chunks === null || chunksHold(packet, chunks) !== chunks.negated)
      // Chunks may be cut short where the header is whole.
      return { ...match('sctp', listing, fits, ports.traits), hasEffects: chunks !== null }
    },
  }
}

function readChunks(args: Arguments, negated: boolean): ChunkTest {
  const mode = args.value().toLowerCase()
  if (mode !== 'all' && mode !== 'any' && mode !== 'only') throw args.error(`--chunk-types: '${shown(mode)}' is none of all, any, only`)
  const list = secondValue(args)
  const none = { mask: 0, set: 0, text: '' }
  const every = list.toUpperCase()
  if (every === 'ALL') return { mode, negated, chunks: new Map(Array.from({ length: 256 }, (_, type) => [type, none])) }
  if (every === 'NONE') return { mode, negated, chunks: new Map() }
  const chunks = new Map<number, ChunkFlags>()
  for (const each of list.split(',')) readChunk(args, each, chunks)
  return { mode, negated, chunks }
}

/** A type that is there twice has the flags of both. */
function readChunk(args: Arguments, text: string, chunks: Map<number, ChunkFlags>): void {
  const [word, letters, ...more] = text.split(':')
  const name = word.toUpperCase()
  if (!Object.hasOwn(CHUNKS, name) || more.length > 0) throw args.error(`'${shown(text)}' is no SCTP chunk type`)
  let { mask, set } = chunks.get(CHUNKS[name]) ?? { mask: 0, set: 0 }
  for (const letter of letters ?? '') {
    const place = (CHUNK_FLAGS[name] ?? '').indexOf(letter.toUpperCase())
    if (place < 0 || letter === '-') throw args.error(`chunk type ${name} has no flag '${letter}'`)
    mask |= 128 >> place
    if (letter === letter.toUpperCase()) set |= 128 >> place
  }
  chunks.set(CHUNKS[name], { mask, set, text: flagLetters(CHUNK_FLAGS[name] ?? '', mask, set) })
}

function flagLetters(letters: string, mask: number, set: number): string {
  const chosen = [...letters].map((letter, i) => !(mask & 128 >> i) ? '' : set & 128 >> i ? letter : letter.toLowerCase())
  return chosen.join('')
}

function chunkListing({ mode, chunks, negated }: ChunkTest): string {
  const start = ` ${not(negated)}${mode} `
  if (chunks.size === 256) return start + 'ALL'
  if (chunks.size === 0) return start + 'NONE'
  const sorted = [...chunks].sort(([a], [b]) => a - b)
  return start + sorted.map(([type, { text }]) => `0x${type.toString(16).toUpperCase().padStart(4, '0')}${text === '' ? '' : ':' + text}`).join(',')
}

function chunksHold(packet: RulePacket, { mode, chunks }: ChunkTest): boolean {
  const left = mode === 'all' ? new Set(chunks.keys()) : null
  const end = packet.wireEnd
  for (let at = packet.transport + HEADER_BYTES.sctp; ;) {
    const length = packet.hasTransport(at + 4 - packet.transport) ? packet.u16(at + 2) : 0
    if (length === 0) {
      if (!packet.unseen) packet.broken = true
      return false
    }
    const type = packet.u8(at)
    const flags = chunks.get(type)
    const fits = flags !== undefined && (packet.u8(at + 1) & flags.mask) === flags.set
    if (fits && mode === 'any') return true
    if (fits) left?.delete(type)
    else if (mode === 'only') return false
    at += length + 3 & ~3
    if (at >= end) break
  }
  return mode === 'all' ? left!.size === 0 : mode === 'only'
}

/** What `multiport` can be used with. */
const WITH_PORTS: readonly number[] = [6, 17, 33, 132, 136]
const MOST_PORTS = 15

export const multiport: MatchModule = () => {
  let test: { which: 'sports' | 'dports' | 'ports'; ports: readonly Range[]; negated: boolean } | null = null
  const option = (which: 'sports' | 'dports' | 'ports'): ReadOption => (args, negated) => {
    if (test !== null) throw args.error('multiport has one of --sports, --dports and --ports')
    const ports = args.value().split(',').map(text => readPortOrRange(args, text))
    const places = ports.reduce((sum, [from, to]) => sum + (from === to ? 1 : 2), 0)
    if (places > MOST_PORTS) throw args.error(`multiport takes ${MOST_PORTS} ports, a range counted as two`)
    test = { which, ports, negated }
  }
  return {
    options: {
      '--sports': option('sports'), '--source-ports': option('sports'), '--dports': option('dports'),
      '--destination-ports': option('dports'), '--ports': option('ports'),
    },
    finish: (args, rule) => {
      if (test === null) throw args.error('multiport: --sports, --dports or --ports is missing')
      if (rule.protocolNegated || !WITH_PORTS.includes(rule.protocol)) {
        throw args.error('multiport needs -p tcp, udp, udplite, dccp or sctp')
      }
      const { which, ports, negated } = test
      const text = ports.map(rangeText).join(',')
      const traits = negated || which === 'ports' ? [] : oneOfTraits(which === 'sports' ? 0 : 2, ports)
      return match('multiport', `multiport ${which} ${not(negated, ' !')}${text}`, packet => {
        if (!packet.hasTransport(HEADER_BYTES.ports)) return false
        const source = which !== 'dports' && isAmong(ports, packet.u16(packet.transport))
        return (source || (which !== 'sports' && isAmong(ports, packet.u16(packet.transport + 2)))) !== negated
      }, traits)
    },
  }
}

function isAmong(ports: readonly Range[], port: number): boolean {
  for (const [from, to] of ports) if (port >= from && port <= to) return true
  return false
}

/** Either byte of a port that is in one of these ranges. */
function oneOfTraits(at: number, ports: readonly Range[]): Trait[] {
  const isHigh = (byte: number) => ports.some(([from, to]) => byte >= from >> 8 && byte <= to >> 8)
  const isLow = (byte: number) => ports.some(([from, to]) => from >> 8 !== to >> 8 || (byte >= (from & 255) && byte <= (to & 255)))
  return [{ place: 'transport', at, fits: isHigh }, { place: 'transport', at: at + 1, fits: isLow }]
}

