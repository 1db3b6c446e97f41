/**
 * Traffic of protocols that announce connections, as whole dialogs: who says which text to whom, the connections that
 * take up what was announced included. `ftp-dialog.ts` and `sip-dialog.ts` write them; this mixes and frames them.
 */
import { interleave, random, traffic, Writer, type Endpoint, type Traffic } from './traffic.js'

/** One packet of a dialog. */
export interface Spoken {
  readonly from: Endpoint
  readonly to: Endpoint
  /** `null`: UDP. */
  readonly tcp: { readonly seq: number; readonly ack: number; readonly flags: number } | null
  readonly payload: Uint8Array
}

const SYN = 2
const RST = 4
const PSH = 8
const ACK = 16
/** More than Ethernet, IPv4 and TCP headers with options take. */
const HEADERS = 80

/** Dialogs `alive` at a time; a pass later they come again when all that was left of them has expired. */
export function dialogs(all: readonly (readonly Spoken[])[], alive: number, secondsToForget: number): Traffic {
  const packets = all.flat()
  const bytes = packets.reduce((sum, { payload }) => sum + payload.length + HEADERS, 0)
  const writer = new Writer(packets.length, bytes)
  const said = new Uint32Array(all.length)
  interleave(all.length, alive, random(1), (index) => {
    write(writer, all[index][said[index]])
    said[index] += 1
    return said[index] < all[index].length
  })
  return traffic(writer, 0, (times) => times.later(secondsToForget))
}

function write(writer: Writer, { from, to, tcp, payload }: Spoken): void {
  if (tcp) writer.segment(from, to, tcp.seq, tcp.ack, tcp.flags, payload)
  else writer.datagram(from, to, payload)
}

const encoder = new TextEncoder()
const NOTHING = new Uint8Array(0)

export function datagram(from: Endpoint, to: Endpoint, payload: string | Uint8Array): Spoken {
  return { from, to, tcp: null, payload: typeof payload === 'string' ? encoder.encode(payload) : payload }
}

/** Two ends of a TCP connection, every byte of which arrives. */
export class Conversation {
  readonly spoken: Spoken[] = []
  private seq = { client: 1000, server: 5000 }

  constructor(private readonly client: Endpoint, private readonly server: Endpoint) {
    this.send('client', SYN)
    this.send('server', SYN | ACK)
    this.send('client', ACK)
  }

  say(who: 'client' | 'server', line: string): void {
    this.send(who, PSH | ACK, encoder.encode(`${line}\r\n`))
  }

  /** Another connection, opened and given up: only that it was expected matters here. */
  takeUp(from: Endpoint, to: Endpoint): void {
    const { spoken } = new Conversation(from, to)
    this.spoken.push(...spoken)
    this.spoken.push({ from, to, tcp: { seq: 1001, ack: 5001, flags: RST | ACK }, payload: NOTHING })
  }

  end(): void {
    for (const who of ['client', 'server'] as const) this.send(who, ACK | 1)
    this.send('client', ACK)
  }

  private send(who: 'client' | 'server', flags: number, payload: Uint8Array = NOTHING): void {
    const other = who === 'client' ? 'server' : 'client'
    const tcp = { seq: this.seq[who], ack: flags & ACK ? this.seq[other] : 0, flags }
    this.spoken.push({ from: this[who], to: this[other], tcp, payload })
    this.seq[who] += payload.length + (flags & 3 ? 1 : 0)
  }
}

export function dotted(address: number, separator = '.'): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(separator)
}
