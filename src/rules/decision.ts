/** Decisions as text: a line of JSON, and a sentence. */
import type { Decision } from './firewall.js'

/** `{"packet":1,"action":"DROP","by":"rule","table":"filter",…}` */
export function decisionJson(decision: Decision): string {
  return JSON.stringify(decisionFields(decision))
}

export function decisionFields({ packet, action, by, rule, table, chain, line, path, verdict }: Decision): Record<string, unknown> {
  return {
    packet, action, by, table, chain, rule: rule?.number ?? null, line, text: rule?.text ?? null, path,
    state: verdict.state, direction: verdict.direction, reason: verdict.reason, connection: verdict.connection,
  }
}

/** What decided, in words. */
export function decisionText({ action, by, rule, table, chain, line, verdict }: Decision): string {
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
