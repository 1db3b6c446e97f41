/**
 * Real captures of public projects: what Linux answered to each packet, replayed as fast as it could be sent. The
 * tracker gets the same packets at the recorded times.
 */
import { readdirSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { afterAll, describe, expect, test } from 'vitest'
import { readFrames } from '../support/frames.js'
import { readRecording, SHARED, sharedIsThere } from '../support/golden.js'
import { replay } from '../support/replay.js'
import { Tally } from '../support/tally.js'

const tally = new Tally('captures')

describe.runIf(sharedIsThere)('captures of public projects', () => {
  const root = new URL('captures-golden/', SHARED)
  const files = sharedIsThere
    ? readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.jsonl.gz')).sort()
    : []
  for (const file of files) {
    const name = file.replace('.jsonl.gz', '')
    test(name, async () => {
      const frames = await readFrames(new URL(`captures/${name}`, SHARED).pathname)
      const result = replay(createTracker, readRecording(new URL(file, root)), frames)
      tally.add(name, result.compared, result.differing)
      expect(result.differences.slice(0, 20)).toEqual([])
    })
  }
  afterAll(() => tally.print())
})

if (!sharedIsThere) test.skip('../shared is not there: captures are not compared (skipped)', () => {})
