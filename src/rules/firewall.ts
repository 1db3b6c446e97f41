/**
 * Rules and the tracker together, in the kernel's order: raw table, connection tracking, mangle, filter, security, hook by
 * hook, and only then the helper and the confirmation of a new connection.
 */
import type { PacketBatch } from '../batch.js'
import { toNanoseconds } from '../format/time.js'
import { ConntrackError } from '../errors.js'
import { allHelpers } from '../helpers/index.js'
import type { Assignment, HookConnection, HookPacket, PacketHooks } from '../hooks.js'
import type { State } from '../names.js'
import { createTracker, type PacketInfo, type Tracker, type TrackerOptions } from '../tracker.js'
import type { Verdict } from '../types.js'
import { trackAmong } from './held.js'
import { listTable } from './list.js'
import { bringToLife, walk, type LiveChain, type LiveTable, type Passage, type Watcher } from './machine.js'
import type { Machine } from './match.js'
import { RulePacket, type Hook, type Template } from './packet.js'
import type { Rule, Ruleset } from './ruleset.js'
import { isIn } from './matches/connection.js'
import { addressText, prefixMask, type Network } from './values.js'
import ipaddr from 'ipaddr.js'

/** On which way packets travel: through the machine, to it, or from it. */
export type Path = 'forward' | 'input' | 'output'

export interface FirewallOptions {
  /** The way of packets that neither come from nor go to an address of `local`. Default `forward`. */
  readonly hook?: Path
  /** Addresses of the machine itself: packets to them are `input`, from them `output`, between them travel over `lo`. */
  readonly local?: readonly string[]
  /** Networks behind each interface, by its name: what `-i` and `-o` see. The longest prefix counts. */
  readonly interfaces?: Readonly<Record<string, readonly string[]>>
  /** Policies that `CT --timeout` names: seconds by the names of sysctls. */
  readonly timeouts?: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** The tracker's own options; what rules decide is not among them. */
  readonly tracker?: Omit<TrackerOptions, 'notrack' | 'drop' | 'zone' | 'timeouts' | 'helpers' | 'shard'>
}

/** What decided about a packet. */
export type DecidedBy =
  /** A rule. */
  | 'rule'
  /** The policy of a built-in chain. */
  | 'policy'
  /** A match found the packet shorter than its protocol's header: Linux drops it whatever rules say. */
  | 'malformed'
  /** Routing: its time to live is over. */
  | 'ttl'
  /** Connection tracking or a helper of it. */
  | 'tracker'
  /** There are no rules for its IP version. */
  | 'no-rules'
  /** It never came to the rules: not IP, malformed, a fragment that waits, or cut short in the capture. */
  | 'not-judged'

export interface Decision {
  readonly packet: number
  /** `null` where it never came to the rules. */
  readonly action: 'ACCEPT' | 'DROP' | 'REJECT' | null
  readonly by: DecidedBy
  /** `null` but for `by: 'rule'`. */
  readonly rule: Rule | null
  readonly table: string | null
  readonly chain: string | null
  /** Of the rule, or of the chain whose policy decided. */
  readonly line: number | null
  /** The way it went; `null` where it never came to the rules. */
  readonly path: Path | 'loopback' | null
  readonly verdict: Verdict
  /** A match asked for bytes that the capture does not have, and did not hold for that. */
  readonly unseen: boolean
}

export interface JudgeInfo extends PacketInfo {
  /** Names of the interfaces by which it comes and goes; by `interfaces` if left out. */
  readonly in?: string
  readonly out?: string
  readonly path?: Path
  /** Told of every chain, rule and match that it meets. */
  readonly watcher?: Watcher
}

type Way = Path | 'loopback'
interface Stage {
  readonly hook: Hook
  readonly tables: readonly string[]
}

/** Where each way leads; the first stage's raw table comes before the tracker. */
const WAYS: Readonly<Record<Way, readonly Stage[]>> = {
  forward: [
    { hook: 'PREROUTING', tables: ['mangle'] }, { hook: 'FORWARD', tables: ['mangle', 'filter', 'security'] },
    { hook: 'POSTROUTING', tables: ['mangle'] },
  ],
  input: [{ hook: 'PREROUTING', tables: ['mangle'] }, { hook: 'INPUT', tables: ['mangle', 'filter', 'security'] }],
  output: [{ hook: 'OUTPUT', tables: ['mangle', 'filter', 'security'] }, { hook: 'POSTROUTING', tables: ['mangle'] }],
  loopback: [
    { hook: 'OUTPUT', tables: ['mangle', 'filter', 'security'] }, { hook: 'POSTROUTING', tables: ['mangle'] },
    { hook: 'PREROUTING', tables: ['raw', 'mangle'] }, { hook: 'INPUT', tables: ['mangle', 'filter', 'security'] },
  ],
}
/** One step of a way: a chain, where there is one. */
interface Step {
  readonly hook: Hook
  readonly table: string
  readonly chain: LiveChain
}

interface Family {
  readonly tables: readonly LiveTable[]
  readonly raw: Readonly<Record<Way, Step | null>>
  readonly steps: Readonly<Record<Way, readonly Step[]>>
}

/** Tells a machine's decisions about packets, as Linux would make them. */
export function createFirewall(rules: Ruleset | readonly Ruleset[], options: FirewallOptions = {}): Firewall {
  return new Firewall([rules].flat() as readonly Ruleset[], options)
}

export class Firewall implements PacketHooks, Disposable {
  readonly tracker: Tracker
  /** What in the rules cannot be judged by what is known. */
  readonly notices: readonly string[]
  readonly #families: Partial<Record<4 | 6, Family>> = {}
  readonly #hook: Path
  readonly #local: readonly Network[]
  readonly #interfaces: readonly { readonly name: string; readonly network: Network; readonly length: number }[]
  readonly #policies: readonly string[]
  readonly #packet = new RulePacket()
  readonly #steps = trackAmong(this)
  #info: JudgeInfo = {}
  #way: Way | null = null
  #passage: Passage | null = null
  #expired = false

  /** Use `createFirewall`. */
  constructor(rulesets: readonly Ruleset[], options: FirewallOptions) {
    this.#hook = options.hook ?? 'forward'
    if (!Object.hasOwn(WAYS, this.#hook)) throw invalid('hook must be forward, input or output')
    this.#local = (options.local ?? []).map(network)
    this.#interfaces = Object.entries(options.interfaces ?? {})
      .flatMap(([name, prefixes]) => prefixes.map(prefix => interfaceOf(name, prefix)))
      .sort((a, b) => b.length - a.length)
    const machine: Machine = { recent: new Map(), isLocal: (data, at, family) => this.#isLocal(data, at, family) }
    for (const ruleset of rulesets) {
      if (this.#families[ruleset.family]) throw invalid(`two rulesets for IPv${ruleset.family}`)
      this.#families[ruleset.family] = familyOf(bringToLife(ruleset, machine))
    }
    const templates = templatesOf(rulesets)
    this.#policies = [...new Set(templates.flatMap(({ timeout }) => timeout ?? []))]
    this.tracker = createTracker(trackerOptions(rulesets, templates, this.#policies, options))
    this.notices = this.#interfaces.length > 0 ? [] : interfaceNotices(rulesets)
  }

  /** Judges one packet. The bytes start with its link-layer header, or as `linkType` says. */
  judge(bytes: Uint8Array, info: JudgeInfo = {}): Decision {
    this.#info = info
    this.#passage = null
    this.#expired = false
    this.#way = null
    this.#packet.unseen = false
    const verdict = this.tracker.trackInSteps(bytes, info, this.#steps)
    return this.#decision(verdict)
  }

  /** Judges the packets of a batch, in order. */
  judgeBatch(batch: PacketBatch, watcherOf: (index: number) => Watcher | undefined = () => undefined): Decision[] {
    const decisions: Decision[] = []
    for (let i = 0; i < batch.count; i++) {
      const watcher = watcherOf(i)
      decisions.push(this.judge(batch.data.subarray(batch.offset[i], batch.offset[i] + batch.length[i]), {
        time: toNanoseconds(batch.seconds[i], batch.nanoseconds[i]), linkType: batch.linkType[i],
        originalLength: batch.originalLength[i], ...(watcher === undefined ? {} : { watcher }),
      }))
    }
    return decisions
  }

  /** All tables with their counters, as `iptables -L -v -n` prints each. */
  list(family: 4 | 6 = this.#families[4] ? 4 : 6): { readonly table: string; readonly text: string }[] {
    return (this.#families[family]?.tables ?? []).map(table => ({ table: table.name, text: listTable(table, family) }))
  }

  /** Packets and bytes of every rule and every built-in chain's policy. */
  counters(family: 4 | 6 = this.#families[4] ? 4 : 6): RuleCounters[] {
    return (this.#families[family]?.tables ?? []).flatMap(({ name: table, chains }) => [...chains.values()].flatMap(live => [
      ...(live.chain.policy === null ? [] : [{ table, chain: live.chain.name, rule: null, packets: live.packets, bytes: live.bytes }]),
      ...live.rules.map(({ rule, packets, bytes }) => ({ table, chain: live.chain.name, rule, packets, bytes })),
    ]))
  }

  close(): void {
    this.tracker.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  // The tracker calls these.

  before(packet: HookPacket): Assignment | null {
    const seen = this.#packet
    seen.set(packet)
    const way = this.#way = this.#wayOf(packet)
    this.#setInterfaces(way)
    const raw = this.#families[packet.family]?.raw[way]
    if (raw && !this.#take(raw)) return null
    return this.#assignment(seen.template)
  }

  after(_packet: HookPacket, state: State, connection: HookConnection | null): boolean {
    const seen = this.#packet
    seen.state = state
    seen.connection = connection
    const steps = this.#families[seen.family]?.steps[this.#way!] ?? []
    for (const step of steps) {
      const comesIn = this.#way === 'loopback' && (step.hook === 'PREROUTING' || step.hook === 'INPUT')
      if (step.hook === 'FORWARD' && !seen.forwarded && !this.#route()) return false
      if (comesIn) this.#comeIn()
      // A connection over `lo` was confirmed before the packet came in again.
      if (!this.#take(step)) return comesIn
    }
    return this.#way !== 'forward' || seen.forwarded || this.#route()
  }

  /** Forwarding takes one from the packet's time to live, and drops it where nothing is left. */
  #route(): boolean {
    const seen = this.#packet
    this.#expired = seen.ttl <= 1
    seen.forwarded = true
    return !this.#expired
  }

  /** By the device that it left by. */
  #comeIn(): void {
    this.#packet.cameBack = true
    this.#packet.inInterface = 'lo'
    this.#packet.outInterface = ''
  }

  /** Walks the packet through one chain; returns whether it goes on. The filter table's decision is the one that counts. */
  #take({ hook, table, chain }: Step): boolean {
    const seen = this.#packet
    seen.hook = hook
    const [inName, outName] = [seen.inInterface, seen.outInterface]
    if (hook === 'PREROUTING' || hook === 'INPUT') seen.outInterface = ''
    if (hook === 'OUTPUT') seen.inInterface = ''
    const passage = walk(table, chain, seen, this.#info.watcher ?? null)
    seen.inInterface = inName
    seen.outInterface = outName
    const passes = passage.outcome === 'ACCEPT'
    if (!passes || table === 'filter' || this.#passage?.table !== 'filter') this.#passage = passage
    return passes
  }

  #assignment(template: Template | null): Assignment {
    const local = this.#way === 'output' || this.#way === 'loopback'
    if (template === null) return local ? LOCAL_ASSIGNMENT : NO_ASSIGNMENT
    const { notrack, zone, zoneOfMark, zoneDirection, helper, timeout } = template
    return {
      notrack, local, zone: zoneOfMark ? this.#packet.mark & 0xffff : zone, zoneDirection, helper,
      policy: timeout === null ? 0 : this.#policies.indexOf(timeout) + 1,
    }
  }

  #wayOf({ data, family }: HookPacket): Way {
    if (this.#info.path !== undefined) return this.#info.path
    if (this.#local.length === 0) return this.#hook
    const { addresses } = this.#packet
    const from = this.#isLocal(data, addresses, family)
    const to = this.#isLocal(data, addresses + (family === 4 ? 4 : 16), family)
    return from && to ? 'loopback' : from ? 'output' : to ? 'input' : this.#hook
  }

  #setInterfaces(way: Way): void {
    const seen = this.#packet
    const { in: inName, out: outName } = this.#info
    const width = seen.family === 4 ? 4 : 16
    seen.inInterface = way === 'output' || way === 'loopback' ? '' : inName ?? this.#interfaceOf(seen.addresses)
    seen.outInterface = way === 'loopback' ? 'lo' : way === 'input' ? '' : outName ?? this.#interfaceOf(seen.addresses + width)
  }

  #interfaceOf(at: number): string {
    const { data, family } = this.#packet
    return this.#interfaces.find(({ network: each }) => isIn(data, at, family, each))?.name ?? ''
  }

  #isLocal(data: Uint8Array, at: number, family: 4 | 6): boolean {
    return this.#local.some(each => isIn(data, at, family, each)) || (this.#local.length > 0 && isLoopback(data, at, family))
  }

  #decision(verdict: Verdict): Decision {
    const passage = this.#passage
    const rest = { packet: verdict.packet, path: this.#way, verdict, unseen: this.#packet.unseen }
    const none = { rule: null, table: null, chain: null, line: null }
    if (this.#expired) return { ...rest, ...none, action: 'DROP', by: 'ttl' }
    if (verdict.dropped) return { ...rest, ...none, action: 'DROP', by: 'tracker' }
    const dropped = passage !== null && passage.outcome !== 'ACCEPT'
    if (verdict.state === null && !dropped) return { ...rest, ...none, action: null, by: 'not-judged' }
    if (passage === null) return { ...rest, ...none, action: 'ACCEPT', by: 'no-rules' }
    const { table, outcome: action, chain: { chain }, broken } = passage
    const rule = passage.rule?.rule ?? null
    const by = rule !== null ? 'rule' : broken ? 'malformed' : 'policy'
    return { ...rest, action, by, rule, table, chain: chain.name, line: rule?.line ?? chain.line }
  }
}

export interface RuleCounters {
  readonly table: string
  readonly chain: string
  /** `null`: the chain's policy. */
  readonly rule: Rule | null
  readonly packets: number
  readonly bytes: number
}

const NO_ASSIGNMENT: Assignment = { notrack: false, local: false, zone: 0, zoneDirection: 'both', policy: 0, helper: null }
const LOCAL_ASSIGNMENT: Assignment = { ...NO_ASSIGNMENT, local: true }

function familyOf(tables: readonly LiveTable[]): Family {
  const step = (hook: Hook, table: string): Step | null => {
    const chain = tables.find(({ name }) => name === table)?.chains.get(hook)
    return chain === undefined ? null : { hook, table, chain }
  }
  const steps = (way: Way) => WAYS[way].flatMap(({ hook, tables: names }) => names.flatMap(name => step(hook, name) ?? []))
  const [coming, going] = [step('PREROUTING', 'raw'), step('OUTPUT', 'raw')]
  return {
    tables,
    raw: { forward: coming, input: coming, output: going, loopback: going },
    steps: { forward: steps('forward'), input: steps('input'), output: steps('output'), loopback: steps('loopback') },
  }
}

function templatesOf(rulesets: readonly Ruleset[]): Template[] {
  return allRules(rulesets).flatMap(({ target }) => target?.template ?? [])
}

function allRules(rulesets: readonly Ruleset[]): Rule[] {
  return rulesets.flatMap(({ tables }) => tables.flatMap(({ chains }) => chains.flatMap(({ rules }) => rules)))
}

/** What the tracker must have for these rules. */
function trackerOptions(
  rulesets: readonly Ruleset[], templates: readonly Template[], policies: readonly string[], options: FirewallOptions,
): TrackerOptions {
  const names = new Set(templates.flatMap(({ helper }) => helper ?? []))
  const helpers = allHelpers().filter(({ name }) => names.has(name)).map(helper => ({ helper, match: {} }))
  const timeouts = policies.map(name => {
    const given = options.timeouts?.[name]
    if (given === undefined) throw invalid(`the rules name a timeout policy '${name}', which is not among the timeouts`)
    return { timeouts: given }
  })
  const needsAccounts = allRules(rulesets).some(({ matches }) => matches.some(match => match.needsAccounts))
  // As Linux does when it loads such a rule.
  const sysctl = { ...options.tracker?.sysctl, ...(needsAccounts ? { acct: 1 } : {}) }
  return { ...options.tracker, sysctl, helpers, timeouts }
}

function interfaceNotices(rulesets: readonly Ruleset[]): string[] {
  const asking = allRules(rulesets).filter(({ basics }) => basics.inInterface !== null || basics.outInterface !== null).length
  if (asking === 0) return []
  return [`${asking === 1 ? '1 rule asks' : `${asking} rules ask`} for interfaces, and none is known: packets have none for them`]
}

function isLoopback(data: Uint8Array, at: number, family: 4 | 6): boolean {
  if (family === 4) return data[at] === 127
  for (let i = 0; i < 15; i++) if (data[at + i] !== 0) return false
  return data[at + 15] === 1
}

function interfaceOf(name: string, prefix: string): { name: string; network: Network; length: number } {
  const length = Number(prefix.split('/')[1] ?? 128)
  return { name, network: network(prefix), length }
}

/** An address or a prefix, of either family. */
function network(text: string): Network {
  const [address, suffix] = String(text).split('/')
  const isRight = ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address)
  if (!isRight) throw invalid(`'${text}' is neither an address nor a prefix`)
  const bytes = Uint8Array.from(ipaddr.parse(address).toByteArray())
  const length = suffix === undefined ? bytes.length * 8 : /^\d{1,3}$/.test(suffix) ? Number(suffix) : NaN
  if (!(length <= bytes.length * 8)) throw invalid(`'${text}' is neither an address nor a prefix`)
  const mask = prefixMask(length, bytes.length === 4 ? 4 : 6)
  return { address: bytes.map((byte, i) => byte & mask[i]), mask, text: addressText(bytes), everything: length === 0 }
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}
