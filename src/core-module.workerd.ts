/** The core where modules of WebAssembly are imported and compiling bytes is forbidden: Cloudflare's workerd. */
import module from './core.wasm'

export const coreModule: WebAssembly.Module = module
