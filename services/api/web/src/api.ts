import { learn } from './clock'
import { texts } from './texts'

const TIMEOUT_MS = 15_000
/** A test of settings takes up to 20 s itself. */
const TEST_TIMEOUT_MS = 25_000
const root = new URL('/api/v1/', location.origin)

/** A refusal, RFC 9457; status 0 when the gateway did not answer at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly field: string | null = null,
    readonly errors: { field: string; message: string }[] = [],
  ) {
    super(detail || title)
  }
}

/** What to tell the user about any error. */
export function problemOf(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, texts.problems.unknown, String(error))
}

let onSignedOut: () => void = () => undefined

/** Called when the gateway answers 401 to a request that needs a session. */
export function whenSignedOut(act: () => void): void {
  onSignedOut = act
}

export const address = (path: string): string => new URL(path, root).href

async function refusal(answer: Response): Promise<Problem> {
  const body: unknown = await answer.json().catch(() => null)
  const said = (body ?? {}) as Record<string, unknown>
  const word = (key: string): string => (typeof said[key] === 'string' ? said[key] : '')
  return new Problem(
    answer.status,
    word('title') || texts.problems.status(answer.status),
    word('detail'),
    word('field') || null,
    Array.isArray(said.errors) ? (said.errors as { field: string; message: string }[]) : [],
  )
}

/** A body that is sent as it is. */
class Raw {
  constructor(
    readonly text: string,
    readonly type: string,
  ) {}
}

async function ask<T>(method: string, path: string, body?: unknown, tag?: string): Promise<T> {
  const answer = await answered(method, path, body, tag)
  return answer.status === 204 ? (undefined as T) : ((await answer.json()) as T)
}

async function answered(method: string, path: string, body?: unknown, tag?: string): Promise<Response> {
  const asked_ms = Date.now()
  let answer: Response
  try {
    answer = await fetch(address(path), {
      method,
      credentials: 'same-origin',
      cache: 'no-store',
      headers: {
        ...(body === undefined ? {} : { 'Content-Type': body instanceof Raw ? body.type : 'application/json' }),
        ...(tag === undefined ? {} : { 'If-Match': tag }),
      },
      body: body === undefined ? null : body instanceof Raw ? body.text : JSON.stringify(body),
      signal: AbortSignal.timeout(path.endsWith('/test') ? TEST_TIMEOUT_MS : TIMEOUT_MS),
    })
  } catch {
    throw new Problem(0, texts.problems.silent, texts.problems.silentDetail)
  }
  learn(answer.headers.get('Date'), asked_ms)
  if (!answer.ok) {
    const problem = await refusal(answer)
    if (answer.status === 401 && !(method === 'POST' && path === 'session')) onSignedOut()
    throw problem
  }
  return answer
}

/** What is stored, and the tag that `replace` wants. */
async function tagged<T>(path: string): Promise<{ body: T; tag: string }> {
  const answer = await answered('GET', path)
  return { body: (await answer.json()) as T, tag: answer.headers.get('ETag') ?? '*' }
}

export const api = {
  get: <T>(path: string): Promise<T> => ask<T>('GET', path),
  post: <T>(path: string, body: unknown): Promise<T> => ask<T>('POST', path, body),
  put: <T>(path: string, body: unknown): Promise<T> => ask<T>('PUT', path, body),
  delete: <T = void>(path: string): Promise<T> => ask<T>('DELETE', path),
  tagged,
  /** Status 412 when it was changed since `tagged`. */
  replace: <T>(path: string, body: unknown, tag: string): Promise<T> => ask<T>('PUT', path, body, tag),
  change: <T>(path: string, body: unknown, tag: string): Promise<T> => ask<T>('PATCH', path, body, tag),
  remove: (path: string, tag: string): Promise<void> => ask('DELETE', path, undefined, tag),
  /** A configuration file as it is, JSON or YAML. */
  sendConfig: <T>(path: string, text: string, tag: string): Promise<T> =>
    ask<T>('PUT', path, new Raw(text, 'application/yaml'), tag),
  /** Without a tag: only if there is nothing yet. */
  sendYaml: <T>(path: string, text: string, tag?: string): Promise<T> =>
    ask<T>('PUT', path, new Raw(text, 'application/yaml'), tag),
}
