/** `npm run fuzz:capture` */
import { captures } from './capture-fuzzer.js'
import { command } from './command.js'

await command(captures)
