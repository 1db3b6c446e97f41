/**
 * The command line's options: one table says what each is called, what it takes, which commands know it and what
 * `--help` says. In: the arguments. Out: what to do, with every value checked, or a `UsageError`.
 */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { TrackerOptions } from '../index.js'
import type { OutputFlags } from '../format/conntrack.js'
import type { PacketMatch } from '../types.js'
import { parseFilter, type Filter } from './filter.js'
import { UsageError } from './errors.js'

/** The commands and what `--help` says of them. */
export const COMMANDS = {
  classify: 'one line a packet: the verdict',
  connections: 'the table at the end, as `conntrack -L` prints it',
  events: 'what happened to connections, as `conntrack -E` prints it',
  statistics: 'packets by state, by reason, by protocol; the counters of `conntrack -S`',
  explain: 'the story of one packet\'s verdict',
} as const

export type Command = keyof typeof COMMANDS

/** A command line that can be run. */
export interface Invocation {
  readonly command: Command
  /** Path of the capture, or `-` for standard input. */
  readonly capture: string
  readonly json: boolean
  readonly detail: boolean
  /** `explain`: the packet asked about; 0 for the other commands. */
  readonly packet: number
  readonly output: OutputFlags
  readonly filter: Filter
  readonly tracker: TrackerOptions
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
    help: 'extended: layer 3 columns; id: connection ids; timestamp: times of events',
  },
  proto: { short: 'p', value: 'PROTO', commands: ['connections'], help: 'only this protocol, name or number' },
  src: { short: 's', value: 'ADDRESS[/LEN]', commands: ['connections'], help: 'only this source (original direction)' },
  dst: { short: 'd', value: 'ADDRESS[/LEN]', commands: ['connections'], help: 'only this destination' },
  sport: { value: 'PORT', commands: ['connections'], help: 'only this source port' },
  dport: { value: 'PORT', commands: ['connections'], help: 'only this destination port' },
  state: { value: 'STATE', commands: ['connections'], help: 'only this TCP state, such as ESTABLISHED' },
  sysctl: { value: 'NAME=VALUE', multiple: true, help: 'set a sysctl; with or without nf_conntrack_' },
  helper: { value: 'NAME[=PORT,...]', multiple: true, help: 'a protocol helper (not supported yet)' },
  notrack: {
    value: 'MATCH', multiple: true, help: "packets left untracked: 'proto=udp,dport=53'; also src, dst, sport",
  },
  checksum: { value: 'MODE', help: 'verify, offload (default) or ignore' },
  zone: { value: 'MATCH=N', multiple: true, help: 'put packets into a zone (not supported yet)' },
  seed: { value: 'N', help: 'seed of the hash, for runs that must not vary' },
  help: { short: 'h', help: 'this text' },
  version: { help: 'the version' },
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** What to do about these arguments (without the program's name). */
export function parseRequest(args: readonly string[]): Request {
  const { values, positionals } = parse(args)
  if (values.help === true) return { kind: 'help' }
  if (values.version === true) return { kind: 'version' }
  const [name, capture, ...more] = positionals
  if (name === undefined) throw new UsageError('no command given')
  if (!isCommand(name)) throw new UsageError(`unknown command '${name}'; there is ${Object.keys(COMMANDS).join(', ')}`)
  if (capture === undefined) throw new UsageError(`${name} needs a capture, or - for standard input`)
  if (more.length > 0) throw new UsageError(`one capture at a time, not also '${more[0]}'`)
  refuseOptions(values, name)
  return { kind: 'run', invocation: invocation(name, capture, values) }
}

/** What `--help` prints. */
export function helpText(): string {
  const options = Object.entries(OPTIONS).map(([name, option]) => {
    return [optionText(name, option), optionHelp(option)] as const
  })
  return [
    'Usage: conntrack-wasm <command> [options] <capture | ->',
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
  for (const name of ['helper', 'zone']) {
    if (values[name] !== undefined) throw new UsageError(`--${name} is not supported yet`)
  }
}

function invocation(command: Command, capture: string, values: Values): Invocation {
  const json = values.json === true
  const detail = values.detail === true
  if (detail && !json) throw new UsageError('--detail needs --json')
  if (command === 'explain' && values.packet === undefined) throw new UsageError('explain needs --packet N')
  return {
    command, capture, json, detail,
    packet: command === 'explain' ? packetNumber(text(values.packet)) : 0,
    output: outputFlags(texts(values.output), command),
    filter: parseFilter({
      proto: text(values.proto), src: text(values.src), dst: text(values.dst),
      sport: text(values.sport), dport: text(values.dport), state: text(values.state),
    }),
    tracker: trackerOptions(command, detail, values),
  }
}

function trackerOptions(command: Command, detail: boolean, values: Values): TrackerOptions {
  // What is asked for by name wins over what --detail implies.
  const settings: Record<string, number> = { ...(detail ? { acct: 1 } : {}), ...parseSysctls(texts(values.sysctl)) }
  const { max, ...sysctl } = settings
  const seed = text(values.seed)
  return {
    sysctl,
    // nf_conntrack_max sizes the table's memory, which the SDK takes as an option of its own.
    ...(Object.hasOwn(settings, 'max') ? { maxConnections: max } : {}),
    ...(seed === undefined ? {} : { hashSeed: parseSeed(seed) }),
    notrack: texts(values.notrack).map(parseMatch),
    checksum: parseChecksum(text(values.checksum)),
    explain: detail || command === 'explain',
  }
}

const SETTING =
  /^(?:net[./]ipv4[./](?=ipfrag_)|(?:net[./]netfilter[./])?(?:nf_conntrack_)?(?!ipfrag_)|)([a-z][a-z0-9_]*)=(-?\d+)$/

/** `--sysctl` values by Linux's names without their prefixes; the last one of a name counts. */
function parseSysctls(settings: readonly string[]): Record<string, number> {
  return Object.fromEntries(settings.map(setting => {
    const match = SETTING.exec(setting)
    if (match === null) throw new UsageError(`--sysctl takes NAME=VALUE, a whole number, not '${setting}'`)
    return [match[1], Number(match[2])]
  }))
}

const MATCH_KEYS: Readonly<Record<string, keyof PacketMatch>> = {
  proto: 'protocol', protocol: 'protocol', src: 'src', dst: 'dst', sport: 'sport', dport: 'dport',
}

/** `proto=udp,dport=53` as the SDK's match; the values are the SDK's to check. */
function parseMatch(match: string): PacketMatch {
  return Object.fromEntries(match.split(',').map(part => {
    const [key, value, ...more] = part.split('=')
    if (!Object.hasOwn(MATCH_KEYS, key) || value === undefined || value === '' || more.length > 0) {
      throw new UsageError(`--notrack takes proto=, src=, dst=, sport=, dport= with commas between, not '${match}'`)
    }
    const isAddress = key === 'src' || key === 'dst'
    return [MATCH_KEYS[key], !isAddress && /^\d+$/.test(value) ? Number(value) : value]
  }))
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

function packetNumber(value = ''): number {
  const number = /^\d+$/.test(value) ? Number(value) : 0
  if (Number.isSafeInteger(number) && number >= 1) return number
  throw new UsageError(`--packet takes a number from 1, not '${value}'`)
}

/** Words of `-o` by command; `timestamp` is about events. */
const OUTPUT_WORDS: Readonly<Partial<Record<Command, readonly string[]>>> = {
  connections: ['extended', 'id'], events: ['extended', 'id', 'timestamp'],
}

function outputFlags(values: readonly string[], command: Command): OutputFlags {
  const known = OUTPUT_WORDS[command] ?? []
  const words = values.flatMap(value => value.split(','))
  for (const word of words) {
    if (!known.includes(word)) throw new UsageError(`-o of ${command} takes ${known.join(', ')}, not '${word}'`)
  }
  return { extended: words.includes('extended'), id: words.includes('id'), timestamp: words.includes('timestamp') }
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
