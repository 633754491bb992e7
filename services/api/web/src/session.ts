import { computed, ref } from 'vue'
import { api, problemOf, whenSignedOut } from './api'
import type { Session } from './types'

/** undefined while it is not known, null when nobody is signed in. */
export const session = ref<Session | null | undefined>(undefined)

/** Characters of a new password at least, as the API demands (ccm_api/shapes.py). */
export const LEAST_PASSWORD = 8

/** Remembers that a session was begun, so that a first visit does not ask for one in vain. */
const BEGUN = 'ccm-session'

/** The password just typed: asked for once more only when it must be changed after a reload. */
export const typedPassword = ref('')

export const mayOperate = computed(() => !!session.value && session.value.role !== 'viewer')

export const mayConfigure = computed(() => session.value?.role === 'admin')

whenSignedOut(ended)

function begun(fresh: Session): void {
  session.value = fresh
  localStorage.setItem(BEGUN, '1')
}

function ended(): void {
  session.value = null
  localStorage.removeItem(BEGUN)
}

/** Continue a session that the cookie still holds. A silent gateway throws a `Problem`. */
export async function restore(): Promise<void> {
  if (!localStorage.getItem(BEGUN)) return ended()
  try {
    begun(await api.get<Session>('session'))
  } catch (error) {
    if (problemOf(error).status !== 401) throw error
    ended()
  }
}

export async function signIn(user: string, password: string): Promise<void> {
  const fresh = await api.post<Session>('session', { user, password })
  typedPassword.value = fresh.must_change_password ? password : ''
  begun(fresh)
}

export async function changePassword(old: string, fresh: string): Promise<void> {
  begun(await api.post<Session>('session/password', { old, new: fresh }))
  typedPassword.value = ''
}

export async function signOut(): Promise<void> {
  try {
    await api.delete('session')
  } finally {
    ended()
  }
}
