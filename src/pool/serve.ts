/** A worker's conversation with its pool, whatever the two of them speak through. */
import { TELL, type Request, type TrackedCopy, type Wake } from './protocol.js'
import { Work } from './work.js'

export interface Port {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  listen(heard: (message: unknown) => void): void
}

/** Answers whatever comes through the port. */
export function serve(port: Port): void {
  const work = new Work()
  const catchUp = () => work.catchUp(() => port.postMessage(TELL, []))
  port.listen(message => {
    const request = message as Request | Wake
    catchUp()
    if (request.kind === 'wake') return
    const answer = work.answer(request)
    const { buffer } = (answer.result ?? {}) as Partial<TrackedCopy>
    port.postMessage(answer, buffer ? [buffer] : [])
    catchUp()
  })
}
