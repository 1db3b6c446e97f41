/**
 * Questions that a host asks by broadcast, and that every host of its network may answer (NetBIOS names, SNMP).
 *
 * In: UDP packets to a broadcast address. Out: one permanent expectation, of the service's port of any host of that
 * network, to the host that asked. Linux does this for packets it sends itself and for no others, and knows its
 * addresses from its interfaces; here they are an option, and with none given nothing is ever expected, which is
 * Linux's answer for packets it forwards. Answers are not read, and no packet is dropped.
 */
import ipaddr from 'ipaddr.js'
import type { Helper } from './helper.js'
import { ipv4FromNumber, ipv4ToNumber } from './bytes.js'
import { defineHelper } from './define.js'
import { checkSeconds, invalid } from './options.js'

export interface BroadcastOptions {
  /**
   * Ports of the service. The answers expected are those from its own port (137 or 161) whatever stands here, as in
   * Linux.
   */
  readonly ports?: readonly number[]
  /** Seconds for which answers are expected and the question's connection is kept. */
  readonly timeout?: number
  /**
   * IPv4 addresses of this host with the prefix lengths of their networks, such as `10.9.1.1/24`; default: none. Only
   * what one of them sends to its own network's broadcast address is a question.
   */
  readonly networks?: readonly string[]
}

interface Network {
  readonly address: string
  readonly mask: string
  readonly broadcast: string
}

interface Service {
  readonly name: string
  readonly port: number
  readonly timeout: number
}

export const BROADCAST_FIELDS = ['ports', 'timeout', 'networks']

/** A helper for the broadcasts of one service. */
export function broadcastHelper(service: Service, options: BroadcastOptions): Helper {
  const timeout = checkSeconds('timeout', options.timeout ?? service.timeout)
  const networks = checkNetworks(options.networks ?? [])
  return defineHelper({
    name: service.name,
    protocol: 'udp',
    families: [4],
    ports: options.ports ?? [service.port],
    classes: [{ name: '', limit: 1, timeout }],
    inspect({ direction, connection: { original, reply } }, table) {
      const network = networks.find(({ address, broadcast }) => address === original.src && broadcast === original.dst)
      if (direction !== 'original' || !network) return 'accept'
      const anyHost = { src: reply.src, srcMask: network.mask, sport: service.port }
      table.expect({ protocol: 17, ...anyHost, dst: reply.dst, dport: reply.dport ?? 0, permanent: true })
      table.setTimeout(timeout)
      return 'accept'
    },
  })
}

function checkNetworks(networks: readonly string[]): Network[] {
  if (!Array.isArray(networks)) throw invalid('networks: expected a list')
  return networks.map(readNetwork).filter(network => network !== null)
}

/** `null` for a network of one or two addresses, which has no broadcast address (RFC 3021). */
function readNetwork(text: string): Network | null {
  if (typeof text !== 'string' || !ipaddr.IPv4.isValidCIDRFourPartDecimal(text)) {
    throw invalid(`networks: '${String(text)}' is not an IPv4 address with its prefix length, such as 10.9.1.1/24`)
  }
  const [address, bits] = ipaddr.IPv4.parseCIDR(text)
  if (bits > 30) return null
  const mask = ipaddr.IPv4.subnetMaskFromPrefixLength(bits).toString()
  const broadcast = ipv4FromNumber((ipv4ToNumber(address.toString()) | ~ipv4ToNumber(mask)) >>> 0)
  return { address: address.toString(), mask, broadcast }
}
