/** The limits that SECURITY.md tells are those of the code. */
import { readFileSync } from 'node:fs'
import { createTracker } from 'conntrack-wasm'
import { expect, test } from 'vitest'
import { MAX_CAPTURED, MAX_INTERFACES, MAX_RECORD } from '../../src/capture/limits.js'
import { SYSCTLS } from '../../src/sysctl.js'

const text = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8')
const limit = (what: string) => {
  const row = text.split('\n').find(line => line.startsWith(`| ${what}`))
  return (row?.match(/\d[\d,]*(?= |,|;|\||$)/g) ?? []).map(number => Number(number.replaceAll(',', '')))
}

test.each([
  ['connections', SYSCTLS.max.initial], ['connections', SYSCTLS.max.max],
  ['expectations', SYSCTLS.expect_max.initial],
  ['fragments held', SYSCTLS.ipfrag_high_thresh.initial], ['fragments held', SYSCTLS.frag6_high_thresh.initial],
  ['packet in a capture', MAX_CAPTURED], ['other record', MAX_RECORD], ['interfaces', MAX_INTERFACES],
])('%s: %i is told', (what, value) => {
  expect(limit(what)).toContain(value)
})

test('a batch and a table can be as large as it tells, and no larger', () => {
  const [, most] = limit('connections')
  const [batch] = limit('packets in a batch')
  expect(() => createTracker({ maxConnections: most + 1 })).toThrow('maxConnections')
  expect(() => createTracker({ batchSize: batch + 1 })).toThrow('batchSize')
  createTracker({ batchSize: batch, maxConnections: 1 }).close()
})
