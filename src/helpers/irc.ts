/**
 * IRC: the direct connections (DCC SEND, CHAT and others) that a client offers to another one through its server.
 *
 * In: segments from the client, each by itself. `PRIVMSG <who> :\x01DCC SEND <name> <address> <port> ...\x01\r\n`, with
 * the address as one decimal number. Out: at most one expectation a segment, of a connection to the client from
 * anybody, as the other client's address is unknown. Text that is not at the head of a message is not read (before
 * Linux 6.0 it was: CVE-2022-2663), and the first offer that cannot be read ends the reading (CVE-2026-53268).
 */
import ipaddr from 'ipaddr.js'
import type { HelpedConnection, Helper } from './helper.js'
import { CR, hasText, hasTextAnyCase, ipv4FromNumber, ipv4ToNumber, LF, readDecimal, SPACE } from './bytes.js'
import { defineHelper } from './define.js'
import { checkFields, checkFlag, checkLimit, checkPort, checkSeconds, invalid } from './options.js'

export interface IrcOptions {
  /** Ports of IRC servers; default 6667. */
  readonly ports?: readonly number[]
  /** How many offers one client may have open, 1 to 255; default 8. */
  readonly maxDccChannels?: number
  /** Seconds for which an offer stands; default 300. */
  readonly dccTimeout?: number
  /**
   * Who may take up an offer, as an IPv4 prefix such as `192.0.2.0/24`; default: anybody, as in Linux. The offer
   * does not tell, so whoever can guess or read the port gets in first.
   */
  readonly peers?: string
  /**
   * Addresses above 2^32-1 and ports above 65535 announce nothing; default false: their high bits are lost, as in
   * Linux (port 65616 is port 80).
   */
  readonly strict?: boolean
  /** Nothing is expected on ports below this one; default 1, as in Linux. 1024 keeps system services out of reach. */
  readonly minPort?: number
}

interface Offer {
  readonly address: number
  readonly port: number
}

/** Linux reads no more of a segment. */
const MAX_BYTES = 4095
const KEYWORDS = ['SEND ', 'CHAT ', 'MOVE ', 'TSEND ', 'SCHAT ']
/** ` :\x01DCC SEND t AAAAAAAA P\x01\n`, the shortest offer. */
const SHORTEST_OFFER = 26
/** `AAAAAAAA P\x01\n`, what follows the name in it. */
const SHORTEST_ENDPOINT = 12
/** `PRIVMSG x `, the shortest beginning of a message. */
const SHORTEST_COMMAND = 10

/**
 * The helper for IRC.
 *
 * @throws ConntrackError `invalid-argument`
 */
export function irc(options: IrcOptions = {}): Helper {
  checkFields('the options of irc', options, ['ports', 'maxDccChannels', 'dccTimeout', 'peers', 'strict', 'minPort'])
  const limit = checkLimit('maxDccChannels', options.maxDccChannels ?? 8)
  const timeout = checkSeconds('dccTimeout', options.dccTimeout ?? 300)
  const strict = checkFlag('strict', options.strict ?? false)
  const minPort = checkPort('minPort', options.minPort ?? 1)
  const source = checkPeers(options.peers)
  return defineHelper({
    name: 'irc',
    protocol: 'tcp',
    families: [4],
    ports: options.ports ?? [6667],
    classes: [{ name: '', limit, timeout }],
    inspect({ payload, direction, established, connection }, table) {
      if (!established || direction !== 'original') return 'accept'
      const offer = findOffer(payload.subarray(0, MAX_BYTES), strict)
      if (!offer || offer.port < Math.max(minPort, 1) || !isOwnAddress(offer.address, connection)) return 'accept'
      const added = table.expect({ protocol: 6, ...source, dst: connection.reply.dst, dport: offer.port })
      return added === 'added' || added === 'already' ? 'accept' : 'drop'
    },
  })
}

/** The client's address, or the one that address translation gives it. */
function isOwnAddress(address: number, { original, reply }: HelpedConnection): boolean {
  const text = ipv4FromNumber(address)
  return text === original.src || text === reply.dst
}

function findOffer(data: Uint8Array, strict: boolean): Offer | null {
  let at = skipBlanks(data)
  if (at < data.length - SHORTEST_COMMAND) {
    if (!hasTextAnyCase(data, at, 'PRIVMSG ')) return null
    at += 8
  }
  for (; at < data.length - SHORTEST_OFFER; at++) {
    if (!hasText(data, at, ' :')) continue
    if (!hasText(data, at + 2, '\x01DCC ')) return null
    const keyword = KEYWORDS.find(word => hasText(data, at + 7, word))
    if (keyword) return readOffer(data, at + 7 + keyword.length, strict)
    // An unknown request: what comes after it is looked at again, as Linux does.
    at += 6
  }
  return null
}

function skipBlanks(data: Uint8Array): number {
  let at = 0
  while (at < data.length - SHORTEST_COMMAND && [SPACE, CR, LF].includes(data[at])) at++
  return at
}

/** `<name> <address> <port>`, in a line that ends in this segment. */
function readOffer(data: Uint8Array, nameAt: number, strict: boolean): Offer | null {
  const at = data.indexOf(SPACE, nameAt) + 1
  if (at === 0 || data.length - at < SHORTEST_ENDPOINT || data.indexOf(LF, at) < 0) return null
  const address = readDecimal(data, at, 2 ** 32, !strict)
  let next = address.next
  while (data[next] === SPACE) next++
  return { address: address.value, port: readDecimal(data, next, 2 ** 16, !strict).value }
}

function checkPeers(peers: string | undefined): { src: string | null; srcMask?: string } {
  if (peers === undefined) return { src: null }
  if (!ipaddr.IPv4.isValidCIDRFourPartDecimal(peers)) {
    throw invalid("peers: expected an IPv4 prefix such as '192.0.2.0/24'")
  }
  const [address, bits] = ipaddr.IPv4.parseCIDR(peers)
  const mask = ipaddr.IPv4.subnetMaskFromPrefixLength(bits).toString()
  return { src: ipv4FromNumber(ipv4ToNumber(address.toString()) & ipv4ToNumber(mask)), srcMask: mask }
}
