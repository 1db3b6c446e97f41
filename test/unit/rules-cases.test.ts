/**
 * Rulesets of the kinds that people run, over packets: every counter is what a kernel counted, and the tables are printed
 * as `iptables -L -v -n` printed them (`npm run rules:record`).
 */
import { readFileSync } from 'node:fs'
import { readCapture } from 'conntrack-wasm/node'
import { describe, expect, test } from 'vitest'
import { CASES } from '../rules/cases.js'
import { caseFile, firewallOf } from '../support/rules-cases.js'
import { ourCounters } from '../support/rules-lab.js'

test('there are twenty-three', () => expect(CASES).toHaveLength(23))

describe.each(CASES)('rules of $name', given => {
  const { name, family } = given
  const recorded = (ending: string) => readFileSync(caseFile(name, ending), 'utf8')

  test('count what the kernel counted, and are listed as iptables lists them', async () => {
    const firewall = firewallOf(given)
    for await (const batch of readCapture(caseFile(name, 'pcap'))) firewall.judgeBatch(batch)
    const ours = ourCounters(firewall, family)
    const kernel = new Map(recorded('counters.txt').trimEnd().split('\n').map(line => {
      const [, place, count] = /^(.*) (\S+)$/.exec(line)!
      return [place, count]
    }))
    // A table that was not loaded has no rules here, and chains that nothing was counted in there.
    const judged = Object.fromEntries([...kernel].filter(([place]) => ours.has(place)))
    expect(Object.fromEntries(ours)).toEqual(judged)
    for (const { table, text } of firewall.list(family)) expect(listOf(recorded('list.txt'), table)).toBe(text)
    firewall.close()
  })
})

function listOf(text: string, table: string): string {
  const from = text.indexOf(`# table ${table}\n`) + `# table ${table}\n`.length
  const to = text.indexOf('\n# table', from)
  return text.slice(from, to < 0 ? undefined : to)
}
