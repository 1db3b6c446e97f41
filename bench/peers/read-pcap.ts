/** A peer from npm: `pcap-parser` reads a capture and does nothing with its packets. */
import { createRequire } from 'node:module'

interface PcapParser {
  parse(path: string): { on(event: 'packet' | 'end' | 'error', listener: (value: unknown) => void): void }
}

const { parse } = createRequire(import.meta.url)('pcap-parser') as PcapParser
const parser = parse(process.argv[2])
let packets = 0
parser.on('packet', () => {
  packets += 1
})
parser.on('end', () => console.log(packets))
parser.on('error', (error) => {
  throw error
})
