import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pack } from '../../core-packer.js'
import { unpack } from '../../src/core-text.js'
import { Random } from '../support/random.js'

describe('what is packed', () => {
  function comesBack(bytes: Uint8Array): void {
    expect(Buffer.compare(unpack(pack(bytes), bytes.length), bytes)).toBe(0)
  }

  test('is unpacked to the same bytes, whatever they are', () => {
    const byte = fc.integer({ min: 0, max: 255 })
    const runs = fc.array(fc.tuple(fc.uint8Array({ maxLength: 12 }), fc.integer({ min: 0, max: 12 })), { maxLength: 3 })
    fc.assert(fc.property(fc.array(byte, { maxLength: 200 }), bytes => {
      comesBack(Uint8Array.from(bytes))
    }), { numRuns: 15 })
    fc.assert(fc.property(runs, parts => {
      comesBack(Uint8Array.from(parts.flatMap(([bytes, times]) => Array(times).fill([...bytes]).flat() as number[])))
    }), { numRuns: 15 })
  })

  test('takes matches over all distances', () => {
    const random = new Random(1)
    const noise = Uint8Array.from({ length: 6000 }, () => random.below(256))
    const bytes = Uint8Array.of(...noise, ...noise.subarray(0, 700), ...noise.subarray(5800))
    comesBack(bytes)
    expect(pack(bytes).length).toBeLessThan(noise.length * 4 / 3 * 1.03)
  })
})
