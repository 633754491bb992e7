import { shallowRef } from 'vue'
import { api } from './api'
import type { ConfigChange } from './types'

export type Configuration = Record<string, unknown>

/** A file that was looked at: what it would change of the configuration that has `tag`. */
export interface Candidate {
  name: string
  text: string
  tag: string
  changes: ConfigChange[]
}

/** The configuration before the last file was applied, until the portal is closed. */
export const before = shallowRef<Configuration>()

export async function lookedAt(name: string, text: string): Promise<Candidate> {
  const { tag } = await api.tagged<Configuration>('config')
  const { changes } = await api.sendConfig<{ changes: ConfigChange[] }>('config?preview=true', text, tag)
  return { name, text, tag, changes }
}

/** Throws a `Problem`, 412 when somebody changed the configuration since the file was looked at. */
export async function apply({ text, tag }: Candidate): Promise<void> {
  const { body } = await api.tagged<Configuration>('config')
  await api.sendConfig('config', text, tag)
  before.value = body
}

export async function undo(): Promise<void> {
  const { tag } = await api.tagged<Configuration>('config')
  await api.replace('config', before.value, tag)
  before.value = undefined
}

/** Offer the configuration as a file to the browser. */
export async function download(serial: string): Promise<void> {
  const { body } = await api.tagged<Configuration>('config')
  const day = new Date().toISOString().slice(0, 10)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(body, null, 2)}\n`], { type: 'application/json' }))
  link.download = `${serial}-${day}.json`
  link.click()
  URL.revokeObjectURL(link.href)
}
