/**
 * Rules in every spelling that iptables takes, as its four tools saved and listed them, and rules that they refused
 * (`npm run rules:record`). What they save is listed as they list it, character for character, and so is what people wrote;
 * what both of iptables' ways into the kernel refuse is refused with its place, and nothing else but what is said to be.
 */
import { describe, expect, test } from 'vitest'
import {
  changedDifferences, listsOfWritten, ourLists, placeOfError, recordedLists, recordedOthers, recordedSaved, refusedHere, TOOLS,
  writtenTables, wronglyRead,
} from '../support/rules-spellings.js'

describe.each(TOOLS)('$name', tool => {
  const { name, family } = tool
  const others = recordedOthers(name)

  test('what it saves is listed as it lists it', () => {
    expect(ourLists(recordedSaved(name), family)).toEqual(recordedLists(name))
  })

  test('what was written is listed as it lists it', () => {
    expect(listsOfWritten(tool, others)).toEqual(recordedLists(name))
    expect(changedDifferences(tool, others)).toEqual([])
  })

  test('what it refuses, and is not taken by the other way into the kernel, is refused with its place', () => {
    expect(wronglyRead(tool, others, recordedOthers(`ipv${family}-${tool.tool === 'nft' ? 'legacy' : 'nft'}`))).toEqual([])
  })

  test('there are hundreds that it takes, and hundreds that it refuses', () => {
    const refused = Object.values(others).flat().filter(({ kind }) => kind === 'refused').length
    expect(refused).toBeGreaterThan(400)
    expect(writtenTables(family).flatMap(({ lines }) => lines).length - refused).toBeGreaterThan(900)
  })
})

describe.each([4, 6] as const)('what is refused here though iptables takes it for IPv%i', family => {
  const [table] = refusedHere(family)
  test.each(table.lines)('%s', line => expect(placeOfError(table, [line], family)).not.toBeNull())
})
