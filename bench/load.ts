/** Loads what is measured: the built package, its core, the tracker in C, and the peers. */
import { existsSync, readFileSync } from 'node:fs'
import { buildNative, type Native } from './native/native.js'
import type * as peers from './peers/index.js'
import { loadSdk, type Sdk } from './sdk.js'

export type Peers = typeof peers

export interface Loaded {
  readonly sdk: Sdk
  /** The core of that package. */
  readonly module: WebAssembly.Module
  /** Null where there is no gcc. */
  readonly native: Native | null
  /** Copies of the peers' module. */
  readonly typedVerify: Peers
  readonly typedIgnore: Peers
  readonly map: Peers
}

// Seen from build/bench/, where the benchmark runs.
export const MAIN = new URL('../../dist/index.js', import.meta.url)
export const CORE = new URL('../../dist/core.wasm', import.meta.url)

export async function load(): Promise<Loaded> {
  if (!existsSync(MAIN)) throw new Error('the package has not been built: npm run build')
  return {
    sdk: await loadSdk(MAIN),
    module: new WebAssembly.Module(readFileSync(CORE)),
    native: buildNative(),
    typedVerify: await copyOfPeers('typed-verify'),
    typedIgnore: await copyOfPeers('typed-ignore'),
    map: await copyOfPeers('map'),
  }
}

/**
 * A module of its own for each candidate. V8 optimises a function for all that it has been called with; candidates that
 * shared functions would be slower together than each would be alone.
 */
async function copyOfPeers(name: string): Promise<Peers> {
  return (await import(new URL(`./peers.js?${name}`, import.meta.url).href)) as Peers
}
