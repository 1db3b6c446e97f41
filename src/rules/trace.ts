/** The walk of one packet through the chains, told line by line. */
import { decisionText } from './decision.js'
import type { Decision } from './firewall.js'
import type { LiveChain, LiveRule, Watcher } from './machine.js'

export interface Trace {
  readonly watcher: Watcher
  /** The whole story, the decision at its end. */
  readonly text: (decision: Decision) => string
}

export function createTrace(): Trace {
  const lines: string[] = []
  const watcher: Watcher = {
    chain: (table: string, { chain }: LiveChain) => { lines.push(`${table} ${chain.name}`) },
    rule: ({ rule }: LiveRule, tests, fits) => {
      lines.push(`  ${fits ? '+' : '-'} line ${rule.line}: ${rule.text}`)
      for (const { text, held } of tests) lines.push(`      ${held ? 'holds' : 'fails'}: ${text}`)
    },
    policy: ({ chain }: LiveChain) => { lines.push(`  policy ${chain.policy}`) },
  }
  return {
    watcher,
    text: decision => {
      const { packet, path, verdict } = decision
      const head = `packet ${packet}${path === null ? '' : `, ${path}`}, ${verdict.state ?? 'no state'}${verdict.direction === null ? '' : `, ${verdict.direction}`}`
        + (verdict.reason === null ? '' : ` (${verdict.reason})`)
      return [head, ...lines, decisionText(decision)].join('\n') + '\n'
    },
  }
}
