/**
 * TCP as rows, one packet a line:
 *
 *     flags seq ack window length direction → state tcpState timeout [reason] [options=hex]
 *
 * Direction `>` is from the client, `<` from the server. After the arrow stands what the packet gets and how its entry
 * is afterwards: verdict, TCP state and whole seconds left, `-` twice where there is no entry. `+1.5` on a line of its
 * own lets time pass. What is expected is written from chapter 3 of the specification (sections in the names).
 */
import { describe, expect, test } from 'vitest'
import { createTracker, packetBatch, TCP_STATES, type Connection, type Tracker, type TrackerOptions } from '../../src/index.js'
import { differingField } from '../support/batched.js'
import { tcp, type Endpoints } from '../support/build.js'

const CLIENT: Endpoints = { src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }
const SERVER: Endpoints = { src: '10.0.0.2', dst: '10.0.0.1', sport: 80, dport: 1000 }
const START = 1_700_000_000_000_000_000n

/**
 * A connection's packets, row by row, each held against what its row says; a second tracker gets them in batches of one, which
 * go a short way through the core where there is one.
 */
class Play {
  readonly tracker: Tracker
  readonly #batched: Tracker
  #time = START

  constructor(options: TrackerOptions = {}) {
    this.tracker = createTracker({ maxConnections: 64, hashSeed: 1, ...options })
    this.#batched = createTracker({ maxConnections: 64, hashSeed: 1, ...options })
  }

  rows(text: string): this {
    for (const line of text.split('\n').map(line => line.trim())) {
      if (line.startsWith('+')) this.#time += BigInt(Math.round(Number(line) * 1e9))
      else if (line !== '') this.#row(line)
    }
    return this
  }

  #row(line: string): void {
    const [packet, expected] = line.split('→').map(half => half.trim().split(/\s+/))
    const options = expected.find(word => word.startsWith('options='))?.slice(8) ?? ''
    const [flags, seq, ack, window, length, direction] = packet
    const bytes = tcp(direction === '>' ? CLIENT : SERVER, {
      flags: flags === '-' ? '' : flags, seq: Number(seq), ack: Number(ack), window: Number(window),
      payload: Number(length), options: [...Buffer.from(options, 'hex')],
    })
    const verdict = this.tracker.track(bytes, { time: this.#time })
    const { state, reason } = verdict
    const entry = this.entry
    const batch = this.#batched.trackBatch(packetBatch([{ data: bytes, time: this.#time }]))
    expect(differingField(verdict, batch, 0), `${line}, in a batch`).toBeNull()
    expect(entryOf(this.#batched), `${line}, in a batch`).toEqual(entry)
    const seconds = entry === null ? '-' : Math.floor(entry.timeoutMs / 1000)
    const got = [state, entry?.tcpState ?? '-', seconds, ...reason ? [reason] : []].join(' ')
    expect(got, line).toBe(expected.filter(word => !word.startsWith('options=')).join(' '))
  }

  /** The entry between the two, whoever opened it. */
  get entry(): Connection | null {
    return entryOf(this.tracker)
  }

  get live(): Connection {
    const { entry } = this
    if (!entry) throw new Error('no entry')
    return entry
  }

  side(direction: 'original' | 'reply') {
    const { tcp } = this.live
    if (!tcp) throw new Error('no TCP')
    return tcp[direction]
  }
}

const entryOf = (tracker: Tracker) => tracker.find({ protocol: 'tcp', ...CLIENT })

const play = (rows: string, options: TrackerOptions = {}) => new Play(options).rows(rows)

const HANDSHAKE = `
  S  100 0   1000 0 > → NEW         SYN_SENT    120
  SA 500 101 1000 0 < → ESTABLISHED SYN_RECV    60
  A  101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000`

const FINISHED = `${HANDSHAKE}
  FA 101 501 1000 0 > → ESTABLISHED FIN_WAIT   120
  A  501 102 1000 0 < → ESTABLISHED CLOSE_WAIT 60
  FA 501 102 1000 0 < → ESTABLISHED LAST_ACK   30
  A  102 502 1000 0 > → ESTABLISHED TIME_WAIT  120`

const lines = (text: string, count: number) => text.trim().split('\n').slice(0, count).join('\n')

/** How each state is reached, and the next sequence number of each side there. */
const REACHED: Readonly<Record<string, { readonly rows: string; readonly client: number; readonly server: number }>> = {
  NONE: { rows: '', client: 101, server: 501 },
  SYN_SENT: { rows: lines(HANDSHAKE, 1), client: 101, server: 501 },
  SYN_RECV: { rows: lines(HANDSHAKE, 2), client: 101, server: 501 },
  ESTABLISHED: { rows: HANDSHAKE, client: 101, server: 501 },
  FIN_WAIT: { rows: lines(FINISHED, 4), client: 102, server: 501 },
  CLOSE_WAIT: { rows: lines(FINISHED, 5), client: 102, server: 501 },
  LAST_ACK: { rows: lines(FINISHED, 6), client: 102, server: 502 },
  TIME_WAIT: { rows: FINISHED, client: 102, server: 502 },
  CLOSE: { rows: `${HANDSHAKE}\nR 101 0 1000 0 > → ESTABLISHED CLOSE 10`, client: 101, server: 501 },
  SYN_SENT2: {
    rows: `${lines(HANDSHAKE, 1)}\nS 500 0 1000 0 < → ESTABLISHED SYN_SENT2 120`, client: 101, server: 501,
  },
}

const SHORT: Readonly<Record<string, string>> = {
  NO: 'NONE', SS: 'SYN_SENT', SR: 'SYN_RECV', ES: 'ESTABLISHED', FW: 'FIN_WAIT', CW: 'CLOSE_WAIT', LA: 'LAST_ACK',
  TW: 'TIME_WAIT', CL: 'CLOSE', S2: 'SYN_SENT2',
}
const TIMEOUTS: Readonly<Record<string, number>> = {
  SYN_SENT: 120, SYN_RECV: 60, ESTABLISHED: 432_000, FIN_WAIT: 120, CLOSE_WAIT: 60, LAST_ACK: 30, TIME_WAIT: 120,
  CLOSE: 10, SYN_SENT2: 120,
}

/** The tables of section 3.5. Without an entry there is no reply direction. */
const TABLES = {
  original: `
           NO SS SR ES FW CW LA TW CL S2
    syn    SS SS ig ig ig ig ig SS SS S2
    synack iv iv SR iv iv iv iv iv iv SR
    fin    iv iv FW FW LA LA LA TW CL iv
    ack    ES iv ES ES CW CW TW TW CL iv
    rst    iv CL CL CL CL CL CL CL CL CL`,
  reply: `
           SS SR ES FW CW LA TW CL S2
    syn    S2 iv iv iv iv iv SS iv S2
    synack SR ig ig ig ig ig ig ig SR
    fin    iv FW FW LA LA LA TW CL iv
    ack    ig SR ES CW CW TW TW CL ig
    rst    CL CL CL CL CL CL CL CL CL`,
} as const

/** Cells where the rules after the table have a say: what the packet gets and its entry afterwards, a second later. */
const SPECIAL: Readonly<Record<string, string>> = {
  // 3.4
  'original syn in NONE': 'NEW SYN_SENT 120',
  'original ack in NONE': 'NEW ESTABLISHED 300',
  // 3.11: a SYN in SYN_SENT does not refresh while no reply was seen
  'original syn in SYN_SENT': 'NEW SYN_SENT 119',
  'reply syn in SYN_SENT': 'ESTABLISHED SYN_SENT2 119',
  // 3.3: the SYN/ACK, FIN and reset are good packets that open nothing
  'original synack in NONE': 'INVALID - - tcp-no-connection',
  'original fin in NONE': 'INVALID - - tcp-no-connection',
  'original rst in NONE': 'INVALID - - tcp-no-connection',
  // 3.11: before a reply was seen a reset ends the connection
  'original rst in SYN_SENT': 'NEW - -',
  'reply rst in SYN_SENT': 'ESTABLISHED - -',
  // 3.6: somebody has sent a FIN, or the same side a reset: a new connection
  'original syn in TIME_WAIT': 'NEW SYN_SENT 120',
  'original syn in CLOSE': 'NEW SYN_SENT 120',
  'reply syn in TIME_WAIT': 'NEW SYN_SENT 120',
}

interface Cell {
  readonly name: string
  readonly state: string
  readonly packet: string
  readonly expected: string
}

function cells(direction: 'original' | 'reply'): Cell[] {
  const [head, ...rows] = TABLES[direction].trim().split('\n').map(line => line.trim().split(/\s+/))
  return rows.flatMap(([kind, ...row]) => row.map((cell, i) => {
    const state = SHORT[head[i]]
    const name = `${direction} ${kind} in ${state}`
    return { name, state, packet: packetOf(kind, direction, state), expected: SPECIAL[name] ?? usual(state, cell) }
  }))
}

/** A packet of the kind, with the numbers that are the sender's next. */
function packetOf(kind: string, direction: 'original' | 'reply', state: string): string {
  const { client, server } = REACHED[state]
  const [seq, ack, isn, arrow] = direction === 'original' ? [client, server, 100, '>'] : [server, client, 500, '<']
  switch (kind) {
    // Where the connection is over a SYN has a number of its own.
    case 'syn': return `S ${state === 'TIME_WAIT' || state === 'CLOSE' ? 9000 : isn} 0 1000 0 ${arrow}`
    case 'synack': return `SA ${isn} ${ack} 1000 0 ${arrow}`
    case 'fin': return `FA ${seq} ${ack} 1000 0 ${arrow}`
    case 'ack': return `A ${seq} ${ack} 1000 0 ${arrow}`
    default: return `R ${seq} 0 1000 0 ${arrow}`
  }
}

/** Ignored: the timeout runs on; invalid: likewise; else the new state and its timeout. */
function usual(state: string, cell: string): string {
  if (cell === 'iv') return `INVALID ${state} ${TIMEOUTS[state] - 1} tcp-transition`
  if (cell === 'ig') return `ESTABLISHED ${state} ${TIMEOUTS[state] - 1}`
  return `ESTABLISHED ${SHORT[cell]} ${TIMEOUTS[SHORT[cell]]}`
}

describe('3.5 the transition tables', () => {
  const all = [...cells('original'), ...cells('reply')]

  test('every cell that can be reached is covered, and every special one exists', () => {
    expect(all).toHaveLength(5 * 10 + 5 * 9)
    expect(new Set(all.map(({ state }) => state))).toEqual(new Set(TCP_STATES))
    expect(Object.keys(SPECIAL).filter(name => !all.some(cell => cell.name === name))).toEqual([])
  })

  for (const { name, state, packet, expected } of all) {
    test(`${name}: ${expected}`, () => {
      play(`${REACHED[state].rows}\n+1\n${packet} → ${expected}`)
    })
  }

  for (const state of TCP_STATES.filter(state => state !== 'NONE')) {
    test(`a segment without SYN, FIN, ACK and RST in ${state} is INVALID and changes nothing`, () => {
      const { client, server, rows } = REACHED[state]
      const unchanged = `INVALID ${state} ${TIMEOUTS[state] - 1} tcp-flags`
      play(`${rows}
        +1
        - ${client} 0 1000 0 > → ${unchanged}
        P ${server} 0 1000 5 < → ${unchanged}
        U ${client} 0 1000 0 > → ${unchanged}`)
    })
  }
})

describe('3.3 header checks', () => {
  const ALLOWED = ['S', 'SU', 'SA', 'R', 'RA', 'FA', 'FAU', 'A', 'AU']
  const OPENING = ['S', 'SU', 'A', 'AU']
  const combinations = Array.from({ length: 32 }, (_, bits) => [...'FSRAU'].filter((_, i) => bits >> i & 1).join(''))
  const sorted = (flags: string) => [...flags].sort().join('')
  const isIn = (list: readonly string[], flags: string) => list.some(allowed => sorted(allowed) === sorted(flags))

  for (const flags of combinations) {
    const expected = isIn(OPENING, flags) ? null : isIn(ALLOWED, flags) ? 'tcp-no-connection' : 'tcp-flags'
    test(`flags ${flags || 'none'} as the first packet: ${expected ?? 'NEW'}, whatever PSH, ECE and CWR`, () => {
      for (const more of ['', 'P', 'E', 'C', 'EC', 'PEC']) {
        const tracker = createTracker({ maxConnections: 8 })
        const { reason, state } = tracker.track(tcp(CLIENT, { flags: flags + more, seq: 1, ack: 1 }))
        expect({ reason, state }, more).toEqual({ reason: expected, state: expected ? 'INVALID' : 'NEW' })
      }
    })
  }

  /** A packet with bytes of its TCP header changed, unchecked; null where that is not a TCP packet. */
  const changed = (change: (segment: Uint8Array) => void, cut = 0) => {
    const bytes = tcp(CLIENT, { flags: 'S', seq: 1 })
    const packet = bytes.slice(0, bytes.length - cut)
    change(packet.subarray(20))
    packet[3] = packet.length
    return createTracker({ maxConnections: 8, checksum: 'ignore' }).track(packet).reason
  }
  const offset = (words: number) => (segment: Uint8Array) => { segment[12] = words << 4 }

  test.each([
    ['a data offset of 0 words', changed(offset(0)), 'tcp-data-offset'],
    ['a data offset of 4 words', changed(offset(4)), 'tcp-data-offset'],
    ['a data offset of 6 words with 20 bytes', changed(offset(6)), 'tcp-data-offset'],
    ['a data offset of 5 words', changed(offset(5)), null],
    ['3 bytes of TCP', changed(() => {}, 17), 'transport-short'],
    ['4 bytes of TCP', changed(() => {}, 16), 'tcp-short'],
    ['19 bytes of TCP', changed(() => {}, 1), 'tcp-short'],
    ['reserved bits set', changed(segment => { segment[12] |= 0xf }), null],
  ] as const)('%s: %s', (_, reason, expected) => expect(reason).toBe(expected))

  test('a wrong checksum is found before a wrong combination of flags', () => {
    const packet = tcp(CLIENT, { flags: 'SF' })
    packet[36] ^= 1
    expect(createTracker({ maxConnections: 8 }).track(packet).reason).toBe('tcp-checksum')
  })
})

describe('3.4 the first packet', () => {
  test('a SYN sets the end of its side and its window, unscaled', () => {
    const { end, maxEnd, maxWindow, scale, flags } = play(
      'S 100 0 1000 0 > → NEW SYN_SENT 120 options=020405b40402010103030700').side('original')
    expect({ end, maxEnd, maxWindow, scale, flags }).toEqual(
      { end: 101, maxEnd: 101, maxWindow: 1000, scale: 7, flags: ['WINDOW_SCALE', 'SACK_PERM'] })
  })

  test('a SYN without a window counts as one with a window of 1, and its data counts', () => {
    const { end, maxWindow } = play('S 100 0 0 9 > → NEW SYN_SENT 120').side('original')
    expect({ end, maxWindow }).toEqual({ end: 110, maxWindow: 1 })
  })

  test('an ACK picks the connection up, liberal on both sides, and is ASSURED with the third packet', () => {
    const { live } = play(`
      A 1000 2000 1000 0 > → NEW         ESTABLISHED 300
      A 2000 1000 1000 0 < → ESTABLISHED ESTABLISHED 300
      A 1000 2000 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    expect(live.assured).toBe(true)
    expect(live.tcp?.original.flags).toContain('BE_LIBERAL')
    expect(live.tcp?.reply.flags).toContain('BE_LIBERAL')
  })

  test('a picked-up connection takes any sequence number', () => {
    play(`
      A 1000       2000       1000 0  > → NEW         ESTABLISHED 300
      A 2000       1000       1000 0  < → ESTABLISHED ESTABLISHED 300
      A 4000000000 3000000000 1000 10 > → ESTABLISHED ESTABLISHED 432000`)
  })

  test('a side whose only packet so far was ignored is learned from its next one, wherever its numbers are', () => {
    const reply = play(`
      A  101        501 1000 0 > → NEW         ESTABLISHED 300
      SA 4294967039 101 1000 0 < → ESTABLISHED ESTABLISHED 300
      A  4294967040 101 1000 0 < → ESTABLISHED ESTABLISHED 432000`).side('reply')
    expect(reply).toMatchObject({ end: 4294967040, maxWindow: 1000, maxAck: 101 })
  })

  test('tcp_loose=0: an ACK opens nothing', () => {
    play('A 1000 2000 1000 0 > → INVALID - - tcp-loose-off', { sysctl: { tcp_loose: 0 } })
  })
})

describe('3.6 the common path', () => {
  test('a SYN after a reset of the other side is ignored; its SYN/ACK resynchronises, ASSURED stays', () => {
    const { live } = play(`${HANDSHAKE}
      R  501  0    1000 0 < → ESTABLISHED CLOSE       10
      +3
      S  9000 0    1000 0 > → ESTABLISHED CLOSE       7
      SA 7000 9001 2000 0 < → ESTABLISHED SYN_RECV    60
      A  9001 7001 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    expect(live.assured).toBe(true)
    expect(live.tcp?.original.end).toBe(9001)
    expect(live.tcp?.reply).toMatchObject({ end: 7001, maxWindow: 2000, maxAck: 9001 })
  })

  test('a SYN/ACK that answers another number than that of the ignored SYN does not resynchronise', () => {
    play(`${HANDSHAKE}
      R  501  0    1000 0 < → ESTABLISHED CLOSE 10
      S  9000 0    1000 0 > → ESTABLISHED CLOSE 10
      SA 7000 9002 1000 0 < → ESTABLISHED CLOSE 10`)
  })

  test('a SYN ignored in ESTABLISHED is resynchronised with the options it had', () => {
    const { live } = play(`${HANDSHAKE}
      S  9000 0    1000 0 > → ESTABLISHED ESTABLISHED 432000 options=030304040204
      SA 7000 9001 1000 0 < → ESTABLISHED SYN_RECV    60     options=03030200`)
    expect(live.tcp?.original).toMatchObject(
      { end: 9001, maxEnd: 10_001, scale: 4, flags: ['WINDOW_SCALE', 'SACK_PERM'] })
    expect(live.tcp?.reply).toMatchObject({ end: 7001, scale: 2, maxAck: 9001 })
  })

  test('in CLOSE a SYN is a new connection at once where a FIN was sent before', () => {
    play(`${lines(FINISHED, 5)}
      R 501  0 1000 0 < → ESTABLISHED CLOSE    10
      S 9000 0 1000 0 > → NEW         SYN_SENT 120`)
  })

  test('a SYN of the former server in TIME_WAIT opens a connection in the other direction', () => {
    const { live } = play(`${FINISHED}
      S 9000 0 1000 0 < → NEW SYN_SENT 120`)
    expect(live.original).toMatchObject({ src: '10.0.0.2', sport: 80 })
    expect(live.id).toBe(2)
  })

  test('in LAST_ACK the ACK that challenges an ignored SYN changes nothing, the next one does', () => {
    play(`${lines(FINISHED, 6)}
      +1
      S 9000 0   1000 0 > → ESTABLISHED LAST_ACK  29
      A 502  102 1000 0 < → ESTABLISHED LAST_ACK  29
      A 502  102 1000 0 < → ESTABLISHED TIME_WAIT 120`)
  })

  test('an ignored reply is a reply seen: the repeated SYN refreshes from then on', () => {
    const { live } = play(`
      S 100  0    1000 0 > → NEW         SYN_SENT 120
      +1
      A 9999 5555 1000 0 < → ESTABLISHED SYN_SENT 119
      +1
      S 100  0    1000 0 > → ESTABLISHED SYN_SENT 120`)
    expect(live.seenReply).toBe(true)
  })

  test('ignored packets are not counted', () => {
    const { live } = play(`${HANDSHAKE}\nS 9000 0 1000 0 > → ESTABLISHED ESTABLISHED 432000`, { sysctl: { acct: 1 } })
    expect(live.packets).toEqual({ original: 2, reply: 1 })
  })

  test('a simultaneous open ends with the ACK of the other side', () => {
    const { live } = play(`
      S  100 0   1000 0 > → NEW         SYN_SENT    120
      S  500 0   1000 0 < → ESTABLISHED SYN_SENT2   120
      SA 100 501 1000 0 > → ESTABLISHED SYN_RECV    60
      A  501 101 1000 0 < → ESTABLISHED ESTABLISHED 432000`)
    expect(live.assured).toBe(true)
  })

  test('the first FIN marks its side', () => {
    const closing = play(lines(FINISHED, 6))
    expect(closing.side('original').flags).toContain('CLOSE_INIT')
    expect(closing.side('reply').flags).not.toContain('CLOSE_INIT')
  })
})

describe('3.7 resets', () => {
  test('exactly at the highest acknowledgement closes', () => {
    play(`${HANDSHAKE}\nR 101 0 1000 0 > → ESTABLISHED CLOSE 10`)
  })

  test('in the window but not exact leaves ESTABLISHED, 10 seconds; the answer restores', () => {
    play(`${HANDSHAKE}
      RA 151 501 1000 0 > → ESTABLISHED ESTABLISHED 10
      A  501 101 1000 0 < → ESTABLISHED ESTABLISHED 300
      A  501 151 1000 0 < → ESTABLISHED ESTABLISHED 432000`)
  })

  const BELOW = `${HANDSHAKE}
    PA 101 501 1000 50 > → ESTABLISHED ESTABLISHED 300
    A  501 151 1000 0  < → ESTABLISHED ESTABLISHED 432000
    +1`

  test('below the highest acknowledgement of the other side is INVALID, nothing changes', () => {
    play(`${BELOW}\nR 120 0 1000 0 > → INVALID ESTABLISHED 431999 tcp-rst-below-ack`)
  })

  test('tcp_ignore_invalid_rst=1: below the highest acknowledgement is like one in the window', () => {
    play(`${BELOW}\nR 120 0 1000 0 > → ESTABLISHED ESTABLISHED 10`, { sysctl: { tcp_ignore_invalid_rst: 1 } })
  })

  test('tcp_be_liberal=1 does not help a reset below the highest acknowledgement', () => {
    play(`${BELOW}\nR 120 0 1000 0 > → INVALID ESTABLISHED 431999 tcp-rst-below-ack`, { sysctl: { tcp_be_liberal: 1 } })
  })

  test('over the window is INVALID; tcp_be_liberal=1 takes it', () => {
    play(`${HANDSHAKE}\nR 50000 0 1000 0 > → INVALID ESTABLISHED 432000 tcp-seq-over-window`)
    play(`${HANDSHAKE}\nR 50000 0 1000 0 > → ESTABLISHED ESTABLISHED 10`, { sysctl: { tcp_be_liberal: 1 } })
  })

  test('right behind its own last data closes', () => {
    play(`${HANDSHAKE}
      A  501 101 1000 0  < → ESTABLISHED ESTABLISHED 432000
      PA 101 501 1000 50 > → ESTABLISHED ESTABLISHED 300
      R  151 0   1000 0  > → ESTABLISHED CLOSE       10`)
  })

  test.each(['RA 0 101', 'RA 12345 101'])('as the answer to a SYN (%s) ends the connection', reset => {
    play(`S 100 0 1000 0 > → NEW SYN_SENT 120\n${reset} 0 0 < → ESTABLISHED - -`)
  })

  test('as the answer to a SYN that it does not acknowledge is INVALID', () => {
    play(`S 100 0 1000 0 > → NEW SYN_SENT 120\n+1\nRA 0 999 0 0 < → INVALID SYN_SENT 119 tcp-ack-over-sent`)
  })

  test('of the client before any answer ends the connection', () => {
    play('S 100 0 1000 0 > → NEW SYN_SENT 120\nR 101 0 0 0 > → NEW - -')
  })

  test('answering a stale ACK in SYN_SENT, with the number that it acknowledged, closes', () => {
    play(`
      S 100  0    1000 0 > → NEW         SYN_SENT 120
      A 9999 5555 1000 0 < → ESTABLISHED SYN_SENT 120
      R 5555 0    0    0 > → ESTABLISHED CLOSE    10`)
  })

  test.each([['FIN_WAIT', 4], ['CLOSE_WAIT', 5], ['LAST_ACK', 6], ['TIME_WAIT', 7]] as const)(
    'in %s any sequence number closes', (_, count) => {
      play(`${lines(FINISHED, count)}\nR 3000000000 0 0 0 < → ESTABLISHED CLOSE 10`)
      play(`${lines(FINISHED, count)}\nR 3000000000 0 0 0 > → ESTABLISHED CLOSE 10`)
    })
})

describe('3.8 the window check', () => {
  test('I: a sequence number at the upper bound is good, one over it INVALID', () => {
    // 1101 is what the server allows: 101 acknowledged, window 1000.
    play(`${HANDSHAKE}\nPA 1101 501 1000 0 > → ESTABLISHED ESTABLISHED 300`)
    const over = play(`${HANDSHAKE}\nPA 1102 501 1000 1000 > → INVALID ESTABLISHED 432000 tcp-seq-over-window`)
    expect(over.side('original').end).toBe(101)
  })

  test('I: one that goes over by no more than the largest window is ignored and moves the end', () => {
    const overshoot = play(`${HANDSHAKE}\n+1\nPA 1102 501 1000 998 > → ESTABLISHED ESTABLISHED 431999`)
    expect(overshoot.side('original')).toMatchObject({ end: 2100, maxEnd: 1101 })
    expect(overshoot.side('original').flags).toContain('DATA_UNACKNOWLEDGED')
    // 2101 - 1101 + 1 is one more than the window.
    play(`${HANDSHAKE}\nPA 1102 501 1000 999 > → INVALID ESTABLISHED 432000 tcp-seq-over-window`)
  })

  test('II: an acknowledgement of what was not sent is INVALID', () => {
    play(`${HANDSHAKE}\n+1\nA 101 502 1000 0 > → INVALID ESTABLISHED 431999 tcp-ack-over-sent`)
  })

  const SENT = `${HANDSHAKE}
    A 101  501  1000 1000 > → ESTABLISHED ESTABLISHED 300
    A 501  1101 1000 0    < → ESTABLISHED ESTABLISHED 432000
    A 1101 501  1000 1000 > → ESTABLISHED ESTABLISHED 300
    A 501  2101 1000 0    < → ESTABLISHED ESTABLISHED 432000
    +1`

  test('III: what ends before all that was sent less the largest window is ignored', () => {
    play(`${SENT}\nA 1101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    play(`${SENT}\nA 1100 501 1000 0 > → ESTABLISHED ESTABLISHED 431999`)
  })

  test('IV: an acknowledgement more than 66000 behind is ignored', () => {
    // The server has sent up to 501; sequence numbers wrap.
    const bound = 501 - 66_000 + 2 ** 32
    play(`${HANDSHAKE}\n+1\nA 101 ${bound} 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    play(`${HANDSHAKE}\n+1\nA 101 ${bound - 1} 1000 0 > → ESTABLISHED ESTABLISHED 431999`)
  })

  test('tcp_be_liberal=1 accepts what fails, and moves nothing', () => {
    const liberal = play(`${HANDSHAKE}\n+1\nPA 90000 501 1000 10 > → ESTABLISHED ESTABLISHED 432000`,
      { sysctl: { tcp_be_liberal: 1 } })
    expect(liberal.side('original')).toMatchObject({ end: 101, maxEnd: 1101, maxWindow: 1000 })
  })

  test('an accepted packet moves the end, the highest acknowledgement and what the other side may send', () => {
    const moved = play(`${HANDSHAKE}
      PA 501 101 3000 200 < → ESTABLISHED ESTABLISHED 300
      A  101 701 5000 0   > → ESTABLISHED ESTABLISHED 432000`)
    expect(moved.side('original')).toMatchObject(
      { end: 101, maxEnd: 3101, maxWindow: 5000, maxAck: 701, flags: ['MAXACK_SET'] })
    expect(moved.side('reply')).toMatchObject(
      { end: 701, maxEnd: 5701, maxWindow: 3000, maxAck: 101, flags: ['MAXACK_SET'] })
  })

  test('a window of zero allows one byte', () => {
    expect(play(`${HANDSHAKE}\nPA 501 101 1000 999 < → ESTABLISHED ESTABLISHED 300
      A 101 1500 0 0 > → ESTABLISHED ESTABLISHED 300
      A 101 1500 0 0 > → ESTABLISHED ESTABLISHED 300`).side('reply').maxEnd).toBe(1501)
  })

  test('sequence numbers wrap', () => {
    const wrapped = play(`
      S  4294967295 0   1000 0   > → NEW         SYN_SENT    120
      SA 500        0   1000 0   < → ESTABLISHED SYN_RECV    60
      PA 0          501 1000 100 > → ESTABLISHED ESTABLISHED 300
      A  501        100 1000 0   < → ESTABLISHED ESTABLISHED 432000`)
    expect(wrapped.side('original')).toMatchObject({ end: 100, maxEnd: 1100 })
  })

  test('a SYN with a new initial number in SYN_SENT starts the window anew, without a refresh', () => {
    const anew = play(`
      S  100  0    1000 0 > → NEW         SYN_SENT 120
      +2.1
      S  4000 0    1000 0 > → NEW         SYN_SENT 117
      SA 500  4001 1000 0 < → ESTABLISHED SYN_RECV 60`)
    expect(anew.side('original').end).toBe(4001)
  })

  test('windows are scaled where both sides offer it, but for those of SYNs', () => {
    const scaled = play(`
      S  100 0   1000 0 > → NEW         SYN_SENT    120    options=03030300
      SA 500 101 1000 0 < → ESTABLISHED SYN_RECV    60     options=03030500
      A  101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    expect(scaled.side('original')).toMatchObject({ scale: 3, maxWindow: 8000, maxEnd: 1101 })
    expect(scaled.side('reply')).toMatchObject({ scale: 5, maxWindow: 1000, maxEnd: 8501 })
  })

  test('windows are not scaled where one side does not offer it', () => {
    const unscaled = play(`
      S  100 0   1000 0 > → NEW         SYN_SENT    120    options=03030300
      SA 500 101 1000 0 < → ESTABLISHED SYN_RECV    60     options=020405b4
      A  101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
    expect(unscaled.side('original')).toMatchObject({ scale: 0, maxWindow: 1000 })
    expect(unscaled.side('reply').scale).toBe(0)
  })
})

describe('3.9 options', () => {
  const syn = (options: string) => play(`S 100 0 1000 0 > → NEW SYN_SENT 120 options=${options}`).side('original')

  test.each([
    ['a scale of 20 counts as 14', '03031400', 14, ['WINDOW_SCALE']],
    ['a scale of 14 is the highest', '03030e00', 14, ['WINDOW_SCALE']],
    ['a scale with length 4 is none', '03040700', 0, []],
    ['SACK permitted with length 3 is none', '04030000', 0, []],
    ['the walk ends at the end of options', '0003030704020000', 0, []],
    ['the walk ends at a length of 1', '0801030703030700', 0, []],
    ['the walk ends at a length beyond the area', '02ff030703030700', 0, []],
    ['a kind without its length ends the walk', '0101010103030702', 7, ['WINDOW_SCALE']],
    ['no-operations are skipped', '0101010103030704', 7, ['WINDOW_SCALE']],
    ['options that are not known are skipped', 'fd04000003030704', 7, ['WINDOW_SCALE']],
    ['the last of two scales counts', '0303050303030000', 3, ['WINDOW_SCALE']],
  ] as const)('%s', (_, options, scale, flags) => {
    expect(syn(options)).toMatchObject({ scale, flags })
  })

  /** Both offer SACK; the server has sent up to 701. */
  const WITH_SACK = `
    S  100 0   1000 0   > → NEW         SYN_SENT    120    options=04020000
    SA 500 101 1000 0   < → ESTABLISHED SYN_RECV    60     options=04020000
    A  101 501 1000 0   > → ESTABLISHED ESTABLISHED 432000
    PA 501 101 1000 200 < → ESTABLISHED ESTABLISHED 300`
  const sack = (left: number, right: number) =>
    `0101050a${[left, right].map(edge => edge.toString(16).padStart(8, '0')).join('')}`

  test('the right edge of a SACK block counts as the acknowledgement where it is higher', () => {
    play(`${WITH_SACK}\nA 101 501 1000 0 > → ESTABLISHED ESTABLISHED 300 options=${sack(601, 701)}`)
    play(`${WITH_SACK}\nA 101 501 1000 0 > → INVALID ESTABLISHED 300 tcp-ack-over-sent options=${sack(601, 702)}`)
  })

  test('SACK blocks do not count where the other side has not permitted them', () => {
    play(`${HANDSHAKE}\nA 101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000 options=${sack(601, 90_000)}`)
  })
})

describe('3.10 what an invalid packet still does', () => {
  test('a FIN or reset over the window in each direction shortens the life to 300 s', () => {
    play(`${HANDSHAKE}
      FA 90000 501 1000 0 > → INVALID ESTABLISHED 432000 tcp-seq-over-window
      FA 90000 101 1000 0 < → INVALID ESTABLISHED 300    tcp-seq-over-window`)
    play(`${HANDSHAKE}
      R  90000 0   1000 0 > → INVALID ESTABLISHED 432000 tcp-seq-over-window
      FA 90000 101 1000 0 < → INVALID ESTABLISHED 300    tcp-seq-over-window`)
  })

  test('two of the same direction do not, nor do ACKs', () => {
    play(`${HANDSHAKE}
      FA 90000 501 1000 0 > → INVALID ESTABLISHED 432000 tcp-seq-over-window
      FA 90000 501 1000 0 > → INVALID ESTABLISHED 432000 tcp-seq-over-window
      A  90000 101 1000 0 < → INVALID ESTABLISHED 432000 tcp-seq-over-window`)
  })

  test('a life of less than 120 s stays as it is', () => {
    play(`${HANDSHAKE}
      FA 90000 501 1000 0 > → INVALID ESTABLISHED 100 tcp-seq-over-window
      FA 90000 101 1000 0 < → INVALID ESTABLISHED 100 tcp-seq-over-window`.replace('432000', '100'),
    { sysctl: { tcp_timeout_established: 100, tcp_timeout_unacknowledged: 50 } })
  })
})

describe('3.11 timeouts, ASSURED, destruction', () => {
  test('a repeated SYN does not refresh', () => {
    play(`
      S 100 0 1000 0 > → NEW SYN_SENT 120
      +50
      S 100 0 1000 0 > → NEW SYN_SENT 70`)
  })

  test('the third repetition of an ACK has 300 s, another window value restores', () => {
    play(`${HANDSHAKE}
      A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000
      A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000
      A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 300
      A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 300
      A 101 501 1001 0 > → ESTABLISHED ESTABLISHED 432000`)
  })

  test('tcp_max_retrans sets how many', () => {
    play(`${HANDSHAKE}\nA 101 501 1000 0 > → ESTABLISHED ESTABLISHED 300`, { sysctl: { tcp_max_retrans: 1 } })
  })

  test('a closed window has 300 s until an ACK of either side opens it', () => {
    play(`${HANDSHAKE}
      A 501 101 0    0 < → ESTABLISHED ESTABLISHED 300
      A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000`)
  })

  test('unacknowledged data has 300 s until it is acknowledged', () => {
    play(`${HANDSHAKE}
      PA 101 501 1000 10 > → ESTABLISHED ESTABLISHED 300
      A  501 106 1000 0  < → ESTABLISHED ESTABLISHED 300
      A  501 111 1000 0  < → ESTABLISHED ESTABLISHED 432000`)
  })

  test('the short timeouts have their sysctls', () => {
    const sysctl = { tcp_timeout_unacknowledged: 200, tcp_timeout_max_retrans: 250 }
    play(`${HANDSHAKE}
      PA 101 501 1000 10 > → ESTABLISHED ESTABLISHED 200
      A  501 111 1000 0  < → ESTABLISHED ESTABLISHED 432000
      A  501 111 0    0  < → ESTABLISHED ESTABLISHED 250`, { sysctl })
  })

  test('they cut other states short too', () => {
    play('S 100 0 1000 0 > → NEW SYN_SENT 9', { sysctl: { tcp_timeout_max_retrans: 9 } })
  })

  test('every state has the timeout of its sysctl', () => {
    const sysctl = {
      tcp_timeout_syn_sent: 11, tcp_timeout_syn_recv: 12, tcp_timeout_established: 13, tcp_timeout_fin_wait: 14,
      tcp_timeout_close_wait: 15, tcp_timeout_last_ack: 16, tcp_timeout_time_wait: 17, tcp_timeout_close: 18,
    }
    play(`
      S  100 0   1000 0 > → NEW         SYN_SENT    11
      SA 500 101 1000 0 < → ESTABLISHED SYN_RECV    12
      A  101 501 1000 0 > → ESTABLISHED ESTABLISHED 13
      FA 101 501 1000 0 > → ESTABLISHED FIN_WAIT    14
      A  501 102 1000 0 < → ESTABLISHED CLOSE_WAIT  15
      FA 501 102 1000 0 < → ESTABLISHED LAST_ACK    16
      A  102 502 1000 0 > → ESTABLISHED TIME_WAIT   17
      R  102 0   0    0 > → ESTABLISHED CLOSE       18`, { sysctl })
  })

  test('ASSURED comes with the third packet and stays when the connection is over', () => {
    const before = play(lines(HANDSHAKE, 2))
    expect(before.live.assured).toBe(false)
    before.rows('A 101 501 1000 0 > → ESTABLISHED ESTABLISHED 432000')
    expect(before.live.assured).toBe(true)
    before.rows('R 101 0 1000 0 > → ESTABLISHED CLOSE 10')
    expect(before.live.assured).toBe(true)
  })

  test('a connection that nobody answered is gone 120 s after its first SYN, not before', () => {
    play(`
      S 100 0 1000 0 > → NEW SYN_SENT 120
      +60
      S 100 0 1000 0 > → NEW SYN_SENT 60
      +59.999999999
      S 100 0 1000 0 > → NEW SYN_SENT 0
      +0.000000001
      S 100 0 1000 0 > → NEW SYN_SENT 120`)
  })

  test('3.14 the worked example', () => {
    play(`${HANDSHAKE}
      PA 101  501 1000 10 > → ESTABLISHED ESTABLISHED 300
      A  501  111 1000 0  < → ESTABLISHED ESTABLISHED 432000
      FA 111  501 1000 0  > → ESTABLISHED FIN_WAIT    120
      A  501  112 1000 0  < → ESTABLISHED CLOSE_WAIT  60
      FA 501  112 1000 0  < → ESTABLISHED LAST_ACK    30
      A  112  502 1000 0  > → ESTABLISHED TIME_WAIT   120
      S  5000 0   1000 0  > → NEW         SYN_SENT    120`)
  })
})
