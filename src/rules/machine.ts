/**
 * Rules made ready for packets: chains whose rules have tests in place of words, and counters. One walk through a chain
 * is Linux's: the first rule that fits decides, jumps come back, what falls off a built-in chain meets its policy.
 */
import type { Holds, Machine } from './match.js'
import type { RulePacket } from './packet.js'
import type { Basics, Chain, Negatable, Rule, Ruleset } from './ruleset.js'
import { Sieve, type Trait } from './sieve.js'
import type { Outcome } from './target.js'
import type { Network } from './values.js'

/** Packets and bytes. */
export interface Counted {
  packets: number
  bytes: number
}

export interface LiveRule extends Counted {
  readonly rule: Rule
  readonly tests: readonly NamedTest[]
  readonly outcome: Outcome
  readonly act: ((packet: RulePacket) => void) | null
  jump: LiveChain | null
  readonly goto: boolean
}

/** Its own counters are the policy's. */
export interface LiveChain extends Counted {
  readonly chain: Chain
  readonly rules: readonly LiveRule[]
  /** Where its rules begin among all, and where they end. */
  readonly from: number
  readonly to: number
}

export interface LiveTable {
  readonly name: string
  readonly chains: ReadonlyMap<string, LiveChain>
}

/** A ruleset at work. */
export interface LiveRuleset {
  readonly tables: readonly LiveTable[]
  /** Of all tables, chain by chain. */
  readonly rules: readonly LiveRule[]
  /** All the tests of each: what most packets need of most rules, and so beside them. */
  readonly fits: readonly Holds[]
  readonly sieve: Sieve
}

/** What a walk met, for whoever asks. */
export interface Watcher {
  chain(table: string, chain: LiveChain): void
  rule(rule: LiveRule, tests: readonly { readonly text: string; readonly held: boolean }[], fits: boolean): void
  policy(chain: LiveChain): void
}

/** @param names of interfaces that packets are likely to have */
export function bringToLife(ruleset: Ruleset, machine: Machine, names: readonly string[]): LiveRuleset {
  const { family } = ruleset
  const rules: LiveRule[] = []
  const tables = ruleset.tables.map(table => {
    const chains = new Map(table.chains.map(chain => {
      const own = chain.rules.map(rule => liveRule(rule, family, machine))
      const from = rules.push(...own) - own.length
      return [chain.name, { chain, packets: 0, bytes: 0, rules: own, from, to: rules.length }] as const
    }))
    for (const { rules: own } of chains.values()) {
      for (const live of own) if (live.rule.jump !== null) live.jump = chains.get(live.rule.jump.chain)!
    }
    return { name: table.name, chains }
  })
  return {
    tables, rules, fits: rules.map(({ tests }) => allOf(tests.map(({ holds }) => holds))),
    sieve: new Sieve(rules.map(traitsOf), [...new Set([...names, ...namesIn(rules)])]),
  }
}

function liveRule(rule: Rule, family: 4 | 6, machine: Machine): LiveRule {
  const tests: NamedTest[] = [
    ...basicTests(rule.basics, family),
    ...rule.matches.map(match => ({
      text: match.listing, holds: match.prepare(machine), traits: match.traits ?? [], hasEffects: match.hasEffects ?? true,
    })),
  ]
  return {
    rule, packets: 0, bytes: 0, tests, jump: null, goto: rule.jump?.goto ?? false,
    outcome: rule.target?.outcome ?? 'CONTINUE', act: rule.target?.act ?? null,
  }
}

/** One test of all: a rule is a call and not a loop, which for most is the whole cost. */
function allOf(tests: readonly Holds[]): Holds {
  const [first, second, third] = tests
  switch (tests.length) {
    case 0: return () => true
    case 1: return first
    case 2: return packet => first(packet) && second(packet)
    case 3: return packet => first(packet) && second(packet) && third(packet)
    default: return packet => {
      for (let i = 0; i < tests.length; i++) if (!tests[i](packet)) return false
      return true
    }
  }
}

/**
 * What a packet must have for a rule to be worth testing: the traits up to the first test that has effects. In the raw table
 * the state is none of them, since rules there change it.
 */
function traitsOf({ rule, tests }: LiveRule): Trait[] {
  const last = tests.findIndex(({ hasEffects }) => hasEffects)
  const traits = tests.slice(0, last < 0 ? tests.length : last + 1).flatMap(test => test.traits)
  return rule.table === 'raw' ? traits.filter(({ place }) => place !== 'state') : traits
}

function namesIn(rules: readonly LiveRule[]): string[] {
  return rules.flatMap(({ rule: { basics: { inInterface, outInterface } } }) => [inInterface, outInterface])
    .flatMap(asked => asked === null || asked.value.endsWith('+') ? [] : asked.value)
}

interface NamedTest {
  readonly text: string
  readonly holds: Holds
  readonly traits: readonly Trait[]
  readonly hasEffects: boolean
}

/** Tests of what is not a match of its own, in the order in which Linux makes them. */
function basicTests(basics: Basics, family: 4 | 6): NamedTest[] {
  const { source, destination, inInterface, outInterface, protocol, fragment } = basics
  const tests: NamedTest[] = []
  const add = <T>(
    what: Negatable<T> | null, option: string, text: (value: T) => string, holds: (value: T, negated: boolean) => Holds,
    traits: (value: T, negated: boolean) => readonly Trait[],
  ) => {
    if (what === null) return
    const { value, negated } = what
    tests.push({
      text: `${negated ? '! ' : ''}${option} ${text(value)}`.trimEnd(), holds: holds(value, negated), traits: traits(value, negated),
      hasEffects: false,
    })
  }
  const [from, to] = family === 4 ? [12, 16] : [8, 24]
  add(source, '-s', ({ text }) => text, (network, negated) => addressTest(network, negated, from), addressTraits(from))
  add(destination, '-d', ({ text }) => text, (network, negated) => addressTest(network, negated, to), addressTraits(to))
  add(inInterface, '-i', name => name, interfaceTest('inInterface'), nameTraits('in'))
  add(outInterface, '-o', name => name, interfaceTest('outInterface'), nameTraits('out'))
  if (protocol.value !== 0) add(protocol, '-p', String, protocolTest, protocolTraits)
  add(fragment, '-f', () => '', (_, negated) => packet => (packet.fragmentOffset !== 0) !== negated, () => [])
  return tests
}

/** @param offset of the address in the IP header */
function addressTest({ address, mask }: Network, negated: boolean, offset: number): Holds {
  const word = (bytes: Uint8Array, i: number) => new DataView(bytes.buffer, bytes.byteOffset).getInt32(i * 4)
  const values = Array.from({ length: address.length / 4 }, (_, i) => [word(address, i), word(mask, i), offset + i * 4] as const)
    .filter(([, bits]) => bits !== 0)
  if (values.length === 1) {
    const [value, bits, at] = values[0]
    return packet => ((packet.word(packet.network + at) & bits) === value) !== negated
  }
  return packet => {
    for (const [value, bits, at] of values) if ((packet.word(packet.network + at) & bits) !== value) return negated
    return !negated
  }
}

/** What is negated is not said of bytes: one that differs is enough. */
function addressTraits(offset: number) {
  return ({ address, mask }: Network, negated: boolean): Trait[] => negated ? [] : [...address].map((value, i) =>
    ({ place: 'network', at: offset + i, fits: byte => (byte & mask[i]) === value }))
}

/** Where extension headers end before they say, asking for the protocol drops the packet. */
function protocolTest(number: number, negated: boolean): Holds {
  return packet => {
    if (packet.protocol < 0) packet.broken = true
    return (packet.protocol === number) !== negated
  }
}

function protocolTraits(number: number, negated: boolean): Trait[] {
  return [{ place: 'protocol', fits: value => (value === number) !== negated }]
}

function interfaceTest(side: 'inInterface' | 'outInterface') {
  return (wanted: string, negated: boolean): Holds => {
    const fits = nameFits(wanted)
    return packet => fits(packet[side]) !== negated
  }
}

/** `eth+` is every name that begins with `eth`. */
function nameFits(wanted: string): (name: string) => boolean {
  if (!wanted.endsWith('+')) return name => name === wanted
  const start = wanted.slice(0, -1)
  return name => name.startsWith(start)
}

function nameTraits(place: 'in' | 'out') {
  return (wanted: string, negated: boolean): Trait[] => {
    const fits = nameFits(wanted)
    return [{ place, fits: name => fits(name) !== negated }]
  }
}

/** Walks packets through built-in chains, and has of the last walk what became of the packet. */
export class Walker {
  outcome: 'ACCEPT' | 'DROP' | 'REJECT' = 'ACCEPT'
  /** The rule that decided; `null` for the chain's policy, or where the packet was broken. */
  rule: LiveRule | null = null
  chain: LiveChain | null = null
  /** A match found it too short to be what it says. */
  broken = false
  /** Where jumps come back to: the chain and the place in it, `#depth` of each. */
  readonly #chains: LiveChain[] = []
  readonly #places: number[] = []
  #depth = 0

  walk(ruleset: LiveRuleset, table: string, start: LiveChain, packet: RulePacket, watcher: Watcher | null): void {
    const { rules, sieve } = ruleset
    this.#depth = 0
    watcher?.chain(table, start)
    if (packet.isWhole) sieve.look(packet)
    else sieve.open()
    let place = start.from
    let chain = start
    for (;;) {
      place = watcher === null ? firstFit(ruleset, place, chain.to, packet) : watchedFit(rules, place, chain.to, packet, watcher)
      if (place === BROKEN) return this.#end('DROP', null, chain, true)
      if (place === chain.to) {
        if (this.#depth === 0) return this.#byPolicy(start, packet, watcher)
        this.#depth--
        chain = this.#chains[this.#depth]
        place = this.#places[this.#depth]
        continue
      }
      const rule = rules[place++]
      rule.packets++
      rule.bytes += packet.length
      rule.act?.(packet)
      // Where the negation of a match holds for a broken packet, Linux goes as far as the rule's target.
      if (packet.broken) return this.#end('DROP', null, chain, true)
      const { jump, outcome } = rule
      if (jump !== null) {
        if (!rule.goto) {
          this.#chains[this.#depth] = chain
          this.#places[this.#depth] = place
          this.#depth++
        }
        chain = jump
        place = jump.from
        watcher?.chain(table, jump)
        continue
      }
      if (outcome === 'RETURN') place = chain.to
      else if (outcome !== 'CONTINUE') return this.#end(outcome, rule, chain, false)
    }
  }

  #byPolicy(chain: LiveChain, packet: RulePacket, watcher: Watcher | null): void {
    chain.packets++
    chain.bytes += packet.length
    watcher?.policy(chain)
    this.#end(chain.chain.policy ?? 'ACCEPT', null, chain, false)
  }

  #end(outcome: Walker['outcome'], rule: LiveRule | null, chain: LiveChain, broken: boolean): void {
    this.outcome = outcome
    this.rule = rule
    this.chain = chain
    this.broken = broken
  }
}

/** A rule that the packet does not fit has found it broken. */
const BROKEN = -1

/** The first rule from `from` on that the packet fits, or `BROKEN`; `to` where there is none before it. */
function firstFit({ fits, sieve }: LiveRuleset, from: number, to: number, packet: RulePacket): number {
  for (let word = from >> 5; word << 5 < to; word++) {
    let bits = sieve.rules(word)
    if (word << 5 < from) bits &= -1 << (from & 31)
    for (; bits !== 0; bits &= bits - 1) {
      const place = (word << 5) + 31 - Math.clz32(bits & -bits)
      if (place >= to) return to
      if (fits[place](packet)) return place
      if (packet.broken) return BROKEN
    }
  }
  return to
}

/** The same for a watcher, rule by rule and test by test. */
function watchedFit(rules: readonly LiveRule[], from: number, to: number, packet: RulePacket, watcher: Watcher): number {
  for (let place = from; place < to; place++) {
    const met: { text: string; held: boolean }[] = []
    const fits = rules[place].tests.every(({ text, holds }) => {
      const held = holds(packet)
      met.push({ text, held })
      return held
    })
    watcher.rule(rules[place], met, fits)
    if (fits) return place
    if (packet.broken) return BROKEN
  }
  return to
}
