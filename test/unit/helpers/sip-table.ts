/** Expectations by the rules of nf_conntrack, for one helper, without time: what the tracker does for helpers. */
import type {
  Added, HelpedConnection, Helper, HelperPacket, HelperTable, HelperVerdict, NewExpectation, StandingExpectation,
} from '../../../src/helpers/helper.js'

export interface Flow {
  readonly connection: HelpedConnection
  readonly table: HelperTable
  readonly state: unknown
  /** What the helper set last; `null`: nothing yet. */
  timeout: number | null
  /** Sequence number of the next byte, by direction. */
  readonly seq: { original: number; reply: number }
}

/** Connections of one helper and what they announced. */
export class FakeTracker {
  /** Newest first. */
  expectations: StandingExpectation[] = []
  #ids = 0

  constructor(readonly helper: Helper, readonly maxExpectations = 4096) {}

  /** A new connection. */
  open(src: string, dst: string, protocol: 'tcp' | 'udp' = 'udp', sport = 5060, expected = false): Flow {
    const family = src.includes(':') ? 6 as const : 4 as const
    const number = protocol === 'tcp' ? 6 : 17
    const original = { family, protocol: number, src, dst, sport, dport: 5060 }
    const reply = { family, protocol: number, src: dst, dst: src, sport: 5060, dport: sport }
    const connection = { id: ++this.#ids, family, protocol: number, original, reply, expected }
    const state: unknown = this.helper.state?.()
    const flow: Flow = { connection, state, timeout: null, seq: { original: 1001, reply: 5001 }, table: null! }
    return Object.assign(flow, { table: this.#tableOf(flow) })
  }

  /** A packet with this payload. Strings are ISO 8859-1. */
  send(
    flow: Flow, direction: HelperPacket['direction'], text: string | Uint8Array, more: Partial<HelperPacket> = {},
  ): HelperVerdict {
    const payload = typeof text === 'string' ? Uint8Array.from(text, letter => letter.charCodeAt(0)) : text
    const seq = flow.connection.protocol === 6 ? flow.seq[direction] : 0
    flow.seq[direction] += payload.length
    const { connection, state } = flow
    return this.helper.inspect({ payload, direction, established: true, seq, connection, state, ...more }, flow.table)
  }

  /** This connection's expectations as text, oldest first. */
  expected(flow: Flow): string[] {
    return this.expectations.filter(({ master }) => master === flow.connection.id).reverse().map(describe)
  }

  #tableOf(flow: Flow): HelperTable {
    const unused = (): never => { throw new Error('not for SIP') }
    return {
      expect: expectation => this.#add(flow.connection.id, expectation),
      own: () => this.expectations.filter(({ master }) => master === flow.connection.id),
      find: (protocol, src, sport, dst, dport) => this.expectations.find(e => e.protocol === protocol && e.dst === dst
        && e.dport === dport && !e.inactive && (e.src ?? src) === src && (e.sport ?? sport) === sport) ?? null,
      remove: expectation => this.#remove(expectation.id),
      activate: ({ id }, timeout) => {
        this.expectations = this.expectations.map(e => e.id === id ? { ...e, timeout, inactive: false } : e)
      },
      setTimeout: seconds => { flow.timeout = seconds },
      mapGreKeys: unused, unmapGreKeys: unused, destroyGre: unused,
    }
  }

  #add(master: number, added: NewExpectation): Added {
    const { protocol, dst, dport } = added
    const rivals = this.expectations.filter(e => e.protocol === protocol && e.dst === dst && e.dport === dport)
    for (const rival of rivals) {
      if ((rival.master === master || added.skipMaster) && rival.src === added.src) {
        if (rival.class !== added.class || rival.master !== master) return 'already'
        this.#remove(rival.id)
        break
      }
      if (rival.src === null || added.src === null || rival.src === added.src) return 'busy'
    }
    const ofClass = this.expectations.filter(e => e.master === master && e.class === added.class)
    if (ofClass.length >= this.helper.classes[added.class ?? 0].limit) this.#remove(ofClass.at(-1)!.id)
    if (this.expectations.length >= this.maxExpectations) return 'full'
    this.expectations = [{ ...added, id: ++this.#ids, master, madeBy: this.helper.name }, ...this.expectations]
    return 'added'
  }

  #remove(id: number): void {
    this.expectations = this.expectations.filter(e => e.id !== id)
  }
}

/** Such as `10.0.0.2 > 10.0.0.1:7000 audio`, with what is not usual behind it. */
function describe(e: StandingExpectation): string {
  const kind = ['signalling', 'audio', 'video', 'image'][e.class ?? 0]
  const tcp = e.protocol === 6 && 'tcp'
  const flags = [tcp, e.permanent && 'permanent', e.inactive && 'inactive', e.timeout && `${e.timeout} s`]
  return [`${e.src ?? 'any'} > ${e.dst}:${e.dport} ${kind}`, ...flags.filter(Boolean)].join(' ')
}
