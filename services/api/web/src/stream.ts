import { ref } from 'vue'
import { address, api } from './api'

const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 15_000
/** Silence after which a connection counts as dead: services announce themselves every 5 s. */
const SILENCE_MS = 30_000
const WATCH_MS = 5_000
/** A short gap is not worth a warning. */
const PATIENCE_MS = 2_500
/** A tab out of sight gives its connection back after this: browsers allow six to one gateway. */
const OUT_OF_SIGHT_MS = 60_000

export type Connection = 'connecting' | 'live' | 'lost'

export const connection = ref<Connection>('connecting')

type Handlers = Record<string, (message: unknown) => void>
type Timer = ReturnType<typeof setTimeout>

/** The live stream of the topics that have a handler; connects again by itself until it is stopped. */
class Stream {
  private source: EventSource | undefined
  private retry: Timer | undefined
  private warning: Timer | undefined
  private hiding: Timer | undefined
  private attempt = 0
  private heard_ms = 0
  private wasLost = false
  private isStopped = false

  constructor(
    private readonly handlers: Handlers,
    private readonly onReconnected: () => void,
  ) {}

  open(): void {
    if (this.isStopped) return
    this.source?.close()
    const source = new EventSource(`${address('stream')}?topics=${Object.keys(this.handlers).join(',')}`)
    this.source = source
    this.heard_ms = Date.now()
    source.onopen = () => this.opened()
    source.onerror = () => this.later()
    for (const [topic, handle] of Object.entries(this.handlers)) {
      source.addEventListener(topic, (event: MessageEvent<string>) => {
        this.heard_ms = Date.now()
        const message: unknown = JSON.parse(event.data)
        if (message !== null) handle(message)
      })
    }
  }

  /** Give the connection back; `open` goes on. */
  pause(): void {
    this.source?.close()
    this.source = undefined
    this.wasLost = true
    clearTimeout(this.retry)
    clearTimeout(this.warning)
    this.warning = undefined
  }

  stop(): void {
    this.pause()
    clearTimeout(this.hiding)
    this.isStopped = true
    connection.value = 'connecting'
  }

  /** A connection that says nothing for long is broken without an error: a phone that slept, a pulled cable. */
  watch(): void {
    if (this.source && Date.now() - this.heard_ms > SILENCE_MS) this.later()
  }

  seen(): void {
    clearTimeout(this.hiding)
    if (document.hidden) this.hiding = setTimeout(() => this.pause(), OUT_OF_SIGHT_MS)
    else if (this.source || this.warning) this.watch()
    else this.open()
  }

  private opened(): void {
    clearTimeout(this.warning)
    this.warning = undefined
    this.attempt = 0
    connection.value = 'live'
    if (this.wasLost) this.onReconnected()
    this.wasLost = false
  }

  private later(): void {
    if (this.isStopped) return
    this.source?.close()
    this.source = undefined
    this.wasLost = true
    this.warning ??= setTimeout(() => {
      connection.value = 'lost'
    }, PATIENCE_MS)
    const wait_ms = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempt++) * (0.5 + Math.random() / 2)
    clearTimeout(this.retry)
    // The session may have ended: EventSource does not tell a 401 from a silent gateway, a request does.
    this.retry = setTimeout(() => {
      api.get('session').then(
        () => this.open(),
        () => this.later(),
      )
    }, wait_ms)
  }
}

/** Follow the live stream; call the result to stop. */
export function listen(handlers: Handlers, onReconnected: () => void): () => void {
  const stream = new Stream(handlers, onReconnected)
  const leaving = new AbortController()
  const { signal } = leaving
  const watcher = setInterval(() => stream.watch(), WATCH_MS)
  document.addEventListener('visibilitychange', () => stream.seen(), { signal })
  addEventListener('pagehide', () => stream.pause(), { signal })
  addEventListener('pageshow', (event) => event.persisted && stream.open(), { signal })
  stream.open()
  return () => {
    clearInterval(watcher)
    leaving.abort()
    stream.stop()
  }
}
