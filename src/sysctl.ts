/**
 * The sysctls of nf_conntrack that mean something outside the kernel: names, Linux's defaults and bounds, and where the
 * core keeps them. Names are Linux's without `net.netfilter.nf_conntrack_`, or `net.ipv4.` for those of IPv4 reassembly.
 */
import { ConntrackError, shown } from './errors.js'

/** One setting. */
export interface Sysctl {
  readonly initial: number
  readonly min: number
  readonly max: number
  /** Place in the core: a timeout (seconds here, nanoseconds there) or a switch. */
  readonly timeout?: number
  readonly switch?: number
  /** Name of the setting that this one must not be lower than. */
  readonly atLeast?: string
}

/** Timeouts are 32-bit ticks in Linux; a day short of what 250 ticks a second allow. */
const MAX_SECONDS = 8_589_934

const seconds = (initial: number, timeout: number): Sysctl => ({ initial, min: 0, max: MAX_SECONDS, timeout })
const flag = (initial: number, place: number, max = 1): Sysctl => ({ initial, min: 0, max, switch: place })

/** Bytes of fragments: up to all of Linux's 64 bits there, up to what fits beside the table here. */
const MAX_BYTES = 2 ** 30
const bytes = (initial: number): Sysctl => ({ initial, min: 0, max: MAX_BYTES })

/** Every setting by its name. */
export const SYSCTLS: Readonly<Record<string, Sysctl>> = {
  acct: flag(0, 5),
  checksum: flag(1, 4),
  events: flag(2, 7, 2),
  expect_max: { initial: 4096, min: 1, max: 1 << 20, switch: 9 },
  frag6_high_thresh: { ...bytes(4_194_304), switch: 11, atLeast: 'frag6_low_thresh' },
  frag6_low_thresh: bytes(3_145_728),
  frag6_timeout: seconds(60, 29),
  generic_timeout: seconds(600, 16),
  gre_timeout: seconds(30, 17),
  gre_timeout_stream: seconds(180, 18),
  icmp_timeout: seconds(30, 14),
  icmpv6_timeout: seconds(30, 15),
  ipfrag_high_thresh: { ...bytes(4_194_304), switch: 10, atLeast: 'ipfrag_low_thresh' },
  ipfrag_low_thresh: bytes(3_145_728),
  ipfrag_max_dist: flag(64, 12, 2 ** 31 - 1),
  ipfrag_time: seconds(30, 28),
  max: { initial: 262_144, min: 1, max: 1 << 24, switch: 8 },
  sctp_timeout_closed: seconds(10, 20),
  sctp_timeout_cookie_echoed: seconds(3, 22),
  sctp_timeout_cookie_wait: seconds(3, 21),
  sctp_timeout_established: seconds(210, 23),
  sctp_timeout_heartbeat_sent: seconds(30, 27),
  sctp_timeout_shutdown_ack_sent: seconds(3, 26),
  sctp_timeout_shutdown_recd: seconds(3, 25),
  sctp_timeout_shutdown_sent: seconds(3, 24),
  tcp_be_liberal: flag(0, 1),
  tcp_ignore_invalid_rst: flag(0, 3),
  tcp_loose: flag(1, 0),
  tcp_max_retrans: flag(3, 2, 255),
  tcp_timeout_close: seconds(10, 8),
  tcp_timeout_close_wait: seconds(60, 5),
  tcp_timeout_established: seconds(432_000, 3),
  tcp_timeout_fin_wait: seconds(120, 4),
  tcp_timeout_last_ack: seconds(30, 6),
  tcp_timeout_max_retrans: seconds(300, 10),
  tcp_timeout_syn_recv: seconds(60, 2),
  tcp_timeout_syn_sent: seconds(120, 1),
  tcp_timeout_time_wait: seconds(120, 7),
  tcp_timeout_unacknowledged: seconds(300, 11),
  timestamp: flag(0, 6),
  udp_timeout: seconds(30, 12),
  udp_timeout_stream: seconds(120, 13),
}

/** Timeouts that Linux has no sysctl for, seconds by place. */
export const FIXED_TIMEOUTS: Readonly<Record<number, number>> = { 0: 0, 9: 120, 19: 0 }

/** What a name may have in front: `ipfrag_` belongs to IPv4, all others to nf_conntrack. */
const PREFIX = /^(?:net[./]ipv4[./](?=ipfrag_)|(?:net[./]netfilter[./])?(?:nf_conntrack_)?(?!ipfrag_))/

/** A name without what Linux has in front of it. */
export function withoutPrefix(name: string): string {
  return shown(name).replace(PREFIX, '')
}

/**
 * The name as the table has it, without Linux's prefixes.
 *
 * @throws ConntrackError `unknown-sysctl`
 */
export function sysctlName(name: string): string {
  const short = withoutPrefix(name)
  if (Object.hasOwn(SYSCTLS, short)) return short
  throw new ConntrackError('unknown-sysctl', `unknown sysctl '${shown(name)}'; known are: ${Object.keys(SYSCTLS).join(', ')}`)
}

/**
 * The value, if it is one the setting can have.
 *
 * @throws ConntrackError `sysctl-range`
 */
export function sysctlValue(name: string, value: unknown): number {
  const { min, max } = SYSCTLS[name]
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new ConntrackError('sysctl-range', `sysctl ${name}: ${shown(value)} is not a whole number from ${min} to ${max}`)
}

/**
 * Linux keeps the low threshold of reassembly at or below the high one, although only the high one decides anything.
 *
 * @throws ConntrackError `sysctl-range`
 */
export function checkThresholds(values: Readonly<Record<string, number>>): void {
  for (const [name, { atLeast }] of Object.entries(SYSCTLS)) {
    if (atLeast === undefined || values[name] >= values[atLeast]) continue
    const why = `${values[name]} is less than ${atLeast}, ${values[atLeast]}`
    throw new ConntrackError('sysctl-range', `sysctl ${name}: ${why}`)
  }
}
