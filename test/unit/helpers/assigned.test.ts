/** Which new connections get a helper: as with Linux, those of its protocols and IP versions alone. */
import { describe, expect, test } from 'vitest'
import { allHelpers, defineHelper, ftp, irc, pptp, sip, snmp } from '../../../src/helpers/index.js'
import { createTracker, type TrackerOptions } from '../../../src/index.js'
import { tcp, udp, type Endpoints } from '../../support/build.js'

const V4 = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000 }
const V6 = { src: '2001:db8:a::1', dst: '2001:db8:b::2', sport: 1000 }

/** The helper of a new connection. */
function helperOf(helpers: TrackerOptions['helpers'], protocol: 'tcp' | 'udp', at: Endpoints): string | null {
  const tracker = createTracker({ helpers })
  tracker.track(protocol === 'tcp' ? tcp(at, { flags: 'S' }) : udp(at), { linkType: 101 })
  return tracker.entry(0)!.helper
}

describe('a helper is assigned', () => {
  const ports = [
    ['amanda', 'udp', 10080], ['ftp', 'tcp', 21], ['Q.931', 'tcp', 1720], ['RAS', 'udp', 1719], ['sane', 'tcp', 6566],
    ['sip', 'tcp', 5060], ['sip', 'udp', 5060], ['tftp', 'udp', 69],
  ] as const
  test.each(ports)('%s: to %s port %i of both IP versions', (name, protocol, dport) => {
    expect(helperOf(allHelpers(), protocol, { ...V4, dport })).toBe(name)
    expect(helperOf(allHelpers(), protocol, { ...V6, dport })).toBe(name)
  })

  const onlyV4 = [
    ['irc', 'tcp', 6667], ['netbios-ns', 'udp', 137], ['pptp', 'tcp', 1723], ['snmp', 'udp', 161],
  ] as const
  test.each(onlyV4)('%s: to %s port %i of IPv4 alone', (name, protocol, dport) => {
    expect(helperOf(allHelpers(), protocol, { ...V4, dport })).toBe(name)
    expect(helperOf(allHelpers(), protocol, { ...V6, dport })).toBeNull()
  })

  test('of IPv6 alone where that is all it knows', () => {
    const helper = defineHelper({ name: 'six', protocol: 'udp', families: [6], ports: [9], inspect: () => 'accept' })
    expect(helperOf([helper], 'udp', { ...V4, dport: 9 })).toBeNull()
    expect(helperOf([helper], 'udp', { ...V6, dport: 9 })).toBe('six')
  })

  test('not over another protocol on the same port', () => {
    expect(helperOf(allHelpers(), 'udp', { ...V4, dport: 21 })).toBeNull()
    expect(helperOf(allHelpers(), 'tcp', { ...V4, dport: 161 })).toBeNull()
  })
})

describe('by match a helper is assigned', () => {
  test('on all ports of a range and none beside it', () => {
    const helpers = [{ helper: ftp(), match: { dport: '2100-2121' } }, ...allHelpers()]
    for (const [dport, name] of [[2099, null], [2100, 'ftp'], [2121, 'ftp'], [2122, null], [6667, 'irc']] as const) {
      expect(helperOf(helpers, 'tcp', { ...V4, dport })).toBe(name)
    }
  })

  test('whatever the destination port, where the match does not ask for it', () => {
    const bySource = [...allHelpers(), { helper: ftp(), match: { sport: 1000 } }]
    expect(helperOf(bySource, 'tcp', { ...V4, dport: 50000 })).toBe('ftp')
    expect(helperOf(bySource, 'tcp', { ...V4, sport: 1001, dport: 50000 })).toBeNull()
    expect(helperOf([{ helper: ftp(), match: { dport: '0-65535' } }], 'tcp', { ...V4, dport: 50000 })).toBe('ftp')
  })

  test('to connections of its protocols alone', () => {
    const match = { src: '10.0.0.0/8' }
    expect(helperOf([{ helper: ftp(), match }], 'tcp', { ...V4, dport: 2121 })).toBe('ftp')
    expect(helperOf([{ helper: ftp(), match }], 'udp', { ...V4, dport: 2121 })).toBeNull()
    expect(helperOf([{ helper: sip(), match }], 'tcp', { ...V4, dport: 2121 })).toBe('sip')
    expect(helperOf([{ helper: sip(), match }], 'udp', { ...V4, dport: 2121 })).toBe('sip')
    expect(helperOf([{ helper: sip(), match: { protocol: 'udp' } }], 'tcp', { ...V4, dport: 2121 })).toBeNull()
  })

  test('to connections of its IP versions alone', () => {
    const match = { dport: 2121 }
    expect(helperOf([{ helper: irc(), match }], 'tcp', { ...V4, dport: 2121 })).toBe('irc')
    expect(helperOf([{ helper: irc(), match }], 'tcp', { ...V6, dport: 2121 })).toBeNull()
    expect(helperOf([{ helper: pptp(), match: { src: '2001:db8::/32' } }], 'tcp', { ...V6, dport: 2121 })).toBeNull()
    expect(helperOf([{ helper: ftp(), match: { src: '2001:db8::/32' } }], 'tcp', { ...V6, dport: 2121 })).toBe('ftp')
  })

  test('and where it cannot have the connection, the next that fits counts', () => {
    const helpers = [{ helper: snmp(), match: { dport: 2121 } }, { helper: sip(), match: { dport: 2121 } }]
    expect(helperOf(helpers, 'udp', { ...V4, dport: 2121 })).toBe('snmp')
    expect(helperOf(helpers, 'udp', { ...V6, dport: 2121 })).toBe('sip')
    expect(helperOf(helpers, 'tcp', { ...V4, dport: 2121 })).toBe('sip')
  })
})
