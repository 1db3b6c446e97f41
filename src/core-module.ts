/**
 * The core, compiled once when the package is loaded. Its bytes are part of this file's bundle: no network, no file
 * look-up, no waiting. (Under the `workerd` condition `core-module.workerd.ts` takes this file's place.)
 */
import bytes from '../build/core.wasm'

/** For a core with other memory. */
export const coreBytes: Uint8Array = bytes

export const coreModule = new WebAssembly.Module(bytes)
