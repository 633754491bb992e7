import { computed, ref, toRaw } from 'vue'
import { api, problemOf } from './api'
import { refresh } from './site'
import { texts } from './texts'
import type { TestReport } from './types'

const words = texts.services

/** A section of the configuration in a form: loaded with its tag, tried, and saved against it. `path` is its REST path. */
export function useSection<T extends object>(path: string) {
  const form = ref<T>()
  const failure = ref('')
  const field = ref('')
  const saved = ref('')
  const report = ref<TestReport>()
  const busy = ref<'' | 'load' | 'save' | 'test'>('')
  let tag = '*'
  let stored = ''

  const isChanged = computed(() => JSON.stringify(form.value) !== stored)

  async function during(what: 'load' | 'save' | 'test', act: () => Promise<void>): Promise<void> {
    busy.value = what
    failure.value = field.value = saved.value = ''
    try {
      await act()
    } catch (error) {
      const problem = problemOf(error)
      field.value = problem.field ?? ''
      failure.value = problem.status === 412 ? words.changedMeanwhile : problem.message
    } finally {
      busy.value = ''
    }
  }

  function take(body: T, fresh: string): void {
    tag = fresh
    stored = JSON.stringify(body)
    form.value = body
  }

  async function reload(): Promise<void> {
    const { body, tag: fresh } = await api.tagged<T>(path)
    take(body, fresh)
  }

  const load = (): Promise<void> => during('load', reload)

  const save = (): Promise<void> =>
    during('save', async () => {
      report.value = undefined
      await api.replace<T>(path, toRaw(form.value), tag)
      await reload()
      saved.value = words.saved
      void refresh()
    })

  const test = (): Promise<void> =>
    during('test', async () => {
      report.value = undefined
      report.value = await api.post<TestReport>(`${path}/test`, toRaw(form.value))
    })

  /** Whether the last refusal was about this field of the section. */
  const isWrong = (name: string): boolean => field.value === name || field.value.endsWith(`.${name}`)

  return { form, failure, saved, report, busy, isChanged, load, save, test, isWrong }
}
