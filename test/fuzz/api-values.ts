/** Values that arguments may have by mistake, by name, so that a sequence of calls can be written down. */
import { allHelpers, ftp } from 'conntrack-wasm/helpers'
import { udp } from '../support/build.js'

const PACKET = udp({ src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 })

/** Bytes whose buffer was given away, as `postMessage` does. */
function detached(): Uint8Array {
  const bytes = Uint8Array.from(PACKET)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

function shared(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(PACKET.length))
  bytes.set(PACKET)
  return bytes
}

/** What a caller may keep and change behind a view's back. */
function shrunk(): Uint8Array {
  // Of ES2024, which the types of this project do not have.
  const Resizable = ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer & { resize(length: number): void }
  const buffer = new Resizable(64, { maxByteLength: 128 })
  const bytes = new Uint8Array(buffer, 32, 32)
  buffer.resize(16)
  return bytes
}

export const VALUES: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined, null: () => null, true: () => true, false: () => false,
  zero: () => 0, minusZero: () => -0, one: () => 1, two: () => 2, minusOne: () => -1, half: () => 1.5, nan: () => NaN,
  infinity: () => Infinity, byte: () => 255, word: () => 65_535, overWord: () => 65_536, u32: () => 0xffffffff,
  over32: () => 2 ** 32, over53: () => 2 ** 53, huge: () => 1e308, seventeen: () => 17,
  empty: () => '', text: () => 'x', tcp: () => 'tcp', raw: () => 'raw', ip4: () => '10.0.0.1', ip6: () => '2001:db8::1',
  mapped: () => '::ffff:10.0.0.1', prefix: () => '10.0.0.0/8', badPrefix: () => '10.0.0.0/33', zoned: () => 'fe80::1%eth0',
  ports: () => '1024-65535', sysctl: () => 'udp_timeout', proto: () => '__proto__', constructor: () => 'constructor',
  toString: () => 'toString', newEvent: () => 'new', destroyEvent: () => 'destroy', reply: () => 'reply',
  bigZero: () => 0n, bigOne: () => 1n, bigMinus: () => -1n, big70: () => 2n ** 70n, bigMinus70: () => -(2n ** 70n),
  now: () => 1_700_000_000_000_000_000n,
  symbol: () => Symbol('s'), function: () => () => {}, array: () => [], arrayOfOne: () => [1], arrayOfNull: () => [null],
  holes: () => Array(3), nested: () => [[[]]], object: () => ({}), bare: () => Object.create(null) as unknown,
  unprintable: () => ({ toString: null, valueOf: null }), date: () => new Date(0), map: () => new Map(), boxed: () => Object(1) as unknown,
  cyclic: () => { const self: { self?: unknown } = {}; self.self = self; return self },
  packet: () => PACKET, noBytes: () => new Uint8Array(0), manyBytes: () => new Uint8Array(300_000), detached, shared, shrunk,
  detachedBuffer: () => detached().buffer, buffer: () => new ArrayBuffer(8), view: () => new DataView(new ArrayBuffer(8)), floats: () => new Float64Array(300).fill(NaN),
  signed: () => new Int32Array(300).fill(-5), bigs: () => new BigInt64Array(300), clamped: () => new Uint8ClampedArray(300),
  words: () => new Uint32Array(300), halves: () => new Uint16Array(300), lots: () => new Uint32Array(300).fill(0xfffffff0),
  seconds: () => new Float64Array(300), infinite: () => new Float64Array(300).fill(Infinity),
  helpers: () => allHelpers(), helper: () => ftp(), rule: () => ({ helper: ftp(), match: { dport: 2121 } }),
  badRule: () => ({ helper: {}, match: null }), halfHelper: () => ({ ...ftp(), ports: null }), match: () => ({ dport: 80 }),
  matches: () => [{ dport: 80 }], many: () => Array(65).fill({ dport: 80 }), zones: () => [{ id: 3, dport: 80 }],
  policies: () => [{ timeouts: { udp_timeout: 3 } }], badPolicies: () => [{ timeouts: { max: 3 } }],
  sysctls: () => ({ udp_timeout: 1 }), badSysctls: () => ({ nothing: 1 }), shard: () => ({ index: 0, of: 2, seed: 1 }),
  module: () => new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)), tuple: () => ({ protocol: 'udp', src: '10.0.0.1', dst: '10.0.0.2', sport: 1000, dport: 80 }),
}

export type ValueName = string
export const NAMES = Object.keys(VALUES)

export const valueOf = (name: ValueName): unknown => VALUES[name]()
