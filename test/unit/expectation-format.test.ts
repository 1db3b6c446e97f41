/** Expectations as text: lines that the real tool and /proc printed, of what the tracker expects of the same packets. */
import { createTracker, type Expectation, type Tracker } from 'conntrack-wasm'
import { expectationEventLine, expectationJson, expectationLine, expectationProcLine } from 'conntrack-wasm/format'
import { allHelpers } from 'conntrack-wasm/helpers'
import { describe, expect, test } from 'vitest'
import { tcp, udpWith } from '../support/build.js'
import { pptpMessage } from '../support/helped-trace.js'

const TIME = 1_795_490_377_062_890_000n
const A = '10.0.0.1'
const B = '10.0.0.2'

/** Tracks a TCP connection from A to B in which `payloads` are said, each `from` A (0) or B (1). */
function talk(dport: number, payloads: readonly (string | Uint8Array)[], from: readonly (0 | 1)[]): Tracker {
  const tracker = createTracker({ helpers: allHelpers() })
  const seq = [1001, 5001]
  const at = [{ src: A, dst: B, sport: 1000, dport }, { src: B, dst: A, sport: dport, dport: 1000 }]
  tracker.track(tcp(at[0], { flags: 'S', seq: 1000 }), { time: TIME })
  tracker.track(tcp(at[1], { flags: 'SA', seq: 5000, ack: 1001 }))
  tracker.track(tcp(at[0], { flags: 'A', seq: 1001, ack: 5001 }))
  payloads.forEach((text, i) => {
    const payload = typeof text === 'string' ? Buffer.from(text, 'latin1') : text
    const side = from[i]
    tracker.track(tcp(at[side], { flags: 'PA', seq: seq[side], ack: seq[side ^ 1], payload }))
    seq[side] += payload.length
  })
  return tracker
}

const FTP = talk(21, ['USER x\r\n', '230 in\r\n', 'PORT 10,0,0,1,19,136\r\n'], [0, 1, 0])
const PPTP = talk(1723, [
  pptpMessage(1, 156, []), pptpMessage(2, 156, [0, 0, 1]), pptpMessage(7, 168, [0, 77]), pptpMessage(8, 32, [0, 88, 0, 77, 1]),
], [0, 1, 0, 1])
const SIP = createTracker({ helpers: allHelpers() })
SIP.track(udpWith({ src: A, dst: B, sport: 5060, dport: 5060 }, Buffer.from([
  `REGISTER sip:${B} SIP/2.0`, `Via: SIP/2.0/UDP ${A}:5060`, `From: <sip:a@${A}>`, `To: <sip:a@${A}>`, 'Call-ID: 1',
  'CSeq: 1 REGISTER', `Contact: <sip:a@${A}:5070>`, 'Expires: 3600', 'Content-Length: 0', '', '',
].join('\r\n'), 'latin1')), { time: TIME })

const FULL = 'mask-src=255.255.255.255 mask-dst=255.255.255.255'
const ROWS: readonly (readonly [string, Expectation, string, string])[] = [
  ['FTP', FTP.expectations()[0],
    `300 proto=6 src=${B} dst=${A} sport=0 dport=5000 ${FULL} sport=0 dport=65535 master-src=${A} master-dst=${B} sport=1000 dport=21 class=0 helper=ftp`,
    `300 l3proto = 2 proto=6 src=${B} dst=${A} sport=0 dport=5000 ftp`],
  ['PPTP', PPTP.expectations()[0],
    `300 proto=47 src=${A} dst=${B} srckey=0x4d dstkey=0x58 ${FULL} srckey=0xffff dstkey=0xffff master-src=${A} master-dst=${B} sport=1000 dport=1723 class=0 helper=pptp`,
    `300 l3proto = 2 proto=47 src=${A} dst=${B} srckey=0x4d dstkey=0x58 pptp`],
  ['SIP', SIP.expectations()[0],
    `180 proto=17 src=${B} dst=${A} sport=0 dport=5070 ${FULL} sport=0 dport=65535 master-src=${A} master-dst=${B} sport=5060 dport=5060 PERMANENT,INACTIVE class=0 helper=sip`,
    `180 l3proto = 2 proto=17 src=${B} dst=${A} sport=0 dport=5070 PERMANENT,INACTIVE sip/signalling`],
]

describe('an expectation', () => {
  test.each(ROWS)('of %s as `conntrack -L expect` lists it', (_, expectation, line) => {
    expect(expectationLine(expectation, {}, TIME)).toBe(line)
  })

  test.each(ROWS)('of %s as /proc/net/nf_conntrack_expect lists it', (_, expectation, _line, proc) => {
    expect(expectationProcLine(expectation)).toBe(proc)
  })

  test('in a zone names it, and IPv6 has masks of its own', () => {
    const [, expectation] = ROWS[0]
    expect(expectationLine({ ...expectation, zone: 7 }, {}, TIME)).toContain('dport=21 zone=7 class=0')
    const all = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'
    const tuple = { family: 6, protocol: 6, src: '2001:db8::1', dst: '2001:db8::2', sport: 0, dport: 5 } as const
    const six = { ...expectation, tuple, mask: { src: all, dst: all, sport: 0, dport: 65535 } }
    expect(expectationLine(six, {}, TIME)).toContain(`dport=5 mask-src=${all} mask-dst=${all} sport=0`)
    expect(expectationProcLine(six)).toContain('l3proto = 10 proto=6 src=2001:0db8:0000:0000:0000:0000:0000:0001 dst=')
  })

  test('with a time has its microseconds filled up with blanks, as the tool has them', () => {
    expect(expectationLine(ROWS[0][1], { timestamp: true }, TIME)).toMatch(/^\[1795490377\.62890 \]\t300 proto=6 /)
  })

  test('as JSON is the object', () => {
    expect(JSON.parse(expectationJson(ROWS[0][1]))).toEqual(ROWS[0][1])
  })
})

test.each([['expectation-new', '    [NEW] '], ['expectation-destroy', '[DESTROY] ']] as const)('an event %s is tagged', (kind, tag) => {
  const event = { kind, time: TIME, packet: 1, expectation: ROWS[0][1] }
  expect(expectationEventLine(event, {})).toBe(tag + ROWS[0][2])
  expect(expectationEventLine(event, { timestamp: true })).toBe(`[1795490377.62890 ]\t${tag}${ROWS[0][2]}`)
})
