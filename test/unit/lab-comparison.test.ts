/** The comparison of expectations with the kernel's: what it takes for the same, and that it misses nothing. */
import { describe, expect, test } from 'vitest'
import { compareExpectations, type ToldExpectation } from '../support/lab.js'

const [announced, ended, gre] = [
  '[NEW] 30 proto=17 src=203.0.113.127 dst=203.0.113.2 sport=161 dport=48658 mask-src=255.255.255.128 '
    + 'mask-dst=255.255.255.255 sport=65535 dport=65535 master-src=203.0.113.2 master-dst=203.0.113.127 '
    + 'sport=48658 dport=161 PERMANENT class=0 helper=snmp',
  '[DESTROY] 29 proto=6 src=192.0.2.2 dst=198.51.100.2 sport=0 dport=30003 mask-src=255.255.255.255 '
    + 'mask-dst=255.255.255.255 sport=0 dport=65535 master-src=192.0.2.2 master-dst=198.51.100.2 sport=32934 dport=21 '
    + 'class=0 helper=ftp',
  '[NEW] 300 proto=47 src=192.0.2.2 dst=198.51.100.2 srckey=0x4bc1 dstkey=0x0 mask-src=255.255.255.255 '
    + 'mask-dst=255.255.255.255 srckey=0xffff dstkey=0xffff master-src=192.0.2.2 master-dst=198.51.100.2 sport=59480 '
    + 'dport=1723 class=0 helper=pptp',
]
const told = (line: string, timeoutMs = 0): ToldExpectation => ({ line, timeoutMs })
const same = [told(announced), told(ended, 29_500), told(gre)]
const kernels = [announced, ended, gre]

describe('expectations of the kernel and ours', () => {
  test('are the same where every line is', () => {
    expect(compareExpectations(same, kernels)).toEqual([])
  })

  test.each(kernels)('differ with each word of %s', line => {
    const at = kernels.indexOf(line)
    const words = line.split(' ')
    for (const i of words.keys()) {
      for (const other of [[`${words[i]}7`], []]) {
        const line = [...words.slice(0, i), ...other, ...words.slice(i + 1)].join(' ')
        const changed = [...kernels.slice(0, at), line, ...kernels.slice(at + 1)]
        expect(compareExpectations(same, changed), words[i]).toHaveLength(1)
      }
    }
  })

  test('differ where one of the two tells more, or in another order', () => {
    expect(compareExpectations(same.slice(1), kernels)).not.toEqual([])
    expect(compareExpectations(same, kernels.slice(0, 2))).toHaveLength(1)
    expect(compareExpectations(same, [])).toHaveLength(3)
    expect(compareExpectations([], kernels)).toHaveLength(3)
    expect(compareExpectations(same, [gre, ended, announced])).toHaveLength(2)
  })

  test('one that ends may have a second more or less where a tick decides it, and one that begins may not', () => {
    const seconds = (line: string, n: number) => line.replace(/^(\S+) \d+/, `$1 ${n}`)
    const compare = (timeoutMs: number, n: number) =>
      compareExpectations([told(seconds(ended, Math.floor(timeoutMs / 1000)), timeoutMs)], [seconds(ended, n)])
    expect(compare(29_996, 30)).toEqual([])
    expect(compare(29_995, 30)).toHaveLength(1)
    expect(compare(30_003, 29)).toEqual([])
    expect(compare(30_004, 29)).toHaveLength(1)
    expect(compareExpectations([told(seconds(announced, 29), 29_999)], [announced])).toHaveLength(1)
  })
})
