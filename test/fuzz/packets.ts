/** `npm run fuzz:packets`, and `fuzz:long`, which is the same with more of them. */
import { command } from './command.js'
import { packets } from './packet-fuzzer.js'

await command(packets)
