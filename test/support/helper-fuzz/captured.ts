/** Conversations of helped protocols in captures, so far as those are there. */
import { existsSync, readdirSync } from 'node:fs'
import { formatIpv4, formatIpv6 } from '../../../src/format/address.js'
import { readFrames } from '../frames.js'
import { SHARED } from '../golden.js'
import type { Said, Seed } from './seeds.js'

const FOLDERS = [
  ...['ftp', 'irc', 'tftp', 'sip', 'pptp', 'h323', 'netbios-snmp'].map(name => `captures/${name}/`), 'labnet/captures/',
]
const FILES = /^captures\/.*\.(pcap|pcapng|cap)(\.gz)?$/
/** Of the lab's captures only those of helped protocols. */
const LAB_FILES = /^labnet.*\/(ftp|irc|tftp|sip|amanda|sane|pptp|h323|netbios|snmp)[^/]*\.pcap$/
const PORTS: Readonly<Record<string, string>> = {
  '6:21': 'ftp', '6:6667': 'irc', '17:69': 'tftp', '6:5060': 'sip', '17:5060': 'sip', '17:10080': 'amanda',
  '6:1723': 'pptp', '6:6566': 'sane', '17:1719': 'RAS', '6:1720': 'Q.931', '17:137': 'netbios-ns', '17:161': 'snmp',
}
const MOST_SAID = 40
const MOST_OF_A_HELPER = 60

interface Segment {
  readonly family: 4 | 6
  readonly protocol: number
  readonly src: string
  readonly dst: string
  readonly sport: number
  readonly dport: number
  readonly payload: Uint8Array
}

/** A TCP segment or UDP datagram with payload, whole and without extension headers; `null` for all else. */
function readSegment(packet: Uint8Array): Segment | null {
  const v6 = packet[0] >> 4 === 6
  const header = v6 ? 40 : (packet[0] & 15) * 4
  const protocol = packet[v6 ? 6 : 9]
  const u16 = (at: number) => packet[at] << 8 | packet[at + 1]
  const end = Math.min(packet.length, v6 ? 40 + u16(4) : u16(2))
  const start = header + (protocol === 6 ? (packet[header + 12] >> 4) * 4 : 8)
  if (![6, 17].includes(protocol) || !v6 && (u16(6) & 0x3fff) !== 0 || !(start < end)) return null
  const [src, dst] = v6 ? [8, 24].map(at => formatIpv6(packet, at)) : [12, 16].map(at => formatIpv4(packet, at))
  const [sport, dport] = [u16(header), u16(header + 2)]
  return { family: v6 ? 6 : 4, protocol, src, dst, sport, dport, payload: packet.slice(start, end) }
}

/** H.245 has no port of its own: a TPKT that is no call signalling. */
function helperOf({ protocol, sport, dport, payload }: Segment): { helper: string, toServer: boolean } | null {
  const [server, client] = [PORTS[`${protocol}:${dport}`], PORTS[`${protocol}:${sport}`]]
  if (server) return { helper: server, toServer: true }
  if (client) return { helper: client, toServer: false }
  return protocol === 6 && payload[0] === 3 && payload[1] === 0 ? { helper: 'H.245', toServer: sport > dport } : null
}

function collect(segment: Segment, into: Map<string, Seed & { said: Said[] }>): void {
  const found = helperOf(segment)
  if (!found) return
  const { family, protocol, src, dst, sport, dport, payload } = segment
  const direction = found.toServer ? 'original' : 'reply'
  const ends = found.toServer ? { client: src, sport, server: dst, dport }
    : { client: dst, sport: dport, server: src, dport: sport }
  const key = Object.values(ends).join(' ')
  const known = into.get(key)
  if (!known) into.set(key, { helper: found.helper, family, protocol, ...ends, said: [{ direction, payload }] })
  else if (known.said.length < MOST_SAID) known.said.push({ direction, payload })
}

/** The conversations of all captures that are there, a limited number for each helper. */
export async function capturedSeeds(): Promise<Seed[]> {
  const seeds: Seed[] = []
  for (const folder of FOLDERS.filter(name => existsSync(new URL(name, SHARED)))) {
    for (const name of readdirSync(new URL(folder, SHARED)).sort()) {
      if (!FILES.test(folder + name) && !LAB_FILES.test(folder + name)) continue
      const conversations = new Map<string, Seed & { said: Said[] }>()
      for (const { packet } of await readFrames(new URL(folder + name, SHARED).pathname)) {
        const segment = packet && readSegment(packet)
        if (segment) collect(segment, conversations)
      }
      seeds.push(...conversations.values())
    }
  }
  const counts = new Map<string, number>()
  return seeds.filter(({ helper }) => {
    counts.set(helper, (counts.get(helper) ?? 0) + 1)
    return counts.get(helper)! <= MOST_OF_A_HELPER
  })
}
