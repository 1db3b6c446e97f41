/** A worker of whatever runtime this is: a Web Worker where there are any, else one of Node's threads. */
import { ConntrackError } from '../errors.js'
import { TELL, type Answer, type Request, type Wake } from './protocol.js'

/** The part of a Web Worker that is used. */
export interface WebWorker {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void
  terminate(): void
  onmessage: ((event: { data: unknown }) => void) | null
  onerror: ((event: { message?: string; preventDefault?(): void }) => void) | null
}

export interface Thread {
  post(request: Request | Wake, transfer?: ArrayBuffer[]): void
  /** Whether the process is to stay for what it has to do. */
  hold(on: boolean): void
  end(): void
}

interface Listeners {
  readonly answered: (answer: Answer) => void
  /** Something in the ring is finished. */
  readonly told: () => void
  readonly failed: (why: string) => void
}

/** Starts a worker; `make` gives a Web Worker of the caller's own. */
export async function startThread(make: (() => WebWorker) | undefined, listeners: Listeners): Promise<Thread> {
  if (make) return webThread(make(), listeners)
  const { Worker } = globalThis as unknown as { Worker?: new (url: URL, options: { type: 'module' }) => WebWorker }
  if (Worker) return webThread(new Worker(new URL('./pool-worker.js', import.meta.url), { type: 'module' }), listeners)
  return nodeThread(listeners)
}

function hear(message: unknown, { answered, told }: Listeners): void {
  if (message === TELL) told()
  else answered(message as Answer)
}

function webThread(worker: WebWorker, listeners: Listeners): Thread {
  worker.onmessage = ({ data }) => hear(data, listeners)
  worker.onerror = event => {
    event.preventDefault?.()
    listeners.failed(event.message ?? 'it could not be started')
  }
  return { post: (request, transfer = []) => worker.postMessage(request, transfer), hold() {}, end: () => worker.terminate() }
}

/** The name is not one that bundlers for browsers try to follow. */
const NODE_THREADS = ['node', 'worker_threads'].join(':')

async function nodeThread(listeners: Listeners): Promise<Thread> {
  const threads = await import(/* @vite-ignore */ NODE_THREADS).catch(() => null) as typeof import('node:worker_threads') | null
  if (!threads) throw new ConntrackError('invalid-argument', 'this runtime has no workers; the option worker makes one')
  const worker = new threads.Worker(new URL('./pool-worker.js', import.meta.url))
  worker.on('message', message => hear(message, listeners))
  worker.on('error', error => listeners.failed(String(error)))
  worker.on('exit', code => listeners.failed(`it ended with code ${code}`))
  worker.unref()
  return {
    post: (request, transfer = []) => worker.postMessage(request, transfer),
    hold: on => on ? worker.ref() : worker.unref(),
    end() {
      worker.removeAllListeners('exit')
      void worker.terminate()
    },
  }
}
