/**
 * What a tracker is made with. In: options as users write them. Out: what the core is told, or a ConntrackError that says which
 * of them is wrong.
 */
import type { Rules } from './border.js'
import { ConntrackError, shown } from './errors.js'
import type { Helper } from './helpers/helper.js'
import { HOST, type HostedHelper } from './helpers/host.js'
import { compileMatch, protocolNumber, type CompiledMatch } from './match.js'
import { SYSCTLS, sysctlName, sysctlValue } from './sysctl.js'
import type { PacketMatch, TimeoutPolicy, ZoneRule } from './types.js'

/** How checksums are taken. */
export type ChecksumMode = 'verify' | 'offload' | 'ignore'
export const CHECKSUM_MODES: readonly ChecksumMode[] = ['verify', 'offload', 'ignore']

/** What a tracker is made with. Everything may be left out. */
export interface TrackerOptions {
  /**
   * Connections the table holds at most, 1 to 16,777,216. Memory is sized by it, once. Default: sysctl `max`, 262,144 unless
   * set; that one can be lowered later, not raised above this.
   */
  readonly maxConnections?: number
  /** Seed of the table's hash, for reproducible runs; random otherwise, as it must be where others choose the packets. */
  readonly hashSeed?: number | bigint | Uint8Array
  /**
   * Sysctls by Linux's names, with or without `nf_conntrack_`, and the `ipfrag_` ones of `net.ipv4`; see `SYSCTLS`. Memory
   * is laid out for `max`, `expect_max` and the high thresholds of reassembly that are given here, or their defaults: they
   * can be set no higher later.
   */
  readonly sysctl?: Readonly<Record<string, number>>
  /** Packets not to be tracked (the raw table's NOTRACK); 64 matches at most. */
  readonly notrack?: readonly PacketMatch[]
  /** Packets that rules drop behind the tracker, so that they confirm no connection; 64 matches at most. */
  readonly drop?: readonly PacketMatch[]
  /** The zone of all packets, or zones by match: the first match that fits counts, zone 0 where none does; 64 at most. */
  readonly zone?: number | readonly ZoneRule[]
  /** Timeouts of new connections by match: the first that fits counts, the sysctls where none does; 64 at most. */
  readonly timeouts?: readonly TimeoutPolicy[]
  /**
   * Protocol helpers, made by `conntrack-wasm/helpers`: none unless asked for, as Linux does. Each is for new connections to its
   * ports; `{ helper, match }` assigns one by match instead. Either way it gets connections of its protocols and IP
   * versions alone. The first that fits counts; 64 matches at most.
   */
  readonly helpers?: readonly (Helper | readonly Helper[] | HelperRule)[]
  /** Told of the first error that each helper throws; `console.warn` otherwise. */
  readonly onHelperError?: (error: unknown, helper: string) => void
  /** This tracker is one of several, each with its share of the packets; see {@link Shard}. */
  readonly shard?: Shard
  /** Connections have 128 labels, for `setLabels`; 16 bytes a connection. */
  readonly labels?: boolean
  /** Connections have Zeek's history and state (`history`, `connState`); 32 bytes a connection. */
  readonly history?: boolean
  /**
   * `verify` (default): as Linux does with packets from the wire. `offload`: a checksum that the capturing host left to
   * its network card counts as right. `ignore`: none is looked at.
   */
  readonly checksum?: ChecksumMode
  /** Packets that `trackBatch` takes at most, 1 to 65,536. Default 256. */
  readonly batchSize?: number
  /** Remember which packet set what, for `explain` of batches and for `entry`; 64 bytes a connection. */
  readonly explain?: boolean
  /** The core, compiled; for hosts that have it as a module (`conntrack-wasm/core.wasm`). */
  readonly module?: WebAssembly.Module
}

/**
 * One of several trackers that share the packets: all are given all packets in order, and each tracks those of its hosts.
 * Which those are is decided by the addresses of both hosts, so that both directions of a connection, a datagram's
 * fragments, an ICMP error and its connection, and what is announced between the same hosts meet in one tracker. Rows of
 * the others' packets have nothing but the flag `VERDICT_ELSEWHERE`. Their times count for all.
 *
 * Together they give the verdicts of one tracker, but for what a full table or full memory of fragments does, which each
 * has for itself, and for helpers whose announcements name other hosts.
 */
export interface Shard {
  /** 0 to `of` - 1. */
  readonly index: number
  /** How many there are, 1 to 255. */
  readonly of: number
  /** The same whole number for all: who knows it can choose packets that fall to one tracker. */
  readonly seed: number
}

/** Gives a helper to new connections by match. */
export interface HelperRule {
  readonly helper: Helper
  readonly match: PacketMatch
}

/** The names of all options: what is not among them is refused, not overlooked. */
export const OPTIONS: readonly string[] = Object.keys({
  maxConnections: 0, hashSeed: 0, sysctl: 0, notrack: 0, drop: 0, zone: 0, timeouts: 0, helpers: 0,
  onHelperError: 0, shard: 0, labels: 0, history: 0, checksum: 0,
  batchSize: 0, explain: 0, module: 0,
} satisfies Record<keyof TrackerOptions, 0>)

export const MAX_CONNECTIONS = 1 << 24
export const MAX_BATCH = 1 << 16
const MOST_HELPERS = 255

/** Sysctls by which memory is sized at creation, at least by these. */
export const sizing: Readonly<Record<string, number>> = Object.fromEntries(
  ['expect_max', 'ipfrag_high_thresh', 'frag6_high_thresh'].map(name => [name, SYSCTLS[name].initial]))

export function list<T>(name: string, value: readonly T[] | undefined): readonly T[] {
  if (value === undefined || Array.isArray(value)) return value ?? []
  throw invalid(`${name} must be an array`)
}

/** All helpers that a list needs, each once, those that expectations assign behind. */
export function flatten(helpers: readonly Helper[]): Helper[] {
  const all: Helper[] = []
  const add = (helper: Helper) => {
    if (all.some(known => known.name === helper.name)) return
    all.push(helper)
    helper.assigns?.forEach(add)
  }
  helpers.forEach(add)
  if (all.length > MOST_HELPERS) throw invalid(`more than ${MOST_HELPERS} helpers`)
  return all
}

/** The matches by which helpers are assigned: a helper's own are those of its ports. */
export function compileHelpers(helpers: TrackerOptions['helpers']): { helper: HostedHelper; match: CompiledMatch }[] {
  return list('helpers', helpers).flat().flatMap(item => {
    if (typeof item !== 'object' || item === null) throw invalid('a helper must be an object')
    const rule = 'helper' in item ? item : null
    const helper = (rule ? rule.helper : item) as HostedHelper
    const isHelper = helper?.[HOST] && typeof helper.inspect === 'function' && typeof helper.name === 'string'
    if (!isHelper || !Array.isArray(helper.classes) || !Array.isArray(helper.families)) {
      throw invalid('what is among the helpers is not of defineHelper (conntrack-wasm/helpers) of this version')
    }
    const matches = rule ? [compileMatch(rule.match)] : helper.ports.map(dport => compileMatch({ dport }))
    return matches.flatMap(match => withinHelper(match, helper)).map(match => ({ helper, match }))
  })
}

/** What of a match is of the helper's protocols and IP versions: Linux gives it to no other connections. */
function withinHelper(match: CompiledMatch, { protocol, families }: Helper): CompiledMatch[] {
  const protocols = [protocol].flat().map(protocolNumber).filter(number => [256, number].includes(match.protocol))
  const known = ([4, 6] as const).filter(family => families.includes(family) && [0, family].includes(match.family))
  if (known.length === 2) return protocols.map(number => ({ ...match, protocol: number }))
  return known.flatMap(family => protocols.map(number => ({ ...match, protocol: number, family })))
}

const ZONE_DIRECTIONS = ['both', 'original', 'reply'] as const

export function compileZones(zone: TrackerOptions['zone'] = []): Rules['zones'] {
  const rules = typeof zone === 'number' ? [{ id: zone }] : list<ZoneRule>('zone', zone)
  return rules.map(rule => {
    if (typeof rule !== 'object' || rule === null) throw invalid('a zone must be an object')
    const { id, direction = 'both', ...match } = rule
    if (!ZONE_DIRECTIONS.includes(direction)) throw invalid(`direction of a zone must be one of ${ZONE_DIRECTIONS.join(', ')}`)
    return { match: compileMatch(match), id: whole('id of a zone', id, 0, 0xffff), direction }
  })
}

export function compilePolicy(policy: TimeoutPolicy): Rules['policies'][number] {
  if (typeof policy !== 'object' || policy === null) throw invalid('a timeout policy must be an object')
  const { timeouts, ...match } = policy
  if (typeof timeouts !== 'object' || timeouts === null) throw invalid('a timeout policy must have timeouts')
  const places = Object.entries(timeouts).map(([name, value]) => {
    const known = sysctlName(name)
    const place = SYSCTLS[known].timeout
    if (place === undefined || /^(ip)?frag/.test(known)) throw invalid(`'${name}' is not a timeout of connections`)
    return [place, sysctlValue(known, value)] as const
  })
  return { match: compileMatch(match), timeouts: new Map(places) }
}

export function whole(name: string, value: number, from: number, to: number): number {
  if (Number.isInteger(value) && value >= from && value <= to) return value
  throw invalid(`${name} must be a whole number from ${from} to ${to}, not ${shown(value)}`)
}

export function flag(name: string, value: boolean | undefined): void {
  if (value !== undefined && typeof value !== 'boolean') throw invalid(`${name} must be true or false`)
}

export function checkReport(report: TrackerOptions['onHelperError']): void {
  if (report !== undefined && typeof report !== 'function') throw invalid('onHelperError must be a function')
}

export function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}
