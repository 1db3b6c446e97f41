/** A SIP client over UDP: it registers, then makes two calls with audio and video (RFC 3261, RFC 4566). */
import { datagram, dotted, type Spoken } from './dialogs.js'
import type { Endpoint } from './traffic.js'

const REGISTRAR = 'sip.example.org'
const CALLS = 2
/** G.711 in packets of 20 ms, with the header of RTP. */
const RTP = new Uint8Array(172).fill(0x80)

/** @param takenUp whether a packet of RTP comes in each direction of a call */
export function sipDialog(index: number, takenUp: boolean): readonly Spoken[] {
  const client = { address: (0x0a000000 + index) >>> 0, port: 5060 }
  const server = { address: 0xc6120000 + (index & 0xff), port: 5060 }
  const dialog = new SipDialog(index, client, server)
  dialog.register()
  for (let call = 0; call < CALLS; call += 1) dialog.call(20 + 10 * call, 30_000 + 8 * call, takenUp)
  return dialog.spoken
}

class SipDialog {
  readonly spoken: Spoken[] = []

  constructor(private readonly index: number, private readonly client: Endpoint, private readonly server: Endpoint) {}

  register(): void {
    for (const [cseq, status] of [[1, '401 Unauthorized'], [2, '200 OK']] as const) {
      const expires = ['Expires: 3600']
      this.ask('REGISTER', cseq, expires)
      this.answer('REGISTER', cseq, status, status.startsWith('200') ? [...expires, this.contact(this.client)] : [
        `WWW-Authenticate: Digest realm="${REGISTRAR}", nonce="1cec4341ae6cbe5a359ea9c8e88df84f", algorithm=MD5`,
      ])
    }
  }

  call(cseq: number, port: number, takenUp: boolean): void {
    this.ask('INVITE', cseq, ['Content-Type: application/sdp'], session(this.client.address, port))
    this.answer('INVITE', cseq, '100 Trying')
    this.answer('INVITE', cseq, '180 Ringing', [this.contact(this.server)])
    const answer = [this.contact(this.server), 'Content-Type: application/sdp']
    this.answer('INVITE', cseq, '200 OK', answer, session(this.server.address, port + 1000))
    this.ask('ACK', cseq)
    if (takenUp) this.media(port)
    this.ask('BYE', cseq + 1)
    this.answer('BYE', cseq + 1, '200 OK')
  }

  private media(port: number): void {
    const [here, there] = [{ ...this.client, port }, { ...this.server, port: port + 1000 }]
    this.spoken.push(datagram(here, there, RTP), datagram(there, here, RTP))
  }

  private ask(method: string, cseq: number, more: readonly string[] = [], body = ''): void {
    const head = [`${method} sip:bob@${REGISTRAR} SIP/2.0`, ...this.common(method, cseq)]
    const lines = [...head, 'Max-Forwards: 70', this.contact(this.client), 'User-Agent: Example Phone 4.2', ...more]
    this.spoken.push(datagram(this.client, this.server, message(lines, body)))
  }

  private answer(method: string, cseq: number, status: string, more: readonly string[] = [], body = ''): void {
    const lines = [`SIP/2.0 ${status}`, ...this.common(method, cseq), 'Server: Example Proxy 2.1', ...more]
    this.spoken.push(datagram(this.server, this.client, message(lines, body)))
  }

  private common(method: string, cseq: number): string[] {
    const { index, client } = this
    return [
      `Via: SIP/2.0/UDP ${dotted(client.address)}:5060;branch=z9hG4bK-524287-1-${index}-${cseq};rport`,
      `From: "Alice" <sip:alice@${REGISTRAR}>;tag=8a${index}fb12`,
      `To: "Bob" <sip:bob@${REGISTRAR}>`,
      `Call-ID: ${index}-3848276298220188511@${dotted(client.address)}`,
      `CSeq: ${cseq} ${method}`,
    ]
  }

  private contact({ address }: Endpoint): string {
    return `Contact: <sip:alice@${dotted(address)}:5060;transport=udp>`
  }
}

function message(lines: readonly string[], body: string): string {
  return [...lines, `Content-Length: ${body.length}`, '', body].join('\r\n')
}

function session(address: number, port: number): string {
  const host = dotted(address)
  const audio = [`m=audio ${port} RTP/AVP 0 8 101`, 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:8 PCMA/8000']
  const video = [`m=video ${port + 2} RTP/AVP 96`, 'a=rtpmap:96 H264/90000']
  const head = ['v=0', `o=alice 2890844526 2890844526 IN IP4 ${host}`, 's=Call', `c=IN IP4 ${host}`, 't=0 0']
  return [...head, ...audio, 'a=rtpmap:101 telephone-event/8000', 'a=sendrecv', ...video, ''].join('\r\n')
}
