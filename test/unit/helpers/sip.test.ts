/** The SIP helper by the rules of Linux 6.18; every row of these tables was asked of the kernel. */
import { ConntrackError } from 'conntrack-wasm'
import { describe, expect, it, test } from 'vitest'
import { sip, type SipOptions } from '../../../src/helpers/sip.js'
import { FakeTracker, type Flow } from './sip-table.js'

const A = '10.0.0.1'
const B = '10.0.0.2'
const A6 = '2001:db8:a::1'
const B6 = '2001:db8:b::2'

const MEDIA = `v=0\r\no=- 1 1 IN IP4 ${A}\r\ns=-\r\nc=IN IP4 ${A}\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n`
const MEDIA_B = MEDIA.replaceAll(A, B).replace('7000', '8000')
const SESSION = `v=0\r\nc=IN IP4 ${A}\r\n`
const AUDIO = `m=audio 7000 RTP/AVP 0\r\n`

const RTP = [`${B} > ${A}:7000 audio`, `${B} > ${A}:7001 audio`]
const RTP_B = [`${A} > ${B}:8000 audio`, `${A} > ${B}:8001 audio`]
const PENDING = [`${B} > ${A}:5070 signalling permanent inactive`]
const ACTIVE = [`${B} > ${A}:5070 signalling permanent 60 s`]

const COMMON = `Via: SIP/2.0/UDP ${A}:5060;branch=z9hG4bK1\r\n`
  + `From: <sip:a@${A}>;tag=1\r\nTo: <sip:b@${B}>\r\nCall-ID: 1@${A}\r\n`

const request = (method: string, body = MEDIA, headers = `CSeq: 1 ${method}\r\n`) =>
  `${method} sip:b@${B} SIP/2.0\r\n${COMMON}${headers}Max-Forwards: 70\r\n\r\n${body}`
const response = (code: number | string, cseq = '1 INVITE', body = MEDIA_B, headers = '') =>
  `SIP/2.0 ${code} OK\r\n${COMMON}CSeq: ${cseq}\r\n${headers}\r\n${body}`
const register = (contact = `Contact: <sip:a@${A}:5070>\r\n`, headers = 'Expires: 60\r\n', cseq = 1) =>
  request('REGISTER', '', `CSeq: ${cseq} REGISTER\r\n${headers}${contact}`)
const registered = (contact = `Contact: <sip:a@${A}:5070>\r\n`, headers = 'Expires: 60\r\n', code = 200, cseq = 1) =>
  response(code, `${cseq} REGISTER`, '', headers + contact)
/** As TCP wants it. */
const framed = (message: string, name = 'Content-Length: ', change: (length: number) => number | string = n => n) => {
  const [head, ...body] = message.split('\r\n\r\n')
  const text = body.join('\r\n\r\n')
  return `${head}\r\n${name}${change(text.length)}\r\n\r\n${text}`
}

/** What is expected after these messages of A (or, in an array, of B); the last one's verdict first if it is a drop. */
function after(messages: readonly (string | [string])[], protocol: 'udp' | 'tcp' = 'udp', options: SipOptions = {}) {
  const tracker = new FakeTracker(sip(options))
  const flow = tracker.open(A, B, protocol)
  return [...play(tracker, flow, messages), ...tracker.expected(flow)]
}

function play(tracker: FakeTracker, flow: Flow, messages: readonly (string | [string])[]): string[] {
  const verdicts = messages.map(message => typeof message === 'string'
    ? tracker.send(flow, 'original', message)
    : tracker.send(flow, 'reply', message[0]))
  return verdicts.at(-1) === 'drop' ? ['drop'] : []
}

describe('what reaches the helper', () => {
  test.each([
    ['an empty datagram', 'udp', '', null], ['one byte', 'udp', 'x', 3600],
    ['garbage', 'udp', '\xff'.repeat(100), 3600],
    ['an empty segment', 'tcp', '', null], ['one byte', 'tcp', 'x', 3600], ['garbage', 'tcp', '\xff'.repeat(100), 3600],
  ] as const)('%s over %s: accepted, timeout %s', (_, protocol, payload, timeout) => {
    const tracker = new FakeTracker(sip())
    const flow = tracker.open(A, B, protocol)
    expect(tracker.send(flow, 'original', payload)).toBe('accept')
    expect(flow.timeout).toBe(timeout)
  })

  it('leaves a message of ten bytes unread and drops a bad one of eleven', () => {
    expect(after(['SIP/2.0 20'])).toEqual([])
    expect(after(['SIP/2.0 200'])).toEqual(['drop'])
  })

  it('reads data of a TCP connection only once that is established, and UDP always', () => {
    const helper = new FakeTracker(sip())
    const tcp = helper.open(A, B, 'tcp')
    helper.send(tcp, 'original', framed(request('INVITE')), { established: false })
    expect([helper.expected(tcp), tcp.timeout]).toEqual([[], null])
    const udp = helper.open(A, B, 'udp', 5062)
    helper.send(udp, 'original', request('INVITE'), { established: false })
    expect([helper.expected(udp), udp.timeout]).toEqual([RTP, 3600])
  })

  it('announces itself as Linux does', () => {
    const { name, protocol, families, ports, classes } = sip()
    expect([name, protocol, families, ports]).toEqual(['sip', ['udp', 'tcp'], [4, 6], [5060]])
    expect(classes.map(kind => `${kind.name} ${kind.limit} ${kind.timeout}`))
      .toEqual(['signalling 1 180', 'audio 4 180', 'video 4 180', 'image 2 180'])
  })
})

describe('requests', () => {
  test.each(['INVITE', 'invite', 'InViTe', 'UPDATE', 'ACK', 'PRACK'])('%s announces its media', method => {
    expect(after([request(method)])).toEqual(RTP)
  })

  test.each([
    'INVITES', 'OPTIONS', 'CANCEL', 'SUBSCRIBE', ' INVITE', '\r\nINVITE', 'INVITE ', 'INVITE\t', 'INVITE <', 'INVITE 1',
  ])('%j is none of the methods: accepted untouched', method => {
    expect(after([request(method, MEDIA, '')])).toEqual([])
  })

  it('takes any letter of ISO 8859-1 for the start of the URI', () => {
    expect(after([request('INVITE \xe9')])).toEqual(RTP)
    expect(after([request('INVITE \xd7')])).toEqual([])
  })

  test.each([
    'CSeq:1 x', 'cseq : 1 x', 'CSEQ\t:\t 1 x', 'CSeq:\r\n 1 x', 'CSeq\r\n : 1 x', 'CSeq:\n\t1 x', 'CSeq:\r 1 x',
    'CSeq:  \r\n  1 x',
    'CSeq: 0 x', 'CSeq: 4294967295 x', 'CSeq: 00000000001 x', 'CSeq: 0x10 x', 'CSeq: 1', 'X: \0\r\nCSeq: 1 x',
    '\r\nCSeq: 1 x',
    '\r\r\nCSeq: 1 x', '\n\nCSeq: 1 x', ' CSeq: 5\r\nCSeq: 1 x',
  ])('a CSeq is found in %j', headers => {
    expect(after([request('INVITE', MEDIA, `${headers}\r\n`)])).toEqual(RTP)
  })

  test.each([
    '', 'CSeq: x1', 'CSeq: +1', 'CSeq: -1', 'CSeq:', 'CSeq 1', 'CSeqX: 1', 'X-CSeq: 1', ' CSeq: 1',
    'CSeq: 4294967296 x',
    'CSeq: 000000000001 x', 'CSeq: foo\r\nCSeq: 1 x', 'CSeqX: 1\r\nCSeq: 1 x', 'CSeq:\r\n\r\n 1', 'CSeq:\r\n \r\n 1',
    '\nCSeq: 1 x',
  ])('without a CSeq number the packet is dropped: %j', headers => {
    expect(after([request('INVITE', MEDIA, headers && `${headers}\r\n`)])).toEqual(['drop'])
  })

  it('finds headers in the body but not in the first line', () => {
    expect(after([`INVITE sip:b SIP/2.0\r\nVia: x\r\n\r\nCSeq: 1 INVITE\r\n${MEDIA}`])).toEqual(RTP)
    expect(after([`INVITE sip:b CSeq: 1\r\nVia: x\r\n\r\n${MEDIA}`])).toEqual(['drop'])
  })

  it('a new INVITE replaces the media of the one before', () => {
    expect(after([request('INVITE'), request('INVITE', MEDIA.replace('7000', '7200'))]))
      .toEqual([`${B} > ${A}:7200 audio`, `${B} > ${A}:7201 audio`])
    expect(after([request('INVITE'), request('INVITE', '')])).toEqual([])
  })

  it('UPDATE, ACK and PRACK add to it', () => {
    expect(after([request('INVITE'), request('UPDATE', MEDIA.replace('audio 7000', 'video 7200'))]))
      .toEqual([...RTP, `${B} > ${A}:7200 video`, `${B} > ${A}:7201 video`])
  })

  it('BYE of either side ends all media, whatever its session description says', () => {
    expect(after([request('INVITE'), request('BYE', 'v=0\r\nm=audio 3 x\r\n')])).toEqual([])
    expect(after([request('INVITE'), [response(200)], [request('BYE')]])).toEqual([])
  })

  it('BYE without CSeq is dropped and ends nothing', () => {
    expect(after([request('INVITE'), request('BYE', '', '')])).toEqual(['drop', ...RTP])
  })
})

describe('responses', () => {
  test.each([100, 180, 183, 199, 200, 202, 299, '0200', '00000000200'])('a %s to INVITE announces media', code => {
    expect(after([request('INVITE'), [response(code)]])).toEqual([...RTP, ...RTP_B])
  })

  test.each([99, 300, 404, 486, 600, 2000, 4294967295])('a %s to the last INVITE ends its media', code => {
    expect(after([request('INVITE'), [response(code)]])).toEqual([])
    expect(after([request('INVITE'), [response(code, '2 INVITE')]])).toEqual(RTP)
  })

  test.each(['0', '000', 'abc', ' 200', '-1', '4294967296', '000000000200'])('status code %j: dropped', code => {
    expect(after([request('INVITE'), [response(code)]])).toEqual(['drop', ...RTP])
  })

  it('knows SIP/2.0 in any case; what starts otherwise is a request', () => {
    expect(after([request('INVITE'), [response(200).replace('SIP/2.0', 'sip/2.0')]])).toEqual([...RTP, ...RTP_B])
    expect(after([request('INVITE'), [response(200).replace('SIP/2.0 ', 'SIP/2.0\t')]])).toEqual(RTP)
  })

  it('drops one without CSeq number', () => {
    expect(after([request('INVITE'), [response(200, 'INVITE')]])).toEqual(['drop', ...RTP])
  })

  test.each(['INVITE', 'invite', 'INVITEX', 'UPDATE', 'PRACK'])('to %s: handled', method => {
    expect(after([request('INVITE'), [response(200, `1 ${method}`)]])).toEqual([...RTP, ...RTP_B])
  })

  test.each(['INVIT', 'ACK', 'BYE', 'OPTIONS', ' INVITE', '\r\nINVITE', ''])('to %j: accepted untouched', method => {
    expect(after([request('INVITE'), [response(486, `1 ${method}`)]])).toEqual(RTP)
  })

  it('takes the method one byte after the number, whatever that byte is', () => {
    expect(after([request('INVITE'), [response(200, '1xINVITE')]])).toEqual([...RTP, ...RTP_B])
    expect(after([request('INVITE'), [response(200, '1INVITE')]])).toEqual(RTP)
  })

  it('a failed PRACK with the number of the INVITE ends its media as well', () => {
    expect(after([request('INVITE'), [response(486, '1 PRACK')]])).toEqual([])
  })

  it('only an INVITE that was let through is remembered', () => {
    const bad = request('INVITE', `v=0\r\n${AUDIO}`, 'CSeq: 2 INVITE\r\n')
    const messages = [request('INVITE'), bad, request('ACK')]
    expect(after([...messages, [response(486, '2 INVITE')]])).toEqual(RTP)
    expect(after([...messages, [response(486, '1 INVITE')]])).toEqual([])
  })

  it('before any INVITE the remembered number is 0', () => {
    expect(after([request('ACK'), [response(486, '0 INVITE')]])).toEqual([])
  })
})

describe('session descriptions', () => {
  const sdp = (body: string) => after([request('INVITE', body)])

  test.each([
    SESSION + AUDIO, `v=0\nc=IN IP4 ${A}\n${AUDIO}`, `V=0\r\nC=IN IP4 ${A}\r\nM=audio 7000 RTP`,
    `v=99999999999 x\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
    `v=0\r\n${AUDIO}c=IN IP4 ${A}`, `v=0\r\nc=IN IP4 9.9.9.9\r\n${AUDIO}c=IN IP4 ${A}\r\n`,
    `${SESSION}${AUDIO}c=IN IP4 host.example\r\n`,
    `v=0\r\nc=x IN IP4 ${A}/127\r\n${AUDIO}`, `v=0\r\nc=IN IP4 000${A}-\r\n${AUDIO}`,
    `v=0\r\nc=IN IP4 ${A}:5\r\n${AUDIO}`,
    `${SESSION}m=audio 7001 x`, `${SESSION}m=audio 7000/2 x`, `${SESSION}m=audio 7000x`,
    `${SESSION}m=audio 00000007000 x`,
    `${SESSION}m=audio x\r\n${AUDIO}`, `${SESSION}m=application 9 x\r\n${AUDIO}`,
    `${SESSION}m=AUDIO 7100 x\r\n${AUDIO}`, `${SESSION}m=audio 0 x\r\n${AUDIO}`,
  ])('announced: %j', body => {
    expect(sdp(body)).toEqual(RTP)
  })

  test.each([
    '', 'x=0', SESSION, `c=IN IP4 ${A}\r\n${AUDIO}`, ` ${SESSION}${AUDIO}`, `v=x\r\n${SESSION}${AUDIO}`,
    `v= 0\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
    `${AUDIO}${SESSION}`, `${SESSION}m=AUDIO 7000 x`, `${SESSION}m= audio 7000 x`, `${SESSION}m=audio\t7000 x`,
    `${SESSION}m=audio  7000 x`,
    `${SESSION}m=audiox 7000 x`, `${SESSION}m=text 7000 x`, `${SESSION}m=audio`, `${SESSION}m=audio\r\n${AUDIO}`,
    `${SESSION}m=\r\n${AUDIO}`,
    `${SESSION}m=3 5\r\n${AUDIO}`, `v=0\r\nm=x\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
  ])('nothing announced, accepted: %j', body => {
    expect(sdp(body)).toEqual([])
  })

  test.each([
    `v=0\r\n${AUDIO}`, `c=IN IP4 ${A}\r\nv=0\r\n${AUDIO}`, `v=0\r\nc=in ip4 ${A}\r\n${AUDIO}`,
    `v=0\r\nc=IN  IP4 ${A}\r\n${AUDIO}`,
    `v=0\r\nc=IN IP4  ${A}\r\n${AUDIO}`, `v=0\r\nc=\r\n IN IP4 ${A}\r\n${AUDIO}`,
    `v=0\r\nc=IN IP6 2001:db8::1\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
    `v=0\r\nc=IN IP4 host.example\r\nc=IN IP4 ${A}\r\n${AUDIO}`, `v=0\r\n${AUDIO}m=video 7002 x\r\nc=IN IP4 ${A}\r\n`,
    `v=0\r\n${AUDIO}m=x\r\nc=IN IP4 ${A}\r\n`, `v=0\r\nm=text 9 x\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
    `v=0\r\nm=audio 0 x\r\nc=IN IP4 ${A}\r\n${AUDIO}`,
  ])('no address for a stream, dropped: %j', body => {
    expect(sdp(body)).toEqual(['drop'])
  })

  test.each(['a', 'f', 'F', '.', '.5', '..', '.x'])('an address followed by %j is none', tail => {
    expect(sdp(`v=0\r\nc=IN IP4 ${A}${tail}\r\n${AUDIO}`)).toEqual(['drop'])
  })

  test.each([
    '10.0.0', '10..0.1', '10.0.0.', '.10.0.0.1', '10.0.0.256', '10.0.0.4294967297', '0xa.0.0.1', '+10.0.0.1',
    '1e.0.0.1',
  ])(
    '%s is no address', text => expect(sdp(`v=0\r\nc=IN IP4 ${text}\r\n${AUDIO}`)).toEqual(['drop']))

  test.each([1, 1023, 65536, 70001, 99999, 4294967295])('port %s: dropped', port => {
    expect(sdp(`${SESSION}m=audio ${port} x\r\n`)).toEqual(['drop'])
  })

  test.each([
    '0', '', '-1', 'x', '4294967296', '4294968320', '18446744073709558616', '000000007000',
  ])('port %j: passed over', port => {
    expect(sdp(`${SESSION}m=audio ${port} x\r\n`)).toEqual([])
  })

  test.each([[1024, 1024], [1025, 1024], [65535, 65534]])('port %i: RTP at %i, RTCP one above', (port, even) => {
    const expected = [even, even + 1].map(number => `${B} > ${A}:${number} audio`)
    expect(sdp(`${SESSION}m=audio ${port} x\r\n`)).toEqual(expected)
  })

  it('a stream that cannot be read drops the packet and leaves those before it expected', () => {
    expect(sdp(`${SESSION}${AUDIO}m=video 80 x\r\n`)).toEqual(['drop', ...RTP])
  })

  it('a line break that begins a line is none', () => {
    expect(sdp(`\n${SESSION}${AUDIO}`)).toEqual([])
    expect(sdp(`v=0\n\nc=IN IP4 ${A}\r\n${AUDIO}`)).toEqual(['drop'])
    expect(sdp(`v=0\r\n\r\nc=IN IP4 ${A}\r\n${AUDIO}`)).toEqual(RTP)
  })

  it('looks at three streams of known type with a port, wherever they lead', () => {
    const foreign = 'm=audio 7010 x\r\nc=IN IP4 9.9.9.9\r\n'
    expect(sdp(SESSION + foreign.repeat(2) + AUDIO)).toEqual(RTP)
    expect(sdp(SESSION + foreign.repeat(3) + AUDIO)).toEqual([])
    expect(sdp(`${SESSION}m=text 9 x\r\nm=audio 0 x\r\n${foreign.repeat(2)}m=video 0 x\r\n${AUDIO}`)).toEqual(RTP)
  })

  it('a class at its limit loses its oldest', () => {
    const left = [7002, 7003, 7004, 7005].map(port => `${B} > ${A}:${port} audio`)
    expect(sdp(`${SESSION}m=audio 7000 x\r\nm=audio 7002 x\r\nm=audio 7004 x\r\n`)).toEqual(left)
  })

  it('one class each for audio, video and image', () => {
    expect(sdp(`${SESSION}${AUDIO}m=video 7002 x\r\nm=image 7004 x\r\n`)).toEqual([
      ...RTP, `${B} > ${A}:7002 video`, `${B} > ${A}:7003 video`, `${B} > ${A}:7004 image`, `${B} > ${A}:7005 image`,
    ])
  })

  it('an endpoint expected already, of another type, stays as it is', () => {
    expect(sdp(`${SESSION}${AUDIO}m=video 7000 x\r\n`)).toEqual(RTP)
  })

  it('media that another connection of the two has announced stays that one\'s', () => {
    for (const body of [MEDIA, MEDIA.replace('7000', '7001'), MEDIA.replace('audio', 'video')]) {
      const tracker = new FakeTracker(sip())
      const [first, second] = [tracker.open(A, B), tracker.open(A, B, 'udp', 5062)]
      tracker.send(first, 'original', request('INVITE'))
      expect(tracker.send(second, 'original', request('INVITE', body))).toBe('accept')
      expect([tracker.expected(first), tracker.expected(second)]).toEqual([RTP, []])
    }
  })

  it('where RTCP cannot be expected, RTP is not, and the packet is dropped', () => {
    const tracker = new FakeTracker(sip(), 1)
    const flow = tracker.open(A, B)
    expect(play(tracker, flow, [request('INVITE')])).toEqual(['drop'])
    expect(tracker.expected(flow)).toEqual([])
  })
})

describe('registrations', () => {
  const contact = (line: string) => after([register(`${line}\r\n`)])
  const list = (line: string) => after([register(), [registered(`${line}\r\n`)]])
  const own = `<sip:${A}:5070>`
  const foreign = '<sip:9.9.9.9:5070>'

  it('the Contact is expected from the registrar, inactive until that agrees', () => {
    expect(after([register()])).toEqual(PENDING)
    expect(after([register(), [registered()]])).toEqual(ACTIVE)
    const fromAnybody = after([register(), [registered()]], 'udp', { directSignalling: false })
    expect(fromAnybody).toEqual([`any > ${A}:5070 signalling permanent 60 s`])
  })

  test.each([
    `m: ${own}`, `M:${own}`, `m : ${own}`, `Contact: sip:a@${A}:5070`, `CONTACT: "x" <SIP:a@${A}:5070>`,
    `Contact:\r\n ${own}`,
    `Contact\r\n\t:${own}`, `Contact: "x"\r\n ${own}`, `Contact: x\r\n y\r\n z\r\n ${own}`, `Contact: "a@b" ${own}`,
    `Contact: <sip:a@0${A}:05070>`, `Contact: x\r\nContact: ${own}`,
    `Contact: <sip:h.example>\r\nm: <sip:h>\r\nContact: ${own}`,
    `Contact: <sip:${A}:80>\r\nContact: ${own}`, `Contact: <tel:1>, ${own}`, `Contact: ${own}, ${foreign}`,
    `Contact: <sip:${A}:5070x>`,
    `Max-Forwards: 1\r\nContact: ${own}`, `mx: 1\r\nContact: ${own}`, `m\xe9: 1\r\nContact: ${own}`,
    `X: y\r\n Contact: ${foreign}\r\nContact: ${own}`,
    `Contact: x\n \nsip:${A}:5070>`, `Contact: <sip:[::1]:5070>\r\nContact: ${own}`, `\r\nContact: ${own}`,
  ])('used: %j', line => {
    expect(contact(line)).toEqual(PENDING)
  })

  test.each([
    '', 'Contact: *', 'Contact: <tel:1>', `Contact: <sips:a@${A}:5070>`, `Contact: ${foreign}`,
    `Contact: ${foreign}, ${own}`,
    'Contact: <sip:h.example:5070>', `Contact: <sip:h.example>, ${own}`, `Contact: <sip:${A}:80>, ${own}`,
    `Contact: <sip:a@b@${A}:5070>`,
    `Contact: <sip:${A}:5070;x=a@9.9.9.9:6000>`, `Contact: ${own}, <sip:a@9.9.9.9:6000>`,
    `Contact: <sip:a@\r\n ${A}:5070>`, `Contact: <sip:a\r\n @${A}:5070>`,
    `Contact: x\r\n sip:${A}:5070>`, `Contact: x\r\n  sip:${A}:5070>`, `Contact: x\r\nsip:${A}:5070>`,
    `Contact x\r\nContact: ${own}`,
    `Contact:\r\nContact: ${own}`, `Contacts: x\r\nContact: ${own}`, `Contact-X: x\r\nContact: ${own}`,
    `m1: x\r\nContact: ${own}`, `Contact\v: ${own}`,
    `Contact:\n\n ${own}`,
  ])('not used: %j', line => {
    expect(contact(line)).toEqual([])
  })

  test.each([
    '0', '5', '1023', '65536', '005070', '123456', '', 'x', '-5', '+5070',
  ])('a Contact with port %j is passed over', port => {
    expect(contact(`Contact: <sip:${A}:${port}>\r\nContact: ${own}`)).toEqual(PENDING)
  })

  it('a Contact without port means 5060, one at the end of the message nothing', () => {
    expect(contact(`Contact: <sip:${A}>`)).toEqual([`${B} > ${A}:5060 signalling permanent inactive`])
    const open = `REGISTER sip:b SIP/2.0\r\nCSeq: 1 REGISTER\r\nExpires: 60\r\nContact: sip:${A}`
    expect(after([open])).toEqual([])
    expect(after([`${open}:5070`])).toEqual([])
    expect(after([`${open}:5070;`])).toEqual(PENDING)
  })

  test.each([
    ';transport=udp', ';TRANSPORT=UDP', ';transport=udpx', ';transport =tcp', ', ;transport=tcp', '\r\n transport=tcp',
    '\r\nX: ;transport=tcp',
  ])(
    'over UDP %j is fine', tail => expect(contact(`Contact: <sip:${A}:5070${tail}`)).toEqual(PENDING))

  test.each([
    ';transport=tcp', ';transport=', ';transport=ud', ';transport=tls', ' xtransport=tcp', '>;transport=tcp',
    '\r\n ;transport=tcp', '\0transport=tcp',
  ])(
    'over UDP %j is another transport', tail => expect(contact(`Contact: <sip:${A}:5070${tail}`)).toEqual([]))

  it('over TCP the Contact is expected over TCP', () => {
    expect(after([framed(register())], 'tcp')).toEqual([`${B} > ${A}:5070 signalling tcp permanent inactive`])
    expect(after([framed(register(`Contact: <sip:${A}:5070;transport=tcp>\r\n`))], 'tcp')).toHaveLength(1)
    expect(after([framed(register(`Contact: <sip:${A}:5070;transport=udp>\r\n`))], 'tcp')).toEqual([])
  })

  test.each([
    ';expires=60', ';expires=60x', ';expires=4294967295', ';expires=5;expires=0', ', x;expires=0', '\r\n expires=0',
    '\n;expires=0', ';expires=,x',
  ])(
    '%j: expected', tail => expect(contact(`Contact: ${own}${tail}`)).toEqual(PENDING))

  test.each([';expires=0', ';EXPIRES=0', ';xexpires=0', ';expires=00000000000', '\r\n ;expires=0'])(
    '%j: a registration ends, nothing expected', tail => expect(contact(`Contact: ${own}${tail}`)).toEqual([]))

  test.each([
    'x', '', '-1', '"60"', ' 60', '4294967296', '000000000000',
  ])('a Contact with expires=%s: dropped', value => {
    expect(contact(`Contact: ${own};expires=${value}`)).toEqual(['drop'])
  })

  test.each([
    ['Expires: 60', 1], ['expires:60', 1], ['Expires: 60\r\nExpires: 0', 1], ['Expires: 0', 0], ['X: y', 0],
    ['Expires: x', 0],
    ['Expires: 4294967296', 0], ['Expires: 000000000060', 0],
  ])('header %j: %i expected', (header, count) => {
    expect(after([register(undefined, `${header}\r\n`)])).toHaveLength(count)
    expect(after([register(`Contact: ${own};expires=60\r\n`, `${header}\r\n`)])).toHaveLength(1)
  })

  it('is ignored on a connection that was itself announced, though it must be readable', () => {
    const tracker = new FakeTracker(sip())
    const flow = tracker.open(A, B, 'udp', 5060, true)
    expect(play(tracker, flow, [register()])).toEqual([])
    expect(play(tracker, flow, [register().replace('CSeq: 1', 'CSeq: x')])).toEqual(['drop'])
    expect(tracker.expected(flow)).toEqual([])
    expect(play(tracker, flow, [request('INVITE')])).toEqual([])
    expect(tracker.expected(flow)).toEqual(RTP)
  })

  it('one that another connection has announced is dropped', () => {
    const tracker = new FakeTracker(sip())
    const [first, second] = [tracker.open(A, B), tracker.open(A, B, 'udp', 5062)]
    play(tracker, first, [register()])
    expect(play(tracker, second, [register()])).toEqual(['drop'])
    expect(tracker.expected(second)).toEqual([])
  })

  it('a port that is expected for media cannot be registered', () => {
    expect(after([request('INVITE'), register(`Contact: <sip:${A}:7001>\r\n`)])).toEqual(['drop', ...RTP])
  })

  it('a second one replaces the first and waits anew', () => {
    const other = register(`Contact: <sip:${A}:5071>\r\n`)
    expect(after([register(), other])).toEqual([`${B} > ${A}:5071 signalling permanent inactive`])
    expect(after([register(), [registered()], register()])).toEqual(PENDING)
  })

  test.each([
    [100, PENDING], [199, PENDING], [200, ACTIVE], [202, ACTIVE], [299, ACTIVE], [99, []], [300, []], [401, []],
    [503, []],
  ])('answered %i', (code, left) => {
    expect(after([register(), [registered(undefined, undefined, code)]])).toEqual(left)
  })

  it('an answer to another CSeq is let through untouched', () => {
    expect(after([register(), [registered(undefined, undefined, 401, 2)]])).toEqual(PENDING)
  })

  it('only a REGISTER that was let through is remembered; one that ends a registration is', () => {
    const other = (tail: string) => register(`Contact: <sip:${A}:5070>${tail}\r\n`, 'Expires: 60\r\n', 2)
    expect(after([register(), register(`Contact: ${foreign}\r\n`, undefined, 2), [registered()]])).toEqual(ACTIVE)
    expect(after([register(), other(';expires=x'), [registered()]])).toEqual(ACTIVE)
    expect(after([register(), other(';expires=0'), [registered()]])).toEqual(PENDING)
    expect(after([register(), other(';expires=0'), [registered(undefined, 'Expires: 0\r\n', 200, 2)]])).toEqual([])
  })

  test.each([
    `Contact: ${foreign}, ${own}`, `Contact: ${foreign}\r\nContact: ${own}`,
    `Contact: <sip:${A}:5071>, <sip:h.example>, ${own}`,
    `Contact: ${foreign}, <tel:5>, ${own}`, `Contact: ${foreign},\r\n ${own}`, `Contact: ${foreign}\r\n x,${own}`,
    `Contact: ${foreign},,${own}`,
    `Contact: ${foreign}, <sip:h>\r\nm: ${own}`, `Contact: ${foreign},\r\nContact: ${own}`,
    `Contact: ${foreign};expires=30, ${own}`,
    `Contact: <sip:${A}:5071>;expires=30, ${own}`,
    `Contact: <sip:${A}:5070;transport=tcp>, <sip:${A}:5070;transport=udp>`,
  ])('the registrar lists it: %j', line => {
    expect(list(line)).toEqual(ACTIVE)
  })

  test.each([
    'X: y', `Contact: ${foreign}`, `Contact: <sip:${B}:5070>`, `Contact: <sip:${A}:5071>`,
    `Contact: <sip:h.example>, ${own}`, `Contact: ${foreign} ${own}`,
    `Contact: ${foreign}\r\n ,${own}`, `Contact: ${foreign}\r\n,${own}`, `Contact: ${foreign},x\r\n sip:${A}:5070>`,
    `Contact: ${foreign},"x@y" ${own}`, `Contact: <sip:${A}:5070;transport=tcp>`,
    `Contact: <sip:${A}:5071>;expires=0, ${own}`, `Contact: ${own};expires=0`,
  ])('the registrar does not list it, it is withdrawn: %j', line => {
    expect(list(line)).toEqual([])
  })

  it('the Contact\'s own expires counts before the header\'s', () => {
    const half = after([register(), [registered(`Contact: ${own};expires=30\r\n`)]])
    expect(half).toEqual([`${B} > ${A}:5070 signalling permanent 30 s`])
    expect(after([register(), [registered(undefined, 'Expires: 0\r\n')]])).toEqual([])
    expect(after([register(), [registered(undefined, '')]])).toEqual([])
    expect(after([register(), [registered(`Contact: ${own};expires=x\r\n`)]])).toEqual(['drop', ...PENDING])
  })

  it('from 198 days on the time wraps', () => {
    expect(after([register(), [registered(undefined, 'Expires: 1000000\r\n')]])[0]).toMatch(/ 1000000 s$/)
    expect(after([register(), [registered(undefined, 'Expires: 100000000\r\n')]])[0]).toMatch(/ 14100654\.08 s$/)
  })

  it('works in the other direction, and an answer of the registering side withdraws', () => {
    const contactOfB = `Contact: <sip:${B}:5070>\r\n`
    const expected = [`${A} > ${B}:5070 signalling permanent 60 s`]
    expect(after([[register(contactOfB)], registered(contactOfB)])).toEqual(expected)
    expect(after([register(), registered()])).toEqual([])
  })

  it('media and registrations leave each other alone', () => {
    expect(after([register(), request('INVITE')])).toEqual([...PENDING, ...RTP])
    expect(after([register(), request('BYE')])).toEqual(PENDING)
    expect(after([request('INVITE'), [registered(undefined, undefined, 401, 0)]])).toEqual(RTP)
  })
})

describe('IPv6', () => {
  const invite = (address: string) => {
    const tracker = new FakeTracker(sip())
    const flow = tracker.open(A6, B6)
    const body = `v=0\r\nc=IN IP6 ${address}\r\n${AUDIO}`
    return [...play(tracker, flow, [request('INVITE', body)]), ...tracker.expected(flow)]
  }
  const contact = (uri: string) => {
    const tracker = new FakeTracker(sip())
    const flow = tracker.open(A6, B6)
    play(tracker, flow, [register(`Contact: <sip:${uri}>\r\n`)])
    return tracker.expected(flow)
  }

  test.each([
    A6, '2001:DB8:A::1', '2001:0db8:000a:0000:0000:0000:0000:0001', '2001:db8:a:0:0:0:0:1', '2001:db8:a::0.0.0.1',
    '2001:db8:a:0:0:0:0.0.0.1',
    '02001:db8:a::000001', '2001:db8:a:0::0:1', '2001:db8:a::0:0:0:1', `${A6}/64`, `${A6}%eth0`, `${A6}]`, `${A6}x`,
    '2001:db8:a::0.0.0.1:5',
  ])('%s is the address', text => {
    expect(invite(text)).toEqual([`${B6} > ${A6}:7000 audio`, `${B6} > ${A6}:7001 audio`])
  })

  test.each([
    '2001:db8:a::2', '2001:db8:a::', '::', '::1', '1::2:3:4:5:6:7', '1:2:3:4:5:6:7::', '1:2:3:4:5:6:1.2.3.4',
    '::ffff:1.2.3.4', '2001:db8:a::g',
  ])(
    '%s is another one', text => expect(invite(text)).toEqual([]))

  test.each([
    '', ':', '1', '1.2.3.4', '2001:db8:a', '2001:db8:a:', `${A6}:`, `${A6}::`, `${A6}.`, ` ${A6}`, `[${A6}]`, `:${A6}`,
    'g::1', '1::2::3', '2001:db8:a:::1',
    '1:2:3:4:5:6:7:8:9', '1::2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8::', '::1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:1.2.3.4',
    '1:2:3:4:5:1.2.3.4', '1::2:3:4:5:6:1.2.3.4',
    '2001:db8:a::10001', '2001:db8:a::0.0.1', '2001:db8:a::0.0.0.0.1', '2001:db8:a::0.0.0.1a', '2001:db8:a::a.0.0.1',
    '2001:db8:a::0.0.256.1',
  ])('%j is none: dropped', text => {
    expect(invite(text)).toEqual(['drop'])
  })

  it('a Contact has brackets', () => {
    expect(contact(`a@[${A6}]:5070`)).toEqual([`${B6} > ${A6}:5070 signalling permanent inactive`])
    expect(contact(`a@[${A6}]`)).toEqual([`${B6} > ${A6}:5060 signalling permanent inactive`])
    const spoilt = [A6, `[${A6}:5070`, `[${A6} ]:5070`, `[${A6}%eth0]:5070`, `[ ${A6}]`, `[${A6}g]`]
    for (const uri of spoilt) expect(contact(uri)).toEqual([])
  })
})

describe('TCP', () => {
  const tcp = (...messages: (string | [string])[]) => after(messages, 'tcp')
  const invite = request('INVITE')
  /** Dropped if it is read. */
  const bad = request('ACK', '', '')

  test.each([
    'Content-Length: ', 'content-length : ', 'CONTENT-LENGTH:\r\n ', 'l:', 'L: ', 'l\t:',
  ])('%j gives the length', name => {
    expect(tcp(framed(invite, name))).toEqual(RTP)
  })

  test.each([
    'lx: ', 'Content-Lengthx: ', ' l: ', 'l: x', 'l: -', 'l: 9\r\nl: ', 'l: +', 'Content-Length:\r\nl: ',
  ])('%j does not: not read', name => {
    expect(tcp(framed(bad, name))).toEqual([])
  })

  it('a message without Content-Length, or longer than the segment, is not read', () => {
    expect(tcp(bad)).toEqual([])
    expect(tcp(framed(bad, 'l: ', length => length + 1))).toEqual([])
    expect(tcp(framed(bad))).toEqual(['drop'])
  })

  it('a Content-Length of more than eleven digits is none', () => {
    expect(tcp(framed(bad, 'l: ', () => '00000000000'))).toEqual(['drop'])
    expect(tcp(framed(bad, 'l: ', () => '000000000000'))).toEqual([])
  })

  it('what lies beyond Content-Length does not belong to the message', () => {
    expect(tcp(framed(invite, 'l: ', () => 0))).toEqual([])
    expect(tcp(`ACK sip:b SIP/2.0\r\nl: 0\r\n\r\nCSeq: 1 ACK\r\n`)).toEqual(['drop'])
    expect(tcp(framed(invite, 'l: ', length => length - 10))).toEqual(RTP)
  })

  test.each(['\n\n', '\r\r', '\r\n\n', '\n\r\n', '\r\n \r\n'])('%j does not end a header', end => {
    expect(tcp(`ACK sip:b SIP/2.0\r\nl: 0${end}`)).toEqual([])
  })

  it('the empty line counts after the Content-Length', () => {
    expect(tcp('ACK sip:b SIP/2.0\r\nA: b\r\n\r\nl: 0\r\n')).toEqual([])
    expect(tcp('ACK sip:b SIP/2.0\r\nA: b\r\n\r\nl: 0\r\n\r\n')).toEqual(['drop'])
  })

  it('reads all messages of a segment, up to one that is dropped', () => {
    expect(tcp(framed(invite) + framed(request('BYE', '')))).toEqual([])
    expect(tcp(framed(request('BYE', '')) + framed(invite))).toEqual(RTP)
    expect(tcp(framed(invite) + framed(bad))).toEqual(['drop', ...RTP])
    expect(tcp(framed(bad) + framed(invite))).toEqual(['drop'])
    expect(tcp(framed(invite) + 'abc')).toEqual(RTP)
  })

  it('takes every segment for the start of a message', () => {
    const [head, body] = framed(invite).split('\r\n\r\n')
    expect(tcp(`${head}\r\n\r\n`, body)).toEqual([])
    expect(tcp('anything else, ', framed(invite))).toEqual(RTP)
  })
})

describe('the scenarios of the golden answers', () => {
  it('sip-call: INVITE and 200 OK announce media both ways, BYE ends it', () => {
    const tracker = new FakeTracker(sip())
    const flow = tracker.open(A, B)
    play(tracker, flow, [request('INVITE'), [response(200)]])
    expect(tracker.expected(flow)).toEqual([...RTP, ...RTP_B])
    play(tracker, flow, [request('BYE', '', 'CSeq: 2 BYE\r\n')])
    expect([tracker.expected(flow), flow.timeout]).toEqual([[], 3600])
  })

  it('sip-register: calls in to the Contact are expected after the 200 OK', () => {
    expect(after([register()])).toEqual(PENDING)
    expect(after([register(), [registered()]])).toEqual(ACTIVE)
  })
})

describe('known holes', () => {
  it('CVE-2026-23457: a Content-Length that would be cut to 32 bits frames no message', () => {
    for (const power of [2 ** 31, 2 ** 32, 2 ** 33]) {
      expect(after([framed(request('INVITE'), 'l: ', length => length + power)], 'tcp')).toEqual([])
      expect(after([framed(request('ACK', '', ''), 'l: ', length => length + power)], 'tcp')).toEqual([])
    }
    expect(after([framed(request('INVITE'), 'l: ', length => String(2n ** 64n + BigInt(length)))], 'tcp')).toEqual([])
    expect(after([framed(request('INVITE'), 'l: ', () => 2 ** 32 - 1)], 'tcp')).toEqual([])
  })

  it('CVE-2026-31427: a session description without a usable stream gives no RTP address, and none is made up', () => {
    const none = ['', 'm=audio 0 RTP/AVP 0\r\n', 'm=text 9 x\r\n', 'm=audio\r\n', 'm=audio 4294968320 x\r\n']
    for (const streams of none) {
      expect(after([request('INVITE'), request('UPDATE', SESSION + streams)])).toEqual(RTP)
    }
  })

  const reg = framed(register())
  const post = (body: string) => `POST / HTTP/1.1\r\nHost: ${B}:5060\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const filler = 'x'.repeat(1000)

  it('NAT slipstreaming: as in Linux, a REGISTER at the start of an HTTP segment is believed, inactive at first', () => {
    expect(after([post(filler), reg], 'tcp')).toEqual(PENDING.map(text => text.replace('signalling', 'signalling tcp')))
    expect(after([post('') + reg], 'tcp')).toHaveLength(1)
    expect(after([post(reg)], 'tcp')).toEqual([])
  })

  it('NAT slipstreaming: with strictFraming it is not', () => {
    const strict = (...messages: (string | [string])[]) => after(messages, 'tcp', { strictFraming: true })
    expect(strict(post(filler), reg)).toEqual([])
    expect(strict(post('') + reg)).toEqual([])
    expect(strict('x', reg)).toEqual([])
    expect(strict('GET sip:b SIP/1.0\r\n\r\n', reg)).toEqual([])
    expect(strict(reg)).toHaveLength(1)
  })

  it('NAT slipstreaming over UDP: a REGISTER inside another protocol\'s datagram is none', () => {
    expect(after([`\0\x01\0\0!\x12\xa4B${register()}`])).toEqual([])
  })

  it('nothing below port 1024 and nothing but the sender\'s own address is ever expected', () => {
    for (const port of [22, 443, 1023]) expect(after([register(`Contact: <sip:${A}:${port}>\r\n`)])).toEqual([])
    expect(after([register('Contact: <sip:10.0.0.3:5070>\r\n')])).toEqual([])
    expect(after([request('INVITE', MEDIA.replaceAll(A, '10.0.0.3'))])).toEqual([])
  })
})

describe('strictFraming', () => {
  const strict = (flow: Flow, tracker: FakeTracker, text: string, more = {}) =>
    tracker.send(flow, 'original', text, more)
  const setUp = () => {
    const tracker = new FakeTracker(sip({ strictFraming: true }))
    return { tracker, flow: tracker.open(A, B, 'tcp') }
  }
  const message = framed(request('INVITE'))

  it('reads message after message, with keep-alives between them, and each direction by itself', () => {
    const { tracker, flow } = setUp()
    strict(flow, tracker, `\r\n\r\n${message}\r\n\r\n`)
    expect(tracker.expected(flow)).toEqual(RTP)
    strict(flow, tracker, '\r\n')
    tracker.send(flow, 'reply', 'x')
    tracker.send(flow, 'reply', framed(response(200)))
    expect(tracker.expected(flow)).toEqual(RTP)
    strict(flow, tracker, framed(request('BYE')))
    expect(tracker.expected(flow)).toEqual([])
  })

  it('passes over the rest of a body in the next segment, and reads what follows it there', () => {
    const { tracker, flow } = setUp()
    const cut = message.length - 20
    strict(flow, tracker, message.slice(0, cut))
    strict(flow, tracker, message.slice(cut) + message)
    expect(tracker.expected(flow)).toEqual(RTP)
  })

  it('passes over what comes again, and ends at a gap, at a cut header and at data that came with the SYN', () => {
    const again = setUp()
    strict(again.flow, again.tracker, message)
    strict(again.flow, again.tracker, framed(request('BYE')))
    strict(again.flow, again.tracker, message, { seq: 1001 })
    expect(again.tracker.expected(again.flow)).toEqual([])
    const spoilers = [
      { text: message, more: { seq: 1000 + 2 ** 20 } },
      { text: message.slice(0, 100), more: {} },
      { text: message, more: { established: false } },
    ]
    for (const { text, more } of spoilers) {
      const { tracker, flow } = setUp()
      strict(flow, tracker, framed(request('OPTIONS', '')))
      strict(flow, tracker, text, more)
      strict(flow, tracker, message)
      expect(tracker.expected(flow)).toEqual([])
    }
  })

  it('sees a dropped message again when it comes again, and goes on across the wrap of sequence numbers', () => {
    const { tracker, flow } = setUp()
    const bad = framed(request('ACK', '', ''))
    const seq = 2 ** 32 - 10
    expect(strict(flow, tracker, bad, { seq })).toBe('drop')
    expect(strict(flow, tracker, bad, { seq })).toBe('drop')
    const wrapped = setUp()
    strict(wrapped.flow, wrapped.tracker, framed(request('OPTIONS', '')), { seq })
    strict(wrapped.flow, wrapped.tracker, message, { seq: framed(request('OPTIONS', '')).length - 10 })
    expect(wrapped.tracker.expected(wrapped.flow)).toEqual(RTP)
  })

  it('a message that claims to be longer than a stream can tell ends the reading', () => {
    const { tracker, flow } = setUp()
    const claim = 2 ** 32 - framed(request('OPTIONS', '')).length
    strict(flow, tracker, framed(request('OPTIONS', ''), 'l: ', () => claim))
    strict(flow, tracker, message)
    expect(tracker.expected(flow)).toEqual([])
  })

  it('keeps plain JSON', () => {
    const { tracker, flow } = setUp()
    strict(flow, tracker, message)
    expect(JSON.parse(JSON.stringify(flow.state))).toEqual(flow.state)
  })
})

describe('options', () => {
  it('refreshBySipOnly: other payload leaves the timeout alone', () => {
    for (const protocol of ['udp', 'tcp'] as const) {
      const tracker = new FakeTracker(sip({ refreshBySipOnly: true, timeout: 60 }))
      const flow = tracker.open(A, B, protocol)
      tracker.send(flow, 'original', 'x'.repeat(100))
      expect(flow.timeout).toBe(null)
      tracker.send(flow, 'original', request('OPTIONS'))
      expect(flow.timeout).toBe(60)
    }
  })

  it('directMedia: false expects any announced address from anybody, but for what externalMedia says passes by', () => {
    const body = MEDIA.replaceAll(A, '10.0.0.9')
    const any = ['any > 10.0.0.9:7000 audio', 'any > 10.0.0.9:7001 audio']
    const asked: string[] = []
    expect(after([request('INVITE', body)])).toEqual([])
    expect(after([request('INVITE', body)], 'udp', { directMedia: false })).toEqual(any)
    const externalMedia = (...parties: string[]) => asked.push(parties.join(' ')) > 0
    expect(after([request('INVITE', body)], 'udp', { directMedia: false, externalMedia })).toEqual([])
    expect(asked).toEqual([`10.0.0.9 ${B}`])
    expect(after([request('INVITE', body)], 'udp', { directMedia: false, externalMedia: () => false })).toEqual(any)
  })

  it('ports, protocol and undefined ones', () => {
    const given = { ports: [5060, 5062], protocol: 'udp' } as const
    expect(sip({ ...given, timeout: undefined })).toMatchObject(given)
    expect(sip({ ports: [] }).ports).toEqual([])
  })

  test.each<[object | null, RegExp]>([
    [null, /object/], [{ port: 5060 }, /unknown option 'port'/], [{ toString: 1 }, /unknown option 'toString'/],
    [{ ports: 5060 }, /ports/],
    [{ ports: [65536] }, /ports/], [{ protocol: 'sctp' }, /protocol/], [{ protocol: [] }, /protocol/],
    [{ timeout: 0 }, /timeout/],
    [{ timeout: 1.5 }, /timeout/], [{ timeout: 2 ** 31 }, /timeout/], [{ directMedia: 1 }, /directMedia/],
    [{ externalMedia: true }, /externalMedia/],
    [{ strictFraming: 'yes' }, /strictFraming/],
  ])('%j is refused', (options, message) => {
    const make = () => sip(options as SipOptions)
    expect(make).toThrow(ConntrackError)
    expect(make).toThrow(message)
    expect(make).toThrow(expect.objectContaining({ code: 'invalid-argument' }))
  })
})

describe('any payload', () => {
  const strict = { strictFraming: true, refreshBySipOnly: true, directMedia: false }
  const talk = (['udp', 'tcp'] as const).flatMap(protocol => [{ protocol, options: {} }, { protocol, options: strict }])
  const read = (payload: Uint8Array | string) => {
    for (const { protocol, options } of talk) {
      const tracker = new FakeTracker(sip(options))
      const flow = tracker.open(A, B, protocol)
      expect(tracker.send(flow, 'original', payload)).toMatch(/accept|drop/)
    }
  }

  it('is read, cut anywhere', () => {
    for (const message of [request('INVITE'), register(), registered(), response(200)].map(text => framed(text))) {
      for (let length = 0; length <= message.length; length++) read(message.slice(0, length))
    }
  })

  it('is read, with bytes changed at random', () => {
    let seed = 1
    const random = (below: number) => (seed = Math.imul(seed, 1103515245) + 12345 >>> 0, (seed >>> 8) % below)
    for (let round = 0; round < 2000; round++) {
      const message = Uint8Array.from([framed(request('INVITE')), framed(register())][round % 2], c => c.charCodeAt(0))
      for (let i = random(8); i >= 0; i--) message[random(message.length)] = random(256)
      read(message)
    }
  })

  const contacts = 'REGISTER sip:b SIP/2.0\r\nCSeq: 1 R\r\nExpires: 9\r\nContact: <sip:9.9.9.9>'
  const ok = 'SIP/2.0 200 OK\r\nCSeq: 0 REGISTER\r\nExpires: 9\r\n'
  test.each([
    ['', '\r\n'], ['INVITE x\r\n', '\n'], ['INVITE x\r\nCSeq: ', '0'], ['INVITE x\r\nCSeq:', ' '], [contacts, ','],
    [contacts, ',sip:'], [contacts, ',sip:@'],
    [ok, 'Contact: sip:h\r\n'], [ok, 'Contact:x\n \n'], [`${ok}m: sip:9.9.9.9`, ',sip:9.9.9.9:5060'],
    [`${ok}m: sip:9.9.9.9`, ',sip:'],
    [`${ok}m: sip:9.9.9.9`, ',sip:x@'], [`${ok}m: sip:9.9.9.9`, '\n x,'], [`${ok}m: sip:${A}:5070`, `,sip:${B}:5070`],
    [`${ok}m:x`, '\n \nm:sip'],
    ['ACK x\r\nCSeq: 1 x\r\nv=0\r\n', 'm=audio 0 x\r\n'], ['ACK x\r\nCSeq: 1 x\r\nv=0\r\n', 'c=IN IP4 x\r\n'],
    ['ACK x\r\nCSeq: 1 x\r\nv=0\r\nc=', 'IN IP'],
    ['ACK x\r\nCSeq: 1 x\r\nv=0\r\n', 'm=x 1\r\nc=x\r\n'], ['', 'X x SIP/2.0\r\nl:0\r\n\r\n'],
    ['X x SIP/2.0\r\nl:0', '\r\n\r'], ['SIP/2.0 ', '1'],
  ])('%j and 64 KiB of %j are read to the end', (start, repeated) => {
    const payload = Uint8Array.from((start + repeated.repeat(65535)).slice(0, 65535), c => c.charCodeAt(0))
    expect(() => read(payload)).not.toThrow()
  })

  it('64 KiB of Contacts with one Expires behind them are read to the end', () => {
    const many = `,sip:${B}:5070`.repeat(3500)
    const payload = `SIP/2.0 200 OK\r\nCSeq: 0 REGISTER\r\nm: sip:9.9.9.9${many}\r\nExpires: 9\r\n`
    expect(() => read(payload)).not.toThrow()
  })
})
