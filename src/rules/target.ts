/** Targets: what a rule does with a packet that fits (iptables-extensions(8)). */
import { allHelpers } from '../helpers/index.js'
import type { HookConnection, Zones } from '../hooks.js'
import { protocolNumber } from '../match.js'
import { STATUS_BITS } from '../names.js'
import { plain, type ReadOption, type RuleContext } from './match.js'
import { STATE_BITS, type RulePacket, type Template } from './packet.js'
import type { Arguments } from './text.js'
import { hex, readMark, readNumber, shown } from './values.js'

/** What becomes of a packet: it is done, goes back to the chain it came from, or on to the next rule. */
export type Outcome = 'ACCEPT' | 'DROP' | 'REJECT' | 'RETURN' | 'CONTINUE'

export interface Target {
  readonly name: string
  /** As `iptables -L -n` has it behind the matches. */
  readonly listing: string
  readonly outcome: Outcome
  /** What else it does. */
  readonly act: ((packet: RulePacket) => void) | null
  /** Of `CT`: what the tracker must have. */
  readonly template?: Template
}

export interface TargetReader {
  readonly options: Readonly<Record<string, ReadOption>>
  readonly finish: (args: Arguments, rule: RuleContext) => Target
}

type TargetModule = (rule: RuleContext) => TargetReader

/** One without options. */
function simple(name: string, outcome: Outcome): TargetModule {
  return () => ({ options: {}, finish: () => ({ name, listing: '', outcome, act: null }) })
}

const REJECTIONS: Readonly<Record<4 | 6, Readonly<Record<string, string>>>> = {
  4: {
    'icmp-net-unreachable': '', 'net-unreach': 'icmp-net-unreachable', 'icmp-host-unreachable': '', 'host-unreach': 'icmp-host-unreachable',
    'icmp-proto-unreachable': '', 'proto-unreach': 'icmp-proto-unreachable', 'icmp-port-unreachable': '', 'port-unreach': 'icmp-port-unreachable',
    'icmp-net-prohibited': '', 'net-prohib': 'icmp-net-prohibited', 'icmp-host-prohibited': '', 'host-prohib': 'icmp-host-prohibited',
    'tcp-reset': '', 'tcp-rst': 'tcp-reset', 'icmp-admin-prohibited': '', 'admin-prohib': 'icmp-admin-prohibited',
  },
  6: {
    'icmp6-no-route': '', 'no-route': 'icmp6-no-route', 'icmp6-adm-prohibited': '', 'adm-prohibited': 'icmp6-adm-prohibited',
    'icmp6-addr-unreachable': '', 'addr-unreach': 'icmp6-addr-unreachable', 'icmp6-port-unreachable': '', 'port-unreach': 'icmp6-port-unreachable',
    'tcp-reset': '', 'icmp6-policy-fail': '', 'policy-fail': 'icmp6-policy-fail', 'icmp6-reject-route': '', 'reject-route': 'icmp6-reject-route',
  },
}

const TCP_RST = 0x04

/** A reset is not answered with one (RFC 9293, 3.10.7.1). */
function answerWithReset(packet: RulePacket): void {
  const isReset = packet.hasTransport(14) && (packet.u8(packet.transport + 13) & TCP_RST) !== 0
  if (!isReset) packet.connection?.close()
}

const reject: TargetModule = ({ family }) => {
  let kind = family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable'
  return {
    options: {
      '--reject-with': plain(args => {
        const text = args.value()
        if (!Object.hasOwn(REJECTIONS[family], text)) throw args.error(`REJECT: '${shown(text)}' is none of ${Object.keys(REJECTIONS[family]).join(', ')}`)
        kind = REJECTIONS[family][text] || text
      }),
    },
    finish: (args, { protocol, protocolNegated }) => {
      if (kind === 'tcp-reset' && (protocol !== 6 || protocolNegated)) throw args.error('REJECT with tcp-reset needs -p tcp')
      return { name: 'REJECT', listing: `reject-with ${kind}`, outcome: 'REJECT', act: kind === 'tcp-reset' ? answerWithReset : null }
    },
  }
}

const LEVELS = ['emerg', 'alert', 'crit', 'error', 'warning', 'notice', 'info', 'debug']
const LEVEL_ALIASES: Readonly<Record<string, number>> = { panic: 0, err: 3, warn: 4 }
const LOG_FLAGS: Readonly<Record<string, number>> = {
  '--log-tcp-sequence': 1, '--log-tcp-options': 2, '--log-ip-options': 4, '--log-uid': 8, '--log-macdecode': 32,
}

/** What is logged is nobody's business here: the packet goes on. */
const log: TargetModule = () => {
  let [prefix, level, flags] = ['', 4, 0]
  const flag = (bit: number) => plain(() => { flags |= bit })
  return {
    options: {
      '--log-prefix': plain(args => { prefix = shorter(args, 29) }),
      '--log-level': plain(args => {
        const text = args.value().toLowerCase()
        const named = LEVELS.indexOf(text)
        level = named >= 0 ? named : LEVEL_ALIASES[text] ?? readNumber(args, 7, 'level', text)
      }),
      ...Object.fromEntries(Object.entries(LOG_FLAGS).map(([name, bit]) => [name, flag(bit)])),
    },
    finish: () => {
      const listing = `LOG flags ${flags} level ${level}${prefix === '' ? '' : ` prefix "${prefix}"`}`
      return { name: 'LOG', listing, outcome: 'CONTINUE', act: null }
    },
  }
}

function shorter(args: Arguments, most: number): string {
  const text = args.value()
  if (text.length > most) throw args.error(`at most ${most} characters`)
  return text
}

const nflog: TargetModule = () => {
  let prefix = ''
  const numbers: Record<string, number> = {}
  const number = (name: string): ReadOption => plain(args => { numbers[name] = readNumber(args, 0xffffffff, name) })
  return {
    options: {
      '--nflog-prefix': plain(args => { prefix = shorter(args, 63) }),
      '--nflog-group': number('group'), '--nflog-size': number('size'), '--nflog-range': number('range'), '--nflog-threshold': number('threshold'),
    },
    finish: () => {
      const shownNumbers = ['group', 'size', 'range', 'threshold'].filter(name => numbers[name]).map(name => `nflog-${name} ${numbers[name]}`)
      const listing = [...(prefix === '' ? [] : [`nflog-prefix "${prefix}"`]), ...shownNumbers].join(' ')
      return { name: 'NFLOG', listing, outcome: 'CONTINUE', act: null }
    },
  }
}

/** What `MARK` and `CONNMARK` make of a mark: the bits of `mask` zeroed, `value` exclusive-ored. */
interface Change {
  readonly value: number
  readonly mask: number
  readonly listing: string
}

const ALL = 0xffffffff

/** `--set-mark` sets the bits of value and mask; `--set-xmark` zeroes those of the mask alone. */
function changeOptions(set: (change: Change) => void): Record<string, ReadOption> {
  const bits = (args: Arguments) => readNumber(args, ALL, 'mark')
  const listed = (value: number, mask: number): Change => {
    const [v, m] = [value >>> 0, mask >>> 0]
    if (v === 0) return { value: v, mask: m, listing: `and ${hex(~m)}` }
    if (v === m) return { value: v, mask: m, listing: `or ${hex(v)}` }
    if (m === 0) return { value: v, mask: m, listing: `xor ${hex(v)}` }
    return { value: v, mask: m, listing: m === ALL ? `set ${hex(v)}` : `xset ${hex(v)}/${hex(m)}` }
  }
  return {
    '--set-xmark': plain(args => { const { value, mask } = readMark(args); set(listed(value, mask)) }),
    '--set-mark': plain(args => { const { value, mask } = readMark(args); set(listed(value, value | mask)) }),
    '--and-mark': plain(args => set(listed(0, ~bits(args)))),
    '--or-mark': plain(args => { const value = bits(args); set(listed(value, value)) }),
    '--xor-mark': plain(args => set(listed(bits(args), 0))),
  }
}

const markTarget: TargetModule = () => {
  let change: Change | null = null
  return {
    options: changeOptions(wanted => { change = wanted }),
    finish: args => {
      if (change === null) throw args.error('MARK: what to do is missing')
      const { value, mask, listing } = change
      return { name: 'MARK', listing: `MARK ${listing}`, outcome: 'CONTINUE', act: packet => { packet.mark = (packet.mark & ~mask ^ value) >>> 0 } }
    },
  }
}

const connmarkTarget: TargetModule = () => {
  let change: Change | null = null
  let copy: 'save' | 'restore' | null = null
  let [nfmask, ctmask] = [ALL, ALL]
  return {
    options: {
      ...changeOptions(wanted => { change = wanted }),
      '--save-mark': plain(() => { copy = 'save' }),
      '--restore-mark': plain(() => { copy = 'restore' }),
      '--nfmask': plain(args => { nfmask = readNumber(args, ALL, 'mask') }),
      '--ctmask': plain(args => { ctmask = readNumber(args, ALL, 'mask') }),
      '--mask': plain(args => { nfmask = ctmask = readNumber(args, ALL, 'mask') }),
    },
    finish: args => {
      if ((change === null) === (copy === null)) throw args.error('CONNMARK: one of setting, saving and restoring is needed')
      if (copy !== null) return copyMark(copy, nfmask, ctmask)
      const { value, mask, listing } = change!
      return {
        name: 'CONNMARK', listing: `CONNMARK ${listing}`, outcome: 'CONTINUE',
        act: ({ connection }) => connection?.setMark((connection.mark & ~mask ^ value) >>> 0),
      }
    },
  }
}

function copyMark(copy: 'save' | 'restore', nfmask: number, ctmask: number): Target {
  const masks = nfmask === ALL && ctmask === ALL ? '' : nfmask === ctmask ? ` mask ${hex(nfmask)}`
    : copy === 'save' ? ` nfmask ${hex(nfmask)} ctmask ~${hex(ctmask)}` : ` ctmask ${hex(ctmask)} nfmask ~${hex(nfmask)}`
  const act = copy === 'save'
    ? (packet: RulePacket) => packet.connection?.setMark((packet.connection.mark & ~ctmask ^ packet.mark & nfmask) >>> 0)
    : (packet: RulePacket) => {
        const { connection } = packet
        if (connection !== null) packet.mark = (packet.mark & ~nfmask ^ connection.mark & ctmask) >>> 0
      }
  return { name: 'CONNMARK', listing: `CONNMARK ${copy}${masks}`, outcome: 'CONTINUE', act }
}

/** Linux has templates confirmed from the start: `--ctstatus CONFIRMED` holds behind `CT`. */
const TEMPLATE_STATUS = 1 << STATUS_BITS.indexOf('TEMPLATE') | 1 << STATUS_BITS.indexOf('CONFIRMED')

const NO_TEMPLATE: Template = {
  notrack: false, zone: 0, zoneOfMark: false, zoneDirection: 'both', helper: null, timeout: null,
}

/**
 * A packet keeps the first template that it gets: Linux passes over the others. Rules behind it see the template as they
 * would a connection, NEW and without addresses, or the packet as UNTRACKED.
 */
function templateTarget(listing: string, template: Template): Target {
  return {
    name: 'CT', listing, outcome: 'CONTINUE', template,
    act: packet => {
      // What the tracker found INVALID before it left over `lo` has no connection when it comes in again.
      const isExemptedLater = template.notrack && packet.stateBit === STATE_BITS.INVALID
      if (packet.stateBit !== 0 && !isExemptedLater) return
      packet.template = template
      packet.stateBit = template.notrack ? STATE_BITS.UNTRACKED : STATE_BITS.NEW
      packet.connection = template.notrack ? null : new TemplateConnection(packet.family, template)
    },
  }
}

/** Before any data there is, where all is zero. */
const NOWHERE = -16

/** What the raw table's rules behind `CT` see. */
class TemplateConnection implements HookConnection {
  readonly id = 0
  readonly slot = 0
  readonly direction = 'original'
  readonly status = TEMPLATE_STATUS
  readonly protocol = 0
  readonly timeLeftNs = 0n
  readonly account = null
  readonly masterHelper = null
  readonly isDying = false
  readonly zone: number
  readonly zones: Zones
  mark = 0

  constructor(readonly family: 4 | 6, { zone, zoneDirection }: Template) {
    this.zone = zone
    this.zones = { original: zoneDirection === 'reply' ? 0 : zone, reply: zoneDirection === 'original' ? 0 : zone }
  }

  addressAt(): number {
    return NOWHERE
  }

  port(): number {
    return 0
  }

  setMark(mark: number): void {
    this.mark = mark
  }

  close(): void {}
}

const notrack: TargetModule = () => ({ options: {}, finish: () => templateTarget('NOTRACK', { ...NO_TEMPLATE, notrack: true }) })

const HELPERS = allHelpers()

const ct: TargetModule = () => {
  let template = NO_TEMPLATE
  const extra: string[] = []
  const zone = (zoneDirection: Template['zoneDirection']): ReadOption => plain(args => {
    const text = args.value()
    const zoneOfMark = text === 'mark'
    template = { ...template, zoneDirection, zoneOfMark, zone: zoneOfMark ? 0 : readNumber(args, 65535, 'zone', text) }
  })
  const events = (name: string): ReadOption => plain(args => { extra.push(`${name} ${args.value()}`) })
  return {
    options: {
      '--notrack': plain(() => { template = { ...template, notrack: true } }),
      '--helper': plain(args => { template = { ...template, helper: helperName(args) } }),
      '--timeout': plain(args => { template = { ...template, timeout: shorter(args, 31) } }),
      '--zone': zone('both'), '--zone-orig': zone('original'), '--zone-reply': zone('reply'),
      '--ctevents': events('ctevents'), '--expevents': events('expevents'),
    },
    finish: (args, rule) => {
      checkHelper(args, template.helper, rule)
      if (template.timeout !== null && rule.protocol === 0) throw args.error('CT --timeout needs -p')
      return templateTarget(ctListing(template, extra), template)
    },
  }
}

function helperName(args: Arguments): string {
  const name = args.value()
  if (HELPERS.some(helper => helper.name === name)) return name
  throw args.error(`CT: helper '${shown(name)}' is none of ${[...new Set(HELPERS.map(helper => helper.name))].join(', ')}`)
}

/** Linux looks a helper up by the rule's own protocol and IP version. */
function checkHelper(args: Arguments, name: string | null, { protocol, protocolNegated, family }: RuleContext): void {
  if (name === null) return
  if (protocol === 0 || protocolNegated) throw args.error('CT --helper needs -p')
  const fits = HELPERS.some(helper => helper.name === name && helper.families.includes(family)
    && [helper.protocol].flat().some(each => protocolNumber(each) === protocol))
  if (!fits) throw args.error(`helper ${name} is not for this protocol and IP version`)
}

function ctListing({ notrack: exempt, zone, zoneOfMark, zoneDirection, helper, timeout }: Template, extra: readonly string[]): string {
  if (exempt) return 'CT notrack'
  const word = { both: 'zone', original: 'zone-orig', reply: 'zone-reply' }[zoneDirection]
  return [
    'CT', ...(helper === null ? [] : [`helper ${helper}`]), ...(timeout === null ? [] : [`timeout ${timeout}`]), ...extra,
    ...(zoneOfMark ? [`${word} mark`] : zone ? [`${word} ${zone}`] : []),
  ].join(' ')
}

/** Targets, and the table that each is for where there is one. */
const TARGETS: Readonly<Record<string, { readonly module: TargetModule; readonly table?: string }>> = {
  ACCEPT: { module: simple('ACCEPT', 'ACCEPT') },
  DROP: { module: simple('DROP', 'DROP') },
  RETURN: { module: simple('RETURN', 'RETURN') },
  REJECT: { module: reject, table: 'filter' },
  LOG: { module: log },
  NFLOG: { module: nflog },
  TRACE: { module: simple('TRACE', 'CONTINUE'), table: 'raw' },
  NOTRACK: { module: notrack, table: 'raw' },
  CT: { module: ct, table: 'raw' },
  MARK: { module: markTarget },
  CONNMARK: { module: connmarkTarget },
}

export function targetModule(name: string): { readonly module: TargetModule; readonly table?: string } | null {
  return Object.hasOwn(TARGETS, name) ? TARGETS[name] : null
}

export const TARGET_NAMES: readonly string[] = Object.keys(TARGETS)
