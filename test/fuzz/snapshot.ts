/** `npm run fuzz:snapshot` */
import { command } from './command.js'
import { snapshot } from './snapshot-fuzzer.js'

await command(snapshot)
