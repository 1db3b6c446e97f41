/** The reducer of the kernel fuzzer, against kernels that are functions. */
import { describe, expect, test } from 'vitest'
import { minimise, reduce } from '../support/reduce.js'

const numbers = (n: number) => Array.from({ length: n }, (_, i) => i)

/** Shows where all of these are there, in this order; counts how often it was asked. */
function needs(...wanted: readonly number[]) {
  const asked: (readonly number[])[] = []
  const shows = async (items: readonly number[]) => {
    asked.push(items)
    return items.filter(item => wanted.includes(item)).join() === wanted.join()
  }
  return { asked, shows }
}

describe('minimise', () => {
  test('leaves exactly what is needed, in order', async () => {
    for (const wanted of [[0], [999], [500], [0, 999], [3, 4, 5], [1, 250, 251, 700, 998]]) {
      expect(await minimise(numbers(1000), needs(...wanted).shows)).toEqual(wanted)
    }
  })

  test('asks in the order of the logarithm, not of the length, where little is needed', async () => {
    const { asked, shows } = needs(17, 3000)
    await minimise(numbers(4000), shows)
    expect(asked.length).toBeLessThan(80)
  })

  test('no single item can be left out of what is left, even where less of everything shows nothing', async () => {
    // At least three even ones, and as many odd ones as even ones.
    const shows = async (items: readonly number[]) => {
      const even = items.filter(item => item % 2 === 0).length
      return even >= 3 && items.length - even === even
    }
    const left = await minimise(numbers(64), shows)
    expect(await shows(left)).toBe(true)
    for (let i = 0; i < left.length; i++) expect(await shows(left.filter((_, j) => j !== i))).toBe(false)
  })

  test('what cannot be shortened stays whole, and nothing is asked about no items', async () => {
    const { asked, shows } = needs(...numbers(9))
    expect(await minimise(numbers(9), shows)).toEqual(numbers(9))
    expect(asked.every(items => items.length > 0)).toBe(true)
    expect(await minimise([1], async () => true)).toEqual([1])
  })
})

describe('reduce', () => {
  const sameTens = (item: number, last: number) => item % 10 === last % 10

  test('first everything behind the difference goes, then what is not related', async () => {
    const { asked, shows } = needs(7, 47)
    expect(await reduce(numbers(100), 47, [sameTens], shows)).toEqual([7, 47])
    expect(asked[0]).toEqual(numbers(48))
    expect(asked[1]).toEqual([7, 17, 27, 37, 47])
  })

  test('what is not related stays where it is needed', async () => {
    const { shows } = needs(8, 47)
    expect(await reduce(numbers(100), 47, [sameTens, item => item > 40], shows)).toEqual([8, 47])
  })

  test('what does not show again is not reduced', async () => {
    expect(await reduce(numbers(100), 47, [sameTens], async () => false)).toBeNull()
  })
})
