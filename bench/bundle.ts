/** What a page that imports a built module has to fetch: all of it in one file, as bundlers make it. */
import { buildSync } from 'esbuild'

/** @param entry path of the module */
export function bundled(entry: string): Uint8Array {
  return buildSync({
    entryPoints: [entry], bundle: true, minify: true, format: 'esm', charset: 'utf8', write: false, logLevel: 'error',
  }).outputFiles[0].contents
}
