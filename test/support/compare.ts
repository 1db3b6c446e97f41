/** One packet: what the tracker says against what the kernel said. */
import type { Connection, TcpSide, Tracker, Verdict } from 'conntrack-wasm'
import { TCP_FLAGS } from 'conntrack-wasm'
import type { GoldenPacket, GoldenSide } from './golden.js'
import { describePacket, isIcmp } from './packet.js'

/** A jiffy of the recording kernel. */
export const TICK_MS = 4
/** One more for the query's own time. */
const SLACK_MS = 2 * TICK_MS
const LATE_MS = 1000

/** What a kernel remark must contain where the tracker gives a reason. */
const REMARKS: Readonly<Record<string, RegExp>> = {
  'icmp-short': /short packet/, 'icmp-checksum': /checksum/, 'icmp-type': /invalid icmp type/,
  'icmp-error-target': /outer daddr/, 'icmp-redirect': /redirect/,
  'tcp-short': /truncated packet|short packet/, 'tcp-data-offset': /truncated packet/, 'tcp-checksum': /bad checksum/, 'tcp-flags': /flag combination/,
  'tcp-no-connection': /invalid new/, 'tcp-loose-off': /invalid new/, 'tcp-transition': /packet \(index \d\) in dir \d invalid/,
  'tcp-rst-below-ack': /invalid rst/, 'tcp-seq-over-window': /SEQ is over upper bound|bytes more than expected/,
  'tcp-ack-over-sent': /ACK is over upper bound/, 'udp-short': /short packet/, 'udp-length': /truncated\/malformed/,
  'udp-checksum': /bad checksum/, 'udplite-short': /short packet/, 'udplite-coverage': /coverage/,
  'udplite-no-checksum': /checksum missing/, 'udplite-checksum': /bad checksum/,
  'sctp-short': /short packet/, 'sctp-checksum': /bad CRC/, 'sctp-vtag': /verification tag/, 'sctp-transition': /Invalid, old_state/,
}

/**
 * Differences in words; none where tracker and kernel agree.
 *
 * @param askable the entry was asked for in the same way on both sides
 * @param delayMs by how much the kernel may have begun to count the entry's time later
 */
export function differences(
  golden: GoldenPacket, verdict: Verdict, entry: Connection | null, askable = true, delayMs = 0,
): string[] {
  const found: string[] = []
  const expect = (what: string, ours: unknown, kernels: unknown): void => {
    if (ours !== kernels) found.push(`${what} ${JSON.stringify(ours)}, kernel ${JSON.stringify(kernels)}`)
  }
  if (golden.verdict === 'no-verdict') {
    if (golden.reason === 'dropped by conntrack') expect('reason', verdict.reason, 'table-full')
    else expect('state', verdict.state, null)
    return found
  }
  if (golden.verdict === 'fragment-held') {
    // The oracle says so of every fragment that does not reach the rules, also of one that the IP layer refuses.
    if (verdict.reason !== 'ip-malformed') expect('reason', verdict.reason, 'fragment-held')
    return found
  }
  expect('state', verdict.state, golden.verdict.toUpperCase())
  expect('direction', verdict.direction, golden.direction)
  if (golden.dropped !== undefined) expect('dropped', verdict.dropped, golden.dropped)
  compareReason(golden, verdict, found)
  if (golden.ct === undefined || !askable) return found
  expect('entry', entry !== null, golden.ct !== null)
  if (entry && golden.ct !== null) compareEntry(golden, entry, expect, SLACK_MS + delayMs)
  return found
}

function compareReason(golden: GoldenPacket, verdict: Verdict, found: string[]): void {
  const pattern = verdict.reason === null ? undefined : REMARKS[verdict.reason]
  const remarks = golden.remarks ?? []
  if (pattern && remarks.length > 0 && !remarks.some(remark => pattern.test(remark))) {
    found.push(`reason ${verdict.reason}, kernel remarks ${JSON.stringify(remarks)}`)
  }
}

type Expect = (what: string, ours: unknown, kernels: unknown) => void

/** @param highMs by how much the kernel may read higher */
function compareEntry(golden: GoldenPacket, entry: Connection, expect: Expect, highMs: number): void {
  expect('assured', entry.assured, golden.assured)
  expect('seen reply', entry.seenReply, golden.seen_reply)
  if (entry.tcpState !== null || golden.tcp_state !== undefined) expect('tcpState', entry.tcpState, golden.tcp_state)
  if (entry.sctpState !== null || golden.sctp_state !== undefined) expect('sctpState', entry.sctpState, golden.sctp_state)
  compareTimeout(golden, entry, expect, highMs)
  if (golden.entry) {
    expect('status', entry.status.join(), golden.entry.status.join())
    expect('helper', entry.helper, golden.entry.helper ?? null)
    expect('has a master', entry.master !== null, golden.entry.master !== undefined)
    for (const [direction, tuple] of [['original', golden.entry.orig], ['reply', golden.entry.reply]] as const) {
      const { src, dst, protocol, sport, dport, srcKey, dstKey, type, code, id } = entry[direction]
      expect(`${direction} tuple`, [src, dst, protocol, sport ?? srcKey ?? 0, dport ?? dstKey ?? 0, type, code, id].join(),
        [tuple.src, tuple.dst, tuple.proto, tuple.sport ?? 0, tuple.dport ?? 0, tuple.type, tuple.code, tuple.id].join())
    }
    if (entry.packets && golden.entry.packets) {
      expect('packets', [entry.packets.original, entry.packets.reply].join(), golden.entry.packets.join())
      expect('bytes', [entry.bytes?.original, entry.bytes?.reply].join(), golden.entry.bytes?.join())
    }
  }
  if (golden.entry?.zone !== undefined || entry.zone !== 0) expect('zone', entry.zone, golden.entry?.zone ?? 0)
  if (golden.entry?.vtag && entry.verificationTags) {
    expect('tags', [entry.verificationTags.original, entry.verificationTags.reply].join(), golden.entry.vtag.join())
  }
  compareStream(golden, entry, expect, highMs)
  if (golden.window?.orig && entry.tcp) compareWindow(golden.window as Required<GoldenPacket>['window'], entry, expect)
}

/**
 * The kernel counts in ticks and is asked a moment later; beyond that the timeouts must be equal. Where the recording
 * says that ticks fell between packet and question (`late`) it may read lower, by a second at most.
 */
function compareTimeout(golden: GoldenPacket, entry: Connection, expect: Expect, highMs: number): void {
  const exact = golden.window?.timeout_ms
  const slack = golden.late ? LATE_MS : SLACK_MS
  if (exact !== undefined) {
    const lower = entry.timeoutMs - exact
    if (lower > slack || lower < -highMs) expect('timeoutMs', entry.timeoutMs, exact)
  } else if (golden.timeout != null) {
    const [least, most] = [entry.timeoutMs - slack, entry.timeoutMs + highMs].map(ms => Math.floor(ms / 1000))
    if (golden.timeout < least || golden.timeout > most) expect('timeout', entry.timeoutMs / 1000, golden.timeout)
  }
}

function compareStream(golden: GoldenPacket, entry: Connection, expect: Expect, highMs: number): void {
  const kernels = golden.window?.stream_in_ms
  if (kernels === undefined || entry.streamInMs === null) return
  const late = entry.streamInMs - Math.max(0, kernels)
  if (late > (golden.late ? LATE_MS : SLACK_MS) || late < -highMs) expect('stream in ms', entry.streamInMs, kernels)
}

function compareWindow(window: Required<GoldenPacket>['window'], entry: Connection, expect: Expect): void {
  const tcp = entry.tcp!
  expect('original side', sideText(tcp.original), goldenSide(window.orig!))
  expect('reply side', sideText(tcp.reply), goldenSide(window.reply!))
  expect('retransmissions', tcp.retransmissions, window.retrans)
  const { last } = window
  if (!last) return
  const flags = TCP_FLAGS.filter((_, i) => last.flags >> i & 1)
  expect('last', [tcp.last.index, tcp.last.direction, tcp.last.seq, tcp.last.ack, tcp.last.end, tcp.last.window, tcp.last.scale, ...tcp.last.flags].join(),
    [last.index, last.dir ? 'reply' : 'original', last.seq, last.ack, last.end, last.win, last.wscale, ...flags].join())
}

function sideText(side: TcpSide): string {
  return `end ${side.end} maxEnd ${side.maxEnd} maxWindow ${side.maxWindow} maxAck ${side.maxAck} scale ${side.scale} ${side.flags.join()}`
}

function goldenSide(side: GoldenSide): string {
  return `end ${side.end} maxEnd ${side.maxend} maxWindow ${side.maxwin} maxAck ${side.maxack} scale ${side.scale} ${side.flags.join()}`
}

/**
 * Whether the oracle asked for the entry that the packet is about. Of ICMP errors that Linux refuses or does not track
 * it follows the quote further than Linux does, and it cannot follow a quote whose version field is damaged, at which
 * Linux does not look. A fragment does not say whose it is, nor does one within the only fragment of a datagram.
 */
export function isAskable(golden: GoldenPacket, packet: Uint8Array | null): boolean {
  if (golden.verdict === 'related') return golden.ct != null
  if ((golden.verdict !== 'invalid' && golden.verdict !== 'untracked') || !packet) return true
  const { protocol, fragment } = describePacket(packet)
  return !isIcmp(protocol) && !fragment && protocol !== 44
}

/** The entry that a packet's tuple belongs to, though the packet did not get it: what the oracle shows. */
export function entryOf(tracker: Tracker, packet: Uint8Array): Connection | null {
  const query = tupleOf(packet)
  return query && tracker.find(query)
}

/** The tuple of an IP packet, read the plain way; for an ICMP error that of the packet it quotes, inverted. */
function tupleOf(bytes: Uint8Array): Parameters<Tracker['find']>[0] | null {
  const family = bytes[0] >> 4
  let at = family === 4 ? (bytes[0] & 15) * 4 : 40
  let protocol = family === 4 ? bytes[9] : bytes[6]
  while (family === 6 && [0, 43, 44, 51, 60].includes(protocol) && at + 2 <= bytes.length) {
    const size: number = protocol === 44 ? 8 : protocol === 51 ? (bytes[at + 1] + 2) * 4 : (bytes[at + 1] + 1) * 8
    protocol = bytes[at]
    at += size
  }
  const text = (from: number, length: number) => {
    const part = bytes.subarray(from, from + length)
    return length === 4 ? part.join('.') : Array.from({ length: 8 }, (_, i) => (part[2 * i] << 8 | part[2 * i + 1]).toString(16)).join(':')
  }
  const [src, dst] = family === 4 ? [text(12, 4), text(16, 4)] : [text(8, 16), text(24, 16)]
  if (protocol === undefined) return null // its headers end behind it
  const needed = protocol === 1 || protocol === 58 ? 8 : [6, 17, 132, 136].includes(protocol) ? 4 : 0
  if (bytes.length < (family === 4 ? 20 : 40) || bytes.length < at + needed) return null
  if (protocol === 1 || protocol === 58) {
    if (isError(family, bytes[at])) {
      const quote = tupleOf(bytes.subarray(at + 8))
      return quote && { ...quote, src: quote.dst, dst: quote.src, sport: quote.dport, dport: quote.sport }
    }
    return { protocol, src, dst, type: bytes[at], code: bytes[at + 1], id: bytes[at + 4] << 8 | bytes[at + 5] }
  }
  if (protocol === 47 && (bytes[at + 1] & 7) === 1) return { protocol, src, dst, dstKey: bytes[at + 6] << 8 | bytes[at + 7] }
  if (![6, 17, 132, 136].includes(protocol)) return { protocol, src, dst }
  return { protocol, src, dst, sport: bytes[at] << 8 | bytes[at + 1], dport: bytes[at + 2] << 8 | bytes[at + 3] }
}

function isError(family: number, type: number): boolean {
  return family === 4 ? [3, 4, 5, 11, 12].includes(type) : type < 128 || type === 137
}
