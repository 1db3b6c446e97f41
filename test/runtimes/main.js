/** In Node, Deno and Bun: digests of the captures in the folder that the first argument names, as JSON. */
import { readdirSync, readFileSync } from 'node:fs'
import { digest } from './digest.js'

const folder = process.argv[2]
const names = readdirSync(folder).filter(name => /\.pcap(ng)?$/.test(name)).sort()
const digests = []
for (const name of names) digests.push({ name, ...await digest(new Uint8Array(readFileSync(`${folder}/${name}`))) })
console.log(JSON.stringify(digests))
