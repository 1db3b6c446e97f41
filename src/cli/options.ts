/**
 * The command line's options: one table says what each is called, what it takes, which commands know it and what
 * `--help` says. In: the arguments. Out: what to do, with every value checked, or a `UsageError`.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { TrackerOptions } from '../index.js'
import { allHelpers, HELPER_NAMES, standardHelper, type Helper } from '../helpers/index.js'
import type { FirewallOptions } from '../rules/firewall.js'
import { withoutPrefix } from '../sysctl.js'
import type { OutputFlags } from '../format/conntrack.js'
import { LABEL_FILE } from '../format/labels.js'
import type { PacketMatch, TimeoutPolicy, ZoneRule } from '../types.js'
import { parseFilter, type Filter } from './filter.js'
import { UsageError } from './errors.js'

/** The commands and what `--help` says of them. */
export const COMMANDS = {
  classify: 'one line a packet: the verdict',
  connections: 'the table at the end, as `conntrack -L` prints it',
  events: 'what happened to connections, as `conntrack -E` prints it',
  statistics: 'packets by state, by reason, by protocol; the counters of `conntrack -S`',
  explain: 'the story of one packet\'s verdict',
  diff: 'several configurations over one capture: `--with SYSCTL=VALUE ...` or `--rules A --rules B`',
  rules: 'iptables rules judged over the packets: `rules RULESET CAPTURE`',
} as const

export type Command = keyof typeof COMMANDS

/** The words of `-o` that were given. */
export type OutputWords = Readonly<Record<keyof OutputFlags, boolean>>

/** What `connections` prints. */
export type ListFormat = 'conntrack' | 'proc'

/** A command line that can be run. */
export interface Invocation {
  readonly command: Command
  /** Path of the capture, or `-` for standard input. */
  readonly capture: string
  readonly json: boolean
  readonly detail: boolean
  /** `explain`: the packet asked about; 0 for the other commands. */
  readonly packet: number
  readonly output: OutputWords
  readonly format: ListFormat
  /** Expectations in place of connections. */
  readonly expectations: boolean
  readonly filter: Filter | null
  readonly tracker: TrackerOptions
  /** `rules`: what is asked of them. */
  readonly rules: RulesRequest | null
  /** `diff`: what is compared. */
  readonly diff: DiffRequest | null
}

/** What `diff` is asked for: rulesets, or settings beside none. */
export interface DiffRequest extends Pick<RulesRequest, 'rulesets' | 'unknown' | 'firewall'> {
  readonly settings: readonly Readonly<Record<string, number>>[]
}

/** What `rules` is asked for. */
export interface RulesRequest {
  /** Paths of rulesets, one for each IP version. */
  readonly rulesets: readonly string[]
  readonly unknown: 'error' | 'never-match'
  readonly firewall: Omit<FirewallOptions, 'tracker'>
  /** The packet whose walk is told; 0 for none. */
  readonly trace: number
  /** Path of the decisions that are expected; `null` for none. */
  readonly expect: string | null
}

/** What the arguments ask for. */
export type Request =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'run', readonly invocation: Invocation }

interface Option {
  readonly short?: string
  readonly multiple?: boolean
  /** What the value is called in `--help`; an option without one is a switch. */
  readonly value?: string
  /** Commands that know the option; all when left out. */
  readonly commands?: readonly Command[]
  readonly help: string
}

/** All options, in the order of `--help`. */
const OPTIONS: Readonly<Record<string, Option>> = {
  json: { help: 'one JSON object a line' },
  detail: { commands: ['classify'], help: 'with --json: the whole table entry after each packet (implies acct=1)' },
  packet: { value: 'N', commands: ['explain'], help: 'number of the packet, 1 for the first' },
  output: {
    short: 'o', value: 'WORD,...', multiple: true, commands: ['connections', 'events'],
    help: 'extended: layer 3 columns; id: connection ids; timestamp: times of events; ktimestamp: when a connection'
      + ` began and ended; labels: labels that have names in ${LABEL_FILE}`,
  },
  format: {
    value: 'FORMAT', commands: ['connections'], help: 'conntrack (default) or proc, the text of /proc/net/nf_conntrack',
  },
  expectations: {
    commands: ['connections', 'events'],
    help: 'what helpers expect, as `conntrack -L expect` lists it, or the events about that, instead of connections',
  },
  proto: { short: 'p', value: 'PROTO', commands: ['connections'], help: 'only this protocol, name or number' },
  src: { short: 's', value: 'ADDRESS[/LEN]', commands: ['connections'], help: 'only this source (original direction)' },
  dst: { short: 'd', value: 'ADDRESS[/LEN]', commands: ['connections'], help: 'only this destination' },
  sport: { value: 'PORT', commands: ['connections'], help: 'only this source port' },
  dport: { value: 'PORT', commands: ['connections'], help: 'only this destination port' },
  state: { value: 'STATE', commands: ['connections'], help: 'only this TCP state, such as ESTABLISHED' },
  sysctl: { value: 'NAME=VALUE', multiple: true, help: 'set a sysctl; with or without nf_conntrack_' },
  helper: { value: 'NAME[=PORT,...]', multiple: true, help: `a protocol helper: ${HELPER_NAMES.join(', ')}, or all` },
  notrack: {
    value: 'MATCH', multiple: true,
    help: "packets left untracked: 'proto=udp,dport=53'; also src, dst, sport, dscp, vlan",
  },
  checksum: { value: 'MODE', help: 'verify, offload (default) or ignore' },
  zone: {
    value: 'MATCH=N', multiple: true,
    help: "put packets into a zone: 'proto=udp,dport=53=7', all of them: 7; original:7 and reply:7 for one direction",
  },
  timeout: {
    value: 'MATCH:NAME=SECONDS,...', multiple: true,
    help: "timeouts of connections, by the sysctls' names: 'proto=tcp,dport=22:tcp_timeout_established=3600'",
  },
  with: { value: 'NAME=VALUE,...', multiple: true, commands: ['diff'], help: 'sysctls of a configuration to compare with the one without' },
  rules: { value: 'RULESET', multiple: true, commands: ['diff'], help: 'a ruleset to compare; two or more' },
  hook: { value: 'PATH', commands: ['rules', 'diff'], help: 'the way of the packets: forward (default), input or output' },
  local: {
    value: 'ADDRESS,...', multiple: true, commands: ['rules', 'diff'],
    help: "the machine's own addresses: packets to them are input, from them output",
  },
  interface: {
    value: 'NAME=PREFIX,...', multiple: true, commands: ['rules', 'diff'],
    help: "networks behind an interface, for -i and -o: 'eth0=0.0.0.0/0'; the longest prefix counts",
  },
  also: { value: 'RULESET', commands: ['rules'], help: 'rules of the other IP version' },
  policy: {
    value: 'NAME:NAME=SECONDS,...', multiple: true, commands: ['rules', 'diff'], help: 'a timeout policy that CT --timeout names',
  },
  unknown: { value: 'WHAT', commands: ['rules', 'diff'], help: 'what becomes of rules that are not understood: error (default) or never-match' },
  trace: { value: 'N', commands: ['rules'], help: 'the walk of packet N through the chains' },
  expect: { value: 'FILE', commands: ['rules'], help: 'decisions as --json prints them: exit 1 where they differ' },
  seed: { value: 'N', help: 'seed of the hash, for runs that must not vary' },
  help: { short: 'h', help: 'this text' },
  version: { help: 'the version' },
}

/** Options by which connections are chosen. */
const FILTERS = ['proto', 'src', 'dst', 'sport', 'dport', 'state']

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** What to do about these arguments (without the program's name). */
export function parseRequest(args: readonly string[]): Request {
  const { values, positionals } = parse(args)
  if (values.help === true) return { kind: 'help' }
  if (values.version === true) return { kind: 'version' }
  const [name, ...operands] = positionals
  if (name === undefined) throw new UsageError('no command given')
  if (!isCommand(name)) throw new UsageError(`unknown command '${name}'; there is ${Object.keys(COMMANDS).join(', ')}`)
  const ruleset = name === 'rules' ? operands.shift() : undefined
  const [capture, ...more] = operands
  if (name === 'rules' && capture === undefined) throw new UsageError('rules needs a ruleset and a capture, or - for standard input')
  if (capture === undefined) throw new UsageError(`${name} needs a capture, or - for standard input`)
  if (more.length > 0) throw new UsageError(`one capture at a time, not also '${more[0]}'`)
  refuseOptions(values, name)
  return { kind: 'run', invocation: invocation(name, capture, values, ruleset) }
}

/** What `--help` prints. */
export function helpText(): string {
  const options = Object.entries(OPTIONS).map(([name, option]) => {
    return [optionText(name, option), optionHelp(option)] as const
  })
  return [
    'Usage: conntrack-wasm <command> [options] <capture | ->',
    '       conntrack-wasm rules [options] <ruleset> <capture | ->',
    '',
    'What Linux\'s connection tracking makes of the packets of a capture (pcap or pcapng, also gzipped).',
    '',
    'Commands:', ...columns(Object.entries(COMMANDS)), '',
    'Options:', ...columns(options), '',
    'Exit status: 0 done, 1 a check failed, 2 usage, 3 bad input (after everything readable was processed).',
  ].join('\n') + '\n'
}

function parse(args: readonly string[]): { values: Values, positionals: string[] } {
  const options: NonNullable<ParseArgsConfig['options']> = {}
  for (const [name, { short, multiple = false, value }] of Object.entries(OPTIONS)) {
    const type = value === undefined ? 'boolean' : 'string'
    options[name] = { type, multiple, ...(short === undefined ? {} : { short }) }
  }
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // Node adds advice on `--`; the first sentence is what is wrong.
    throw new UsageError(error.message.split('. ')[0].split('\n')[0])
  }
}

function isCommand(name: string): name is Command {
  return Object.hasOwn(COMMANDS, name)
}

function refuseOptions(values: Values, command: Command): void {
  for (const name of Object.keys(values)) {
    const { commands } = OPTIONS[name]
    if (commands !== undefined && !commands.includes(command)) {
      throw new UsageError(`--${name} is an option of ${commands.join(' and ')}, not of ${command}`)
    }
  }
}

function invocation(command: Command, capture: string, values: Values, ruleset: string | undefined): Invocation {
  const json = values.json === true
  const detail = values.detail === true
  if (detail && !json) throw new UsageError('--detail needs --json')
  const expectations = values.expectations === true
  const filtered = FILTERS.find(name => values[name] !== undefined)
  if (expectations && filtered !== undefined) throw new UsageError(`--${filtered} is for connections, not for --expectations`)
  if (command === 'explain' && values.packet === undefined) throw new UsageError('explain needs --packet N')
  return {
    command, capture, json, detail,
    packet: command === 'explain' ? packetNumber(text(values.packet)) : 0,
    output: outputWords(texts(values.output)),
    format: listFormat(text(values.format), json || values.output !== undefined),
    expectations,
    filter: parseFilter({
      proto: text(values.proto), src: text(values.src), dst: text(values.dst),
      sport: text(values.sport), dport: text(values.dport), state: text(values.state),
    }),
    tracker: trackerOptions(command, detail, values),
    rules: ruleset === undefined ? null : rulesRequest(ruleset, values),
    diff: command === 'diff' ? diffRequest(values) : null,
  }
}

/** What rules decide themselves, and so is not for options to decide. */
const DECIDED_BY_RULES = ['notrack', 'zone', 'timeout', 'helper']

function rulesRequest(ruleset: string, values: Values): RulesRequest {
  const refused = DECIDED_BY_RULES.find(name => values[name] !== undefined)
  if (refused !== undefined) throw new UsageError(`--${refused} is not for rules: their raw table says that`)
  const also = text(values.also)
  const trace = text(values.trace)
  return {
    rulesets: also === undefined ? [ruleset] : [ruleset, also], ...howRulesAreRead(values),
    trace: trace === undefined ? 0 : packetNumber(trace, '--trace'),
    expect: text(values.expect) ?? null,
  }
}

function howRulesAreRead(values: Values): Pick<RulesRequest, 'unknown' | 'firewall'> {
  const hook = text(values.hook) ?? 'forward'
  if (hook !== 'forward' && hook !== 'input' && hook !== 'output') throw new UsageError(`--hook takes forward, input or output, not '${hook}'`)
  const unknown = text(values.unknown) ?? 'error'
  if (unknown !== 'error' && unknown !== 'never-match') throw new UsageError(`--unknown takes error or never-match, not '${unknown}'`)
  return {
    unknown,
    firewall: {
      hook,
      local: texts(values.local).flatMap(list => list.split(',')),
      interfaces: Object.fromEntries(texts(values.interface).map(parseInterface)),
      timeouts: Object.fromEntries(texts(values.policy).map(parseNamedPolicy)),
    },
  }
}

function diffRequest(values: Values): DiffRequest {
  const rulesets = texts(values.rules)
  const settings = texts(values.with).map(list => Object.fromEntries(list.split(',').map(setting => {
    const parsed = parseSetting(setting)
    if (parsed === null) throw new UsageError(`--with takes NAME=VALUE with commas between, not '${list}'`)
    return parsed
  })))
  if ((rulesets.length > 0) === (settings.length > 0)) throw new UsageError('diff needs either --with or --rules')
  if (rulesets.length === 1) throw new UsageError('diff needs two rulesets')
  const refused = rulesets.length > 0 ? DECIDED_BY_RULES.find(name => values[name] !== undefined) : undefined
  if (refused !== undefined) throw new UsageError(`--${refused} is not for rules: their raw table says that`)
  return { rulesets, settings, ...howRulesAreRead(values) }
}

/** `eth0=10.0.0.0/8,192.168.0.0/16` */
function parseInterface(option: string): [string, string[]] {
  const [name, prefixes, ...more] = option.split('=')
  if (name === '' || prefixes === undefined || more.length > 0) throw new UsageError(`--interface takes NAME=PREFIX,..., not '${option}'`)
  return [name, prefixes.split(',')]
}

/** `NAME:tcp_timeout_established=60,...` */
function parseNamedPolicy(option: string): [string, Record<string, number>] {
  const at = option.indexOf(':')
  const timeouts = option.slice(at + 1).split(',').map(parseSetting)
  if (at < 1 || timeouts.includes(null)) throw new UsageError(`--policy takes NAME:NAME=SECONDS with commas between, not '${option}'`)
  return [option.slice(0, at), Object.fromEntries(timeouts.filter(setting => setting !== null))]
}

function trackerOptions(command: Command, detail: boolean, values: Values): TrackerOptions {
  // What is asked for by name wins over what --detail implies.
  const sysctl = { ...(detail ? { acct: 1 } : {}), ...parseSysctls(texts(values.sysctl)) }
  const seed = text(values.seed)
  return {
    sysctl,
    ...(seed === undefined ? {} : { hashSeed: parseSeed(seed) }),
    notrack: texts(values.notrack).map(match => parseMatch('--notrack', match)),
    ...(values.zone === undefined ? {} : { zone: texts(values.zone).map(parseZone) }),
    ...(values.timeout === undefined ? {} : { timeouts: texts(values.timeout).map(parsePolicy) }),
    ...(values.helper === undefined ? {} : { helpers: texts(values.helper).flatMap(parseHelper) }),
    checksum: parseChecksum(text(values.checksum)),
    explain: detail || command === 'explain',
    ...(values.json === true && (command === 'connections' || command === 'events') ? { history: true } : {}),
  }
}

/** `--sysctl` values by Linux's names without their prefixes; the last one of a name counts. */
function parseSysctls(settings: readonly string[]): Record<string, number> {
  return Object.fromEntries(settings.map(setting => {
    const parsed = parseSetting(setting)
    if (parsed === null) throw new UsageError(`--sysctl takes NAME=VALUE, a whole number, not '${setting}'`)
    return parsed
  }))
}

/** Name without prefixes, and value. */
function parseSetting(setting: string): [string, number] | null {
  const match = /^([a-z][a-z0-9_./]*)=(-?\d+)$/.exec(setting)
  return match === null ? null : [withoutPrefix(match[1]), Number(match[2])]
}

const MATCH_KEYS: Readonly<Record<string, keyof PacketMatch>> = {
  proto: 'protocol', protocol: 'protocol', src: 'src', dst: 'dst', sport: 'sport', dport: 'dport', dscp: 'dscp',
  vlan: 'vlan',
}

/** `proto=udp,dport=53` as the SDK's match; the values are the SDK's to check. */
function parseMatch(option: string, match: string): PacketMatch {
  return Object.fromEntries(match.split(',').map(part => {
    const [key, value, ...more] = part.split('=')
    if (!Object.hasOwn(MATCH_KEYS, key) || value === undefined || value === '' || more.length > 0) {
      const keys = Object.keys(MATCH_KEYS).filter(name => name !== 'protocol').join('=, ')
      throw new UsageError(`${option} takes ${keys}= with commas between, not '${match}'`)
    }
    const isAddress = key === 'src' || key === 'dst'
    return [MATCH_KEYS[key], !isAddress && /^\d+$/.test(value) ? Number(value) : value]
  }))
}

/** `MATCH=N`, or `N` for every packet; N may have its direction in front. */
function parseZone(rule: string): ZoneRule {
  const at = rule.lastIndexOf('=')
  const match = at < 0 ? {} : parseMatch('--zone', rule.slice(0, at))
  const zone = /^(?:(original|reply):)?(\d+)$/.exec(rule.slice(at + 1))
  if (zone === null) throw new UsageError(`--zone takes MATCH=N or N, with original: or reply: before N, not '${rule}'`)
  const direction = zone[1] as 'original' | 'reply' | undefined
  return { ...match, id: Number(zone[2]), ...(direction === undefined ? {} : { direction }) }
}

/** `MATCH:NAME=SECONDS,...`; the match may have the colons of addresses. */
function parsePolicy(policy: string): TimeoutPolicy {
  const at = policy.lastIndexOf(':')
  const timeouts = policy.slice(at + 1).split(',').map(parseSetting)
  if (at < 0 || timeouts.includes(null)) {
    throw new UsageError(`--timeout takes MATCH:NAME=SECONDS with commas between, not '${policy}'`)
  }
  const match = parseMatch('--timeout', policy.slice(0, at))
  return { ...match, timeouts: Object.fromEntries(timeouts.filter(setting => setting !== null)) }
}

/** `ftp`, `ftp=21,2121`, or `all`. */
function parseHelper(text: string): readonly Helper[] {
  const [name, ports, ...more] = text.split('=')
  if (name === 'all' && ports === undefined) return allHelpers()
  const isRight = HELPER_NAMES.includes(name) && more.length === 0 && (ports === undefined || /^\d{1,5}(,\d{1,5})*$/.test(ports))
  if (!isRight) throw new UsageError(`--helper takes ${HELPER_NAMES.join(', ')}, each with =PORT,... if need be, or all; not '${text}'`)
  return standardHelper(name, ports?.split(',').map(Number))
}

function parseChecksum(mode = 'offload'): 'verify' | 'offload' | 'ignore' {
  if (mode === 'verify' || mode === 'offload' || mode === 'ignore') return mode
  throw new UsageError(`--checksum takes verify, offload or ignore, not '${mode}'`)
}

function parseSeed(seed: string): bigint {
  const value = /^(\d+|0x[0-9a-f]+)$/i.test(seed) ? BigInt(seed) : -1n
  if (value < 0n || value >= 1n << 64n) throw new UsageError(`--seed takes a whole number below 2^64, not '${seed}'`)
  return value
}

function packetNumber(value = '', option = '--packet'): number {
  const number = /^\d+$/.test(value) ? Number(value) : 0
  if (Number.isSafeInteger(number) && number >= 1) return number
  throw new UsageError(`${option} takes a number from 1, not '${value}'`)
}

const OUTPUT_WORDS = ['extended', 'id', 'timestamp', 'ktimestamp', 'labels'] as const satisfies (keyof OutputFlags)[]

/** The words of `-o`. The table takes `timestamp` too, as the tool's does, and has none. */
function outputWords(values: readonly string[]): OutputWords {
  const words = values.flatMap(value => value.split(','))
  const unknown = words.find(word => !OUTPUT_WORDS.some(known => known === word))
  if (unknown !== undefined) throw new UsageError(`-o takes ${OUTPUT_WORDS.join(', ')}, not '${unknown}'`)
  return Object.fromEntries(OUTPUT_WORDS.map(word => [word, words.includes(word)])) as OutputWords
}

/** @param other whether another option has chosen how entries are written */
function listFormat(format: string | undefined, other: boolean): ListFormat {
  if (format === 'proc' && other) throw new UsageError('--format proc goes with neither --json nor -o')
  if (format === undefined || format === 'conntrack' || format === 'proc') return format ?? 'conntrack'
  throw new UsageError(`--format takes conntrack or proc, not '${format}'`)
}

function text(value: Values[string]): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function texts(value: Values[string]): string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}

function optionText(name: string, { short, value }: Option): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`
}

function optionHelp({ help, commands, multiple = false }: Option): string {
  const prefix = commands === undefined ? '' : `${commands.join(', ')}: `
  return `${prefix}${help}${multiple ? '; may be repeated' : ''}`
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, help]) => `  ${name.padEnd(width)}  ${help}`)
}
