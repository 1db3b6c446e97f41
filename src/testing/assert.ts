/**
 * Assertions about rules, for vitest, jest and node:test alike: what does not hold throws an `AssertionError` that names the
 * packet and the rule.
 */
import { ConntrackError } from '../errors.js'
import { decisionText } from '../rules/decision.js'
import { createFirewall, type Decision, type Firewall, type FirewallOptions } from '../rules/firewall.js'
import { parseRules, type ParseOptions } from '../rules/parse.js'
import { createTrace } from '../rules/trace.js'
import type { TestPacket } from './line.js'

/** What is wrong, with the decision that shows it. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'

  /** @param expected and `actual`: what test runners set beside each other */
  constructor(message: string, readonly decision: Decision, readonly expected: string, readonly actual: string) {
    super(message)
  }
}

/** A machine with rules, and a clock that tests move. */
export class TestFirewall {
  readonly firewall: Firewall
  #time = 1_700_000_000_000_000_000n

  /** @param rules what `iptables-save` writes; for both IP versions, two texts */
  constructor(rules: string | readonly string[], options: FirewallOptions & ParseOptions = {}) {
    const { family, unknown, ...rest } = options
    const how = { ...(family === undefined ? {} : { family }), ...(unknown === undefined ? {} : { unknown }) }
    const parsed = [rules].flat().map(text => parseRules(text, how))
    this.firewall = createFirewall(parsed, { ...rest, tracker: { hashSeed: 1, ...rest.tracker } })
  }

  /** Lets time pass. */
  wait(seconds: number): void {
    this.#time += BigInt(Math.round(seconds * 1e9))
  }

  /** Sends packets; their decisions, in order, each with the walk that led there. */
  send(packets: readonly TestPacket[]): Sent[] {
    return packets.map(packet => {
      this.#time += BigInt(packet.afterMs) * 1_000_000n
      const trace = createTrace()
      const decision = this.firewall.judge(packet.bytes, { time: this.#time, watcher: trace.watcher })
      return { packet, decision, trace: trace.text(decision) }
    })
  }
}

export interface Sent {
  readonly packet: TestPacket
  readonly decision: Decision
  /** The packet's walk through the chains. */
  readonly trace: string
}

/** Which rule is meant: the line of the ruleset, or what its text has in it. */
export type RuleName = number | string | RegExp

/** A firewall with these rules. */
export function firewall(rules: string | readonly string[], options: FirewallOptions & ParseOptions = {}): TestFirewall {
  return new TestFirewall(rules, options)
}

/**
 * Every packet passes.
 *
 * @throws AssertionError naming the first packet that does not, and the rule that stopped it
 */
export function assertPasses(machine: TestFirewall, packets: readonly TestPacket[]): Decision[] {
  const sent = sendSome(machine, packets)
  const stopped = sent.find(({ decision }) => decision.action !== 'ACCEPT')
  if (stopped !== undefined) throw failure('should pass', stopped)
  return sent.map(({ decision }) => decision)
}

/**
 * The conversation does not get through: one of its packets is dropped or rejected.
 *
 * @param by the rule that must stop it, at the first packet that is stopped; or `policy`
 * @throws AssertionError where all pass, or another rule stops it
 */
export function assertStopped(machine: TestFirewall, packets: readonly TestPacket[], by?: RuleName): Decision {
  const sent = sendSome(machine, packets)
  const stopped = sent.find(({ decision }) => decision.action !== 'ACCEPT')
  if (stopped === undefined) throw failure('should be stopped', sent[sent.length - 1])
  if (by !== undefined && !isBy(stopped.decision, by)) throw failure(`should be stopped by ${nameText(by)}`, stopped)
  return stopped.decision
}

/**
 * Every packet is decided by this rule.
 *
 * @throws AssertionError naming the first that is not
 */
export function assertDecidedBy(machine: TestFirewall, packets: readonly TestPacket[], by: RuleName): void {
  const other = sendSome(machine, packets).find(({ decision }) => !isBy(decision, by))
  if (other !== undefined) throw failure(`should be decided by ${nameText(by)}`, other)
}

/** An assertion about no packets would say nothing. */
function sendSome(machine: TestFirewall, packets: readonly TestPacket[]): Sent[] {
  if (!Array.isArray(packets)) throw new ConntrackError('invalid-argument', 'an assertion takes a list of packets: packets(…), [packet(…)], handshake(…)')
  if (packets.length === 0) throw new ConntrackError('invalid-argument', 'an assertion about no packets says nothing')
  return machine.send(packets)
}

function isBy({ by, rule, line }: Decision, name: RuleName): boolean {
  if (typeof name === 'number') return line === name
  if (name === 'policy') return by === 'policy'
  return rule !== null && (typeof name === 'string' ? rule.text.includes(name) : rule.text.search(name) >= 0)
}

function nameText(name: RuleName): string {
  return typeof name === 'number' ? `line ${name}` : name === 'policy' ? 'a policy' : `the rule ${String(name)}`
}

function failure(should: string, { packet, decision, trace }: Sent): AssertionError {
  const actual = decisionText(decision)
  return new AssertionError(`'${packet.text}' ${should}, but: ${actual}\n\n${trace}`, decision, should, actual)
}
