/** The secrets of the core's hashes. In: seeds. Out: keys, the same for the same seed. */
import { HASH_KEYS } from './border.js'
import { ConntrackError } from './errors.js'

/** The hash's secret: from the runtime's random source, or spread from a seed. */
export function hashKeys(seed: number | bigint | Uint8Array | undefined): Uint8Array {
  const keys = new Uint8Array(HASH_KEYS)
  if (seed === undefined) return crypto.getRandomValues(keys)
  if (seed instanceof Uint8Array) {
    if (seed.length < 8) throw new ConntrackError('invalid-argument', 'a hashSeed of bytes needs at least eight of them')
    return spread(seed.reduce((state, value) => BigInt.asUintN(64, (state ^ BigInt(value)) * 0x100000001b3n), 0xcbf29ce484222325n))
  }
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) throw new ConntrackError('invalid-argument', 'hashSeed must be a whole number')
  if (typeof seed !== 'number' && typeof seed !== 'bigint') throw new ConntrackError('invalid-argument', 'hashSeed must be a number, a bigint or bytes')
  return spread(BigInt.asUintN(64, BigInt(seed)))
}

/** The secret by which packets are shared out. */
export function shardKeys(seed: number): BigUint64Array {
  return new BigUint64Array(spread(BigInt(seed)).buffer)
}

/** SplitMix64: every seed, also 0, gives keys with no pattern. */
function spread(seed: bigint): Uint8Array {
  const words = new BigUint64Array(HASH_KEYS / 8)
  let state = seed
  for (let i = 0; i < words.length; i++) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n)
    let z = BigInt.asUintN(64, (state ^ state >> 30n) * 0xbf58476d1ce4e5b9n)
    z = BigInt.asUintN(64, (z ^ z >> 27n) * 0x94d049bb133111ebn)
    words[i] = z ^ z >> 31n
  }
  return new Uint8Array(words.buffer)
}
