/** Helpers of one's own, and the example of docs/helpers.md. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { defineHelper, type HelperDefinition } from '../../../src/helpers/define.js'
import { createTracker, type Helper } from '../../../src/index.js'
import { HelpedSession } from '../../support/helped-session.js'
import { rtsp } from '../../support/rtsp-helper.js'

const MINIMAL: HelperDefinition<undefined> = { name: 'mine', protocol: 'tcp', inspect: () => 'accept' }

test('what is left out has defaults', () => {
  expect(defineHelper(MINIMAL)).toMatchObject({
    name: 'mine', protocol: 'tcp', families: [4, 6], ports: [], classes: [{ name: '', limit: 1, timeout: 300 }],
  })
})

test('what is given stays', () => {
  const given = {
    ...MINIMAL, protocol: ['tcp', 'udp'], families: [6], ports: [1, 65535],
    classes: [{ name: 'a', limit: 255, timeout: 1 }, { name: 'b', limit: 1, timeout: 8_589_934 }],
    assigns: [rtsp], state: () => undefined,
  } as const
  expect(defineHelper(given)).toMatchObject(given)
})

test('a later change of the description changes nothing', () => {
  const ports = [1]
  const helper = defineHelper({ ...MINIMAL, ports })
  ports.push(2)
  expect(helper.ports).toEqual([1])
  expect(Object.isFrozen(helper)).toBe(true)
})

test('a tracker takes what defineHelper gave, copies with other fields too, and refuses what only looks like it', () => {
  const helper = defineHelper({ ...MINIMAL, ports: [7] })
  const { name, protocol, families, ports, classes, inspect } = helper
  const withHelper = (given: Helper) => createTracker({ maxConnections: 1, helpers: [given] }).close()
  withHelper(helper)
  withHelper({ ...helper, ports: [8] })
  expect(() => withHelper({ name, protocol, families, ports, classes, inspect }))
    .toThrow(expect.objectContaining({ code: 'invalid-argument', message: expect.stringContaining('defineHelper') }))
})

test.each([
  ['name', { name: '' }], ['name', { name: 'two words' }], ['name', { name: 'sixteen-letters.' }],
  ['name', { name: 1 }],
  ['protocol', { protocol: 'sctp' }], ['protocol', { protocol: [] }], ['protocol', { protocol: undefined }],
  ['families', { families: [] }], ['families', { families: [5] }], ['families', { families: 4 }],
  ['ports', { ports: [0] }], ['ports', { ports: [65536] }], ['ports', { ports: '21' }],
  ['classes', { classes: [] }], ['classes[0].name', { classes: [{ name: 'a b', limit: 1, timeout: 1 }] }],
  ['classes[0].limit', { classes: [{ name: 'a', limit: 0, timeout: 1 }] }],
  ['classes[1].timeout', { classes: [{ name: 'a', limit: 1, timeout: 1 }, { name: 'b', limit: 1, timeout: 0 }] }],
  ['classes[0]', { classes: [{ name: 'a', limit: 1, timeout: 1, max: 1 }] }], ['classes[0]', { classes: [null] }],
  ['assigns', { assigns: rtsp }], ['inspect', { inspect: undefined }], ['state', { state: {} }],
  ['port', { port: 21 }],
])('a bad %s is refused', (field, change) => {
  const define = () => defineHelper({ ...MINIMAL, ...change } as typeof MINIMAL)
  expect(define).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  expect(define).toThrow(field)
})

test('no description is refused', () => {
  expect(() => defineHelper(null as never)).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
})

describe('the example, a helper for RTSP', () => {
  const code = (file: string) => readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8')
  const setup = (transport: string) => `SETUP rtsp://10.0.0.2/a RTSP/1.0\r\nCSeq: 3\r\nTransport: ${transport}\r\n\r\n`

  test('stands in docs/helpers.md as it is tested', () => {
    const [, example] = /```ts\n(.*?)```/s.exec(code('docs/helpers.md'))!
    const [, tested] = /(import .*)/s.exec(code('test/support/rtsp-helper.ts'))!
    expect(example).toBe(tested.replace('../../src/helpers/define.js', 'conntrack-wasm/helpers'))
  })

  test('expects both ports of the client from the server', () => {
    expect(new HelpedSession(rtsp).client(setup('RTP/AVP;unicast;client_port=4588-4589'))).toEqual({
      verdict: 'accept', expected: ['udp 10.0.0.2 -> 10.0.0.1:4588', 'udp 10.0.0.2 -> 10.0.0.1:4589'],
    })
  })

  test.each([
    ['a low port', setup('RTP/AVP;unicast;client_port=0022-0023')],
    ['an odd port', setup('RTP/AVP;unicast;client_port=4589-4590')],
    ['a range', setup('RTP/AVP;unicast;client_port=4588-4688')],
    ['a port above 65535', setup('RTP/AVP;unicast;client_port=65536-65537')],
    ['no ports', setup('RTP/AVP/TCP;unicast;interleaved=0-1')],
    ['another request', setup('RTP/AVP;unicast;client_port=4588-4589').replace('SETUP', 'PLAY')],
  ])('expects nothing of %s', (_, payload) => {
    expect(new HelpedSession(rtsp).client(payload)).toEqual({ verdict: 'accept', expected: [] })
  })

  test('expects nothing of what the server says', () => {
    expect(new HelpedSession(rtsp).server(setup('RTP/AVP;unicast;client_port=4588-4589')).expected).toEqual([])
  })

  test('drops a request for ports that another connection has', () => {
    const first = new HelpedSession(rtsp)
    first.client(setup('RTP/AVP;unicast;client_port=4588-4589'))
    const other = new HelpedSession(rtsp, { table: first.table, id: 2 })
    expect(other.client(setup('RTP/AVP;unicast;client_port=4588-4589')).verdict).toBe('drop')
  })
})
