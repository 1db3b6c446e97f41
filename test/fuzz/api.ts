/** `npm run fuzz:api` */
import { api } from './api-fuzzer.js'
import { command } from './command.js'

await command(api)
