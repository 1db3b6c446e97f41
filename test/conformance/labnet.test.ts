/**
 * Captures of a lab network with real servers and clients, the state the kernel of the router in the middle gave each
 * packet, and what it told of expectations. The tracker gets them at the captures' own times.
 *
 * Frames without a recorded state are not compared.
 */
import { existsSync, readdirSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { readFrames } from '../support/frames.js'
import { SHARED, sharedIsThere } from '../support/golden.js'
import { labHelpers } from '../support/helpers.js'
import { compareExpectations, compareStates, readExpectations, readStates } from '../support/lab.js'
import { Tally } from '../support/tally.js'

const tally = new Tally('lab captures')
const expectations = new Tally('expectations of lab captures', 'events')
const helpers = labHelpers()

describe.runIf(sharedIsThere)('captures of the lab network', () => {
  const root = new URL('labnet/captures/', SHARED)
  const files = sharedIsThere ? readdirSync(root).filter(name => /\.states\.tsv(\.gz)?$/.test(name)).sort() : []
  for (const file of files) {
    const name = file.replace(/\.states.*/, '')
    test(name, async () => {
      const frames = await readFrames(new URL(`${name}.pcap`, root).pathname)
      const result = compareStates(createTracker, frames, readStates(new URL(file, root)), name === 'udplite_nocheck', helpers)
      tally.add(name, result.compared, result.differences.length, result.left)
      expect(result.differences.slice(0, 20)).toEqual([])
      const announced = new URL(`${name}.expectations.txt`, root)
      const kernels = existsSync(announced) ? readExpectations(announced) : []
      // Of a capture that is cut the helper sees no payload, where the kernel did.
      if (result.isCut) return expectations.add(name, 0, 0, kernels.length)
      const differences = compareExpectations(result.expectations, kernels)
      if (kernels.length > 0) expectations.add(name, kernels.length, differences.length)
      expect(differences.slice(0, 20)).toEqual([])
    })
  }
  afterAll(() => {
    tally.print()
    expectations.print()
  })
})

if (!sharedIsThere) test.skip('../shared is not there: lab captures are not compared (skipped)', () => {})

