/** Any payload will do: none makes a helper throw, hang (the runner's own limit), or expect more than its rule allows. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Helper, StandingExpectation } from '../../../src/helpers/helper.js'
import { amanda } from '../../../src/helpers/amanda.js'
import { ftp } from '../../../src/helpers/ftp.js'
import { irc } from '../../../src/helpers/irc.js'
import { netbiosNs } from '../../../src/helpers/netbios-ns.js'
import { sane } from '../../../src/helpers/sane.js'
import { snmp } from '../../../src/helpers/snmp.js'
import { tftp } from '../../../src/helpers/tftp.js'
import { HelpedSession } from '../../support/helped-session.js'

const SIZE = 65_536
const HELPERS = [amanda(), ftp(), ftp({ strict: true }), irc(), netbiosNs(), sane(), snmp(), tftp()]

/** What real payloads are made of. */
const PIECES = [
  'PORT ', 'EPRT |1|', 'EPRT |2|', '227 ', '229 (|||', '10,0,0,1,19,136', '10.0.0.1|5000|', '2001:db8:a::1|5000|', '::',
  'PRIVMSG al :', '\x01DCC SEND f ', '\x01DCC CHAT ', '167772161 5000', ' :', '\x01', 'CONNECT ', 'DATA ',
  'INDEX ', '5000 ', '\0\0\0\x07\0\0\0\x01', '\0\0\0\0\0\0\x13\x88', '\0\x01', '\r\n', '\n', '\0', ' ', ',', '.', '|',
  '999999999999999999999',
]

const piece = fc.oneof(fc.constantFrom(...PIECES), fc.string({ unit: 'binary-ascii', maxLength: 3 }))
const mixture = fc.array(piece, { maxLength: 12 })
  .map(pieces => Buffer.from(pieces.join(''), 'latin1'))
const payload = fc.oneof(mixture, fc.uint8Array({ maxLength: 60 }))
const said = fc.tuple(fc.constantFrom('original' as const, 'reply' as const), payload)
const conversation = fc.array(said, { maxLength: 8 })

function checkWidth({ src, srcMask, dst, dport }: StandingExpectation, helper: Helper, hosts: readonly string[]): void {
  expect(hosts).toContain(dst)
  expect(Number.isInteger(dport) && dport >= 0 && dport <= 65535).toBe(true)
  expect(srcMask).toBeUndefined()
  if (helper.name === 'irc') expect(src).toBeNull()
  else expect(hosts).toContain(src)
}

describe.each(HELPERS.map(helper => [helper.name, helper] as const))('%s', (_, helper) => {
  test.each(helper.families)('any conversation over IPv%i', family => {
    fc.assert(fc.property(conversation, packets => {
      const session = new HelpedSession(helper, { family })
      const { original, reply } = session.connection
      for (const [direction, bytes] of packets) session.say(direction, bytes)
      for (const one of session.table.added) checkWidth(one, helper, [original.src, reply.src])
      expect(session.table.all.length).toBeLessThanOrEqual(helper.classes[0].limit)
    }), { numRuns: 3000, seed: 4 })
  })

  test.each(PIECES)('%j again and again, up to 64 KiB', piece => {
    const long = Buffer.alloc(SIZE, piece, 'latin1')
    for (const start of ['', 'PORT ', 'EPRT |2|', '227 ', '229 (', 'PRIVMSG a :\x01DCC SEND ', 'CONNECT DATA ']) {
      const session = new HelpedSession(helper, { family: helper.families[helper.families.length - 1] })
      session.client('x\n')
      session.server('x\n')
      const bytes = Buffer.concat([Buffer.from(start, 'latin1'), long]).subarray(0, SIZE)
      session.client(bytes)
      session.server(bytes)
    }
    expect(long.length).toBe(SIZE)
  })
})
