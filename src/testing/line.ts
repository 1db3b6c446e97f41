/**
 * Packets in a line of text: `client:1000 > server:80 tcp S seq=1000`. In: a line and the addresses of its hosts. Out: a
 * packet, or an error that says which word was not understood.
 */
import { ConntrackError } from '../errors.js'
import { crc32c, ipPacket, put16, put32, type IpFields } from './bytes.js'

/** A packet of a test. */
export interface TestPacket {
  /** From the IP header on. */
  readonly bytes: Uint8Array
  /** The line, for messages. */
  readonly text: string
  /** Milliseconds after the packet before it. */
  readonly afterMs: number
}

/** Addresses by the names that lines use for them. */
export type Hosts = Readonly<Record<string, string>>

/** Hosts that lines know by themselves; addresses that documentation has for examples (RFC 5737, RFC 3849). */
export const HOSTS: Hosts = {
  client: '192.0.2.10', server: '198.51.100.20', router: '192.0.2.1', other: '203.0.113.30',
  client6: '2001:db8:1::10', server6: '2001:db8:2::20', router6: '2001:db8:1::1', other6: '2001:db8:3::30',
}

const WITH_PORTS: readonly string[] = ['tcp', 'udp', 'sctp']
/** What the length of an IPv4 packet can say. */
const MOST_BYTES = 65_535

/** Milliseconds between packets where a line does not say. */
const STEP_MS = 1

/**
 * One packet.
 *
 * `[+MS] HOST[:PORT] > HOST[:PORT] tcp|udp|icmp|icmp6|sctp|NUMBER [WORD ...] [KEY=VALUE ...]`; TCP's flags are letters of
 * `FSRPAUEC` or `-` for none. Keys: `ttl`, `tos`, `id`, `len` or `data` (the payload, `'in quotes'` with blanks); TCP `seq`, `ack`,
 * `win`, `opt` (hex); ICMP `echo`, `reply`, `unreach` or `type`, `code`, `id`, `seq`, `inner='a line'`; SCTP chunk names, `vtag`.
 */
export function packet(line: string, hosts: Hosts = {}): TestPacket {
  const words = split(line)
  const after = /^\+(\d+)$/.exec(words[0] ?? '')
  if (after !== null) words.shift()
  const [from, arrow, to, protocol, ...rest] = words
  if (arrow !== '>' || to === undefined || protocol === undefined) throw wrong(line, 'HOST[:PORT] > HOST[:PORT] PROTOCOL is needed')
  const [source, destination] = [endpoint(from, { ...HOSTS, ...hosts }, line), endpoint(to, { ...HOSTS, ...hosts }, line)]
  const make = Object.hasOwn(MAKERS, protocol) ? MAKERS[protocol] : other(protocol, line)
  const given = new Given(rest, line)
  if (source.address.includes(':') !== destination.address.includes(':')) throw wrong(line, 'the hosts are of different IP versions')
  if (WITH_PORTS.includes(protocol) && (source.port === null || destination.port === null)) {
    throw wrong(line, `${protocol} needs a port at both ends: HOST:PORT > HOST:PORT`)
  }
  const bytes = make(source, destination, given, hosts)
  given.end()
  if (bytes.length > MOST_BYTES) throw wrong(line, `it has ${bytes.length} bytes; a packet has at most ${MOST_BYTES}`)
  return { bytes, text: line.trim(), afterMs: after === null ? STEP_MS : Number(after[1]) }
}

/** Packets, one a line; empty lines and those that begin with `#` are left out. */
export function packets(text: string, hosts: Hosts = {}): TestPacket[] {
  return text.split('\n').filter(line => /^\s*[^\s#]/.test(line)).map(line => packet(line, hosts))
}

function wrong(line: string, what: string): ConntrackError {
  return new ConntrackError('invalid-argument', `'${line.trim()}': ${what}`)
}

/** Words, with what is in single quotes as one. */
function split(line: string): string[] {
  return [...line.matchAll(/(?:[^\s']|'[^']*')+/g)].map(([word]) => word)
}

interface Endpoint {
  readonly address: string
  readonly port: number | null
}

function endpoint(text: string, hosts: Hosts, line: string): Endpoint {
  const parts = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? /^((?:[0-9a-f]*:)+[0-9a-f]*)$/.exec(text)
  if (parts === null) throw wrong(line, `'${text}' is no HOST[:PORT]`)
  const name = parts[1] ?? parts[2]
  const port = parts[3] === undefined ? null : Number(parts[3])
  const address = Object.hasOwn(hosts, name) ? hosts[name] : name
  if (!/^[0-9.]+$|:/.test(address)) throw wrong(line, `there is no host '${name}'; there are ${Object.keys(hosts).join(', ')}`)
  if (port !== null && port > 65535) throw wrong(line, `port ${port} is too high`)
  return { address, port }
}

/** Words and `key=value` of a line; what nobody asks for is an error. */
class Given {
  readonly #words: string[]
  readonly #values = new Map<string, string>()

  constructor(rest: readonly string[], readonly line: string) {
    for (const word of rest) {
      const at = word.indexOf('=')
      if (at <= 0) continue
      const key = word.slice(0, at)
      if (this.#values.has(key)) throw wrong(line, `${key} is there twice`)
      this.#values.set(key, word.slice(at + 1))
    }
    this.#words = rest.filter(word => word.indexOf('=') <= 0)
  }

  word(): string | undefined {
    return this.#words.shift()
  }

  text(key: string): string | undefined {
    const value = this.#values.get(key)
    this.#values.delete(key)
    return value?.replace(/^'(.*)'$/s, '$1')
  }

  number(key: string, otherwise: number, most: number): number {
    const text = this.text(key)
    if (text === undefined) return otherwise
    const value = /^(\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : NaN
    if (!(value <= most)) throw wrong(this.line, `${key} is no whole number up to ${most}`)
    return value
  }

  /** `data='…'` with `\r`, `\n` and `\\`, or `len=N` bytes of x. */
  payload(): Uint8Array {
    const data = this.text('data')
    if (data === undefined) return new Uint8Array(this.number('len', 0, MOST_BYTES)).fill(0x78)
    const plain = data.replace(/\\([rn\\])/g, (_, letter: string) => ({ r: '\r', n: '\n' }[letter] ?? '\\'))
    return new TextEncoder().encode(plain)
  }

  hex(key: string): Uint8Array {
    const text = this.text(key) ?? ''
    if (!/^([0-9a-f]{2})*$/i.test(text)) throw wrong(this.line, `${key} is not in hex`)
    return Uint8Array.from(text.match(/../g) ?? [], byte => parseInt(byte, 16))
  }

  ip(from: Endpoint, to: Endpoint, protocol: number): IpFields {
    return {
      src: from.address, dst: to.address, protocol, ttl: this.number('ttl', 64, 255), tos: this.number('tos', 0, 255),
      id: this.number('ipid', 0x1234, 0xffff),
    }
  }

  end(): void {
    const left = this.#words[0] ?? [...this.#values.keys()][0]
    if (left !== undefined) throw wrong(this.line, `'${left}' is not understood`)
  }
}

type Make = (from: Endpoint, to: Endpoint, given: Given, hosts: Hosts) => Uint8Array

const TCP_FLAGS = 'FSRPAUEC'
const U32 = 0xffffffff

function putPorts(header: Uint8Array, from: Endpoint, to: Endpoint): void {
  put16(header, 0, from.port ?? 0)
  put16(header, 2, to.port ?? 0)
}

const tcp: Make = (from, to, given) => {
  const letters = given.word() ?? ''
  const wrongFlag = [...letters].find(letter => letter !== '-' && !TCP_FLAGS.includes(letter))
  if (letters === '' || wrongFlag !== undefined) throw wrong(given.line, `TCP's flags are letters of ${TCP_FLAGS}, or - for none`)
  const options = [...given.hex('opt')]
  while (options.length % 4 !== 0) options.push(0)
  const segment = Uint8Array.of(...new Uint8Array(20), ...options, ...given.payload())
  putPorts(segment, from, to)
  put32(segment, 4, given.number('seq', 1000, U32))
  put32(segment, 8, given.number('ack', letters.includes('A') ? 1001 : 0, U32))
  segment[12] = (20 + options.length) / 4 << 4
  segment[13] = [...letters].reduce((bits, letter) => bits | 1 << TCP_FLAGS.indexOf(letter), 0) & 255
  if (letters === '-') segment[13] = 0
  put16(segment, 14, given.number('win', 64240, 0xffff))
  return ipPacket(given.ip(from, to, 6), segment, 16)
}

const udp: Make = (from, to, given) => {
  const datagram = Uint8Array.of(...new Uint8Array(8), ...given.payload())
  putPorts(datagram, from, to)
  put16(datagram, 4, datagram.length)
  return ipPacket(given.ip(from, to, 17), datagram, 6)
}

const ICMP_WORDS: Readonly<Record<string, readonly [number, number]>> = {
  echo: [8, 128], reply: [0, 129], unreach: [3, 1], 'ttl-exceeded': [11, 3], 'too-big': [3, 2], redirect: [5, 137],
}

/** Bytes of the packet that an ICMP error quotes. */
const QUOTED = 48

const icmp = (protocol: 1 | 58): Make => (from, to, given, hosts) => {
  const word = given.word()
  if (word !== undefined && !Object.hasOwn(ICMP_WORDS, word)) throw wrong(given.line, `'${word}' is no ICMP message: ${Object.keys(ICMP_WORDS).join(', ')}`)
  const type = word === undefined ? given.number('type', -1, 255) : ICMP_WORDS[word][protocol === 1 ? 0 : 1]
  if (type < 0) throw wrong(given.line, `an ICMP message or type= is needed`)
  const inner = given.text('inner')
  const quoted = inner === undefined ? given.payload() : packet(inner, hosts).bytes.subarray(0, QUOTED)
  const message = Uint8Array.of(type, given.number('code', 0, 255), 0, 0, 0, 0, 0, 0, ...quoted)
  if (inner === undefined) {
    put16(message, 4, given.number('id', 1, 0xffff))
    put16(message, 6, given.number('seq', 1, 0xffff))
  }
  return ipPacket(given.ip(from, to, protocol), message, 2)
}

const CHUNKS: Readonly<Record<string, number>> = {
  DATA: 0, INIT: 1, INIT_ACK: 2, SACK: 3, HEARTBEAT: 4, HEARTBEAT_ACK: 5, ABORT: 6, SHUTDOWN: 7, SHUTDOWN_ACK: 8, ERROR: 9,
  COOKIE_ECHO: 10, COOKIE_ACK: 11, SHUTDOWN_COMPLETE: 14,
}

/** `INIT`, `DATA+SACK`; chunk flags in hex behind `/`. */
const sctp: Make = (from, to, given) => {
  const chunks = (given.word() ?? 'DATA').split('+').map(text => chunk(text, given))
  const bytes = Uint8Array.of(...new Uint8Array(12), ...chunks.flat())
  putPorts(bytes, from, to)
  put32(bytes, 4, given.number('vtag', chunks[0][0] === CHUNKS.INIT ? 0 : 1, U32))
  new DataView(bytes.buffer).setUint32(8, crc32c(bytes), true)
  return ipPacket(given.ip(from, to, 132), bytes, -1)
}

function chunk(text: string, given: Given): number[] {
  const [name, flags = '0'] = text.split('/')
  if (!Object.hasOwn(CHUNKS, name)) throw wrong(given.line, `'${name}' is no SCTP chunk: ${Object.keys(CHUNKS).join(', ')}`)
  const type = CHUNKS[name]
  const isInit = type === CHUNKS.INIT || type === CHUNKS.INIT_ACK
  const data = type === CHUNKS.DATA ? [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4] : []
  const body = isInit ? [0, 0, 0, 1, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1] : data
  return [type, parseInt(flags, 16), 0, 4 + body.length, ...body]
}

const MAKERS: Readonly<Record<string, Make>> = { tcp, udp, icmp: icmp(1), icmp6: icmp(58), sctp }

/** A protocol by its number, of which only the payload is known. */
function other(protocol: string, line: string): Make {
  const number = /^\d{1,3}$/.test(protocol) ? Number(protocol) : NaN
  if (!(number <= 255)) throw wrong(line, `'${protocol}' is none of ${Object.keys(MAKERS).join(', ')}, and no protocol number`)
  return (from, to, given) => ipPacket(given.ip(from, to, number), given.payload(), -1)
}
