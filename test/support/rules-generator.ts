/** Random rulesets of what `iptables` knows, about the hosts and ports that `PacketGenerator` talks over. */
import type { Random } from './random.js'

interface Kind {
  readonly family: 4 | 6
  readonly random: Random
}

/** What a match or target needs of its rule. */
interface Part {
  readonly text: string
  /** Of `-p`. */
  readonly protocol?: string
}

type Make = (kind: Kind) => Part

const not = (random: Random) => random.chance(4) ? '! ' : ''

function port(random: Random): string {
  return random.pick(['80', '81', '1000', '1001', '1002:1003', '80:81', '0:1000', '1001:65535'])
}

function network({ family, random }: Kind): string {
  return family === 4 ? random.pick(['10.0.0.1/32', '10.0.0.2/32', '10.0.0.3/32', '10.0.0.0/30', '10.0.0.2/31', '10.0.0.1/255.0.0.255', '0.0.0.0/1'])
    : random.pick(['2001:db8:a::1/128', '2001:db8:b::/48', '2001:db8:c::3/128', '2001:db8::/32', '::/1', '2001:db8:a::1/ffff:ffff::ffff'])
}

function ports(random: Random): string {
  const parts = [random.chance(2) ? ` ${not(random)}--sport ${port(random)}` : '', random.chance(2) ? ` ${not(random)}--dport ${port(random)}` : '']
  return parts.join('')
}

const FLAGS = ['SYN', 'ACK', 'FIN', 'RST', 'PSH', 'URG', 'SYN,ACK', 'FIN,SYN,RST,ACK', 'SYN,RST', 'ALL', 'NONE']

const tcp: Make = ({ random }) => {
  const flags = random.chance(3) ? ` ${not(random)}--tcp-flags ${random.pick(['FIN,SYN,RST,ACK', 'SYN,ACK', 'ALL', 'RST', 'PSH,ACK'])} ${random.pick(FLAGS)}` : ''
  const option = random.chance(4) ? ` ${not(random)}--tcp-option ${random.pick([2, 3, 4, 5, 8])}` : ''
  return { protocol: 'tcp', text: `-m tcp${ports(random)}${flags}${option}` }
}
const udp: Make = ({ random }) => ({ protocol: 'udp', text: `-m udp${ports(random)}` })
const CHUNKS = ['DATA', 'INIT', 'INIT_ACK', 'SACK', 'HEARTBEAT', 'ABORT', 'ABORT:T', 'ABORT:t', 'SHUTDOWN', 'COOKIE_ECHO', 'COOKIE_ACK', 'DATA:Be', 'SHUTDOWN_COMPLETE:t']
const sctp: Make = ({ random }) => {
  const chosen = new Map([0, 1].map(() => random.pick(CHUNKS)).map(chunk => [chunk.split(':')[0], chunk]))
  const chunks = random.chance(2) ? ` ${not(random)}--chunk-types ${random.pick(['any', 'all', 'only'])} ${[...chosen.values()].join(',')}` : ''
  return { protocol: 'sctp', text: `-m sctp${ports(random)}${chunks}` }
}
const icmp: Make = ({ family, random }) => family === 4
  ? { protocol: 'icmp', text: `-m icmp ${not(random)}--icmp-type ${random.pick(['0', '8', '3', '3/1', '11', '13', 'any'])}` }
  : { protocol: 'ipv6-icmp', text: `-m icmp6 ${not(random)}--icmpv6-type ${random.pick(['128', '129', '1', '2', '3', '1/3', '137'])}` }
const multiport: Make = ({ random }) => ({
  protocol: random.pick(['tcp', 'udp', 'sctp', 'udplite']),
  text: `-m multiport ${not(random)}--${random.pick(['sports', 'dports', 'ports'])} ${random.pick(['80,81', '1000:1001,81', '80', '1,2,3:90,1002'])}`,
})

const STATES = ['NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'UNTRACKED']
function some(random: Random, words: readonly string[]): string {
  const chosen = words.filter(() => random.chance(3))
  return (chosen.length > 0 ? chosen : [random.pick(words)]).join(',')
}

const state: Make = ({ random }) => ({ text: `-m state ${not(random)}--state ${some(random, STATES)}` })
const conntrack: Make = kind => {
  const { random } = kind
  const options = [
    () => `${not(random)}--ctstate ${some(random, [...STATES, 'SNAT', 'DNAT'])}`,
    () => `${not(random)}--ctproto ${random.pick([6, 17, 1, 58, 132, 136, 47])}`,
    ...['ctorigsrc', 'ctorigdst', 'ctreplsrc', 'ctrepldst'].map(name => () => `${not(random)}--${name} ${network(kind)}`),
    ...['ctorigsrcport', 'ctorigdstport', 'ctreplsrcport', 'ctrepldstport'].map(name => () => `${not(random)}--${name} ${random.pick(['80', '81', '1000:1001', '0', '2048', '0:500'])}`),
    () => `${not(random)}--ctstatus ${some(random, ['NONE', 'EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED'])}`,
    () => `${not(random)}--ctexpire ${random.pick(['0', '1:40', '40:200', '200:500000', '1:4000000'])}`,
    () => `--ctdir ${random.pick(['ORIGINAL', 'REPLY'])}`,
  ]
  const chosen = options.filter(() => random.chance(6))
  return { text: ['-m conntrack', ...(chosen.length > 0 ? chosen : [random.pick(options)]).map(make => make())].join(' ') }
}
const mark = (name: string): Make => ({ random }) => ({ text: `-m ${name} ${not(random)}--mark ${random.pick(['0x1', '0x2/0x3', '0x0', '0x0/0x1', '0x10/0xf0'])}` })
const connbytes: Make = ({ random }) => ({
  text: `-m connbytes ${not(random)}--connbytes ${random.pick(['2', '1:3', '100', '60:500', '0:1'])} --connbytes-mode ${random.pick(['packets', 'bytes', 'avgpkt'])}`
    + ` --connbytes-dir ${random.pick(['original', 'reply', 'both'])}`,
})
const connlimit: Make = ({ family, random }) => ({
  text: `-m connlimit --connlimit-${random.pick(['above', 'upto'])} ${random.below(4)} --connlimit-mask ${family === 4 ? random.pick([32, 30, 0]) : random.pick([128, 40, 0])}`
    + ` --connlimit-${random.pick(['saddr', 'daddr'])}`,
})
const limit: Make = ({ random }) => ({ text: `-m limit --limit ${random.pick(['1/hour', '20/day', '1/min'])} --limit-burst ${1 + random.below(9)}` })
const recent: Make = ({ random, family }) => {
  const command = random.pick(['--set', '--rcheck', '--update', '--remove'])
  const asks = command === '--rcheck' || command === '--update'
  const hits = asks && random.chance(2) ? ` --hitcount ${1 + random.below(5)}` : ''
  const seconds = asks && random.chance(2) ? ` --seconds ${random.pick([60, 3600])}` : ''
  const ttl = asks && random.chance(4) ? ' --rttl' : ''
  const mask = random.chance(3) ? ` --mask ${family === 4 ? '255.255.255.254' : 'ffff:ffff::'}` : ''
  return { text: `-m recent ${not(random)}${command}${seconds}${hits}${ttl} --name ${random.pick(['one', 'two'])}${mask} ${random.pick(['--rsource', '--rdest'])}` }
}
const length: Make = ({ random }) => ({ text: `-m length ${not(random)}--length ${random.pick(['40', '0:60', '61:65535', '28:48', '72'])}` })
const ttl: Make = ({ family, random }) => {
  const name = family === 4 ? 'ttl' : 'hl'
  return { text: `-m ${name} ${random.pick([`--${name}-eq`, `! --${name}-eq`, `--${name}-lt`, `--${name}-gt`])} ${random.pick([62, 63, 64])}` }
}
const iprange: Make = ({ family, random }) => ({
  text: `-m iprange ${not(random)}--${random.pick(['src', 'dst'])}-range ${family === 4 ? random.pick(['10.0.0.1-10.0.0.2', '10.0.0.3-10.0.0.9'])
    : random.pick(['2001:db8:a::1-2001:db8:b::2', '2001:db8:c::-2001:db8:c::ff'])}`,
})
const dscp: Make = ({ random }) => ({ text: `-m dscp ${not(random)}--dscp ${random.pick(['0x00', '0x2e'])}` })
const statistic: Make = ({ random }) => ({ text: `-m statistic --mode nth ${not(random)}--every 3 --packet ${random.below(3)}` })
const comment: Make = () => ({ text: '-m comment --comment "what \\"it\\" is for"' })
const mac: Make = ({ random }) => ({ text: `-m mac ${not(random)}--mac-source 02:00:00:00:00:01` })
const helper: Make = ({ random }) => ({ text: `-m helper ${not(random)}--helper ${random.pick(['ftp', 'tftp-69'])}` })
const addrtype: Make = ({ random }) => ({ text: `-m addrtype ${not(random)}--${random.pick(['src', 'dst'])}-type ${random.pick(['LOCAL', 'UNICAST', 'LOCAL,MULTICAST'])}` })

const MATCHES: readonly Make[] = [
  tcp, tcp, tcp, udp, sctp, icmp, multiport, state, state, conntrack, conntrack, conntrack, conntrack, mark('mark'), mark('connmark'), connbytes, connlimit,
  limit, recent, recent, length, ttl, iprange, dscp, statistic, comment, helper, addrtype,
]

const MARKS = ['--set-mark 1', '--set-mark 0x10/0xf0', '--or-mark 2', '--and-mark 0xf0', '--xor-mark 3', '--set-xmark 0x3/0x1']
const CONNMARKS = [...MARKS, '--save-mark', '--restore-mark', '--save-mark --mask 0xf', '--restore-mark --nfmask 0xf0 --ctmask 0xff']

function target(table: string, { random }: Kind, chains: readonly string[], protocol: string | undefined): string {
  const options = [
    () => '-j ACCEPT', () => '-j DROP', () => '-j RETURN', () => '', () => '-j LOG --log-prefix "seen: "',
    ...(chains.length > 0 ? [() => `-${random.pick(['j', 'j', 'g'])} ${random.pick(chains)}`, () => `-j ${random.pick(chains)}`] : []),
    ...(table === 'raw' ? [
      () => '-j NOTRACK', () => '-j CT --notrack', () => `-j CT --zone ${random.pick([1, 2])}`, () => `-j CT --zone-${random.pick(['orig', 'reply'])} 1`,
      () => '-j CT --zone mark', () => protocol === 'tcp' ? '-j CT --helper ftp' : protocol === 'udp' ? '-j CT --helper tftp' : '-j CT --zone 3',
    ] : []),
    ...(table === 'filter' ? [() => protocol === 'tcp' && random.chance(2) ? '-j REJECT --reject-with tcp-reset' : '-j REJECT'] : []),
    () => `-j MARK ${random.pick(MARKS)}`,
    ...(table === 'raw' ? [] : [() => `-j CONNMARK ${random.pick(CONNMARKS)}`]),
  ]
  return random.pick(options)()
}

function rule(table: string, chain: string, kind: Kind, chains: readonly string[]): string {
  const { random } = kind
  const wanted = Array.from({ length: random.pick([0, 1, 1, 1, 2, 2, 3]) }, () => random.pick(MATCHES)(kind))
  const parts: Part[] = []
  for (const part of wanted) if (part.protocol === undefined || parts.every(other => other.protocol === undefined)) parts.push(part)
  const incoming = chain === 'PREROUTING' || chain === 'INPUT' || chain === 'FORWARD'
  if (incoming && random.chance(25)) parts.push(mac(kind))
  const protocol = parts.find(part => part.protocol !== undefined)?.protocol
  const interfaces = [
    incoming && random.chance(6) ? `${not(random)}-i ${random.pick(['eth0', 'eth1', 'eth+', 'lo'])}` : '',
    (chain === 'FORWARD' || chain === 'OUTPUT' || chain === 'POSTROUTING') && random.chance(6) ? `${not(random)}-o ${random.pick(['eth0', 'eth1', 'e+'])}` : '',
  ]
  return [
    `-A ${chain}`, random.chance(5) ? `${not(random)}-s ${network(kind)}` : '', random.chance(5) ? `${not(random)}-d ${network(kind)}` : '', ...interfaces,
    protocol === undefined ? random.chance(8) ? `${not(random)}-p ${random.pick(['tcp', 'udp', '47', 'sctp', 'udplite'])}` : '' : `-p ${protocol}`,
    ...parts.map(part => part.text), target(table, kind, chains, protocol),
  ].filter(text => text !== '').join(' ')
}

const TABLES: Readonly<Record<string, readonly string[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
}

/** A ruleset as text. */
export function randomRuleset(random: Random, family: 4 | 6): string {
  const kind = { family, random }
  const lines: string[] = []
  for (const [table, builtIn] of Object.entries(TABLES)) {
    if (random.chance(4)) continue
    const own = Array.from({ length: random.below(4) }, (_, i) => `own${i}`)
    lines.push(`*${table}`, ...builtIn.map(chain => `:${chain} ${random.chance(6) ? 'DROP' : 'ACCEPT'} [0:0]`), ...own.map(chain => `:${chain} - [0:0]`))
    for (const chain of builtIn) for (let n = random.below(table === 'filter' ? 8 : 4); n > 0; n--) lines.push(rule(table, chain, kind, own))
    own.forEach((chain, i) => { for (let n = random.below(5); n > 0; n--) lines.push(rule(table, chain, kind, own.slice(i + 1))) })
    lines.push('COMMIT')
  }
  return lines.join('\n') + '\n'
}
