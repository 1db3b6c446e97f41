/**
 * Rules and the tracker together, in the kernel's order: raw table, connection tracking, mangle, filter, security, hook by
 * hook, and only then the helper and the confirmation of a new connection. In: a packet, by the tracker's hooks. Out: whether
 * it passes, and what decided so; nothing is made for a packet but its decision.
 */
import type { Assignment, HookConnection, PacketHooks } from '../hooks.js'
import type { Verdict } from '../types.js'
import type { DecidedBy, Decision, JudgeInfo } from './firewall.js'
import { Walker, type LiveChain, type LiveRule, type LiveRuleset } from './machine.js'
import type { Machine } from './match.js'
import { isIn } from './matches/connection.js'
import { BITS_OF_STATES, RulePacket, type Hook } from './packet.js'
import type { Network } from './values.js'

/** On which way packets travel: through the machine, to it, or from it. */
export type Path = 'forward' | 'input' | 'output'
export const PATHS: readonly Path[] = ['forward', 'input', 'output']

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
  readonly table: string
  readonly chain: LiveChain
  /** The packet is still forwarded when it gets here. */
  readonly isForward: boolean
  /** A packet over `lo` comes in again here: by the device that it left by. */
  readonly comesBack: boolean
  /** What `-i` and `-o` see. */
  readonly hasIn: boolean
  readonly hasOut: boolean
}

interface Ways {
  readonly rules: LiveRuleset
  readonly raw: Readonly<Record<Way, Step | null>>
  readonly steps: Readonly<Record<Way, readonly Step[]>>
}

/** A network, and the interface that it is behind. */
export interface Interface {
  readonly name: string
  readonly network: Network
}

/** What is known of the machine. */
export interface Surroundings {
  readonly hook: Path
  /** `null` where none of its addresses is known. */
  readonly isLocal: Machine['isLocal'] | null
  /** The longest prefix first. */
  readonly interfaces: readonly Interface[]
  /** Names of timeout policies, in the tracker's order. */
  readonly policies: readonly string[]
}

/** Nothing but the packet. */
export const NO_INFO: JudgeInfo = {}

/** Takes packets past the hooks; of the one at hand it has what decided. */
export class Judge implements PacketHooks {
  readonly packet = new RulePacket()
  readonly #ways: Partial<Record<4 | 6, Ways>>
  readonly #walker = new Walker()
  #info = NO_INFO
  #way: Way | null = null
  #expired = false
  /** The table that decided, if one did; the filter table counts before others that let the packet pass. */
  #table: string | null = null
  #outcome: Walker['outcome'] = 'ACCEPT'
  #rule: LiveRule | null = null
  #chain: LiveChain | null = null
  #broken = false

  constructor(families: Readonly<Partial<Record<4 | 6, LiveRuleset>>>, readonly surroundings: Surroundings) {
    this.#ways = { ...(families[4] && { 4: waysOf(families[4]) }), ...(families[6] && { 6: waysOf(families[6]) }) }
  }

  /** A packet comes, of which so much is known. */
  begin(info: JudgeInfo): void {
    this.#info = info
    this.#way = null
    this.#expired = false
    this.#table = null
    this.packet.unseen = false
  }

  before(): Assignment | null {
    const { packet } = this
    packet.start()
    const way = this.#way = this.#wayOf()
    const ways = this.#ways[packet.family]
    if (ways === undefined) return this.#assignment()
    const step = ways.raw[way]
    if (step !== null && !this.#take(ways, step)) return null
    return this.#assignment()
  }

  after(state: number, connection: HookConnection | null): boolean {
    const { packet } = this
    packet.stateBit = BITS_OF_STATES[state]
    packet.connection = connection
    const ways = this.#ways[packet.family]
    if (ways !== undefined) {
      for (const step of ways.steps[this.#way!]) {
        if (step.isForward && !packet.forwarded && !this.#route()) return false
        // A connection over `lo` was confirmed before the packet came in again.
        if (!this.#take(ways, step)) return step.comesBack
      }
    }
    return this.#way !== 'forward' || packet.forwarded || this.#route()
  }

  /** Forwarding takes one from the packet's time to live, and drops it where nothing is left. */
  #route(): boolean {
    const { packet } = this
    this.#expired = packet.ttl <= 1
    packet.forwarded = true
    return !this.#expired
  }

  /** Walks the packet through one chain; returns whether it goes on. The filter table's decision is the one that counts. */
  #take({ rules }: Ways, step: Step): boolean {
    const { packet } = this
    const walker = this.#walker
    const { table } = step
    packet.cameBack = step.comesBack
    packet.inInterface = step.comesBack ? 'lo' : step.hasIn ? this.#nameOf('in') : ''
    packet.outInterface = step.hasOut && !step.comesBack ? this.#nameOf('out') : ''
    walker.walk(rules, table, step.chain, packet, this.#info.watcher ?? null)
    const passes = walker.outcome === 'ACCEPT'
    if (!passes || table === 'filter' || this.#table !== 'filter') {
      this.#table = table
      this.#outcome = walker.outcome
      this.#rule = walker.rule
      this.#chain = walker.chain
      this.#broken = walker.broken
    }
    return passes
  }

  #assignment(): Assignment {
    const { packet: { template, mark } } = this
    const local = this.#way === 'output' || this.#way === 'loopback'
    if (template === null) return local ? LOCAL_ASSIGNMENT : NO_ASSIGNMENT
    const { notrack, zone, zoneOfMark, zoneDirection, helper, timeout } = template
    return {
      notrack, local, zone: zoneOfMark ? mark & 0xffff : zone, zoneDirection, helper,
      policy: timeout === null ? 0 : this.surroundings.policies.indexOf(timeout) + 1,
    }
  }

  #wayOf(): Way {
    const { hook, isLocal } = this.surroundings
    if (this.#info.path !== undefined) return this.#info.path
    if (isLocal === null) return hook
    const { addresses, data, family } = this.packet
    const from = isLocal(data, addresses, family)
    const to = isLocal(data, addresses + (family === 4 ? 4 : 16), family)
    return from && to ? 'loopback' : from ? 'output' : to ? 'input' : hook
  }

  /** Of the interface by which it comes or goes; there is none where it starts or ends. */
  #nameOf(side: 'in' | 'out'): string {
    const { packet } = this
    const way = this.#way
    if (way === 'loopback') return side === 'in' ? '' : 'lo'
    if (way === (side === 'in' ? 'output' : 'input')) return ''
    const width = packet.family === 4 ? 4 : 16
    return this.#info[side] ?? this.#interfaceAt(packet.addresses + (side === 'in' ? 0 : width))
  }

  #interfaceAt(at: number): string {
    const { data, family } = this.packet
    for (const { name, network } of this.surroundings.interfaces) if (isIn(data, at, family, network)) return name
    return ''
  }

  decision(verdict: Verdict): Decision {
    const by = this.#decidedBy(verdict)
    const isByRules = by === 'rule' || by === 'policy' || by === 'malformed'
    const rule = isByRules ? this.#rule?.rule ?? null : null
    const chain = isByRules ? this.#chain!.chain : null
    return {
      packet: verdict.packet, family: by === 'not-judged' ? null : this.packet.family,
      action: isByRules ? this.#outcome : by === 'not-judged' ? null : by === 'no-rules' ? 'ACCEPT' : 'DROP',
      by, rule, table: isByRules ? this.#table : null, chain: chain === null ? null : chain.name,
      line: rule !== null ? rule.line : chain !== null ? chain.line : null,
      path: this.#way, verdict, unseen: this.packet.unseen,
    }
  }

  #decidedBy({ dropped, state }: Verdict): DecidedBy {
    if (this.#expired) return 'ttl'
    if (dropped) return 'tracker'
    const isDropped = this.#table !== null && this.#outcome !== 'ACCEPT'
    if (state === null && !isDropped) return 'not-judged'
    if (this.#table === null) return 'no-rules'
    return this.#rule !== null ? 'rule' : this.#broken ? 'malformed' : 'policy'
  }
}

const NO_ASSIGNMENT: Assignment = { notrack: false, local: false, zone: 0, zoneDirection: 'both', policy: 0, helper: null }
const LOCAL_ASSIGNMENT: Assignment = { ...NO_ASSIGNMENT, local: true }

function waysOf(rules: LiveRuleset): Ways {
  const step = (way: Way, hook: Hook, table: string): Step[] => {
    const chain = rules.tables.find(({ name }) => name === table)?.chains.get(hook)
    if (chain === undefined) return []
    const comesIn = hook === 'PREROUTING' || hook === 'INPUT'
    return [{
      table, chain, isForward: hook === 'FORWARD', comesBack: way === 'loopback' && comesIn,
      hasIn: hook !== 'OUTPUT', hasOut: !comesIn,
    }]
  }
  const steps = (way: Way) => WAYS[way].flatMap(({ hook, tables }) => tables.flatMap(table => step(way, hook, table)))
  const raw = (way: Way, hook: Hook) => step(way, hook, 'raw')[0] ?? null
  return {
    rules,
    raw: {
      forward: raw('forward', 'PREROUTING'), input: raw('input', 'PREROUTING'), output: raw('output', 'OUTPUT'),
      loopback: raw('loopback', 'OUTPUT'),
    },
    steps: { forward: steps('forward'), input: steps('input'), output: steps('output'), loopback: steps('loopback') },
  }
}
