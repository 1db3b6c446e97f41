import { existsSync } from 'node:fs'
import { PassThrough, Writable } from 'node:stream'
import type { Helper } from '../../src/helpers/index.js'
import { describe, expect, test } from 'vitest'
import { packetBatch, type PacketBatch } from '../../src/batch.js'
import { explanationText } from '../../src/cli/explain.js'
import { parseFilter, type FilterOptions } from '../../src/cli/filter.js'
import { main } from '../../src/cli/main.js'
import { linkTypeNotices } from '../../src/cli/notices.js'
import { helpText, parseRequest, type Invocation } from '../../src/cli/options.js'
import { Progress, progressLine } from '../../src/cli/progress.js'
import { ConntrackError } from '../../src/errors.js'
import { LABEL_FILE } from '../../src/format/labels.js'
import type { CommandTracker } from '../../src/cli/run.js'
import { createTracker, type ExpectationListener, type Tracker, type TrackerOptions } from '../../src/index.js'
import { REASONS } from '../../src/names.js'
import type {
  Connection, ConnectionEvent, ConnectionEventKind, Expectation, ExpectationEventKind, Explanation, Statistics, VerdictBatch,
} from '../../src/types.js'
import { tcp, udp } from '../support/build.js'

function parsed(...args: string[]): Invocation {
  const request = parseRequest(args)
  if (request.kind !== 'run') throw new Error(`${args.join(' ')} is not run`)
  return request.invocation
}

const usage = (...args: string[]) => () => parseRequest(args)

describe('commands and captures', () => {
  test.each(['classify', 'connections', 'events', 'statistics'])('%s takes a capture', command => {
    expect(parsed(command, 'a.pcap')).toMatchObject({ command, capture: 'a.pcap', json: false })
  })

  test('- is standard input, and options may stand anywhere', () => {
    expect(parsed('--json', 'classify', '-')).toMatchObject({ capture: '-', json: true })
    expect(parsed('classify', '-', '--json')).toMatchObject({ capture: '-', json: true })
  })

  test.each([
    [[], 'no command'],
    [['frobnicate', 'a.pcap'], "unknown command 'frobnicate'"],
    [['toString', 'a.pcap'], "unknown command 'toString'"],
    [['classify'], 'needs a capture'],
    [['classify', 'a.pcap', 'b.pcap'], "not also 'b.pcap'"],
    [['classify', '--frobnicate', 'a.pcap'], "Unknown option '--frobnicate'"],
    [['classify', 'a.pcap', '--seed'], '--seed'],
  ])('%j is a usage error', (args, message) => {
    expect(usage(...args)).toThrow(expect.objectContaining({ name: 'UsageError', message: expect.stringContaining(message) }))
  })

  test('--help and --version need no command', () => {
    expect(parseRequest(['--help'])).toEqual({ kind: 'help' })
    expect(parseRequest(['-h'])).toEqual({ kind: 'help' })
    expect(parseRequest(['--version'])).toEqual({ kind: 'version' })
  })

  test('--help names every command and every option of the interface', () => {
    const words = ['classify', 'connections', 'events', 'statistics', 'explain', '--json', '--detail', '--packet', '--sysctl',
      '--helper', '--notrack', '--checksum', '--zone', '--timeout', '--format', '--seed', '-o, ', '-p, ', '-s, ', '-d, ', '--sport', '--dport', '--state']
    for (const word of words) expect(helpText()).toContain(word)
  })
})

describe('options of the tracker', () => {
  const tracker = (...args: string[]): TrackerOptions => parsed('classify', 'a.pcap', ...args).tracker

  test.each([
    'tcp_loose=0', 'nf_conntrack_tcp_loose=0', 'net.netfilter.nf_conntrack_tcp_loose=0', 'net/netfilter/nf_conntrack_tcp_loose=0',
  ])('--sysctl %s is tcp_loose', setting => {
    expect(tracker('--sysctl', setting).sysctl).toEqual({ tcp_loose: 0 })
  })

  test.each([
    'ipfrag_time=5', 'net.ipv4.ipfrag_time=5', 'net/ipv4/ipfrag_time=5',
  ])('--sysctl %s is ipfrag_time', setting => {
    expect(tracker('--sysctl', setting).sysctl).toEqual({ ipfrag_time: 5 })
  })

  test('--sysctl is repeatable, the last value of a name counts', () => {
    expect(tracker('--sysctl', 'udp_timeout=5', '--sysctl=acct=1', '--sysctl', 'nf_conntrack_udp_timeout=7').sysctl)
      .toEqual({ udp_timeout: 7, acct: 1 })
  })

  test('--sysctl nf_conntrack_max sizes the table', () => {
    expect(tracker('--sysctl', 'nf_conntrack_max=1000')).toMatchObject({ sysctl: { max: 1000 } })
  })

  test.each(['tcp_loose', 'tcp_loose=', '=1', 'tcp_loose=yes', 'tcp_loose=1.5', 'tcp loose=1'])(
    '--sysctl %s is a usage error', setting => {
      expect(usage('classify', 'a.pcap', '--sysctl', setting)).toThrow('--sysctl takes NAME=VALUE')
    })

  test('--notrack makes one match each', () => {
    expect(tracker('--notrack', 'proto=udp,dport=53', '--notrack', 'src=10.0.0.0/8,sport=1024-65535,proto=6').notrack).toEqual([
      { protocol: 'udp', dport: 53 }, { src: '10.0.0.0/8', sport: '1024-65535', protocol: 6 }])
  })

  test.each(['udp', 'proto=', 'port=53', 'proto=udp;dport=53=1', 'proto=udp,', 'constructor=1'])(
    '--notrack %s is a usage error', match => {
      expect(usage('classify', 'a.pcap', '--notrack', match)).toThrow('--notrack takes')
    })

  test('--checksum is offload unless given', () => {
    expect(tracker().checksum).toBe('offload')
    for (const mode of ['verify', 'offload', 'ignore']) expect(tracker('--checksum', mode).checksum).toBe(mode)
    expect(usage('classify', 'a.pcap', '--checksum', 'maybe')).toThrow('--checksum takes')
  })

  test('--seed takes 64 bits', () => {
    expect(tracker()).not.toHaveProperty('hashSeed')
    expect(tracker('--seed', '18446744073709551615').hashSeed).toBe(2n ** 64n - 1n)
    expect(tracker('--seed', '0xff').hashSeed).toBe(255n)
    for (const seed of ['18446744073709551616', '1.5', 'x', '']) {
      expect(usage('classify', 'a.pcap', `--seed=${seed}`)).toThrow('--seed takes')
    }
  })

  test('--notrack knows service class and VLAN', () => {
    expect(tracker('--notrack', 'dscp=46,vlan=7').notrack).toEqual([{ dscp: 46, vlan: 7 }])
  })

  test.each([
    ['proto=udp,dport=53=7', { protocol: 'udp', dport: 53, id: 7 }],
    ['proto=udp=original:6', { protocol: 'udp', id: 6, direction: 'original' }],
    ['vlan=5,dscp=46=reply:7', { vlan: 5, dscp: 46, id: 7, direction: 'reply' }],
    ['src=2001:db8::/32=65535', { src: '2001:db8::/32', id: 65535 }],
    ['7', { id: 7 }], ['original:7', { id: 7, direction: 'original' }],
  ])('--zone %s', (rule, expected) => {
    expect(tracker('--zone', rule).zone).toEqual([expected])
  })

  test('--zone is repeatable; without it there is no such option', () => {
    expect(tracker('--zone', 'proto=udp=1', '--zone', '2').zone).toEqual([{ protocol: 'udp', id: 1 }, { id: 2 }])
    expect(tracker()).not.toHaveProperty('zone')
  })

  test.each(['proto=udp', 'dport=53', 'proto=udp=', 'proto=udp=both:7', 'proto=udp=-1', 'port=53=7', '=7', 'x', '', '1.5'])(
    '--zone %s is a usage error', rule => {
      expect(usage('classify', 'a.pcap', `--zone=${rule}`)).toThrow('--zone takes')
    })

  test.each([
    ['proto=tcp,dport=22:tcp_timeout_established=3600', { protocol: 'tcp', dport: 22, timeouts: { tcp_timeout_established: 3600 } }],
    ['src=2001:db8::1:nf_conntrack_udp_timeout=5,udp_timeout_stream=7',
      { src: '2001:db8::1', timeouts: { udp_timeout: 5, udp_timeout_stream: 7 } }],
  ])('--timeout %s', (policy, expected) => {
    expect(tracker('--timeout', policy).timeouts).toEqual([expected])
  })

  test.each(['udp_timeout=5', ':udp_timeout=5', 'proto=udp', 'proto=udp:', 'proto=udp:udp_timeout', 'proto=udp:udp_timeout=x', 'udp:udp_timeout=5'])(
    '--timeout %s is a usage error', policy => {
      expect(usage('classify', 'a.pcap', '--timeout', policy)).toThrow('--timeout takes')
    })

  test.each([[['ftp'], 'ftp 21'], [['ftp=21,2121', 'tftp'], 'ftp 21,2121; tftp 69']])('--helper %j', (given, expected) => {
    const helpers = tracker(...given.flatMap(text => ['--helper', text])).helpers as readonly Helper[]
    expect(helpers.map(({ name, ports }) => `${name} ${ports.join()}`).join('; ')).toBe(expected)
  })

  test('--helper all is every helper on its usual ports', () => {
    const helpers = tracker('--helper', 'all').helpers as readonly Helper[]
    expect(helpers.map(({ name }) => name)).toEqual(expect.arrayContaining(['ftp', 'irc', 'sip', 'tftp', 'amanda', 'sane']))
  })

  test.each(['http', 'ftp=', 'ftp=x', 'ftp=1=2', 'all=1', ''])('--helper %s is a usage error', helper => {
    expect(usage('classify', 'a.pcap', '--helper', helper)).toThrow('--helper takes')
  })

  test('--helper with a port that is none is a usage error', () => {
    expect(usage('classify', 'a.pcap', '--helper', 'ftp=70000')).toThrow(/port/)
  })
})

describe('options of commands', () => {
  test('--detail implies acct=1, which --sysctl may take back', () => {
    expect(parsed('classify', 'a.pcap', '--json', '--detail')).toMatchObject(
      { detail: true, tracker: { explain: true, sysctl: { acct: 1 } } })
    expect(parsed('classify', 'a.pcap', '--json', '--detail', '--sysctl', 'nf_conntrack_acct=0').tracker.sysctl).toEqual({ acct: 0 })
    expect(parsed('classify', 'a.pcap', '--json').tracker).toMatchObject({ explain: false, sysctl: {} })
    expect(usage('classify', 'a.pcap', '--detail')).toThrow('--detail needs --json')
  })

  test('explain wants a packet from 1', () => {
    expect(parsed('explain', '--packet', '17', 'a.pcap')).toMatchObject({ packet: 17, tracker: { explain: true } })
    expect(usage('explain', 'a.pcap')).toThrow('explain needs --packet N')
    for (const packet of ['0', '-1', '1.5', 'x', '']) {
      expect(usage('explain', 'a.pcap', `--packet=${packet}`)).toThrow('--packet takes a number from 1')
    }
  })

  test('--expectations is for connections and events, without filters of connections', () => {
    expect(parsed('connections', 'a.pcap', '--expectations', '--format', 'proc')).toMatchObject({ expectations: true, format: 'proc' })
    expect(parsed('events', 'a.pcap', '--expectations').expectations).toBe(true)
    expect(parsed('connections', 'a.pcap').expectations).toBe(false)
    expect(usage('classify', 'a.pcap', '--expectations')).toThrow('--expectations is an option of connections and events')
    expect(usage('connections', 'a.pcap', '--expectations', '-p', 'tcp')).toThrow('--proto is for connections')
  })

  test('-o takes words with commas or once more', () => {
    const none = { extended: false, id: false, timestamp: false, ktimestamp: false, labels: false }
    expect(parsed('events', 'a.pcap', '-o', 'extended,id', '-o', 'timestamp').output)
      .toEqual({ ...none, extended: true, id: true, timestamp: true })
    expect(parsed('connections', 'a.pcap', '-o', 'labels,ktimestamp').output).toEqual({ ...none, labels: true, ktimestamp: true })
    expect(parsed('connections', 'a.pcap').output).toEqual(none)
    // The tool's -L takes it too and prints no time.
    expect(parsed('connections', 'a.pcap', '-o', 'extended,timestamp').output).toMatchObject({ timestamp: true })
    expect(usage('events', 'a.pcap', '-o', 'xml')).toThrow("not 'xml'")
  })

  test('--format of connections is conntrack or proc, and the one way to write them', () => {
    expect(parsed('connections', 'a.pcap').format).toBe('conntrack')
    expect(parsed('connections', 'a.pcap', '--format', 'conntrack', '-o', 'id').format).toBe('conntrack')
    expect(parsed('connections', 'a.pcap', '--format', 'proc').format).toBe('proc')
    expect(usage('connections', 'a.pcap', '--format', 'xml')).toThrow('--format takes')
    for (const other of [['--json'], ['-o', 'id']]) expect(usage('connections', 'a.pcap', '--format', 'proc', ...other)).toThrow('neither')
  })

  test.each([
    ['classify', '--format', 'proc'], ['classify', '-p', 'tcp'], ['events', '--sport', '1'], ['statistics', '-o', 'id'], ['classify', '--packet', '1'],
    ['events', '--detail'],
  ])('%s does not know %s', (command, ...option) => {
    expect(usage(command, 'a.pcap', ...option)).toThrow(`not of ${command}`)
  })
})

const TCP: Connection = {
  id: 1,
  original: { family: 4, protocol: 6, src: '10.0.0.1', dst: '192.0.2.9', sport: 1000, dport: 80 },
  reply: { family: 4, protocol: 6, src: '192.0.2.9', dst: '10.0.0.1', sport: 80, dport: 1000 },
  zone: 0, mark: 0, status: ['CONFIRMED'], assured: false, seenReply: true, timeoutMs: 60_000, helper: null, master: null,
  tcpState: 'SYN_RECV', sctpState: null, tcp: null, packets: null, bytes: null,
  zoneDirection: 'both', labels: null, verificationTags: null, streamInMs: null, start: null, stop: null, history: null, connState: null,
}
const UDP6: Connection = {
  ...TCP, id: 2, tcpState: null,
  original: { family: 6, protocol: 17, src: '2001:db8::1', dst: '2001:db8::2', sport: 53, dport: 53 },
  reply: { family: 6, protocol: 17, src: '2001:db8::2', dst: '2001:db8::1', sport: 53, dport: 53 },
}

describe('filters of connections', () => {
  const ids = (options: FilterOptions) => [TCP, UDP6].filter(parseFilter(options) ?? (() => true)).map(connection => connection.id)

  test.each<[FilterOptions, number[]]>([
    [{}, [1, 2]],
    [{ proto: 'tcp' }, [1]], [{ proto: 'UDP' }, [2]], [{ proto: '17' }, [2]], [{ proto: 'icmp' }, []],
    [{ src: '10.0.0.1' }, [1]], [{ src: '10.0.0.2' }, []], [{ src: '10.0.0.0/8' }, [1]], [{ src: '11.0.0.0/8' }, []],
    [{ src: '0.0.0.0/0' }, [1]], [{ src: '::/0' }, [2]], [{ dst: '2001:0db8::2' }, [2]], [{ dst: '2001:db8::/32' }, [2]],
    [{ dst: '10.0.0.1' }, []],
    [{ sport: '1000' }, [1]], [{ sport: '80' }, []], [{ dport: '53' }, [2]],
    [{ state: 'SYN_RECV' }, [1]], [{ state: 'syn_recv' }, [1]], [{ state: 'ESTABLISHED' }, []],
    [{ proto: 'tcp', dport: '53' }, []],
  ])('%j', (options, expected) => {
    expect(ids(options)).toEqual(expected)
  })

  test.each<FilterOptions>([
    { proto: 'nope' }, { proto: '256' }, { proto: '' }, { proto: 'toString' }, { src: '10.0.0' }, { src: '10' },
    { src: 'host.example' }, { dst: '10.0.0.0/33' }, { dst: '10/8' }, { src: '10.0.0.1', dst: '2001:db8::2' }, { sport: '65536' }, { dport: 'http' }, { dport: '' },
    { state: 'OPEN' },
  ])('%j is a usage error', options => {
    expect(() => parseFilter(options)).toThrow(expect.objectContaining({ name: 'UsageError' }))
  })
})

/** A tracker that calls every packet NEW but those of link type 105, which are not IP. */
class FakeTracker implements CommandTracker {
  packets = 0
  closed = false
  advanced: bigint[] = []
  readonly #listeners: [string, (event: ConnectionEvent) => void][] = []
  readonly #table: Tracker

  /** @param time when its two connections began */
  constructor(sysctl: Record<string, number> = {}, time = 0n) {
    this.#table = createTracker({ maxConnections: 8, sysctl })
    this.#table.track(tcp({ src: '10.0.0.1', dst: '192.0.2.9', sport: 1000, dport: 80 }, { flags: 'S' }), { time })
    this.#table.track(udp({ src: '2001:db8::1', dst: '2001:db8::2', sport: 53, dport: 53 }), { time })
  }

  trackBatch(batch: PacketBatch): VerdictBatch {
    const bytes = () => new Uint8Array(batch.count)
    const words = () => new Uint32Array(batch.count)
    this.packets += batch.count
    this.#emit('new', TCP)
    return {
      count: batch.count, state: bytes().fill(1), direction: bytes().fill(1),
      reason: bytes().map((_, i) => batch.linkType[i] === 105 ? REASONS.indexOf('not-ip') : 0),
      connection: words().fill(1), protocolState: bytes(), flags: bytes(), timeoutNs: new Float64Array(batch.count).fill(60e9),
      protocol: bytes(), family: bytes(), networkOffset: words(), transportOffset: words(),
    }
  }

  * connections(): IterableIterator<Connection> { yield* this.#table.connections() }
  withCore: CommandTracker['withCore'] = use => this.#table.withCore(use)
  expire(): void {}
  entry(): Connection | null { return TCP }
  advance(time: bigint): void {
    this.advanced.push(time)
    this.#emit('destroy', TCP)
  }
  explain(packet: number): Explanation {
    return {
      packet, text: 'It opens a connection.', steps: ['one'], setBy: [], sysctl: null,
      verdict: {
        packet, state: 'NEW', direction: 'original', reason: null, connection: 1, dropped: false, tcpState: null, sctpState: null,
        assured: false, timeoutMs: 60_000,
      },
    }
  }
  expectations(): Expectation[] { return [] }
  on(kind: ConnectionEventKind | ExpectationEventKind, listener: ((event: ConnectionEvent) => void) | ExpectationListener): () => void {
    if (kind === 'new' || kind === 'update' || kind === 'destroy') this.#listeners.push([kind, listener as (event: ConnectionEvent) => void])
    return () => {}
  }
  sysctl(name: string): number { return name.length }
  close(): void { this.closed = true }
  statistics(): Statistics {
    return {
      packets: this.packets, states: { NEW: this.packets, ESTABLISHED: 0, RELATED: 0, INVALID: 0, UNTRACKED: 0, none: 0 },
      reasons: {}, protocols: {}, entries: 2, inserts: 4, deletes: 1, maxConnections: 10,
      offloadedChecksums: this.packets, helperErrors: {},
      counters: {
        found: 0, invalid: 0, insert: 0, insert_failed: 0, drop: 0, early_drop: 0, error: 0, search_restart: 0,
        clash_resolve: 0, chaintoolong: 0,
      },
    }
  }

  #emit(kind: 'new' | 'destroy', connection: Connection): void {
    for (const [wanted, listener] of this.#listeners) {
      if (wanted === kind) listener({ kind, time: 0n, packet: this.packets, changes: [], connection })
    }
  }
}

interface Outcome { status: number, out: string, err: string, tracker: FakeTracker }

interface Scene {
  /** Batches by their number of packets; an error ends the capture. */
  readonly capture?: readonly (number | Error)[]
  readonly linkType?: number
  readonly stdout?: Writable
  readonly create?: (options?: TrackerOptions) => CommandTracker
}

async function run(args: readonly string[], scene: Scene = {}): Promise<Outcome> {
  const { capture = [2, 1], linkType = 1, stdout = new PassThrough() } = scene
  const stderr = new PassThrough()
  const tracker = new FakeTracker()
  const texts = { out: '', err: '' }
  stdout.on('data', chunk => { texts.out += String(chunk) })
  stderr.on('data', chunk => { texts.err += String(chunk) })
  async function* readCapture(): AsyncGenerator<PacketBatch> {
    for (const item of capture) {
      if (item instanceof Error) throw item
      yield packetBatch(Array.from({ length: item }, (_, i) => ({ data: new Uint8Array(0), time: BigInt(i), linkType })))
    }
  }
  const status = await main(args, {
    sdk: { createTracker: scene.create ?? (() => tracker), readCapture },
    version: '1.2.3', stdout, stderr, env: {}, now: () => 0,
  })
  return { status, ...texts, tracker }
}

describe('a run', () => {
  test('classify --json numbers packets across batches and exits 0', async () => {
    const { status, out, tracker } = await run(['classify', '--json', 'x'])
    expect(out.trim().split('\n').map(text => (JSON.parse(text) as { packet: number }).packet)).toEqual([1, 2, 3])
    expect(status).toBe(0)
    expect(tracker.closed).toBe(true)
  })

  test('classify --detail has the entry on every line', async () => {
    const { out } = await run(['classify', '--json', '--detail', 'x'])
    for (const text of out.trim().split('\n')) expect(JSON.parse(text)).toHaveProperty('entry.original.protocol', 'tcp')
  })

  test('classify without --json is a table with a header', async () => {
    const { out } = await run(['classify', 'x'])
    expect(out.split('\n')).toHaveLength(5)
    expect(out).toMatch(/^packet +time +state/)
    expect(out).not.toContain('\x1b')
  })

  test('connections says on standard error how many it showed', async () => {
    const { out, err } = await run(['connections', '-p', 'udp', 'x'])
    expect(out).toMatch(/^udp {6}17 30 src=2001:db8::1 /)
    expect(out.trim().split('\n')).toHaveLength(1)
    expect(err).toMatch(/^conntrack-wasm: 1 flow entries have been shown\.$/m)
  })

  test('connections --format proc is the text of /proc, filters and all', async () => {
    const { out } = await run(['connections', '--format', 'proc', '-p', 'udp', 'x'])
    expect(out).toBe('ipv6     10 udp      17 30 src=2001:0db8:0000:0000:0000:0000:0000:0001 dst=2001:0db8:0000:0000:0000:0000:0000:0002'
      + ' sport=53 dport=53 [UNREPLIED] src=2001:0db8:0000:0000:0000:0000:0000:0002 dst=2001:0db8:0000:0000:0000:0000:0000:0001 sport=53 dport=53'
      + ' mark=0 zone=0 use=2\n')
  })

  test('connections count the age of entries up to the last packet', async () => {
    const create = () => new FakeTracker({ timestamp: 1 }, -3_000_000_000n)
    expect((await run(['connections', 'x'], { create })).out).toContain(' mark=0 delta-time=3 use=1')
    expect((await run(['connections', '--format', 'proc', 'x'], { create })).out).toContain(' zone=0 delta-time=3 use=2')
  })

  test('-o labels says where the names of labels are missing', async () => {
    for (const command of ['connections', 'events']) {
      const { status, err } = await run([command, '-o', 'labels', 'x'])
      expect(status).toBe(0)
      expect(err.includes('labels have no names and are not shown')).toBe(!existsSync(LABEL_FILE))
    }
  })

  test('connections --json has the connection as it is', async () => {
    const { out, tracker } = await run(['connections', '--json', 'x'])
    expect(out.trim().split('\n').map(text => JSON.parse(text))).toEqual([...tracker.connections()])
  })

  test('events come in order, those of the time up to the last packet included', async () => {
    const { out, tracker } = await run(['events', '--json', 'x'])
    const kinds = out.trim().split('\n').map(text => (JSON.parse(text) as { kind: string }).kind)
    expect(kinds).toEqual(['new', 'new', 'destroy'])
    expect(tracker.advanced).toEqual([0n])
  })

  test('statistics --json is one object', async () => {
    const { out } = await run(['statistics', '--json', 'x'])
    expect(JSON.parse(out)).toMatchObject({ packets: 3, entries: 2 })
  })

  test('explain reads no further than its packet', async () => {
    const { status, out, tracker } = await run(['explain', '--packet', '2', 'x'], { capture: [2, 5, 7] })
    expect(out).toBe('It opens a connection.\n  1. one\n')
    expect([status, tracker.packets]).toEqual([0, 2])
  })

  test('explain of a packet beyond the end exits 2 and says how many there are', async () => {
    const { status, err } = await run(['explain', '--packet', '4', 'x'])
    expect(status).toBe(2)
    expect(err).toContain('no packet 4: the capture has 3')
  })

  test('a damaged capture exits 3 after what was before, with the offset', async () => {
    const damage = new ConntrackError('capture-damaged', 'a record is too long', 4711)
    for (const command of ['classify', 'connections', 'statistics']) {
      const { status, out, err } = await run([command, '--json', 'x'], { capture: [2, damage] })
      expect(status).toBe(3)
      expect(out).not.toBe('')
      expect(err).toMatch(/a record is too long.*4711/)
    }
  })

  test('a damage before the packet asked for is what explain reports', async () => {
    const damage = new ConntrackError('capture-damaged', 'a record is too long', 4711)
    expect(await run(['explain', '--packet', '9', 'x'], { capture: [2, damage] })).toMatchObject({ status: 3 })
  })

  test('a file that is not there exits 3', async () => {
    const missing = Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT', syscall: 'open' })
    const { status, err } = await run(['classify', 'x'], { capture: [missing] })
    expect(status).toBe(3)
    expect(err).toContain('ENOENT: no such file')
  })

  test('a defect is no bad input', async () => {
    const { status, err } = await run(['classify', 'x'], { capture: [new TypeError('oops')] })
    expect(status).toBe(1)
    expect(err).toContain('oops')
  })

  test('options that the tracker refuses exit 2', async () => {
    const create = () => { throw new ConntrackError('unknown-sysctl', 'no sysctl tcp_lose') }
    const { status, err } = await run(['classify', '--sysctl', 'tcp_lose=1', 'x'], { create })
    expect(status).toBe(2)
    expect(err).toBe("conntrack-wasm: no sysctl tcp_lose\nTry 'conntrack-wasm --help'.\n")
  })

  test('offloaded checksums and unread link types are told once, on standard error', async () => {
    const { err } = await run(['classify', '--json', 'x'], { linkType: 105 })
    expect(err.match(/^conntrack-wasm: checksums of 3 packets had been left/gm)).toHaveLength(1)
    expect(err.match(/^conntrack-wasm: 3 packets have link type 105 \(IEEE802_11\)/gm)).toHaveLength(1)
  })

  test('a link type that is read is no notice', async () => {
    expect((await run(['classify', '--json', 'x'])).err).not.toContain('link type')
  })

  test('a closed pipe ends quietly with 0', async () => {
    const closed = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    })
    const { status, err, tracker } = await run(['classify', '--json', 'x'], { stdout: closed, capture: [200, 200, 200] })
    expect([status, err]).toEqual([0, ''])
    expect(tracker.closed).toBe(true)
  })

  test('a full disk is not quiet', async () => {
    const full = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' })),
    })
    const { status, err } = await run(['classify', '--json', 'x'], { stdout: full })
    expect(status).toBe(1)
    expect(err).toContain('ENOSPC')
  })

  test('who writes waits while standard output is behind', async () => {
    const waiting: (() => void)[] = []
    const slow = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => { waiting.push(done) } })
    const ended = run(['classify', '--json', 'x'], { stdout: slow, capture: [1, 1, 1] })
    const turn = () => new Promise(resolve => { setImmediate(resolve) })
    for (let i = 0; i < 20; i++) await turn()
    // Nobody has taken the first piece, so the second has not been handed on.
    expect(waiting).toHaveLength(1)
    let status: number | null = null
    void ended.then(outcome => { status = outcome.status })
    while (status === null) {
      waiting.shift()?.()
      await turn()
    }
    expect(status).toBe(0)
  })

  test('--version and --help go to standard output', async () => {
    expect(await run(['--version'])).toMatchObject({ status: 0, out: '1.2.3\n', err: '' })
    expect(await run(['--help'])).toMatchObject({ status: 0, out: helpText(), err: '' })
  })
})

describe('what people see', () => {
  test('an explanation tells who set what and which sysctl would change it', () => {
    const explanation: Explanation = { ...new FakeTracker().explain(3), setBy: [1, 2], sysctl: 'tcp_loose' }
    expect(explanationText(explanation)).toBe(
      'It opens a connection.\n  1. one\nset by packet 1, 2\nsysctl that would change it: tcp_loose\n')
  })

  test('unread link types are told by number, most packets first', () => {
    expect(linkTypeNotices(new Map([[105, 1], [9999, 7]])).map(text => text.split(',')[0])).toEqual([
      '7 packets have link type 9999', '1 packet has link type 105 (IEEE802_11)'])
  })

  test('the bar shows the share of the file, the count alone without a size', () => {
    expect(progressLine(10, 50, 100)).toBe('[###############...............]  50%  10 packets')
    expect(progressLine(10, 101, 100)).toContain('] 100%')
    expect(progressLine(10, 50, 0)).toBe('10 packets')
  })

  test('the bar appears after a second and goes without a trace', () => {
    let now = 0
    let drawn = ''
    const progress = new Progress({ write: text => { drawn += text } }, 0, () => now)
    const batch = packetBatch([{ data: new Uint8Array(60) }])
    now = 999
    progress.add(batch)
    expect(drawn).toBe('')
    now = 1000
    progress.add(batch)
    progress.end()
    expect(drawn).toBe('\r\x1b[K2 packets\r\x1b[K')
  })

  test('work that is done within a second draws nothing', () => {
    let drawn = ''
    const progress = new Progress({ write: text => { drawn += text } }, 0, () => 0)
    progress.add(packetBatch([{ data: new Uint8Array(60) }]))
    progress.end()
    expect(drawn).toBe('')
  })
})
