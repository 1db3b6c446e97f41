/** The walk of one packet through the chains: as data, and told line by line. */
import { decisionFields, decisionText, type Sources } from './decision.js'
import type { Decision } from './firewall.js'
import type { LiveChain, LiveRule, Watcher } from './machine.js'

/** What a packet met: a chain, a rule of it with what was asked until one test failed, the policy of a built-in chain. */
type Met =
  | { readonly table: string; readonly chain: string }
  | { readonly rule: number; readonly line: number; readonly text: string; readonly fits: boolean; readonly tests: readonly Test[] }
  | { readonly policy: string }

interface Test {
  readonly text: string
  readonly held: boolean
}

export interface Trace {
  readonly watcher: Watcher
  /** The whole story, the decision at its end. */
  readonly text: (decision: Decision) => string
  /** The same as an object of JSON: the decision, and `walk`. */
  readonly json: (decision: Decision) => string
}

/** @param sources where lines are from, if there are several texts */
export function createTrace(sources?: Sources): Trace {
  const walk: Met[] = []
  const watcher: Watcher = {
    chain: (table: string, { chain }: LiveChain) => { walk.push({ table, chain: chain.name }) },
    rule: ({ rule: { number, line, text } }: LiveRule, tests, fits) => { walk.push({ rule: number, line, text, fits, tests }) },
    policy: ({ chain }: LiveChain) => { walk.push({ policy: chain.policy ?? 'ACCEPT' }) },
  }
  return {
    watcher,
    text: decision => [headText(decision), ...walk.flatMap(linesOf), decisionText(decision, sources)].join('\n') + '\n',
    json: decision => JSON.stringify({ ...decisionFields(decision, sources), walk }),
  }
}

function headText({ packet, path, verdict: { state, direction, reason } }: Decision): string {
  return `packet ${packet}${path === null ? '' : `, ${path}`}, ${state ?? 'no state'}${direction === null ? '' : `, ${direction}`}`
    + (reason === null ? '' : ` (${reason})`)
}

function linesOf(met: Met): string[] {
  if ('policy' in met) return [`  policy ${met.policy}`]
  if (!('tests' in met)) return [`${met.table} ${met.chain}`]
  return [
    `  ${met.fits ? '+' : '-'} line ${met.line}: ${met.text}`,
    ...met.tests.map(({ text, held }) => `      ${held ? 'holds' : 'fails'}: ${text}`),
  ]
}
