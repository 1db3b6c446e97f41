/** In workerd: the digest of the capture that is posted. */
import { digest } from './digest.js'

export default {
  async fetch(request) {
    return request.body ? Response.json(await digest(request.body)) : new Response()
  },
}
