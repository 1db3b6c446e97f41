/**
 * FTP (RFC 959, RFC 2428): the data connections that PORT, EPRT, 227 (the answer to PASV) and 229 (to EPSV) announce.
 *
 * In: segments of the control connection. A command or answer is looked for only at the very start of a segment, and
 * only if that segment begins where an earlier one of its direction ended with a newline; so the first segment of each
 * direction is never read. Out: at most one expectation, of the other side's address, to the speaker. What starts like
 * an announcement and cannot be read is dropped, as it may be one that continues in the next segment.
 *
 * NAT slipstreaming: a web page can make its browser send text to port 21 that looks like a command on a line of its
 * own. Linux takes it for one, and so does this; all it opens is a port of that very host for that very server, and
 * `minPort` keeps it away from services.
 */
import type { Helper, HelperPacket, HelperTable, HelperVerdict } from './helper.js'
import {
  appendDigit, CR, hasTextAnyCase, ipv4FromNumber, ipv6WithFirstBits, isDigit, LF, readIpv6, SPACE,
} from './bytes.js'
import { defineHelper } from './define.js'
import { checkFields, checkFlag, checkPort } from './options.js'

export interface FtpOptions {
  /** Ports of FTP servers; default 21. */
  readonly ports?: readonly number[]
  /**
   * An announced address other than the speaker's own is expected too (Linux's module parameter `loose`); default
   * false. True lets a client or server open ports of other hosts (FTP bounce, RFC 2577).
   */
  readonly loose?: boolean
  /**
   * Numbers above 255 and ports above 65535 make a command unreadable, so that it is dropped, as from Linux 7.2 on;
   * default false: they overflow into their neighbours, as in Linux 6.18 (`4,257` is port 1281, `66560` port 1024).
   */
  readonly strict?: boolean
  /** Nothing is expected on ports below this one; default 0, as in Linux. 1024 keeps system services out of reach. */
  readonly minPort?: number
}

/** By direction, up to two sequence numbers at which a line may start. */
export interface FtpState {
  readonly original: number[]
  readonly reply: number[]
}

interface Endpoint {
  readonly address: string
  readonly port: number
}

/** Who says it, and how strictly it is read. */
interface Speaker {
  readonly address: string
  readonly family: 4 | 6
  readonly strict: boolean
}

interface Pattern {
  /** In upper case; letters of either case match. */
  readonly word: string
  /** What is read stands behind the first such byte after the word; `null`: right behind the word. */
  readonly skip: number | null
  /** Reads what is announced at `at`; `null` if it cannot be read. */
  read(data: Uint8Array, at: number, speaker: Speaker): Endpoint | null
}

const PATTERNS: Readonly<Record<'original' | 'reply', readonly Pattern[]>> = {
  original: [
    { word: 'PORT', skip: SPACE, read: (data, at, speaker) => readSixNumbers(data, at, CR, speaker) },
    { word: 'EPRT', skip: SPACE, read: readEprt },
  ],
  reply: [
    { word: '227 ', skip: null, read: readPasvAnswer },
    { word: '229 ', skip: 0x28, read: readEpsvAnswer },
  ],
}

const COMMA = 0x2c
const DOT = 0x2e
/** Sequence numbers remembered in each direction. */
const REMEMBERED = 2

/**
 * The helper for FTP.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function ftp(options: FtpOptions = {}): Helper<FtpState> {
  checkFields('the options of ftp', options, ['ports', 'loose', 'strict', 'minPort'])
  const loose = checkFlag('loose', options.loose ?? false)
  const strict = checkFlag('strict', options.strict ?? false)
  const minPort = checkPort('minPort', options.minPort ?? 0)
  return defineHelper<FtpState>({
    name: 'ftp',
    protocol: 'tcp',
    ports: options.ports ?? [21],
    state: () => ({ original: [], reply: [] }),
    inspect(packet, table) {
      const { payload, direction, seq, state } = packet
      if (!packet.established || payload.length === 0) return 'accept'
      let verdict: HelperVerdict = 'accept'
      if (state[direction].includes(seq)) {
        const announced = findAnnouncement(packet, strict)
        // The rest may follow in another segment, which could not be read; nor is this one's end remembered.
        if (announced === 'partial') return 'drop'
        if (announced && announced.port >= minPort) verdict = expectData(announced, packet, loose, table)
      }
      if (payload[payload.length - 1] === LF) rememberLine(state[direction], (seq + payload.length) >>> 0)
      return verdict
    },
  })
}

function findAnnouncement(packet: HelperPacket<FtpState>, strict: boolean): Endpoint | 'partial' | null {
  const { payload, direction, connection } = packet
  const speaker = { address: connection[direction].src, family: connection.family, strict }
  for (const pattern of PATTERNS[direction]) {
    const found = tryPattern(pattern, payload, speaker)
    if (found) return found
  }
  return null
}

function tryPattern({ word, skip, read }: Pattern, data: Uint8Array, speaker: Speaker): Endpoint | 'partial' | null {
  if (!hasTextAnyCase(data, 0, word.slice(0, data.length))) return null
  if (data.length <= word.length) return 'partial'
  const start = skip === null ? word.length : data.indexOf(skip, word.length) + 1
  if (start === 0) return 'partial'
  return read(data, start, speaker) ?? 'partial'
}

function expectData(
  announced: Endpoint, { direction, connection }: HelperPacket, loose: boolean, table: HelperTable,
): HelperVerdict {
  const other = connection[direction === 'original' ? 'reply' : 'original']
  const own = announced.address === connection[direction].src
  // A foreign address is the bounce attack of RFC 2577, or a client that does not know its address.
  if (!own && !loose) return 'accept'
  const dst = own ? other.dst : announced.address
  const added = table.expect({ protocol: 6, src: other.src, dst, dport: announced.port })
  return added === 'added' || added === 'already' ? 'accept' : 'drop'
}

/** Keeps the two latest line starts, for lines that are sent again. */
function rememberLine(starts: number[], seq: number): void {
  if (starts.includes(seq)) return
  if (starts.length < REMEMBERED) {
    starts.push(seq)
    return
  }
  const older = isBefore(starts[0], starts[1]) ? 0 : 1
  if (isBefore(starts[older], seq)) starts[older] = seq
}

/** In the order of sequence numbers, which wrap. */
function isBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0
}

/** `h1,h2,h3,h4,p1,p2`, then `end` or, where that is `null`, any byte. */
function readSixNumbers(data: Uint8Array, at: number, end: number | null, speaker: Speaker): Endpoint | null {
  const read = readNumbers(data, at, 6, COMMA, end, speaker.strict)
  if (!read) return null
  const [, , , , high, low] = read.numbers
  return { address: ipv4Announced(read.numbers, speaker), port: (high << 8 | low) & 0xffff }
}

/**
 * Four numbers as an address. Over IPv6, PORT and 227 have no meaning (RFC 2428); Linux puts their address into the
 * first four bytes of the speaker's, so that they announce something if they repeat just these.
 */
function ipv4Announced(numbers: readonly number[], speaker: Speaker): string {
  const address = (numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]) >>> 0
  return speaker.family === 4 ? ipv4FromNumber(address) : ipv6WithFirstBits(speaker.address, address)
}

/** Numbers with a separator between them, then `end` (`null`: any byte). The place after them is that of `end`. */
function readNumbers(
  data: Uint8Array, at: number, count: number, separator: number, end: number | null, strict: boolean,
): { numbers: readonly number[]; next: number } | null {
  const numbers = [0]
  for (let next = at; next < data.length; next++) {
    const last = numbers.length - 1
    if (isDigit(data[next])) {
      numbers[last] = appendDigit(numbers[last], data[next], 2 ** 32)
      if (strict && numbers[last] > 255) return null
    } else if (data[next] !== separator) {
      return numbers.length === count && (end === null || data[next] === end) ? { numbers, next } : null
    } else if (numbers.push(0) > count) return null
  }
  return null
}

/** `|1|132.235.1.2|6275|` or `|2|1080::8:800:200C:417A|5282|`, with any delimiter. */
function readEprt(data: Uint8Array, at: number, speaker: Speaker): Endpoint | null {
  const delimiter = readDelimiter(data, at)
  if (delimiter === null || data[at + 2] !== delimiter) return null
  if (data[at + 1] !== (speaker.family === 4 ? 0x31 : 0x32)) return null
  const read = speaker.family === 4 ? readEprtIpv4 : readEprtIpv6
  const host = read(data, at + 3, delimiter, speaker)
  if (!host) return null
  const port = readPort(data, host.next + 1, delimiter, speaker.strict)
  return port === 0 ? null : { address: host.address, port }
}

interface HostRead {
  readonly address: string
  /** The place of the delimiter. */
  readonly next: number
}

function readEprtIpv4(data: Uint8Array, at: number, delimiter: number, speaker: Speaker): HostRead | null {
  const read = readNumbers(data, at, 4, DOT, delimiter, speaker.strict)
  return read && { address: ipv4Announced(read.numbers, speaker), next: read.next }
}

function readEprtIpv6(data: Uint8Array, at: number, delimiter: number): HostRead | null {
  // A NUL ends the address too.
  const next = data.findIndex((byte, index) => index >= at && (byte === delimiter || byte === 0))
  const address = next < 0 ? null : readIpv6(data, at, next)
  return address === null ? null : { address, next }
}

function readPasvAnswer(data: Uint8Array, at: number, speaker: Speaker): Endpoint | null {
  const start = data.findIndex((byte, index) => index >= at && isDigit(byte))
  return start < 0 ? null : readSixNumbers(data, start, null, speaker)
}

/** `|||6446|`, with any delimiter. */
function readEpsvAnswer(data: Uint8Array, at: number, speaker: Speaker): Endpoint | null {
  const delimiter = readDelimiter(data, at)
  if (delimiter === null || data[at + 1] !== delimiter || data[at + 2] !== delimiter) return null
  const port = readPort(data, at + 3, delimiter, speaker.strict)
  return port === 0 ? null : { address: speaker.address, port }
}

/** RFC 2428: any visible ASCII character, but no digit, which could not be told from a number. */
function readDelimiter(data: Uint8Array, at: number): number | null {
  if (at + 3 >= data.length) return null
  const byte = data[at]
  return byte < 33 || byte > 126 || isDigit(byte) ? null : byte
}

/** A port with the delimiter behind it; 0 if there is none. */
function readPort(data: Uint8Array, at: number, delimiter: number, strict: boolean): number {
  let port = 0
  for (let next = at; next < data.length; next++) {
    if (data[next] === delimiter) return port
    if (!isDigit(data[next])) return 0
    const longer = appendDigit(port, data[next], 2 ** 32)
    if (strict && longer > 0xffff) return 0
    port = longer & 0xffff
  }
  return 0
}
