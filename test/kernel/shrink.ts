/** From a run in which tracker and kernel differ to the shortest sequence of packets that shows it, and its story. */
import type { Verdict } from 'conntrack-wasm'
import type { GoldenPacket } from '../support/golden.js'
import { describePacket, isIcmp } from '../support/packet.js'
import { reduce } from '../support/reduce.js'
import type { Finding } from '../support/replay.js'
import { hex, packetText } from '../support/text.js'
import { tryOut, type Sent } from './run.js'
import type { NamedSetting } from './settings.js'

/** A difference that shows once in so many runs of the same packets is found again. */
const ATTEMPTS = 3

/** Bytes of a packet that are printed; the capture has the others. */
const MAX_HEX = 160

/**
 * Shortens the packets of a run.
 *
 * @returns `null` where the difference does not show again
 */
export async function shrink(
  setting: NamedSetting, packets: readonly Sent[], { golden, differences }: Finding,
): Promise<readonly Sent[] | null> {
  const what = fieldOf(differences[0])
  const showsOnce = async (packets: readonly Sent[]) => {
    const { findings } = await tryOut(setting, packets)
    return findings.some(({ differences }) => differences.some(text => fieldOf(text) === what))
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // Without the pause an attempt is shorter by five seconds.
    for (const sent of [packets.map(({ bytes }) => ({ bytes, later: false })), packets]) {
      const least = await reduce(sent, golden.index, [sameConnection, sameHosts], showsOnce)
      if (least) return least
    }
  }
  return null
}

/** What differs, without the values: a shorter sequence must differ in the same. */
function fieldOf(difference: string): string {
  return difference.split(/[ ,]+(?=["\d[]|null|true|false|undefined|kernel)/)[0]
}

function sameConnection({ bytes }: Sent, last: Sent): boolean {
  return connection(bytes) === connection(last.bytes)
}

/** Protocol and endpoints in either order; of an ICMP error those of what it quotes. */
function connection(bytes: Uint8Array): string {
  const { protocol, src, dst, ports } = describePacket(innermost(bytes))
  const [from, to] = isIcmp(protocol) ? ['', ''] : ports
  return [protocol, ...[`${src} ${from}`, `${dst} ${to}`].sort()].join()
}

function sameHosts({ bytes }: Sent, last: Sent): boolean {
  return hosts(bytes) === hosts(last.bytes)
}

function hosts(bytes: Uint8Array): string {
  const { src, dst } = describePacket(innermost(bytes))
  return [src, dst].sort().join()
}

function innermost(bytes: Uint8Array): Uint8Array {
  const at = bytes[0] >> 4 === 6 ? 40 : (bytes[0] & 15) * 4
  const error6 = bytes[6] === 58 && bytes[at] < 128
  const error4 = bytes[9] === 1 && [3, 4, 5, 11, 12].includes(bytes[at])
  return (bytes[0] >> 4 === 6 ? error6 : error4) && bytes.length >= at + 28 ? bytes.subarray(at + 8) : bytes
}

/** The packets, a line each, what kernel and tracker say of them, and at the packets that differ how. */
export function story(
  packets: readonly Sent[], recorded: readonly GoldenPacket[], findings: readonly Finding[],
): string {
  return packets.flatMap(({ bytes, later }, i) => {
    const pause = later && !packets[i - 1]?.later ? '(after a pause) ' : ''
    const finding = findings.find(({ golden }) => golden.index === i)
    const said = [
      `${hex(bytes.subarray(0, MAX_HEX))}${bytes.length > MAX_HEX ? ' ...' : ''}`,
      ...i < recorded.length ? [`kernel: ${kernelSays(recorded[i])}`] : [],
      ...finding ? [`tracker: ${trackerSays(finding.verdict)}`] : [],
      ...finding?.differences.map(text => `DIFFERS: ${text}`) ?? [],
    ]
    return [`${String(i + 1).padStart(4)}  ${pause}${packetText(bytes)}`, ...said.map(line => `      ${line}`)]
  }).join('\n')
}

function kernelSays({ verdict, direction, reason, tcp_state, sctp_state, remarks = [] }: GoldenPacket): string {
  const words = [verdict, direction, tcp_state, sctp_state, reason].filter(Boolean).join(' ')
  return [words, ...remarks.map(remark => `"${remark}"`)].join(', ')
}

function trackerSays({ state, direction, tcpState, sctpState, reason }: Verdict): string {
  return [state ?? 'no verdict', direction, tcpState, sctpState, reason].filter(Boolean).join(' ')
}
