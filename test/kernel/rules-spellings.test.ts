/**
 * iptables of this machine and the recordings of `test/rules/spellings`, which `npm test` holds against us: each of the four
 * tools refuses what it was recorded to refuse, and saves and lists the rest as it was recorded to. Needs root and apt's iptables.
 */
import { describe, expect, test } from 'vitest'
import { askSpellings, whatLabMisses } from '../support/rules-lab.js'
import { recordedLists, recordedOthers, recordedSaved, spellingsCase, TOOLS, writtenTables } from '../support/rules-spellings.js'

const missing = whatLabMisses()
const withoutDates = (saved: string) => saved.replace(/^#.*\n/gm, '')

describe.skipIf(missing)(`iptables of this machine${missing ? ` (skipped: needs ${missing})` : ''}`, () => {
  describe.each(TOOLS)('$name', tool => {
    const others = recordedOthers(tool.name)
    const choose = (isChosen: (kind: string | undefined) => boolean) => writtenTables(tool.family).map(each => ({
      ...each, lines: each.lines.filter(line => isChosen(others[each.table].find(other => other.line === line)?.kind)),
    }))

    test('saves and lists rules as recorded', () => {
      const { saved, lists } = askSpellings({ ...spellingsCase(tool, choose(kind => kind === undefined)), together: true })
      expect(withoutDates(saved)).toBe(withoutDates(recordedSaved(tool.name)))
      expect(lists).toEqual(recordedLists(tool.name))
    })

    test('refuses what it refused, and saves as something else what it did', () => {
      const tables = choose(kind => kind !== undefined)
      const { lines } = askSpellings(spellingsCase(tool, tables))
      const kinds = tables.map(({ table, lines: written }, i) => written.map((line, j) => {
        const made = lines[i][j]
        return [table, line, 'refused' in made ? 'refused' : 'unread' in made ? 'unread' : 'changed']
      }))
      expect(kinds.flat()).toEqual(tables.flatMap(({ table, lines: written }) =>
        written.map(line => [table, line, others[table].find(other => other.line === line)!.kind])))
    })
  })
})
