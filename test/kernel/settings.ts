/** The settings that the fuzzer takes in turn. */
import type { Setting } from '../support/oracle.js'

export interface NamedSetting extends Setting {
  readonly name: string
  /** Most of the packets come after five seconds: streams of UDP, and timeouts that are over. */
  readonly pause?: boolean
}

const sysctl = (settings: string): NamedSetting => (
  { name: settings || 'default', sysctl: settings.split(' ').filter(Boolean) }
)

/**
 * Two seconds: in a run of less nothing is over, but for what a pause lies behind. Each of these timeouts is left and
 * entered on other ways.
 */
const SHORT = [
  'tcp_timeout_established', 'tcp_timeout_fin_wait', 'tcp_timeout_syn_sent', 'udp_timeout', 'icmp_timeout',
  'icmpv6_timeout', 'gre_timeout', 'generic_timeout', 'sctp_timeout_established', 'sctp_timeout_closed',
].map(name => `${name}=2`)

/** Over at once: the next packet opens anew. */
const NONE = [
  'tcp_timeout_close', 'tcp_timeout_time_wait', 'udp_timeout', 'icmp_timeout', 'sctp_timeout_cookie_wait',
  'gre_timeout',
].map(name => `${name}=0`)

/**
 * A FIN or reset out of the window cuts a connection's time if 120 seconds of it are left. A timeout of just that is left
 * whole by Linux's clock until its next tick, and by the tracker's never: with a short `unacknowledged`, to which it is
 * cut, that would show. So FIN_WAIT and TIME_WAIT have others there.
 */
const SHORTER = 'tcp_timeout_unacknowledged=7 tcp_timeout_max_retrans=5 tcp_timeout_close=3 tcp_max_retrans=2 '
  + 'tcp_timeout_fin_wait=130 tcp_timeout_time_wait=110'

/** For sequences of TCP alone. */
export const TCP_SETTINGS: readonly NamedSetting[] = [
  sysctl(''),
  sysctl('tcp_be_liberal=1'),
  sysctl('tcp_loose=0'),
  sysctl('tcp_ignore_invalid_rst=1'),
  sysctl('tcp_max_retrans=1 tcp_timeout_max_retrans=20'),
  sysctl('tcp_loose=0 tcp_be_liberal=1 tcp_max_retrans=0'),
  { ...sysctl(SHORTER), name: 'short timeouts of what is cut' },
  { ...sysctl(SHORT.join(' ')), name: 'short timeouts, a pause', pause: true },
  { ...sysctl(NONE.join(' ')), name: 'timeouts of 0' },
  { name: 'drop, notrack', drop: ['tcp dport 81'], notrack: ['ip saddr 10.0.0.3'] },
]

/** For everything else, among it TCP. */
export const OTHER_SETTINGS: readonly NamedSetting[] = [
  sysctl(''),
  sysctl('checksum=0'),
  { name: 'a pause', pause: true },
  sysctl('tcp_be_liberal=1 tcp_loose=0'),
  { ...sysctl(SHORT.join(' ')), name: 'short timeouts, a pause', pause: true },
  { ...sysctl(NONE.join(' ')), name: 'timeouts of 0' },
  { name: 'notrack', notrack: ['udp dport 81', 'sctp sport 80', 'ip saddr 10.0.0.3', 'tcp dport 80'] },
  { name: 'drop', drop: ['udp dport 81', 'sctp dport 81', 'ip6 daddr 2001:db8:b::2', 'udplite sport 80'] },
  { name: 'zones', zone: ['ip saddr 10.0.0.1=7', 'ip saddr 10.0.0.2=8', 'ip6 daddr 2001:db8:b::2=7'] },
  {
    name: 'zones for ports',
    zone: ['udp dport 81=1', 'tcp dport 81=1', 'sctp dport 81=1', 'tcp sport 81=1', 'sctp sport 81=1'],
  },
  { name: 'drop, checksum=0', sysctl: ['checksum=0'], drop: ['ip saddr 10.0.0.2'] },
]
