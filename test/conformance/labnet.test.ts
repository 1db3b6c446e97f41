/**
 * Captures of a lab network with real servers and clients, the state the kernel of the router in the middle gave each
 * packet, and what it told of expectations. The tracker gets them at the captures' own times.
 *
 * Frames without a recorded state are not compared. Expectations are: all of them, in their order and word by word,
 * where the kernel told of some as well as where it told of none; but of a capture that is cut.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { ExpectationTally } from '../support/expectation-tally.js'
import { readFrames, type Frame } from '../support/frames.js'
import { SHARED, sharedIsThere } from '../support/golden.js'
import { labHelpers } from '../support/helpers.js'
import { compareExpectations, compareStates, readExpectations, readStates } from '../support/lab.js'
import { Tally } from '../support/tally.js'

const tally = new Tally('lab captures')
const expectations = new ExpectationTally()
const helpers = labHelpers()

describe.runIf(sharedIsThere)('captures of the lab network', () => {
  const root = new URL('labnet/captures/', SHARED)
  const files = sharedIsThere ? readdirSync(root).filter(name => /\.states\.tsv(\.gz)?$/.test(name)).sort() : []
  for (const file of files) {
    const name = file.replace(/\.states.*/, '')
    test(name, async () => {
      const frames = await readFrames(new URL(`${name}.pcap`, root).pathname)
      const states = readStates(new URL(file, root))
      const result = compareStates(createTracker, frames, states, name === 'udplite_nocheck', helpers)
      tally.add(name, result.compared, result.differences.length, result.left)
      const recorded = new URL(`${name}.expectations.txt`, root)
      const kernels = existsSync(recorded) ? readExpectations(recorded) : []
      const different = compareExpectations(result.expectations, result.isCut ? [] : kernels)
      if (result.isCut) expectations.leaveOut(name, result, kernels, cutText(frames))
      else expectations.add(name, result, kernels, different.length)
      expect(result.differences.slice(0, 20)).toEqual([])
      expect(different.slice(0, 20)).toEqual([])
    })
  }
  afterAll(() => {
    tally.print()
    expectations.print()
  })
})

if (!sharedIsThere) test.skip('../shared is not there: lab captures are not compared (skipped)', () => {})

function cutText(frames: readonly Frame[]): string {
  const longest = Math.max(...frames.map(({ bytes }) => bytes.length))
  return `its packets are cut to ${longest} bytes, before the words that announce; none is told of`
}
