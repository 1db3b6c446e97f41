/**
 * `npm run rules:record`: asks this machine's kernel what iptables counts for the cases of `test/rules`, and writes down
 * what it answered: `NAME.pcap` with the times at which packets were sent, `NAME.counters.txt` as `iptables-save -c` has
 * them, `NAME.list.txt` as `iptables -L -v -n` prints the tables.
 *
 * Of the rules of `test/rules/spellings` it writes for each of the four tools what it saves (`.saved.rules`, with counters)
 * and lists (`.list.txt`), and about which lines more is to be said (`.others.json`): those that it refuses, and those that
 * it saves as something else.
 *
 *     npm run rules:record [-- NAME ...]
 */
import { writeFileSync } from 'node:fs'
import { CASES } from '../rules/cases.js'
import { rawCapture } from '../support/raw-capture.js'
import { caseFile, framesOf, labCase } from '../support/rules-cases.js'
import { askLab, askSpellings, savedCounters, whatLabMisses } from '../support/rules-lab.js'
import { othersOf, refusedHere, spellingsCase, spellingsFile, TOOLS, writtenTables } from '../support/rules-spellings.js'

const START = 1_700_000_000_000_000_000n

const missing = whatLabMisses()
if (missing !== null) {
  console.error(`rules:record needs ${missing}`)
  process.exit(2)
}
const names = process.argv.slice(2)
const chosen = CASES.filter(({ name }) => names.length === 0 || names.includes(name))
const answers = askLab(chosen.map(given => labCase(given, 'legacy')))
for (const [i, { refused, saved, times, lists }] of answers.entries()) {
  const given = chosen[i]
  if (refused !== undefined) throw new Error(`${given.name}: ${refused}`)
  writeFileSync(caseFile(given.name, 'pcap'), rawCapture(framesOf(given), at => START + BigInt(times[at]), given.ethernet ? 1 : 101))
  writeFileSync(caseFile(given.name, 'counters.txt'), [...savedCounters(saved)].map(([place, count]) => `${place} ${count}\n`).join(''))
  writeFileSync(caseFile(given.name, 'list.txt'), Object.entries(lists!).map(([table, text]) => `# table ${table}\n${text}`).join('\n'))
  console.log(`${given.name}: ${given.packets.length} packets`)
}

for (const tool of TOOLS) {
  if (names.length > 0 && !names.includes(tool.name)) continue
  const tables = writtenTables(tool.family)
  const answer = askSpellings(spellingsCase(tool, tables))
  if (answer.saved.replace(/^\[0:0\] /gm, '').replace(/^#.*\n/gm, '') !== answer.plain.replace(/^#.*\n/gm, '')) throw new Error(`${tool.name}: -c changes more than counters`)
  const others = othersOf(tables, answer)
  const rows = (list: readonly object[]) => list.map(each => '    ' + JSON.stringify(each)).join(',\n')
  const json = Object.entries(others).map(([table, list]) => `  ${JSON.stringify(table)}: [\n${rows(list)}\n  ]`).join(',\n')
  writeFileSync(spellingsFile(`${tool.name}.saved.rules`), answer.saved)
  writeFileSync(spellingsFile(`${tool.name}.list.txt`), Object.entries(answer.lists).map(([table, text]) => `# table ${table}\n${text}`).join('\n'))
  writeFileSync(spellingsFile(`${tool.name}.others.json`), `{\n${json}\n}\n`)
  console.log(`${tool.name}: ${tables.flatMap(({ lines }) => lines).length} rules, of which ${Object.values(others).flat().length} are refused or saved as others`)
}

/** What is said to be taken by iptables is taken, by one of its ways at least. */
for (const family of [4, 6] as const) {
  if (names.length > 0) continue
  const tables = refusedHere(family)
  const refused = TOOLS.filter(tool => tool.family === family).map(tool => {
    const others = Object.values(othersOf(tables, askSpellings(spellingsCase(tool, tables)))).flat()
    return others.flatMap(({ line, kind }) => kind === 'refused' ? [line] : [])
  })
  const byAll = refused[0].filter(line => refused.every(lines => lines.includes(line)))
  if (byAll.length > 0) throw new Error(`IPv${family}: iptables refuses too: ${byAll.join('; ')}`)
}
