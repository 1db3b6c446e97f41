/** The core where it lies beside the program: the command line, which need not carry it as text. */
import { readFileSync } from 'node:fs'

export const coreModule = new WebAssembly.Module(readFileSync(new URL('./core.wasm', import.meta.url)))
