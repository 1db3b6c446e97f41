/** Conversations: packets whose numbers go on from one another, as two hosts that talk would send them. */
import { ConntrackError } from '../errors.js'
import { packet, type Hosts, type TestPacket } from './line.js'

/** Two ends that talk over TCP or UDP; how far they have come is remembered. */
export interface Conversation {
  readonly client: string
  readonly server: string
  readonly protocol: 'tcp' | 'udp'
  readonly hosts: Hosts
  /** Next sequence numbers. */
  clientSeq: number
  serverSeq: number
}

/**
 * @param text `client:40000 > server:80`, with `tcp` (default) or `udp` behind it
 * @param hosts addresses by name, besides those that there are
 */
export function conversation(text: string, hosts: Hosts = {}): Conversation {
  const [client, arrow, server, protocol = 'tcp', ...more] = text.trim().split(/\s+/)
  if (arrow !== '>' || server === undefined || more.length > 0 || (protocol !== 'tcp' && protocol !== 'udp')) {
    throw new ConntrackError('invalid-argument', `'${text}': HOST:PORT > HOST:PORT [tcp|udp] is needed`)
  }
  return { client, server, protocol, hosts, clientSeq: 1000, serverSeq: 5000 }
}

/** The three packets that open a TCP connection. */
export function handshake(talk: Conversation): TestPacket[] {
  if (talk.protocol !== 'tcp') throw new ConntrackError('invalid-argument', 'UDP has no handshake')
  return [segment(talk, 'client', 'S'), segment(talk, 'server', 'SA'), segment(talk, 'client', 'A')]
}

/** What the client says, and what the server answers; either may be empty. TCP's data is acknowledged. */
export function exchange(talk: Conversation, request: string, response = ''): TestPacket[] {
  return [...said(talk, 'client', request), ...said(talk, 'server', response)]
}

/** The packets that close a TCP connection, the client first. */
export function close(talk: Conversation): TestPacket[] {
  return [segment(talk, 'client', 'FA'), segment(talk, 'server', 'FA'), segment(talk, 'client', 'A')]
}

type Side = 'client' | 'server'

function said(talk: Conversation, side: Side, text: string): TestPacket[] {
  if (text === '') return []
  if (talk.protocol === 'udp') return [packet(`${ends(talk, side)} udp ${quoted(text)}`, talk.hosts)]
  return [segment(talk, side, 'PA', text), segment(talk, side === 'client' ? 'server' : 'client', 'A')]
}

function ends({ client, server }: Conversation, side: Side): string {
  return side === 'client' ? `${client} > ${server}` : `${server} > ${client}`
}

function quoted(text: string): string {
  if (text.includes("'")) throw new ConntrackError('invalid-argument', "what is said in a conversation has no '")
  return `data='${text.replace(/\\/g, '\\\\').replace(/\r/g, '\\r').replace(/\n/g, '\\n')}'`
}

function segment(talk: Conversation, side: Side, flags: string, text = ''): TestPacket {
  const [own, others] = side === 'client' ? [talk.clientSeq, talk.serverSeq] : [talk.serverSeq, talk.clientSeq]
  const acknowledged = flags.includes('A') ? ` ack=${others}` : ''
  const data = text === '' ? '' : ' ' + quoted(text)
  const made = packet(`${ends(talk, side)} tcp ${flags} seq=${own}${acknowledged}${data}`, talk.hosts)
  const next = own + new TextEncoder().encode(text).length + (/[SF]/.test(flags) ? 1 : 0) >>> 0
  if (side === 'client') talk.clientSeq = next
  else talk.serverSeq = next
  return made
}
