/**
 * `npm run rules:record`: asks this machine's kernel what iptables counts for the cases of `test/rules`, and writes down
 * what it answered: `NAME.pcap` with the times at which packets were sent, `NAME.counters.txt` as `iptables-save -c` has
 * them, `NAME.list.txt` as `iptables -L -v -n` prints the tables.
 *
 *     npm run rules:record [-- NAME ...]
 */
import { writeFileSync } from 'node:fs'
import { CASES } from '../rules/cases.js'
import { rawCapture } from '../support/raw-capture.js'
import { caseFile, framesOf, labCase } from '../support/rules-cases.js'
import { askLab, savedCounters, whatLabMisses } from '../support/rules-lab.js'

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
