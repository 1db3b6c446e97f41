/** Loads what is measured: the built package, and the peers. */
import { existsSync } from 'node:fs'
import type * as peers from './peers/index.js'
import { loadSdk, type Sdk } from './sdk.js'

export type Peers = typeof peers

export interface Loaded {
  /** Null where the package was not built: the peers can be measured alone. */
  readonly sdk: Sdk | null
  /** Copies of the peers' module. */
  readonly typedVerify: Peers
  readonly typedIgnore: Peers
  readonly map: Peers
}

// Seen from build/bench/, where the benchmark runs.
const MAIN = new URL('../../dist/index.js', import.meta.url)
export const CORE = new URL('../../dist/core.wasm', import.meta.url)

export async function load(): Promise<Loaded> {
  if (!existsSync(MAIN)) console.error('The package has not been built (npm run build): only the peers are measured.')
  return {
    sdk: existsSync(MAIN) ? await loadSdk(MAIN) : null,
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
