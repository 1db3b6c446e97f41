/** A connection that talks past its helper: what was said, what the helper made of it. For unit tests of helpers. */
import type { HelpedConnection, Helper, StandingExpectation } from '../../src/helpers/helper.js'
import { ExpectationTable } from './expectation-table.js'

/** Text (each character a byte) or bytes. */
export type Payload = string | Uint8Array

export interface Heard {
  readonly verdict: 'accept' | 'drop'
  /** What was added to the table, oldest first, as `expectationText` has it. */
  readonly expected: readonly string[]
}

export interface SessionOptions {
  readonly table?: ExpectationTable
  readonly family?: 4 | 6
  readonly id?: number
  readonly client?: string
  readonly server?: string
  readonly sport?: number
  readonly dport?: number
  /** What address translation makes of the client's address. */
  readonly clientSeenAs?: string
  /** It was itself announced. */
  readonly expected?: boolean
}

const HOSTS = { 4: ['10.0.0.1', '10.0.0.2'], 6: ['2001:db8:a::1', '2001:db8:b::2'] } as const

export class HelpedSession {
  readonly table: ExpectationTable
  readonly connection: HelpedConnection
  readonly state: unknown
  established = true
  private readonly seq = { original: 1001, reply: 5001 }

  constructor(readonly helper: Helper, options: SessionOptions = {}) {
    const { family = 4, id = 1, sport = 1000, dport = helper.ports[0] } = options
    const { client = HOSTS[family][0], server = HOSTS[family][1] } = options
    const protocol = [helper.protocol].flat()[0] === 'tcp' ? 6 : 17
    const reply = { src: server, dst: options.clientSeenAs ?? client, sport: dport, dport: sport }
    this.table = options.table ?? new ExpectationTable()
    this.connection = {
      id, family, protocol, expected: options.expected ?? false,
      original: { family, protocol, src: client, dst: server, sport, dport },
      reply: { family, protocol, ...reply },
    }
    this.state = helper.state?.()
  }

  client(payload: Payload): Heard {
    return this.say('original', payload)
  }

  server(payload: Payload): Heard {
    return this.say('reply', payload)
  }

  /** The next segment of a direction, or the one at `seq`. */
  say(direction: 'original' | 'reply', text: Payload, seq = this.seq[direction]): Heard {
    const payload = typeof text === 'string' ? Buffer.from(text, 'latin1') : text
    if (this.connection.protocol === 6) this.seq[direction] = (seq + payload.length) >>> 0
    const before = this.table.added.length
    const { connection, state, established } = this
    const packet = {
      payload, direction, established, connection, state, seq: this.connection.protocol === 6 ? seq : 0,
    }
    const verdict = this.helper.inspect(packet, this.table.for(connection, this.helper))
    return { verdict, expected: this.table.added.slice(before).map(expectationText) }
  }

  /** The sequence number that a direction's next segment has. */
  next(direction: 'original' | 'reply'): number {
    return this.seq[direction]
  }
}

const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 47: 'gre' }

/** `<protocol> <source>[/<mask>][:<port>] -> <destination>:<port>[ permanent][ inactive][ for <assigned helper>]` */
function expectationText(expectation: StandingExpectation): string {
  const { protocol, src, srcMask, sport, dst, dport, permanent, inactive, helper } = expectation
  const from = `${src ?? 'any'}${srcMask ? `/${srcMask}` : ''}${sport === undefined ? '' : `:${sport}`}`
  const marks = [permanent && ' permanent', inactive && ' inactive', helper && ` for ${helper}`].filter(Boolean)
  return `${PROTOCOLS[protocol]} ${from} -> ${dst}:${dport}${marks.join('')}`
}
