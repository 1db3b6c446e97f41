/** Decisions as text: a line of JSON, and a sentence. */
import type { Decision } from './firewall.js'

/** Where the rules of an IP version are from, where that has to be said: lines are of several texts. */
export type Sources = Readonly<Partial<Record<4 | 6, string>>>

const ONE_TEXT: Sources = {}

/** `{"packet":1,"action":"DROP","by":"rule","table":"filter",…}` */
export function decisionJson(decision: Decision, sources = ONE_TEXT): string {
  return JSON.stringify(decisionFields(decision, sources))
}

export function decisionFields(decision: Decision, sources = ONE_TEXT): Record<string, unknown> {
  const { packet, action, by, rule, table, chain, line, path, verdict } = decision
  return {
    packet, action, by, table, chain, rule: rule?.number ?? null, line,
    ...(sources === ONE_TEXT ? {} : { ruleset: sourceOf(decision, sources) }), text: rule?.text ?? null, path,
    state: verdict.state, direction: verdict.direction, reason: verdict.reason, connection: verdict.connection,
  }
}

function sourceOf({ family, line }: Decision, sources: Sources): string | null {
  return line === null || family === null ? null : sources[family] ?? null
}

/** What decided, in words. */
export function decisionText(decision: Decision, sources = ONE_TEXT): string {
  const { action, by, rule, table, chain, verdict } = decision
  const source = sourceOf(decision, sources)
  const line = `${decision.line}${source === null ? '' : ` of ${source}`}`
  switch (by) {
    case 'rule': return `${action} by rule ${rule!.number} of chain ${chain} in table ${table} (line ${line}): ${rule!.text}`
    case 'policy': return `${action} by the policy of chain ${chain} in table ${table} (line ${line})`
    case 'malformed': return `DROP in chain ${chain} of table ${table}: the packet is too short for what its protocol says`
    case 'ttl': return 'DROP by routing: its time to live is over'
    case 'tracker': return `DROP by connection tracking${verdict.reason === null ? '' : ` (${verdict.reason})`}`
    case 'no-rules': return 'ACCEPT: there are no rules for it'
    case 'not-judged': return `never came to the rules (${verdict.reason})`
  }
}
