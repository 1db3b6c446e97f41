/** The rules of `test/rules/spellings`, and what iptables of this machine makes of them. */
import { readFileSync } from 'node:fs'
import { createFirewall, parseRules, RulesError } from 'conntrack-wasm/rules'
import type { SpellingsAnswer, SpellingsCase, SpellingsTable } from './rules-lab.js'

export const TOOLS = ([4, 6] as const).flatMap(family => (['legacy', 'nft'] as const).map(tool => ({ family, tool, name: `ipv${family}-${tool}` })))
export type Tool = (typeof TOOLS)[number]

/** A file of `test/rules/spellings`, below the project that the test runs in. */
export function spellingsFile(name: string): string {
  return `${process.cwd()}/test/rules/spellings/${name}`
}

/** What `NAME` saved, with counters. */
export function recordedSaved(name: string): string {
  return readFileSync(spellingsFile(`${name}.saved.rules`), 'utf8')
}

/** How it listed that, by table. */
export function recordedLists(name: string): Record<string, string> {
  const parts = readFileSync(spellingsFile(`${name}.list.txt`), 'utf8').split(/^# table (\S+)\n/m).slice(1)
  return Object.fromEntries(parts.flatMap((table, i) => i % 2 === 0 ? [[table, parts[i + 1].replace(/\n\n$/, '\n')]] : []))
}

/** What it refused or saved as something else. */
export function recordedOthers(name: string): Record<string, Other[]> {
  return JSON.parse(readFileSync(spellingsFile(`${name}.others.json`), 'utf8')) as Record<string, Other[]>
}

/** Rules by hand for an IP version: those of both, then its own. */
export function writtenTables(family: 4 | 6): SpellingsTable[] {
  return tablesOf(['any.rules', `ipv${family}.rules`])
}

/** Those that iptables takes and that are refused here. */
export function refusedHere(family: 4 | 6): SpellingsTable[] {
  return tablesOf(['refused-here.rules', ...(family === 4 ? ['refused-here.ipv4.rules'] : [])])
}

function tablesOf(files: readonly string[]): SpellingsTable[] {
  const tables = new Map<string, { readonly chains: string[]; readonly lines: string[] }>()
  for (const file of files) {
    let table = { chains: [] as string[], lines: [] as string[] }
    for (const line of readFileSync(spellingsFile(file), 'utf8').split('\n')) {
      if (line === '' || line === 'COMMIT' || line.startsWith('#')) continue
      if (line.startsWith('*')) {
        table = tables.get(line.slice(1)) ?? { chains: [], lines: [] }
        tables.set(line.slice(1), table)
      } else (line.startsWith(':') ? table.chains : table.lines).push(line)
    }
  }
  return [...tables].map(([table, { chains, lines }]) => ({ table, chains, lines }))
}

export function spellingsCase({ family, tool }: Tool, spellings: readonly SpellingsTable[]): SpellingsCase {
  return { family, tool, spellings }
}

/** What became of a line that is not read back as it was listed. */
export type Other =
  | { readonly line: string; readonly kind: 'refused'; readonly message: string }
  | { readonly line: string; readonly kind: 'unread'; readonly saved: readonly string[] }
  | { readonly line: string; readonly kind: 'changed'; readonly saved: readonly string[]; readonly listed: readonly string[]; readonly again: readonly string[] }

/** The other lines of a table each, by its name. */
export function othersOf(tables: readonly SpellingsTable[], { lines }: SpellingsAnswer): Record<string, Other[]> {
  return Object.fromEntries(tables.map(({ table, lines: written }, i) => [table, written.flatMap((line, j): Other[] => {
    const made = lines[i][j]
    if ('refused' in made) return [{ line, kind: 'refused', message: messageOf(made.refused) }]
    if ('unread' in made) return [{ line, kind: 'unread', saved: made.unread }]
    return made.listed.join('\n') === made.again.join('\n') ? [] : [{ line, kind: 'changed', ...made }]
  })]))
}

/** What was wrong, without the tool's name and its advice. */
function messageOf(text: string): string {
  const line = text.split('\n').find(each => !/^warn/i.test(each) && each.trim() !== '') ?? ''
  return line.replace(/^\S+ v\S+ \(\S+\): ?/, '').replace(/^ip6?tables\S*: /, '') || 'by the kernel'
}

/** A line as a ruleset of its own; it is the last but one line. */
export function rulesetOf({ table, chains }: SpellingsTable, lines: readonly string[]): string {
  return [`*${table}`, ...chains, ...lines, 'COMMIT', ''].join('\n')
}

/** The tables as we list them. */
export function ourLists(text: string, family: 4 | 6): Record<string, string> {
  const firewall = createFirewall(parseRules(text, { family }))
  const lists = Object.fromEntries(firewall.list(family).map(each => [each.table, each.text]))
  firewall.close()
  return lists
}

/** The lines of rules in a list. */
export function rulesListed(list: string): string[] {
  return list.split('\n\n').flatMap(chain => chain.split('\n').slice(2)).filter(line => line !== '')
}

/** What `iptables-nft` makes of rules when it loads them, that is not what was written. */
const CHANGED_BY_NFT: Readonly<Record<string, string>> = {
  '-A FORWARD -p tcp -m tcp --dport 80 -m tcp --dport 81': '-A FORWARD -p tcp -m tcp --dport 81',
  '-A FORWARD -p tcp -m tcp --dport 80 -m tcp --sport 81': '-A FORWARD -p tcp -m tcp --sport 81 --dport 80',
  '-A FORWARD -i +': '-A FORWARD',
  '-A FORWARD -p tcp ! --dport 0:65535': '-A FORWARD -p tcp',
  '-A FORWARD -p udp ! --dport 0:65535': '-A FORWARD -p udp',
  '-A FORWARD -p tcp ! --tcp-flags NONE NONE': '-A FORWARD -p tcp',
  '-A FORWARD -p tcp --tcp-flags NONE SYN': '-A FORWARD -p tcp',
  '-A FORWARD -p tcp ! --tcp-flags NONE SYN': '-A FORWARD -p tcp',
  '-A FORWARD -j NFLOG --nflog-range 64': '-A FORWARD -j NFLOG',
  '-A FORWARD -j NFLOG --nflog-range 4294967295': '-A FORWARD -j NFLOG',
  '-A FORWARD -j NFLOG --nflog-group 5 --nflog-prefix p --nflog-range 100 --nflog-threshold 20':
    '-A FORWARD -j NFLOG --nflog-prefix p --nflog-group 5 --nflog-threshold 20',
}

/** The same of `iptables-legacy`. */
const CHANGED_BY_LEGACY: Readonly<Record<string, string>> = {
  '-A FORWARD -j NFLOG --nflog-prefix 1234567890123456789012345678901234567890123456789012345678901234':
    '-A FORWARD -j NFLOG --nflog-prefix 123456789012345678901234567890123456789012345678901234567890123',
}

type Others = Readonly<Record<string, readonly Other[]>>
type Lists = Readonly<Record<string, string>>

/** Where we and the tool differ about lists: ours first. */
type Difference = readonly [line: string, ours: readonly string[], tool: readonly string[]]

/** The lists of what was written, but for the other lines. */
export function listsOfWritten({ family, tool }: Tool, others: Others): Lists {
  const kept = writtenTables(family).map(each => rulesetOf(each, each.lines.flatMap(line => {
    if (others[each.table].some(other => other.line === line)) return []
    return (tool === 'nft' ? CHANGED_BY_NFT : CHANGED_BY_LEGACY)[line] ?? line
  })))
  return ourLists(kept.join(''), family)
}

/** Of the rules that are saved as something else: both are listed as the tool lists them. */
export function changedDifferences({ family }: Tool, others: Others): Difference[] {
  return writtenTables(family).flatMap(table => others[table.table].flatMap((other): Difference[] => {
    if (other.kind !== 'changed') return []
    const listed = (lines: readonly string[]) => rulesListed(ourLists(rulesetOf(table, lines), family)[table.table])
    return ([[listed([other.line]), other.listed], [listed(other.saved), other.again]] as const)
      .flatMap(([ours, tool]): Difference[] => ours.join('\n') === tool.join('\n') ? [] : [[other.line, ours, tool]])
  }))
}

/** What is right for us and not for the tool, or for either of the two. */
export function wronglyRead({ family }: Tool, others: Others, otherTool: Others): string[] {
  return writtenTables(family).flatMap(table => others[table.table].flatMap(other => {
    if (other.kind === 'changed') return []
    const isRefusedByBoth = otherTool[table.table].some(({ line, kind }) => line === other.line && kind === other.kind)
    return isRefusedByBoth && placeOfError(table, other.kind === 'unread' ? other.saved : [other.line], family) === null ? [other.line] : []
  }))
}

/** Whether it is refused, and if so whether the place is one of the last line's; `null` if it is read. */
export function placeOfError(table: SpellingsTable, lines: readonly string[], family: 4 | 6): string | null {
  const text = rulesetOf(table, lines)
  try {
    parseRules(text, { family })
    return null
  } catch (error) {
    if (!(error instanceof RulesError)) throw error
    const line = text.split('\n')[error.line - 1]
    const isThere = lines.includes(line) && error.column >= 1 && error.column <= line.length + 1
    if (!isThere) throw new Error(`${line}: the error is elsewhere: ${error.message}`)
    return error.message
  }
}
