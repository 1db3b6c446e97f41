/** A ruleset and packets that both the kernel and the built package judge, and where their counters differ. */
import { createFirewall, parseRules, type Firewall } from 'conntrack-wasm/rules'
import { compareCounters, ourCounters, savedCounters, type LabAnswer, type LabCase } from '../support/rules-lab.js'

const START = 1_700_000_000_000_000_000n
/** As the lab tells it. */
const TICK = 4_000_000

export interface Trial {
  readonly given: LabCase
  readonly bytes: readonly Uint8Array[]
}

/** Each counter that differs, in words. */
export function compare(trial: Trial, answer: LabAnswer): string[] {
  if (answer.refused !== undefined) return [`refused: ${answer.refused}`]
  return compareCounters(savedCounters(answer.saved), judge(trial, answer.times))
}

function judge(trial: Trial, times: readonly number[]): Map<string, string> {
  const firewall = firewallOf(trial)
  trial.bytes.forEach((packet, i) => { firewall.judge(packet, { time: START + BigInt(times[i]) }) })
  const counters = ourCounters(firewall, trial.given.family)
  firewall.close()
  return counters
}

function firewallOf({ given: { family, local, interfaces, rules } }: Trial): Firewall {
  return createFirewall(parseRules(rules, { family }), { local, interfaces, tracker: { hashSeed: 1 } })
}

/** The same without packets that the machine itself sends and would not receive; `null` where there are none. */
export function withoutRefused(trial: Trial): Trial | null {
  const firewall = firewallOf(trial)
  const { given, bytes } = trial
  const isSent = (i: number) => given.packets[i].way === 'output' || given.packets[i].way === 'loopback'
  const isLeft = bytes.map((packet, i) => firewall.judge(packet, { time: START }).verdict.reason !== 'ip-malformed' || !isSent(i))
  firewall.close()
  if (!isLeft.includes(false)) return null
  return { bytes: bytes.filter((_, i) => isLeft[i]), given: { ...given, packets: given.packets.filter((_, i) => isLeft[i]) } }
}

/** The clock tick of each packet, counted from the first one's, as a text. */
export function ticksOf({ times }: LabAnswer): string {
  return times.map(time => Math.floor(time / TICK) - Math.floor(times[0] / TICK)).join()
}

/** The same, its packets in the same ticks as they were. Where they need not keep to ticks, nothing is new. */
export function again(trial: Trial, { times }: LabAnswer): Trial {
  const tick = (i: number) => Math.floor(times[i] / TICK)
  const packets = trial.given.packets.map((packet, i) =>
    packet.ticks === undefined ? packet : { ...packet, ticks: i === 0 ? 0 : tick(i) - tick(i - 1) })
  return { ...trial, given: { ...trial.given, packets } }
}
