/** The tests' own table of expectations against Linux's rules. */
import { describe, expect, test } from 'vitest'
import { defineHelper } from '../../../src/helpers/define.js'
import type { HelpedConnection, NewExpectation } from '../../../src/helpers/helper.js'
import { ExpectationTable } from '../../support/expectation-table.js'

const CLASSES = [{ name: 'one', limit: 1, timeout: 10 }, { name: 'two', limit: 2, timeout: 20 }]
const helper = defineHelper({ name: 'test', protocol: 'tcp', classes: CLASSES, inspect: () => 'accept' })
const tuple = { family: 4, protocol: 6, src: '10.0.0.1', dst: '10.0.0.2', sport: 1, dport: 2 } as const
const master = (id: number): HelpedConnection =>
  ({ id, family: 4, protocol: 6, original: tuple, reply: tuple, expected: false })
const E: NewExpectation = { protocol: 6, src: '10.0.0.2', dst: '10.0.0.1', dport: 5000, class: 1 }

function pair() {
  const table = new ExpectationTable()
  return { table, first: table.for(master(1), helper), second: table.for(master(2), helper) }
}

describe('adding', () => {
  test('an equal one of the same master refreshes it', () => {
    const { table, first } = pair()
    first.expect(E)
    table.now = 15
    expect(first.expect(E)).toBe('added')
    table.now = 30
    expect(table.all).toHaveLength(1)
  })

  test('an equal one of another class is ALREADY', () => {
    const { first } = pair()
    first.expect(E)
    expect(first.expect({ ...E, class: 0 })).toBe('already')
  })

  test('an equal one of another master is BUSY, or with skipMaster ALREADY', () => {
    const { first, second } = pair()
    first.expect(E)
    expect(second.expect(E)).toBe('busy')
    expect(second.expect({ ...E, skipMaster: true })).toBe('already')
  })

  test.each([
    ['any source', { src: null }, 'busy'],
    ['a network that holds its source', { src: '10.0.0.9', srcMask: '255.255.255.0' }, 'busy'],
    ['one of its source ports', { sport: 20 }, 'busy'],
    ['another source', { src: '10.0.0.3' }, 'added'],
    ['another destination', { dst: '10.0.0.3' }, 'added'],
    ['another port', { dport: 5001 }, 'added'],
    ['another protocol', { protocol: 17 }, 'added'],
  ])('beside one for %s', (_, change, answer) => {
    const { first, second } = pair()
    first.expect(E)
    expect(second.expect({ ...E, ...change })).toBe(answer)
  })

  test('at the limit of its class the oldest of the class goes', () => {
    const { table, first } = pair()
    first.expect({ ...E, class: 0, dport: 1 })
    for (const dport of [2, 3, 4]) expect(first.expect({ ...E, dport })).toBe('added')
    expect(table.all.map(one => one.dport)).toEqual([4, 3, 1])
  })

  test('where the table is full it stays so', () => {
    const first = new ExpectationTable(1).for(master(1), helper)
    expect([first.expect(E), first.expect({ ...E, dport: 1 })]).toEqual(['added', 'full'])
  })
})

describe('matching', () => {
  test('takes the newest, and takes it away', () => {
    const { table, first, second } = pair()
    first.expect({ ...E, sport: 20 })
    second.expect({ ...E, sport: 21 })
    expect(table.match(6, '10.0.0.2', 20, '10.0.0.1', 5000)?.master).toBe(1)
    expect(table.match(6, '10.0.0.2', 20, '10.0.0.1', 5000)).toBeNull()
    expect(table.match(6, '10.0.0.2', 21, '10.0.0.1', 5000)?.master).toBe(2)
  })

  test('leaves a permanent one, and passes over an inactive one until it is activated', () => {
    const { table, first } = pair()
    first.expect({ ...E, permanent: true, inactive: true })
    expect(table.match(6, '10.0.0.2', 20, '10.0.0.1', 5000)).toBeNull()
    first.activate(first.own()[0], 5)
    expect(table.match(6, '10.0.0.2', 20, '10.0.0.1', 5000)).not.toBeNull()
    expect(table.all).toHaveLength(1)
    table.now = 5
    expect(table.all).toHaveLength(0)
  })
})

test('a master takes its own with it', () => {
  const { table, first, second } = pair()
  first.expect(E)
  second.expect({ ...E, dport: 1 })
  table.removeMaster(1)
  expect(table.all.map(one => one.master)).toEqual([2])
})

test('GRE keys: a second, different pair for a direction is refused', () => {
  const { first } = pair()
  const gre = { src: '10.0.0.1', srcKey: 1, dst: '10.0.0.2', dstKey: 2 }
  expect(first.mapGreKeys('original', gre)).toBe(true)
  expect(first.mapGreKeys('original', { ...gre })).toBe(true)
  expect(first.mapGreKeys('original', { ...gre, srcKey: 3 })).toBe(false)
  first.unmapGreKeys()
  expect(first.mapGreKeys('original', { ...gre, srcKey: 3 })).toBe(true)
})
