import { ref, type Ref } from 'vue'
import { problemOf, type Problem } from './api'

interface Attempts {
  isBusy: Ref<boolean>
  failure: Ref<Problem | undefined>
  /** Runs it, and keeps why it failed; whether it did not. */
  attempt: (act: () => Promise<unknown>) => Promise<boolean>
}

/** What a form sends: one at a time, with what is to be shown meanwhile and afterwards. */
export function useAttempts(): Attempts {
  const isBusy = ref(false)
  const failure = ref<Problem>()

  async function attempt(act: () => Promise<unknown>): Promise<boolean> {
    isBusy.value = true
    failure.value = undefined
    try {
      await act()
      return true
    } catch (error) {
      failure.value = problemOf(error)
      return false
    } finally {
      isBusy.value = false
    }
  }

  return { isBusy, failure, attempt }
}
