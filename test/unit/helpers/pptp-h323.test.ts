/** PPTP and H.323, call by call (`test/support/calls.ts`). Linux itself is held against the same rows by `npm run kernel`. */
import { createTracker, type Expectation } from 'conntrack-wasm'
import { describe, expect, test } from 'vitest'
import { CALLS, packetsOf, type Call } from '../../support/calls.js'
import { helpersOf } from '../../support/helpers.js'

const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 47: 'gre' }

function text({ tuple, mask, permanent, inactive, assigns }: Expectation): string {
  const source = mask.sport === 0 ? tuple.src : `${tuple.src}:${tuple.sport ?? tuple.srcKey}`
  const words = [permanent && 'PERMANENT', inactive && 'INACTIVE', assigns].filter(Boolean).map(word => ` ${word}`)
  return `${PROTOCOLS[tuple.protocol]} ${source} > ${tuple.dst}:${tuple.dport ?? tuple.dstKey}${words.join('')}`
}

/** Little memory, so that many are made fast. */
const SMALL = { expect_max: 16 }

const trackerFor = (call: Call) => createTracker({ helpers: helpersOf([call.helper]), maxConnections: 16, sysctl: SMALL })

function play(call: Call, tracker = trackerFor(call)) {
  const verdicts = packetsOf(call).map(bytes => tracker.track(bytes))
  expect(tracker.statistics().helperErrors).toEqual({})
  return { tracker, verdicts }
}

describe.each(['pptp', 'h323-ras', 'h323'] as const)('%s', helper => {
  test.each(CALLS.filter(call => call.helper === helper).map(call => [call.name, call] as const))('%s', (_, call) => {
    const { tracker, verdicts } = play(call)
    expect(tracker.expectations().map(text)).toEqual(call.expected)
    expect(verdicts.filter(({ dropped }) => dropped)).toHaveLength(call.dropped ? 1 : 0)
  })
})

test('a PPTP call\'s expectations end with its control connection', () => {
  const { tracker } = play(CALLS.find(({ name }) => name === 'an outgoing call')!)
  expect(tracker.expectations()).toHaveLength(2)
  tracker.delete(1)
  expect(tracker.expectations()).toEqual([])
})

test('no cut of any message makes a helper throw or expect more', () => {
  for (const call of CALLS) {
    const last = call.said.length - 1
    const [who, payload] = call.said[last]
    const again = trackerFor(call)
    for (let length = 0; length < payload.length; length++) {
      const cut = { ...call, then: undefined, said: [...call.said.slice(0, last), [who, payload.subarray(0, length)] as const] }
      play(cut, again)
      expect(again.expectations().length, `${call.name}, ${length} bytes`).toBeLessThanOrEqual(Math.max(2, call.expected.length))
      for (const { id } of [...again.connections()]) again.delete(id)
      expect(again.expectations()).toEqual([])
    }
  }
})
