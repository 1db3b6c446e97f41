import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, test } from 'vitest'
import { parseAddress } from '../../src/address-bytes.js'

const bytesOf = (text: string) => parseAddress(text)?.join('.') ?? null

describe('the bytes of an address', () => {
  test.each([
    ['0.0.0.0', '0.0.0.0'], ['255.1.20.199', '255.1.20.199'], ['::', Array(16).fill(0).join('.')],
    ['1:2:3:4:5:6:7:8', '0.1.0.2.0.3.0.4.0.5.0.6.0.7.0.8'], ['FE80::a%eth0', '254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.10'],
    ['1::8', '0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.8'], ['::ffff:10.0.0.1', '0.0.0.0.0.0.0.0.0.0.255.255.10.0.0.1'],
    ['::10.0.0.1', '0.0.0.0.0.0.0.0.0.0.0.0.10.0.0.1'], ['1:2:3:4:5:6:7::', '0.1.0.2.0.3.0.4.0.5.0.6.0.7.0.0'],
  ])('%s is %s', (text, bytes) => expect(bytesOf(text)).toBe(bytes))

  test.each([
    '', '1', '1.2.3', '1.2.3.4.5', '256.0.0.1', '1.2.3.4.', '.1.2.3.4', '01.2.3.4', '0x1.2.3.4', '1.2.3.4 ', '1.2.3.4%eth0', ':', ':::',
    '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '1:2:3:4:5:6:7:8::', '12345::', 'g::', '::1.2.3', '1.2.3.4::', '::01.2.3.4', '::1%',
    '1:2:3:4:5:6:7:1.2.3.4',
  ])('%j is none', text => expect(bytesOf(text)).toBeNull())

  test('is what ipaddr.js makes of it, IPv4-compatible addresses and zeros in front left aside', () => {
    const octet = fc.nat(260).map(String)
    const group = fc.oneof({ weight: 6, arbitrary: fc.nat(0x1ffff).map(value => value.toString(16)) }, { weight: 2, arbitrary: fc.constant('') })
    const dotted = fc.array(octet, { minLength: 3, maxLength: 5 }).map(parts => parts.join('.'))
    const text = fc.oneof(dotted, fc.array(fc.oneof({ weight: 9, arbitrary: group }, dotted), { minLength: 1, maxLength: 9 }).map(parts => parts.join(':')))
    fc.assert(fc.property(text, candidate => {
      fc.pre(!/^::[\d.]+$/.test(candidate) || !candidate.includes('.'))
      const valid = ipaddr.IPv6.isValid(candidate) || ipaddr.IPv4.isValidFourPartDecimal(candidate)
      expect(bytesOf(candidate)).toBe(valid ? ipaddr.parse(candidate).toByteArray().join('.') : null)
    }), { numRuns: 2000 })
  })
})
