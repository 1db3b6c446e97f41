/** A machine with rules: what it is made of, packets in, decisions out. How a packet gets to its decision is in `judge.ts`. */
import { parseAddress } from '../address-bytes.js'
import type { PacketBatch } from '../batch.js'
import { ConntrackError } from '../errors.js'
import { allHelpers } from '../helpers/index.js'
import { createTracker, type ClassifyRow, type PacketInfo, type Tracker } from '../tracker.js'
import type { TrackerOptions } from '../tracker-options.js'
import type { Verdict } from '../types.js'
import { trackAmong, type Among } from './held.js'
import { Judge, NO_INFO, PATHS, type Interface, type Path } from './judge.js'
import { listTable } from './list.js'
import { bringToLife, type LiveRuleset, type Watcher } from './machine.js'
import type { Machine } from './match.js'
import type { Template } from './packet.js'
import type { Rule, Ruleset } from './ruleset.js'
import { isIn } from './matches/connection.js'
import { addressText, prefixMask, type Network } from './values.js'

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
  /** The IP version whose rules it met; `null` where it never came to the rules. */
  readonly family: 4 | 6 | null
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

/** Tells a machine's decisions about packets, as Linux would make them. */
export function createFirewall(rules: Ruleset | readonly Ruleset[], options: FirewallOptions = {}): Firewall {
  return new Firewall([rules].flat() as readonly Ruleset[], options)
}

export class Firewall implements Disposable {
  readonly tracker: Tracker
  /** What in the rules cannot be judged by what is known. */
  readonly notices: readonly string[]
  readonly #families: Partial<Record<4 | 6, LiveRuleset>> = {}
  readonly #judge: Judge
  readonly #among: Among

  /** Use `createFirewall`. */
  constructor(rulesets: readonly Ruleset[], options: FirewallOptions) {
    const { hook = 'forward', local = [], interfaces = {} } = options
    if (!PATHS.includes(hook)) throw invalid('hook must be forward, input or output')
    const networks = local.map(network)
    const isLocal: Machine['isLocal'] = (data, at, family) => isOf(networks, data, at, family)
    const behind = Object.entries(interfaces).flatMap(([name, prefixes]) => prefixes.map(prefix => interfaceOf(name, prefix)))
      .sort((a, b) => b.length - a.length)
    const networkAt = (data: Uint8Array, at: number, family: 4 | 6) => behind.find(each => isIn(data, at, family, each.network)) ?? null
    const machine: Machine = {
      recent: new Map(), isLocal,
      interfaceAt: (data, at, family) => isLoopback(data, at, family) ? 'lo' : networkAt(data, at, family)?.name ?? '',
      isAnycast: (data, at) => isNetworkAddress(data, at, networkAt(data, at, 6)),
    }
    const names = ['', 'lo', ...Object.keys(interfaces)]
    for (const ruleset of rulesets) {
      if (this.#families[ruleset.family]) throw invalid(`two rulesets for IPv${ruleset.family}`)
      this.#families[ruleset.family] = bringToLife(ruleset, machine, names)
    }
    const templates = templatesOf(rulesets)
    const policies = [...new Set(templates.flatMap(({ timeout }) => timeout ?? []))]
    this.#judge = new Judge(this.#families, {
      hook, isLocal: networks.length === 0 ? null : isLocal, policies,
      interfaces: behind,
    })
    this.#among = trackAmong(this.#judge)
    this.tracker = createTracker(trackerOptions(rulesets, templates, policies, options))
    this.notices = Object.keys(interfaces).length > 0 ? [] : interfaceNotices(rulesets)
  }

  /** Judges one packet. The bytes start with its link-layer header, or as `linkType` says. */
  judge(bytes: Uint8Array, info: JudgeInfo = NO_INFO): Decision {
    this.#judge.begin(info)
    return this.#judge.decision(this.tracker.trackInSteps(bytes, info, this.#among.one))
  }

  /** Judges the packets of a batch, in order and however many they are. */
  judgeBatch(batch: PacketBatch, watcherOf: ((index: number) => Watcher | undefined) | null = null): Decision[] {
    const decisions: Decision[] = []
    const judge = this.#judge
    const classify: ClassifyRow = (inside, row, base) => {
      const watcher = watcherOf?.(decisions.length)
      judge.begin(watcher === undefined ? NO_INFO : { watcher })
      this.#among.row(inside, row, base)
    }
    this.tracker.trackBatchInSteps(batch, classify, verdict => decisions.push(judge.decision(verdict)))
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
}

export interface RuleCounters {
  readonly table: string
  readonly chain: string
  /** `null`: the chain's policy. */
  readonly rule: Rule | null
  readonly packets: number
  readonly bytes: number
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

/** An address of the machine itself: one of these, or one that never leaves any machine. */
function isOf(local: readonly Network[], data: Uint8Array, at: number, family: 4 | 6): boolean {
  if (local.length === 0) return false
  for (const each of local) if (isIn(data, at, family, each)) return true
  return isLoopback(data, at, family)
}

function isLoopback(data: Uint8Array, at: number, family: 4 | 6): boolean {
  if (family === 4) return data[at] === 127
  for (let i = 0; i < 15; i++) if (data[at + i] !== 0) return false
  return data[at + 15] === 1
}

/** Networks of one or two addresses have no address of their own. */
function isNetworkAddress(data: Uint8Array, at: number, found: ReturnType<typeof interfaceOf> | null): boolean {
  return found !== null && found.length < 127 && found.network.address.every((byte, i) => data[at + i] === byte)
}

function interfaceOf(name: string, prefix: string): Interface & { length: number } {
  const length = Number(prefix.split('/')[1] ?? 128)
  return { name, network: network(prefix), length }
}

/** An address or a prefix, of either family. */
function network(text: string): Network {
  const [address, suffix] = String(text).split('/')
  const bytes = parseAddress(address)
  const whole = bytes === null ? 0 : bytes.length * 8
  const length = suffix === undefined ? whole : /^\d{1,3}$/.test(suffix) ? Number(suffix) : NaN
  if (bytes === null || !(length <= whole)) throw invalid(`'${text}' is neither an address nor a prefix`)
  const mask = prefixMask(length, bytes.length === 4 ? 4 : 6)
  return { address: bytes.map((byte, i) => byte & mask[i]), mask, text: addressText(bytes), everything: length === 0 }
}

function invalid(message: string): ConntrackError {
  return new ConntrackError('invalid-argument', message)
}
