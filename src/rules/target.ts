/** Targets: what a rule does with a packet that fits (iptables-extensions(8)). */
import { allHelpers } from '../helpers/index.js'
import type { HookConnection, Zones } from '../hooks.js'
import { protocolNumber } from '../match.js'
import { STATUS_BITS } from '../names.js'
import { plain, type ReadOption, type RuleContext } from './match.js'
import { STATE_BITS, type RulePacket, type Template } from './packet.js'
import { quoted, type Arguments } from './text.js'
import { hex, readMark, readNumber, shown, type Masked } from './values.js'

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
        const names = Object.keys(REJECTIONS[family])
        const name = names.find(each => each.startsWith(text.toLowerCase()))
        if (name === undefined) throw args.error(`REJECT: '${shown(text)}' is none of ${names.join(', ')}`)
        kind = REJECTIONS[family][name] || name
      }),
    },
    finish: (args, { protocol, protocolNegated }) => {
      if (kind === 'tcp-reset' && (protocol !== 6 || protocolNegated)) throw args.error('REJECT with tcp-reset needs -p tcp')
      return { name: 'REJECT', listing: `reject-with ${kind}`, outcome: 'REJECT', act: kind === 'tcp-reset' ? answerWithReset : null }
    },
  }
}

const LEVELS = ['emerg', 'alert', 'crit', 'error', 'warning', 'notice', 'info', 'debug']
const LOG_FLAGS: Readonly<Record<string, number>> = {
  '--log-tcp-sequence': 1, '--log-tcp-options': 2, '--log-ip-options': 4, '--log-uid': 8, '--log-macdecode': 32,
}

/** What is logged is nobody's business here: the packet goes on. */
const log: TargetModule = () => {
  let [prefix, level, flags] = ['', 4, 0]
  const flag = (bit: number) => plain(() => { flags |= bit })
  return {
    options: {
      '--log-prefix': plain(args => { prefix = readPrefix(args, 29) }),
      '--log-level': plain(args => {
        const text = args.value()
        const named = LEVELS.indexOf(text === 'panic' ? 'emerg' : text)
        level = named >= 0 ? named : readNumber(args, 7, 'level', text)
      }),
      ...Object.fromEntries(Object.entries(LOG_FLAGS).map(([name, bit]) => [name, flag(bit)])),
    },
    finish: () => {
      const listing = `LOG flags ${flags} level ${level}${prefix === '' ? '' : ` prefix "${prefix}"`}`
      return { name: 'LOG', listing, outcome: 'CONTINUE', act: null }
    },
  }
}

/** What is logged before each packet; no more of it than there is room for. */
function readPrefix(args: Arguments, most: number): string {
  const text = args.value()
  if (text === '') throw args.error('a prefix has at least one character')
  return text.slice(0, most)
}

/** `iptables-legacy` has room for less, and cuts what is longer. */
const MOST_NFLOG_PREFIX = 127

const nflog: TargetModule = () => {
  let prefix = ''
  const numbers: Record<string, number> = {}
  const number = (name: string, most: number): ReadOption => plain(args => { numbers[name] = readNumber(args, most, name) })
  return {
    options: {
      '--nflog-prefix': plain(args => { prefix = readPrefix(args, MOST_NFLOG_PREFIX) }), '--nflog-group': number('group', 65535),
      '--nflog-size': number('size', ALL), '--nflog-range': number('range', ALL), '--nflog-threshold': number('threshold', 65535),
    },
    finish: args => {
      if ('size' in numbers && 'range' in numbers) throw args.error('NFLOG has one of --nflog-size and --nflog-range')
      const isShown = (name: string) => numbers[name] > 0 || (name === 'size' && 'size' in numbers)
      const shownNumbers = ['group', 'size', 'range', 'threshold'].filter(isShown).map(name => `nflog-${name} ${numbers[name]}`)
      const listing = [...(prefix === '' ? [] : [`nflog-prefix ${quoted(prefix)}`]), ...shownNumbers].join(' ')
      return { name: 'NFLOG', listing, outcome: 'CONTINUE', act: null }
    },
  }
}

const ALL = 0xffffffff

/** What `MARK` and `CONNMARK` make of a mark: the bits of the mask zeroed, the value exclusive-ored. `--set-mark` sets the bits of value and mask; `--set-xmark` zeroes those of the mask alone. */
function changeOptions(set: (args: Arguments, value: number, mask: number) => void): Record<string, ReadOption> {
  const bits = (args: Arguments) => readNumber(args, ALL, 'mark')
  return {
    '--set-xmark': plain(args => { const { value, mask } = readMark(args); set(args, value, mask) }),
    '--set-mark': plain(args => { const { value, mask } = readMark(args); set(args, value, value | mask) }),
    '--and-mark': plain(args => set(args, 0, ~bits(args))),
    '--or-mark': plain(args => { const value = bits(args); set(args, value, value) }),
    '--xor-mark': plain(args => set(args, bits(args), 0)),
  }
}

function changeText({ value, mask }: Masked): string {
  const [v, m] = [value >>> 0, mask >>> 0]
  if (v === 0) return `and ${hex(~m)}`
  if (v === m) return `or ${hex(v)}`
  if (m === 0) return `xor ${hex(v)}`
  return m === ALL ? `set ${hex(v)}` : `xset ${hex(v)}/${hex(m)}`
}

const markTarget: TargetModule = () => {
  let change: Masked | null = null
  return {
    options: changeOptions((args, value, mask) => {
      if (change !== null) throw args.error('MARK does one thing')
      change = { value, mask }
    }),
    finish: args => {
      if (change === null) throw args.error('MARK: what to do is missing')
      const { value, mask } = change
      return { name: 'MARK', listing: `MARK ${changeText(change)}`, outcome: 'CONTINUE', act: packet => { packet.mark = (packet.mark & ~mask ^ value) >>> 0 } }
    },
  }
}

interface Shift {
  readonly by: number
  readonly left: boolean
}

const connmarkTarget: TargetModule = () => {
  let change: Masked | null = null
  let copy: 'save' | 'restore' | null = null
  let shift: Shift = { by: 0, left: true }
  const masks: { nf?: number; ct?: number; both?: number } = {}
  const begin = (args: Arguments) => {
    if (change !== null || copy !== null) throw args.error('CONNMARK does one thing')
  }
  const copyOption = (wanted: 'save' | 'restore'): ReadOption => plain(args => {
    begin(args)
    copy = wanted
  })
  /** What is set before has this mask, what is set after it its own. */
  const maskOption = (which: keyof typeof masks): ReadOption => plain(args => {
    const mask = masks[which] = readNumber(args, ALL, 'mask')
    if (change !== null && which !== 'nf') change = { ...change, mask }
  })
  const shiftOption = (left: boolean): ReadOption => plain(args => { shift = { by: readNumber(args, 31, 'shift'), left } })
  return {
    options: {
      ...changeOptions((args, value, mask) => {
        begin(args)
        change = { value, mask }
      }),
      '--save-mark': copyOption('save'), '--restore-mark': copyOption('restore'),
      '--nfmask': maskOption('nf'), '--ctmask': maskOption('ct'), '--mask': maskOption('both'),
      '--left-shift-mark': shiftOption(true), '--right-shift-mark': shiftOption(false),
    },
    finish: args => {
      const { nf, ct, both } = masks
      if (both !== undefined && (nf !== undefined || ct !== undefined)) throw args.error('CONNMARK: --mask is both --nfmask and --ctmask')
      if (copy !== null) return copyMark(copy, both ?? nf ?? ALL, both ?? ct ?? ALL, shift)
      if (change === null) throw args.error('CONNMARK: what to do is missing')
      return changeConnmark(change, shift)
    },
  }
}

function changeConnmark(change: Masked, shift: Shift): Target {
  const { value, mask } = change
  return {
    name: 'CONNMARK', listing: `CONNMARK ${changeText(change)}${shiftText(shift)}`, outcome: 'CONTINUE',
    act: ({ connection }) => connection?.setMark(shifted(connection.mark & ~mask ^ value, shift)),
  }
}

function copyMark(copy: 'save' | 'restore', nfmask: number, ctmask: number, shift: Shift): Target {
  const masks = nfmask === ALL && ctmask === ALL ? '' : nfmask === ctmask ? ` mask ${hex(nfmask)}`
    : copy === 'save' ? ` nfmask ${hex(nfmask)} ctmask ~${hex(ctmask)}` : ` ctmask ${hex(ctmask)} nfmask ~${hex(nfmask)}`
  const act = copy === 'save'
    ? (packet: RulePacket) =>
        packet.connection?.setMark((packet.connection.mark & ~ctmask ^ shifted(packet.mark & nfmask, shift)) >>> 0)
    : (packet: RulePacket) => {
        const { connection } = packet
        if (connection !== null) packet.mark = (packet.mark & ~nfmask ^ shifted(connection.mark & ctmask, shift)) >>> 0
      }
  return { name: 'CONNMARK', listing: `CONNMARK ${copy}${masks}${shiftText(shift)}`, outcome: 'CONTINUE', act }
}

/** What is changed or copied, moved: the bits that are pushed out are lost. */
function shifted(mark: number, { by, left }: Shift): number {
  return (left ? mark << by : mark >>> by) >>> 0
}

function shiftText({ by, left }: Shift): string {
  return by === 0 ? '' : ` ${left ? 'left' : 'right'}-shift-mark ${by}`
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

/** In the order in which they are listed. */
const CT_EVENTS = ['new', 'related', 'destroy', 'reply', 'assured', 'protoinfo', 'helper', 'mark', 'natseqinfo', 'secmark']

function readEvents(args: Arguments, known: readonly string[]): string {
  const words = args.value().split(',')
  const wrong = words.find(word => !known.includes(word))
  if (wrong !== undefined) throw args.error(`CT: event '${shown(wrong)}' is none of ${known.join(', ')}`)
  return known.filter(word => words.includes(word)).join(',')
}

const ct: TargetModule = () => {
  let template = NO_TEMPLATE
  const events = { ct: '', exp: '' }
  const directions = new Set<Template['zoneDirection']>()
  /** Of both directions where both were given one; the last zone counts, but that the packet's mark is one. */
  const zone = (direction: Template['zoneDirection']): ReadOption => plain(args => {
    const text = args.value()
    if (direction !== 'both') directions.add(direction)
    const zoneDirection = directions.size === 1 ? [...directions][0] : 'both'
    const isMark = text.toLowerCase() === 'mark'
    const id = isMark ? 0 : readNumber(args, 65535, 'zone', text)
    template = { ...template, zoneDirection, zoneOfMark: isMark || template.zoneOfMark, zone: id }
  })
  return {
    options: {
      '--notrack': plain(() => { template = { ...template, notrack: true } }),
      '--helper': plain(args => { template = { ...template, helper: helperName(args) } }),
      '--timeout': plain(args => { template = { ...template, timeout: policyName(args) } }),
      '--zone': zone('both'), '--zone-orig': zone('original'), '--zone-reply': zone('reply'),
      '--ctevents': plain(args => { events.ct = readEvents(args, CT_EVENTS) }),
      '--expevents': plain(args => { events.exp = readEvents(args, ['new']) }),
    },
    finish: (args, rule) => {
      if (!template.notrack) checkHelper(args, template.helper, rule)
      if (template.timeout !== null && rule.protocol === 0) throw args.error('CT --timeout needs -p')
      return templateTarget(ctListing(template, events), template)
    },
  }
}

function policyName(args: Arguments): string {
  const name = args.value()
  if (name.length > 31) throw args.error('at most 31 characters')
  return name
}

/** No name: no helper. */
function helperName(args: Arguments): string | null {
  const name = args.value()
  if (name === '') return null
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

function ctListing(template: Template, events: { readonly ct: string; readonly exp: string }): string {
  const { notrack: exempt, zone, zoneOfMark, zoneDirection, helper, timeout } = template
  const word = { both: 'zone', original: 'zone-orig', reply: 'zone-reply' }[zoneDirection]
  return [
    'CT', ...(exempt ? ['notrack'] : []), ...(helper === null ? [] : [`helper ${helper}`]), ...(timeout === null ? [] : [`timeout ${timeout}`]),
    ...(events.ct === '' ? [] : [`ctevents ${events.ct}`]), ...(events.exp === '' ? [] : [`expevents ${events.exp}`]),
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
  TRACE: { module: simple('TRACE', 'CONTINUE') },
  NOTRACK: { module: notrack, table: 'raw' },
  CT: { module: ct, table: 'raw' },
  MARK: { module: markTarget },
  CONNMARK: { module: connmarkTarget },
}

export function targetModule(name: string): { readonly module: TargetModule; readonly table?: string } | null {
  return Object.hasOwn(TARGETS, name) ? TARGETS[name] : null
}

export const TARGET_NAMES: readonly string[] = Object.keys(TARGETS)
