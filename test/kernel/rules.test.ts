/**
 * iptables of this machine and our rules over the same packets, now: every counter of the rulesets of `test/rules` is the
 * same, through both of iptables' ways into the kernel. Needs root and apt's iptables; says so where they are missing.
 */
import { describe, expect, test } from 'vitest'
import { CASES } from '../rules/cases.js'
import { firewallOf, framesOf, labCase } from '../support/rules-cases.js'
import { askLab, compareCounters, ourCounters, savedCounters, whatLabMisses } from '../support/rules-lab.js'

const START = 1_700_000_000_000_000_000n
const missing = whatLabMisses()

describe.skipIf(missing)(`iptables of this machine${missing ? ` (skipped: needs ${missing})` : ''}`, () => {
  describe.each(['legacy', 'nft'] as const)('iptables-%s', tool => {
    test.each(CASES)('$name', given => {
      const [{ refused, saved, times }] = askLab([labCase(given, tool)])
      expect(refused).toBeUndefined()
      const firewall = firewallOf(given)
      framesOf(given).forEach((bytes, i) => {
        firewall.judge(bytes, { time: START + BigInt(times[i]), linkType: given.ethernet ? 1 : 101 })
      })
      const differing = compareCounters(savedCounters(saved), ourCounters(firewall, given.family))
      firewall.close()
      expect(differing).toEqual([])
    })
  })
})

if (missing && process.env.CI === 'true') test('CI has what this needs', () => expect(missing).toBeNull())
