/**
 * Rules made ready for packets: chains whose rules have tests in place of words, and counters. One walk through a chain
 * is Linux's: the first rule that fits decides, jumps come back, what falls off a built-in chain meets its policy.
 */
import type { Holds, Machine } from './match.js'
import type { RulePacket } from './packet.js'
import type { Basics, Chain, Negatable, Rule, Ruleset, Table } from './ruleset.js'
import type { Outcome } from './target.js'
import type { Network } from './values.js'

/** Packets and bytes. */
export interface Counted {
  packets: number
  bytes: number
}

export interface LiveRule extends Counted {
  readonly rule: Rule
  readonly basics: Holds | null
  readonly tests: readonly Holds[]
  readonly outcome: Outcome
  readonly act: ((packet: RulePacket) => void) | null
  jump: LiveChain | null
  readonly goto: boolean
}

/** Its own counters are the policy's. */
export interface LiveChain extends Counted {
  readonly chain: Chain
  readonly rules: readonly LiveRule[]
}

export interface LiveTable {
  readonly name: string
  readonly chains: ReadonlyMap<string, LiveChain>
}

/** What became of a packet in one table. */
export interface Passage {
  outcome: 'ACCEPT' | 'DROP' | 'REJECT'
  /** The rule that decided; `null` for the chain's policy, or where the packet was broken. */
  rule: LiveRule | null
  chain: LiveChain
  table: string
  /** A match found it too short to be what it says. */
  broken: boolean
}

/** What a walk met, for whoever asks. */
export interface Watcher {
  chain(table: string, chain: LiveChain): void
  rule(rule: LiveRule, tests: readonly { readonly text: string; readonly held: boolean }[], fits: boolean): void
  policy(chain: LiveChain): void
}

export function bringToLife(ruleset: Ruleset, machine: Machine): LiveTable[] {
  return ruleset.tables.map(table => liveTable(table, ruleset.family, machine))
}

function liveTable(table: Table, family: 4 | 6, machine: Machine): LiveTable {
  const chains = new Map(table.chains.map(chain => [chain.name, {
    chain, packets: 0, bytes: 0, rules: chain.rules.map(rule => liveRule(rule, family, machine)),
  }]))
  for (const { rules } of chains.values()) {
    for (const live of rules) if (live.rule.jump !== null) live.jump = chains.get(live.rule.jump.chain)!
  }
  return { name: table.name, chains }
}

function liveRule(rule: Rule, family: 4 | 6, machine: Machine): LiveRule {
  const tests = basicTests(rule.basics, family).map(({ holds }) => holds)
  return {
    rule, packets: 0, bytes: 0, jump: null, goto: rule.jump?.goto ?? false,
    basics: tests.length === 0 ? null : tests.length === 1 ? tests[0] : packet => {
      for (const test of tests) if (!test(packet)) return false
      return true
    },
    tests: rule.matches.map(match => match.prepare(machine)),
    outcome: rule.target?.outcome ?? 'CONTINUE',
    act: rule.target?.act ?? null,
  }
}

interface NamedTest {
  readonly text: string
  readonly holds: Holds
}

/** Tests of what is not a match of its own, in the order in which Linux makes them. */
export function basicTests(basics: Basics, family: 4 | 6): NamedTest[] {
  const { source, destination, inInterface, outInterface, protocol, fragment } = basics
  const tests: NamedTest[] = []
  const add = <T>(what: Negatable<T> | null, option: string, text: (value: T) => string, holds: (value: T) => Holds) => {
    if (what === null) return
    const { value, negated } = what
    const plain = holds(value)
    tests.push({ text: `${negated ? '! ' : ''}${option} ${text(value)}`.trimEnd(), holds: negated ? packet => !plain(packet) : plain })
  }
  add(source, '-s', ({ text }) => text, network => addressTest(network, family, 0))
  add(destination, '-d', ({ text }) => text, network => addressTest(network, family, family === 4 ? 4 : 16))
  add(inInterface, '-i', name => name, name => interfaceTest(name, packet => packet.inInterface))
  add(outInterface, '-o', name => name, name => interfaceTest(name, packet => packet.outInterface))
  if (protocol.value !== 0) add(protocol, '-p', String, protocolTest)
  add(fragment, '-f', () => '', () => packet => packet.fragmentOffset !== 0)
  return tests
}

function addressTest({ address, mask }: Network, family: 4 | 6, offset: number): Holds {
  const words = family === 4 ? 1 : 4
  const word = (bytes: Uint8Array, i: number) => new DataView(bytes.buffer, bytes.byteOffset).getInt32(i * 4)
  const values = Array.from({ length: words }, (_, i) => [word(address, i), word(mask, i), offset + i * 4] as const)
    .filter(([, bits]) => bits !== 0)
  if (values.length === 1) {
    const [value, bits, at] = values[0]
    return packet => (packet.word(packet.addresses + at) & bits) === value
  }
  return packet => {
    const { addresses } = packet
    for (const [value, bits, at] of values) if ((packet.word(addresses + at) & bits) !== value) return false
    return true
  }
}

/** Where extension headers end before they say, asking for the protocol drops the packet. */
function protocolTest(number: number): Holds {
  return packet => {
    if (packet.protocol < 0) packet.broken = true
    return packet.protocol === number
  }
}

/** `eth+` is every name that begins with `eth`. */
function interfaceTest(name: string, nameOf: (packet: RulePacket) => string): Holds {
  if (!name.endsWith('+')) return packet => nameOf(packet) === name
  const start = name.slice(0, -1)
  return packet => nameOf(packet).startsWith(start)
}

interface Frame {
  readonly chain: LiveChain
  readonly next: number
}

/** Walks a packet through a built-in chain of a table. */
export function walk(table: string, start: LiveChain, packet: RulePacket, watcher: Watcher | null): Passage {
  const back: Frame[] = []
  let chain = start
  let at = 0
  watcher?.chain(table, start)
  for (;;) {
    if (at >= chain.rules.length) {
      const frame = back.pop()
      if (frame === undefined) return byPolicy(table, start, packet, watcher)
      chain = frame.chain
      at = frame.next
      continue
    }
    const rule = chain.rules[at++]
    const fits = watcher === null ? ruleFits(rule, packet) : watchedFits(rule, packet, watcher)
    if (fits) {
      rule.packets++
      rule.bytes += packet.length
      rule.act?.(packet)
    }
    // Where the negation of a match holds for a broken packet, Linux goes as far as the rule's target.
    if (packet.broken) return { outcome: 'DROP', rule: null, chain, table, broken: true }
    if (!fits) continue
    if (rule.jump !== null) {
      if (!rule.goto) back.push({ chain, next: at })
      chain = rule.jump
      at = 0
      watcher?.chain(table, chain)
      continue
    }
    const { outcome } = rule
    if (outcome === 'RETURN') at = chain.rules.length
    else if (outcome !== 'CONTINUE') return { outcome, rule, chain, table, broken: false }
  }
}

function byPolicy(table: string, chain: LiveChain, packet: RulePacket, watcher: Watcher | null): Passage {
  chain.packets++
  chain.bytes += packet.length
  watcher?.policy(chain)
  return { outcome: chain.chain.policy ?? 'ACCEPT', rule: null, chain, table, broken: false }
}

function ruleFits({ basics, tests }: LiveRule, packet: RulePacket): boolean {
  if (basics !== null && !basics(packet)) return false
  for (let i = 0; i < tests.length; i++) if (!tests[i](packet)) return false
  return true
}

/** The same, test by test. */
function watchedFits(live: LiveRule, packet: RulePacket, watcher: Watcher): boolean {
  const met: { text: string; held: boolean }[] = []
  const tests = [
    ...basicTests(live.rule.basics, packet.family),
    ...live.tests.map((holds, i) => ({ text: live.rule.matches[i].listing, holds })),
  ]
  const fits = tests.every(({ text, holds }) => {
    const held = holds(packet)
    met.push({ text, held })
    return held
  })
  watcher.rule(live, met, fits)
  return fits
}
